#!/usr/bin/env python3
"""Makes the golden file of tests/test_critic.cpp with PyTorch's double backward in float64.

    python3 tests/golden/critic/make_golden.py

critic.f32 holds, as little-endian float32: the critic's parameters; two reals, two fakes [z][y][x]; two epsilons.
critic.f64, as little-endian float64: two D(real), two D(fake), two norms of D's gradient, the penalty; the gradient of
the loss with respect to the parameters, and of it without the penalty; that of -0.1 mean of D(fake) with respect to
the fakes; and the parameters after three steps of Adam (rate 1e-3, betas 0 and 0.9).
"""
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "reference"))
from critic_torch import Critic, critic_loss  # noqa: E402

WIDTH, HIDDEN, PATCH = 2, 5, (16, 19, 17)


def row(tensors):
    return np.concatenate([t.detach().numpy().ravel() for t in tensors])


def main():
    torch.manual_seed(7)
    critic = Critic(WIDTH, HIDDEN, PATCH).double()
    with torch.no_grad():
        for p in critic.parameters():  # norms and biases that do something; numbers that float32 holds
            p += 0.1 * torch.randn(p.shape, dtype=torch.float64)
            p.copy_(p.float().double())
    rng = np.random.default_rng(3)
    fake = rng.normal(0.8, 0.5, (2, 1, *PATCH)).astype(np.float32)
    real = (fake + rng.normal(0, 0.4, fake.shape)).astype(np.float32)
    epsilon = np.array([0.25, 0.8125], np.float32)
    start = row(critic.row())
    tr, tf = (torch.from_numpy(v.astype(np.float64)) for v in (real, fake))
    te = torch.from_numpy(epsilon.astype(np.float64))

    loss, d_real, d_fake, norms = critic_loss(critic, tr, tf, te)
    penalty = 10 * ((norms - 1) ** 2).mean()
    gradient = row(torch.autograd.grad(loss, critic.row(), retain_graph=True))
    plain = row(torch.autograd.grad(loss - penalty, critic.row(), allow_unused=True))
    tf.requires_grad_()
    (of_fake,) = torch.autograd.grad(-0.1 * critic(tf).mean(), tf)
    tf = tf.detach()
    optimiser = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.9), eps=1e-8)
    for _ in range(3):
        optimiser.zero_grad()
        critic_loss(critic, tr, tf, te)[0].backward()
        optimiser.step()

    np.concatenate([start, real.ravel(), fake.ravel(), epsilon]).astype("<f4").tofile(HERE / "critic.f32")
    np.concatenate([row([d_real]), row([d_fake]), row([norms]), [penalty.item()], gradient, plain,
                    of_fake.numpy().ravel(), row(critic.row())]).astype("<f8").tofile(HERE / "critic.f64")
    print(len(start), "parameters; D(real)", row([d_real]), "D(fake)", row([d_fake]), "norms", row([norms]))


if __name__ == "__main__":
    main()
