"""Label maps: a raster and a numbering become named levels; recoding from one numbering to another."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.imaging.dialects import CHOICES, NUMBERED, decided_dialect, load_dialect, order_faults
from vertecast.imaging.grid import Grid
from vertecast.imaging.limits import Limits
from vertecast.imaging.raster import Raster, thickness_warnings
from vertecast.imaging.volume import LabelMap


def as_label_map(
    raster: Raster, limits: Limits, *, dialect: str = "auto", subregions: NDArray[np.int16] | None = None
) -> LabelMap:
    """Name the vertebrae of a raster of integers; what is no vertebra becomes background.

    Parameters
    ----------
    dialect : one of :data:`~vertecast.imaging.dialects.CHOICES`
        A numbering named here is believed; if its levels then lie out of order, a warning says so.

    Raises
    ------
    InputError
        If the raster holds no labels, no vertebra, or the numbering is unclear.
    """
    if dialect not in CHOICES:
        raise InputError(f"dialect {dialect!r} is not known; use one of {', '.join(CHOICES)}")
    labels = integer_labels(raster, limits)
    if dialect == "seg" or (dialect == "auto" and raster.segments):
        return named_by_segments(raster, labels, limits)
    centroids = label_centroids(labels, raster.grid)
    if not centroids:
        raise InputError(f"{raster.name} holds no label (all voxels are 0); give a vertebra segmentation")
    warnings = [*raster.warnings, *thickness_warnings(raster.name, raster.grid, limits)]
    if dialect == "auto":
        chosen = decided_dialect(raster.name, centroids, limits, with_subregions=subregions is not None)
    else:
        chosen = load_dialect(dialect)
        warnings += [f"{raster.name}: read as {dialect}, {fault}" for fault in order_faults(chosen, centroids)]
    values = chosen.present(centroids)
    if not values:
        raise InputError(
            f"{raster.name} holds no vertebra in the numbering {chosen.name} (values {sorted(centroids)[:12]}); "
            f"give a vertebra segmentation or another --dialect ({', '.join(NUMBERED)})"
        )
    return LabelMap(kept(labels, values), raster.grid, values, chosen.name, subregions, tuple(warnings))


def integer_labels(raster: Raster, limits: Limits) -> NDArray[np.int16]:
    """Return the raster as int16 labels, or refuse what cannot be labels (a CT, probabilities)."""
    array = raster.array
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{raster.name} holds NaN or infinite values, labels are whole numbers; export it again")
    lowest, highest = float(array.min()), float(array.max())
    if lowest < 0:
        raise InputError(
            f"{raster.name} holds values below 0 ({lowest:g} to {highest:g}), labels have none; it looks like a CT: "
            "CT and labels may be swapped"
        )
    if highest > np.iinfo(np.int16).max:
        raise InputError(f"{raster.name} holds label {highest:g}, beyond 32767; renumber the labels")
    labels = array.astype(np.int16, order="F")
    if array.dtype.kind == "f" and not np.array_equal(labels, array):
        raise InputError(
            f"{raster.name} holds values that are not whole numbers; labels are: "
            "give the segmentation, not its probabilities or the CT"
        )
    count = int(np.count_nonzero(np.bincount(labels.ravel(order="K"))))
    if count > limits.most_labels:
        raise InputError(
            f"{raster.name} holds {count} different values, more than the {limits.most_labels:.0f} of any label map; "
            "it looks like a CT: CT and labels may be swapped"
        )
    return labels


def label_centroids(labels: NDArray[np.int16], grid: Grid) -> dict[int, NDArray[np.float64]]:
    """Return the LPS centroid, (3,), mm, of every label but 0."""
    centroids = {}
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            inside = np.argwhere(labels[box] == number).mean(axis=0)
            centroids[number] = grid.to_lps(inside + [one.start for one in box])
    return centroids


def kept(labels: NDArray[np.int16], values: Mapping[Level, int]) -> NDArray[np.int16]:
    """Return the labels with everything that is no vertebra set to 0."""
    table = np.zeros(int(labels.max()) + 1, np.int16)
    for number in values.values():
        table[number] = number
    return np.asarray(table[labels], order="F")


def named_by_segments(raster: Raster, labels: NDArray[np.int16], limits: Limits) -> LabelMap:
    """Name the vertebrae by what the file itself says of its segments (``.seg.nrrd``)."""
    present = {int(n) for n in np.flatnonzero(np.bincount(labels.ravel(order="K"))) if n}
    values: dict[Level, int] = {}
    for number, said in sorted(raster.segments.items()):
        level = level_named(said)
        if level is None or number not in present:
            continue
        if level in values:
            raise InputError(f"{raster.name} names two segments {level}; keep one of them")
        values[level] = number
    if not values:
        said = ", ".join(sorted(set(raster.segments.values()))[:8]) or "none"
        raise InputError(
            f"{raster.name} names no segment that is a vertebra (names: {said}); name them L1 or vertebrae_L1, "
            f"or say the numbering with --dialect {'|'.join(NUMBERED)}"
        )
    warnings = (*raster.warnings, *thickness_warnings(raster.name, raster.grid, limits))
    return LabelMap(kept(labels, values), raster.grid, values, "seg", None, warnings)


def level_named(text: str) -> Level | None:
    """Return the level that a segment's name says (``L1``, ``vertebrae_L1``, ``L1 vertebra``), if it says one."""
    words = set(text.upper().replace("_", " ").replace("-", " ").split())
    words -= {"VERTEBRA", "VERTEBRAE", "VERTEBRAL", "BONE"}
    if len(words) != 1:
        return None
    word = words.pop()
    return Level(word) if word in Level.__members__ else None


def recoded(labels: LabelMap, dialect: str) -> LabelMap:
    """Return the same map in another numbering; a level that it has no number for is refused by name."""
    target = load_dialect(dialect)
    missing = [str(level) for level in labels.levels if level not in target.values]
    if missing:
        raise InputError(f"{target.title} has no number for {', '.join(missing)}; use verse or tptbox")
    table: NDArray[Any] = np.zeros(int(labels.labels.max()) + 1, np.int16)
    values = {level: target.values[level] for level in labels.levels}
    for level, number in labels.values.items():
        table[number] = values[level]
    recoded_array = np.asarray(table[labels.labels], order="F")
    return LabelMap(recoded_array, labels.grid, values, dialect, labels.subregions, labels.warnings)
