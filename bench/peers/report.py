"""What peers.py found: a table, a JSON file, a line for each system in the machine's CSV file, a plot."""
import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

import machine

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("date", "commit", "model", "precision", "patch", "threads", "system", "ms", "ms_min", "ms_max", "ratio", "ratio_min",
           "ratio_max", "rounds", "noisy")


def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "all": values}


def commit():
    """Of the working tree, with + where it differs from it."""
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except OSError:
        return ""


def print_table(found):
    """found: what write_json writes."""
    for of_model in found["models"].values():
        print(f"\n{of_model['model']}, patch {found['patch']}^3, {of_model['precision']}, batch-norm over the patch, "
              f"{machine.caption(found['machine'], found['threads'])}")
        print(f"{'':32} {'ms per patch':>12}  {'min':>7}  {'max':>7}  {'GFLOP/s':>7}  {'times ours':>10}  {'spread':>12}")
        for system, row in of_model["systems"].items():
            ms, ratio = row["ms"], row["ratio"]
            print(f"{system:32} {ms['median']:12.4g}  {ms['min']:7.4g}  {ms['max']:7.4g}"
                  f"  {1e3 * of_model['gflop'] / ms['median']:7.0f}  {ratio['median']:10.2f}"
                  f"  {ratio['min']:5.2f}..{ratio['max']:5.2f}")
    for sentence in found["noise"]:
        print(f"NOISY: {sentence}")


def write_json(path, found):
    path.write_text(json.dumps(found, indent=1) + "\n")


def append_csv(path, found):
    is_new = not path.exists()
    with open(path, "a", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            rows.writeheader()
        for of_model in found["models"].values():
            for system, row in of_model["systems"].items():
                numbers = {column + end: f"{row[column][key]:.4g}" for column in ("ms", "ratio")
                           for end, key in (("", "median"), ("_min", "min"), ("_max", "max"))}
                rows.writerow({**{key: found[key] for key in ("date", "commit", "patch", "threads", "rounds")},
                               "model": of_model["model"], "precision": of_model["precision"], "system": system, **numbers, "noisy": int(bool(found["noise"]))})


def plot(script, pythons, *arguments):
    """By the first interpreter that has matplotlib; a line on stderr where none has."""
    for python in pythons:
        done = subprocess.run([python, script, *arguments], capture_output=True, text=True)
        if done.returncode == 0:
            print(done.stdout.strip())
            return
    print(f"no plot: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
