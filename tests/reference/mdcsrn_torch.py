"""The reference mDCSRN in PyTorch, as docs/spec.md section 2 defines it.

Straightforward on purpose: every concatenation is a torch.cat, every layer a stock module, so that it can be checked
against the paper by eye. Works in float32 and float64. Tensor names are those of the weights file
(docs/spec.md section 7), so a state_dict exports without renaming.
"""
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

from weights_file import read_model, read_tensors


@dataclass
class Config:
    blocks: int = 4  # B
    units: int = 4  # U, DenseUnits per block
    growth: int = 12  # k
    bottleneck: str = "auto"  # auto (c > 4k) | never | always
    trunk: str = "with-inputs"  # with-inputs: [O_1 .. O_i] | new-features: [x_1, all d]
    reconstruction: bool = False  # the "-r" variant
    residual: bool = False  # the output is added to the input
    eps: float = 1e-5
    compressor_bias: bool = False
    combine_bias: bool = False

    def unit_has_bottleneck(self, j):
        c = (2 + j) * self.growth
        return {"auto": c > 4 * self.growth, "never": False, "always": True}[self.bottleneck]

    def trunk_channels(self, n_blocks):
        k, U = self.growth, self.units
        return n_blocks * (2 + U) * k if self.trunk == "with-inputs" else (2 + n_blocks * U) * k


def conv(ci, co, size, bias=False):
    return nn.Conv3d(ci, co, size, padding=size // 2, bias=bias)


class NormAct(nn.Module):
    """elu(batch_norm(x)); holds only the norm so that the names read `<layer>.norm.weight`."""

    def __init__(self, c, eps):
        super().__init__()
        self.norm = nn.BatchNorm3d(c, eps=eps)

    def forward(self, x):
        return F.elu(self.norm(x))


class Bottleneck(NormAct):
    def __init__(self, c, k, eps):
        super().__init__(c, eps)
        self.conv = conv(c, 4 * k, 1)

    def forward(self, x):
        return self.conv(super().forward(x))


class DenseUnit(NormAct):
    def __init__(self, c, k, eps, bottleneck):
        super().__init__(4 * k if bottleneck else c, eps)
        if bottleneck:
            self.bottleneck = Bottleneck(c, k, eps)
        self.conv = conv(4 * k if bottleneck else c, k, 3)

    def forward(self, x):
        if hasattr(self, "bottleneck"):
            x = self.bottleneck(x)
        return self.conv(super().forward(x))


class DenseBlock(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        k = cfg.growth
        self.units = nn.ModuleList(
            DenseUnit((2 + j) * k, k, cfg.eps, cfg.unit_has_bottleneck(j)) for j in range(cfg.units)
        )

    def forward(self, x):
        features = [x]
        for unit in self.units:
            features.append(unit(torch.cat(features, 1)))
        return features[0], torch.cat(features[1:], 1)


class Layer(nn.Module):
    """A bare convolution under the name `<layer>.conv`."""

    def __init__(self, ci, co, size, bias=False):
        super().__init__()
        self.conv = conv(ci, co, size, bias)

    def forward(self, x):
        return self.conv(x)


class Reconstruction(NormAct):
    def __init__(self, c, k, eps):
        super().__init__(8 * k, eps)
        self.compress = Layer(c, 8 * k, 1)
        self.conv = conv(8 * k, 1, 3)

    def forward(self, x):
        return self.conv(super().forward(self.compress(x)))


class MDCSRN(nn.Module):
    def __init__(self, cfg=Config()):
        super().__init__()
        self.cfg = cfg
        k = cfg.growth
        self.stem = Layer(1, 2 * k, 3)
        self.blocks = nn.ModuleList(DenseBlock(cfg) for _ in range(cfg.blocks))
        self.compressors = nn.ModuleList(
            Layer(cfg.trunk_channels(i), 2 * k, 1, cfg.compressor_bias) for i in range(1, cfg.blocks)
        )
        c = cfg.trunk_channels(cfg.blocks)
        if cfg.reconstruction:
            self.reconstruction = Reconstruction(c, k, cfg.eps)
        else:
            self.combine = Layer(c, 1, 1, cfg.combine_bias)

    def forward(self, image):
        x = self.stem(image)
        trunk = []
        for i, block in enumerate(self.blocks):
            if i > 0:
                x = self.compressors[i - 1](torch.cat(trunk, 1))
            x, new = block(x)
            if self.cfg.trunk == "with-inputs" or i == 0:
                trunk.append(x)
            trunk.append(new)
        last = self.reconstruction if self.cfg.reconstruction else self.combine
        y = last(torch.cat(trunk, 1))
        return image + y if self.cfg.residual else y


def load_weights_file(net, path):
    """The tensors of a weights file, which must be the network's."""
    tensors = {name: torch.from_numpy(values) for name, values in read_tensors(path).items()}
    missing, unexpected = net.load_state_dict(tensors, strict=False)
    wrong = unexpected + [name for name in missing if not name.endswith("num_batches_tracked")]
    assert not wrong, f"{path} and this network differ: {wrong}"
    return net


def multiply_adds_per_voxel(net):
    """Stride is 1 everywhere, so the convolution weights are also the multiply-adds per voxel."""
    return sum(m.weight.numel() for m in net.modules() if isinstance(m, nn.Conv3d))


if __name__ == "__main__":
    expected = {  # docs/spec.md section 2
        "b4u4": (Config(), 225000),
        "b6u4": (Config(blocks=6), 347544),
        "b8u4": (Config(blocks=8), 477000),
        "b1u16-r": (Config(blocks=1, units=16, reconstruction=True), 343512),
        "b1u12-r": (Config(blocks=1, units=12, reconstruction=True), 240984),
        "b4u4-r": (Config(reconstruction=True), 254952),
        "b4u4 never": (Config(bottleneck="never"), 229032),
        "b6u4 never": (Config(blocks=6, bottleneck="never"), 353592),
        "b8u4 never": (Config(blocks=8, bottleneck="never"), 485064),
        "b4u4 k16 never": (Config(growth=16, bottleneck="never"), 406752),
    }
    for name, (cfg, weights) in expected.items():
        n = multiply_adds_per_voxel(MDCSRN(cfg))
        print(f"{name:16} {n:8d} {'ok' if n == weights else f'expected {weights}'}")
        assert n == weights, name
