#!/usr/bin/env python3
"""Times PyTorch and TensorRT on a GPU: the network that `srengine bench --device cuda` times, on the same patch.

    python3 bench/peers/mdcsrn_gpu_peers.py --model b8u4 --json peers.json

fp32, tf32, and f16 and bf16 under autocast; eager in the planar and the channels-last layout, torch.compile (minutes
each) in the latter; cudnn.benchmark on. TensorRT (10 or 11, where `import tensorrt` works) gets the network as ONNX, in
half precision throughout for f16; bf16 is left out. Every answer is compared with float64 before it is timed. Rows are
written to the JSON file one by one.
"""
import argparse
import contextlib
import inspect
import json
import re
import statistics
import sys
import tempfile
import warnings
from pathlib import Path

import torch

from common import smooth_patch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "reference"))
from mdcsrn_torch import MDCSRN, Config  # noqa: E402

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


def parse_model(name):
    """b4u4, b8u4, b1u16-r, b4u4,k=16: the names of `srengine bench --model`, as far as the paper has them."""
    match = re.fullmatch(r"b(\d+)u(\d+)(-r)?(?:,k=(\d+))?", name)
    if not match:
        raise SystemExit(f"{name}: no model; b4u4, b8u4, b1u16-r or b4u4,k=16 are")
    blocks, units, r, k = match.groups()
    return Config(int(blocks), int(units), int(k or 12), reconstruction=bool(r))


def with_instance_norm(net):
    """The same function of one patch, in an operation that every exporter and runtime has for inference."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.BatchNorm3d):
                norm = torch.nn.InstanceNorm3d(child.num_features, eps=child.eps, affine=True)
                norm.load_state_dict({"weight": child.weight, "bias": child.bias})
                setattr(parent, name, norm)
    return net


def export_onnx(config, net, path, x):
    """For patches of x's shape and type (`srengine export` writes float32 only), with instance norm."""
    copy = MDCSRN(config)
    copy.load_state_dict(net.state_dict())
    copy = with_instance_norm(copy).eval()
    # The older exporter, where a release has two: the newer one needs packages of its own.
    older = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(copy.to(x.device, x.dtype), x, str(path), opset_version=13, input_names=["x"],
                          output_names=["y"], **older)


class TensorRt:
    """An engine for one patch of x's shape."""

    def __init__(self, config, net, x, precision):
        import tensorrt as trt

        self.x = x.half() if precision == "f16" else x
        logger = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(logger)
        # Tensors have the types that ONNX gives them; TensorRT 11 has no other networks and ignores the flag.
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            export_onnx(config, net, path, self.x)
            if not parser.parse_from_file(str(path)):
                raise RuntimeError(parser.get_error(0).desc())
        settings = builder.create_builder_config()
        if precision != "tf32":
            settings.clear_flag(trt.BuilderFlag.TF32)  # set by default
        plan = builder.build_serialized_network(network, settings)
        if plan is None:
            raise RuntimeError("no engine could be built")
        self.runtime = trt.Runtime(logger)
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        self.context = self.engine.create_execution_context()
        self.y = torch.empty_like(self.x)
        self.context.set_tensor_address("x", self.x.data_ptr())
        self.context.set_tensor_address("y", self.y.data_ptr())

    def __call__(self, _):
        if not self.context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("the engine did not run")
        return self.y


def tensorrt_version():
    """None, with a line that says why, where there is no TensorRT."""
    try:
        import tensorrt

        return tensorrt.__version__
    except Exception as e:  # libraries that do not load are as good as none
        print(f"TensorRT is not timed: {type(e).__name__}: {e}".splitlines()[0], file=sys.stderr)
        return None


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
    torch.cuda.set_stream(torch.cuda.Stream())  # on the default one TensorRT waits for the whole device
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    config = parse_model(a.model)
    net = MDCSRN(config).train().cuda()  # batch-norm over the patch
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    x = torch.from_numpy(smooth_patch(a.patch)).cuda()
    expected = net.double()(x.double())
    net.float()
    rms = expected.square().mean().sqrt()

    planar, channels_last = torch.contiguous_format, torch.channels_last_3d
    kinds = [("eager", planar), ("eager", channels_last)]
    trt_version = None if a.quick else tensorrt_version()
    if trt_version:
        kinds.append(("tensorrt", planar))
    if not a.quick:
        kinds.append(("compile", channels_last))
    rows = []
    for precision in ("fp32",) if a.quick else ("fp32", "tf32", "f16", "bf16"):
        for mode, layout in kinds:
            if mode == "tensorrt" and precision == "bf16":
                continue
            name = f"{precision} {mode} {'planar' if layout == planar else 'channels-last'}"
            try:
                torch._dynamo.reset()  # or what was compiled before fills its cache, and this would run eagerly
                model = net.to(memory_format=layout)
                patch = x.to(memory_format=layout)
                run = (TensorRt(config, net, patch, precision) if mode == "tensorrt"
                       else torch.compile(model, dynamic=False) if mode == "compile" else model)
                with arithmetic(precision):
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
                Path(a.json).write_text(json.dumps({"torch": torch.__version__, "tensorrt": trt_version,
                                                    "gpu": torch.cuda.get_device_name(), "model": a.model,
                                                    "patch": a.patch, "rows": rows}, indent=1))
    if not rows:
        raise SystemExit("no peer could be timed")


if __name__ == "__main__":
    main()
