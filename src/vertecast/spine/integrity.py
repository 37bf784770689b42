"""Whether the labels are what they claim: one piece per level, in order along the spine, of plausible size, uncut."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.levels import Level
from vertecast.core.quantities import quantity
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap
from vertecast.spine.orientation import cropped

_MARGIN = 3  # voxels of background kept round a vertebra: surfaces need an outside, neighbours of islands must be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityLimits:
    """When a label is called broken; ``data/spine/integrity.toml``."""

    leak_volume: float = quantity("mm3", "largest island that is given to the neighbour it lies in")
    leak_contact: float = quantity("1", "share of an island's surface that must touch one neighbour to be its part")
    small_volume: float = quantity("1", "volume against the mean of the neighbours below which a level is suspect")
    large_volume: float = quantity("1", "volume against the mean of the neighbours above which a level is suspect")
    least_voxels: float = quantity("1", "fewest voxels that can be measured at all")


@dataclass(frozen=True, eq=False)
class Piece:
    """One vertebra cut out of the label map after repair, in canonical axes.

    Parameters
    ----------
    level : its name
    grid : the crop
    mask : (nx, ny, nz), the one component that was kept
    others : (nx, ny, nz), what is labelled as another vertebra
    subregions : (nx, ny, nz), when the labels have them
    open_faces : image border faces that the vertebra touches, by the direction outward ("superior" …)
    notes : what was repaired or is suspect, in sentences
    """

    level: Level
    grid: Grid
    mask: NDArray[np.bool_]
    others: NDArray[np.bool_]
    subregions: NDArray[np.int16] | None
    open_faces: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def centroid_lps(self) -> NDArray[np.float64]:
        """(3,), mm: centroid of the whole vertebra."""
        return self.grid.to_lps(np.argwhere(self.mask).mean(axis=0))

    @property
    def volume(self) -> float:
        """Volume of the whole vertebra, mm³."""
        return float(self.mask.sum()) * self.grid.voxel_volume


_FACES = (("right", "left"), ("anterior", "posterior"), ("inferior", "superior"))


def cut_pieces(labels: LabelMap, limits: IntegrityLimits) -> dict[Level, Piece]:
    """Cut every level out of canonical labels, repair leaks, and note what is suspect.

    Parameters
    ----------
    labels : in canonical order (:func:`vertecast.spine.orientation.canonical_labels`)

    Notes
    -----
    An island of A that touches mainly B is a leak of A into B and becomes B's; other islands are left out and reported.
    """
    level_of = {value: level for level, value in labels.values.items()}
    boxes = ndimage.find_objects(labels.labels, max_label=max(level_of))
    gained: dict[Level, list[NDArray[np.intp]]] = {}
    kept: dict[Level, tuple[NDArray[np.intp], list[str]]] = {}
    for level, value in labels.values.items():
        box = boxes[value - 1]
        if box is None:
            raise GeometryError(f"level {level} (value {value}) has no voxel in the labels; remove it from the values")
        voxels, islands, notes = _components(labels, value, box)
        for island in islands:
            owner = _owner(labels, island, value, limits)
            if owner in level_of:
                gained.setdefault(level_of[owner], []).append(island)
                notes.append(
                    f"a piece of {level} inside {level_of[owner]} was given back to it (voxels: {len(island)})"
                )
            else:
                notes.append(f"a separate piece of {level} was left out (voxels: {len(island)})")
        kept[level] = voxels, notes
    pieces: dict[Level, Piece] = {}
    for level, (voxels, notes) in kept.items():
        if len(voxels) < limits.least_voxels:
            notes.append(f"{level} has only {len(voxels)} voxels")
        pieces[level] = _piece(labels, level, np.concatenate([voxels, *gained.get(level, [])]), notes)
    return _with_order_and_size_notes(pieces, limits)


def _components(
    labels: LabelMap, value: int, box: tuple[slice, ...]
) -> tuple[NDArray[np.intp], list[NDArray[np.intp]], list[str]]:
    start = np.array([part.start for part in box])
    parts, count = ndimage.label(labels.labels[box] == value, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    main = int(np.argmax(sizes)) + 1
    islands = [np.argwhere(parts == part) + start for part in range(1, count + 1) if part != main]
    return np.argwhere(parts == main) + start, islands, []


def _owner(labels: LabelMap, island: NDArray[np.intp], value: int, limits: IntegrityLimits) -> int:
    if len(island) * labels.grid.voxel_volume > limits.leak_volume:
        return 0
    steps = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    around = (island[:, None, :] + steps).reshape(-1, 3)
    around = around[((around >= 0) & (around < labels.grid.shape)).all(axis=1)]
    touched = labels.labels[tuple(around.T)]
    touched = touched[touched != value]
    if len(touched) == 0:
        return 0
    counts = np.bincount(touched[touched > 0], minlength=2)
    best = int(np.argmax(counts))
    return best if counts[best] >= limits.leak_contact * len(touched) else 0


def _piece(labels: LabelMap, level: Level, voxels: NDArray[np.intp], notes: list[str]) -> Piece:
    shape = np.array(labels.grid.shape)
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    open_faces = [_FACES[axis][0] for axis in range(3) if low[axis] == 0]
    open_faces += [_FACES[axis][1] for axis in range(3) if high[axis] == shape[axis] - 1]
    start = low - _MARGIN
    size = tuple(int(n) for n in high - low + 1 + 2 * _MARGIN)
    mask = np.zeros(size, bool)
    mask[tuple((voxels - start).T)] = True
    subregions = None
    if labels.subregions is not None:
        subregions = np.zeros(size, np.int16)
        inside = tuple((voxels - start).T)
        subregions[inside] = labels.subregions[tuple(voxels.T)]
    grid = cropped(labels.grid, tuple(int(n) for n in start), size)  # type: ignore[arg-type]
    others = _labelled(labels, start, size) & ~mask
    return Piece(level, grid, mask, others, subregions, tuple(open_faces), tuple(notes))


def _labelled(labels: LabelMap, start: NDArray[np.intp], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where a box of voxels, that may reach beyond the image, is labelled as any vertebra."""
    low, high = np.maximum(start, 0), np.minimum(start + size, labels.grid.shape)
    box = np.zeros(size, bool)
    inner = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
    box[inner] = labels.labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] > 0
    return box


def _with_order_and_size_notes(pieces: dict[Level, Piece], limits: IntegrityLimits) -> dict[Level, Piece]:
    levels = list(pieces)
    centroids = np.array([pieces[level].centroid_lps for level in levels])
    whole = [not pieces[level].open_faces for level in levels]
    result: dict[Level, Piece] = {}
    down = centroids[-1] - centroids[0]
    for i, level in enumerate(levels):
        piece = pieces[level]
        notes = list(piece.notes)
        if i > 0 and np.dot(centroids[i] - centroids[i - 1], down) <= 0:
            notes.append(f"centroid of {level} does not lie below that of {levels[i - 1]}: labels are out of order")
        sides = [pieces[levels[j]].volume for j in (i - 1, i + 1) if 0 <= j < len(levels) and whole[j]]
        if sides and whole[i]:
            ratio = piece.volume / float(np.mean(sides))
            if not limits.small_volume <= ratio <= limits.large_volume:
                notes.append(f"volume of {level} is {ratio:.2f} of its neighbours'")
        result[level] = Piece(
            piece.level,
            piece.grid,
            piece.mask,
            piece.others,
            piece.subregions,
            piece.open_faces,
            tuple(dict.fromkeys(notes)),
        )
    return result
