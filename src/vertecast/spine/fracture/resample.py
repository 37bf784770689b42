"""A CT and its labels carried through a warp: HU by cubic spline, labels by share, bone denser where it is squeezed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.spine.fracture.warp import Warp

_CHUNK, _STILL_MM = 300_000, 2e-3
AIR_HU, _TOP_HU = -1024.0, 3071.0


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A warped CT and labels.

    Parameters
    ----------
    share : (nx, ny, nz): how much of each voxel the fractured vertebra fills now, by linear interpolation
    mineral_ratio : sum of HU above marrow's over the vertebra, after per before; None without a CT
    """

    volume: Volume | None
    labels: LabelMap
    share: NDArray[np.float32]
    mineral_ratio: float | None


def carry(volume: Volume | None, labels: LabelMap, level: Level, warp: Warp, *, marrow_hu: float) -> Carried:
    """Pull the CT and the labels through the warp onto their own grid.

    Notes
    -----
    What comes from outside the picture is air. Inside the vertebra HU above marrow's is mineral: it is conserved, so
    divided by the local
    change of volume, while marrow is pressed out. Discs and muscle flow, they do not compress.
    """
    out = np.array(labels.labels, order="C")
    subregions = None if labels.subregions is None else np.array(labels.subregions, order="C")
    hu = None if volume is None else np.array(volume.hu, np.float32, order="C")
    spline = None if volume is None else ndimage.spline_filter(volume.hu.astype(np.float32), 3, output=np.float32)
    boxes = _boxes(labels.labels)
    share = labels.mask(level).astype(np.float32, order="C")
    before = None if hu is None else _mineral(hu, share, marrow_hu)
    for voxels, source, index in _moved(labels.grid, warp):
        out.reshape(-1)[voxels], held = _labels_at(labels, boxes, index, labels.values[level])
        share.reshape(-1)[voxels] = held
        if subregions is not None and labels.subregions is not None:
            subregions.reshape(-1)[voxels] = ndimage.map_coordinates(labels.subregions, index, order=0)
        if hu is not None and spline is not None:
            squeezed = 1.0 + held * (1.0 / np.maximum(warp.compression(source), 0.05) - 1.0)
            hu.reshape(-1)[voxels] = _hu_at(spline, index, squeezed, marrow_hu)
    if hu is not None and volume is not None:
        # Between voxels of air and edges a cubic spline falls below both: no darker than air or the CT itself.
        np.maximum(hu, np.float32(min(AIR_HU, float(volume.hu.min()))), out=hu)
    if subregions is not None:
        subregions[out == 0] = 0
    after = None if hu is None else _mineral(hu, share, marrow_hu)
    warped = None if volume is None or hu is None else replace(volume, hu=hu)
    ratio = None if before is None or after is None else after / before
    return Carried(warped, replace(labels, labels=out, subregions=subregions), share, ratio)


def _moved(grid: Grid, warp: Warp) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]]:
    """Yield voxels that the warp moves, chunk by chunk: flat indices, LPS places before, array indices before."""
    total = int(np.prod(grid.shape))
    for start in range(0, total, _CHUNK):
        flat = np.arange(start, min(start + _CHUNK, total))
        here = grid.to_lps(np.stack(np.unravel_index(flat, grid.shape), axis=-1))
        source = warp.backward(here)
        moved = np.abs(source - here).max(axis=1) > _STILL_MM
        if moved.any():
            yield flat[moved], source[moved], np.ascontiguousarray(grid.to_voxel(source[moved]).T)


def _boxes(labels: NDArray[np.int16]) -> dict[int, tuple[slice, slice, slice]]:
    """Every label's box with a margin of one voxel."""
    found = ndimage.find_objects(labels)
    return {
        value + 1: tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)  # type: ignore[misc]
        for value, box in enumerate(found)
        if box is not None
    }


def _labels_at(
    labels: LabelMap,
    boxes: dict[int, tuple[slice, slice, slice]],
    index: NDArray[np.float64],
    target: int,
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return the label that fills at least half of each place, and the share of ``target``."""
    best = np.full(index.shape[1], 0.5, np.float32)
    out = np.zeros(index.shape[1], np.int16)
    held = np.zeros(index.shape[1], np.float32)
    for value, box in boxes.items():
        low = np.array([s.start for s in box])[:, None]
        high = np.array([s.stop - 1 for s in box])[:, None]
        near = ((index >= low - 1) & (index <= high + 1)).all(axis=0)
        if not near.any():
            continue
        mask = (labels.labels[box] == value).astype(np.float32)
        part = ndimage.map_coordinates(mask, index[:, near] - low, order=1, mode="constant")
        wins = part >= best[near]
        places = np.flatnonzero(near)
        best[places[wins]], out[places[wins]] = part[wins], value
        if value == target:
            held[places] = part
    return out, held


def _hu_at(
    spline: NDArray[np.float32], index: NDArray[np.float64], squeezed: NDArray[np.float64], marrow_hu: float
) -> NDArray[np.float32]:
    hu = ndimage.map_coordinates(spline, index, order=3, mode="mirror", prefilter=False)
    outside = (index < -0.5).any(axis=0) | (index > np.array(spline.shape)[:, None] - 0.5).any(axis=0)
    mineral = np.maximum(hu - marrow_hu, 0.0)
    hu = np.where(outside, AIR_HU, hu + mineral * (squeezed - 1.0))
    return np.asarray(np.minimum(hu, _TOP_HU), np.float32)


def _mineral(hu: NDArray[np.float32], share: NDArray[np.float32], marrow_hu: float) -> float:
    """Sum of what lies above marrow, HU times voxels."""
    return float((np.maximum(hu - np.float32(marrow_hu), 0.0) * share).sum(dtype=np.float64))
