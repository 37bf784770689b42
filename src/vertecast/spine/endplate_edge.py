"""Endplates brought from the label's staircase to the CT's own edge, below the size of a voxel.

A label says in which voxel an endplate lies; the CT says how much of that voxel is bone. Across an endplate a CT shows
disc, a thin bright plate and marrow, averaged over the voxel. That profile is fitted to every voxel near the label's
endplate at once: one smooth height field, with the brightness of disc, plate and marrow as unknowns beside it.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from vertecast.core.frames import Transform
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.spine.endplate_profile import TERMS, EdgeSettings, EdgeWindow, fit_edge
from vertecast.spine.endplates import BodySurface, Endplate, fitted_plane, shrunk
from vertecast.spine.integrity import Piece

_FADE = 1.0  # mm over which voxels at the border of the window lose their weight
_REACH = 6.0  # mm round the body within which the CT is looked at
_SHARPEST = 0.15  # mm, least blur besides the voxel's own


@dataclass(frozen=True, eq=False)
class CtEdge:
    """The CT, how an endplate is found in it, and the share of the outline over which its plane is fitted."""

    volume: Volume
    settings: EdgeSettings
    inner_share: float


@dataclass(frozen=True, eq=False)
class NearbyCt:
    """The CT round a body, in its frame.

    Parameters
    ----------
    points : (n, 3), mm, voxel centres
    hu : (n,), HU
    within : (n,), whether the voxel is labelled as the body
    columns : (3, 3), mm: column ``a`` is the step of one voxel along array axis ``a``
    """

    points: NDArray[np.float64]
    hu: NDArray[np.float64]
    within: NDArray[np.bool_]
    columns: NDArray[np.float64]


def nearby_ct(
    volume: Volume, body: NDArray[np.bool_], others: NDArray[np.bool_], grid: Grid, vert_from_lps: Transform
) -> NearbyCt:
    """Cut the CT round a body and put its voxels into the vertebral frame, but for those that touch another vertebra.

    Parameters
    ----------
    body, others : (nx, ny, nz), on ``grid``: the body, and what is labelled as another vertebra
    """
    corners = volume.grid.to_voxel(grid.to_lps(np.argwhere(body)))
    margin = np.ceil(_REACH / volume.grid.spacing)
    low = np.maximum(np.floor(corners.min(axis=0) - margin + 0.5), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0) + margin - 0.5) + 1, volume.grid.shape).astype(int)
    hu = volume.hu[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    vert_from_voxel = vert_from_lps @ volume.grid.lps_from_voxel
    index = np.stack([axis.ravel() for axis in np.indices(hu.shape)], axis=1) + low
    nearest = np.rint((grid.lps_from_voxel.inverse @ volume.grid.lps_from_voxel).apply(index)).astype(np.intp)
    cells = tuple(np.clip(nearest, 0, np.array(grid.shape) - 1).T)
    free = ~ndimage.binary_dilation(others)[cells]
    points = vert_from_voxel.apply(index[free])
    return NearbyCt(points, hu.ravel()[free].astype(float), body[cells][free], vert_from_voxel.matrix[:3, :3])


def refined_surface(
    surface: BodySurface, piece: Piece, body: NDArray[np.bool_], vert_from_lps: Transform, edge: CtEdge
) -> BodySurface:
    """Return the body with both endplates at the CT's edge; one that the CT does not show stays at its label."""
    ct = nearby_ct(edge.volume, body, piece.others, piece.grid, vert_from_lps)
    marrow = _usual_marrow(surface, ct, edge.settings)
    plates = [_refined(plate, ct, marrow, edge) for plate in (surface.superior, surface.inferior)]
    return replace(surface, superior=plates[0], inferior=plates[1])


def _usual_marrow(surface: BodySurface, ct: NearbyCt, p: EdgeSettings) -> float:
    """HU: median of the body's interior; the middle of what is believed where there is none."""
    x, y, z = ct.points.T
    depth = np.minimum(surface.superior.plane_at(x, y) - z, z - surface.inferior.plane_at(x, y))
    inner = ct.hu[ct.within & (depth >= p.marrow_depth)]
    usual = float(np.median(inner)) if inner.size else 0.5 * (p.marrow_least + p.marrow_most)
    return float(np.clip(usual, p.marrow_least, p.marrow_most))


def _refined(plate: Endplate, ct: NearbyCt, marrow: float, edge: CtEdge) -> Endplate:
    p = edge.settings
    window = _window(plate, ct, marrow, p)
    if window is None:
        return plate
    field = fit_edge(window, plate, p)
    x, y = np.meshgrid(plate.x, plate.y, indexing="ij")
    inner = shrunk(plate.inside, edge.inner_share) & plate.inside
    # In fine voxels the label's mean place is as sure as the CT's, which hangs on thickness and blur: shape only.
    kept = float(np.clip((p.several_starts_from - plate.step) / (p.several_starts_from - p.offset_kept_to), 0.0, 1.0))
    moved = float((field.at(x[inner], y[inner]) - plate.field.at(x[inner], y[inner])).mean())
    field = replace(field, coefficients=field.coefficients - kept * moved)
    plane = fitted_plane(np.stack([x[inner], y[inner], field.at(x[inner], y[inner])], axis=1))
    return replace(plate, field=field, plane=plane)


def _window(plate: Endplate, ct: NearbyCt, marrow: float, p: EdgeSettings) -> EdgeWindow | None:
    """Choose the voxels that show the endplate: inside its outline, from some marrow below to some disc beyond."""
    sign, pitch = plate.side.sign, plate.x[1] - plate.x[0]
    at = np.stack([(ct.points[:, 0] - plate.x[0]) / pitch, (ct.points[:, 1] - plate.y[0]) / pitch])
    within = ((at > 0.0) & (at < np.array(plate.inside.shape)[:, None] - 1.001)).all(axis=0)
    reach = p.marrow_reach + p.plate_thickness + plate.step + 4.0 * p.resolution
    first = plate.plane_at(ct.points[:, 0], ct.points[:, 1])
    within &= np.abs(ct.points[:, 2] - first) < reach + 6.0  # an endplate lies within 6 mm of its plane
    at, points, hu = at[:, within], ct.points[within], ct.hu[within]
    x, y = np.meshgrid(plate.x, plate.y, indexing="ij")
    heights = plate.field.at(x, y)
    grids = [heights, *np.gradient(heights, pitch), ndimage.distance_transform_edt(plate.inside) * pitch]
    height, slope_x, slope_y, depth = (ndimage.map_coordinates(one, at, order=1) for one in grids)
    slope = np.sqrt(1.0 + slope_x**2 + slope_y**2)
    normals = np.stack([-slope_x, -slope_y, np.ones_like(slope)], axis=1) / slope[:, None]
    edges = np.sort(np.abs(normals @ ct.columns), axis=1)
    spread = (normals @ (ct.columns * _unseen(ct.columns, p.resolution))) ** 2
    box, blur = edges[:, 2], np.sqrt(spread.sum(axis=1) + (edges[:, :2] ** 2).sum(axis=1) / 12.0)
    outward = sign * (points[:, 2] - height) / slope
    beyond = 0.5 * box + blur
    weight = _faded(depth - p.rim) * _faded(beyond + p.disc_reach - outward)
    weight *= _faded(outward + beyond + p.plate_thickness + p.marrow_reach)
    keep = weight > 0.0
    if keep.sum() < 20 * TERMS:
        return None
    spread, cells = _bilinear(at[:, keep], plate.inside.shape)
    rows = plate.field.rows(x.ravel()[cells], y.ravel()[cells])
    half = 0.5 * np.ptp(points[keep, :2], axis=0)
    u, v = ((points[keep, :2] - points[keep, :2].mean(axis=0)) / half).T
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    z = sign * points[keep, 2]
    return EdgeWindow(z, slope[keep], box[keep], blur[keep], hu[keep], weight[keep], terms, spread, sign * rows, marrow)


def _unseen(columns: NDArray[np.float64], resolution: float) -> NDArray[np.float64]:
    """(3,), in voxel edges: the blur along each array axis that is not the voxel's own: little in a thick slice."""
    edges = np.linalg.norm(columns, axis=0)
    variance = np.maximum(resolution**2 - edges**2 / 12.0, _SHARPEST**2)
    return np.asarray(np.sqrt(variance) / edges)


def _faded(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(distance / _FADE, 0.0, 1.0)


def _bilinear(at: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[sparse.csr_array, NDArray[np.intp]]:
    """Weights of the grid's cells at fractional places, over the cells that are touched, and which those are."""
    base = np.floor(at).astype(np.intp)
    share = at - base
    columns, values = [], []
    for i in (0, 1):
        for j in (0, 1):
            columns.append((base[0] + i) * shape[1] + base[1] + j)
            values.append(np.abs(1 - i - share[0]) * np.abs(1 - j - share[1]))
    cells, index = np.unique(np.stack(columns, axis=1), return_inverse=True)
    count = at.shape[1]
    starts = np.arange(0, 4 * count + 1, 4)
    matrix = sparse.csr_array((np.stack(values, axis=1).ravel(), index.ravel(), starts), shape=(count, len(cells)))
    return matrix, cells
