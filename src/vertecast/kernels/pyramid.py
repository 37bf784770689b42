"""The Laplacian pyramid of a picture, compiled: halve, double, measure a band's energy, equalise it.

The filter is the five-point binomial (1, 4, 6, 4, 1)/16; borders repeat. Plain references are in
:mod:`vertecast.kernels.pyramid_reference`. All kernels are single-threaded: each takes about a millisecond at most.

References
----------
.. [1] P. Burt, E. Adelson, IEEE Trans. Communications 31 (1983) 532: the Laplacian pyramid.
"""

from typing import Any

import numpy as np
from numba import njit

_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": {"contract"}, "nogil": True}
_EDGE, _NEXT, _MIDDLE = np.float32(0.0625), np.float32(0.25), np.float32(0.375)
_HALF, _EIGHTH, _THREE_QUARTERS = np.float32(0.5), np.float32(0.125), np.float32(0.75)


@njit(**_OPTIONS)
def reduce_by_two(image, out):  # type: ignore[no-untyped-def]
    """Smooth and keep every other row and column.

    Parameters
    ----------
    image : (rows, columns), float32
    out : ((rows + 1) // 2, (columns + 1) // 2), float32, overwritten
    """
    rows, columns = image.shape
    line = np.empty(columns + 4, np.float32)
    inner = line[2 : 2 + columns]
    for v in range(out.shape[0]):
        a, b, c = image[max(2 * v - 2, 0)], image[max(2 * v - 1, 0)], image[2 * v]
        d, e = image[min(2 * v + 1, rows - 1)], image[min(2 * v + 2, rows - 1)]
        for u in range(columns):
            inner[u] = _EDGE * (a[u] + e[u]) + _NEXT * (b[u] + d[u]) + _MIDDLE * c[u]
        line[0] = line[1] = inner[0]
        line[columns + 2] = line[columns + 3] = inner[columns - 1]
        into = out[v]
        for u in range(out.shape[1]):
            k = 2 * u
            into[u] = _EDGE * (line[k] + line[k + 4]) + _NEXT * (line[k + 1] + line[k + 3]) + _MIDDLE * line[k + 2]


@njit(**_OPTIONS)
def add_doubled(small, sign, image, out):  # type: ignore[no-untyped-def]
    """Interpolate a reduced picture back to twice its size and write image + sign * it.

    Parameters
    ----------
    small : ((rows + 1) // 2, (columns + 1) // 2), float32
    sign : float32
    image, out : (rows, columns), float32; ``out`` is overwritten and may be ``image``
    """
    rows, columns = image.shape
    count, across = small.shape
    line = np.empty(across + 2, np.float32)
    inner = line[1 : 1 + across]
    for v in range(rows):
        j = v // 2
        below = small[min(j + 1, count - 1)]
        if v % 2:
            for u in range(across):
                inner[u] = _HALF * (small[j, u] + below[u])
        else:
            above = small[max(j - 1, 0)]
            for u in range(across):
                inner[u] = _EIGHTH * (above[u] + below[u]) + _THREE_QUARTERS * small[j, u]
        line[0], line[across + 1] = inner[0], inner[across - 1]
        source, into = image[v], out[v]
        for u in range(columns // 2):
            even = _EIGHTH * (line[u] + line[u + 2]) + _THREE_QUARTERS * line[u + 1]
            odd = _HALF * (line[u + 1] + line[u + 2])
            into[2 * u] = source[2 * u] + sign * even
            into[2 * u + 1] = source[2 * u + 1] + sign * odd
        if columns % 2:
            u = columns // 2
            even = _EIGHTH * (line[u] + line[u + 2]) + _THREE_QUARTERS * line[u + 1]
            into[2 * u] = source[2 * u] + sign * even


@njit(**_OPTIONS)
def block_energies(band, block, limits, out):  # type: ignore[no-untyped-def]
    """Average the squares of a band over blocks, each square cut at its block's limit.

    Parameters
    ----------
    band : (rows, columns), float32
    block : edge of a block, pixels; what is beyond whole blocks is left out
    limits : (rows // block, columns // block), float32
    out : like ``limits``, overwritten
    """
    part = np.float32(1.0 / (block * block))
    for v in range(out.shape[0]):
        for u in range(out.shape[1]):
            total, limit = np.float32(0.0), limits[v, u]
            for b in range(block):
                for a in range(block):
                    x = band[v * block + b, u * block + a]
                    total += min(x * x, limit)
            out[v, u] = total * part


@njit(**_OPTIONS)
def equalise(band, factors, block, gain, flattening):  # type: ignore[no-untyped-def]
    """Make gain * x / (1 + flattening * abs(x)) of a band, x = factor * band; factors bilinear between block centres.

    Parameters
    ----------
    band : (rows, columns), float32, overwritten
    factors : (rows // block, columns // block), float32
    """
    rows, columns = band.shape
    low, part = np.empty(columns, np.int64), np.empty(columns, np.float32)
    for u in range(columns):
        x = min(max((u + 0.5) / block - 0.5, 0.0), factors.shape[1] - 1.001)
        low[u] = int(x)
        part[u] = np.float32(x - int(x))
    line, wide = np.empty(factors.shape[1], np.float32), np.empty(columns, np.float32)
    for v in range(rows):
        y = min(max((v + 0.5) / block - 0.5, 0.0), factors.shape[0] - 1.001)
        j, f = int(y), np.float32(y - int(y))
        for i in range(factors.shape[1]):
            line[i] = factors[j, i] + f * (factors[j + 1, i] - factors[j, i])
        for u in range(columns):
            wide[u] = line[low[u]] + part[u] * (line[low[u] + 1] - line[low[u]])
        into = band[v]
        for u in range(columns):
            x = wide[u] * into[u]
            into[u] = gain * x / (np.float32(1.0) + flattening * abs(x))


@njit(**_OPTIONS)
def look_up(values, low, per_step, table, out):  # type: ignore[no-untyped-def]
    """Write table[(values - low) * per_step], the ends of the table beyond it.

    Parameters
    ----------
    values : (rows, columns), float32
    table : (n,), uint8
    out : (rows, columns), uint8, overwritten
    """
    last = np.float32(table.shape[0] - 1)
    for v in range(values.shape[0]):
        source, into = values[v], out[v]
        for u in range(values.shape[1]):
            place = min(max((source[u] - low) * per_step, np.float32(0.0)), last)
            into[u] = table[int(place)]
