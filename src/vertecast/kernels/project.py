"""Cone-beam line integrals of a voxel field, compiled: Joseph's sum over slices, reordered so that it is separable.

Seen from a point source, every slice of one array axis maps onto a plane parallel to the slices by scale and shift
only. So a slice is resampled along its columns once for each of its rows, output rows are blends of two such rows
(contiguous, in cache), and one projective warp brings the sum to the tilted detector. The samples are Joseph's; the
order is what makes it fast. Outside its array the field is zero, reached linearly over one voxel.

Every output value is summed in slice order whatever rows a thread takes, so the result
does not depend on the threads. Threads are Python's, the kernels
release the lock: no barrier of a parallel runtime, and safe when several callers project at once.

References
----------
.. [1] P. M. Joseph, IEEE Trans. Med. Imaging 1 (1982) 192.
.. [2] P. Lacroute, M. Levoy, SIGGRAPH 1994: shear-warp factorisation, the same reordering for rendering.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError

TILE_ROWS = 128
"""Output rows kept in cache while all slices are added; higher tiles resample less, lower ones fit smaller caches."""
_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": {"contract"}, "nogil": True}
_STEEPEST = 3.0
_COARSEST = 0.5
"""Voxels between samples of the intermediate plane at most: a coarse detector must not thin the field out."""


@dataclass(frozen=True, slots=True, eq=False)
class Cone:
    """Rays from a point source to the pixel centres of a flat detector, all in fractional voxel indices of the field.

    Parameters
    ----------
    source : (3,), voxels
    corner : (3,), voxels
        Centre of pixel (0, 0).
    per_column, per_row : (3,), voxels
        From a pixel to its right neighbour, and to the one below.
    shape : rows, columns
    spacing : (3,), mm
    """

    source: NDArray[np.float64]
    corner: NDArray[np.float64]
    per_column: NDArray[np.float64]
    per_row: NDArray[np.float64]
    shape: tuple[int, int]
    spacing: NDArray[np.float64]

    def windowed(self, top: int, bottom: int, left: int, right: int) -> "Cone":
        """Keep rows ``top`` <= row < ``bottom`` and columns ``left`` <= column < ``right``."""
        corner = self.corner + left * self.per_column + top * self.per_row
        return replace(self, corner=corner, shape=(bottom - top, right - left))

    @property
    def centre_ray(self) -> NDArray[np.float64]:
        """(3,), voxels: from the source to the middle of the detector."""
        rows, columns = self.shape
        middle = self.corner + (columns - 1) / 2 * self.per_column + (rows - 1) / 2 * self.per_row
        return np.asarray(middle - self.source)

    @property
    def corner_rays(self) -> NDArray[np.float64]:
        """(4, 3), voxels: from the source to the outer corner pixels, one pixel beyond."""
        rows, columns = self.shape
        ends = [(u, v) for u in (-1, columns) for v in (-1, rows)]
        return np.array([self.corner + u * self.per_column + v * self.per_row - self.source for u, v in ends])

    @property
    def slice_axis(self) -> int:
        """The array axis that the central ray crosses most slices of."""
        return int(np.argmax(np.abs(self.centre_ray)))


@dataclass(frozen=True, slots=True, eq=False)
class SliceStack:
    """A field laid out for one slice axis.

    Parameters
    ----------
    values : (slices, rows + 2, columns + 2), float32
        With a border of zeros.
    extents : (slices, 4), int32
        First and last row, first and last column that are not zero, counted with the border; first > last when empty.
    axes : array axes of the field that are slice, row and column
    """

    values: NDArray[np.float32]
    extents: NDArray[np.int32]
    axes: tuple[int, int, int]

    @property
    def pairs(self) -> NDArray[np.int64]:
        """(slices, rows + 2, columns + 1): each value and its right neighbour as the halves of one word; no copy."""
        slices, rows, columns = self.values.shape
        shape, strides = (slices, rows, columns - 1), self.values.strides
        return np.ndarray(shape, np.int64, buffer=self.values, strides=strides)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the field, in its own order of axes."""
        turned = (self.values.shape[0], self.values.shape[1] - 2, self.values.shape[2] - 2)
        return tuple(turned[self.axes.index(axis)] for axis in range(3))


def stack_axes(shape: tuple[int, ...], slice_axis: int) -> tuple[int, int, int]:
    """Choose rows as the shorter of the two other axes, since each input row is resampled once."""
    others = sorted((axis for axis in range(3) if axis != slice_axis), key=lambda axis: shape[axis])
    return slice_axis, others[0], others[1]


def make_stack(field: NDArray[np.float32], slice_axis: int) -> SliceStack:
    """Lay out a field, (nx, ny, nz) float32, for one slice axis; one copy of it."""
    axes = stack_axes(field.shape, slice_axis)
    turned = field.transpose(axes)
    values = np.zeros((turned.shape[0], turned.shape[1] + 2, turned.shape[2] + 2), np.float32)
    values[:, 1:-1, 1:-1] = turned
    return SliceStack(values, find_extents(values), axes)


def can_separate(cone: Cone, shape: tuple[int, ...], slice_axis: int) -> bool:
    """Tell whether every ray meets the slices at a fair angle and the source lies before the first of them."""
    along = cone.corner_rays[:, slice_axis]
    if along.min() * along.max() <= 0:
        return False
    others = [axis for axis in range(3) if axis != slice_axis]
    if np.abs(cone.corner_rays[:, others] / along[:, None]).max() > _STEEPEST:
        return False
    start = cone.source[slice_axis]
    return bool(start < -1) if along[0] > 0 else bool(start > shape[slice_axis])


def project_stack(stack: SliceStack, cone: Cone, *, oversampling: float = 1.0, threads: int = 1) -> NDArray[np.float32]:
    """Integrate the field along every ray.

    Parameters
    ----------
    stack : the field, laid out for an axis that :func:`can_separate` accepts
    cone : the rays
    oversampling : samples of the intermediate plane for each detector pixel, along each axis
    threads : how many threads share the tiles; the result does not depend on it

    Returns
    -------
    (rows, columns), field unit times mm
    """
    if not can_separate(cone, stack.shape, stack.axes[0]):
        raise GeometryError(
            "rays run along the slices or start inside the field, so the sum over slices does not hold; "
            "use march_field for this pose"
        )
    order = list(stack.axes)
    source, corner = cone.source[order], cone.corner[order]
    per_column, per_row = cone.per_column[order], cone.per_row[order]
    level = (stack.values.shape[0] - 1) / 2
    plane = _plane_samples(source, (corner, per_column, per_row), cone.shape, level, oversampling)
    sums = _sum_slices(stack, source, level, plane, threads)
    out = np.empty(cone.shape, np.float32)
    _share_rows(
        threads,
        cone.shape[0],
        lambda first, last: _warp(
            sums, source, corner, per_column, per_row, level, plane, cone.spacing[order], first, last, out
        ),
    )
    return out


def _plane_samples(
    source: NDArray[np.float64],
    detector: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    shape: tuple[int, int],
    level: float,
    oversampling: float,
) -> NDArray[np.float64]:
    """Return (2, 3): start, step and count of the intermediate plane along rows and columns, in voxels."""
    corner, per_column, per_row = detector
    rows, columns = shape

    def onto_plane(u: float, v: float) -> NDArray[np.float64]:
        ray = corner + u * per_column + v * per_row - source
        return np.asarray(source[1:] + ray[1:] * (level - source[0]) / ray[0])

    ends = np.array([onto_plane(u, v) for u in (-0.5, columns - 0.5) for v in (-0.5, rows - 0.5)])
    u, v = (columns - 1) / 2, (rows - 1) / 2
    jacobian = np.stack(
        [
            onto_plane(u + 0.5, v) - onto_plane(u - 0.5, v),
            onto_plane(u, v + 0.5) - onto_plane(u, v - 0.5),
        ],
        axis=1,
    )
    pixels_per_voxel = np.linalg.norm(np.linalg.inv(jacobian), axis=0)
    step = np.minimum(1.0 / pixels_per_voxel, _COARSEST) / oversampling
    start = ends.min(axis=0) - 2 * step
    count = np.ceil((ends.max(axis=0) + 2 * step - start) / step) + 1
    return np.stack([start, step, count], axis=1)


def _sum_slices(
    stack: SliceStack, source: NDArray[np.float64], level: float, plane: NDArray[np.float64], threads: int
) -> NDArray[np.float32]:
    rows, columns = int(plane[0, 2]), int(plane[1, 2])
    out, pairs = np.zeros((rows, columns), np.float32), stack.pairs
    _share_rows(
        threads,
        rows,
        lambda first, last: accumulate_rows(pairs, stack.extents, source, level, plane, first, last, out),
    )
    return out


def _share_rows(threads: int, count: int, work) -> None:  # type: ignore[no-untyped-def]
    """Run ``work(first, last)`` over ``count`` items; in pieces shared by threads when there are several."""
    if threads <= 1:
        work(0, count)
        return
    # Whole tiles of like height: a thin tile would resample nearly as many input rows as a full one.
    pieces = threads * max(1, round(count / (TILE_ROWS * threads)))
    cuts = np.linspace(0, count, pieces + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, cuts[:-1].tolist(), cuts[1:].tolist()))


@njit(**_OPTIONS)
def find_extents(values):  # type: ignore[no-untyped-def]
    """Find the box of non-zero values of every slice; see :class:`SliceStack`."""
    slices, rows, columns = values.shape
    extents = np.empty((slices, 4), np.int32)
    for k in range(slices):
        top, bottom, left, right = rows, -1, columns, -1
        for j in range(rows):
            row = values[k, j]
            first = 0
            while first < columns and row[first] == 0.0:
                first += 1
            if first == columns:
                continue
            last = columns - 1
            while row[last] == 0.0:
                last -= 1
            top, bottom = min(top, j), j
            left, right = min(left, first), max(right, last)
        extents[k, 0], extents[k, 1], extents[k, 2], extents[k, 3] = top, bottom, left, right
    return extents


@njit(**_OPTIONS)
def _resample_row(pairs, columns, fractions, words, into):  # type: ignore[no-untyped-def]
    """Interpolate one row; both neighbours come with one load, since loads and not sums take the time."""
    for i in range(into.shape[0]):
        words[i] = pairs[columns[i]]
    halves = words.view(np.float32)
    for i in range(into.shape[0]):
        low = halves[2 * i]
        into[i] = low + fractions[i] * (halves[2 * i + 1] - low)


@njit(**_OPTIONS)
def _blend_row(low, high, weight, into):  # type: ignore[no-untyped-def]
    rest = np.float32(1.0) - weight
    for i in range(into.shape[0]):
        into[i] += rest * low[i] + weight * high[i]


@njit(**_OPTIONS)
def _column_places(step, offset, columns, fractions):  # type: ignore[no-untyped-def]
    """Sample positions along one slice's columns."""
    for i in range(columns.shape[0]):
        x = offset + step * i
        whole = np.int32(x)  # never below zero: the border of zeros is counted
        columns[i] = whole
        fractions[i] = np.float32(x - whole)


@njit(**_OPTIONS)
def _inside(start, step, low, high, count):  # type: ignore[no-untyped-def]
    """Range of i in [0, count) for which low < start + step * i < high, step > 0."""
    first = max(0, int(np.floor((low - start) / step)) + 1)
    last = min(count, int(np.ceil((high - start) / step)))
    return first, last


@njit(**_OPTIONS)
def _slice_into_tile(image, extent, scale, source, plane, top, tile, scratch, words, columns, fractions):  # type: ignore[no-untyped-def]
    """Add one slice to one tile of output rows."""
    first_column, step = source[2] + (plane[1, 0] - source[2]) * scale + 1.0, plane[1, 1] * scale
    left, right = _inside(first_column, step, extent[2] - 1.0, extent[3] + 1.0, tile.shape[1])
    first_row, pitch = source[1] + (plane[0, 0] - source[1]) * scale + 1.0, plane[0, 1] * scale
    first_row += pitch * top
    begin, end = _inside(first_row, pitch, extent[0] - 1.0, extent[1] + 1.0, tile.shape[0])
    if left >= right or begin >= end:
        return
    columns, fractions = columns[: right - left], fractions[: right - left]
    _column_places(step, first_column + step * left, columns, fractions)
    lowest = int(np.floor(first_row + pitch * begin))
    done = lowest - 1
    for i in range(begin, end):
        y = first_row + pitch * i
        j = int(np.floor(y))
        while done < j + 1:
            done += 1
            _resample_row(image[done], columns, fractions, words, scratch[done & 1, left:right])
        _blend_row(scratch[j & 1, left:right], scratch[(j + 1) & 1, left:right], np.float32(y - j), tile[i, left:right])


@njit(**_OPTIONS)
def accumulate_rows(pairs, extents, source, level, plane, first, last, out):  # type: ignore[no-untyped-def]
    """Sum all slices into rows ``first`` <= row < ``last`` of the intermediate plane.

    Parameters
    ----------
    pairs, extents : see :class:`SliceStack`
    source : (3,), voxels along slice, row and column axis
    level : slice coordinate of the intermediate plane
    plane : (2, 3), start, step and count along rows and columns
    out : (rows, columns), float32, zero before
    """
    width = out.shape[1]
    scratch = np.zeros((2, width), np.float32)
    words = np.zeros(width, np.int64)
    columns = np.zeros(width, np.uint32)
    fractions = np.zeros(width, np.float32)
    for top in range(first, last, TILE_ROWS):
        tile = out[top : min(top + TILE_ROWS, last)]
        for k in range(pairs.shape[0]):
            if extents[k, 0] > extents[k, 1]:
                continue
            scale = (k - source[0]) / (level - source[0])
            _slice_into_tile(pairs[k], extents[k], scale, source, plane, top, tile, scratch, words, columns, fractions)


@njit(**_OPTIONS)
def _cubic_places(along, plane, count, first, weights):  # type: ignore[no-untyped-def]
    """Catmull-Rom: first of the four neighbours of every place, and their weights, (4, n)."""
    for u in range(along.shape[0]):
        x = (along[u] - plane[0]) / plane[1]
        low = min(max(np.floor(x), 1.0), count - 3.0)
        t = np.float32(x - low)
        t2 = t * t
        t3 = t2 * t
        half, double = np.float32(0.5), np.float32(2.0)
        weights[0, u] = t2 - half * (t + t3)
        weights[1, u] = np.float32(1.0) + np.float32(1.5) * t3 - np.float32(2.5) * t2
        weights[2, u] = half * t + double * t2 - np.float32(1.5) * t3
        weights[3, u] = half * (t3 - t2)
        first[u] = np.int32(low) - np.int32(1)


@njit(**_OPTIONS)
def _gather_cubic(sums, top, left, down, across, scale, out):  # type: ignore[no-untyped-def]
    """Weigh the 4 x 4 neighbours of every place."""
    for u in range(out.shape[0]):
        j, i = np.uint32(top[u]), np.uint32(left[u])
        total = np.float32(0.0)
        for b in range(4):
            row = sums[j + np.uint32(b)]
            part = across[0, u] * row[i] + across[1, u] * row[i + np.uint32(1)]
            part += across[2, u] * row[i + np.uint32(2)] + across[3, u] * row[i + np.uint32(3)]
            total += down[b, u] * part
        out[u] = total * scale[u]


@njit(**_OPTIONS)
def _warp(  # type: ignore[no-untyped-def]
    sums, source, corner, per_column, per_row, level, plane, spacing, first, last, out
):
    """Bring the intermediate sums to detector rows ``first`` <= row < ``last``, times the ray's length per slice."""
    depth, width = level - source[0], out.shape[1]
    y, x, length = np.empty(width), np.empty(width), np.empty(width, np.float32)
    top, left = np.empty(width, np.int32), np.empty(width, np.int32)
    down, across = np.empty((4, width), np.float32), np.empty((4, width), np.float32)
    for v in range(first, last):
        start = corner + v * per_row - source
        for u in range(width):
            d0 = start[0] + u * per_column[0]
            d1 = start[1] + u * per_column[1]
            d2 = start[2] + u * per_column[2]
            ratio = 1.0 / d0
            y[u] = source[1] + d1 * (ratio * depth)
            x[u] = source[2] + d2 * (ratio * depth)
            size = np.sqrt((d0 * spacing[0]) ** 2 + (d1 * spacing[1]) ** 2 + (d2 * spacing[2]) ** 2)
            length[u] = size * abs(ratio)
        _cubic_places(y, plane[0], sums.shape[0], top, down)
        _cubic_places(x, plane[1], sums.shape[1], left, across)
        _gather_cubic(sums, top, left, down, across, length, out[v])
