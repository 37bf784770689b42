"""From path maps to detector signal, compiled: Beer-Lambert over energy bins, small filters, recursive averages.

All kernels are single-threaded: each takes a few milliseconds, less than the start of a parallel region can cost.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": {"contract"}, "nogil": True}
_LOG2_E = np.float32(1.4426950408889634)


@njit(**_OPTIONS)
def _exponentials(exponents, into):  # type: ignore[no-untyped-def]
    """Write exp(x) of a row, float32: 2**whole by its bits, 2**rest by a polynomial; 2e-7 relative."""
    bits = into.view(np.int32)
    for i in range(exponents.shape[0]):
        y = min(max(exponents[i] * _LOG2_E, np.float32(-126.0)), np.float32(126.0))
        whole = np.floor(y + np.float32(0.5))
        f = y - whole
        p = np.float32(1.535336188319500e-4)
        p = p * f + np.float32(1.339887440266574e-3)
        p = p * f + np.float32(9.618437357674640e-3)
        p = p * f + np.float32(5.550332471162809e-2)
        p = p * f + np.float32(2.402264791363012e-1)
        p = p * f + np.float32(6.931472028550421e-1)
        p = p * f + np.float32(1.0)
        scale = (np.int32(whole) + np.int32(127)) << np.int32(23)
        bits[i] = scale
        into[i] *= p


@njit(**_OPTIONS)
def beer_lambert(paths, attenuation, weights, signal, variance):  # type: ignore[no-untyped-def]
    """Sum over bins the weight times exp(-attenuation . paths).

    Parameters
    ----------
    paths : (materials, rows, columns), float32, mg/mm2 or mm
    attenuation : (materials, bins), float32, of matching unit
    weights : (2, bins), float32: of signal, and of its variance
    signal, variance : (rows, columns), float32, overwritten
    """
    materials, rows, columns = paths.shape
    exponent = np.empty(columns, np.float32)
    through = np.empty(columns, np.float32)
    for v in range(rows):
        signal[v, :] = 0.0
        variance[v, :] = 0.0
        for k in range(attenuation.shape[1]):
            exponent[:] = 0.0
            for m in range(materials):
                mu = attenuation[m, k]
                for u in range(columns):
                    exponent[u] -= mu * paths[m, v, u]
            _exponentials(exponent, through)
            for u in range(columns):
                signal[v, u] += weights[0, k] * through[u]
                variance[v, u] += weights[1, k] * through[u]


@njit(**_OPTIONS)
def convolve_rows_columns(image, taps, scratch, out):  # type: ignore[no-untyped-def]
    """Convolve with a symmetric kernel along columns, then rows; edges repeat the border value.

    Parameters
    ----------
    image, scratch, out : (rows, columns), float32; ``scratch`` and ``out`` are overwritten, ``out`` may be ``image``
    taps : (half + 1,), float32, the middle tap first
    """
    rows, columns = image.shape
    half = taps.shape[0] - 1
    padded = np.empty(columns + 2 * half, np.float32)
    for v in range(rows):
        padded[:half] = image[v, 0]
        padded[half : half + columns] = image[v]
        padded[half + columns :] = image[v, columns - 1]
        into, middle, tap = scratch[v], padded[half:], taps[0]
        for u in range(columns):
            into[u] = tap * middle[u]
        for k in range(1, half + 1):
            before, after, tap = padded[half - k :], padded[half + k :], taps[k]
            for u in range(columns):
                into[u] += tap * (before[u] + after[u])
    for v in range(rows):
        into, middle, tap = out[v], scratch[v], taps[0]
        for u in range(columns):
            into[u] = tap * middle[u]
        for k in range(1, half + 1):
            above, below, tap = scratch[max(v - k, 0)], scratch[min(v + k, rows - 1)], taps[k]
            for u in range(columns):
                into[u] += tap * (above[u] + below[u])


@njit(**_OPTIONS)
def block_means(image, block, out):  # type: ignore[no-untyped-def]
    """Average blocks of ``block`` x ``block`` pixels into ``out``; rows and columns beyond whole blocks are left."""
    rows, columns = out.shape
    part = np.float32(1.0 / (block * block))
    for v in range(rows):
        for u in range(columns):
            total = np.float32(0.0)
            for b in range(block):
                for a in range(block):
                    total += image[v * block + b, u * block + a]
            out[v, u] = total * part


@njit(**_OPTIONS)
def spread_blocks(small, block, out):  # type: ignore[no-untyped-def]
    """Interpolate block means back to pixels, bilinear between block centres."""
    rows, columns = out.shape
    low = np.empty(columns, np.int64)
    part = np.empty(columns, np.float32)
    for u in range(columns):
        x = min(max((u + 0.5) / block - 0.5, 0.0), small.shape[1] - 1.001)
        low[u] = int(x)
        part[u] = np.float32(x - int(x))
    line = np.empty(small.shape[1], np.float32)
    for v in range(rows):
        y = min(max((v + 0.5) / block - 0.5, 0.0), small.shape[0] - 1.001)
        j, f = int(y), np.float32(y - int(y))
        for i in range(small.shape[1]):
            line[i] = small[j, i] + f * (small[j + 1, i] - small[j, i])
        into = out[v]
        for u in range(columns):
            into[u] = line[low[u]] + part[u] * (line[low[u] + 1] - line[low[u]])


def gaussian_taps(sigma: float) -> NDArray[np.float32]:
    """Return the middle and one side of a Gaussian kernel of ``sigma`` pixels that sums to one."""
    half = max(1, int(np.ceil(3.0 * sigma)))
    side = np.exp(-0.5 * (np.arange(half + 1) / max(sigma, 1e-3)) ** 2)
    return np.asarray(side / (side[0] + 2 * side[1:].sum()), np.float32)


@njit(**_OPTIONS)
def negative_log(signal, floor, out):  # type: ignore[no-untyped-def]
    """Write -ln(max(signal, floor)) to ``out``, float32, by exponent bits and a series; 1e-6 absolute."""
    rows, columns = signal.shape
    clipped = np.empty(columns, np.float32)
    bits = clipped.view(np.int32)
    for v in range(rows):
        for u in range(columns):
            clipped[u] = max(signal[v, u], floor)
        for u in range(columns):
            whole = (bits[u] - np.int32(0x3F3504F3)) >> np.int32(23)
            bits[u] -= whole << np.int32(23)
            out[v, u] = -np.float32(whole) * np.float32(0.6931471805599453)
        for u in range(columns):
            s = (clipped[u] - np.float32(1.0)) / (clipped[u] + np.float32(1.0))
            z = s * s
            series = np.float32(0.2222222) * z + np.float32(0.2857143)
            series = series * z + np.float32(0.4)
            series = series * z + np.float32(0.6666667)
            series = series * z + np.float32(2.0)
            out[v, u] -= s * series
