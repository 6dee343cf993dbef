"""Writes the checkpoints that tests/test_import.cpp and tests/test_pickle.cpp read, and what they must become.

    /usr/bin/python3 tests/golden/import/make_checkpoints.py        (PyTorch 1.13 and NumPy, from apt)

Each network is tiny and its numbers come from a fixed seed. A file NAME.safetensors beside a checkpoint holds the
tensors under the names of weights/schema.h that the import must give: written here, by hand, from the modules, not by
the importer. The values are multiples of 1/1024 so that folding sums are exact.
"""
import collections
import json
import pathlib
import struct
import sys

import numpy as np
import torch
import torch.nn as nn

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parents[1] / "reference"))
from mdcsrn_torch import Config, MDCSRN  # noqa: E402


def write_safetensors(path, arrays, sort_names=False):
    """The container by its specification; the package itself is not in Debian 12."""
    header, offset = {}, 0
    for name in sorted(arrays) if sort_names else arrays:
        a = arrays[name]
        header[name] = {"dtype": {"f": "F"}[a.dtype.kind] + str(8 * a.itemsize), "shape": list(a.shape),
                        "data_offsets": [offset, offset + a.nbytes]}
        offset += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in header:
            f.write(np.ascontiguousarray(arrays[name]).tobytes())


def randomise(net, seed):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, t in net.state_dict().items():
            if not t.dtype.is_floating_point:
                continue
            t.copy_(torch.randint(-1024, 1025, t.shape, generator=g).float() / 1024)
            if name.endswith("var"):
                t.abs_().add_(0.25)
    return net


def numpy_state(state):
    return {n: t.detach().numpy() for n, t in state.items() if t.dtype.is_floating_point}


def reference(seed=1, **kwargs):
    return randomise(MDCSRN(Config(**kwargs)), seed)


def expect(name, arrays):
    write_safetensors(here / f"{name}.expected.safetensors", arrays)


# --- networks under our own names, in every container


def own_names():
    net = reference(blocks=2, units=2, growth=2)
    state = net.state_dict()
    torch.save(state, here / "own_zip.pt")
    torch.save(state, here / "own_protocol4.pt", pickle_protocol=4)
    torch.save(state, here / "own_stream.pth", _use_new_zipfile_serialization=False)
    write_safetensors(here / "own_sorted.safetensors", numpy_state(state), sort_names=True)
    np.savez(here / "own.npz", **numpy_state(state))
    np.savez_compressed(here / "own_compressed.npz", **{n: np.asfortranarray(a) for n, a in numpy_state(state).items()})
    big = {n: a.astype(">f8") for n, a in numpy_state(state).items()}
    np.savez(here / "own_big_endian.npz", **big)
    half = {n: t.half() if t.dtype.is_floating_point else t for n, t in state.items()}
    torch.save(half, here / "own_half.pt")
    torch.save(nn.ModuleDict({"module": net}).state_dict(), here / "own_parallel.pt")  # as DataParallel names them
    # What a training program really writes: the state_dict among other things, an optimizer with tensors of its own.
    optimizer = torch.optim.Adam(net.parameters())
    sum(p.sum() for p in net.parameters()).backward()
    optimizer.step()
    net = randomise(net, 1)
    torch.save({"epoch": 3, "loss": 0.5, "best": None, "args": {"lr": 1e-4, "name": "x"}, "history": [1, 2.5],
                "seed": 2**80, "generator": net.state_dict(), "optimizer": optimizer.state_dict(),
                "discriminator": nn.Conv3d(1, 4, 3).state_dict()}, here / "own_nested.pt")
    torch.save({"model": net.state_dict(), "ema": net.state_dict()}, here / "own_twice.pt")
    # Views: transposed and offset tensors share one storage with a stride each.
    pool = torch.zeros(4096)
    views, at = collections.OrderedDict(), 0
    for n, t in state.items():
        if not t.dtype.is_floating_point:
            continue
        if t.dim() == 5:
            views[n] = t.permute(4, 1, 0, 3, 2).contiguous().permute(2, 1, 4, 3, 0)
        else:
            views[n] = pool[at:at + 3 * t.numel():3]
            views[n].copy_(t)
            at += 3 * t.numel()
    torch.save(views, here / "own_views.pt")
    torch.save(views, here / "own_views_stream.pth", _use_new_zipfile_serialization=False)
    torch.save(collections.OrderedDict((n, nn.Parameter(t) if t.dtype.is_floating_point else t)
                                       for n, t in state.items()), here / "own_parameters.pt")
    expect("own", numpy_state(state))


def own_variants():
    for name, kwargs in {
        "auto": dict(blocks=1, units=5, growth=2),
        "always": dict(blocks=2, units=3, growth=2, bottleneck="always"),
        "never": dict(blocks=1, units=4, growth=2, bottleneck="never"),
        "r": dict(blocks=1, units=2, growth=2, reconstruction=True),
        "new_features": dict(blocks=3, units=1, growth=2, trunk="new-features"),
        "biases": dict(blocks=2, units=1, growth=2, compressor_bias=True, combine_bias=True),
    }.items():
        state = reference(seed=7, **kwargs).state_dict()
        torch.save(state, here / f"variant_{name}.pt")
        expect(f"variant_{name}", numpy_state(state))


# --- networks as other people name them: only modules, no forward pass is needed


def bn(c):
    return nn.BatchNorm3d(c)


def conv3(ci, co, bias=False):
    return nn.Conv3d(ci, co, 3, padding=1, bias=bias)


def conv1(ci, co, bias=False):
    return nn.Conv3d(ci, co, 1, bias=bias)


def rename(net, pairs):
    """Expected tensors: pairs of (module there, layer here)."""
    arrays, state = {}, net.state_dict()
    for there, ours in pairs:
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            if f"{there}.{leaf}" in state:
                arrays[f"{ours}.{leaf}"] = state[f"{there}.{leaf}"].numpy()
    return arrays


def foreign_public(B=3, U=2, k=2):
    """The public checkpoint's names and its trunk: the stem stands twice."""
    net, pairs, trunk = nn.Module(), [("conv0", "stem.conv")], 2 * k
    net.conv0 = conv3(1, 2 * k)
    for i in range(B):
        block = nn.Module()
        for j in range(U):
            layer = nn.Module()
            layer.norm, layer.conv = bn((2 + j) * k), conv3((2 + j) * k, k)
            setattr(block, f"denselayer{j + 1}", layer)
            pairs += [(f"block{i}.denselayer{j + 1}.{m}", f"blocks.{i}.units.{j}.{m}") for m in ("norm", "conv")]
        setattr(net, f"block{i}", block)
        trunk += (2 + U) * k
        if i < B - 1:
            setattr(net, f"comp{i}", conv1(trunk, 2 * k))
            pairs += [(f"comp{i}", f"compressors.{i}.conv")]
    net.recon = conv1(trunk, 1)
    pairs += [("recon", "combine.conv")]
    randomise(net, 11)
    torch.save(net.state_dict(), here / "foreign_public.pth", _use_new_zipfile_serialization=False)
    arrays = rename(net, pairs)
    for name in [f"compressors.{i}.conv.weight" for i in range(B - 1)] + ["combine.conv.weight"]:
        w = arrays[name]
        arrays[name] = np.concatenate([w[:, :2 * k] + w[:, 2 * k:4 * k], w[:, 4 * k:]], 1)
    expect("foreign_public", arrays)


def foreign_registration(B=2, U=7, k=2):
    """Every list of modules apart, norms after convolutions, reconstruction first, bottlenecks with norms of 4k and 8k
    channels that occur everywhere: what order alone would get wrong."""
    net, pairs = nn.Module(), []
    T = lambda n: n * (2 + U) * k
    net.rec_squeeze, net.rec_out, net.rec_bn = conv1(T(B), 8 * k), conv3(8 * k, 1), bn(8 * k)
    pairs += [("rec_squeeze", "reconstruction.compress.conv"), ("rec_out", "reconstruction.conv"),
              ("rec_bn", "reconstruction.norm")]
    net.squeezes = nn.ModuleList(conv1(T(i + 1), 2 * k, bias=True) for i in range(B - 1))
    pairs += [(f"squeezes.{i}", f"compressors.{i}.conv") for i in range(B - 1)]
    net.stages = nn.ModuleList()
    for i in range(B):
        stage = nn.Module()
        stage.layers = nn.ModuleList()
        for j in range(U):
            c = (2 + j) * k
            layer, ours, there = nn.Module(), f"blocks.{i}.units.{j}", f"stages.{i}.layers.{j}"
            layer.conv, layer.norm = conv3(4 * k, k), bn(4 * k)
            layer.bottleneck_conv, layer.bottleneck_norm = conv1(c, 4 * k), bn(c)
            stage.layers.append(layer)
            pairs += [(f"{there}.{m}", f"{ours}.{m}") for m in ("norm", "conv")]
            pairs += [(f"{there}.bottleneck_{m}", f"{ours}.bottleneck.{m}") for m in ("norm", "conv")]
        net.stages.append(stage)
    net.first = conv3(1, 2 * k)
    pairs += [("first", "stem.conv")]
    randomise(net, 12)
    torch.save({"epoch": torch.tensor(3), "state_dict": net.state_dict()}, here / "foreign_registration.pt")
    expect("foreign_registration", rename(net, pairs))


def foreign_keras(B=2, U=2, k=2):
    """TensorFlow's names, numbered through, and its layout (z, y, x, ci, co), with more than ten layers of a kind."""
    net = reference(seed=13, blocks=B, units=U, growth=k)
    state, tf, n_conv, n_norm = numpy_state(net.state_dict()), {}, 0, 0
    number = lambda n: f"_{n}" if n else ""

    def conv(ours):
        nonlocal n_conv
        tf[f"conv3d{number(n_conv)}/kernel:0"] = state[ours + ".weight"].transpose(2, 3, 4, 1, 0)
        n_conv += 1

    def norm(ours):
        nonlocal n_norm
        layer = f"batch_normalization{number(n_norm)}"
        for leaf, theirs in (("weight", "gamma"), ("bias", "beta"), ("running_mean", "moving_mean"),
                             ("running_var", "moving_variance")):
            tf[f"{layer}/{theirs}:0"] = state[f"{ours}.{leaf}"]
        n_norm += 1

    conv("stem.conv")
    for i in range(B):
        if i:
            conv(f"compressors.{i - 1}.conv")
        for j in range(U):
            norm(f"blocks.{i}.units.{j}.norm")
            conv(f"blocks.{i}.units.{j}.conv")
    conv("combine.conv")
    write_safetensors(here / "foreign_keras.safetensors", tf, sort_names=True)
    np.savez(here / "foreign_positional.npz", *tf.values())  # arr_0, arr_1, ...: no names at all
    expect("foreign_keras", state)


own_names()
own_variants()
foreign_public()
foreign_registration()
foreign_keras()
for path in sorted(here.iterdir()):
    print(f"{path.stat().st_size:8d} {path.name}")
