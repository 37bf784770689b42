"""The numberings of vertebra label maps; which of them a map is in: by its integers and their craniocaudal order."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.parameters import read_toml
from vertecast.imaging.limits import Limits

NUMBERED = ("verse", "totalseg", "tptbox", "totalseg_v1")
"""The dialects that are numbers in an array; ``seg`` names its segments by code."""

CHOICES = ("auto", *NUMBERED, "seg")
"""What ``--dialect`` takes."""

_NAMES = "|".join(NUMBERED)
_SURE = 3  # structures in craniocaudal order; chance gives one order in six


@dataclass(frozen=True, slots=True)
class Dialect:
    """One numbering, from ``data/labels/<name>.toml``.

    Parameters
    ----------
    values : the integer of each level
    below : integers of what lies under every level (sacrum, coccyx), from above downward
    known : every integer that the numbering uses, for whatever structure
    """

    name: str
    title: str
    source: str
    values: Mapping[Level, int]
    below: tuple[int, ...]
    known: frozenset[int]

    def present(self, integers: Iterable[int]) -> dict[Level, int]:
        """Return the levels that a map with these integers holds, craniocaudal."""
        held = set(integers)
        return {level: self.values[level] for level in Level if self.values.get(level) in held}


def load_dialect(name: str) -> Dialect:
    """Return a shipped numbering by its name, one of :data:`NUMBERED`."""
    if name not in NUMBERED:
        raise InputError(f"dialect {name!r} is not known; use one of {', '.join(CHOICES)}")
    table = read_toml(f"labels/{name}.toml")
    values = {Level(level): number for level, number in table["levels"].items()}
    known = frozenset(number for low, high in table["known"] for number in range(low, high + 1))
    return Dialect(name, table["title"], table["source"], MappingProxyType(values), tuple(table["below"]), known)


def decided_dialect(
    name: str, centroids: Mapping[int, NDArray[np.float64]], limits: Limits, *, with_subregions: bool = False
) -> Dialect:
    """Find the one numbering that fits the integers of a map and where they lie.

    A numbering fits if it knows all the integers, names at least one vertebra by them, puts them in craniocaudal order
    (VerSe numbers grow downward, TotalSegmentator's upward), and no neighbours lie farther apart than vertebrae do.
    Three structures in order decide against one that fits by chance; fewer decide only where no other numbering could
    be meant. TotalSegmentator 1 is never decided for: upside down it looks like VerSe, so it is asked for.

    Parameters
    ----------
    name : the file, for messages
    centroids : (3,), mm, LPS, of each integer in the map
    with_subregions : a TPTBox subregion file came with the map, so its numbering stands in for VerSe's

    Raises
    ------
    InputError
        If none or more than one could be meant; the message names the option that decides.
    """
    integers = set(centroids)
    readings = _readings(centroids, limits, with_subregions)
    older = load_dialect("totalseg_v1")
    if _is_version_one(older, centroids, limits):
        readings.append(older)
    if len(readings) == 1 and readings[0].name != older.name:
        return readings[0]
    listed = _listed(integers)
    if not readings:
        raise InputError(_none_fits(name, listed, centroids, limits))
    said = "; ".join(f"{one.name}: {_levels(one, integers)}" for one in readings)
    raise InputError(f"{name}: label values {listed} are ambiguous ({said}); say which with --dialect {_NAMES}")


def _readings(centroids: Mapping[int, NDArray[np.float64]], limits: Limits, with_subregions: bool) -> list[Dialect]:
    """Return the numberings that could be meant, TotalSegmentator 1 aside."""
    subregional = with_subregions or not set(centroids) <= load_dialect("verse").known
    downward = load_dialect("tptbox" if subregional else "verse")
    current = load_dialect("totalseg")
    fitting = [one for one in (downward, current) if _fits(one, centroids, limits)]
    readings = sorted(fitting, key=lambda one: -len(_chain(one, centroids)))
    if readings:
        best = len(_chain(readings[0], centroids))
        if best >= _SURE:
            readings = [one for one in readings if len(_chain(one, centroids)) > best - 2]
        else:
            readings += [one for one in (downward, current) if one not in fitting and _close(one, centroids)]
    return readings


def order_faults(dialect: Dialect, centroids: Mapping[int, NDArray[np.float64]]) -> list[str]:
    """Return, in words, each pair of neighbouring levels that lies the wrong way round."""
    chain = _chain(dialect, centroids)
    return [
        f"{above[0]} ({above[1]}) does not lie above {below[0]} ({below[1]})"
        for above, below in itertools.pairwise(chain)
        if centroids[above[1]][2] <= centroids[below[1]][2]
    ]


def _fits(dialect: Dialect, centroids: Mapping[int, NDArray[np.float64]], limits: Limits) -> bool:
    present = dialect.present(centroids)
    if not present or not set(centroids) <= dialect.known or order_faults(dialect, centroids):
        return False
    levels = list(present)
    for above, below in itertools.pairwise(levels):
        distance = float(np.linalg.norm(centroids[present[above]] - centroids[present[below]]))
        if distance > limits.level_distance * (below.rank - above.rank):
            return False
    return True


def _close(dialect: Dialect, centroids: Mapping[int, NDArray[np.float64]]) -> bool:
    """Tell whether a numbering could be meant although its order fails at one place."""
    named = bool(dialect.present(centroids)) and set(centroids) <= dialect.known
    return named and len(order_faults(dialect, centroids)) <= 1


def _is_version_one(older: Dialect, centroids: Mapping[int, NDArray[np.float64]], limits: Limits) -> bool:
    """Tell whether a map lies like a spine in TotalSegmentator 1, with vertebrae that are organs in version 2."""
    current = load_dialect("totalseg")
    lowest = min(*current.values.values(), *current.below)
    numbers = list(older.present(centroids).values())
    return len(numbers) >= _SURE and min(numbers) < lowest and _fits(older, centroids, limits)


def _chain(dialect: Dialect, centroids: Mapping[int, NDArray[np.float64]]) -> list[tuple[str, int]]:
    levels = [(str(level), number) for level, number in dialect.present(centroids).items()]
    return levels + [(f"label {number}", number) for number in dialect.below if number in centroids]


def _none_fits(name: str, listed: str, centroids: Mapping[int, NDArray[np.float64]], limits: Limits) -> str:
    named = [one for one in map(load_dialect, NUMBERED) if one.present(centroids) and set(centroids) <= one.known]
    if not named:
        return (
            f"{name} holds no vertebra in any numbering that is known (values {listed}); give a vertebra segmentation "
            "(VerSe, TotalSegmentator, TPTBox or DICOM SEG)"
        )
    faults = order_faults(named[0], centroids) or [f"neighbours lie more than {limits.level_distance:g} mm apart"]
    return (
        f"{name}: label values {listed} fit no numbering in craniocaudal order (read as {named[0].name}, {faults[0]}); "
        f"check the orientation in the header, or say the numbering with --dialect {_NAMES}"
    )


def _levels(dialect: Dialect, integers: Iterable[int]) -> str:
    levels = [str(level) for level in dialect.present(integers)]
    return levels[0] if len(levels) == 1 else f"{levels[0]} to {levels[-1]}"


def _listed(integers: Iterable[int]) -> str:
    ordered = sorted(integers)
    return ", ".join(map(str, ordered[:12])) + (", ..." if len(ordered) > 12 else "")
