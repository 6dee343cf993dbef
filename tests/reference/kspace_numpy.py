"""k-space degradation and interpolation in float64 NumPy: docs/spec.md section 6, step by step.

Arrays are indexed in NIfTI order [i, j, k]; factors likewise (2, 2, 1).
"""
import numpy as np


def low_grid(n, f):
    """M = floor(N/f + 1/2): samples kept of an axis of N samples cut by f."""
    return int(np.floor(n / f + 0.5))


def truncate(image, factors):
    """Steps 1 to 3: the image on its native low-resolution grid (magnitude)."""
    k = np.fft.fftshift(np.fft.fftn(image.astype(np.float64)))
    scale = 1.0
    for axis, f in enumerate(factors):
        n = image.shape[axis]
        m = low_grid(n, f)
        start = n // 2 - m // 2
        k = np.take(k, np.arange(start, start + m), axis)
        scale *= m / n
    return np.abs(np.fft.ifftn(np.fft.ifftshift(k)) * scale)


def linear(low, shape):
    """Step 4: linear interpolation; sample n of the low grid lies at n*N/M of the high one, the last interval clamped."""
    out = low
    for axis, n in enumerate(shape):
        m = low.shape[axis]
        if m == n:
            continue
        x = np.minimum(np.arange(n) * (m / n), m - 1)
        i0 = np.minimum(x.astype(int), m - 1)
        i1 = np.minimum(i0 + 1, m - 1)
        w = (x - i0).reshape([-1 if a == axis else 1 for a in range(3)])
        out = np.take(out, i0, axis) * (1 - w) + np.take(out, i1, axis) * w
    return out


def sinc(low, shape):
    """Zero-filled k-space: the low grid's samples in the middle of an empty k-space, magnitude. Where M is even its
    sample at -M/2 is kept as it is, as in truncate."""
    k = np.fft.fftshift(np.fft.fftn(low))
    scale = 1.0
    for axis, n in enumerate(shape):
        m = low.shape[axis]
        before = n // 2 - m // 2
        k = np.pad(k, [(before, n - m - before) if a == axis else (0, 0) for a in range(3)])
        scale *= n / m
    return np.abs(np.fft.ifftn(np.fft.ifftshift(k)) * scale)


def degrade(image, factors, interpolation=linear):
    return interpolation(truncate(image, factors), image.shape)
