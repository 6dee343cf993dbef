#!/usr/bin/env python3
"""A bar for each system of a JSON file of peers.py:  plot_bars.py FIGURES.json PLOT.svg (or .png)"""
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from machine import caption  # noqa: E402


def main():
    found = json.loads(Path(sys.argv[1]).read_text())
    figure, axes = plt.subplots(len(found["models"]), 1, squeeze=False, layout="constrained",
                                figsize=(8, sum(1 + 0.4 * len(m["systems"]) for m in found["models"].values())))
    for axis, (model, of_model) in zip(axes[:, 0], found["models"].items()):
        names = list(of_model["systems"])
        ms = [row["ms"] for row in of_model["systems"].values()]
        ratios = [row["ratio"]["median"] for row in of_model["systems"].values()]
        median = [t["median"] for t in ms]
        spread = [[m - t["min"] for m, t in zip(median, ms)], [t["max"] - m for m, t in zip(median, ms)]]
        bars = axis.barh(names, median, xerr=spread, capsize=3, color=["C1"] + ["C0"] * (len(names) - 1))
        axis.bar_label(bars, [f"{m:.3g} ms, {r:.1f}x" for m, r in zip(median, ratios)], padding=4)
        axis.invert_yaxis()
        axis.margins(x=0.25)
        noisy = ", NOISY" if found["noise"] else ""
        axis.set_title(f"{model}, {found['patch']}³{noisy}")
        axis.set_xlabel(f"ms per patch: median, least and most of {found['rounds']} rounds")
    figure.suptitle(f"{caption(found['machine'], found['threads'])}, {found['date']}, {found['commit']}", fontsize="small")
    figure.savefig(sys.argv[2])
    print(sys.argv[2])


if __name__ == "__main__":
    main()
