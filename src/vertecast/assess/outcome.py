"""The level's part of ``outcome.json``: every number with its interval and method, or the reason it is unknown."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vertecast.assess.cement import cement_outcome, leakage_outcome, thermal_outcome
from vertecast.assess.compression import ALPHAS, Tested
from vertecast.assess.level import ARMS, Laboratory, Loaded
from vertecast.assess.loads import ACTIVITIES, Person, Task, by_population, compression, load
from vertecast.assess.neighbour_outcome import adjacent_outcome
from vertecast.assess.shape import Tilts, shape_outcome
from vertecast.assess.treated import Treated
from vertecast.core.quantities import Measured
from vertecast.mechanics.activities import ActivityLoads

_TEST = "body between cement caps, pressed axially"
_NOT_HERE = "this arm does not exist"


@dataclass(frozen=True, kw_only=True)
class LevelRun:
    """What the run folder says of one level.

    Parameters
    ----------
    spine, simulated : the level's parts of ``spine.json`` and ``simulation.json``
    person : who carries the load
    """

    spine: Mapping[str, Any]
    simulated: Mapping[str, Any]
    person: Person


def level_outcome(treated: Treated, loaded: Loaded, run: LevelRun, laboratory: Laboratory) -> dict[str, Any]:
    """Return one level's part of ``outcome.json``."""
    shape, tilts = shape_outcome(run.spine, run.simulated.get("lift"), treated.fractured)
    return {
        "voxel_mm": treated.voxel_mm,
        "calibrated": treated.calibrated,
        "mechanics": mechanics_outcome(treated, loaded, (run.person, tilts), laboratory),
        "shape": shape,
        "cement": cement_outcome(treated, run.simulated, laboratory.settings),
        "leakage": leakage_outcome(run.simulated),
        "thermal": thermal_outcome(run.simulated),
        "adjacent_levels": adjacent_outcome(treated, loaded, (run.person, tilts), laboratory),
    }


def mechanics_outcome(
    treated: Treated, loaded: Loaded, who: tuple[Person, Tilts], laboratory: Laboratory
) -> dict[str, Any]:
    """Return stiffness, strength, loads and their ratio by arm."""
    settings, calibrated = laboratory.settings, treated.calibrated
    stiffness = {
        arm: settings.trusted(
            loaded.stiffness[arm], settings.stiffness_exponent, calibrated, f"{_TEST}; elastic, {treated.voxel_mm:g} mm"
        )
        if arm in loaded.stiffness
        else Measured.unknown(_why(loaded.tested.get(arm)))
        for arm in ARMS
    }
    strength = {name: {arm: _strength(loaded.tested[arm], name) for arm in ARMS} for name in ALPHAS}
    loads = {task: {arm: _load(task, arm, treated, who, laboratory) for arm in ARMS} for task in ACTIVITIES}
    ratios = {task: {arm: _ratio(task, arm, (treated, loaded), who, laboratory) for arm in ARMS} for task in ACTIVITIES}
    peak = {arm: _fixed_ratio(laboratory.activities, loaded.tested[arm]) for arm in ARMS}
    return {
        "stiffness_n_mm": _json(stiffness),
        **{f"strength_{name}_n": _json(arms) for name, arms in strength.items()},
        "after_over_fractured_ratio": _json(_changes(loaded, "fractured", settings.ratio_error)),
        "after_over_before_ratio": _json(_changes(loaded, "before", settings.ratio_error)),
        "load_n": {task: _json(arms) for task, arms in loads.items()},
        "load_to_strength_ratio": {
            **{task: _json(arms) for task, arms in ratios.items()},
            "highest_of_daily_telemetry": _json(peak),
        },
    }


def _strength(found: Tested | str, name: str) -> Measured:
    return Measured.unknown(found) if isinstance(found, str) else found.strength[name]


def _why(found: Tested | str | None) -> str:
    return found if isinstance(found, str) else _NOT_HERE


def _changes(loaded: Loaded, reference: str, error: float) -> dict[str, Measured]:
    """Return after over another arm: in a ratio the errors of density and model are common to both."""
    names = {"stiffness": "", **{f"strength_{name}": name for name in ALPHAS}}
    other, after = loaded.tested[reference], loaded.tested["after"]
    if isinstance(other, str) or isinstance(after, str):
        said = Measured.unknown(_why(other if isinstance(other, str) else after))
        return dict.fromkeys(names, said)
    base = loaded.stiffness[reference]
    ends = sorted((*loaded.bounds, loaded.stiffness["after"]))
    found = {
        "stiffness": Measured(
            loaded.stiffness["after"] / base, ends[0] / base, ends[-1] / base, "interval: softest and stiffest cement"
        )
    }
    for name in ALPHAS:
        top, bottom = after.strength[name].value, other.strength[name].value
        found[f"strength_{name}"] = (
            Measured.unknown("one of the two tests found no strength")
            if top is None or not bottom
            else _by_grid(top / bottom, error, f"{_TEST}; {name.replace('_', ' ')}; interval: the grid's error")
        )
    return found


def _by_grid(value: float, error: float, method: str) -> Measured:
    return Measured(value, value * (1.0 - error), value * (1.0 + error), method)


def _load(task: str, arm: str, treated: Treated, who: tuple[Person, Tilts], laboratory: Laboratory) -> Measured:
    person, tilts = who
    tilt: Measured = getattr(tilts, arm)
    if tilt.value is None:
        return Measured.unknown(str(tilt.reason))
    return load(Task(activity=task, level=treated.level, tilt=float(np.radians(tilt.value))), person, laboratory.trunk)


def _ratio(
    task: str, arm: str, tested: tuple[Treated, Loaded], who: tuple[Person, Tilts], laboratory: Laboratory
) -> Measured:
    """Return load over strength: the middle of both yield surfaces, its interval from both and from the load's."""
    treated, loaded = tested
    person, tilts = who
    found, tilt = loaded.tested[arm], getattr(tilts, arm)
    if isinstance(found, str):
        return Measured.unknown(found)
    if found.span is None:
        return Measured.unknown("the test found no strength")
    if tilt.value is None:
        return Measured.unknown(str(tilt.reason))
    job = Task(activity=task, level=treated.level, tilt=float(np.radians(tilt.value)))
    middle = float(np.mean(found.span))
    trunk = laboratory.trunk
    answer = by_population(
        lambda mass, height, c: compression(job, mass, height, trunk, compensation=c) / middle,
        person,
        trunk,
        "load over the middle of both strengths",
        error=trunk.model_error,
    )
    ends = _ends(found)
    if answer.value is None or answer.low is None or answer.high is None or ends is None:
        return answer
    return replace(answer, low=answer.low * middle / ends[1], high=answer.high * middle / ends[0])


def _ends(found: Tested) -> tuple[float, float] | None:
    """Return the lowest and highest strength that the intervals of both yield surfaces reach, N."""
    lows = [one.low for one in found.strength.values() if one.low]
    highs = [one.high for one in found.strength.values() if one.high]
    return (min(lows), max(highs)) if lows and highs else None


def _fixed_ratio(activities: ActivityLoads, found: Tested | str) -> Measured:
    """Return the highest load of daily life that telemetry saw, over the strength: it needs nothing of the patient."""
    if isinstance(found, str):
        return Measured.unknown(found)
    ends = _ends(found)
    if found.span is None or ends is None:
        return Measured.unknown("the test found no strength")
    force, middle = activities.daily_peak, float(np.mean(found.span))
    method = f"{force:.0f} N, highest of 5 patients with an instrumented implant, over the middle of both strengths"
    return Measured(force / middle, force / ends[1], force / ends[0], method)


def _json(arms: Mapping[str, Measured]) -> dict[str, Any]:
    return {name: one.as_json() for name, one in arms.items()}
