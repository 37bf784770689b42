"""Height loss against a named reference: own prior CT, nearest intact neighbours, or the regression over levels."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vertecast.core.levels import Level
from vertecast.core.quantities import Measured, quantity
from vertecast.spine.heights import Place
from vertecast.spine.normals import LevelNormals

_ROUNDS = 6


class ReferenceKind(Enum):
    """What the lost height is counted from, best first."""

    PRIOR = "own prior CT"
    NEIGHBOURS = "nearest intact neighbours"
    REGRESSION = "level regression"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSettings:
    """Which levels may serve as reference; ``data/spine/reference.toml``."""

    suspect_loss: float = quantity("%", "loss from which a level is no reference for others")
    reach: float = quantity("1", "levels within which a neighbour is taken")
    least_levels: float = quantity("1", "fewest intact levels for the regression")


@dataclass(frozen=True, eq=False)
class LevelHeights:
    """What the reference needs of one level.

    Parameters
    ----------
    heights, deviations : (3,), mm: anterior, middle, posterior
    depth : mm
    usable : whether it may be another level's reference (not cut, cemented or known to be broken)
    """

    heights: NDArray[np.float64]
    deviations: NDArray[np.float64]
    depth: float
    usable: bool


@dataclass(frozen=True, eq=False)
class HeightLoss:
    """Loss of height of one level against one reference.

    Parameters
    ----------
    kind : what the reference is; ``None`` when there is none
    levels : the levels the reference was taken from
    formula : how, in words
    percent : anterior, middle and posterior loss, per cent
    reference_mm : the heights it was counted from
    lost_mm : reference less height
    """

    kind: ReferenceKind | None
    levels: tuple[Level, ...]
    formula: str
    percent: Mapping[Place, Measured]
    reference_mm: Mapping[Place, Measured]
    lost_mm: Mapping[Place, Measured]

    @property
    def worst(self) -> Place | None:
        """Where most is lost; ``None`` when nothing is known."""
        known = [place for place in Place if self.percent[place].value is not None]
        return max(known, key=lambda place: self.percent[place].value or 0.0) if known else None

    @property
    def largest(self) -> Measured:
        """The largest of the three losses."""
        return self.percent[self.worst] if self.worst is not None else self.percent[Place.ANTERIOR]


@dataclass(frozen=True, eq=False)
class _Reference:
    kind: ReferenceKind
    levels: tuple[Level, ...]
    formula: str
    heights: NDArray[np.float64]
    deviations: NDArray[np.float64]


def height_losses(
    found: Mapping[Level, LevelHeights],
    prior: Mapping[Level, LevelHeights],
    normals: LevelNormals,
    settings: ReferenceSettings,
) -> dict[Level, HeightLoss]:
    """Return the loss of every level; levels that have lost much serve no other, in turns until none changes.

    Parameters
    ----------
    prior : the same patient's earlier heights, may be empty
    """
    intact = _first_guess(found, normals, settings)
    losses: dict[Level, HeightLoss] = {}
    for _ in range(_ROUNDS):
        losses = {level: _loss(level, found, prior, intact, normals, settings) for level in found}
        again = {
            level
            for level in found
            if found[level].usable and (losses[level].largest.value or 0.0) < settings.suspect_loss
        }
        if again == intact:
            break
        intact = again
    return losses


def _first_guess(found: Mapping[Level, LevelHeights], normals: LevelNormals, settings: ReferenceSettings) -> set[Level]:
    """Levels that are not much lower than the median of all says they should be."""
    usable = {level for level, one in found.items() if one.usable}
    profiles = {level: normals.profile(level, found[level].depth) for level in usable}
    offsets = {level: found[level].heights - p for level, p in profiles.items() if p is not None}
    if len(offsets) < settings.least_levels:
        return usable
    middle = np.median(np.array(list(offsets.values())), axis=0)
    kept = set()
    for level in usable:
        profile = profiles[level]
        if profile is None or (1.0 - found[level].heights / (middle + profile)).max() < settings.suspect_loss / 100.0:
            kept.add(level)
    return kept


def _loss(
    level: Level,
    found: Mapping[Level, LevelHeights],
    prior: Mapping[Level, LevelHeights],
    intact: set[Level],
    normals: LevelNormals,
    settings: ReferenceSettings,
) -> HeightLoss:
    reference = (
        _from_prior(level, prior)
        or _from_neighbours(level, found, intact - {level}, normals, settings)
        or _from_regression(level, found, intact - {level}, normals, settings)
    )
    if reference is None:
        reason = f"{level} has no prior CT, no intact neighbour and too few intact levels to compare with"
        nothing = {place: Measured.unknown(reason) for place in Place}
        return HeightLoss(None, (), "none", nothing, nothing, nothing)
    return _compared(found[level], reference)


def _compared(own: LevelHeights, reference: _Reference) -> HeightLoss:
    percent, standard, lost = {}, {}, {}
    for i, place in enumerate(Place):
        h, r = own.heights[i], reference.heights[i]
        sh, sr = own.deviations[i], reference.deviations[i]
        method = f"100 (1 - h/reference); reference = {reference.formula}"
        share = h / r * np.hypot(sh / h, sr / r)
        percent[place] = Measured.with_error(float(100.0 * (1.0 - h / r)), float(196.0 * share), method)
        standard[place] = Measured.with_error(float(r), float(1.96 * sr), reference.formula)
        lost[place] = Measured.with_error(float(r - h), float(1.96 * np.hypot(sh, sr)), method)
    return HeightLoss(reference.kind, reference.levels, reference.formula, percent, standard, lost)


def _from_prior(level: Level, prior: Mapping[Level, LevelHeights]) -> _Reference | None:
    if level not in prior:
        return None
    one = prior[level]
    return _Reference(ReferenceKind.PRIOR, (level,), f"{level} of the patient's prior CT", one.heights, one.deviations)


def _predicted(
    level: Level, other: Level, found: Mapping[Level, LevelHeights], normals: LevelNormals
) -> NDArray[np.float64]:
    """Heights of ``level`` as ``other`` would have them there: its own plus the normal difference of the two levels."""
    depth = 0.5 * (found[level].depth + found[other].depth)
    here, there = normals.profile(level, depth), normals.profile(other, depth)
    if here is None or there is None:
        return found[other].heights
    return np.asarray(found[other].heights + here - there)


def _from_neighbours(
    level: Level,
    found: Mapping[Level, LevelHeights],
    intact: set[Level],
    normals: LevelNormals,
    settings: ReferenceSettings,
) -> _Reference | None:
    above = [other for other in intact if 0 < level.rank - other.rank <= settings.reach]
    below = [other for other in intact if 0 < other.rank - level.rank <= settings.reach]
    chosen = [max(above, key=lambda o: o.rank)] if above else []
    chosen += [min(below, key=lambda o: o.rank)] if below else []
    if not chosen:
        return None
    weight = np.array([1.0 / abs(other.rank - level.rank) for other in chosen])
    weight /= weight.sum()
    predicted = np.array([_predicted(level, other, found, normals) for other in chosen])
    measured = np.array([found[other].deviations for other in chosen])
    heights = weight @ predicted
    distance = np.array([abs(other.rank - level.rank) for other in chosen], float)
    natural = normals.level_variation * heights * float(np.sqrt((weight**2 * distance).sum()))
    deviations = np.sqrt((weight[:, None] ** 2 * measured**2).sum(axis=0) + natural**2)
    names = " and ".join(str(other) for other in chosen)
    formula = f"mean of {names}, each moved by the normal difference between the levels (PAHC/PMHC form)"
    return _Reference(ReferenceKind.NEIGHBOURS, tuple(chosen), formula, heights, deviations)


def _from_regression(
    level: Level,
    found: Mapping[Level, LevelHeights],
    intact: set[Level],
    normals: LevelNormals,
    settings: ReferenceSettings,
) -> _Reference | None:
    levels = sorted((other for other in intact if normals.growth(other) is not None), key=lambda o: o.rank)
    if len(levels) < settings.least_levels or normals.growth(level) is None:
        return None
    predicted = np.array([_predicted(level, other, found, normals) for other in levels])
    heights = np.median(predicted, axis=0)
    spread = predicted.std(axis=0, ddof=1) * np.sqrt(1.0 + 1.0 / len(levels))
    formula = f"{len(levels)} intact levels on the normal rise of height by level, offset fitted to this patient"
    return _Reference(ReferenceKind.REGRESSION, tuple(levels), formula, heights, spread)
