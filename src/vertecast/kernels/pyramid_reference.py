"""What the compiled pyramid must agree with, in plain NumPy and double precision."""

import numpy as np
from numpy.typing import NDArray

_TAPS = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0


def reduced_plain(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Smooth with the binomial, borders repeated, and keep every other row and column."""
    out = np.asarray(image, float)
    for axis in (0, 1):
        ends = [(2, 2) if axis == a else (0, 0) for a in (0, 1)]
        padded, n = np.pad(out, ends, mode="edge"), out.shape[axis]
        out = sum(tap * np.take(padded, np.arange(k, k + n), axis) for k, tap in enumerate(_TAPS))
        out = np.take(out, np.arange(0, n, 2), axis)
    return out


def doubled_plain(small: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Put zeros between, smooth with twice the binomial; borders of the small picture repeated."""
    out = np.asarray(small, float)
    for axis in (0, 1):
        ends = [(1, 1) if axis == a else (0, 0) for a in (0, 1)]
        padded = np.pad(out, ends, mode="edge")
        count = padded.shape[axis]
        spread = np.zeros([2 * count if axis == a else padded.shape[a] for a in (0, 1)])
        spread[(slice(None, None, 2), slice(None)) if axis == 0 else (slice(None), slice(None, None, 2))] = padded
        wide = np.pad(spread, [(2, 2) if axis == a else (0, 0) for a in (0, 1)])
        n = spread.shape[axis]
        full = sum(2 * tap * np.take(wide, np.arange(k, k + n), axis) for k, tap in enumerate(_TAPS))
        out = np.take(full, np.arange(2, 2 + shape[axis]), axis)
    return out


def equalised_plain(
    band: NDArray[np.floating], factors: NDArray[np.floating], block: int, gain: float, flattening: float
) -> NDArray[np.float64]:
    """Scale a band by factors bilinear between block centres, then flatten what is large."""
    places = []
    for n, count in zip(band.shape, factors.shape, strict=True):
        places.append(np.clip((np.arange(n) + 0.5) / block - 0.5, 0.0, count - 1.0))
    wide = np.asarray(factors, float)
    wide = np.stack([np.interp(places[1], np.arange(wide.shape[1]), row) for row in wide])
    wide = np.stack([np.interp(places[0], np.arange(wide.shape[0]), column) for column in wide.T], axis=1)
    x = wide * band
    return np.asarray(gain * x / (1.0 + flattening * np.abs(x)))
