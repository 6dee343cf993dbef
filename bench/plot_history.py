#!/usr/bin/env python3
"""How times and ratios went on, from the CSV file that bench/peers/peers.py keeps of a machine.

    plot_history.py bench/results/MACHINE.csv HISTORY.svg [--threads 2] [--patch 70] [--precision fp32]

For each network: srengine's ms per patch, and how many times as long the others took in the same rounds; least and most
as bars. Runs in their order, with date and commit; hollow where the machine was noisy.
"""
import argparse
import csv

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def draw(axis, rows, column, runs, label=None):
    at = [runs.index((row["date"], row["commit"])) for row in rows]
    middle, least, most = ([float(row[column + end]) for row in rows] for end in ("", "_min", "_max"))
    spread = [[m - a for m, a in zip(middle, least)], [b - m for m, b in zip(middle, most)]]
    line = axis.errorbar(at, middle, spread, capsize=3, marker="o", label=label)[0]
    for x, y, row in zip(at, middle, rows):
        if row["noisy"] == "1":
            axis.plot(x, y, "o", color=line.get_color(), mfc="white", zorder=3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv")
    parser.add_argument("plot", help="PNG or SVG")
    parser.add_argument("--threads", help="runs with so many (default: the number of the last run)")
    parser.add_argument("--patch", default="70")
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    with open(args.csv, newline="") as file:
        asked = {"patch": args.patch, "precision": args.precision, "threads": args.threads}
        rows = [row for row in csv.DictReader(file) if all(row[key] == value for key, value in asked.items() if value)]
    if not rows:
        raise SystemExit(f"{args.csv} has no run with " + ", ".join(f"{k} {v}" for k, v in asked.items() if v))
    rows = [row for row in rows if row["threads"] == rows[-1]["threads"]]

    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, axes = plt.subplots(len(models), 2, squeeze=False, figsize=(12, 4 * len(models)), layout="constrained")
    for (times, ratios), model in zip(axes, models):
        of_model = [row for row in rows if row["model"] == model]
        runs = list(dict.fromkeys((row["date"], row["commit"]) for row in of_model))
        for system in dict.fromkeys(row["system"] for row in of_model):
            of_system = [row for row in of_model if row["system"] == system]
            if system.startswith("srengine"):
                draw(times, of_system, "ms", runs)
            else:
                draw(ratios, of_system, "ratio", runs, system)
        times.set_title(f"{model}: srengine, ms per patch")
        ratios.set_title(f"{model}: times as long as srengine")
        if ratios.has_data():
            ratios.legend(fontsize="small")
        for axis in (times, ratios):
            axis.set_ylim(bottom=0)
            axis.set_xticks(range(len(runs)), [f"{date}\n{commit}" for date, commit in runs], rotation=45, ha="right")
    figure.savefig(args.plot)
    print(args.plot)


if __name__ == "__main__":
    main()
