"""A closed surface from a level set: a balloon on voxels becomes triangles whose chords the projector adds up."""

import itertools

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.fluoro.scene import ClosedSurface
from vertecast.imaging.grid import Grid
from vertecast.physics.attenuation import Material

_NEAREST = 1e-3
_LONE = {0: (0, 1, 2, 3), 1: (1, 0, 3, 2), 2: (2, 0, 1, 3), 3: (3, 0, 2, 1)}
_PAIRS = {(0, 1): (2, 3), (0, 2): (3, 1), (0, 3): (1, 2), (1, 2): (0, 3), (1, 3): (2, 0), (2, 3): (0, 1)}
"""Even orders of a tetrahedron's corners, so that its faces keep their outer side."""


def level_set_surface(
    distance: NDArray[np.floating], grid: Grid, material: Material, *, displaces: bool = True
) -> ClosedSurface:
    """Find the surface where a field changes sign, by marching tetrahedra.

    Parameters
    ----------
    distance : (nx, ny, nz), any unit
        Negative inside: a signed distance, or ``0.5 - fraction`` of a mask. Outside the array all is outside.
    grid : where its samples are
    material, displaces : see :class:`ClosedSurface`

    Returns
    -------
    ClosedSurface
        Closed whatever the field, since neighbouring cells share their edges' points.

    Raises
    ------
    GeometryError
        If the shapes differ, a value is not finite, or nothing is inside.

    References
    ----------
    .. [1] H. W. Kuhn, IBM J. Res. Dev. 4 (1960) 518: the six tetrahedra of a cube that fit their neighbours'.
    """
    if distance.shape != grid.shape:
        raise GeometryError(f"level set has shape {distance.shape}, its grid {grid.shape}; give them alike")
    if not np.isfinite(distance).all():
        raise GeometryError("level set holds values that are not finite; fill them with a positive distance")
    if not (distance < 0).any():
        raise GeometryError("level set is nowhere negative, so nothing is inside; inflate the balloon first")
    padded = np.pad(np.asarray(distance, float), 1, constant_values=float(np.abs(distance).max()) or 1.0)
    corners, values = _crossed_cells(padded)
    edges = np.concatenate([_triangles(corners[:, t], values[:, t]) for t in _tetrahedra()])
    keys, faces = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True)
    faces = faces.reshape(-1, 3)
    flat = padded.ravel()
    part = np.clip(flat[keys[:, 0]] / (flat[keys[:, 0]] - flat[keys[:, 1]]), _NEAREST, 1 - _NEAREST)[:, None]
    low, high = (np.stack(np.unravel_index(keys[:, i], padded.shape), axis=-1) - 1.0 for i in (0, 1))
    if np.linalg.det(grid.directions) < 0:
        faces = faces[:, ::-1]
    return ClosedSurface(grid.to_lps(low + part * (high - low)), faces, material, displaces)


def _crossed_cells(padded: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Corners of the cells the surface passes, (n, 8) flat indices with x, y, z as bits 1, 2, 4, and their values."""
    inside = padded < 0
    ends = (slice(None, -1), slice(1, None))
    count = np.zeros([n - 1 for n in padded.shape], np.int8)
    for corner in itertools.product((0, 1), repeat=3):
        count += inside[ends[corner[0]], ends[corner[1]], ends[corner[2]]]
    cells = np.argwhere((count > 0) & (count < 8))
    offsets = np.array([((b & 1), (b >> 1) & 1, (b >> 2) & 1) for b in range(8)])
    places = cells[:, None] + offsets
    corners = np.ravel_multi_index(tuple(np.moveaxis(places, -1, 0)), padded.shape)
    return np.asarray(corners), padded.ravel()[corners]


def _tetrahedra() -> list[list[int]]:
    """Return the six of a cube, all of positive volume: from corner 0 to corner 7 along the axes in each order."""
    found = []
    for a, b, c in itertools.permutations((1, 2, 4)):
        odd = (a, b, c) in ((2, 1, 4), (1, 4, 2), (4, 2, 1))
        found.append([0, a + b, a, 7] if odd else [0, a, a + b, 7])
    return found


def _triangles(corners: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cut tetrahedra, (n, 4): (m, 3, 2), each triangle's points as edges between two samples, outer side first."""
    inside = values < 0
    count = inside.sum(axis=1)
    found = []
    for lone, (a, b, c, d) in _LONE.items():
        ring = ((a, b), (a, c), (a, d))
        found.append(_edges(corners[(count == 1) & inside[:, lone]], ring))
        found.append(_edges(corners[(count == 3) & ~inside[:, lone]], ring[::-1]))
    for (a, b), (c, d) in _PAIRS.items():
        chosen = corners[(count == 2) & inside[:, a] & inside[:, b]]
        found.append(_edges(chosen, ((a, c), (a, d), (b, d))))
        found.append(_edges(chosen, ((a, c), (b, d), (b, c))))
    return np.concatenate(found)


def _edges(corners: NDArray[np.int64], ring: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
    return np.asarray(np.sort(np.stack([corners[:, pair] for pair in ring], axis=1), axis=-1))
