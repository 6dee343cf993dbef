#!/usr/bin/env python3
"""Times srengine against PyTorch, ONNX Runtime, OpenVINO and oneDNN on this machine's CPU, in one run.

    peers.py --program build/release/srengine --models b4u4,b8u4 --threads 2 [--python PATH]...

Everybody computes the same network with the same numbers on the same patch: float32, batch-norm over the patch, the
same number of threads. A peer whose answer differs from srengine's is not timed. Rounds are interleaved (srengine, peer,
peer, srengine, ...), so that what else the machine does hits all alike; the ratio is that within a round. Each peer
lives in a process of its own, in every interpreter given by --python that has it, and sleeps while others are timed.

Peers: torch, torch-last (channels last), torch-compile, onnxruntime, openvino, onednn (its convolutions only, without
what is between them). Figures go to OUT/DATE-MACHINE-MODELS.json and .svg and to OUT/MACHINE.csv, marked where the
machine was noisy.
"""
import argparse
import datetime
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import machine
import report
from common import difference, smooth_patch
from peer_onednn import OneDnn
from peer_srengine import Srengine
from systems import Case, LeftOut, Worker

HERE = Path(__file__).resolve().parent
# float32 against float32 over some twenty layers; a wrong norm or padding is off by more than 1e-2.
TOLERANCE = 1e-3


def say(sentence):
    print(sentence, file=sys.stderr, flush=True)


def interpreter(name):
    path = shutil.which(name)
    if not path:
        raise argparse.ArgumentTypeError(f"{name} is no program")
    return path


def model_list(text):
    """"b4u4,b8u4" and "b4u4,k=16,residual,b8u4": options of a model stay with it."""
    return re.split(r",(?!\w+=|residual)", text)


def find_onednn(args):
    """Beside the program, or in the preset that builds benchmarks."""
    for build in (Path(args.program).parent, report.ROOT / "build/cpu"):
        if (build / "bench/onednn_convs").exists():
            return build / "bench/onednn_convs"
    raise LeftOut("onednn_convs is not built (libdnnl-dev, cmake --preset cpu)")


def start_peers(args):
    peers = {}  # by name: the same version in two interpreters is one peer
    for word in args.peers.split(","):
        pythons = [None] if word == "onednn" else args.python
        for python in pythons:
            try:
                peer = Worker(word, python, args.threads) if python else OneDnn(find_onednn(args), args.threads)
            except LeftOut as e:
                say(f"{word}{f' in {python}' if python else ''}: {e}")
                continue
            if peer.name in peers:
                peer.close()
            else:
                peers[peer.name] = peer
    return list(peers.values())


def make_case(ours, model, args, folder):
    files = {"weights": ours.export(model, "--safetensors", folder / "weights.bin")}
    try:
        files["onnx"] = ours.export(model, "--onnx", folder / "network.onnx")
    except LeftOut as e:
        say(f"no ONNX file: {e}")
    return Case(model, smooth_patch(args.patch), folder, files)


def agrees(peer, case, expected, differences):
    try:
        peer.load(case)
        answer = peer.answer()
    except LeftOut as e:
        say(f"{peer.name}: {e}")
        return False
    if answer is None:
        return True
    differences[peer.name] = difference(answer, expected)
    say(f"{peer.name}: differs from srengine by {differences[peer.name]:.1e} of the output's rms")
    return differences[peer.name] < TOLERANCE


def compare(ours, peers, case, args, guard):
    """The figures of one network."""
    ours.load(case)
    expected, differences = ours.answer(), {}
    systems = [ours] + [peer for peer in peers if agrees(peer, case, expected, differences)]
    ms = {system.name: [] for system in systems}
    for number in range(args.rounds):
        guard.listen()
        for system in list(systems):
            time.sleep(0.1)  # threads that spin after the last one's work go to sleep
            try:
                ms[system.name].append(system.time())
            except LeftOut as e:
                if system is ours:
                    raise
                say(f"{system.name}: {e}")
                systems.remove(system)
                del ms[system.name]
        say(f"{case.model}, round {number + 1} of {args.rounds}: "
            + ", ".join(f"{name} {times[-1]:.0f} ms" for name, times in ms.items()))
    for name, times in ms.items():
        guard.check_spread(f"{case.model}, {name}", times)
    figures = ours.figures
    rows = {name: {"ms": report.summary(times),
                   "ratio": report.summary([theirs / mine for theirs, mine in zip(times, ms[ours.name])]),
                   "difference": differences.get(name)} for name, times in ms.items()}
    return {"backend": figures["backend"], "peak_gflops": figures["peak_gflops"],
            "gflop": 1e-3 * figures["gflops"] * figures["ms_per_patch"]["median"], "systems": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(report.ROOT / "build/release/srengine"), help="the built srengine")
    parser.add_argument("--models", type=model_list, default="b4u4", help="as for `srengine bench --model`; b4u4,b8u4")
    parser.add_argument("--patch", type=int, default=70)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="torch,onnxruntime,openvino,onednn")
    parser.add_argument("--python", type=interpreter, action="append",
                        help="an interpreter that has peers (default: this one); repeatable")
    parser.add_argument("--target", help="instruction set of srengine's kernels (default: the best there is)")
    parser.add_argument("--out", type=Path, default=report.ROOT / "bench/results", help="folder for the figures")
    args = parser.parse_args()
    args.python = args.python or [sys.executable]
    os.environ["OMP_NUM_THREADS"] = str(args.threads)

    this = machine.describe()
    guard = machine.NoiseGuard(args.threads)
    for sentence in guard.found:
        say(f"warning: {sentence}")
    peers = []
    try:
        ours = Srengine(args.program, args.threads, args.target)
        peers = start_peers(args)
        models = {}
        for model in args.models:
            with tempfile.TemporaryDirectory() as folder:
                models[model] = compare(ours, peers, make_case(ours, model, args, Path(folder)), args, guard)
    except LeftOut as e:  # srengine itself
        raise SystemExit(f"peers.py: {e}")
    finally:
        for peer in peers:
            peer.close()
    guard.finish()

    found = {"date": datetime.date.today().isoformat(), "commit": report.commit(), "machine": this,
             "load_average_before": guard.load_before, "threads": args.threads, "patch": args.patch,
             "rounds": args.rounds, "batch_norm": "patch", "noise": guard.found, "models": models}
    report.print_table(found)
    args.out.mkdir(parents=True, exist_ok=True)
    slug = machine.name(this)
    file = args.out / f"{found['date']}-{slug}-{re.sub('[^a-z0-9-]', '', '-'.join(models))}.json"
    report.write_json(file, found)
    report.append_csv(args.out / f"{slug}.csv", found)
    print(f"\n{file}\n{args.out / slug}.csv")
    report.plot(HERE / "plot_bars.py", [*args.python, sys.executable], file, file.with_suffix(".svg"))


if __name__ == "__main__":
    main()
