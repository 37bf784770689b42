"""One array order for every image: axes turned and flipped to lie nearest to left, posterior and superior.

Everything in ``spine`` starts here, so that the 48 ways to store one image give one and the same array, and one result.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from vertecast.core.frames import LPS, Transform
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, Volume

# Offsets that differ by rounding only must not make two crops out of one image.
_OFFSET_DECIMALS = 6
_COLUMN_DECIMALS = 9


def canonical_axes(grid: Grid) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return which array axis runs nearest to left, posterior and superior, and which of the three are to be flipped.

    Returns
    -------
    order : array axis for each of left, posterior, superior
    flips : whether that array axis runs the other way (right, anterior, inferior)
    """
    directions = np.round(grid.directions, 9)

    def fit(order: tuple[int, ...]) -> tuple[float, ...]:
        along = [abs(float(directions[row, axis])) for row, axis in enumerate(order)]
        return (round(sum(along), 6), *along)

    best = max(itertools.permutations(range(3)), key=fit)
    flips = tuple(bool(directions[row, axis] < 0) for row, axis in enumerate(best))
    return best, flips  # type: ignore[return-value]


def canonical_grid(grid: Grid) -> Grid:
    """Return the grid of the same voxels in canonical order."""
    order, flips = canonical_axes(grid)
    matrix = np.eye(4)
    source = grid.lps_from_voxel.matrix
    matrix[:3, :3] = source[:3, list(order)]
    first = np.zeros(3)
    for row, (axis, flip) in enumerate(zip(order, flips, strict=True)):
        if flip:
            matrix[:3, row] *= -1.0
            first[axis] = grid.shape[axis] - 1
    matrix[:3, 3] = np.round(grid.to_lps(first), _OFFSET_DECIMALS)
    return Grid.from_affine(tuple(grid.shape[axis] for axis in order), matrix)


def canonical_array(array: NDArray[np.generic], grid: Grid) -> NDArray[np.generic]:
    """Return a view of an array of ``grid`` in canonical order."""
    order, flips = canonical_axes(grid)
    step = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    return np.transpose(array, order)[step]


def canonical_labels(labels: LabelMap) -> LabelMap:
    """Return the label map in canonical order; its arrays are views."""
    subregions = labels.subregions
    return LabelMap(
        canonical_array(labels.labels, labels.grid),  # type: ignore[arg-type]
        canonical_grid(labels.grid),
        labels.values,
        labels.dialect,
        None if subregions is None else canonical_array(subregions, labels.grid),  # type: ignore[arg-type]
        labels.warnings,
    )


def canonical_volume(volume: Volume) -> Volume:
    """Return the CT in canonical order; its array is a view."""
    hu = canonical_array(volume.hu, volume.grid)
    return Volume(hu, canonical_grid(volume.grid), volume.scan, volume.warnings)  # type: ignore[arg-type]


def straightened(grid: Grid) -> tuple[Grid, Transform]:
    """Return a canonical grid in a patient turned so that its array axes run along left, posterior and superior.

    What is measured there knows no direction but the image's own, and no place but the middle of the grid: a patient
    stored with another pose gives the same numbers to the last digit, a mirrored array their mirror image.

    Returns
    -------
    Grid
        The same voxels, the middle of the box in the origin.
    Transform
        ``straight_from_lps``, rigid.
    """
    left, _, right = np.linalg.svd(grid.directions)
    axes = (left @ right).T  # the rotation nearest to the array axes, which are at right angles within 1e-3 only
    matrix = np.eye(4)
    matrix[:3, :3] = np.round(axes @ grid.lps_from_voxel.matrix[:3, :3], _COLUMN_DECIMALS) + 0.0
    middle = 0.5 * (np.array(grid.shape) - 1.0)
    matrix[:3, 3] = -matrix[:3, :3] @ middle
    straight_from_lps = Transform.from_axes(axes, grid.to_lps(middle), target=LPS, source=LPS)
    return Grid.from_affine(grid.shape, matrix), straight_from_lps


def index_between(grid: Grid, other: Grid) -> NDArray[np.intp]:
    """(3,): index in ``grid`` of the first voxel of ``other``, a box of the same lattice."""
    return np.rint(grid.to_voxel(other.to_lps([0.0, 0.0, 0.0]))).astype(np.intp)


def cropped(grid: Grid, start: tuple[int, int, int], shape: tuple[int, int, int]) -> Grid:
    """Return the grid of a box of voxels that begins at ``start``."""
    matrix = grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] = np.round(grid.to_lps(start), _OFFSET_DECIMALS)
    return Grid.from_affine(shape, matrix)
