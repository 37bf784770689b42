"""Labels and CT must be on one lattice: axis order and cropping are undone without loss, anything else is refused."""

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.imaging.grid import Grid
from vertecast.imaging.limits import load_limits
from vertecast.imaging.volume import LabelMap, Volume


def matched_labels(labels: LabelMap, volume: Volume, *, name: str = "the labels") -> LabelMap:
    """Return the labels on the CT's own grid.

    Maps that are stored in another axis order, or cropped from the CT's grid, are put back voxel by voxel. A map on any
    other grid is refused: resampling labels moves endplates, and a shifted map is mostly a wrong file.

    Raises
    ------
    GeometryError
        Names both grids and the remedy.
    """
    tolerance = load_limits().form_tolerance
    if labels.grid.same_as(volume.grid, tolerance):
        return LabelMap(labels.labels, volume.grid, labels.values, labels.dialect, labels.subregions, labels.warnings)
    step = _lattice_step(labels.grid, volume.grid, tolerance)
    if step is None:
        raise GeometryError(
            f"{name} are on another grid ({described(labels.grid)}) than the CT ({described(volume.grid)}); "
            "segment this CT, or resample the labels onto it with nearest neighbour"
        )
    moved = [_placed(array, step, volume.grid) for array in (labels.labels, labels.subregions)]
    assert moved[0] is not None
    return LabelMap(moved[0], volume.grid, labels.values, labels.dialect, moved[1], labels.warnings)


def matched_array(
    array: NDArray[np.int16], grid: Grid, target: Grid, *, name: str, target_name: str
) -> NDArray[np.int16]:
    """Return an array of integers on another grid of the same lattice; see :func:`matched_labels`."""
    tolerance = load_limits().form_tolerance
    if grid.same_as(target, tolerance):
        return array
    step = _lattice_step(grid, target, tolerance)
    if step is None:
        raise GeometryError(
            f"{name} is on another grid ({described(grid)}) than {target_name} ({described(target)}); "
            "give files that were made from one CT"
        )
    placed = _placed(array, step, target)
    assert placed is not None
    return placed


def described(grid: Grid) -> str:
    """Return a grid in words: voxels, edges, first voxel."""
    shape = " x ".join(map(str, grid.shape))
    edges = " x ".join(f"{edge:.4g}" for edge in grid.spacing)
    origin = ", ".join(f"{x:.1f}" for x in grid.to_lps([0, 0, 0]))
    return f"{shape} voxels of {edges} mm from LPS ({origin})"


def _lattice_step(grid: Grid, target: Grid, tolerance: float) -> NDArray[np.int64] | None:
    """Return the whole-numbered (3, 4) map from ``grid``'s indices to ``target``'s, if there is one with an overlap."""
    exact = (target.lps_from_voxel.inverse @ grid.lps_from_voxel).matrix[:3]
    step = np.rint(exact).astype(np.int64)
    turn = step[:, :3]
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        return None
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape], indexing="ij")).reshape(3, -1)
    error = (exact - step)[:, :3] @ ends + (exact - step)[:, 3:]
    if np.abs(error * target.spacing[:, None]).max() > tolerance:
        return None
    corners = turn @ ends + step[:, 3:]
    apart = (corners.max(axis=1) < 0) | (corners.min(axis=1) >= np.array(target.shape))
    return None if apart.any() else step


def _placed(array: NDArray[np.int16] | None, step: NDArray[np.int64], target: Grid) -> NDArray[np.int16] | None:
    if array is None:
        return None
    axes = np.abs(step[:, :3]).argmax(axis=1)
    signs = step[np.arange(3), axes]
    turned = array.transpose(axes)[tuple(slice(None, None, int(sign)) for sign in signs)]
    shape = np.array(turned.shape)
    start = step[:, 3] - np.where(signs < 0, shape - 1, 0)
    out = np.zeros(target.shape, array.dtype, order="F")
    low, high = np.maximum(start, 0), np.minimum(start + shape, target.shape)
    here = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    there = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
    out[here] = turned[there]
    return out
