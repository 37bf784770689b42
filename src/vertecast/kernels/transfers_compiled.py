"""Compiled transfers between nodal grids: trilinear interpolation and its transpose, coarse moduli, node sums.

A coarse grid keeps every second node along each axis whose ``step`` is 2, and all nodes along an axis whose step is 1.
"""

from typing import Any

import numpy as np
from numba import njit, prange

_OPTIONS: Any = {"cache": True, "error_model": "numpy", "fastmath": {"contract"}, "nogil": True}


@njit(parallel=True, **_OPTIONS)
def restrict_nodes(fine, coarse, steps):  # type: ignore[no-untyped-def]
    """Write the transpose of :func:`prolong_nodes` applied to ``fine`` (components, nodes) into ``coarse``."""
    components, mx, my, mz = coarse.shape
    nx, ny, nz = fine.shape[1], fine.shape[2], fine.shape[3]
    half = fine.dtype.type(0.5)
    one = fine.dtype.type(1.0)
    for row in prange(components * mx):
        c, i = row // mx, row % mx
        sums = np.zeros(steps[2] * mz + 2, fine.dtype)
        for j in range(my):
            sums[:] = 0
            for di in range(1 - steps[0], steps[0]):
                fi = steps[0] * i + di
                if fi < 0 or fi >= nx:
                    continue
                for dj in range(1 - steps[1], steps[1]):
                    fj = steps[1] * j + dj
                    if fj < 0 or fj >= ny:
                        continue
                    weight = (one if di == 0 else half) * (one if dj == 0 else half)
                    source = fine[c, fi, fj]
                    into = sums[1 : 1 + nz]
                    for k in range(nz):
                        into[k] += weight * source[k]
            target = coarse[c, i, j]
            if steps[2] == 1:
                target[:] = sums[1 : 1 + mz]
            else:
                for k in range(mz):
                    target[k] = sums[2 * k + 1] + half * (sums[2 * k] + sums[2 * k + 2])


@njit(parallel=True, **_OPTIONS)
def prolong_nodes(coarse, fine, steps):  # type: ignore[no-untyped-def]
    """Add the trilinear interpolation of ``coarse`` (components, nodes) to ``fine``."""
    components, mz = coarse.shape[0], coarse.shape[3]
    nx, ny, nz = fine.shape[1], fine.shape[2], fine.shape[3]
    half = fine.dtype.type(0.5)
    quarter = fine.dtype.type(0.25)
    for row in prange(components * nx):
        c, i = row // nx, row % nx
        sums = np.zeros(mz + 1, fine.dtype)
        i0 = i // steps[0]
        i1 = (i + steps[0] - 1) // steps[0]
        for j in range(ny):
            j0 = j // steps[1]
            j1 = (j + steps[1] - 1) // steps[1]
            a, b, d, e = coarse[c, i0, j0], coarse[c, i0, j1], coarse[c, i1, j0], coarse[c, i1, j1]
            for k in range(mz):
                sums[k] = quarter * ((a[k] + b[k]) + (d[k] + e[k]))
            target = fine[c, i, j]
            if steps[2] == 1:
                for k in range(nz):
                    target[k] += sums[k]
            else:
                for k in range((nz + 1) // 2):
                    target[2 * k] += sums[k]
                for k in range(nz // 2):
                    target[2 * k + 1] += half * (sums[k] + sums[k + 1])


@njit(**_OPTIONS)
def coarse_moduli(material, start, runs, ny, steps, box):  # type: ignore[no-untyped-def]
    """Average packed moduli (2, n) over the coarse voxels, counting void as zero, into ``box`` (2, mx, my, mz)."""
    share = material.dtype.type(1.0 / (steps[0] * steps[1] * steps[2]))
    for row in range(start.size - 1):
        i, j = (row // ny) // steps[0], (row % ny) // steps[1]
        for run in range(start[row], start[row + 1]):
            packed = runs[run, 2] - runs[run, 0]
            for k in range(runs[run, 0], runs[run, 1]):
                box[0, i, j, k // steps[2]] += share * material[0, packed + k]
                box[1, i, j, k // steps[2]] += share * material[1, packed + k]


@njit(**_OPTIONS)
def node_sums(values, start, runs, sums):  # type: ignore[no-untyped-def]
    """Add each packed value to the eight corner nodes of its voxel in ``sums`` (nx + 1, ny + 1, nz + 1)."""
    ny = sums.shape[1] - 1
    for row in range(start.size - 1):
        i, j = row // ny, row % ny
        for run in range(start[row], start[row + 1]):
            packed = runs[run, 2] - runs[run, 0]
            for corner in range(8):
                target = sums[i + corner // 4, j + corner // 2 % 2]
                up = corner % 2
                for k in range(runs[run, 0], runs[run, 1]):
                    target[k + up] += values[packed + k]
