"""The public checkpoint's own graph in PyTorch, the repeated trunk included, on a real scan.

    /usr/bin/python3 tests/reference/public_checkpoint.py CHECKPOINT SCAN OUT_FOLDER [--size 70] [--float64-only]

writes input.nii (a crop of the scan, scaled to the checkpoint's 0..4095) and reference.nii (float64) and prints how far PyTorch's own
float32 is from it. Then

    srengine import CHECKPOINT --normalization scale:4095 -o OUT_FOLDER/public.bin
    srengine run -w OUT_FOLDER/public.bin --patch SIZE --margin 0 OUT_FOLDER/input.nii -o OUT_FOLDER/output.nii
    /usr/bin/python3 tests/reference/public_checkpoint.py --compare OUT_FOLDER/reference.nii OUT_FOLDER/output.nii

prints ||difference|| / ||reference||, which must stay below 2e-5, and fails where it does not.
"""
import argparse
import pathlib
import sys

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F

LIMIT = 2e-5  # float32 against float64 over 22 layers; PyTorch's own float32 lies at a few 1e-6


def forward(weights, x, blocks=4, units=4):
    """value/4095 in, value/4095 out; batch statistics of the whole patch."""

    def norm_elu(x, name):
        return F.elu(F.batch_norm(x, None, None, weights[name + ".weight"], weights[name + ".bias"], training=True,
                                  eps=1e-5))

    def block(x, name):
        features = x
        for j in range(1, units + 1):
            layer = f"{name}.denselayer{j}"
            new = F.conv3d(norm_elu(features, layer + ".norm"), weights[layer + ".conv.weight"], padding=1)
            features = torch.cat([features, new], 1)
        return features

    x = F.conv3d(x, weights["conv0.weight"], padding=1)
    trunk = torch.cat([x, block(x, "block0")], 1)
    for i in range(1, blocks):
        x = F.conv3d(trunk, weights[f"comp{i - 1}.weight"])
        trunk = torch.cat([trunk, block(x, f"block{i}")], 1)
    return F.conv3d(trunk, weights["recon.weight"])


def distance(reference, test):
    return np.linalg.norm((test - reference).ravel()) / np.linalg.norm(reference.ravel())


def compare(reference, test):
    reference, test = (nib.load(p).get_fdata() for p in (reference, test))
    assert reference.shape == test.shape, f"{reference.shape} and {test.shape} differ"
    ratio = distance(reference, test)
    print(f"||difference|| / ||reference|| = {ratio:.3g}, limit {LIMIT:g}")
    return ratio < LIMIT  # False for NaN, too


def evaluate(checkpoint, scan, folder, size, float64_only):
    image = nib.load(scan)
    data = image.get_fdata()
    start = [max(0, (n - size) // 2) for n in data.shape[:3]]
    crop = data[tuple(slice(s, s + size) for s in start)]
    # The inputs it was trained on ran to 4095; float32, as the file will hold them.
    crop = np.float32(crop * (4095 / data.max()))
    affine = image.affine.copy()
    affine[:3, 3] = nib.affines.apply_affine(image.affine, start)

    state = torch.load(checkpoint, map_location="cpu")
    results = {}
    for dtype in [torch.float64] if float64_only else [torch.float64, torch.float32]:
        weights = {n: t.to(dtype) for n, t in state.items()}
        x = torch.from_numpy(np.float64(crop).transpose(2, 1, 0) / 4095).to(dtype)[None, None]
        with torch.no_grad():
            results[dtype] = np.float64(forward(weights, x)[0, 0].numpy().transpose(2, 1, 0)) * 4095
    if not float64_only:
        print(f"PyTorch float32 against float64: {distance(results[torch.float64], results[torch.float32]):.3g}")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(crop, affine), folder / "input.nii")
    nib.save(nib.Nifti1Image(results[torch.float64], affine), folder / "reference.nii")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--compare"]:
        sys.exit(0 if compare(*sys.argv[2:4]) else 1)
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("checkpoint")
    p.add_argument("scan")
    p.add_argument("folder")
    p.add_argument("--size", type=int, default=70)
    p.add_argument("--float64-only", action="store_true")
    a = p.parse_args()
    evaluate(a.checkpoint, a.scan, a.folder, a.size, a.float64_only)
