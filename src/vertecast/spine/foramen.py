"""The vertebral foramen: where the vertebra can be looked through along the canal, and the body in front of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.spine.integrity import Piece

_WORK_PITCH = (
    1.25  # mm: fine enough for a thoracic canal of 14 mm, coarse enough for a hundred looks in a tenth of a second
)
_PIXEL = 1.5  # mm of the shadow's pixels, larger than the work pitch so that a turned lattice leaves no gaps
_PITCHES = np.deg2rad(np.arange(-42.0, 43.0, 7.0))
_ROLLS = np.deg2rad(np.arange(-21.0, 22.0, 7.0))
_REFINEMENTS = np.deg2rad([3.5, 1.75])
_CLOSINGS = (1, 3)  # pixels: first as it is, then a bridge over a gap in the arch (thin laminae in thick voxels)


@dataclass(frozen=True, eq=False)
class Foramen:
    """What one sees along the canal, in LPS.

    Parameters
    ----------
    axis_lps : (3,), unit, superior
    centre_lps : (3,), mm, centre of the canal at the vertebra's middle height
    body_lps : (3,), mm, middle of the body's shadow at the vertebra's middle height
    half_width : mm, half of the canal's left-right extent
    closed : whether the ring of bone was found; otherwise the canal is guessed behind the body
    """

    axis_lps: NDArray[np.float64]
    centre_lps: NDArray[np.float64]
    body_lps: NDArray[np.float64]
    half_width: float
    closed: bool


@dataclass(frozen=True, eq=False)
class _Shadow:
    image: NDArray[np.bool_]
    origin: NDArray[np.float64]
    across: NDArray[np.float64]  # (2, 3), the two directions of the image in LPS: left-like, posterior-like


def find_foramen(piece: Piece, axis_lps: NDArray[np.float64]) -> Foramen:
    """Find the canal of one vertebra by looking through it in many directions round ``axis_lps``.

    Parameters
    ----------
    axis_lps : (3,), unit, superior; a first guess, from the line of centroids

    Raises
    ------
    GeometryError
        If nothing body-like lies in front of the canal.
    """
    points = _work_points(piece)
    centre = points.mean(axis=0)
    for closing in _CLOSINGS:
        found = _best_view(points - centre, axis_lps, closing)
        if found is not None:
            axis, shadow, hole = found
            return _described(points - centre, centre, axis, shadow, hole)
    return _without_ring(points - centre, centre, axis_lps)


def _work_points(piece: Piece) -> NDArray[np.float64]:
    steps = piece.grid.spacing
    shape = tuple(int(np.ceil(n * s / _WORK_PITCH)) for n, s in zip(piece.mask.shape, steps, strict=True))
    scale = _WORK_PITCH / steps
    # Centred on the crop, so that a mirrored vertebra is looked at in mirrored places.
    first = 0.5 * (np.array(piece.mask.shape) - 1.0 - (np.array(shape) - 1.0) * scale)
    soft = ndimage.affine_transform(piece.mask.astype(np.float32), scale, offset=first, output_shape=shape, order=1)
    return piece.grid.to_lps(first + np.argwhere(soft >= 0.5) * scale)


def _view(axis: NDArray[np.float64], pitch: float, roll: float) -> NDArray[np.float64]:
    """(3, 3): left-like, posterior-like and superior axis after tilting the guess about left and about posterior."""
    left = np.cross([0.0, 1.0, 0.0], axis)
    left /= np.linalg.norm(left)
    posterior = np.cross(axis, left)
    tilted = np.cos(pitch) * axis + np.sin(pitch) * posterior
    tilted = np.cos(roll) * tilted + np.sin(roll) * left
    left = left - tilted * float(left @ tilted)
    left /= np.linalg.norm(left)
    return np.array([left, np.cross(tilted, left), tilted])


def _shadow(points: NDArray[np.float64], view: NDArray[np.float64], closing: int) -> _Shadow:
    flat = view[:2] @ points.T
    # The pixel lattice is symmetric about the centroid, so that a mirrored vertebra casts a mirrored shadow.
    reach = np.ceil(np.abs(flat).max(axis=1) / _PIXEL) + closing + 2
    i, j = np.rint(flat / _PIXEL + reach[:, None]).astype(np.intp)
    shape = tuple(int(n) for n in 2 * reach + 1)
    counts = np.bincount(i * shape[1] + j, minlength=shape[0] * shape[1]).reshape(shape)
    image = ndimage.binary_closing(counts > 1, structure=_disc(closing))
    return _Shadow(image, -reach * _PIXEL, view[:2])


def _disc(radius: int) -> NDArray[np.bool_]:
    i, j = np.indices((2 * radius + 1, 2 * radius + 1)) - radius
    return np.asarray(i**2 + j**2 <= radius**2)


def _largest_hole(image: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    parts, count = ndimage.label(~image)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    sizes[parts[0, 0]] = 0
    best = int(np.argmax(sizes))
    return parts == best if sizes[best] * _PIXEL**2 >= 40.0 else None


def _best_view(
    points: NDArray[np.float64], guess: NDArray[np.float64], closing: int
) -> tuple[NDArray[np.float64], _Shadow, NDArray[np.bool_]] | None:
    def score(pitch: float, roll: float) -> float:
        hole = _largest_hole(_shadow(points, _view(guess, pitch, roll), closing).image)
        if hole is None:
            return 0.0
        return float(hole.sum() * np.cos(pitch) * np.cos(roll))

    scores = {(p, r): score(p, r) for p in _PITCHES for r in _ROLLS}
    best = max(scores, key=lambda at: (scores[at], -abs(at[0]) - abs(at[1])))
    if scores.get((best[0], -best[1])) == scores[best]:
        best = (best[0], 0.0)  # of two mirrored looks equally open neither is the better
    if scores[best] == 0.0:
        return None
    for step in _REFINEMENTS:
        near = [(best[0] + i * step, best[1] + j * step) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        scores |= {at: score(*at) for at in near if at not in scores}
        best = max(near, key=lambda at: scores[at])
    view = _view(guess, *_weighted_peak(scores, best))
    shadow = _shadow(points, view, closing)
    hole = _largest_hole(shadow.image)
    return None if hole is None else (view[2], shadow, hole)


def _weighted_peak(scores: dict[tuple[float, float], float], best: tuple[float, float]) -> tuple[float, float]:
    """Mean of the looks nearly as open as the best one; steadier than the best pixel count."""
    at = np.array(list(scores))
    value = np.array(list(scores.values()))
    near = (np.abs(at - best).max(axis=1) < np.deg2rad(8.0)) & (value > 0.85 * scores[best])
    weight = value[near] - 0.85 * scores[best]
    mean = (at[near] * weight[:, None]).sum(axis=0) / weight.sum()
    return float(mean[0]), float(mean[1])


def _described(
    points: NDArray[np.float64],
    centre: NDArray[np.float64],
    axis: NDArray[np.float64],
    shadow: _Shadow,
    hole: NDArray[np.bool_],
) -> Foramen:
    def to_lps(pixel: NDArray[np.float64]) -> NDArray[np.float64]:
        return centre + (shadow.origin + pixel * _PIXEL) @ shadow.across

    pixels = np.argwhere(hole)
    canal = pixels.mean(axis=0)
    left = np.abs(pixels[:, 0] - canal[0])
    thick = ndimage.distance_transform_edt(shadow.image)
    front = np.arange(thick.shape[1])[None, :] < canal[1]
    thick = np.where(front, thick, 0.0)
    if thick.max() * _PIXEL < 4.0:
        raise GeometryError("no vertebral body lies in front of the canal; the label holds an arch only")
    body = _peak(thick)
    return Foramen(axis, to_lps(canal), to_lps(body), float(left.max() + 0.5) * _PIXEL, True)


def _peak(thick: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centroid of the places nearly as thick as the thickest; a single argmax would break ties by array order."""
    where = np.argwhere(thick > 0.85 * thick.max())
    weight = thick[tuple(where.T)] - 0.85 * thick.max()
    return np.asarray((where * weight[:, None]).sum(axis=0) / weight.sum())


def _without_ring(points: NDArray[np.float64], centre: NDArray[np.float64], axis: NDArray[np.float64]) -> Foramen:
    """Guess the canal behind the thickest part of the shadow, for a label without a closed arch."""
    view = _view(axis, 0.0, 0.0)
    shadow = _shadow(points, view, 1)
    thick = ndimage.distance_transform_edt(shadow.image)
    body = _peak(thick)
    radius = float(thick.max())
    if radius * _PIXEL < 4.0:
        raise GeometryError("the label is nowhere as thick as a vertebral body; it holds an arch or a fragment only")
    canal = body + np.array([0.0, 1.0]) * (radius + 8.0 / _PIXEL)
    to_lps = [centre + (shadow.origin + at * _PIXEL) @ shadow.across for at in (canal, body)]
    return Foramen(axis, to_lps[0], to_lps[1], 9.0, False)
