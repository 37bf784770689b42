"""Both neighbouring levels: disc pressure and endplate strain by arm, and how much cement and posture each change."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vertecast.assess.level import Laboratory, Loaded
from vertecast.assess.loads import Person, Task, by_population, compression, load
from vertecast.assess.segment import ABOVE, BELOW, Felt
from vertecast.assess.shape import Tilts
from vertecast.assess.treated import Treated
from vertecast.core.levels import NOT_EVERYONE_HAS, Level
from vertecast.core.quantities import Measured

_ARMS = ("before", "fractured", "after", "posture_only")
_READINGS = {"disc_pressure_standing_mpa": ("pressure", 1.0), "endplate_strain_standing_percent": ("strain", 100.0)}
_HOW = "segment of three bodies and two discs, linear"


def adjacent_outcome(
    treated: Treated, loaded: Loaded, who: tuple[Person, Tilts], laboratory: Laboratory
) -> dict[str, Any]:
    """Return what changes at the levels above and below.

    Notes
    -----
    ``posture_only`` is the fractured, uncemented body under the load that the kyphosis after the procedure gives:
    what posture alone would do. The force at a neighbour is that of its own level.
    """
    return {_name(treated.level, side): _neighbour(treated, loaded, side, who, laboratory) for side in (ABOVE, BELOW)}


def _name(level: Level, side: str) -> str:
    other = next_level(level, side)
    return f"level_{side}" if other is None else str(other)


def next_level(level: Level, side: str) -> Level | None:
    """Return the level above or below; T13 and L6, which most spines do not have, are passed over."""
    order, step = list(Level), -1 if side == ABOVE else 1
    at = level.rank + step
    while 0 <= at < len(order) and order[at] in NOT_EVERYONE_HAS:
        at += step
    return order[at] if 0 <= at < len(order) else None


def _neighbour(
    treated: Treated, loaded: Loaded, side: str, who: tuple[Person, Tilts], laboratory: Laboratory
) -> dict[str, Any]:
    other = next_level(treated.level, side)
    if side in loaded.missing or other is None:
        why = loaded.missing.get(side, f"there is no level {side} {treated.level}")
        said = Measured.unknown(why).as_json()
        return {"where": side, **{name: dict.fromkeys(_ARMS, said) for name in _READINGS}}
    loads = {arm: _standing(arm, other, who, laboratory) for arm in _ARMS}
    content: dict[str, Any] = {
        "where": side,
        "load_standing_n": {arm: one.as_json() for arm, one in loads.items()},
    }
    for name, (reading, scale) in _READINGS.items():
        content[name] = {arm: _under(loads[arm], _state(loaded, arm, side), reading, scale).as_json() for arm in _ARMS}
    content["change_by_cement_percent"] = {
        "disc_pressure": _by_cement(loaded, side, "pressure", laboratory).as_json(),
        "endplate_strain": _by_cement(loaded, side, "strain", laboratory).as_json(),
    }
    now = "before" if treated.fractured is False else "fractured"
    content["change_by_posture_after_percent"] = _by_posture(other, (now, "after"), who, laboratory).as_json()
    content["change_by_fracture_kyphosis_percent"] = _by_posture(
        other, ("before", "fractured"), who, laboratory
    ).as_json()
    return content


def _standing(arm: str, level: Level, who: tuple[Person, Tilts], laboratory: Laboratory) -> Measured:
    tilt: Measured = getattr(who[1], "after" if arm == "posture_only" else arm)
    if tilt.value is None:
        return Measured.unknown(str(tilt.reason))
    task = Task(activity="standing", level=level, tilt=float(np.radians(tilt.value)))
    return load(task, who[0], laboratory.trunk)


def _state(loaded: Loaded, arm: str, side: str) -> Felt | None:
    """Return what a neighbour feels under 1 N; with posture alone the treated body is as it was."""
    name = {"posture_only": "fractured"}.get(arm, arm)
    states: Mapping[str, Mapping[str, Felt]] = loaded.felt
    if arm == "posture_only" and "fractured" not in states:
        name = "before"
    return states.get(name, {}).get(side)


def _under(force: Measured, state: Felt | None, reading: str, scale: float) -> Measured:
    if state is None:
        return Measured.unknown("this arm does not exist at the treated level")
    if force.value is None:
        return Measured.unknown(f"the load is not known: {force.reason}")
    unit = scale * float(getattr(state, reading))
    ends = sorted(unit * float(end) for end in (force.low, force.high) if end is not None)
    value = unit * force.value
    if len(ends) < 2:
        return Measured(value, method=_HOW)
    return Measured(value, min(ends[0], value), max(ends[1], value), f"{_HOW}; interval: that of the load")


def _by_cement(loaded: Loaded, side: str, reading: str, laboratory: Laboratory) -> Measured:
    """Return the change under the same force, %, from the uncemented to the cemented body."""
    base = _state(loaded, "fractured", side) or _state(loaded, "before", side)
    after = [_state(loaded, name, side) for name in ("after", "after_softest", "after_stiffest")]
    if base is None or any(one is None for one in after):
        return Measured.unknown("the segment could not be tested")
    start = float(getattr(base, reading))
    if start == 0:
        return Measured.unknown("the neighbour feels nothing")
    changes = [100.0 * (float(getattr(one, reading)) / start - 1.0) for one in after]
    error = laboratory.settings.segment_error
    method = f"{_HOW}, same force; interval: softest and stiffest cement and the grid's error"
    return Measured(changes[0], min(changes) - error, max(changes) + error, method)


def _by_posture(level: Level, arms: tuple[str, str], who: tuple[Person, Tilts], laboratory: Laboratory) -> Measured:
    """Return the change of the standing load, %, that the kyphosis of one arm makes against that of another."""
    tilts = [getattr(who[1], arm) for arm in arms]
    for one in tilts:
        if one.value is None:
            return Measured.unknown(str(one.reason))
    first, second = (Task(activity="standing", level=level, tilt=float(np.radians(one.value))) for one in tilts)
    trunk = laboratory.trunk

    def change(mass: float, height: float, c: float | None) -> float:
        start = compression(first, mass, height, trunk, compensation=c)
        return 100.0 * (compression(second, mass, height, trunk, compensation=c) / start - 1.0)

    return by_population(
        change, who[0], trunk, "ratio of two load balances, standing; interval: full and no compensation"
    )
