"""Endplates brought from the label's staircase to the CT's own edge, below the size of a voxel.

A label says in which voxel an endplate lies; the CT says how much of that voxel is bone. Across an endplate a CT shows
disc, a thin bright plate and marrow, averaged over the voxel. That profile is fitted to every voxel near the label's
endplate at once: one smooth height field, with the brightness of disc, plate and marrow as unknowns beside it.
"""

from dataclasses import dataclass, replace
from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, ndimage, sparse, special

from vertecast.core.frames import Transform
from vertecast.core.quantities import quantity
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.spine.endplates import BodySurface, Endplate, fitted_plane, shrunk
from vertecast.spine.integrity import Piece
from vertecast.spine.surface import HeightField

_TERMS = 6  # a parabola over (x, y) for each of disc, plate and marrow
_FADE = 1.0  # mm over which voxels at the border of the window lose their weight
_REACH = 6.0  # mm round the body within which the CT is looked at
_SHARPEST = 0.15  # mm, least blur besides the voxel's own
_SETTLED = 0.003  # mm, a smaller step ends the fit
_STARTS = 0.5  # voxel steps from the label at which the fit is started too
_FIRST_SCALE = 50.0  # HU, residual before the first fit


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """How an endplate is found in the CT; ``data/spine/endplate_edge.toml``."""

    plate_thickness: float = quantity("mm", "thickness of the bony endplate")
    resolution: float = quantity("mm", "standard deviation of the scanner's point spread, the voxel's own included")
    marrow_reach: float = quantity("mm", "marrow looked at below the blurred plate")
    disc_reach: float = quantity("mm", "disc looked at beyond the blurred plate")
    rim: float = quantity("mm", "distance from the endplate's outline within which the CT is not asked")
    label_error: float = quantity("1", "standard deviation of the label's endplate at a point, in voxel steps")
    label_offset: float = quantity("1", "standard deviation of a label's size, outward or inward, in voxel steps")
    largest_move: float = quantity("1", "farthest that the CT may move an endplate from its label, in voxel steps")
    disc: float = quantity("HU", "usual brightness of a disc")
    disc_spread: float = quantity("HU", "standard deviation of a disc's mean brightness between patients")
    marrow: float = quantity("HU", "usual brightness of marrow under an endplate")
    marrow_spread: float = quantity("HU", "standard deviation of marrow's mean brightness between patients")
    plate: float = quantity("HU", "usual excess of the bony endplate over marrow")
    plate_spread: float = quantity("HU", "standard deviation of the plate's mean excess between patients")
    disc_variation: float = quantity("HU", "standard deviation of the disc's brightness over the endplate")
    marrow_variation: float = quantity("HU", "standard deviation of the marrow's brightness over the endplate")
    plate_variation: float = quantity("HU", "standard deviation of the plate's excess over marrow")
    correlation: float = quantity("1", "voxels that err together: noise grain, and what the profile does not describe")
    outlier: float = quantity("1", "residual in standard deviations at which a voxel has lost half its weight")
    smoothing_base: float = quantity("mm", "smoothing length for voxels of no size")
    smoothing_per_voxel: float = quantity("1", "smoothing length added per voxel step along the endplate's normal")
    offset_kept_to: float = quantity("mm", "voxel step up to which an endplate keeps the mean place of its label")
    several_starts_from: float = quantity("mm", "voxel step from which a plate may hide in more than one slice")
    rounds: float = quantity("1", "most Gauss-Newton steps")


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
    columns : (3, 3), mm: column ``a`` is the step of one voxel along array axis ``a``
    """

    points: NDArray[np.float64]
    hu: NDArray[np.float64]
    columns: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Window:
    """Voxels near one endplate, z turned so that outward is up.

    Parameters
    ----------
    z : (n,), mm
    slope : (n,), length of the surface's unscaled normal (-f_x, -f_y, 1)
    box, blur : (n,), mm: longest voxel edge along the normal, and the deviation of the rest of the blur
    hu, weight : (n,), HU and 0 to 1
    terms : (n, 6), of the parabola
    spread : (n, cells), bilinear weights of the plate's grid
    rows : (cells, k), spline basis at the grid's cells
    """

    z: NDArray[np.float64]
    slope: NDArray[np.float64]
    box: NDArray[np.float64]
    blur: NDArray[np.float64]
    hu: NDArray[np.float64]
    weight: NDArray[np.float64]
    terms: NDArray[np.float64]
    spread: sparse.csr_array
    rows: NDArray[np.float64]


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
    touching = ndimage.binary_dilation(others)[tuple(np.clip(nearest, 0, np.array(grid.shape) - 1).T)]
    points = vert_from_voxel.apply(index[~touching])
    return NearbyCt(points, hu.ravel()[~touching].astype(float), vert_from_voxel.matrix[:3, :3])


def refined_surface(
    surface: BodySurface, piece: Piece, body: NDArray[np.bool_], vert_from_lps: Transform, edge: CtEdge
) -> BodySurface:
    """Return the body with both endplates at the CT's edge; one that the CT does not show stays at its label."""
    ct = nearby_ct(edge.volume, body, piece.others, piece.grid, vert_from_lps)
    plates = [_refined(plate, ct, edge.settings, edge.inner_share) for plate in (surface.superior, surface.inferior)]
    return replace(surface, superior=plates[0], inferior=plates[1])


def _refined(plate: Endplate, ct: NearbyCt, p: EdgeSettings, inner_share: float) -> Endplate:
    window = _window(plate, ct, p)
    if window is None:
        return plate
    field = _fit(window, plate, p)
    x, y = np.meshgrid(plate.x, plate.y, indexing="ij")
    inner = shrunk(plate.inside, inner_share) & plate.inside
    # In fine voxels the label's mean place is as sure as the CT's, which hangs on thickness and blur: shape only.
    kept = float(np.clip((p.several_starts_from - plate.step) / (p.several_starts_from - p.offset_kept_to), 0.0, 1.0))
    moved = float((field.at(x[inner], y[inner]) - plate.field.at(x[inner], y[inner])).mean())
    field = replace(field, coefficients=field.coefficients - kept * moved)
    plane = fitted_plane(np.stack([x[inner], y[inner], field.at(x[inner], y[inner])], axis=1))
    return replace(plate, field=field, plane=plane)


def _window(plate: Endplate, ct: NearbyCt, p: EdgeSettings) -> _Window | None:
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
    if keep.sum() < 20 * _TERMS:
        return None
    spread, cells = _bilinear(at[:, keep], plate.inside.shape)
    rows = plate.field.rows(x.ravel()[cells], y.ravel()[cells])
    half = 0.5 * np.ptp(points[keep, :2], axis=0)
    u, v = ((points[keep, :2] - points[keep, :2].mean(axis=0)) / half).T
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    z = sign * points[keep, 2]
    return _Window(z, slope[keep], box[keep], blur[keep], hu[keep], weight[keep], terms, spread, sign * rows)


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


@dataclass(frozen=True, eq=False)
class _State:
    """Where the fit stands.

    Parameters
    ----------
    coefficients : (k,), mm, of the spline
    brightness : (18,), HU, of disc, marrow and plate
    precision : (k, k), 1/mm², of the coefficients before the last step
    scale : HU, robust standard deviation of the residuals before the last step
    """

    coefficients: NDArray[np.float64]
    brightness: NDArray[np.float64]
    precision: NDArray[np.float64]
    scale: float


@dataclass(frozen=True, eq=False)
class _Prior:
    """What holds the endplate where the CT does not: the label, and bending.

    Parameters
    ----------
    start : (k,), the label's own coefficients
    precision : (k, k), 1/mm², about ``start``
    bending : (k, k), times the fourth power of the smoothing length
    area : mm² over which the CT's information is spread
    limit : mm
    usual, firmness : (18,), HU and 1/HU²: brightness of disc, marrow and plate, and how firmly it is held
    """

    start: NDArray[np.float64]
    precision: NDArray[np.float64]
    bending: NDArray[np.float64]
    area: float
    limit: float
    usual: NDArray[np.float64]
    firmness: NDArray[np.float64]


def _fit(window: _Window, plate: Endplate, p: EdgeSettings) -> HeightField:
    """Gauss-Newton over the spline and the brightnesses, with weights that shun what fits badly."""
    prior = _prior(plate, window, p)
    thick = plate.step >= p.several_starts_from
    shifts = np.array([0.0, -_STARTS, _STARTS] if thick else [0.0]) * plate.step
    tries = [_settled(prior.start + shift, window, prior, p) for shift in shifts]
    scale = float(np.median([one.scale for one in tries]))
    best = min(tries, key=lambda one: _cost(one, scale, window, prior, p))
    field = plate.field
    factor = linalg.cholesky(best.precision, lower=True)
    return replace(field, coefficients=best.coefficients.reshape(field.coefficients.shape), factor=factor)


def _settled(start: NDArray[np.float64], window: _Window, prior: _Prior, p: EdgeSettings) -> _State:
    """Run the steps from one start: the blurred profile of a thin plate has a valley in every slice it may lie in."""
    model, design, _ = _profile(window, start, prior.usual, p.plate_thickness)
    by_weight = design * (window.weight / _FIRST_SCALE**2)[:, None]
    square = by_weight.T @ design + np.diag(prior.firmness)
    brighter = linalg.solve(square, by_weight.T @ (window.hu - model), assume_a="pos")
    state = _State(start, prior.usual + brighter, prior.precision, _FIRST_SCALE)
    for _ in range(int(p.rounds)):
        before, state = state, _improved(state, window, prior, p)
        if float(np.abs(state.coefficients - before.coefficients).max()) < _SETTLED:
            break
    return state


def _cost(state: _State, scale: float, window: _Window, prior: _Prior, p: EdgeSettings) -> float:
    """Negative log likelihood of the CT with Cauchy tails, and of the label and the brightness."""
    rest = window.hu - _profile(window, state.coefficients, state.brightness, p.plate_thickness)[0]
    misfit = 0.5 * p.outlier**2 / p.correlation * np.log1p((rest / (p.outlier * scale)) ** 2)
    moved, unusual = state.coefficients - prior.start, state.brightness - prior.usual
    held = 0.5 * float(moved @ prior.precision @ moved) + 0.5 * float(prior.firmness @ unusual**2)
    return float(window.weight @ misfit) + held


def _prior(plate: Endplate, window: _Window, p: EdgeSettings) -> _Prior:
    """Turn the label's field into a Gaussian prior.

    Notes
    -----
    A staircase errs over wide areas at once, so the label's normal matrix is weakened until its error at a point is
    ``label_error``. Its unknown offset, outward or inward, is eliminated: a shift of the whole field becomes cheap,
    its shape stays as certain as before.
    """
    field = plate.field
    x, y = np.meshgrid(plate.x, plate.y, indexing="ij")
    typical = float(np.median(field.deviation(x[plate.inside], y[plate.inside])))
    precision = field.factor @ field.factor.T * min(typical / (p.label_error * plate.step), 1.0) ** 2
    pull = precision.sum(axis=1)
    offset = p.label_offset * plate.step
    precision = precision - np.outer(pull, pull) / (float(pull.sum()) + 1.0 / offset**2)
    smoothing = p.smoothing_base + p.smoothing_per_voxel * plate.step
    area = (plate.x[1] - plate.x[0]) ** 2 * window.spread.shape[1]
    bending = field.bending() * smoothing**4
    spreads = [p.disc_spread, p.disc_variation, p.marrow_spread, p.marrow_variation, p.plate_spread, p.plate_variation]
    firmness = np.repeat(np.array(spreads) ** -2.0, [1, _TERMS - 1] * 3)
    usual = np.zeros(3 * _TERMS)
    usual[::_TERMS] = p.disc, p.marrow, p.plate
    return _Prior(
        field.coefficients.ravel(), precision, bending, float(area), p.largest_move * plate.step, usual, firmness
    )


def _improved(state: _State, window: _Window, prior: _Prior, p: EdgeSettings) -> _State:
    """Take one Gauss-Newton step."""
    model, design, toward = _profile(window, state.coefficients, state.brightness, p.plate_thickness)
    rest = window.hu - model
    scale = 1.4826 * float(np.median(np.abs(rest[window.weight >= 0.5])))
    weight = window.weight / (1.0 + (rest / (p.outlier * scale)) ** 2) / (p.correlation * scale**2)
    along = toward * weight
    stiff = prior.bending * (float(along @ toward) / prior.area)
    local = window.spread.T @ (sparse.diags_array(along * toward) @ window.spread)
    normal = window.rows.T @ (local @ window.rows) + prior.precision + stiff
    cross = window.rows.T @ (window.spread.T @ (along[:, None] * design))
    square = design.T @ (weight[:, None] * design)
    square[np.diag_indices(len(square))] += prior.firmness
    solved = linalg.solve(square, cross.T, assume_a="pos")
    precision = normal - cross @ solved
    precision[np.diag_indices(len(precision))] += 1e-9 * float(np.trace(precision)) / len(precision)
    pull = window.rows.T @ (window.spread.T @ (along * rest))
    pull -= prior.precision @ (state.coefficients - prior.start) + stiff @ state.coefficients
    side = design.T @ (weight * rest) - prior.firmness * (state.brightness - prior.usual)
    move = linalg.solve(precision, pull - solved.T @ side, assume_a="pos")
    moved = prior.start + np.clip(state.coefficients + move - prior.start, -prior.limit, prior.limit)
    brighter = state.brightness + linalg.solve(square, side, assume_a="pos") - solved @ move
    return _State(moved, brighter, precision, scale)


def _profile(
    window: _Window, coefficients: NDArray[np.float64], brightness: NDArray[np.float64], thickness: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the HU (n,) of each voxel, how they follow from the brightnesses (n, 18), and from the plate's rise (n,).

    Notes
    -----
    HU = D (1 - S(d)) + M S(d) + E (S(d) - S(d + T)), with S the share of the voxel below a surface that its centre
    lies d above, T the plate's thickness, and disc D, marrow M and the plate's excess E parabolas over (x, y).
    """
    d = (window.z - window.spread @ (window.rows @ coefficients)) / window.slope
    outer, outer_density = _inside(d, window)
    inner, inner_density = _inside(d + thickness, window)
    shares = [1.0 - outer, outer, outer - inner]
    design = np.concatenate([share[:, None] * window.terms for share in shares], axis=1)
    disc, marrow, plate = (window.terms @ one for one in brightness.reshape(3, _TERMS))
    rise = (marrow - disc) * outer_density + plate * (outer_density - inner_density)
    return design @ brightness, design, rise / window.slope


def _inside(d: NDArray[np.float64], window: _Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of each voxel that lies below a surface, for centres ``d`` mm beyond it, and how fast it falls with ``d``.

    The voxel's longest edge along the normal is a box; its other edges and the scanner's spread are a Gaussian.
    """
    ends = [(d + half) / window.blur for half in (0.5 * window.box, -0.5 * window.box)]
    cdf = [special.ndtr(end) for end in ends]
    area = [end * c + np.exp(-0.5 * end**2) / sqrt(2.0 * pi) for end, c in zip(ends, cdf, strict=True)]
    share = 1.0 - (area[0] - area[1]) * window.blur / window.box
    return share, (cdf[0] - cdf[1]) / window.box
