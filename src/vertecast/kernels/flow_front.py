"""Compiled advance of the front: each cell in order of falling pressure passes on what its slabs hold.

The cells upstream are done first, so what enters a cell in the step is known when it gives: it never gives more than it
has, and what would overfill it goes on downstream by flux share. Nothing is clipped; every transfer is taken from one
cell and given to another.
"""

import heapq
from typing import Any

import numpy as np
from numba import njit

from vertecast.kernels.flow_planes import MIXED, wet_face

_OPTIONS: Any = {"cache": True, "error_model": "numpy", "nogil": True}
NEARLY, PURE = 0.99, 0.999
"""Above this share, a cell that only injected fluid enters (by this part) gives its last resident fluid first."""
BELOW = 1 - 1e-15
"""What keeps a cell that gives all it has from ending below zero by rounding."""


@njit(**_OPTIONS)
def front_rates(share, volume, fluxes, entering, small):  # type: ignore[no-untyped-def]
    """Return how fast the front moves, cells per second, at every face and source where it is, and the flux there.

    It is where a partly filled cell (small < S < 1 - small) passes fluid on, and where a cell is filled by a wetter
    neighbour or a source.
    """
    shape = share.shape
    strides = (shape[1] * shape[2], shape[2], 1)
    shares, volumes, enters = share.ravel(), volume.ravel(), entering.ravel()
    rates, weights = [], []
    for axis in range(3):
        step, flux = strides[axis], fluxes[axis].ravel()
        for low in range(shares.size):
            if flux[low] == 0:
                continue
            up, down = (low, low + step) if flux[low] > 0 else (low + step, low)
            if shares[up] > small:
                room = np.inf
                if shares[up] < 1 - small:
                    room = volumes[up]
                if shares[down] < 1 - small:
                    room = min(room, volumes[down])
                if room < np.inf:
                    rates.append(abs(flux[low]) / room)
                    weights.append(abs(flux[low]))
    for cell in range(shares.size):
        if enters[cell] > 0 and shares[cell] < 1 - small:
            rates.append(enters[cell] / volumes[cell])
            weights.append(enters[cell])
    return np.array(rates), np.array(weights)


@njit(**_OPTIONS)
def _given(cell, face, passing, share, number, planes, moves):  # type: ignore[no-untyped-def]
    """Return the injected part of what passes one face of a cell while its plane moves with the flow."""
    if share[cell] <= 0:
        return 0.0
    at = number[cell]
    if at < 0:
        return passing if share[cell] > 0.5 else 0.0
    plane = planes[at]
    if plane[3] == 0:
        return 0.0
    advance = plane[0] * moves[0] + plane[1] * moves[1] + plane[2] * moves[2]
    return passing * wet_face(plane, face // 2, face % 2 == 1, advance)


@njit(**_OPTIONS)
def _gather(cell, fluxes, moved, carried, step, passing, moves, values):  # type: ignore[no-untyped-def]
    """Return the injected fluid and all fluid that enters a cell through its faces; write what can leave by each.

    ``moves`` becomes the mean volume passing along each axis; what the injected fluid carries is added to ``values``.
    """
    shape, span = step
    passing[:] = 0
    got, drawn = 0.0, 0.0
    stride = shape[0] * shape[1] * shape[2]
    for axis in range(3):
        stride //= shape[axis]
        below = fluxes[axis, cell - stride] * span if (cell // stride) % shape[axis] > 0 else 0.0
        above = fluxes[axis, cell] * span
        enter_low = moved[axis, cell - stride] if below > 0 else 0.0
        enter_high = moved[axis, cell] if above < 0 else 0.0
        drawn += max(below, 0.0) + max(-above, 0.0)
        passing[2 * axis], passing[2 * axis + 1] = max(-below, 0.0), max(above, 0.0)
        moves[axis] = 0.5 * (below + above)
        got += enter_low + enter_high
        for m in range(values.size):
            inflow = enter_low * carried[m, cell - stride] if enter_low > 0 else 0.0
            inflow += enter_high * carried[m, cell + stride] if enter_high > 0 else 0.0
            values[m] += inflow
    return got, drawn


@njit(**_OPTIONS)
def _settle(given, passing, has, room, piston):  # type: ignore[no-untyped-def]
    """Bring what a cell gives between what it has and what it cannot hold; the rest goes by flux share."""
    total = given.sum()
    if piston:
        given[:] = 0
        total = 0.0
    if total > has:
        for f in range(given.size):
            given[f] *= BELOW * has / total
        total = BELOW * has
    excess = has - room - total
    if excess > 0:
        left = passing.sum() - total
        if left >= excess:
            for f in range(given.size):
                given[f] += excess * (passing[f] - given[f]) / left
        elif passing.sum() > 0:
            for f in range(given.size):
                given[f] = passing[f] * (has - room) / passing.sum()


@njit(**_OPTIONS)
def _sources(share, volume, pressure, entering):  # type: ignore[no-untyped-def]
    """Return the mask of the cells that hold or get injected fluid before any passes, and these cells downstream."""
    known = np.zeros(share.size, np.bool_)
    for cell in range(share.size):
        known[cell] = (share[cell] > 0 or entering[cell] > 0) and volume[cell] > 0
    first = np.flatnonzero(known)
    return known, first[np.argsort(-pressure[first], kind="mergesort")]


@njit(**_OPTIONS)
def _pass_on(cell, given, moved, strides, known, pressure, waiting):  # type: ignore[no-untyped-def]
    """Write what a cell gives through its faces; a neighbour that gets its first injected fluid waits for its turn."""
    for face in range(6):
        if given[face] > 0:
            axis, upper = face // 2, face % 2 == 1
            other = cell + strides[axis] if upper else cell - strides[axis]
            moved[axis, cell if upper else other] = given[face]
            if not known[other]:
                known[other] = True
                heapq.heappush(waiting, (-pressure[other], other))


@njit(**_OPTIONS)
def advance_front(share, carried, cells, flow, outlets, span):  # type: ignore[no-untyped-def]
    """Advance ``share`` (flat) and ``carried`` ((m, n) values) in place by ``span``; return what left by each outlet.

    ``cells`` are (pore volume, pressure, number, planes), ``flow`` (fluxes (3, n), entering rate (n,), entering values
    (m, n), shape), ``outlets`` (cell sorted, rate outwards). Returns (volume (e,), values x volume (e, m), largest
    overfill).
    """
    volume, pressure, number, planes = cells
    fluxes, entering, brought, shape = flow
    places, rates = outlets
    strides = (shape[1] * shape[2], shape[2], 1)
    moved = np.zeros((3, share.size))
    gone, gone_values = np.zeros(places.size), np.zeros((places.size, carried.shape[0]))
    known, first = _sources(share, volume, pressure, entering)
    waiting = [(0.0, -1)]
    waiting.pop()
    most, done = 0.0, 0
    values = np.empty(carried.shape[0])
    passing, given, moves = np.empty(7), np.empty(7), np.empty(3)
    while done < first.size or len(waiting) > 0:
        if len(waiting) > 0 and (done >= first.size or waiting[0] < (-pressure[first[done]], first[done])):
            cell = heapq.heappop(waiting)[1]
        else:
            cell = first[done]
            done += 1
        got = entering[cell] * span
        for m in range(values.size):
            values[m] = share[cell] * volume[cell] * carried[m, cell] + got * brought[m, cell]
        entered, inflow = _gather(cell, fluxes, moved, carried, (shape, span), passing, moves, values)
        drawn = got + inflow
        got += entered
        moves /= volume[cell]
        begin, end = np.searchsorted(places, cell), np.searchsorted(places, cell, side="right")
        for e in range(begin, end):
            passing[6] += max(rates[e], 0.0) * span
            drawn += max(-rates[e], 0.0) * span
        for face in range(6):
            given[face] = _given(cell, face, passing[face], share, number, planes, moves) if passing[face] > 0 else 0.0
        given[6] = passing[6] * min(share[cell], 1.0)
        has = share[cell] * volume[cell] + got
        piston = NEARLY < share[cell] < 1 - MIXED and got >= PURE * drawn
        _settle(given, passing, has, volume[cell], piston)
        for m in range(values.size):
            carried[m, cell] = values[m] / has if has > 0 else 0.0
        share[cell] = (has - given.sum()) / volume[cell]
        most = max(most, share[cell] - 1)
        for e in range(begin, end):
            if rates[e] > 0 and passing[6] > 0:
                gone[e] = given[6] * (rates[e] * span / passing[6])
                for m in range(values.size):
                    gone_values[e, m] = gone[e] * carried[m, cell]
        _pass_on(cell, given, moved, strides, known, pressure, waiting)
    return gone, gone_values, most
