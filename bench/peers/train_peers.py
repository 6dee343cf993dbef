#!/usr/bin/env python3
"""Seconds per training step of srtrain and of PyTorch, the same network, patch and batch, one after the other.

    train_peers.py --srengine build/release/srengine --srtrain build/release/srtrain [--steps 5] [--threads 2]
        [--device cuda] [--json FILE]

srtrain trains on a phantom, its times are those of its own log (the first step, which loads and packs, left out);
PyTorch does forward, L1, backward and Adam on random patches: on the CPU in its two memory layouts, on a GPU eager and
compiled, in float32 and tf32. The ratio is to the fastest of them.
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


def torch_step(args, memory_format, compiled=False, tf32=False):
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    net = MDCSRN(Config(residual=True)).to(args.device).to(memory_format=memory_format)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)
    run = torch.compile(net) if compiled else net
    shape = (args.batch, 1, args.patch, args.patch, args.patch)
    x = torch.rand(shape).to(args.device).to(memory_format=memory_format)
    y = torch.rand(shape).to(args.device)
    times = []
    for _ in range(args.steps + 1):
        start = time.perf_counter()
        loss = (run(x) - y).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - start)
    return times[1:]


def torch_variants(args):
    contiguous, last = torch.contiguous_format, torch.channels_last_3d
    if args.device == "cpu":
        return {"contiguous": (contiguous,), "channels_last_3d": (last,)}
    return {"fp32 contiguous": (contiguous,), "fp32 channels_last_3d": (last,),
            "tf32 contiguous": (contiguous, False, True), "tf32 channels_last_3d": (last, False, True),
            "tf32 compiled": (contiguous, True, True), "tf32 compiled channels_last_3d": (last, True, True)}


def srtrain_step(args):
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "data", Path(folder) / "run"
        data.mkdir()
        subprocess.run([args.srengine, "phantom", "--size", "96x96x96", "--output", data / "head.nii"], check=True)
        subprocess.run([args.srtrain, "--data", data, "--model", "b4u4,residual", "--batch", str(args.batch), "--patch",
                        str(args.patch), "--steps", str(args.steps + 1), "--threads", str(args.threads), "--device",
                        args.device, "--val", "0", "--log-every", "1", "--out", run, "--quiet"],
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
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--json", type=Path, help="the figures for a program to read")
    args = p.parse_args()
    torch.set_num_threads(args.threads)

    ours = statistics.median(srtrain_step(args))
    print(f"srtrain {ours:34.4f} s per step", flush=True)
    theirs = {}
    for name, variant in torch_variants(args).items():
        try:
            theirs[name] = statistics.median(torch_step(args, *variant))
        except Exception as e:  # a variant that this PyTorch cannot do is no reason to lose the others
            print(f"PyTorch {name}: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}", flush=True)
            continue
        print(f"PyTorch {torch.__version__:12} {name:30} {theirs[name]:.4f} s per step, {theirs[name] / ours:.2f}x", flush=True)
    if theirs:
        print(f"ratio to the fastest one {min(theirs.values()) / ours:.2f}")
    if args.json:
        args.json.write_text(json.dumps({"srtrain_s_per_step": ours, "torch": torch.__version__, "device": args.device,
                                         "batch": args.batch, "patch": args.patch, "torch_s_per_step": theirs}))


if __name__ == "__main__":
    main()
