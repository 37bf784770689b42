"""The vertebroplasty: needles in, cement mixed, one side after the other, level after level, needles out, cure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.core.quantities import quantity
from vertecast.core.sides import Side
from vertecast.procedure.access import access, mix, withdraw
from vertecast.procedure.bed import Bed
from vertecast.procedure.cement import Cement
from vertecast.procedure.cure import CureSettings, cure
from vertecast.procedure.events import EventKind
from vertecast.procedure.inject import Injection, inject, require_room
from vertecast.procedure.needle import Needle, require_tip_in_bone
from vertecast.procedure.state import State
from vertecast.procedure.stops import NOTICED, InjectionSettings, StopReason
from vertecast.procedure.warmth import rested

Step = Callable[[State, Observer], State]
"""One step of a procedure: a pure function from the state before to the state after, events included."""
Keep = Callable[[State], None]


@dataclass(frozen=True, eq=False, kw_only=True)
class LevelTask:
    """What is to be done at one level.

    Parameters
    ----------
    needles : in the order of injection
    """

    level: Level
    needles: tuple[Needle, ...]
    volume: float = quantity("mm3", "cement of the level, shared evenly by its needles")

    def __post_init__(self) -> None:
        sides = [needle.side for needle in self.needles]
        if not sides or len(set(sides)) != len(sides):
            raise InputError(
                f"{self.level}: needles {', '.join(map(str, sides)) or 'none'}; give one or two, one a side"
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class Practice:
    """How it is done.

    Parameters
    ----------
    rules : stop rules that are on
    start_age : s after mixing at which the first injection begins; the start of the cement's window when None
    cures : whether the cure is followed
    """

    cement: Cement
    injection: InjectionSettings
    curing: CureSettings
    rules: frozenset[StopReason] = NOTICED
    start_age: float | None = None
    cures: bool = True


def vertebroplasty(
    beds: Mapping[Level, Bed],
    tasks: Sequence[LevelTask],
    practice: Practice,
    *,
    observer: Observer = SILENT,
    start: State | None = None,
    keep: Keep | None = None,
) -> State:
    """Run a whole vertebroplasty, or go on with one.

    Parameters
    ----------
    beds : by level
    tasks : in the order of treatment
    start : a state that an earlier run left; its finished steps are not done again
    keep : called with the state after every step, so that it can be saved

    Returns
    -------
    State
        ``finished(state, tasks, practice)`` tells whether it came to its end or was cancelled on the way.

    Raises
    ------
    GeometryError
        For a tip outside the bone, or a bed without a way out.
    InputError
        For a volume that does not fit, a cement that cannot be injected then.
    """
    _require_possible(beds, tasks)
    state = State.before(beds) if start is None else start
    if any(event.kind is EventKind.CANCELLED for event in state.events):
        state = state.with_event(EventKind.RESUMED)  # a killed run left no trace of its end, and ends as if unbroken
    return run_steps(state, vertebroplasty_steps(tasks, practice), observer, keep)


def vertebroplasty_steps(tasks: Sequence[LevelTask], practice: Practice) -> dict[str, Step]:
    """Return the steps by their names, in order."""
    steps: dict[str, Step] = {}
    for task in tasks:
        for needle in task.needles:
            steps[f"access {task.level} {needle.side}"] = _access_step(task.level, needle)
    for number, task in enumerate(tasks):
        steps |= injection_steps(task, practice, pause=practice.injection.level_change if number else 0.0)
    if practice.cures:
        for task in tasks:
            steps[f"cure {task.level}"] = _cure_step(task.level, practice)
    return steps


def injection_steps(task: LevelTask, practice: Practice, *, pause: float) -> dict[str, Step]:
    """Return the steps that fill one level: cement when it is needed, each side in turn, needles out.

    Parameters
    ----------
    pause : s before the first side
    """
    steps: dict[str, Step] = {}
    share = task.volume / len(task.needles)
    for number, needle in enumerate(task.needles):
        wait = practice.injection.side_change if number else pause
        steps[f"ready {task.level} {needle.side}"] = _ready_step(task, wait, practice, share + needle.dead_volume)
        injection = Injection(level=task.level, side=needle.side, volume=share, rules=practice.rules)
        steps[f"inject {task.level} {needle.side}"] = _inject_step(injection, practice)
    for needle in task.needles:
        steps[f"withdraw {task.level} {needle.side}"] = _withdraw_step(task.level, needle.side)
    return steps


def run_steps(state: State, steps: Mapping[str, Step], observer: Observer, keep: Keep | None = None) -> State:
    """Run the steps that the state has not done; a cancelled step stays undone and ends the run."""
    for name, step in steps.items():
        if name in state.done:
            continue
        if observer.cancelled():
            return state.with_event(EventKind.CANCELLED, None, None, {"before": name})
        count = len(state.events)
        state = step(state, observer)
        cancelled = any(event.kind is EventKind.CANCELLED for event in state.events[count:])
        if not cancelled:
            state = state.having_done(name)
        if keep is not None:
            keep(state)
        if cancelled:
            return state
    return state


def finished(state: State, tasks: Sequence[LevelTask], practice: Practice) -> bool:
    """Tell whether every step is done."""
    return all(name in state.done for name in vertebroplasty_steps(tasks, practice))


def _require_possible(beds: Mapping[Level, Bed], tasks: Sequence[LevelTask]) -> None:
    if not tasks:
        raise InputError("no level is to be treated; give at least one")
    for task in tasks:
        if task.level not in beds:
            raise InputError(f"{task.level}: no bed was made of this level; give one for each level to be treated")
        for needle in task.needles:
            require_tip_in_bone(needle, beds[task.level].site)
        require_room(beds[task.level], task.volume)


def _access_step(level: Level, needle: Needle) -> Step:
    return lambda state, observer: access(state, level, needle)


def _withdraw_step(level: Level, side: Side) -> Step:
    return lambda state, observer: withdraw(state, level, side)


def _inject_step(injection: Injection, practice: Practice) -> Step:
    return lambda state, observer: inject(state, injection, practice.cement, practice.injection, observer)


def _cure_step(level: Level, practice: Practice) -> Step:
    def step(state: State, observer: Observer) -> State:
        if state.at(level).flow is None:
            return state
        return cure(state, level, practice.cement, practice.curing, observer)

    return step


def _ready_step(task: LevelTask, wait: float, practice: Practice, needed: float) -> Step:
    """Turn to the next needle; mix a fresh batch when the one in use would not last for ``needed`` mm³."""

    def step(state: State, observer: Observer) -> State:
        begun = state.time
        state = state.with_time(state.time + wait)
        if not _lasts(state, practice, needed):
            state = mix(state, practice.cement, practice.injection.needle_temperature, start_age=practice.start_age)
        level = state.at(task.level)
        if level.flow is not None:
            state = state.with_level(task.level, rested(level, state.time - begun, practice.cement))
        return state

    return step


def _lasts(state: State, practice: Practice, needed: float) -> bool:
    """Tell whether the batch in use can be injected for as long as ``needed`` mm³ take."""
    if state.mixed_at is None:
        return False
    cement, settings = practice.cement, practice.injection
    end = state.time - state.mixed_at + needed / settings.rate
    return cement.age_at(end, settings.needle_temperature) < cement.window[1]
