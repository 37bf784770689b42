"""The kyphoplasty's part of a simulation: fractured levels and what is to be done with a cavity tool in each."""

from typing import Any

import numpy as np

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.imaging.calibration import Calibration
from vertecast.imaging.volume import Volume
from vertecast.pipeline.manifest import Record
from vertecast.procedure.fractured import FracturedLevel, Lost, make_fractured, mapped_density
from vertecast.procedure.inflate import RULES, BalloonStop, Inflation
from vertecast.procedure.kyphoplasty import DEFAULT_TOOL, LiftTask
from vertecast.procedure.site import Site
from vertecast.procedure.vertebroplasty import LevelTask
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.heights import Place
from vertecast.spine.measurement import SpineMeasurement

_INTACT = 20.0  # per cent of height lost, below which Genant calls it normal
_NEAR = 2  # levels above and below
PROCEDURES = ("kyphoplasty", "other_cavity_tool")
"""Procedures with a cavity tool, by the names of the plan."""


def lift_task(
    cement: LevelTask,
    planned: dict[str, Any],
    fractured: tuple[FracturedLevel, Lost],
    chosen: tuple[str | None, float | None],
    rules_off: tuple[str, ...],
) -> LiftTask:
    """Return what is to be done at one level: the plan's balloon and volume unless others are given.

    Parameters
    ----------
    chosen : tool of the catalogue and mL a side, None where the plan says
    rules_off : stop rules of the inflation that are switched off

    Raises
    ------
    InputError
        Where neither plan nor call gives a volume, or for a rule that does not exist.
    """
    proposal = (planned.get("volumes") or {}).get("balloon") or {}
    tool, volume = chosen
    if volume is None:
        volume = proposal.get("volume_per_side_ml")
    if volume is None:
        raise InputError(f"{cement.level}: the plan proposes no volume for a cavity tool; give one with --balloon-ml")
    level, lost = fractured
    wanted = max(lost)
    return LiftTask(
        cement=cement,
        fractured=level,
        inflation=Inflation(
            volume=1000.0 * float(volume),
            height=wanted if wanted >= level.settings.least_loss else None,
            rules=RULES - {BalloonStop(name) for name in rules_off},
        ),
        tool=tool or proposal.get("name") or DEFAULT_TOOL,
    )


def fractured_level(
    site: Site, spine: SpineMeasurement, images: tuple[Volume, Calibration], record: Record
) -> tuple[FracturedLevel, Lost]:
    """Build the fractured state of a level from what was measured on it; return it with the height it lost."""
    level = site.level
    vertebra = spine[level]
    found = [vertebra.loss.lost_mm[place].value for place in Place]
    if any(value is None for value in found):
        record.warn(
            f"{level}: lost height is not known ({vertebra.loss.lost_mm[Place.MIDDLE].reason}); no crushed band is made"
        )
    front, middle, back = (0.0 if value is None else max(0.0, float(value)) for value in found)
    mapped = mapped_density(site, _donors(level, spine), *images)
    made = make_fractured(site, (front, middle, back), mapped=mapped)
    for sentence in made.warnings:
        record.warn(sentence)
    if not np.any(made.tissue == 2) and max(front, middle, back) > 0:
        record.warn(f"{level}: lost less height than a CT can tell; no crushed band is made")
    record.uses.extend(made.uses)
    return made, (front, middle, back)


def _donors(level: Level, spine: SpineMeasurement) -> list[Anatomy]:
    """Return the vertebrae that tell what the bone was: of the height's reference, else the nearest that are whole.

    A reference that is the patient's own earlier CT names the level itself, which is broken now.
    """
    others = [one for one in spine.vertebrae if one.level is not level and one.anatomy is not None]
    found = [one for one in others if one.level in spine[level].loss.levels]
    if not found:
        found = [one for one in others if (one.loss.largest.value or 0.0) < _INTACT]
        found = [one for one in found if abs(one.level.rank - level.rank) <= _NEAR]
    return [one.anatomy for one in found if one.anatomy is not None]


def split_rules(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Part the names of stop rules into those of the injection and those of the inflation."""
    known = {rule.value for rule in RULES}
    return tuple(n for n in names if n not in known), tuple(n for n in names if n in known)
