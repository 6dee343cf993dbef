#!/usr/bin/env python3
"""Makes the golden files of tests/test_network.cpp with the PyTorch reference in float64.

    python3 tests/golden/network/make_golden.py

For each variant NAME.bin is a weights file (docs/weights-format.md) and NAME.f64 holds, as little-endian float64, one
volume [z][y][x] and its restorations with batch-norm patch, running and scan, in patches of 8x8x8 with a margin of 1.
"""
import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "reference"))
from baselines_torch import FSRCNN, FSRCNNConfig, SRDenseNet, SRDenseNetConfig, SRResNet, SRResNetConfig  # noqa: E402
from mdcsrn_torch import MDCSRN, Config  # noqa: E402

SHAPE, PATCH, MARGIN = (9, 10, 13), 8, 1

VARIANTS = {  # name: (config, normalization, bias on every convolution)
    "b1u1-k4": (Config(1, 1, 4), {"kind": "none"}, False),
    "b2u4-k4-auto": (Config(2, 4, 4), {"kind": "none"}, False),
    "b2u2-k4-always": (Config(2, 2, 4, "always"), {"kind": "scale", "by": 3.0}, False),
    "b2u4-k4-never": (Config(2, 4, 4, "never"), {"kind": "none"}, False),
    "b1u2-k12": (Config(1, 2, 12), {"kind": "zscore"}, False),
    "b1u2-k16": (Config(1, 2, 16), {"kind": "foreground"}, False),
    "b2u2-k8-residual": (Config(2, 2, 8, residual=True, eps=1e-3), {"kind": "zscore"}, False),
    "b2u2-k4-r": (Config(2, 2, 4, reconstruction=True), {"kind": "none"}, False),
    "b1u5-k4-r-residual": (Config(1, 5, 4, reconstruction=True, residual=True), {"kind": "percentile", "by": 90.0}, False),
    "b3u2-k4-new-features": (Config(3, 2, 4, trunk="new-features"), {"kind": "none"}, False),
    "b2u2-k4-new-features-r": (Config(2, 2, 4, trunk="new-features", reconstruction=True), {"kind": "none"}, False),
    "b2u2-k4-biases": (Config(2, 2, 4, compressor_bias=True, combine_bias=True), {"kind": "none"}, True),
    "fsrcnn-d8-s4-m2": (FSRCNNConfig(8, 4, 2), {"kind": "none"}, False),
    "fsrcnn-d12-s5-m1-residual": (FSRCNNConfig(12, 5, 1, residual=True), {"kind": "foreground"}, False),
    "srresnet-b2-f8": (SRResNetConfig(2, 8), {"kind": "none"}, False),
    "srresnet-b1-f12-residual": (SRResNetConfig(1, 12, residual=True, eps=1e-3), {"kind": "zscore"}, False),
    "srdensenet-b3u2-k4": (SRDenseNetConfig(3, 2, 4), {"kind": "none"}, False),
    "srdensenet-b1u3-k8-residual": (SRDenseNetConfig(1, 3, 8, residual=True), {"kind": "zscore"}, False),
}
NETWORKS = {Config: MDCSRN, FSRCNNConfig: FSRCNN, SRResNetConfig: SRResNet, SRDenseNetConfig: SRDenseNet}


def description(cfg):
    """The model object of the weights file (docs/weights-format.md)."""
    if isinstance(cfg, Config):
        return {"architecture": "mdcsrn", "blocks": cfg.blocks, "units": cfg.units, "growth": cfg.growth,
                "bottleneck": cfg.bottleneck, "trunk": cfg.trunk, "reconstruction": cfg.reconstruction,
                "residual": cfg.residual, "input": "linear", "norm_eps": cfg.eps, "batch_norm": "patch",
                "activation": "elu"}
    return {**cfg.description(), "residual": cfg.residual, "input": "linear"}


def randomise(net, rng):
    """Lively numbers that float32 holds exactly: the float64 reference and the engine then mean the same network."""
    for name, t in net.state_dict().items():
        if not t.is_floating_point():
            continue
        if name.endswith("running_var") or (".norm." in name and name.endswith("weight")):
            v = rng.uniform(0.5, 1.5, t.shape)
        elif t.ndim > 1:
            v = rng.normal(0, np.sqrt(2 / t[0].numel()), t.shape)
        else:
            v = rng.uniform(-0.3, 0.3, t.shape)
        t.copy_(torch.from_numpy(v.astype(np.float32).astype(np.float64)))


def add_biases(net):
    for m in net.modules():
        if isinstance(m, torch.nn.Conv3d) and m.bias is None:
            m.bias = torch.nn.Parameter(torch.zeros(m.out_channels, dtype=torch.float64))


def save_weights(path, cfg, normalization, net):
    tensors = {k: v.numpy().astype("<f4") for k, v in net.state_dict().items() if v.is_floating_point()}
    header, offset = {}, 0
    for k, v in tensors.items():
        header[k] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [offset, offset + v.nbytes]}
        offset += v.nbytes
    data = b"".join(v.tobytes() for v in tensors.values())
    header["__metadata__"] = {
        "srengine.format": "1",
        "srengine.model": json.dumps(description(cfg)),
        "srengine.normalization": json.dumps(normalization),
        "srengine.provenance": json.dumps({"trained": "random numbers, for tests"}),
        "srengine.sha256": hashlib.sha256(data).hexdigest(),
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def intensity(rule, v):
    """a and b of x' = (x - a) / b."""
    if rule["kind"] == "scale":
        return 0.0, rule["by"]
    if rule["kind"] == "zscore":
        return v.mean(), v.std()
    if rule["kind"] == "foreground":
        return 0.0, v[v > v.mean()].mean()
    if rule["kind"] == "percentile":
        return 0.0, np.percentile(v, rule["by"])
    return 0.0, 1.0


def patches(shape):
    """Origins of the patches: stride PATCH - 2 MARGIN from -MARGIN on, so that the interiors tile the volume."""
    stride = PATCH - 2 * MARGIN
    axes = [[i * stride - MARGIN for i in range((n + stride - 1) // stride)] for n in shape]
    return [(z, y, x) for z in axes[0] for y in axes[1] for x in axes[2]]


def gather(v, origin):
    patch = np.zeros((PATCH,) * 3)
    inside = [(max(o, 0), min(o + PATCH, n)) for o, n in zip(origin, v.shape)]
    patch[tuple(slice(a - o, b - o) for (a, b), o in zip(inside, origin))] = v[tuple(slice(a, b) for a, b in inside)]
    return torch.from_numpy(patch)[None, None]


def restore(net, v, rule, mode):
    a, b = intensity(rule, v)
    x = (v - a) / b
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    state = {k: t.clone() for k, t in net.state_dict().items()}
    net.train(mode != "running")

    if mode == "scan":  # a first pass gathers what each norm meets in all patches, then it is held
        sums = {m: [0.0, 0.0, 0] for m in norms}

        def gather_sums(m, inputs):
            t = inputs[0]
            sums[m][0] = sums[m][0] + t.sum((0, 2, 3, 4))
            sums[m][1] = sums[m][1] + (t * t).sum((0, 2, 3, 4))
            sums[m][2] += t.numel() // t.shape[1]

        hooks = [m.register_forward_pre_hook(gather_sums) for m in norms]
        for origin in patches(x.shape):
            net(gather(x, origin))
        for h in hooks:
            h.remove()
        for m, (s, q, n) in sums.items():
            m.running_mean.copy_(s / n)
            m.running_var.copy_(q / n - (s / n) ** 2)
        net.eval()

    out = np.full(v.shape, np.nan)
    for origin in patches(x.shape):
        y = net(gather(x, origin))[0, 0].numpy()
        for z in range(MARGIN, PATCH - MARGIN):
            for yy in range(MARGIN, PATCH - MARGIN):
                for xx in range(MARGIN, PATCH - MARGIN):
                    at = (origin[0] + z, origin[1] + yy, origin[2] + xx)
                    if all(i < n for i, n in zip(at, v.shape)):
                        out[at] = y[z, yy, xx]
    net.load_state_dict(state)
    assert np.isfinite(out).all()
    return out * b + a


@torch.no_grad()
def main():
    for number, (name, (cfg, rule, biases)) in enumerate(VARIANTS.items()):
        rng = np.random.default_rng(number)
        net = NETWORKS[type(cfg)](cfg).double()
        if biases:
            add_biases(net)
        randomise(net, rng)
        save_weights(HERE / f"{name}.bin", cfg, rule, net)
        z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
        v = 2 + np.sin(0.9 * x) * np.cos(0.7 * y) + np.cos(0.5 * z + 0.3 * x) + rng.normal(0, 0.2, SHAPE)
        v = v.astype(np.float32).astype(np.float64)
        arrays = [v] + [restore(net, v, rule, mode) for mode in ("patch", "running", "scan")]
        (HERE / f"{name}.f64").write_bytes(b"".join(a.astype("<f8").tobytes() for a in arrays))
        print(f"{name:24} output rms {np.sqrt((arrays[1] ** 2).mean()):.3f}")


if __name__ == "__main__":
    main()
