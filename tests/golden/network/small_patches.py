"""How the golden volumes are cut into patches and put together again. NumPy is all it needs."""
import numpy as np

SHAPE, PATCH, MARGIN = (9, 10, 13), 8, 1


def intensity(rule, v):
    """a and b of x' = (x - a) / b."""
    if rule["kind"] == "scale":
        return 0.0, rule["by"]
    if rule["kind"] == "zscore":
        return v.mean(), v.std()
    if rule["kind"] == "foreground":
        return 0.0, v[v > v.mean()].mean()
    if rule["kind"] == "percentile":
        return 0.0, np.percentile(v, rule["by"])
    return 0.0, 1.0


def origins(shape):
    """Of the patches: stride PATCH - 2 MARGIN from -MARGIN on, so that the interiors tile the volume."""
    stride = PATCH - 2 * MARGIN
    axes = [[i * stride - MARGIN for i in range((n + stride - 1) // stride)] for n in shape]
    return [(z, y, x) for z in axes[0] for y in axes[1] for x in axes[2]]


def gather(v, origin):
    """(1, 1, PATCH, PATCH, PATCH) of the volume, zeros beyond it."""
    patch = np.zeros((PATCH,) * 3)
    inside = [(max(o, 0), min(o + PATCH, n)) for o, n in zip(origin, v.shape)]
    patch[tuple(slice(a - o, b - o) for (a, b), o in zip(inside, origin))] = v[tuple(slice(a, b) for a, b in inside)]
    return patch[None, None]


def restore(network, v, rule):
    """The volume through `network`, an array (1, 1, PATCH, PATCH, PATCH) to one of the same shape."""
    a, b = intensity(rule, v)
    x = (v - a) / b
    out = np.full(v.shape, np.nan)
    for origin in origins(x.shape):
        y = network(gather(x, origin))[0, 0]
        kept = [(o + MARGIN, min(o + PATCH - MARGIN, n)) for o, n in zip(origin, v.shape)]
        in_patch = tuple(slice(first - o, last - o) for (first, last), o in zip(kept, origin))
        out[tuple(slice(*k) for k in kept)] = y[in_patch]
    assert np.isfinite(out).all()
    return out * b + a
