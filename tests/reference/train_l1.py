#!/usr/bin/env python3
"""Trains an mDCSRN with L1 loss in PyTorch: how the first shipped weights were made (docs/notes/training-log.md).

    train_l1.py --data DIR --out RUN --steps 3000 [--resume | --start b4u4.bin] [--frozen-norm]

DIR holds high-resolution NIfTI scans. Each is degraded once (docs/spec.md section 6), in three axis orders so that
every anatomical plane is cut once. The learning rate warms up, stays, and decays linearly over the last part; a run can
be stopped (SIGTERM, Ctrl-C) and resumed, and --steps may be changed then. --frozen-norm trains with the running
batch-norm statistics held, which is exactly what `--batch-norm running` does at inference. --start begins with the
weights of a weights file, without its training's moments. --average keeps an exponential moving average of the
weights, which is what is validated and exported: with a batch of two, the last step's weights are noisy.
RUN gets last.pt (everything needed to resume), model.pt (the state_dict, for `srengine import`) and log.jsonl.
"""
import argparse
import copy
import json
import os
import signal
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import torch

from kspace_numpy import linear, sinc, truncate
from mdcsrn_torch import MDCSRN, Config, load_weights_file

AXIS_ORDERS = [(0, 1, 2), (1, 2, 0), (2, 0, 1)]


def foreground_mean(v):
    """The mean of the voxels above the volume's mean: a threshold-free measure of tissue intensity that background
    (whole head or skull-stripped, tight or wide field of view) hardly moves."""
    return float(v[v > v.mean()].mean())


def load(path, interpolation, cache):
    """[(input, target)] per axis order, divided by the input's foreground mean, float32."""
    done = cache / (path.name + f".{interpolation.__name__}.npz")
    if done.exists():
        z = np.load(done)
        return [(z[f"x{i}"], z[f"y{i}"]) for i in range(len(AXIS_ORDERS))]
    image = np.nan_to_num(np.asarray(nibabel.load(path).dataobj, dtype=np.float64))
    pairs = []
    for order in AXIS_ORDERS:
        high = image.transpose(order)
        low = interpolation(truncate(high, (2, 2, 1)), high.shape)
        b = foreground_mean(low)
        pairs.append(((low / b).astype(np.float32), (high / b).astype(np.float32)))
    np.savez(done, **{f"x{i}": p[0] for i, p in enumerate(pairs)}, **{f"y{i}": p[1] for i, p in enumerate(pairs)})
    return pairs


def add_noise(x, y, sd, rng):
    """White noise for the target and, for the input, what the centre of its k-space (j and i cut by two) holds of it: as
    if a noisier scan had been degraded. Without it a network trained on smooth scans takes the noise of others out of
    the frequencies that were measured, which no reference with that noise in it can reward."""
    noise = rng.normal(0, sd, y.shape).astype(np.float32)
    kspace = np.fft.fft2(noise)
    j, i = (np.abs(np.fft.fftfreq(n)) < 0.25 for n in y.shape[1:])
    kspace *= j[:, None] & i[None, :]
    return x + np.fft.ifft2(kspace).real.astype(np.float32), y + noise


def soften(x, y, sd):
    """Both under one Gaussian (sd in voxels): scans differ in how sharp they are, and what may be added to a soft one
    shows in the decay of the frequencies that were measured."""
    transfer = np.ones(())
    for axis, n in enumerate(y.shape):
        f = np.fft.fftfreq(n)
        along = np.exp(-2 * (np.pi * sd * f) ** 2)
        transfer = transfer * along.reshape([-1 if a == axis else 1 for a in range(3)])
    return tuple(np.fft.ifftn(np.fft.fftn(v) * transfer).real.astype(np.float32) for v in (x, y))


def draw(volumes, weights, batch, size, noise, blur, rng):
    xs, ys = [], []
    while len(xs) < batch:
        pairs = volumes[rng.choice(len(volumes), p=weights)]
        x, y = pairs[rng.integers(len(pairs))]
        at = [rng.integers(0, n - size + 1) for n in x.shape]
        box = tuple(slice(a, a + size) for a in at)
        px, py = x[box], y[box]
        if px.mean() < 0.15 and rng.random() < 0.9:  # mostly air: keep one in ten
            continue
        # The network sees [k][j][i] (i contiguous); flips keep the degraded axes degraded, and so does swapping i and j.
        px, py = px.transpose(2, 1, 0), py.transpose(2, 1, 0)
        for axis in range(3):
            if rng.random() < 0.5:
                px, py = np.flip(px, axis), np.flip(py, axis)
        if rng.random() < 0.5:
            px, py = px.swapaxes(1, 2), py.swapaxes(1, 2)
        if blur and rng.random() < 0.5:
            px, py = soften(px, py, blur * rng.random())
        if noise:
            px, py = add_noise(px, py, noise * rng.random(), rng)
        xs.append(px)
        ys.append(py)
    to = lambda v: torch.from_numpy(np.ascontiguousarray(np.stack(v))[:, None])
    return to(xs).contiguous(memory_format=torch.channels_last_3d), to(ys)


def center(v, size):
    box = tuple(slice(max(0, (n - size) // 2), max(0, (n - size) // 2) + min(n, size)) for n in v.shape)
    return torch.from_numpy(np.ascontiguousarray(v[box].transpose(2, 1, 0))[None, None])


def psnr(a, b, peak):
    return 10 * float(torch.log10(peak**2 / ((a - b) ** 2).mean()))


def learning_rate(step, args):
    up = min(1.0, (step + 1) / args.warm_up)
    down = min(1.0, (args.steps - step) / max(1, args.decay * args.steps))
    return args.lr * up * max(0.01, down)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--validation", default="", help="file name of the scan held out for validation")
    p.add_argument("--favour", default="", help="name=weight,... sampling weights of scans (default 1 each)")
    p.add_argument("--steps", type=int, default=3000)
    p.add_argument("--batch", type=int, default=2)
    p.add_argument("--patch", type=int, default=32)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--warm-up", type=int, default=50)
    p.add_argument("--decay", type=float, default=0.4, help="fraction of the steps over which the rate falls")
    p.add_argument("--blocks", type=int, default=4)
    p.add_argument("--growth", type=int, default=12)
    p.add_argument("--noise", type=float, default=0, help="largest sd of added noise, in foreground means; 0.08 say")
    p.add_argument("--blur", type=float, default=0, help="half of the patches are softened, sd up to this, in voxels")
    p.add_argument("--validate-every", type=int, default=200)
    p.add_argument("--input", choices=["linear", "sinc"], default="sinc")
    p.add_argument("--frozen-norm", action="store_true")
    p.add_argument("--average", type=float, default=0, help="decay of the weights' moving average, 0.99 say; 0: none")
    p.add_argument("--start", type=Path, help="weights file to begin with")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--resume", action="store_true")
    args = p.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    args.out.mkdir(parents=True, exist_ok=True)

    files = sorted(args.data.glob("*.nii.gz"))
    favour = dict(f.split("=") for f in args.favour.split(",") if f)
    interpolation = {"linear": linear, "sinc": sinc}[args.input]
    volumes, weights, validation = [], [], None
    for f in files:
        pairs = load(f, interpolation, args.out)
        if f.name == args.validation:
            validation = pairs
        else:
            volumes.append(pairs)
            weights.append(float(favour.get(f.name.split(".")[0], 1)))
        print(f"loaded {f.name} {pairs[0][0].shape}", file=sys.stderr, flush=True)
    weights = np.array(weights) / np.sum(weights)

    net = MDCSRN(Config(blocks=args.blocks, growth=args.growth, residual=True))
    net = net.to(memory_format=torch.channels_last_3d)  # 1.5x faster steps than the default layout on a CPU
    torch.nn.init.zeros_(net.combine.conv.weight)  # with the residual: training starts at its own input
    if args.start:
        load_weights_file(net, args.start)
    average = copy.deepcopy(net) if args.average else net
    optimiser = torch.optim.Adam(net.parameters(), lr=args.lr)
    step = 0
    if args.resume and (args.out / "last.pt").exists():
        s = torch.load(args.out / "last.pt")
        net.load_state_dict(s["net"])
        average.load_state_dict(s["average"])
        optimiser.load_state_dict(s["optimiser"])
        step = s["step"]
        rng.bit_generator.state = s["rng"]

    stop = []
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *a: stop.append(1))
    log = open(args.out / "log.jsonl", "a")

    def save():
        state = {"net": net.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(),
                 "step": step, "rng": rng.bit_generator.state}
        torch.save(state, args.out / "last.tmp")
        os.replace(args.out / "last.tmp", args.out / "last.pt")
        torch.save(average.state_dict(), args.out / "model.tmp")
        os.replace(args.out / "model.tmp", args.out / "model.pt")

    def validate():
        if validation is None:
            return {}
        x, y = (center(v, 96) for v in validation[0])
        with torch.no_grad():
            average.eval()
            r = {"psnr_input": psnr(x, y, float(y.max())), "psnr_running": psnr(average(x), y, float(y.max()))}
            average.train()
            saved = {k: v.clone() for k, v in average.state_dict().items()}
            r["psnr_patch"] = psnr(average(x), y, float(y.max()))
            average.load_state_dict(saved)  # a forward pass in train mode moved the running statistics
        return r

    losses, t0 = [], time.time()
    while step < args.steps and not stop:
        net.train(not args.frozen_norm)
        x, y = draw(volumes, weights, args.batch, args.patch, args.noise, args.blur, rng)
        for g in optimiser.param_groups:
            g["lr"] = learning_rate(step, args)
        loss = (net(x) - y).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        if args.average:
            with torch.no_grad():
                decay = min(args.average, step / (step + 10))  # short at first
                for a, w in zip(average.state_dict().values(), net.state_dict().values()):
                    if a.is_floating_point():
                        a.mul_(decay).add_(w, alpha=1 - decay)
        losses.append((float(loss), float((x - y).abs().mean())))
        if step % 50 == 0 or step == args.steps:
            l = np.mean(losses, 0)
            record = {"step": step, "l1": l[0], "l1_input": l[1], "gain": 1 - l[0] / l[1],
                      "lr": learning_rate(step, args), "s_per_step": (time.time() - t0) / len(losses)}
            if step % args.validate_every == 0 or step == args.steps:
                record.update(validate())
            print(json.dumps(record), file=log, flush=True)
            losses, t0 = [], time.time()
            save()
    save()


if __name__ == "__main__":
    main()
