"""Compiled seven-point operator on cells: y = sink x + sum of T (x - neighbour), with the epilogues of the driver."""

import numpy as np
from numba import njit, prange

from vertecast.kernels.elastic_compiled import _OPTIONS, APPLY, RESIDUAL


@njit(**_OPTIONS)
def _row(i, j, x, tx, ty, tz, diagonal, y):  # type: ignore[no-untyped-def]
    """Write A x of one row of cells; face arrays hold the face above each cell, zero at the end."""
    nx, ny, nz = x.shape
    here, middle, tops = x[i, j], diagonal[i, j], tz[i, j]
    for k in range(nz):
        y[k] = middle[k] * here[k]
    for k in range(nz - 1):
        y[k] -= tops[k] * here[k + 1]
    above = y[1:]
    for k in range(nz - 1):
        above[k] -= tops[k] * here[k]
    if i > 0:
        face, other = tx[i - 1, j], x[i - 1, j]
        for k in range(nz):
            y[k] -= face[k] * other[k]
    if i < nx - 1:
        face, other = tx[i, j], x[i + 1, j]
        for k in range(nz):
            y[k] -= face[k] * other[k]
    if j > 0:
        face, other = ty[i, j - 1], x[i, j - 1]
        for k in range(nz):
            y[k] -= face[k] * other[k]
    if j < ny - 1:
        face, other = ty[i, j], x[i, j + 1]
        for k in range(nz):
            y[k] -= face[k] * other[k]


@njit(parallel=True, **_OPTIONS)
def diffusion_pass(mode, x, tx, ty, tz, diagonal, b, d, inverse, out, weights):  # type: ignore[no-untyped-def]
    """APPLY out = A x, RESIDUAL out = b - A x on free cells, or CHEBYSHEV d and out = x + d."""
    nx, ny, nz = x.shape
    for i in prange(nx):
        y = np.empty(nz, x.dtype)
        for j in range(ny):
            _row(i, j, x, tx, ty, tz, diagonal, y)
            target, right, held = out[i, j], b[i, j], inverse[i, j]
            if mode == APPLY:
                target[:] = y
            elif mode == RESIDUAL:
                for k in range(nz):
                    target[k] = right[k] - y[k]
                for k in range(nz):
                    target[k] *= held[k] != 0
            else:
                for k in range(nz):
                    y[k] = weights[1] * held[k] * (right[k] - y[k])
                step, value = d[i, j], x[i, j]
                for k in range(nz):
                    step[k] = weights[0] * step[k] + y[k]
                for k in range(nz):
                    target[k] = value[k] + step[k]


@njit(parallel=True, **_OPTIONS)
def gather_cells(fine, coarse, steps):  # type: ignore[no-untyped-def]
    """Write the sum of the fine cells of each coarse cell."""
    nx, ny, nz = fine.shape
    for i in prange(coarse.shape[0]):
        for j in range(coarse.shape[1]):
            target = coarse[i, j]
            target[:] = 0
            for fi in range(i * steps[0], min((i + 1) * steps[0], nx)):
                for fj in range(j * steps[1], min((j + 1) * steps[1], ny)):
                    source = fine[fi, fj]
                    for k in range(nz):
                        target[k // steps[2]] += source[k]


@njit(parallel=True, **_OPTIONS)
def spread_cells(coarse, fine, inverse, steps):  # type: ignore[no-untyped-def]
    """Add to each free fine cell the value of its coarse cell."""
    nx, ny, nz = fine.shape
    for i in prange(nx):
        for j in range(ny):
            source, target, held = coarse[i // steps[0], j // steps[1]], fine[i, j], inverse[i, j]
            for k in range(nz):
                if held[k] != 0:
                    target[k] += source[k // steps[2]]
