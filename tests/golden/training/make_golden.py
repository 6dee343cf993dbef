#!/usr/bin/env python3
"""Makes the golden files of tests/test_train_engine.cpp with the PyTorch reference in float64.

    python3 tests/golden/training/make_golden.py

For each variant of tests/golden/network that is named here, NAME.f32 holds, as little-endian float32: two inputs and
two targets [z][y][x]; then rows of numbers, each the network's tensors in the order of their names: the gradient of the
mean absolute error with batch-norm in train mode, that with the running statistics frozen, the parameters after 1 and
after 20 steps of Adam at a rate of 1e-3, and the running statistics after those 20.
"""
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "reference"))
sys.path.insert(0, str(HERE.parent / "network"))
from make_golden import NETWORKS, SHAPE, VARIANTS, add_biases  # noqa: E402
from train_l1 import read_weights_file  # noqa: E402

NAMES = ["b1u1-k4", "b2u2-k4-always", "b2u2-k4-biases", "b2u2-k4-new-features-r", "b2u4-k4-auto",
         "fsrcnn-d8-s4-m2", "srresnet-b2-f8", "srdensenet-b1u3-k8-residual"]


def load(name):
    cfg, _, biases = VARIANTS[name]
    net = NETWORKS[type(cfg)](cfg).double()
    if biases:
        add_biases(net)
    net.load_state_dict(read_weights_file(HERE.parent / "network" / f"{name}.bin"), strict=False)
    return net


def row(tensors):
    return np.concatenate([np.empty(0), *(tensors[name].detach().numpy().ravel() for name in sorted(tensors))])


def gradient(net, x, y):
    net.zero_grad()
    (net(x) - y).abs().mean().backward()
    return row({n: p.grad for n, p in net.named_parameters()})


def main():
    for name in NAMES:
        rng = np.random.default_rng(len(name))
        x = rng.normal(1, 0.5, (2, 1, *SHAPE)).astype(np.float32)
        y = (x + rng.normal(0, 0.3, x.shape)).astype(np.float32)
        tx, ty = (torch.from_numpy(v.astype(np.float64)) for v in (x, y))
        rows = [x.ravel(), y.ravel(), gradient(load(name).train(), tx, ty), gradient(load(name).eval(), tx, ty)]
        net = load(name).train()
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
        for step in range(20):
            gradient(net, tx, ty)
            optimiser.step()
            if step in (0, 19):
                rows.append(row(dict(net.named_parameters())))
        rows.append(row({n: b for n, b in net.named_buffers() if b.is_floating_point()}))
        np.concatenate(rows).astype("<f4").tofile(HERE / f"{name}.f32")


if __name__ == "__main__":
    main()
