"""Compiled passes of heat conduction on cells: the rate of change, one Chebyshev stage, and the last with its error."""

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from vertecast.kernels.diffusion_compiled import _row
from vertecast.kernels.elastic_compiled import _OPTIONS

Array = NDArray[Any]
RATE, STAGE, END = 0, 1, 2
SERIAL_CELLS = 30_000
"""Below this, waking threads costs more than they save."""


@njit(**_OPTIONS)
def _plane(i, mode, u, tx, ty, tz, diagonal, source, inverse, first, rate, weights, out):  # type: ignore[no-untyped-def]
    """Work one plane of cells; return the largest estimated error (END)."""
    _, ny, nz = u.shape
    y = np.empty(nz)
    most = 0.0
    for j in range(ny):
        _row(i, j, u, tx, ty, tz, diagonal, y)
        gain, light = source[i, j], inverse[i, j]
        for k in range(nz):
            y[k] = (gain[k] - y[k]) * light[k]
        target, here, begin, began = out[i, j], u[i, j], first[i, j], rate[i, j]
        if mode == RATE:
            target[:] = y
        elif mode == STAGE:
            for k in range(nz):
                target[k] = (
                    weights[0] * begin[k]
                    + weights[1] * here[k]
                    + weights[2] * target[k]
                    + weights[3] * y[k]
                    + weights[4] * began[k]
                )
        else:
            target[:] = y
            for k in range(nz):
                most = max(most, abs(0.8 * (begin[k] - here[k]) + weights[0] * (began[k] + y[k])))
    return most


@njit(**_OPTIONS)
def _serial(mode, u, tx, ty, tz, diagonal, source, inverse, first, rate, weights, out, worst):  # type: ignore[no-untyped-def]
    for i in range(u.shape[0]):
        worst[i] = _plane(i, mode, u, tx, ty, tz, diagonal, source, inverse, first, rate, weights, out)


@njit(parallel=True, **_OPTIONS)
def _parallel(mode, u, tx, ty, tz, diagonal, source, inverse, first, rate, weights, out, worst):  # type: ignore[no-untyped-def]
    for i in prange(u.shape[0]):
        worst[i] = _plane(i, mode, u, tx, ty, tz, diagonal, source, inverse, first, rate, weights, out)


def heat_pass(
    mode: int,
    u: Array,
    faces: tuple[Array, Array, Array],
    fields: tuple[Array, Array, Array],
    first: Array,
    rate: Array,
    weights: Array,
    out: Array,
) -> float:
    """Run one pass over all cells; return the largest estimated error (END), else zero.

    RATE writes (source - A u) / capacity to ``out``. STAGE advances ``out``, which holds two stages back, to the next
    by the weights of first, u, out, rate of u and rate of first. END writes the rate and compares the ends of the
    step; its only weight is 0.4 times the step. ``fields`` are diagonal, source and one over the capacity.
    """
    worst = np.zeros(u.shape[0])
    work = _serial if u.size < SERIAL_CELLS else _parallel
    work(mode, u, *faces, *fields, first, rate, weights, out, worst)
    return float(worst.max())
