#!/usr/bin/env python3
"""Times srengine against PyTorch, ONNX Runtime, OpenVINO and oneDNN on this machine's CPU, or against PyTorch, TensorRT
and cuDNN on its GPU, in one run.

    peers.py --program build/release/srengine --models b4u4,b8u4 --threads 2 [--python PATH]...
    peers.py --program build/release/srengine --models b8u4 --device cuda --precisions fp32,tf32,f16,bf16

Everybody computes the same network with the same numbers on the same patch: batch-norm over the patch, the same
precision (float32 on a CPU) and number of threads. A peer whose answer differs from srengine's on the CPU is not timed.
Rounds are interleaved (srengine, peer, peer, srengine, ...), so that what else the machine does hits all alike; the
ratio is that within a round. Each peer lives in a process of its own, in every interpreter given by --python that has
it, and sleeps while others are timed.

Peers on a CPU: torch, torch-last (channels last), torch-compile, onnxruntime, openvino, onednn (its convolutions only,
without what is between them); on a GPU: torch, torch-last, torch-compile (channels last too), tensorrt, cudnn (its
convolutions only). Figures go to OUT/DATE-MACHINE-MODELS.json, rewritten after each network and precision, and .svg and
to OUT/MACHINE.csv, marked where the machine was noisy.
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
from peer_convolutions import Convolutions
from peer_srengine import Srengine
from systems import Case, LeftOut, Machine, Worker

HERE = Path(__file__).resolve().parent
# Largest difference from srengine's answer on the CPU in float32, as a share of the output's rms, over some twenty
# layers: far above rounding in each format, and in float32 far below a wrong norm or padding, which is off by more than
# 1e-2.
TOLERANCE = {"fp32": 1e-3, "tf32": 2e-2, "f16": 5e-2, "bf16": 3e-1}
PEERS = {"cpu": ("torch", "torch-last", "torch-compile", "onnxruntime", "openvino", "onednn"),
         "cuda": ("torch", "torch-last", "torch-compile", "tensorrt", "cudnn")}
DEFAULT_PEERS = {"cpu": "torch,onnxruntime,openvino,onednn", "cuda": "torch,torch-last,cudnn,tensorrt,torch-compile"}
# Programs that time a library's convolutions: what it is called, what builds them.
CONVOLUTIONS = {"onednn": ("oneDNN", "libdnnl-dev, cmake --preset cpu"),
                "cudnn": ("cuDNN", "cuDNN, -DSRENGINE_CUDA=ON -DSRENGINE_BENCH=ON")}


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


def convolutions(word, args, this):
    """Beside the program, or where this project's scripts build benchmarks."""
    library, needs = CONVOLUTIONS[word]
    for build in (Path(args.program).parent, report.ROOT / "build/cpu", report.ROOT / "build/gpu"):
        program = build / f"bench/{word}_convs"
        if program.exists():
            return Convolutions(library, program, this)
    raise LeftOut(f"{word}_convs is not built ({needs})")


def start_peers(args, this):
    peers = {}  # by name: the same version in two interpreters is one peer
    for word in args.peers.split(","):
        pythons = [None] if word in CONVOLUTIONS else args.python
        for python in pythons:
            try:
                peer = Worker(word, python, this) if python else convolutions(word, args, this)
            except LeftOut as e:
                say(f"{word}{f' in {python}' if python else ''}: {e}")
                continue
            if peer.name in peers:
                peer.close()
            else:
                peers[peer.name] = peer
    return list(peers.values())


def make_case(ours, model, precision, args, folder):
    files = {"weights": ours.export(model, "--safetensors", folder / "weights.bin")}
    try:
        files["onnx"] = ours.export(model, "--onnx", folder / "network.onnx")
    except LeftOut as e:
        say(f"no ONNX file: {e}")
    return Case(model, smooth_patch(args.patch), folder, files, precision)


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
    return differences[peer.name] < TOLERANCE[case.precision]


def compare(ours, peers, case, args, guard):
    """The figures of one network."""
    ours.load(case)
    expected, differences = ours.answer_of_cpu(), {}
    if args.device != "cpu" and not agrees(ours, case, expected, differences):
        raise LeftOut(f"srengine itself has no right answer on {args.device}")
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
        say(f"{case.label}, round {number + 1} of {args.rounds}: "
            + ", ".join(f"{name} {times[-1]:.4g} ms" for name, times in ms.items()))
    for name, times in ms.items():
        guard.check_spread(f"{case.label}, {name}", times)
    figures = ours.figures
    rows = {name: {"ms": report.summary(times),
                   "ratio": report.summary([theirs / mine for theirs, mine in zip(times, ms[ours.name])]),
                   "difference": differences.get(name)} for name, times in ms.items()}
    return {"model": case.model, "precision": case.precision, "backend": figures["backend"], "peak_gflops": figures["peak_gflops"],
            "gflop": 1e-3 * figures["gflops"] * figures["ms_per_patch"]["median"], "systems": rows}


def save(found, folder, slug):
    """The JSON file, whole after each network, so that a run that is cut off is not lost."""
    folder.mkdir(parents=True, exist_ok=True)
    names = re.sub("[^a-z0-9-]", "", "-".join(found["wanted"]))
    file = folder / f"{found['date']}-{slug}-{names}.json"
    report.write_json(file, found)
    return file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(report.ROOT / "build/release/srengine"), help="the built srengine")
    parser.add_argument("--models", type=model_list, default="b4u4", help="as for `srengine bench --model`; b4u4,b8u4")
    parser.add_argument("--patch", type=int, default=70)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", help="a list of those above (CPU: torch,onnxruntime,openvino,onednn; GPU: all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--precisions", default="fp32", help="on a GPU, in this order: fp32, tf32, f16, bf16")
    parser.add_argument("--python", type=interpreter, action="append",
                        help="an interpreter that has peers (default: this one); repeatable")
    parser.add_argument("--target", help="instruction set of srengine's kernels (default: the best there is)")
    parser.add_argument("--out", type=Path, default=report.ROOT / "bench/results", help="folder for the figures")
    args = parser.parse_args()
    args.python = args.python or [sys.executable]
    kind = args.device.partition(":")[0]
    if kind not in PEERS:
        parser.error(f"--device {args.device}: cpu, cuda and cuda:N are devices")
    if args.device == "cuda":
        args.device = "cuda:0"
    args.peers = args.peers or DEFAULT_PEERS[kind]
    for word in args.peers.split(","):
        if word not in PEERS[kind]:
            parser.error(f"--peers {word}: on {kind} there are {', '.join(PEERS[kind])}")
    precisions = args.precisions.split(",")
    for precision in precisions:
        if precision not in (TOLERANCE if kind == "cuda" else ("fp32",)):
            parser.error(f"--precisions {precision}: on {kind} there is {'no such' if kind == 'cuda' else 'only fp32'}")
    os.environ["OMP_NUM_THREADS"] = str(args.threads)

    host = machine.describe(args.device)
    slug = machine.name(host)
    guard = machine.NoiseGuard(args.threads)
    for sentence in guard.found:
        say(f"warning: {sentence}")
    found = {"date": datetime.date.today().isoformat(), "commit": report.commit(), "machine": host,
             "load_average_before": guard.load_before, "threads": args.threads, "device": args.device,
             "patch": args.patch, "rounds": args.rounds, "batch_norm": "patch", "noise": guard.found,
             "wanted": args.models, "models": {}}
    this = Machine(args.threads, args.device)
    peers, failed = [], False
    try:
        ours = Srengine(args.program, this, args.target)
        peers = start_peers(args, this)
        for model in args.models:
            for precision in precisions:
                try:
                    with tempfile.TemporaryDirectory() as folder:
                        case = make_case(ours, model, precision, args, Path(folder))
                        found["models"][case.label] = compare(ours, peers, case, args, guard)
                    save(found, args.out, slug)
                except LeftOut as e:  # srengine itself; the other cases may be better
                    say(f"peers.py: {model} in {precision}: {e}")
                    failed = True
    except LeftOut as e:
        raise SystemExit(f"peers.py: {e}")
    finally:
        for peer in peers:
            peer.close()
    guard.finish()
    if not found["models"]:
        raise SystemExit(1)

    report.print_table(found)
    file = save(found, args.out, slug)
    report.append_csv(args.out / f"{slug}.csv", found)
    print(f"\n{file}\n{args.out / slug}.csv")
    report.plot(HERE / "plot_bars.py", [*args.python, sys.executable], file, file.with_suffix(".svg"))
    sys.exit(failed)


if __name__ == "__main__":
    main()
