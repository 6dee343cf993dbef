"""The paper's baselines in PyTorch, as docs/spec.md section 5 defines them: FSRCNN, SRResNet and SRDenseNet in three
dimensions, without their up-sampling.

Straightforward on purpose, like mdcsrn_torch.py. Tensor names are those of the weights file. Wherever a description
holds back, the paper's size is the default.
"""
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

from mdcsrn_torch import Layer, conv, multiply_adds_per_voxel


class PReLUConv(nn.Module):
    def __init__(self, ci, co, size, bias=False):
        super().__init__()
        self.prelu = nn.PReLU(ci)
        self.conv = conv(ci, co, size, bias)

    def forward(self, x):
        return self.conv(self.prelu(x))


class ConvNorm(nn.Module):
    def __init__(self, f, eps):
        super().__init__()
        self.conv = conv(f, f, 3)
        self.norm = nn.BatchNorm3d(f, eps=eps)

    def forward(self, x):
        return self.norm(self.conv(x))


@dataclass
class FSRCNNConfig:
    features: int = 56  # d
    shrink: int = 12  # s
    mapping_layers: int = 4  # m
    residual: bool = False

    def description(self):
        return {"architecture": "fsrcnn", "features": self.features, "shrink": self.shrink,
                "mapping_layers": self.mapping_layers, "activation": "prelu"}


class FSRCNN(nn.Module):
    def __init__(self, cfg=FSRCNNConfig()):
        super().__init__()
        self.cfg = cfg
        d, s = cfg.features, cfg.shrink
        self.extract = Layer(1, d, 5, bias=True)
        self.shrink = PReLUConv(d, s, 1, bias=True)
        self.mapping = nn.ModuleList(PReLUConv(s, s, 3, bias=True) for _ in range(cfg.mapping_layers))
        self.expand = PReLUConv(s, d, 1, bias=True)
        self.reconstruct = PReLUConv(d, 1, 9, bias=True)

    def forward(self, image):
        x = self.shrink(self.extract(image))
        for layer in self.mapping:
            x = layer(x)
        y = self.reconstruct(self.expand(x))
        return image + y if self.cfg.residual else y


@dataclass
class SRResNetConfig:
    blocks: int = 16
    features: int = 64
    residual: bool = False
    eps: float = 1e-5

    def description(self):
        return {"architecture": "srresnet", "blocks": self.blocks, "features": self.features, "norm_eps": self.eps,
                "batch_norm": "patch", "activation": "prelu"}


class Head(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.conv = conv(1, f, 9, bias=True)
        self.prelu = nn.PReLU(f)

    def forward(self, x):
        return self.prelu(self.conv(x))


class SecondHalf(nn.Module):
    def __init__(self, f, eps):
        super().__init__()
        self.prelu = nn.PReLU(f)
        self.conv = conv(f, f, 3)
        self.norm = nn.BatchNorm3d(f, eps=eps)

    def forward(self, x):
        return self.norm(self.conv(self.prelu(x)))


class SRResNet(nn.Module):
    def __init__(self, cfg=SRResNetConfig()):
        super().__init__()
        self.cfg = cfg
        f = cfg.features
        self.head = Head(f)
        self.blocks = nn.ModuleList(nn.Sequential(ConvNorm(f, cfg.eps), SecondHalf(f, cfg.eps))
                                    for _ in range(cfg.blocks))
        self.trunk = ConvNorm(f, cfg.eps)
        self.tail = nn.ModuleList([Layer(f, f, 3), PReLUConv(f, f, 3)])
        self.reconstruct = PReLUConv(f, 1, 9, bias=True)

    def forward(self, image):
        first = x = self.head(image)
        for block in self.blocks:
            x = x + block(x)
        x = first + self.trunk(x)
        for layer in self.tail:
            x = layer(x)
        y = self.reconstruct(x)
        return image + y if self.cfg.residual else y


@dataclass
class SRDenseNetConfig:
    blocks: int = 8
    units: int = 4
    growth: int = 12
    residual: bool = False

    def description(self):
        return {"architecture": "srdensenet", "blocks": self.blocks, "units": self.units, "growth": self.growth,
                "activation": "elu"}


class PlainBlock(nn.Module):
    """Units of ELU and convolution, each reading the block's input and the units before it; only what they append
    leaves the block."""

    def __init__(self, ci, units, k):
        super().__init__()
        self.units = nn.ModuleList(Layer(ci + j * k, k, 3) for j in range(units))

    def forward(self, x):
        features = [x]
        for unit in self.units:
            features.append(unit(F.elu(torch.cat(features, 1))))
        return torch.cat(features[1:], 1)


class SRDenseNet(nn.Module):
    def __init__(self, cfg=SRDenseNetConfig()):
        super().__init__()
        self.cfg = cfg
        k, block = cfg.growth, cfg.units * cfg.growth
        self.stem = Layer(1, 2 * k, 3)
        self.blocks = nn.ModuleList(PlainBlock(2 * k if i == 0 else block, cfg.units, k) for i in range(cfg.blocks))
        self.compress = Layer(2 * k + cfg.blocks * block, 8 * k, 1)
        self.tail = nn.ModuleList(Layer(8 * k, 8 * k, 3) for _ in range(2))
        self.reconstruct = Layer(8 * k, 1, 3)

    def forward(self, image):
        x = self.stem(image)
        trunk = [x]
        for block in self.blocks:
            x = block(x)
            trunk.append(x)
        x = self.compress(torch.cat(trunk, 1))
        for layer in self.tail:
            x = F.elu(layer(x))
        y = self.reconstruct(x)
        return image + y if self.cfg.residual else y


if __name__ == "__main__":
    for net in (FSRCNN(), SRResNet(), SRDenseNet()):
        print(f"{type(net).__name__:12} {multiply_adds_per_voxel(net):9,d} multiply-adds per voxel, "
              f"{sum(p.numel() for p in net.parameters()):9,d} parameters")
