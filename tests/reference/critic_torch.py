"""The critic of mDCSRN-GAN and WGAN-GP's loss in PyTorch, straightforward (docs/spec.md section 9).

Second-order gradients come from torch.autograd.grad(create_graph=True): what docs/wgan-gp.md derives by hand.
"""
import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.2
EPS = 1e-5


class SampleNorm(nn.Module):
    """Layer norm over (C, D, H, W) of each sample, with an affine per channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3, 4), keepdim=True)
        variance = x.var(dim=(1, 2, 3, 4), unbiased=False, keepdim=True)
        h = (x - mean) / torch.sqrt(variance + EPS)
        return self.weight.view(1, -1, 1, 1, 1) * h + self.bias.view(1, -1, 1, 1, 1)


class Critic(nn.Module):
    """patch: (d, h, w)."""

    def __init__(self, width, hidden, patch):
        super().__init__()
        widths = [width, width, 2 * width, 2 * width, 4 * width, 4 * width, 8 * width, 8 * width]
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        ci, size = 1, list(patch)
        for i, co in enumerate(widths):
            stride = 1 + i % 2
            self.convs.append(nn.Conv3d(ci, co, 3, stride=stride, padding=1, bias=i == 0))
            if i > 0:
                self.norms.append(SampleNorm(co))
            ci, size = co, [(n + stride - 1) // stride for n in size]
        self.dense0 = nn.Linear(ci * size[0] * size[1] * size[2], hidden)
        self.dense1 = nn.Linear(hidden, 1)

    def forward(self, x):
        x = F.leaky_relu(self.convs[0](x), SLOPE)
        for conv, norm in zip(self.convs[1:], self.norms):
            x = F.leaky_relu(norm(conv(x)), SLOPE)
        return self.dense1(F.leaky_relu(self.dense0(x.flatten(1)), SLOPE)).squeeze(1)

    def row(self):
        """Parameters in the order of engine/training/net_critic.h: of each layer weight, gamma, beta (or bias)."""
        rows = [self.convs[0].weight, self.convs[0].bias]
        for conv, norm in zip(self.convs[1:], self.norms):
            rows += [conv.weight, norm.weight, norm.bias]
        return rows + [self.dense0.weight, self.dense0.bias, self.dense1.weight, self.dense1.bias]


def critic_loss(critic, real, fake, epsilon, weight=10.0):
    """Loss, D(real), D(fake), norms of D's gradient between them."""
    e = epsilon.view(-1, 1, 1, 1, 1)
    between = (e * real + (1 - e) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norms = gradient.flatten(1).norm(dim=1)
    scores_real, scores_fake = critic(real), critic(fake)
    loss = scores_fake.mean() - scores_real.mean() + weight * ((norms - 1) ** 2).mean()
    return loss, scores_real, scores_fake, norms
