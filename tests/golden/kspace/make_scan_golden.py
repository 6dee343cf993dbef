"""Metrics of degraded real scans, by NumPy and scikit-image: scans.json. Run: python3 make_scan_golden.py FOLDER

FOLDER holds the scans (they are not part of the repository); test_baselines compares where it finds them.
"""
import json
import sys
from pathlib import Path

import nibabel
import numpy as np

from make_golden import HERE, kspace_numpy, slice_metrics

SCANS = ("seg3d_mr_t1", "fnndsc_child_mprage", "niivue_gd_t1_brain")


def main():
    golden = {}
    for name in SCANS:
        image = nibabel.load(Path(sys.argv[1]) / f"{name}.nii.gz").get_fdata().astype(np.float32)
        low = kspace_numpy.truncate(image, (2, 2, 1))
        golden[name] = {}
        for method in ("linear", "sinc"):
            test = getattr(kspace_numpy, method)(low, image.shape)
            rows = slice_metrics(image.astype(np.float64), test, axis=2)
            golden[name][method] = dict(zip(("psnr", "ssim", "nrmse"), rows[:, 1:].mean(axis=0)))
    (HERE / "scans.json").write_text(json.dumps(golden, indent=2) + "\n")


if __name__ == "__main__":
    main()
