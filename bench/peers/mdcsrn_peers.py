#!/usr/bin/env python3
"""Times srengine against PyTorch, and ONNX Runtime and OpenVINO where installed, in one run on one machine.

    python3 bench/peers/mdcsrn_peers.py --program build/release/srengine --model b4u4 --threads 2

Everybody computes the same network on the same patch: float32, batch-norm over the patch, the same number of threads.
Rounds are interleaved (ours, peer, peer, ours, peer, ...), so that what else the machine does hits all alike. A peer
whose answer differs from the reference network's is not timed.
"""
import argparse
import datetime
import inspect
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "reference"))
from mdcsrn_torch import MDCSRN, Config, multiply_adds_per_voxel  # noqa: E402

SMALL_PATCH = 16  # on which answers are compared
# float32 against float32 over some twenty layers; a wrong norm or padding is off by more than 1e-2.
TOLERANCE = 1e-3


def parse_model(name):
    """b4u4, b8u4, b1u16-r, b4u4,k=16: the names of `srengine bench --model`, as far as the paper has them."""
    match = re.fullmatch(r"b(\d+)u(\d+)(-r)?(?:,k=(\d+))?", name)
    if not match:
        raise SystemExit(f"{name}: no model; b4u4, b8u4, b1u16-r or b4u4,k=16 are")
    blocks, units, r, k = match.groups()
    return Config(int(blocks), int(units), int(k or 12), reconstruction=bool(r))


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def smooth_patch(edge, seed=0):
    z, y, x = np.meshgrid(*(np.arange(edge),) * 3, indexing="ij")
    noise = np.random.default_rng(seed).normal(0, 0.1, (edge,) * 3)
    return (1 + 0.5 * np.sin(0.3 * x) * np.cos(0.2 * y + 0.1 * z) + noise).astype(np.float32)[None, None]


class Srengine:
    name = "srengine"

    def __init__(self, args):
        self.args = args

    def time_ms(self):
        """One warm-up and one patch in a process of its own, as the program times itself."""
        a = self.args
        with tempfile.TemporaryDirectory() as folder:
            figures = Path(folder) / "figures.json"
            command = [a.program, "bench", "--model", a.model, "--patch", str(a.patch), "--threads", str(a.threads),
                       "--batch", "1", "--patches", "1", "--json", str(figures)]
            if a.target:
                command += ["--target", a.target]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{' '.join(command)}\nfailed: {done.stderr.strip()}")
            self.figures = json.loads(figures.read_text())
        self.name = f"srengine {self.figures['version']}"
        return self.figures["ms_per_patch"]["median"]


class PyTorch:
    def __init__(self, net, args):
        self.name = f"PyTorch {torch.__version__}"
        self.net = net
        torch.set_num_threads(args.threads)

    @torch.no_grad()
    def run(self, x):
        return self.net(torch.from_numpy(x)).numpy()


def with_instance_norm(net):
    """The same function of one patch, in an operation that every exporter and runtime has for inference."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.BatchNorm3d):
                norm = torch.nn.InstanceNorm3d(child.num_features, eps=child.eps, affine=True)
                norm.load_state_dict({"weight": child.weight, "bias": child.bias})
                setattr(parent, name, norm)
    return net


def export_onnx(config, net, path, x=None):
    """Batch-norm over a batch of one is instance norm. Without x the shape of the patch stays free."""
    copy = MDCSRN(config)
    copy.load_state_dict(net.state_dict())
    copy = with_instance_norm(copy).eval()
    free = {}
    if x is None:
        x = torch.from_numpy(smooth_patch(SMALL_PATCH))
        free = {"dynamic_axes": {name: {2: "d", 3: "h", 4: "w"} for name in ("x", "y")}}
    # The older exporter, where a release has two: the newer one needs packages of its own.
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        free["dynamo"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(copy.to(x.device, x.dtype), x, str(path), opset_version=13, input_names=["x"],
                          output_names=["y"], **free)


class OnnxRuntime:
    def __init__(self, path, args):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = args.threads
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.name = f"ONNX Runtime {ort.__version__}"

    def run(self, x):
        return self.session.run(None, {"x": x})[0]


class OpenVino:
    def __init__(self, path, args):
        import openvino

        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}"
        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": args.threads, "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": "f32"}
        self.compiled = {}
        self.compile = lambda shape: core.compile_model(self._of_shape(core, path, shape), "CPU", settings)

    @staticmethod
    def _of_shape(core, path, shape):
        model = core.read_model(str(path))
        model.reshape(shape)
        return model

    def run(self, x):
        if x.shape not in self.compiled:
            self.compiled[x.shape] = self.compile(list(x.shape))
        return self.compiled[x.shape](x)[0]


def make_peers(args, net, config, folder):
    """Peers that are installed and give the reference's answer on a small patch."""
    reference = PyTorch(net, args)
    wanted = args.peers.split(",")
    peers = [reference] if "torch" in wanted else []
    onnx_file = folder / "network.onnx"
    x = smooth_patch(SMALL_PATCH)
    expected = reference.run(x)
    rms = float(np.sqrt(np.mean(expected**2)))
    for word, make in {"onnxruntime": OnnxRuntime, "openvino": OpenVino}.items():
        if word not in wanted:
            continue
        try:
            __import__(word)
            if not onnx_file.exists():
                export_onnx(config, net, onnx_file)
            peer = make(onnx_file, args)
        except ImportError as e:
            print(f"{word}: not installed ({e})", file=sys.stderr)
            continue
        error = float(np.abs(peer.run(x) - expected).max()) / rms
        print(f"{peer.name}: differs from PyTorch by {error:.1e} of the output's rms", file=sys.stderr)
        if error < TOLERANCE:
            peers.append(peer)
    return peers


def time_ms(peer, x):
    start = time.perf_counter()
    peer.run(x)
    return 1e3 * (time.perf_counter() - start)


def commit():
    try:
        git = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        return git.stdout.strip()
    except OSError:
        return ""


def summary(ms):
    return {"median": statistics.median(ms), "min": min(ms), "max": max(ms), "all": ms}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/release/srengine"), help="the built srengine")
    parser.add_argument("--model", default="b4u4")
    parser.add_argument("--patch", type=int, default=70)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="torch,onnxruntime,openvino")
    parser.add_argument("--target", help="instruction set of srengine's kernels (default: the best there is)")
    parser.add_argument("--json", help="file for the figures (default: bench/results/DATE-CPU-MODEL-PYTORCH.json)")
    args = parser.parse_args()

    config = parse_model(args.model)
    torch.manual_seed(0)
    net = MDCSRN(config).train()  # batch-norm over the patch
    ours = Srengine(args)
    x = smooth_patch(args.patch)

    with tempfile.TemporaryDirectory() as folder:
        peers = make_peers(args, net, config, Path(folder))
        for peer in peers:
            peer.run(x)  # first touch of memory, compilation for the shape
        ms = {system: [] for system in [ours, *peers]}
        for number in range(args.rounds):
            for system in ms:
                ms[system].append(ours.time_ms() if system is ours else time_ms(system, x))
            print(f"round {number + 1} of {args.rounds}: "
                  + ", ".join(f"{s.name} {t[-1]:.0f} ms" for s, t in ms.items()), file=sys.stderr)

    figures = ours.figures
    median = {s: statistics.median(t) for s, t in ms.items()}
    gflop = 2e-9 * multiply_adds_per_voxel(net) * args.patch**3
    print(f"\n{args.model}, patch {args.patch}^3, fp32, batch-norm over the patch, {args.threads} threads, {cpu_name()}")
    print(f"{'':24} {'ms per patch':>12}  {'min':>7}  {'max':>7}  {'GFLOP/s':>7}  {'times ours':>10}")
    for s, t in ms.items():
        print(f"{s.name:24} {median[s]:12.0f}  {min(t):7.0f}  {max(t):7.0f}  {1e3 * gflop / median[s]:7.0f}"
              f"  {median[s] / median[ours]:10.2f}")

    today = datetime.date.today().isoformat()
    slug = re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-")
    torch_version = re.match(r"\d+\.\d+", torch.__version__).group()
    name = args.json or ROOT / "bench/results" / f"{today}-{slug}-{args.model}-torch{torch_version}.json"
    Path(name).write_text(json.dumps({
        "date": today, "commit": commit(), "cpu": cpu_name(), "threads": args.threads, "model": args.model,
        "patch": args.patch, "batch_norm": "patch", "backend": figures["backend"],
        "peak_gflops": figures["peak_gflops"], "rounds": args.rounds,
        "ms_per_patch": {s.name: summary(t) for s, t in ms.items()},
        "ratio_of_medians": {s.name: median[s] / median[ours] for s in peers},
    }, indent=2) + "\n")
    print(f"{name}")


if __name__ == "__main__":
    main()
