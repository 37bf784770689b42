"""The flow's compiled passes once more in plain NumPy, for the tests: slow, and written to be read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.kernels.flow_front import NEARLY, PURE
from vertecast.kernels.flow_planes import EVEN, MIXED, STEPS, THIN

Array = NDArray[Any]


def cut_cubes(normal: Array, alpha: Array) -> Array:
    """Return the part of the unit cube with normal . x < alpha, for (..., 3) normals >= 0 and (...) alphas."""
    total = normal.sum(axis=-1)
    m = np.maximum(normal / total[..., None], THIN)
    whole = m.sum(axis=-1)
    at = np.clip(alpha / total * whole, 0, whole)
    small = np.minimum(at, whole - at)
    volume = np.zeros_like(small)
    for corner in np.ndindex(2, 2, 2):
        sign = (-1) ** sum(corner)
        volume += sign * np.maximum(small - m @ np.array(corner, dtype=float), 0) ** 3
    part = np.clip(volume / (6 * np.prod(m, axis=-1)), 0, 0.5)
    found: Array = np.where(at < 0.5 * whole, part, 1 - part)
    return found


def planes(share: Array, live: NDArray[np.bool_]) -> Array:
    """Return (nx, ny, nz, 4) planes of the partly filled cells; nan where a cell is not."""
    padded, alive = np.pad(share, 1, mode="edge"), np.pad(live, 1, mode="edge")
    gradient = np.zeros((*share.shape, 3))
    for shift in np.ndindex(3, 3, 3):
        window = tuple(slice(s, s + n) for s, n in zip(shift, share.shape, strict=True))
        value = np.where(alive[window], padded[window], share)
        for axis in range(3):
            across = [2.0 if s == 1 else 1.0 for a, s in enumerate(shift) if a != axis]
            gradient[..., axis] += (1 - shift[axis]) * across[0] * across[1] * value
    out = np.full((*share.shape, 4), np.nan)
    for cell in zip(*np.nonzero(live & (share > MIXED) & (share < 1 - MIXED)), strict=True):
        size = np.abs(gradient[cell]).sum()
        if size < EVEN:
            out[cell] = 0
            continue
        normal = gradient[cell] / size
        low, high = 0.0, 1.0
        for _ in range(STEPS):
            middle = 0.5 * (low + high)
            if cut_cubes(np.abs(normal), np.array(middle)) < share[cell]:
                low = middle
            else:
                high = middle
        out[cell] = (*normal, 0.5 * (low + high))
    return out


def conductances(
    share: Array, live: NDArray[np.bool_], fluids: tuple[Array, Array], rock: tuple[Array, Array], fluxes: Array
) -> Array:
    """Return (3, nx, ny, nz) conductances of the upper faces, the two halves and the skin in series."""
    cut, out = planes(share, live), np.zeros_like(fluxes)
    injected, resident = fluids
    for axis in range(3):
        low = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        below = _half(share, cut, axis, upper=True)[low]
        above = _half(share, cut, axis, upper=False)[high]
        first = below * injected[low] + (1 - below) * resident[low]
        second = above * injected[high] + (1 - above) * resident[high]
        flux = fluxes[axis][low]
        thin = np.where(flux > 0, first, np.where(flux < 0, second, 0.5 * (first + second)))
        with np.errstate(divide="ignore"):
            series = 1 / (rock[0][axis][low] * first + rock[0][axis][high] * second + rock[1][axis][low] * thin)
        out[axis][low] = np.where(live[low] & live[high], series, 0.0)
    return out


def _half(share: Array, cut: Array, axis: int, *, upper: bool) -> Array:
    found = share.copy()
    for cell in zip(*np.nonzero(np.nan_to_num(cut[..., 3]) > 0), strict=True):
        plane = cut[cell]
        normal, alpha = np.abs(plane[:3]), plane[3]
        if upper == (plane[axis] >= 0):
            alpha -= 0.5 * normal[axis]
        normal[axis] *= 0.5
        found[cell] = cut_cubes(normal, np.array(alpha))
    return found


def advance(
    share: Array,
    values: Array,
    cells: tuple[Array, Array, NDArray[np.bool_]],
    flow: tuple[Array, Array, Array],
    drained: Sequence[tuple[int, float]],
    span: float,
) -> tuple[Array, Array, list[float]]:
    """Return share (nx, ny, nz), one carried value, and what left by each drain (flat cell, rate) after ``span``.

    ``cells`` are pore volume, pressure and live mask; ``flow`` fluxes, entering rate and entering value.
    """
    volume, pressure, live = cells
    fluxes, entering, brought = flow
    cut = planes(share, live)
    share, values = share.copy(), values.copy()
    pores, gone = share * volume, [0.0] * len(drained)
    got, got_value = entering * span, entering * span * brought
    for flat in np.argsort(-np.where(live, pressure, -np.inf).ravel(), kind="stable"):
        cell = np.unravel_index(flat, share.shape)
        if not live[cell]:
            continue
        faces, inflow, moves = _faces(fluxes, cell, span)
        drawn = inflow + float(entering[cell]) * span
        outs = [
            (size, _wet(cut[cell], axis, upper, moves / volume[cell], float(share[cell])))
            for axis, upper, size in faces
        ]
        leaving = [n for n, (where, rate) in enumerate(drained) if where == flat and rate > 0]
        drawn -= sum(rate * span for where, rate in drained if where == flat and rate < 0)
        outs += [(drained[n][1] * span, min(float(share[cell]), 1.0)) for n in leaving]
        has = float(pores[cell] + got[cell])
        if has <= 0:
            continue
        last = bool(NEARLY < share[cell] < 1 - MIXED and got[cell] >= PURE * drawn)
        passing, wet = np.array([size for size, _ in outs]), np.array([part for _, part in outs])
        given = _settled(passing, wet, has, float(volume[cell]), last)
        values[cell] = (pores[cell] * values[cell] + got_value[cell]) / has
        pores[cell] = has - given.sum()
        for (axis, upper, _), amount in zip(faces, given, strict=False):
            other = tuple(int(c) + (1 if upper else -1) * (a == axis) for a, c in enumerate(cell))
            got[other] += amount
            got_value[other] += amount * values[cell]
        for n, amount in zip(leaving, given[len(faces) :], strict=True):
            gone[n] = float(amount)
        share[cell] = pores[cell] / volume[cell]
    return share, values, gone


def _faces(fluxes: Array, cell: tuple[Any, ...], span: float) -> tuple[list[tuple[int, bool, float]], float, Array]:
    """Return the faces that fluid leaves by (axis, upper, volume), what enters in all, and the mean passage by axis."""
    leaving, entered, moves = [], 0.0, np.zeros(3)
    for axis in range(3):
        before = tuple(int(c) - (a == axis) for a, c in enumerate(cell))
        below = fluxes[axis][before] * span if cell[axis] > 0 else 0.0
        above = fluxes[axis][cell] * span
        moves[axis] = 0.5 * (below + above)
        entered += max(below, 0.0) + max(-above, 0.0)
        if below < 0:
            leaving.append((axis, False, -below))
        if above > 0:
            leaving.append((axis, True, above))
    return leaving, entered, moves


def _wet(plane: Array, axis: int, upper: bool, moves: Array, share: float) -> float:
    """Return the injected part of what passes a face while the plane moves."""
    if np.isnan(plane[3]):
        return 1.0 if share > 0.5 else 0.0
    if plane[3] == 0:
        return 0.0
    advance = float(plane[:3] @ moves)
    alpha = plane[3] + max(advance, 0.0) - (abs(plane[axis]) if upper == (plane[axis] >= 0) else 0.0)
    normal = np.abs(plane[:3])
    normal[axis] = abs(advance)
    return float(cut_cubes(normal, np.array(alpha)))


def _settled(passing: Array, wet: Array, has: float, room: float, last: bool) -> Array:
    given = np.zeros_like(passing) if last else passing * wet
    if given.sum() > has:
        given *= has / given.sum()
    excess = has - room - given.sum()
    left = passing.sum() - given.sum()
    if excess > 0 and left >= excess:
        given += excess * (passing - given) / left
    elif excess > 0 and passing.sum() > 0:
        given = passing * (has - room) / passing.sum()
    return given


def reached(free: NDArray[np.bool_], skin: Array, seeds: Array) -> NDArray[np.bool_]:
    """Return the free cells joined to a free seed, by spreading one face at a time."""
    found = np.zeros(free.shape, dtype=bool)
    found.ravel()[seeds] = True
    found &= free
    while True:
        before = found.copy()
        for axis in range(3):
            low = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
            high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
            joined = np.isfinite(skin[axis][low]) & free[low] & free[high] & (found[low] | found[high])
            found[low] |= joined
            found[high] |= joined
        if np.array_equal(found, before):
            return found
