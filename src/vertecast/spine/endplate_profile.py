"""The blurred profile across an endplate, fitted to the CT's voxels: one smooth height field and its brightnesses.

A thin plate has a valley in every slice it may lie in, so the fit starts stiff (the label's own shape, usual
brightnesses) and is let loose step by step.
"""

from dataclasses import dataclass, replace
from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse, special

from vertecast.core.quantities import quantity
from vertecast.spine.endplates import Endplate
from vertecast.spine.surface import HeightField

TERMS = 6  # a parabola over (x, y) for each of disc, plate and marrow
_SETTLED = 0.003  # mm, a smaller step ends the fit
_STARTS = 0.5  # voxel steps from the label at which the fit is started too
_FIRST_SCALE = 50.0  # HU, residual before the first fit
_EASING = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3)  # how much stiffer the first steps are


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
    marrow_depth: float = quantity("mm", "least distance from both endplates of the marrow that tells what is usual")
    marrow_least: float = quantity("HU", "darkest marrow that is believed to be usual")
    marrow_most: float = quantity("HU", "brightest marrow that is believed to be usual")
    marrow_spread: float = quantity("HU", "standard deviation of marrow under an endplate about the body's own")
    plate: float = quantity("HU", "usual excess of the bony endplate over marrow")
    plate_spread: float = quantity("HU", "standard deviation of the plate's mean excess between patients")
    disc_variation: float = quantity("HU", "standard deviation of the disc's brightness over the endplate")
    marrow_variation: float = quantity("HU", "standard deviation of the marrow's brightness over the endplate")
    plate_variation: float = quantity("HU", "standard deviation of the plate's excess over marrow")
    correlation: float = quantity("1", "voxels that err together: noise grain, and what the profile does not describe")
    outlier: float = quantity("1", "residual in standard deviations at which a voxel has lost half its weight")
    smoothing: float = quantity("mm", "smoothing length: a wave of 2 pi times it keeps half of its height")
    offset_kept_to: float = quantity("mm", "voxel step up to which an endplate keeps the mean place of its label")
    several_starts_from: float = quantity("mm", "voxel step from which a plate may hide in more than one slice")
    rounds: float = quantity("1", "most Gauss-Newton steps")


@dataclass(frozen=True, eq=False)
class EdgeWindow:
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
    marrow : HU, usual for this body
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
    marrow: float


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


def fit_edge(window: EdgeWindow, plate: Endplate, p: EdgeSettings) -> HeightField:
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


def _settled(start: NDArray[np.float64], window: EdgeWindow, prior: _Prior, p: EdgeSettings) -> _State:
    """Run the steps from one start, stiff at first: so the fit falls into the valley that suits the whole endplate."""
    model, design, _ = _profile(window, start, prior.usual, p.plate_thickness)
    by_weight = design * (window.weight / _FIRST_SCALE**2)[:, None]
    square = by_weight.T @ design + np.diag(prior.firmness * (1.0 + _EASING[0]))
    brighter = linalg.solve(square, by_weight.T @ (window.hu - model), assume_a="pos")
    state = _State(start, prior.usual + brighter, prior.precision, _FIRST_SCALE)
    for ease in _EASING:
        state = _improved(state, window, prior, p, ease)
    for _ in range(int(p.rounds)):
        before, state = state, _improved(state, window, prior, p)
        if float(np.abs(state.coefficients - before.coefficients).max()) < _SETTLED:
            break
    return state


def _cost(state: _State, scale: float, window: EdgeWindow, prior: _Prior, p: EdgeSettings) -> float:
    """Negative log likelihood of the CT with Cauchy tails, and of the label and the brightness."""
    rest = window.hu - _profile(window, state.coefficients, state.brightness, p.plate_thickness)[0]
    misfit = 0.5 * p.outlier**2 / p.correlation * np.log1p((rest / (p.outlier * scale)) ** 2)
    moved, unusual = state.coefficients - prior.start, state.brightness - prior.usual
    held = 0.5 * float(moved @ prior.precision @ moved) + 0.5 * float(prior.firmness @ unusual**2)
    return float(window.weight @ misfit) + held


def _prior(plate: Endplate, window: EdgeWindow, p: EdgeSettings) -> _Prior:
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
    area = (plate.x[1] - plate.x[0]) ** 2 * window.spread.shape[1]
    bending = field.bending() * p.smoothing**4
    spreads = [p.disc_spread, p.disc_variation, p.marrow_spread, p.marrow_variation, p.plate_spread, p.plate_variation]
    firmness = np.repeat(np.array(spreads) ** -2.0, [1, TERMS - 1] * 3)
    usual = np.zeros(3 * TERMS)
    usual[::TERMS] = p.disc, window.marrow, p.plate
    return _Prior(
        field.coefficients.ravel(), precision, bending, float(area), p.largest_move * plate.step, usual, firmness
    )


def _improved(state: _State, window: EdgeWindow, prior: _Prior, p: EdgeSettings, ease: float = 0.0) -> _State:
    """Take one Gauss-Newton step; ``ease`` times stiffer against leaving the label's shape and usual brightnesses."""
    model, design, toward = _profile(window, state.coefficients, state.brightness, p.plate_thickness)
    rest = window.hu - model
    scale = 1.4826 * float(np.median(np.abs(rest[window.weight >= 0.5])))
    weight = window.weight / (1.0 + (rest / (p.outlier * scale)) ** 2) / (p.correlation * scale**2)
    along = toward * weight
    stiff = prior.bending * (float(along @ toward) / prior.area)
    held, firmness = prior.precision + ease * stiff, (1.0 + ease) * prior.firmness
    local = window.spread.T @ (sparse.diags_array(along * toward) @ window.spread)
    normal = window.rows.T @ (local @ window.rows) + held + stiff
    cross = window.rows.T @ (window.spread.T @ (along[:, None] * design))
    square = design.T @ (weight[:, None] * design)
    square[np.diag_indices(len(square))] += firmness
    solved = linalg.solve(square, cross.T, assume_a="pos")
    precision = normal - cross @ solved
    precision[np.diag_indices(len(precision))] += 1e-9 * float(np.trace(precision)) / len(precision)
    pull = window.rows.T @ (window.spread.T @ (along * rest))
    pull -= held @ (state.coefficients - prior.start) + stiff @ state.coefficients
    side = design.T @ (weight * rest) - firmness * (state.brightness - prior.usual)
    move = linalg.solve(precision, pull - solved.T @ side, assume_a="pos")
    moved = prior.start + np.clip(state.coefficients + move - prior.start, -prior.limit, prior.limit)
    brighter = state.brightness + linalg.solve(square, side, assume_a="pos") - solved @ move
    return _State(moved, brighter, precision, scale)


def _profile(
    window: EdgeWindow, coefficients: NDArray[np.float64], brightness: NDArray[np.float64], thickness: float
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
    disc, marrow, plate = (window.terms @ one for one in brightness.reshape(3, TERMS))
    rise = (marrow - disc) * outer_density + plate * (outer_density - inner_density)
    return design @ brightness, design, rise / window.slope


def _inside(d: NDArray[np.float64], window: EdgeWindow) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of each voxel that lies below a surface, for centres ``d`` mm beyond it, and how fast it falls with ``d``.

    The voxel's longest edge along the normal is a box; its other edges and the scanner's spread are a Gaussian.
    """
    ends = [(d + half) / window.blur for half in (0.5 * window.box, -0.5 * window.box)]
    cdf = [special.ndtr(end) for end in ends]
    area = [end * c + np.exp(-0.5 * end**2) / sqrt(2.0 * pi) for end, c in zip(ends, cdf, strict=True)]
    share = 1.0 - (area[0] - area[1]) * window.blur / window.box
    return share, (cdf[0] - cdf[1]) / window.box
