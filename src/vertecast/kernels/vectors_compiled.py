"""Compiled vector operations of the Krylov driver; sums in fixed chunks, so no thread count changes a digit."""

from typing import Any

import numpy as np
from numba import njit, prange

CHUNK = 16384
LANES = 64

_OPTIONS: Any = {"cache": True, "error_model": "numpy", "fastmath": {"contract"}, "nogil": True}


@njit(**_OPTIONS)
def _dot_chunk(a, b, first, end):  # type: ignore[no-untyped-def]
    """Sum a * b over one chunk in 64 lanes, then the lanes in order."""
    lanes = np.zeros(LANES)
    blocks = (end - first) // LANES
    for block in range(blocks):
        at = first + block * LANES
        left, right = a[at : at + LANES], b[at : at + LANES]
        for k in range(LANES):
            lanes[k] += left[k] * right[k]
    total = 0.0
    for k in range(LANES):
        total += lanes[k]
    for k in range(first + blocks * LANES, end):
        total += a[k] * b[k]
    return total


@njit(parallel=True, **_OPTIONS)
def dots(a, b, c):  # type: ignore[no-untyped-def]
    """Return (a . b, c . b)."""
    chunks = (a.size + CHUNK - 1) // CHUNK
    parts = np.empty((chunks, 2))
    for s in prange(chunks):
        first, end = s * CHUNK, min((s + 1) * CHUNK, a.size)
        parts[s, 0] = _dot_chunk(a, b, first, end)
        parts[s, 1] = _dot_chunk(c, b, first, end)
    ab, cb = 0.0, 0.0
    for s in range(chunks):
        ab += parts[s, 0]
        cb += parts[s, 1]
    return ab, cb


@njit(parallel=True, **_OPTIONS)
def dot(a, b):  # type: ignore[no-untyped-def]
    """Return a . b."""
    chunks = (a.size + CHUNK - 1) // CHUNK
    parts = np.empty(chunks)
    for s in prange(chunks):
        parts[s] = _dot_chunk(a, b, s * CHUNK, min((s + 1) * CHUNK, a.size))
    total = 0.0
    for s in range(chunks):
        total += parts[s]
    return total


@njit(parallel=True, **_OPTIONS)
def advance(alpha, p, ap, x, r, scale, scaled):  # type: ignore[no-untyped-def]
    """Advance x += alpha p and r -= alpha ap; write scale * r to ``scaled``; return r . r."""
    chunks = (x.size + CHUNK - 1) // CHUNK
    parts = np.empty(chunks)
    for s in prange(chunks):
        first, end = s * CHUNK, min((s + 1) * CHUNK, x.size)
        xs, ps = x[first:end], p[first:end]
        for k in range(end - first):
            xs[k] += alpha * ps[k]
        rs, aps = r[first:end], ap[first:end]
        for k in range(end - first):
            rs[k] -= alpha * aps[k]
        out = scaled[first:end]
        for k in range(end - first):
            out[k] = scale * rs[k]
        parts[s] = _dot_chunk(r, r, first, end)
    total = 0.0
    for s in range(chunks):
        total += parts[s]
    return total


@njit(parallel=True, **_OPTIONS)
def direct(z, beta, p):  # type: ignore[no-untyped-def]
    """Take the next direction p = z + beta p."""
    chunks = (p.size + CHUNK - 1) // CHUNK
    for s in prange(chunks):
        first, end = s * CHUNK, min((s + 1) * CHUNK, p.size)
        ps, zs = p[first:end], z[first:end]
        for k in range(end - first):
            ps[k] = zs[k] + beta * ps[k]


@njit(parallel=True, **_OPTIONS)
def first_step(weight, inverse, b, x, d):  # type: ignore[no-untyped-def]
    """Take the first Chebyshev step from x = 0: d = x = weight * inverse * b."""
    chunks = (x.size + CHUNK - 1) // CHUNK
    for s in prange(chunks):
        first, end = s * CHUNK, min((s + 1) * CHUNK, x.size)
        held, right, step, value = inverse[first:end], b[first:end], d[first:end], x[first:end]
        for k in range(end - first):
            step[k] = weight * held[k] * right[k]
        for k in range(end - first):
            value[k] = step[k]


@njit(**_OPTIONS)
def factor(matrix, relative):  # type: ignore[no-untyped-def]
    """Overwrite a dense symmetric matrix by its Cholesky factor L; a pivot that vanishes pins its unknown.

    Returns the factor by columns (row c of the result is column c of L) and the number of pinned unknowns.
    """
    n = matrix.shape[0]
    columns = matrix.copy()
    pinned = 0
    for c in range(n):
        column = columns[c]
        diagonal = matrix[c, c]
        for e in range(c):
            weight = columns[e, c]
            if weight != 0:
                before = columns[e]
                for k in range(c, n):
                    column[k] -= weight * before[k]
        if column[c] <= relative * diagonal:
            column[c] = diagonal if diagonal > 0 else 1.0
            column[c + 1 :] = 0
            for e in range(c):
                columns[e, c] = 0
            pinned += 1
            pivot = np.inf
        else:
            pivot = np.sqrt(column[c])
        for k in range(c + 1, n):
            column[k] /= pivot
        column[c] = pivot
    return columns, pinned


@njit(**_OPTIONS)
def back_solve(columns, rows, b):  # type: ignore[no-untyped-def]
    """Solve L L^T x = b in place of ``b``; ``columns`` and ``rows`` hold L by columns and by rows."""
    n = b.size
    for c in range(n):
        b[c] /= columns[c, c]
        value, below = b[c], columns[c]
        for k in range(c + 1, n):
            b[k] -= value * below[k]
    for c in range(n - 1, -1, -1):
        b[c] /= columns[c, c]
        value, left = b[c], rows[c]
        for k in range(c):
            b[k] -= value * left[k]
