"""The virtual fracture's own idea of where a vertebra stands, simple and independent of the measuring code.

The body is where the largest ball fits into the label; its columns give the endplates,
the first gap behind it the canal.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level
from vertecast.imaging.volume import LabelMap

STATIONS = {"anterior": 0.1, "middle": 0.5, "posterior": 0.9}
PLANES = {"right": -0.25, "mid": 0.0, "left": 0.25}
_ROUNDS, _STEP = 3, 1.0
_LOW, _HIGH = np.array([-40.0, -32.0, -32.0]), np.array([40.0, 40.0, 32.0])
Points = Mapping[str, Mapping[str, NDArray[np.float64]]]
Rims = Mapping[str, tuple[tuple[float, float], tuple[float, float]]]


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One vertebra for the warp.

    Parameters
    ----------
    own_from_lps : rigid; x left, y posterior, z superior, z the bisector of the endplates, origin between them
    superior, inferior : (nx, ny), mm: z of the endplates on the columns ``x``, ``y``; NaN outside the body
    front, back, width : mm: y of the anterior and posterior wall in the middle, and the width at mid-height
    points : per plane and station (2, 3), mm, own frame: superior and inferior landmark
    """

    own_from_lps: Transform
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    superior: NDArray[np.float64]
    inferior: NDArray[np.float64]
    front: float
    back: float
    width: float
    points: Points

    @property
    def depth(self) -> float:
        """Mid-sagittal depth, mm."""
        return self.back - self.front


def find_pose(labels: LabelMap, level: Level, centres_lps: Mapping[Level, ArrayLike] | None = None) -> Pose:
    """Find a vertebra's pose from its label and its neighbours'.

    Parameters
    ----------
    centres_lps : (3,) per level, mm
        Body centres where they are known (``centroids.json``); others are found in the labels.

    Raises
    ------
    GeometryError
        When the label shows no body with a canal behind it.
    """
    mask = labels.mask(level)
    given = dict(centres_lps or {})
    centre = _centre(labels, level, given)
    up = _up(labels, level, given, centre)
    points = labels.grid.to_lps(np.argwhere(mask))
    axes = _axes(up, points.mean(axis=0) - centre)
    box = tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in ndimage.find_objects(mask.astype(np.uint8))[0])
    crop = mask[box].astype(np.float32)
    offset = np.array([s.start for s in box], float)
    for _ in range(_ROUNDS):
        body = _columns(labels, crop, offset, axes, centre, level)
        tops = [_plane(body[0], body[1], z) for z in (body[2], body[3])]
        normal = sum(n for _, n in tops)
        behind = (points - centre) @ axes.T
        arch = points[behind[:, 1] > body[5] + 3.0]
        if len(arch) < 20:
            raise GeometryError(f"{level}: no arch behind the body, so front and back are unknown; check the label")
        centre = centre + 0.5 * (tops[0][0] + tops[1][0]) @ axes
        axes = _axes(np.asarray(normal) @ axes, arch.mean(axis=0) - centre)
    x, y, superior, inferior, front, back, width, rims = _columns(labels, crop, offset, axes, centre, level)
    own = Transform.from_axes(axes, centre, target=f"fracture:{level}", source=LPS)
    landmarks = _landmarks(x, y, (superior, inferior), rims, width)
    return Pose(own, x, y, superior, inferior, front, back, width, landmarks)


def _centre(labels: LabelMap, level: Level, given: dict[Level, ArrayLike]) -> NDArray[np.float64]:
    """Centre of the largest ball in a label, which lies in the body: the arch is thin."""
    if level in given:
        return np.asarray(given[level], float)
    mask = labels.mask(level)
    if not mask.any():
        raise GeometryError(f"{level} has no voxels; check the label map")
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    padded = np.pad(mask[box], 1)
    depth = ndimage.distance_transform_edt(padded, sampling=labels.grid.spacing)
    deep = np.argwhere(depth >= 0.9 * depth.max()).mean(axis=0) - 1.0
    return np.asarray(labels.grid.to_lps(deep + [s.start for s in box]))


def _up(
    labels: LabelMap, level: Level, given: dict[Level, ArrayLike], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    order = list(labels.levels)
    here = order.index(level)
    above = _centre(labels, order[here - 1], given) if here > 0 else centre
    below = _centre(labels, order[here + 1], given) if here + 1 < len(order) else centre
    way = above - below
    return way if np.linalg.norm(way) > 5.0 else np.array([0.0, 0.0, 1.0])


def _axes(up: NDArray[np.float64], backward: NDArray[np.float64]) -> NDArray[np.float64]:
    z = up / np.linalg.norm(up)
    y = backward - z * (backward @ z)
    if np.linalg.norm(y) < 0.5:
        raise GeometryError("a label without an arch does not tell its front from its back; check the label")
    y = y / np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z])


def _columns(
    labels: LabelMap,
    crop: NDArray[np.float32],
    offset: NDArray[np.float64],
    axes: NDArray[np.float64],
    centre: NDArray[np.float64],
    level: Level,
) -> tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float, float, float, Rims
]:
    """Cut the body into columns: x, y, superior z, inferior z, front, back, width, and where its rims end."""
    x, y, z = (np.arange(low, high + 0.5 * _STEP, _STEP) for low, high in zip(_LOW, _HIGH, strict=True))
    own = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    index = np.moveaxis(labels.grid.to_voxel(own @ axes + centre) - offset, -1, 0)
    filled = ndimage.map_coordinates(crop, index, order=1, mode="constant")
    i0, j0, k0 = (int(np.argmin(np.abs(v))) for v in (x, y, z))
    middle = filled[i0 - 4 : i0 + 5, :, k0 - 4 : k0 + 5].mean(axis=(0, 2))
    back, front = float(y[j0] + _run(middle[j0:])), float(y[j0] - _run(middle[j0::-1]))
    if back - front < 8.0 or back > y[-1] - 3.0:
        raise GeometryError(f"{level}: the body is {back - front:.0f} mm deep with no canal behind it; check the label")
    side = filled[:, j0 - 3 : j0 + 4, k0 - 3 : k0 + 4].mean(axis=(1, 2))
    left, right = float(_run(side[i0:])), float(_run(side[i0::-1]))
    gx, gy = np.meshgrid(x, y, indexing="ij")
    near = (gy <= back + 1.5) & (gx <= left + 4.0) & (gx >= -right - 4.0)
    superior, inferior = (_plate(filled, z, sign, (i0, j0, k0)) for sign in (1, -1))
    width = left + right
    rims = _rims((x, y, z), filled, (float(superior[i0, j0]), float(inferior[i0, j0])), (back, width))
    return x, y, np.where(near, superior, np.nan), np.where(near, inferior, np.nan), front, back, width, rims


def _plate(
    filled: NDArray[np.floating], z: NDArray[np.float64], sign: int, middle: tuple[int, int, int]
) -> NDArray[np.float64]:
    """Height of one endplate on all columns: the filled run from halfway up, so that no waist cuts rims off."""
    i0, j0, k0 = middle
    reach = float(_run(filled[i0, j0, k0:] if sign > 0 else filled[i0, j0, k0::-1]))
    start = k0 + sign * int(0.55 * reach / _STEP)
    run = filled[:, :, start:] if sign > 0 else filled[:, :, start::-1]
    return np.where(filled[:, :, start] >= 0.5, z[start] + sign * _run(np.moveaxis(run, -1, 0)), np.nan)


def _rims(
    nodes: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    filled: NDArray[np.floating],
    ends: tuple[float, float],
    size: tuple[float, float],
) -> Rims:
    """Front and back of the body in the outer quarters of its height, superior and inferior, in each sagittal plane."""
    x, y, z = nodes
    back, width = size
    j0 = int(np.argmin(np.abs(y)))
    found: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {}
    for plane, aside in PLANES.items():
        i = int(np.argmin(np.abs(x - aside * width)))
        sheet = filled[i - 1 : i + 2].mean(axis=0)
        pair = []
        for end in ends:
            band = (z / end >= 0.5) & (z / end <= 0.95)
            front = y[j0] - _run(sheet[j0::-1, band])
            behind = np.minimum(y[j0] + _run(sheet[j0:, band]), back + 1.5)
            pair.append((float(front.min()), float(behind.max())))
        found[plane] = (pair[0], pair[1])
    return found


def _run(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Length of the filled run from the first sample along the first axis, to the half-value crossing, in mm."""
    empty = values < 0.5
    stop = np.where(empty.any(axis=0), empty.argmax(axis=0), len(values) - 1)
    last = np.maximum(stop - 1, 0)
    a = np.take_along_axis(values, last[None], axis=0)[0] if values.ndim > 1 else values[last]
    b = np.take_along_axis(values, stop[None], axis=0)[0] if values.ndim > 1 else values[stop]
    share = np.clip((a - 0.5) / np.maximum(a - b, 1e-6), 0.0, 1.0)
    return np.asarray(np.where(stop > 0, (last + share) * _STEP, 0.0), np.float64)


def _plane(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a plane over the inner body: its centroid and upward unit normal."""
    known = ndimage.binary_erosion(np.isfinite(z), iterations=3)
    gx, gy = np.meshgrid(x, y, indexing="ij")
    points = np.stack([gx[known], gy[known], z[known]], axis=-1)
    if len(points) < 30:
        raise GeometryError("the body is too small for an endplate; check the label")
    middle = np.median(points, axis=0)
    slope = np.linalg.lstsq(points[:, :2] - middle[:2], points[:, 2] - middle[2], rcond=None)[0]
    normal = np.array([-slope[0], -slope[1], 1.0])
    return middle, normal / np.linalg.norm(normal)


def _landmarks(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    plates: tuple[NDArray[np.float64], NDArray[np.float64]],
    rims: Rims,
    width: float,
) -> Points:
    """Six points in each of three sagittal planes, at 10, 50 and 90 % of each endplate's own depth."""
    found: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in PLANES}
    for (plane, aside), (station, share) in itertools.product(PLANES.items(), STATIONS.items()):
        points = []
        for plate, (front, back) in zip(plates, rims[plane], strict=True):
            at = np.array([aside * width, front + share * (back - front)])
            points.append([*at, _at(x, y, plate, at)])
        found[plane][station] = np.array(points)
    return found


def _at(x: NDArray[np.float64], y: NDArray[np.float64], plate: NDArray[np.float64], at: NDArray[np.float64]) -> float:
    """Height of an endplate at a place: straight fit to the columns within 2.5 mm, the nearest ones at the rim."""
    gx, gy = np.meshgrid(x, y, indexing="ij")
    away = np.hypot(gx - at[0], gy - at[1])
    away = np.where(np.isfinite(plate), away, np.inf)
    near = away <= max(2.5, float(away.min()) + 1.0)
    rows = np.stack([np.ones(near.sum()), gx[near] - at[0], gy[near] - at[1]], axis=-1)
    return float(np.linalg.lstsq(rows, plate[near], rcond=None)[0][0]) if near.sum() >= 6 else float(plate[near].mean())
