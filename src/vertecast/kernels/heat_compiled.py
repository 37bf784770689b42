"""Compiled passes of heat conduction on cells: the rate of change, one Chebyshev stage, and the last with its error."""

import numpy as np
from numba import njit, prange

from vertecast.kernels.diffusion_compiled import _row
from vertecast.kernels.elastic_compiled import _OPTIONS


@njit(parallel=True, **_OPTIONS)
def heat_rate(u, tx, ty, tz, diagonal, source, inverse, out):  # type: ignore[no-untyped-def]
    """Write (source - A u) / capacity."""
    nx, ny, nz = u.shape
    for i in prange(nx):
        y = np.empty(nz)
        for j in range(ny):
            _row(i, j, u, tx, ty, tz, diagonal, y)
            target, gain, light = out[i, j], source[i, j], inverse[i, j]
            for k in range(nz):
                target[k] = (gain[k] - y[k]) * light[k]


@njit(parallel=True, **_OPTIONS)
def heat_stage(u, tx, ty, tz, diagonal, source, inverse, first, rate, weights, out):  # type: ignore[no-untyped-def]
    """Advance ``out`` (two stages back) to the next: weights of first, u, out, rate of u, rate of first."""
    nx, ny, nz = u.shape
    for i in prange(nx):
        y = np.empty(nz)
        for j in range(ny):
            _row(i, j, u, tx, ty, tz, diagonal, y)
            target, gain, light = out[i, j], source[i, j], inverse[i, j]
            here, begin, began = u[i, j], first[i, j], rate[i, j]
            for k in range(nz):
                target[k] = (
                    weights[0] * begin[k]
                    + weights[1] * here[k]
                    + weights[2] * target[k]
                    + weights[3] * ((gain[k] - y[k]) * light[k])
                    + weights[4] * began[k]
                )


@njit(parallel=True, **_OPTIONS)
def heat_end(u, tx, ty, tz, diagonal, source, inverse, first, rate, step, out):  # type: ignore[no-untyped-def]
    """Write the rate at the end of a step; return the largest estimated error of the step."""
    nx, ny, nz = u.shape
    worst = np.zeros(nx)
    for i in prange(nx):
        y = np.empty(nz)
        most = 0.0
        for j in range(ny):
            _row(i, j, u, tx, ty, tz, diagonal, y)
            target, gain, light = out[i, j], source[i, j], inverse[i, j]
            here, begin, began = u[i, j], first[i, j], rate[i, j]
            for k in range(nz):
                target[k] = (gain[k] - y[k]) * light[k]
            for k in range(nz):
                most = max(most, abs(0.8 * (begin[k] - here[k]) + 0.4 * step * (began[k] + target[k])))
        worst[i] = most
    top = 0.0
    for i in range(nx):
        top = max(top, worst[i])
    return top
