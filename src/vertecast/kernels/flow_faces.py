"""Compiled face conductances of two fluids in series: each half cell by what fills it, the skin by what comes in."""

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
