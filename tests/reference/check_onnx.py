#!/usr/bin/env python3
"""Runs exported networks in ONNX Runtime, and in OpenVINO where it is, against the golden volumes (PyTorch in float64).

    check_onnx.py SRENGINE [--opsets 9,13,28]

Every variant of tests/golden/network is exported, with batch-norm of the patch and running statistics, and restores its
volume as the file's own metadata say. Without onnxruntime: exit code 77, which CTest takes for skipped.
"""
import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import onnxruntime
except ImportError as e:
    print(f"skipped: {sys.executable} lacks what this needs: {e}")
    sys.exit(77)
try:
    import openvino
except ImportError:
    openvino = None

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "network"
sys.path.insert(0, str(GOLDEN))
from small_patches import SHAPE, restore  # noqa: E402

MODES = ("patch", "running")
# float32 over a dozen layers, as the CPU backend's in tests/engine/networks/test_network.cpp.
TOLERANCE = 2e-5


def load(path):
    """The rule of normalization, and the network in each runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rule = json.loads(session.get_modelmeta().custom_metadata_map["srengine.normalization"])
    networks = {"ONNX Runtime": lambda x: session.run(["y"], {"x": x})[0]}
    if openvino:
        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        networks["OpenVINO"] = lambda x: compiled({"x": x})["y"]
    return rule, networks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("srengine")
    parser.add_argument("--opsets", default="13")
    args = parser.parse_args()
    failed = False
    worst = {}
    with tempfile.TemporaryDirectory() as folder:
        onnx_file = Path(folder) / "network.onnx"
        for weights, mode, opset in itertools.product(sorted(GOLDEN.glob("*.bin")), MODES, args.opsets.split(",")):
            command = [args.srengine, "export", weights, "--onnx", onnx_file, "--batch-norm", mode, "--opset", opset]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            rule, networks = load(onnx_file)
            volumes = np.fromfile(weights.with_suffix(".f64"), "<f8").reshape(-1, *SHAPE)
            expected = volumes[1 + MODES.index(mode)]
            for name, run in networks.items():
                result = restore(lambda x: run(x.astype(np.float32)), volumes[0], rule)
                error = np.abs(result - expected).max() / np.sqrt(np.mean(expected**2))
                worst[name] = max(worst.get(name, 0), error)
                if not error < TOLERANCE:
                    print(f"{weights.stem}, batch-norm {mode}, opset {opset}: {name} differs by {error:.1e} of the rms")
                    failed = True
    for name, error in worst.items():
        print(f"{name}: largest error {error:.1e} of the rms, {100 * error / TOLERANCE:.0f} % of the tolerance")
    return 1 if failed or not worst else 0


if __name__ == "__main__":
    sys.exit(main())
