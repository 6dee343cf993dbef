"""What everybody who compares needs: the same patch, and how far apart two answers are. NumPy is all it needs."""
import numpy as np


def smooth_patch(edge, seed=0):
    """(1, 1, edge, edge, edge): structure and noise, no denormals, no constant."""
    z, y, x = np.meshgrid(*(np.arange(edge),) * 3, indexing="ij")
    noise = np.random.default_rng(seed).normal(0, 0.1, (edge,) * 3)
    return (1 + 0.5 * np.sin(0.3 * x) * np.cos(0.2 * y + 0.1 * z) + noise).astype(np.float32)[None, None]


def difference(result, expected):
    """The largest difference as a share of the expected rms."""
    return float(np.abs(result - expected).max() / np.sqrt(np.mean(expected.astype(np.float64) ** 2)))
