"""Golden values of degradation, interpolation and metrics. Run from anywhere: python3 make_golden.py

Needs numpy and scikit-image. Volumes are stored as float32 [k][j][i]; the references are float64 and rounded once.
"""
import sys
from pathlib import Path

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "reference"))
import kspace_numpy  # noqa: E402

# Sizes and factors in NIfTI order. Odd, even and prime N and M, a single slice, one axis alone, all three, not integer.
CASES = {
    "even": ((12, 10, 6), (2, 2, 1)),
    "prime": ((13, 11, 7), (2, 2, 1)),
    "fractions": ((9, 16, 10), (1.5, 1, 2.5)),
    "one_slice": ((29, 31, 1), (2, 2, 1)),
    "depth_only": ((4, 5, 12), (1, 1, 2)),
    "all_axes": ((10, 7, 47), (1.25, 7, 3)),
    "nothing": ((4, 3, 5), (1, 1, 1)),
}


def save(name, array):
    np.save(HERE / f"{name}.npy", np.ascontiguousarray(array.T, dtype=np.float32))


def smooth_noise(shape, seed):
    """Positive, asymmetric, with energy at all frequencies but mostly at low ones, like an image."""
    rng = np.random.default_rng(seed)
    image = rng.standard_normal(shape)
    for axis in range(3):
        image = image + 0.7 * np.roll(image, 1, axis)
    return (image - image.min()).astype(np.float32)


def slice_metrics(reference, test, axis):
    """Rows: slice, psnr, ssim, nrmse."""
    data_range = float(reference.max() - reference.min())
    rows = []
    for n in range(reference.shape[axis]):
        a, b = np.take(reference, n, axis), np.take(test, n, axis)
        if a.min() == a.max():
            continue
        ssim = structural_similarity(a, b, data_range=data_range, gaussian_weights=True, sigma=1.5,
                                     use_sample_covariance=False)
        rows.append((n, peak_signal_noise_ratio(a, b, data_range=data_range), ssim,
                     np.linalg.norm(a - b) / np.linalg.norm(a)))
    return np.array(rows)


def main():
    for seed, (name, (shape, factors)) in enumerate(CASES.items()):
        image = smooth_noise(shape, seed)
        low = kspace_numpy.truncate(image, factors)
        save(f"{name}_image", image)
        save(f"{name}_low", low)
        save(f"{name}_linear", kspace_numpy.linear(low, shape))
        save(f"{name}_sinc", kspace_numpy.sinc(low, shape))

    reference = smooth_noise((14, 19, 12), 100)
    reference[:, :, 3] = 1.5  # two slices that must be skipped
    reference[:, :, 11] = 0
    test = (reference + 0.2 * smooth_noise(reference.shape, 101) - 0.4).astype(np.float32)
    save("metrics_reference", reference)
    save("metrics_test", test)
    for axis in range(3):
        rows = slice_metrics(reference.astype(np.float64), test.astype(np.float64), axis)
        np.save(HERE / f"metrics_axis{axis}.npy", rows)


if __name__ == "__main__":
    main()
