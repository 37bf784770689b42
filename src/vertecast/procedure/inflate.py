"""Inflating: volume by volume until a rule says stop; the last good state is always kept."""

from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

import numpy as np

from vertecast.core.errors import ParameterError
from vertecast.core.observer import SILENT, Observer
from vertecast.core.quantities import quantity
from vertecast.kernels.cavity import CavityRecord, CavityState, Goal, Walk, WalkControl, WalkStatus, settled, walk
from vertecast.procedure.lift import STEPS, CurvePoint, Lift, Pause
from vertecast.procedure.lift_measure import Neighbour, clearances, rise
from vertecast.procedure.lift_trail import Trail
from vertecast.procedure.tools import Force


class BalloonStop(Enum):
    """Why an inflation ends."""

    TARGET_VOLUME = "target_volume"
    TARGET_HEIGHT = "target_height"
    TARGET_ANGLE = "target_angle"
    RATED_VOLUME = "rated_volume"
    RATED_PRESSURE = "rated_pressure"
    ENDPLATE = "endplate_distance"
    CORTEX = "cortex_distance"
    CANAL = "canal_distance"
    PRESSURE_FALL = "pressure_fall"
    NO_EQUILIBRIUM = "no_equilibrium"
    CANCELLED = "cancelled"


ALWAYS = frozenset({BalloonStop.TARGET_VOLUME, BalloonStop.NO_EQUILIBRIUM, BalloonStop.CANCELLED})
"""What no user can switch off."""
RULES = frozenset(BalloonStop) - ALWAYS
_OVER = {BalloonStop.TARGET_VOLUME: 0.05, BalloonStop.RATED_PRESSURE: 0.1}
"""Share of what is asked for by which one increment may overshoot it before it is made smaller."""
_FINEST = 0.1
"""Share of the usual increment below which none is made smaller."""
_WAITS = frozenset({BalloonStop.RATED_PRESSURE})
"""After these a tool may go on."""
_DISTANCE = {
    Neighbour.ENDPLATE: BalloonStop.ENDPLATE,
    Neighbour.CORTEX: BalloonStop.CORTEX,
    Neighbour.CANAL: BalloonStop.CANAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflation:
    """What is asked for.

    Parameters
    ----------
    volume : for each tool, what the syringe pushes in
    height : rise in front, in the middle or behind at which the fracture counts as reduced; None: not looked at
    angle : the same for the wedge
    rules : stop rules that are on
    in_turn : one tool after the other instead of both together
    """

    volume: float = quantity("mm3", "pushed into each tool")
    height: float | None = quantity("mm", "rise at which the fracture counts as reduced", default=None)
    angle: float | None = quantity("rad", "opening of the wedge at which it counts as reduced", default=None)
    rules: frozenset[BalloonStop] = RULES
    in_turn: bool = False

    def __post_init__(self) -> None:
        if not self.volume > 0:
            raise ParameterError(f"volume = {self.volume} mm3 must be above 0; a balloon takes 1000-4000 mm3")


class _Watcher:
    """Looks at every increment and says which tool must stop, and why."""

    def __init__(self, lift: Lift, inflation: Inflation, active: tuple[int, ...], waiting: tuple[int, ...]) -> None:
        self.lift, self.inflation, self.active, self.waiting = lift, inflation, active, waiting
        self.points: list[CurvePoint] = []
        self.trail = lift.trail or Trail.begun(lift.state, lift.level.spacing)
        pressures = lift.state.pressures
        self.begin = tuple(
            volume + lift.settings.line_compliance * p for volume, p in zip(lift.fluids, pressures, strict=True)
        )
        self.found: list[tuple[int, BalloonStop]] = []

    def __call__(self, state: CavityState, record: CavityRecord) -> str | None:
        lift, prone = self.lift, self.lift.moments["prone"]
        injected = lift.injected(record)
        gained = rise(lift.level, state, prone)
        pushed = max((injected[k] - self.begin[k] for k in self.active), default=0.0)
        seconds = lift.seconds + max(pushed, 0.0) / lift.settings.rate
        self.points.append(
            CurvePoint(
                injected=injected, volumes=record.volumes, pressures=record.pressures, lift=gained.middle,
                seconds=seconds,
            )
        )  # fmt: skip
        self.trail = self.trail.followed(state, lift.level.spacing, seconds)
        self.found = [(k, why) for k in self.active if (why := self._why(k, state, record, injected[k]))]
        if not self.found and (common := self._reduced(max(gained.by_place), gained.angle)):
            self.found = [(k, common) for k in (*self.active, *self.waiting)]
        ready = _given_way(lift, record.pressures, self.waiting)
        return ", ".join(why.value for _, why in self.found) or ("goes on" if ready else None)

    def _reduced(self, height: float, angle: float) -> BalloonStop | None:
        wanted, rules = self.inflation, self.inflation.rules
        if wanted.height is not None and BalloonStop.TARGET_HEIGHT in rules and height >= wanted.height:
            return BalloonStop.TARGET_HEIGHT
        if wanted.angle is not None and BalloonStop.TARGET_ANGLE in rules and angle >= wanted.angle:
            return BalloonStop.TARGET_ANGLE
        return None

    def _why(self, k: int, state: CavityState, record: CavityRecord, injected: float) -> BalloonStop | None:
        tool, rules, settings = self.lift.tools[k], self.inflation.rules, self.lift.settings
        if injected >= self.inflation.volume:
            return BalloonStop.TARGET_VOLUME
        if BalloonStop.RATED_VOLUME in rules and injected >= tool.skin.rated_volume:
            return BalloonStop.RATED_VOLUME
        if (
            BalloonStop.RATED_PRESSURE in rules
            and tool.rated_pressure is not None
            and record.pressures[k] >= tool.rated_pressure
        ):
            return BalloonStop.RATED_PRESSURE
        highest = max(point.pressures[k] for point in (*self.lift.curve, *self.points))
        fallen = highest - record.pressures[k] > settings.pressure_fall * highest
        if BalloonStop.PRESSURE_FALL in rules and highest > settings.pressure_noticed and fallen:
            return BalloonStop.PRESSURE_FALL
        least = {
            Neighbour.ENDPLATE: settings.endplate_distance,
            Neighbour.CORTEX: settings.cortex_distance,
            Neighbour.CANAL: settings.canal_distance,
        }
        looked = {what: least[what] for what, rule in _DISTANCE.items() if rule in rules}
        if looked:
            near = clearances(self.lift.level, state)[k]
            for what, distance in looked.items():
                if near.get(what, np.inf) < distance:
                    return _DISTANCE[what]
        return None


def inflate(
    lift: Lift, inflation: Inflation, *, observer: Observer = SILENT, control: WalkControl | None = None
) -> Lift:
    """Inflate the tools until each has met a rule; keeps the moment ``inflated``.

    A tool that has stopped keeps its fluid (its valve is closed) while the other goes on. One that has stopped at its
    rated pressure waits: when the bone has given way and its pressure has fallen, it is filled on.

    Returns
    -------
    Lift
        With why each side ended; ``no_equilibrium`` where the bone found none, or moves and the tool fills no further:
        its last good state is kept.

    Notes
    -----
    A curette cuts its cavity before and is not inflated.
    """
    order = [(k,) for k in range(len(lift.tools))] if inflation.in_turn else [tuple(range(len(lift.tools)))]
    steps = control or STEPS
    for group in order:
        active = tuple(k for k in group if lift.tools[k].force is not Force.CUTTING)
        waiting: tuple[int, ...] = ()
        while active:
            lift, active, waiting = _leg(lift, inflation, (active, waiting), (observer, steps))
            if not active and not observer.cancelled():
                lift, active, waiting = _at_rest(lift, waiting, steps)
    trail = lift.trail or Trail.begun(lift.state, lift.level.spacing)
    trail = trail.followed(lift.state, lift.level.spacing, lift.seconds, "inflated")
    lift = replace(lift.keeping("inflated"), trail=trail)
    return replace(lift, notes=(*lift.notes, *_short_of(lift, inflation)))


def _at_rest(
    lift: Lift, waiting: tuple[int, ...], control: WalkControl
) -> tuple[Lift, tuple[int, ...], tuple[int, ...]]:
    """Bring the bone to rest; return who is filled on because the pressure has fallen by it, and who still waits."""
    rested, _, _ = settled(lift.problem, lift.state, control)
    lift = replace(lift, state=rested)
    again = _given_way(lift, rested.pressures, waiting)
    return _going_on(lift, again) if again else lift, again, tuple(k for k in waiting if k not in again)


def _short_of(lift: Lift, inflation: Inflation) -> list[str]:
    """Say what of the reduction asked for was not reached."""
    gained = rise(lift.level, lift.state, lift.moments["prone"])
    why = ", ".join(sorted(set(lift.ended.values()))).replace("_", " ")
    said = []
    highest = max(gained.by_place)
    if inflation.height is not None and highest < inflation.height:
        said.append(f"{highest:.1f} of the {inflation.height:.1f} mm of height asked for were regained ({why})")
    if inflation.angle is not None and gained.angle < inflation.angle:
        turned, asked = np.degrees(gained.angle), np.degrees(inflation.angle)
        said.append(f"the wedge opened by {turned:.1f} of the {asked:.1f} degrees asked for ({why})")
    return said


def _leg(
    lift: Lift,
    inflation: Inflation,
    who: tuple[tuple[int, ...], tuple[int, ...]],
    how: tuple[Observer, WalkControl],
) -> tuple[Lift, tuple[int, ...], tuple[int, ...]]:
    """Inflate the active tools until one of them stops or a waiting one may go on; return who is active, who waits."""
    (active, waiting), (observer, control) = who, how
    now = lift.fluids
    goals = tuple(max(inflation.volume, now[k] * 1.001) if k in active else now[k] for k in range(len(now)))
    watcher = _Watcher(lift, inflation, active, waiting)
    done = walk(
        lift.problem,
        lift.state,
        Goal(volumes=goals, pressures=(None,) * len(now), load=1.0),
        control=replace(control, settling=0),
        watch=watcher,
        observer=observer,
    )
    if done.status is WalkStatus.STOPPED and len(watcher.points) == 1 and (over := _overshot(watcher, inflation)):
        if control.motion > _FINEST * STEPS.motion:
            finer = replace(control, motion=0.5 * control.motion)
            return _leg(lift, inflation, who, (observer, finer))
        if over is BalloonStop.TARGET_VOLUME:
            done, watcher.points = replace(done, state=lift.state), _in_the_line(watcher, inflation)
            watcher.trail = lift.trail or Trail.begun(lift.state, lift.level.spacing)
    stopped = dict(watcher.found) if done.status is WalkStatus.STOPPED else _all_ended(done, active)
    moved = replace(
        lift,
        state=done.state,
        curve=(*lift.curve, *watcher.points),
        trail=watcher.trail,
    )
    moved = _stopped(moved, stopped, {k for k in active if stopped.get(k) is BalloonStop.RATED_PRESSURE})
    active = tuple(k for k in active if k not in stopped)
    waiting = tuple(k for k in (*waiting, *stopped) if stopped.get(k, BalloonStop.RATED_PRESSURE) in _WAITS)
    again = _given_way(moved, done.state.pressures, waiting)
    if again:
        active = tuple(sorted({*active, *again}))
        moved = _going_on(moved, again)
    return moved, active, tuple(k for k in waiting if k not in active)


def _overshot(watcher: _Watcher, inflation: Inflation) -> BalloonStop | None:
    """Return the stop that the first increment already went too far past: the fluid asked for, or the rated pressure.

    When it is the fluid in the smallest increment, the line takes up too much.
    """
    (point,) = watcher.points
    for k, why in watcher.found:
        asked = {
            BalloonStop.TARGET_VOLUME: (point.injected[k], max(inflation.volume, watcher.begin[k])),
            BalloonStop.RATED_PRESSURE: (point.pressures[k], watcher.lift.tools[k].rated_pressure or np.inf),
        }.get(why)
        if asked is not None and asked[0] > (1.0 + _OVER[why]) * asked[1]:
            return why
    return None


def _in_the_line(watcher: _Watcher, inflation: Inflation) -> list[CurvePoint]:
    """Return the point of the curve at which all of the fluid is in the line and the cavity is as it was."""
    lift, (point,) = watcher.lift, watcher.points
    pushed = tuple(inflation.volume if k in watcher.active else volume for k, volume in enumerate(point.injected))
    return [replace(point, injected=pushed, volumes=lift.volumes, pressures=lift.state.pressures, lift=_lifted(lift))]


def _lifted(lift: Lift) -> float:
    return rise(lift.level, lift.state, lift.moments["prone"]).middle


def _given_way(lift: Lift, pressures: tuple[float, ...], waiting: tuple[int, ...]) -> tuple[int, ...]:
    """Return the waiting tools whose pressure has fallen far enough, and which were not tried too often."""
    found = []
    for k in waiting:
        tool, tries = lift.tools[k], sum(pause.goes_on and pause.side is lift.tools[k].side for pause in lift.pauses)
        assert tool.rated_pressure is not None
        if pressures[k] < lift.settings.resume_share * tool.rated_pressure and tries < lift.settings.tries:
            found.append(k)
    return tuple(found)


def _stopped(lift: Lift, stopped: dict[int, BalloonStop], paused: set[int]) -> Lift:
    """Keep why and when tools stopped; those that may go on are told as paused as well."""
    sides = {lift.tools[k].side: why.value for k, why in stopped.items()}
    last = lift.curve[-1].pressures if lift.curve else lift.state.pressures
    pauses = [_pause(lift, k, last[k], goes_on=False) for k in sorted(paused)]
    return replace(
        lift,
        ended=MappingProxyType({**lift.ended, **sides}),
        stopped=MappingProxyType({**lift.stopped, **dict.fromkeys(sides, lift.seconds)}),
        pauses=(*lift.pauses, *pauses),
    )


def _going_on(lift: Lift, again: tuple[int, ...]) -> Lift:
    """Forget that tools had stopped; tell that they go on."""
    sides = {lift.tools[k].side for k in again}
    return replace(
        lift,
        ended=MappingProxyType({side: why for side, why in lift.ended.items() if side not in sides}),
        stopped=MappingProxyType({side: at for side, at in lift.stopped.items() if side not in sides}),
        pauses=(*lift.pauses, *(_pause(lift, k, lift.state.pressures[k], goes_on=True) for k in again)),
    )


def _pause(lift: Lift, k: int, pressure: float, *, goes_on: bool) -> Pause:
    return Pause(side=lift.tools[k].side, goes_on=goes_on, seconds=lift.seconds, pressure=pressure)


def _all_ended(done: Walk, active: tuple[int, ...]) -> dict[int, BalloonStop]:
    why = {
        WalkStatus.COMPLETE: BalloonStop.TARGET_VOLUME,
        WalkStatus.STALLED: BalloonStop.NO_EQUILIBRIUM,
        WalkStatus.CANCELLED: BalloonStop.CANCELLED,
    }[done.status]
    return dict.fromkeys(active, why)


__all__ = ["ALWAYS", "RULES", "BalloonStop", "Inflation", "inflate"]
