"""The vertebral frame: z between the endplates, x across the symmetry plane, origin in the body centre."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.frames import Transform
from vertecast.spine.endplate_edge import CtEdge, refined_surface
from vertecast.spine.endplates import BodySurface, Side, SurfaceSettings, fit_body, rough_planes
from vertecast.spine.foramen import Foramen
from vertecast.spine.integrity import Piece
from vertecast.spine.sampling import sample_mask
from vertecast.spine.split import find_wall, first_frame, split_body

_YAWS = np.deg2rad(np.arange(-12.0, 12.1, 1.5))
_YAW_PITCH = 1.5  # mm
_ROUGH_TURNS = 4
_FINE_TURNS = 3
_SETTLED = np.deg2rad(0.1)
_SHIFT_WORTH = 0.3  # mm, of the origin: what the CT may move the body's centre before the frame follows
_TURN_WORTH = np.deg2rad(1.0)  # a turn by less moves no height by a hundredth of a millimetre


@dataclass(frozen=True, eq=False)
class FramedBody:
    """A vertebra split, framed and fitted.

    Parameters
    ----------
    vert_from_lps : the frame
    body : (nx, ny, nz), on the piece's grid
    surface : endplates in that frame
    symmetry : share of the bone round the canal that finds its mirror image, 0 to 1
    """

    vert_from_lps: Transform
    body: NDArray[np.bool_]
    surface: BodySurface
    symmetry: float


def frame_body(
    piece: Piece, foramen: Foramen, settings: SurfaceSettings, corpus: NDArray[np.bool_] | None, edge: CtEdge | None
) -> FramedBody:
    """Split a vertebra and find its frame.

    Parameters
    ----------
    corpus : (nx, ny, nz), the body where the labels name it; otherwise it is found from the canal
    edge : the CT that shows where the endplates are; without it they are the label's
    """
    frame = first_frame(piece, foramen)
    body = corpus
    symmetry = 0.0
    for turn in range(_ROUGH_TURNS):
        if corpus is None:
            body = split_body(piece, foramen, find_wall(piece, foramen, frame), frame)
        assert body is not None
        planes = _rough_planes(piece, body, frame, settings)
        frame = _turned(frame, *planes)
        if turn >= 1:
            yaw, symmetry = symmetry_yaw(piece, foramen, frame)
            frame = _yawed(frame, yaw)
    if corpus is None:
        body = split_body(piece, foramen, find_wall(piece, foramen, frame), frame)
    assert body is not None
    for _ in range(_FINE_TURNS):
        surface = fit_body(body, piece.mask, piece.grid, frame, settings, rounds=1)
        turned = _turned(frame, *_fitted_planes(surface, settings))
        moved = _between(turned, frame)
        frame = turned
        if moved < _SETTLED:
            break
    surface = fit_body(body, piece.mask, piece.grid, frame, settings)
    if edge is not None:
        refined = refined_surface(surface, piece, body, frame, edge)
        turned = _turned(frame, *_fitted_planes(refined, settings))
        shifted = float(np.linalg.norm(turned.origin - frame.origin))
        if _between(turned, frame) > _TURN_WORTH or shifted > _SHIFT_WORTH:
            frame = turned
            surface = fit_body(body, piece.mask, piece.grid, frame, settings)
            refined = refined_surface(surface, piece, body, frame, edge)
        surface = refined
    return FramedBody(frame, body, surface, symmetry)


def _between(first: Transform, second: Transform) -> float:
    """Angle, rad, between the z axes of two frames."""
    return float(np.arccos(np.clip(first.axes[2] @ second.axes[2], -1.0, 1.0)))


def _rough_planes(
    piece: Piece, body: NDArray[np.bool_], frame: Transform, settings: SurfaceSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    planes, middle = rough_planes(sample_mask(body, piece.grid, frame, settings.pitch), settings)
    return planes[Side.SUPERIOR], planes[Side.INFERIOR], middle


def _fitted_planes(
    surface: BodySurface, settings: SurfaceSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    plates = surface.superior, surface.inferior
    middle = np.mean([plate.points(settings.inner_share).mean(axis=0) for plate in plates], axis=0)
    return plates[0].plane, plates[1].plane, np.asarray(middle)


def _turned(
    frame: Transform, high: NDArray[np.float64], low: NDArray[np.float64], middle: NDArray[np.float64]
) -> Transform:
    """Turn z to the bisector of the two planes' normals, keep x as near as can be, move the origin to ``middle``."""
    normals = [np.array([-plane[1], -plane[2], 1.0]) for plane in (high, low)]
    z = sum(normal / np.linalg.norm(normal) for normal in normals)
    z = np.asarray(z / np.linalg.norm(z))
    x = np.array([1.0, 0.0, 0.0]) - z * z[0]
    x /= np.linalg.norm(x)
    axes = np.array([x, np.cross(z, x), z]) @ frame.axes
    return Transform.from_axes(axes, frame.inverse.apply(middle), target=frame.target, source=frame.source)


def _yawed(frame: Transform, yaw: float) -> Transform:
    turn = np.array([[np.cos(yaw), np.sin(yaw), 0.0], [-np.sin(yaw), np.cos(yaw), 0.0], [0.0, 0.0, 1.0]])
    return Transform.from_axes(turn @ frame.axes, frame.origin, target=frame.target, source=frame.source)


def symmetry_yaw(piece: Piece, foramen: Foramen, frame: Transform) -> tuple[float, float]:
    """Find the turn about z that makes left and right most alike, and how alike they are.

    Only bone round the canal counts: transverse and spinous processes are often uneven or cut off.

    Returns
    -------
    yaw : rad
    symmetry : 0 to 1
    """
    sample = sample_mask(piece.mask, piece.grid, frame, _YAW_PITCH)
    canal = frame.apply(foramen.centre_lps)
    window_x = _fade(np.abs(sample.x), 2.2 * foramen.half_width + 6.0)
    window_y = _fade(sample.y, canal[1] + 1.2 * foramen.half_width)
    window_z = _fade(np.abs(sample.z), 20.0)
    bone = ndimage.gaussian_filter(sample.occupancy, 0.7)
    bone = bone * window_x[:, None, None] * window_y[None, :, None] * window_z
    slabs = np.ascontiguousarray(np.moveaxis(np.add.reduceat(bone, np.arange(0, bone.shape[2], 3), axis=2), 2, 0))
    if not slabs.any():
        raise GeometryError("no bone lies round the canal")
    scores = np.array([_mirror_score(slabs, sample.x, sample.y, yaw) for yaw in _YAWS])
    best = int(np.argmax(scores))
    if best in (0, len(scores) - 1):
        return float(_YAWS[best]), float(scores[best])
    before, at, after = scores[best - 1 : best + 2]
    shift = 0.5 * (before - after) / (before - 2 * at + after)
    return float(_YAWS[best] + shift * (_YAWS[1] - _YAWS[0])), float(at)


def _fade(distance: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    return np.asarray(np.clip((limit - distance) / 6.0 + 0.5, 0.0, 1.0))


def _mirror_score(slabs: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], yaw: float) -> float:
    """Peak of the bone's convolution with itself along x: at twice the place of the mirror plane."""
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    pitch = x[1] - x[0]
    first = np.array([x[0], y[0]])
    offset = (turn @ first - first) / pitch
    turned = np.stack([ndimage.affine_transform(slab, turn, offset=offset, order=1) for slab in slabs])
    length = 2 * turned.shape[1]
    spectrum = np.fft.rfft(turned, n=length, axis=1)
    folded = np.fft.irfft((spectrum**2).sum(axis=(0, 2)), n=length)
    return float(folded.max() / (turned**2).sum())
