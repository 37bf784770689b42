"""Compiled passes over faces: two fluids in series (half cells by what fills them), and what open faces join."""

from typing import Any

import numpy as np
from numba import njit

from vertecast.kernels.flow_planes import cut_slab

_OPTIONS: Any = {"cache": True, "error_model": "numpy", "nogil": True}


@njit(**_OPTIONS)
def _filled(cell, axis, upper, share, number, planes):  # type: ignore[no-untyped-def]
    """Return the part of one half of a cell that the injected fluid fills."""
    at = number[cell]
    if at < 0:
        return share[cell]
    plane = planes[at]
    if plane[3] == 0:
        return share[cell]
    return cut_slab(plane, axis, upper, 0.5)


@njit(**_OPTIONS)
def face_conductances(share, live, fluids, rock, planes, fluxes):  # type: ignore[no-untyped-def]
    """Return (3, nx, ny, nz) conductances, mm3/(MPa.s), of the upper faces; zero where either cell is dead.

    ``fluids`` are the injected and resident viscosities, ``rock`` the half and skin resistances (1/mm3), ``planes`` the
    numbers and planes of :func:`interface_planes`, ``fluxes`` the last ones: they say which fluid fills a skin.
    """
    injected, resident = fluids[0].ravel(), fluids[1].ravel()
    half, skin = rock
    number, cut = planes[0].ravel(), planes[1]
    shape = share.shape
    strides = (shape[1] * shape[2], shape[2], 1)
    shares, alive = share.ravel(), live.ravel()
    out = np.zeros((3, *shape))
    for axis in range(3):
        step, length = strides[axis], shape[axis]
        halves, skins, flux, target = half[axis].ravel(), skin[axis].ravel(), fluxes[axis].ravel(), out[axis].ravel()
        for low in range(shares.size):
            if (low // step) % length == length - 1 or not alive[low] or not alive[low + step]:
                continue
            high = low + step
            below = _filled(low, axis, True, shares, number, cut)
            above = _filled(high, axis, False, shares, number, cut)
            first = below * injected[low] + (1 - below) * resident[low]
            second = above * injected[high] + (1 - above) * resident[high]
            if flux[low] > 0:
                thin = first
            elif flux[low] < 0:
                thin = second
            else:
                thin = 0.5 * (first + second)
            target[low] = 1 / (halves[low] * first + halves[high] * second + skins[low] * thin)
    return out


@njit(**_OPTIONS)
def reached_cells(free, skin, seeds):  # type: ignore[no-untyped-def]
    """Return (nx, ny, nz) the free cells that faces with a finite skin join to a free seed (flat cells)."""
    shape = free.shape
    strides = (shape[1] * shape[2], shape[2], 1)
    may = free.ravel()
    found = np.zeros(may.size, np.bool_)
    waiting = np.empty(may.size, np.int64)
    count = 0
    for cell in seeds:
        if may[cell] and not found[cell]:
            found[cell] = True
            waiting[count] = cell
            count += 1
    while count > 0:
        count -= 1
        cell = waiting[count]
        for axis in range(3):
            step, layer = strides[axis], skin[axis].ravel()
            place = (cell // step) % shape[axis]
            for way in range(2):
                if place == (shape[axis] - 1 if way == 1 else 0):
                    continue
                other, face = (cell + step, cell) if way == 1 else (cell - step, cell - step)
                if may[other] and not found[other] and layer[face] < np.inf:
                    found[other] = True
                    waiting[count] = other
                    count += 1
    return found.reshape(shape)
