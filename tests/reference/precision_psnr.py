#!/usr/bin/env python3
"""What the tensor-core precisions do to PSNR against the full-resolution scan: a simulation in PyTorch, no GPU needed.

    precision_psnr.py WEIGHTS.bin FOLDER [--region 64 64 48]

Each scan (*.nii.gz) of FOLDER is degraded 2x2x1 and brought back to its grid as the weights' `input` says. The reference
network runs over the middle of it, padded by its receptive field, with running batch-norm statistics. Rounded are the
values that kernels/cuda/conv3x3x3_tensor.cu and conv1x1x1_tensor_cuda.cu round, to nearest:

    features, as a layer stores them        f16 and bf16; tf32 stores float32
    what enters a tensor-core convolution   the operand type, after batch-norm and ELU in float32
    weights of a tensor-core convolution    the operand type

Products are summed in float32. The stem, the last layer and the image are float32; the last layer reads stored features.
Printed for each precision: PSNR, (what it is more than float32's, and the rms by which the result differs from float32's
as a share of the rms of what the network changes). Not simulated: the order of the sums, and how a tensor core cuts its
partial sums.
"""
import argparse
import time
from pathlib import Path

import nibabel
import numpy as np
import torch

from kspace_numpy import linear, sinc, truncate
from baselines_torch import from_weights_file
from train_l1 import foreground_mean
from weights_file import read_model


def to_tf32(x):
    """The nearest value of 10 bits of mantissa, ties away from zero: TensorOperand of kernels/cuda/tensor.cuh."""
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def same(x):
    return x


def to_f16(x):
    return x.to(torch.float16).float()


def to_bf16(x):
    return x.to(torch.bfloat16).float()


# precision: (rounding of stored features, rounding of operands)
PRECISIONS = {"fp32": (same, same), "tf32": (same, to_tf32), "f16": (to_f16, to_f16), "bf16": (to_bf16, to_bf16)}


def network(path, precision):
    """The reference network that computes as the kernels of a precision do."""
    store, operand = PRECISIONS[precision]
    net = from_weights_file(path)
    net.eval()
    convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv3d)]
    for conv in convs:
        if conv.in_channels > 1 and conv.out_channels > 1:  # on tensor cores
            with torch.no_grad():
                conv.weight.copy_(operand(conv.weight))
            conv.register_forward_pre_hook(lambda _, x: (operand(x[0]),))
        if conv.out_channels > 1:
            conv.register_forward_hook(lambda _, x, y: store(y))
    return net


def check_rounding():
    x = torch.randn(10000)
    for _, operand in PRECISIONS.values():
        assert torch.equal(operand(operand(x)), operand(x))
    tf32 = to_tf32(torch.tensor([1.0, 1 + 2.0**-10, 1 + 2.0**-11, -1 - 2.0**-11, 1 + 2.0**-12]))
    assert tf32.tolist() == [1.0, 1 + 2.0**-10, 1 + 2.0**-10, -1 - 2.0**-10, 1.0]


def middle(shape, region, margin):
    """Slices of the region in the middle and of the same with its margin."""
    size = [min(n - 2 * margin, r) for n, r in zip(shape, region)]
    first = [(n - s) // 2 for n, s in zip(shape, size)]
    assert min(size) > 0, f"a scan of {shape} is too small"
    inner = tuple(slice(f, f + s) for f, s in zip(first, size))
    outer = tuple(slice(f - margin, f + s + margin) for f, s in zip(first, size))
    return inner, outer


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weights", type=Path)
    p.add_argument("scans", type=Path, metavar="FOLDER")
    p.add_argument("--region", type=int, nargs=3, default=(64, 64, 48), metavar=("I", "J", "K"))
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--bar", type=float, default=0.02, help="dB that a precision may change; more is exit code 1")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    check_rounding()

    model, normalization = read_model(args.weights)
    assert normalization["kind"] == "foreground" and model["architecture"] == "mdcsrn", "not simulated"
    interpolation = {"linear": linear, "sinc": sinc}[model["input"]]
    margin = 1 + model["blocks"] * model["units"] + model["reconstruction"]  # 3x3x3 convolutions one after another
    nets = {precision: network(args.weights, precision) for precision in PRECISIONS}

    worst = 0.0
    begin = time.time()
    print("| scan, PSNR (dB) of the region | input | " + " | ".join(PRECISIONS) + " |")
    print("| --- |" + " --- |" * (1 + len(PRECISIONS)))
    for path in sorted(args.scans.glob("*.nii.gz")):
        high = np.nan_to_num(np.asarray(nibabel.load(path).dataobj, dtype=np.float64))
        low = interpolation(truncate(high, (2, 2, 1)), high.shape)
        b = foreground_mean(low)
        inner, outer = middle(high.shape, args.region, margin)
        target = high[inner]
        x = torch.from_numpy(np.ascontiguousarray((low[outer] / b).astype(np.float32).transpose(2, 1, 0))[None, None])

        def psnr(v):
            return 10 * np.log10((high.max() - high.min()) ** 2 / np.mean((v - target) ** 2))

        row, reference = f"| {path.name.split('.')[0]} | {psnr(low[inner]):.3f} |", None
        for precision, net in nets.items():
            with torch.inference_mode():
                y = net(x)[0, 0].numpy().astype(np.float64).transpose(2, 1, 0)
            y = y[(slice(margin, -margin),) * 3] * b
            db = psnr(y)
            if reference is None:
                reference, fp32 = y, db
                row += f" {db:.4f} |"
            else:
                worst = max(worst, abs(db - fp32))
                change = np.linalg.norm(y - reference) / np.linalg.norm(reference - low[inner])
                row += f" {db:.4f} ({db - fp32:+.5f}, {change:.1e}) |"
        print(row, flush=True)
    print(f"largest change {worst:.4f} dB, allowed {args.bar}; {time.time() - begin:.0f} s")
    return 0 if worst < args.bar else 1


if __name__ == "__main__":
    raise SystemExit(main())
