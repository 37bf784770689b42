"""Resample, crop and reorient without losing the place in the patient: HU once, masks by signed distance."""

import itertools
from enum import Enum
from typing import Any, TypeVar

import numpy as np
import SimpleITK
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.frames import LPS, Transform
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, Volume

sitk: Any = SimpleITK  # it has no type stubs

AIR_HU = -1024.0

AXIS_ORDERS: tuple[tuple[tuple[int, int, int], tuple[int, int, int]], ...] = tuple(
    (axes, signs)  # type: ignore[misc]
    for axes in itertools.permutations((0, 1, 2))
    for signs in itertools.product((1, -1), repeat=3)
)
"""The 48 ways to store one array: (which old axis comes first, second, third; the sense of each)."""

S = TypeVar("S", Volume, LabelMap)


class Interpolation(Enum):
    """How HU between voxels are found."""

    LINEAR = "linear"
    BSPLINE = "bspline"


def sampled(
    array: NDArray[Any],
    source_from_target: NDArray[np.float64],
    shape: tuple[int, int, int],
    *,
    fill: float,
    interpolation: Interpolation = Interpolation.LINEAR,
) -> NDArray[np.float32]:
    """Sample an array at the lattice points of another, by a map of indices that may shear.

    Parameters
    ----------
    array : (nx, ny, nz)
    source_from_target : (4, 4), voxels
        Takes an index of the new array to the index of ``array`` it is read at.
    fill : value of points outside ``array``

    Returns
    -------
    ``shape``, Fortran order
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T, np.float32))
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(source_from_target[:3, :3].ravel().tolist())
    transform.SetTranslation(source_from_target[:3, 3].tolist())
    kind = sitk.sitkLinear if interpolation is Interpolation.LINEAR else sitk.sitkBSpline3
    made = sitk.Resample(
        image,
        [int(n) for n in shape],
        transform,
        kind,
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        np.eye(3).ravel().tolist(),
        fill,
    )
    return np.asarray(sitk.GetArrayFromImage(made).T)


def resampled(volume: Volume, grid: Grid, interpolation: Interpolation = Interpolation.LINEAR) -> Volume:
    """Return the CT on another grid; points outside the CT become air. HU are interpolated once: never chain this."""
    hu = sampled(
        volume.hu, _source_from_target(volume.grid, grid), grid.shape, fill=AIR_HU, interpolation=interpolation
    )
    return Volume(np.maximum(hu, np.float32(AIR_HU)), grid, volume.scan, volume.warnings)


def resampled_mask(mask: NDArray[np.bool_], source: Grid, grid: Grid) -> NDArray[np.bool_]:
    """Return a mask on another grid, by its signed distance, so that its surface stays smooth and in place.

    The distance is taken in mm from voxel centres, inside positive, and its zero lies half-way between a voxel inside
    and one outside. A mask cut by the border of its image ends there.
    """
    if not mask.any():
        return np.zeros(grid.shape, bool)
    box = _grown_box(mask, 3)
    crop = np.pad(mask[box], 2)
    origin = np.array([one.start for one in box]) - 2
    distance = signed_distance(crop, source.spacing)
    index = _source_from_target(source, grid).copy()
    index[:3, 3] -= origin
    return np.asarray(sampled(distance, index, grid.shape, fill=-1e3) > 0)


def signed_distance(mask: NDArray[np.bool_], spacing: ArrayLike) -> NDArray[np.float32]:
    """(nx, ny, nz), mm: distance to the nearest voxel centre of the other side, positive inside, negative outside.

    Between neighbours on both sides it is odd, so that its zero lies half-way between them.
    """
    edges = np.asarray(spacing, float)
    inside = ndimage.distance_transform_edt(mask, edges)
    outside = ndimage.distance_transform_edt(~mask, edges)
    return np.asarray(inside - outside, np.float32)


def resampled_labels(labels: LabelMap, grid: Grid) -> LabelMap:
    """Return a label map on another grid: each vertebra by its signed distance, the deeper one where two meet."""
    depth = np.zeros(grid.shape, np.float32)
    out = np.zeros(grid.shape, np.int16)
    for number in labels.values.values():
        mask = labels.labels == number
        box = _grown_box(mask, 3)
        crop = np.pad(mask[box], 2)
        index = _source_from_target(labels.grid, grid).copy()
        index[:3, 3] -= np.array([one.start for one in box]) - 2
        here = sampled(signed_distance(crop, labels.grid.spacing), index, grid.shape, fill=-1e3)
        deeper = here > depth
        out[deeper], depth[deeper] = number, here[deeper]
    present = {level: number for level, number in labels.values.items() if (out == number).any()}
    subregions = None
    if labels.subregions is not None:
        subregions = _nearest(labels.subregions, _source_from_target(labels.grid, grid), grid.shape)
    return LabelMap(out, grid, present, labels.dialect, subregions, labels.warnings)


def cropped(image: S, low: ArrayLike, high: ArrayLike) -> S:
    """Return the voxels from index ``low`` up to, not including, ``high``, at the place where they were."""
    start, stop = np.asarray(low, int), np.asarray(high, int)
    shape = np.array(image.grid.shape)
    if (start < 0).any() or (stop > shape).any() or (stop <= start).any():
        raise GeometryError(f"crop {start.tolist()} to {stop.tolist()} leaves the grid of {shape.tolist()} voxels")
    matrix = image.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] = image.grid.to_lps(start)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    return _rebuilt(image, Grid.from_affine(tuple(stop - start), matrix), lambda array: array[box].copy(order="F"))


def reoriented(image: S, axes: tuple[int, int, int], signs: tuple[int, int, int]) -> S:
    """Return the same image stored in another axis order; see :data:`AXIS_ORDERS`. Every voxel stays where it is."""
    shape = np.array(image.grid.shape)
    old_from_new = np.eye(4)
    old_from_new[:3, :3] = 0
    for new, (old, sign) in enumerate(zip(axes, signs, strict=True)):
        old_from_new[old, new] = sign
        old_from_new[old, 3] = 0 if sign > 0 else shape[old] - 1
    steps = tuple(slice(None, None, sign) for sign in signs)
    grid = Grid.from_affine(tuple(shape[list(axes)]), image.grid.lps_from_voxel.matrix @ old_from_new)
    return _rebuilt(image, grid, lambda array: array.transpose(axes)[steps].copy(order="F"))


def canonical_order(grid: Grid) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return the axes and signs for :func:`reoriented` that bring a grid nearest to left, posterior, superior."""
    cosines = grid.directions
    axes = max(itertools.permutations((0, 1, 2)), key=lambda one: sum(abs(cosines[i, a]) for i, a in enumerate(one)))
    signs = tuple(1 if cosines[i, a] >= 0 else -1 for i, a in enumerate(axes))
    return axes, signs  # type: ignore[return-value]


def aligned_grid(vert_from_lps: Transform, bounds_mm: ArrayLike, spacing: float) -> Grid:
    """Return the isotropic grid along a vertebra's axes that covers a box of its frame.

    Parameters
    ----------
    bounds_mm : (3, 2), mm
        Lowest and highest coordinate along left, posterior and superior, in the vertebral frame.
    spacing : mm
    """
    bounds = np.asarray(bounds_mm, float)
    vert_from_lps.require_rigid()
    if bounds.shape != (3, 2) or not (bounds[:, 1] > bounds[:, 0]).all() or not spacing > 0:
        raise GeometryError(
            f"bounds {bounds.tolist()} and spacing {spacing} mm span no box; give low < high, spacing > 0"
        )
    shape = np.maximum(np.ceil((bounds[:, 1] - bounds[:, 0]) / spacing - 1e-9), 1).astype(int)
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = bounds.mean(axis=1) - spacing * (shape - 1) / 2
    if vert_from_lps.source != LPS:
        raise GeometryError(f"an aligned grid needs a transform from {LPS}, got {vert_from_lps.name}")
    return Grid.from_affine(tuple(shape), vert_from_lps.inverse.matrix @ matrix)


def _source_from_target(source: Grid, target: Grid) -> NDArray[np.float64]:
    return (source.lps_from_voxel.inverse @ target.lps_from_voxel).matrix


def _grown_box(mask: NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(one.start - margin, 0), min(one.stop + margin, n)) for one, n in zip(box, mask.shape, strict=True)
    )


def _nearest(
    array: NDArray[np.int16], source_from_target: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.int16]:
    moved = ndimage.affine_transform(
        array, source_from_target[:3, :3], source_from_target[:3, 3], shape, order=0, mode="constant", cval=0
    )
    return np.asarray(moved, np.int16)


def _rebuilt(image: S, grid: Grid, change: Any) -> S:
    if isinstance(image, Volume):
        return Volume(change(image.hu), grid, image.scan, image.warnings)
    labels = change(image.labels)
    present = {level: number for level, number in image.values.items() if (labels == number).any()}
    parts = None if image.subregions is None else change(image.subregions)
    return LabelMap(labels, grid, present, image.dialect, parts, image.warnings)
