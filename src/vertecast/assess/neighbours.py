"""The vertebrae beside a treated one, from the labels and from what ``spine.json`` already knows of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import NOT_EVERYONE_HAS, Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap
from vertecast.spine.anatomy import Anatomy

_CUT = "cut_by_border"


def neighbour_of(level: Level, labels: LabelMap, spine: Mapping[str, Any], *, above: bool) -> Anatomy | str:
    """Return the next vertebra above or below, split, or the sentence that says why it cannot be used."""
    where = "above" if above else "below"
    step = -1 if above else 1
    order, at = list(Level), level.rank + step
    while 0 <= at < len(order):
        other = order[at]
        if other in labels.values:
            return anatomy_of(other, labels, spine)
        if other not in NOT_EVERYONE_HAS:
            return f"the next vertebra {where}, {other}, is not labelled or outside the scan"
        at += step
    return f"there is no vertebra {where} {level}"


def anatomy_of(level: Level, labels: LabelMap, spine: Mapping[str, Any]) -> Anatomy | str:
    """Return a labelled vertebra split at the back of its body, by the frame and depth that were measured on it.

    Notes
    -----
    The body is what lies in front of half its depth behind its centre: within 3 % of the measured split by volume.
    """
    found = measured(level, spine)
    if found.get("frame") is None:
        return f"{level} was not measured ({found.get('reason') or 'not in spine.json'})"
    if _CUT in found.get("flags", ()):
        return f"the body of {level} is cut by the border of the scan"
    depth = (found.get("body_depth_mm") or {}).get("value")
    if depth is None:
        return f"the depth of {level} is not known"
    frame = found["frame"]
    axes = np.array([frame["left_lps"], frame["posterior_lps"], frame["superior_lps"]])
    own = Transform.from_axes(axes, frame["origin_lps_mm"], target=f"vert:{level}", source=LPS)
    mask = labels.mask(level)
    ends = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))[[0, -1]] for axis in range(3)]
    low = [max(int(first) - 2, 0) for first, _ in ends]
    crop = mask[tuple(slice(start, int(last) + 3) for start, (_, last) in zip(low, ends, strict=True))]
    matrix = labels.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] = labels.grid.to_lps(low)
    grid = Grid.from_affine((crop.shape[0], crop.shape[1], crop.shape[2]), matrix)
    whole = Anatomy(level, grid, crop, crop, np.zeros_like(crop), own)
    body = crop & (whole.coordinates()[..., 1] <= 0.5 * float(depth))
    return Anatomy(level, grid, crop, body, crop & ~body, own)


def measured(level: Level, spine: Mapping[str, Any]) -> dict[str, Any]:
    """Return a level's part of ``spine.json``; empty when it has none."""
    return next((one for one in spine.get("vertebrae", ()) if one.get("level") == str(level)), {})
