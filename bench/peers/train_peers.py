#!/usr/bin/env python3
"""Seconds per training step of srtrain and of PyTorch, the same network, patch and batch, one after the other.

    train_peers.py --srengine build/release/srengine --srtrain build/release/srtrain [--steps 5] [--threads 2]

srtrain trains on a phantom, its times are those of its own log (the first step, which loads and packs, left out);
PyTorch does forward, L1, backward and Adam on random patches, in the faster of its two memory layouts.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "reference"))
from mdcsrn_torch import MDCSRN, Config  # noqa: E402


def torch_step(args, memory_format):
    torch.manual_seed(0)
    net = MDCSRN(Config(residual=True)).to(memory_format=memory_format)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)
    shape = (args.batch, 1, args.patch, args.patch, args.patch)
    x = torch.rand(shape).to(memory_format=memory_format)
    y = torch.rand(shape)
    times = []
    for _ in range(args.steps + 1):
        start = time.perf_counter()
        loss = (net(x) - y).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        times.append(time.perf_counter() - start)
    return times[1:]


def srtrain_step(args):
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "data", Path(folder) / "run"
        data.mkdir()
        subprocess.run([args.srengine, "phantom", "--size", "96x96x96", "--output", data / "head.nii"], check=True)
        subprocess.run([args.srtrain, "--data", data, "--model", "b4u4,residual", "--batch", str(args.batch), "--patch",
                        str(args.patch), "--steps", str(args.steps + 1), "--threads", str(args.threads), "--device",
                        "cpu", "--val", "0", "--log-every", "1", "--out", run, "--quiet"],
                       check=True, stdout=subprocess.DEVNULL)
        records = [json.loads(line) for line in open(run / "log.jsonl")]
        at = [r["wall_time"] for r in records if r["kind"] == "step"]
        return [b - a for a, b in zip(at, at[1:])]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--srengine", required=True)
    p.add_argument("--srtrain", required=True)
    p.add_argument("--steps", type=int, default=5)
    p.add_argument("--batch", type=int, default=6)
    p.add_argument("--patch", type=int, default=40)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)

    ours = statistics.median(srtrain_step(args))
    print(f"srtrain                              {ours:7.2f} s per step")
    theirs = {}
    for name, layout in (("contiguous", torch.contiguous_format), ("channels_last_3d", torch.channels_last_3d)):
        theirs[name] = statistics.median(torch_step(args, layout))
        print(f"PyTorch {torch.__version__:10} {name:17} {theirs[name]:7.2f} s per step, {theirs[name] / ours:.2f}x", flush=True)
    print(f"ratio to the faster one {min(theirs.values()) / ours:.2f}")


if __name__ == "__main__":
    main()
