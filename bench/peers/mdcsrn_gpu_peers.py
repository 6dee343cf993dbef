#!/usr/bin/env python3
"""Times PyTorch on a GPU: the network that `srengine bench --device cuda` times, on the same patch.

    python3 bench/peers/mdcsrn_gpu_peers.py --model b8u4 --json peers.json

fp32, tf32, and f16 and bf16 under autocast; eager in the planar and the channels-last layout, torch.compile (minutes
each) in the latter; cudnn.benchmark on. Every answer is compared with float64 before it is timed. Rows are written to
the JSON file one by one. TensorRT is not timed.
"""
import argparse
import contextlib
import json
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from mdcsrn_peers import parse_model, smooth_patch  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "reference"))
from mdcsrn_torch import MDCSRN  # noqa: E402

# Largest difference from float64 as a share of the rms: far above rounding in each format, far below a wrong layer.
TOLERANCE = {"fp32": 1e-3, "tf32": 2e-2, "f16": 5e-2, "bf16": 3e-1}


@contextlib.contextmanager
def arithmetic(precision):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if precision in ("f16", "bf16"):
        with torch.autocast("cuda", torch.float16 if precision == "f16" else torch.bfloat16):
            yield
    else:
        yield


def time_ms(run, repeats):
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="b8u4")
    parser.add_argument("--patch", type=int, default=70)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json")
    parser.add_argument("--quick", action="store_true", help="eager fp32 only")
    a = parser.parse_args()

    torch.cuda.set_device(a.device)
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    net = MDCSRN(parse_model(a.model)).train().cuda()  # batch-norm over the patch
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    x = torch.from_numpy(smooth_patch(a.patch)).cuda()
    expected = net.double()(x.double())
    net.float()
    rms = expected.square().mean().sqrt()

    rows = []
    for precision in ("fp32",) if a.quick else ("fp32", "tf32", "f16", "bf16"):
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            for mode in ("eager",) if a.quick or layout == torch.contiguous_format else ("eager", "compile"):
                model = net.to(memory_format=layout)
                name = f"{precision} {mode} {'planar' if layout == torch.contiguous_format else 'channels-last'}"
                try:
                    torch._dynamo.reset()  # or what was compiled before fills its cache, and this would run eagerly
                    run = torch.compile(model, dynamic=False) if mode == "compile" else model
                    with arithmetic(precision):
                        patch = x.to(memory_format=layout)
                        error = float(((run(patch).double() - expected).abs().max() / rms))
                        if not error < TOLERANCE[precision]:
                            print(f"{name}: differs by {error:.1e} of the rms, not timed", file=sys.stderr)
                            continue
                        ms = time_ms(lambda: run(patch), a.repeats)
                except Exception as e:  # a peer that cannot run is no reason to lose the others
                    print(f"{name}: {type(e).__name__}: {e}".splitlines()[0], file=sys.stderr)
                    continue
                print(f"{name:34} {ms:9.2f} ms per patch, error {error:.1e}")
                rows.append({"precision": precision, "mode": mode, "layout": name.split()[-1], "ms_per_patch": ms,
                             "error": error})
                if a.json:
                    Path(a.json).write_text(json.dumps({"torch": torch.__version__, "gpu": torch.cuda.get_device_name(),
                                                        "model": a.model, "patch": a.patch, "rows": rows}, indent=1))
    if not rows:
        raise SystemExit("no peer could be timed")


if __name__ == "__main__":
    main()
