"""What touches the endplates: bone-cement caps, or the patient's own discs as far as the next vertebra's endplate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.levels import NOT_EVERYONE_HAS, Level
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.imaging.grid import Grid
from vertecast.imaging.resample import resampled_mask
from vertecast.imaging.volume import LabelMap
from vertecast.kernels.bricks import corners_of
from vertecast.mechanics.settings import SupportMaterial

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscSpace:
    """When the gap to the next vertebra counts as a disc."""

    highest: float = quantity("mm", "largest gap between two endplates that is a disc")
    facing: float = quantity("1", "least share of the body's footprint that must face the next vertebra")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The labels of the vertebrae above and below; None where the label map does not hold the next one."""

    above: Mask | None
    below: Mask | None
    grid: Grid

    def on(self, grid: Grid) -> tuple[Mask | None, Mask | None]:
        """Return the one below and the one above on another grid."""
        masks = (self.below, self.above)
        below, above = (None if mask is None else resampled_mask(mask, self.grid, grid) for mask in masks)
        return below, above


@dataclass(frozen=True, eq=False)
class Pads:
    """The material between the body and the two rigid platens.

    Parameters
    ----------
    mask : (nx, ny, nz) bool, both pads
    lower, upper : (nx + 1, ny + 1, nz + 1) bool, the nodes that the platens hold
    warnings : sentences the reader must see
    """

    mask: Mask
    lower: Mask
    upper: Mask
    warnings: tuple[str, ...]


def load_disc_space() -> Loaded[DiscSpace]:
    """Load ``data/mechanics/disc_space.toml``."""
    return load_parameters("mechanics/disc_space.toml", DiscSpace)


def neighbours_of(labels: LabelMap, level: Level) -> Neighbours:
    """Find the next vertebra above and below; a gap in the labels is no neighbour, a missing T13 or L6 is no gap."""
    above = [other for other in labels.levels if other.rank < level.rank and _next_to(other, level)]
    below = [other for other in labels.levels if other.rank > level.rank and _next_to(level, other)]
    return Neighbours(labels.mask(above[-1]) if above else None, labels.mask(below[0]) if below else None, labels.grid)


def _next_to(upper: Level, lower: Level) -> bool:
    between = [one for one in Level if upper.rank < one.rank < lower.rank]
    return all(one in NOT_EVERYONE_HAS for one in between)


def caps(body: Mask, spacing: float, pad: SupportMaterial) -> Pads:
    """Fill every column of the body's silhouette from the endplate to a plane beyond its highest point."""
    down, up = (_cap(body, spacing, pad, upper=upper) for upper in (False, True))
    return Pads(down | up, _outer_face(down, upper=False), _outer_face(up, upper=True), ())


def discs(body: Mask, spacing: float, pad: SupportMaterial, facing: Sequence[Mask | None], space: DiscSpace) -> Pads:
    """Fill the gaps to the neighbours' endplates; where there is no neighbour, half a disc up to a plane.

    Parameters
    ----------
    facing : the vertebra below and the one above, (nx, ny, nz) on the body's grid, or None where not labelled

    Notes
    -----
    A column belongs to the disc where both endplates face each other across it. The neighbours' endplates are the
    platens: rigid, of the patient's shape. Where a body is against its neighbour without a gap, nothing is held.
    """
    masks, faces, said = [], [], []
    for upper, other in zip((False, True), facing, strict=True):
        gap = None if other is None else disc_between(body, other, spacing, space, upper=upper)
        where = "above" if upper else "below"
        if gap is None or other is None:
            gap = _cap(body, spacing, pad, upper=upper)
            faces.append(_outer_face(gap, upper=upper))
            why = "the next vertebra is not labelled" if other is None else "no disc space to the next vertebra"
            said.append(f"disc {where}: {why}; half a disc of {pad.outside:g} mm is assumed")
        else:
            faces.append(np.asarray(corners_of(gap) & corners_of(other)))
        masks.append(gap)
    return Pads(masks[0] | masks[1], faces[0], faces[1], tuple(said))


def _cap(body: Mask, spacing: float, pad: SupportMaterial, *, upper: bool) -> Mask:
    """Fill from the endplate to a plane.

    No deeper than the intrusion below the highest point, so it does not creep down the rim's flanks.
    """
    if not upper:
        return np.asarray(_cap(body[:, :, ::-1], spacing, pad, upper=True)[:, :, ::-1])
    column: Mask = np.any(body, axis=2)
    levels, top = np.arange(body.shape[2]), _top(body)
    beyond, deep = round(pad.outside / spacing), round(pad.intrusion / spacing)
    highest = int(top[column].max())
    inside = (levels > top[..., None]) & (levels > highest - deep) & (levels <= highest + beyond)
    return np.asarray(column[..., None] & inside)


def _top(body: Mask) -> NDArray[np.int64]:
    """Index of each column's highest voxel; -1 where there is none."""
    return np.where(np.any(body, axis=2), body.shape[2] - 1 - np.argmax(body[:, :, ::-1], axis=2), -1)


def disc_between(body: Mask, other: Mask, spacing: float, space: DiscSpace, *, upper: bool) -> Mask | None:
    """Fill the columns between two endplates, the largest connected piece; None where too few face each other.

    Parameters
    ----------
    upper : whether ``other`` lies above the body
    """
    if not upper:
        found = disc_between(body[:, :, ::-1], other[:, :, ::-1], spacing, space, upper=True)
        return None if found is None else np.asarray(found[:, :, ::-1])
    levels, top = np.arange(body.shape[2]), _top(body)[..., None]
    beyond = other & (levels > top) & ~body
    first = np.where(np.any(beyond, axis=2), np.argmax(beyond, axis=2), -1)[..., None]
    faced = (top >= 0) & (first > top) & (first - top - 1 <= space.highest / spacing)
    gap = faced & (levels > top) & (levels < first)
    pieces, count = ndimage.label(gap)
    if count > 1:
        gap = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    if np.count_nonzero(gap.any(axis=2)) < space.facing * np.count_nonzero(top >= 0):
        return None
    return np.asarray(gap)


def _outer_face(pad: Mask, *, upper: bool) -> Mask:
    """Nodes of the outermost layer's outer face."""
    nodes = corners_of(pad)
    layers = np.flatnonzero(nodes.any(axis=(0, 1)))
    face = np.zeros_like(nodes)
    layer = layers[-1] if upper else layers[0]
    face[:, :, layer] = nodes[:, :, layer]
    return face
