"""The kyphoplasty: needles in, patient prone, balloons up and down, then cement and cure as in a vertebroplasty."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.core.quantities import quantity
from vertecast.core.sides import Side
from vertecast.procedure.access import access
from vertecast.procedure.balloon import load_balloon
from vertecast.procedure.bed import Bed
from vertecast.procedure.container import fill_container
from vertecast.procedure.cure import cure
from vertecast.procedure.deflate import deflate, let_go_seconds
from vertecast.procedure.events import Datum, EventKind
from vertecast.procedure.fractured import FracturedLevel
from vertecast.procedure.inflate import Inflation, inflate
from vertecast.procedure.inject import Injection
from vertecast.procedure.lift import STEPS, Lift, begin_lift, lie_down
from vertecast.procedure.lift_measure import rise
from vertecast.procedure.lift_outcome import site_after
from vertecast.procedure.needle import Needle, require_tip_in_bone
from vertecast.procedure.site import Site
from vertecast.procedure.state import State
from vertecast.procedure.tools import contains_cement, place_tool
from vertecast.procedure.vertebroplasty import Keep, LevelTask, Practice, Step, injection_steps, run_steps

DEFAULT_TOOL = "xpander-15/3"
Draw = Callable[[Site], Bed]
"""Makes the bed of a site: veins and shell with the run's own seed."""
_TOLD = 250.0  # mm³ between two events of an inflation


@dataclass(frozen=True, eq=False, kw_only=True)
class LiftTask:
    """What is to be done at one level.

    Parameters
    ----------
    cement : needles and cement of the level
    fractured : its mechanical state
    tool : of the catalogue, one through each needle
    stays : whether the tools stay; each tool's own rule when None
    in_turn : whether the second balloon stays filled until the first side is full of cement
    """

    cement: LevelTask
    fractured: FracturedLevel
    inflation: Inflation
    tool: str = DEFAULT_TOOL
    stays: bool | None = None
    in_turn: bool = False
    motion: float = quantity("1", "voxels a wall may move in an increment", default=STEPS.motion)

    @property
    def level(self) -> Level:
        """Its name."""
        return self.cement.level


def kyphoplasty(
    beds: Mapping[Level, Bed],
    tasks: Sequence[LiftTask],
    practice: Practice,
    draw: Draw,
    *,
    observer: Observer = SILENT,
    going: tuple[State | None, Keep | None] = (None, None),
) -> State:
    """Run a whole kyphoplasty: access, lift, let go, fill, cure; or go on with one.

    Parameters
    ----------
    beds : by level, before the balloon
    tasks : in the order of treatment
    draw : makes the bed that the cement meets from the site after the balloon
    going : a state that an earlier run left, whose finished steps are not done again; and what is called with the state
        after every step, so that it can be saved

    Raises
    ------
    GeometryError
        For a tip outside the bone, a tool that does not fit or touches the canal at rest, a body without bone.
    InputError
        For a volume that does not fit, a tool or cement that is not in the catalogue.
    """
    if not tasks:
        raise InputError("no level is to be treated; give at least one")
    settings = load_balloon().values
    for task in tasks:
        if task.level not in beds:
            raise InputError(f"{task.level}: no bed was made of this level; give one for each level to be treated")
        for needle in task.cement.needles:
            require_tip_in_bone(needle, beds[task.level].site)
            place_tool(task.tool, needle, task.fractured, settings)
    start, keep = going
    state = State.before(beds) if start is None else start
    if any(event.kind is EventKind.CANCELLED for event in state.events):
        state = state.with_event(EventKind.RESUMED)  # a killed run left no trace of its end, and ends as if unbroken
    return run_steps(state, kyphoplasty_steps(tasks, practice, draw), observer, keep)


def kyphoplasty_steps(tasks: Sequence[LiftTask], practice: Practice, draw: Draw) -> dict[str, Step]:
    """Return the steps by their names, in order."""
    steps: dict[str, Step] = {}
    for task in tasks:
        for needle in task.cement.needles:
            steps[f"access {task.level} {needle.side}"] = _access_step(task.level, needle)
    for number, task in enumerate(tasks):
        steps[f"place {task.level}"] = _whole(_place_step(task), task.level)
        steps[f"inflate {task.level}"] = _whole(_inflate_step(task), task.level)
        steps[f"deflate {task.level}"] = _whole(_deflate_step(task, draw), task.level)
        pause = practice.injection.level_change if number else 0.0
        steps |= injection_steps(task.cement, practice, pause=pause)
        if contains_cement(task.tool):
            steps |= _container_steps(task, practice)
    if practice.cures:
        for task in tasks:
            steps[f"cure {task.level}"] = _cure_step(task.level, practice)
    return steps


def _container_steps(task: LiftTask, practice: Practice) -> dict[str, Step]:
    """Return the injections of a level whose tool keeps the cement, in place of the usual ones."""
    share = task.cement.volume / len(task.cement.needles)

    def filling(injection: Injection) -> Step:
        return lambda state, observer: fill_container(state, injection, practice.cement, practice.injection, observer)

    return {
        f"inject {task.level} {needle.side}": filling(
            Injection(level=task.level, side=needle.side, volume=share, rules=practice.rules)
        )
        for needle in task.cement.needles
    }


def lift_finished(state: State, tasks: Sequence[LiftTask], practice: Practice, draw: Draw) -> bool:
    """Tell whether every step is done."""
    return all(name in state.done for name in kyphoplasty_steps(tasks, practice, draw))


def _access_step(level: Level, needle: Needle) -> Step:
    return lambda state, observer: access(state, level, needle)


def _cure_step(level: Level, practice: Practice) -> Step:
    def step(state: State, observer: Observer) -> State:
        if state.at(level).flow is None:
            return state
        return cure(state, level, practice.cement, practice.curing, observer)

    return step


def _whole(step: Step, level: Level) -> Step:
    """Return a step that is done to its end or leaves nothing of itself, so that it can be done again."""

    def whole(state: State, observer: Observer) -> State:
        after = step(state, observer)
        return state.with_event(EventKind.CANCELLED, level) if observer.cancelled() else after

    return whole


def hung_lift(task: LiftTask) -> Lift:
    """Return the tools of a task in its level, still without load."""
    settings = load_balloon().values
    tools = tuple(place_tool(task.tool, n, task.fractured, settings) for n in task.cement.needles)
    return begin_lift(task.fractured, tools, settings=settings)


def _place_step(task: LiftTask) -> Step:
    """Put the tools in and let the load of the prone patient act."""

    def step(state: State, observer: Observer) -> State:
        lift = lie_down(hung_lift(task), observer=observer)
        for tool, volume in zip(lift.tools, lift.volumes, strict=True):
            data: dict[str, Datum] = {"tool": tool.name, "cavity_ml": volume / 1000.0}
            state = state.with_event(EventKind.BALLOON_PLACED, task.level, tool.side, data)
        if "standing" in lift.moments:
            gained = rise(lift.level, lift.moments["prone"], lift.moments["standing"])
            state = _told(state, task, "mobility by lying prone", gained.by_place)
        return _with(state, task, lift)

    return step


def _inflate_step(task: LiftTask) -> Step:
    def step(state: State, observer: Observer) -> State:
        before = _lift(state, task)
        observer.begin(f"{task.level}: inflating")
        lift = inflate(before, task.inflation, observer=observer, control=replace(STEPS, motion=task.motion))
        begun = state.time
        for k, tool in enumerate(lift.tools):
            told = -_TOLD
            for point in lift.curve:
                if point.injected[k] - told < _TOLD and point is not lift.curve[-1]:
                    continue
                told = point.injected[k]
                data = {
                    "injected_ml": point.injected[k] / 1000.0,
                    "pressure_bar": 10.0 * point.pressures[k],
                    "lift_mm": point.lift,
                }
                at = begun + point.seconds
                state = state.with_event(EventKind.INFLATION, task.level, tool.side, data, at=at)
        for pause in lift.pauses:
            what = "filled on, the pressure has fallen" if pause.goes_on else "held at the rated pressure"
            told_pause: dict[str, Datum] = {"what": what, "pressure_bar": 10.0 * pause.pressure}
            state = state.with_event(EventKind.INFLATION, task.level, pause.side, told_pause, at=begun + pause.seconds)
        for side, why in lift.ended.items():
            at = begun + lift.stopped.get(side, lift.seconds)
            state = state.with_event(EventKind.STOP, task.level, side, {"reason": why}, at=at)
        state = state.with_time(begun + lift.seconds)
        return _with(state, task, replace(lift, began=begun))

    return step


def _deflate_step(task: LiftTask, draw: Draw) -> Step:
    """Let the tools go, and make the bed that the cement meets."""

    def step(state: State, observer: Observer) -> State:
        observer.begin(f"{task.level}: letting go")
        lift = deflate(_lift(state, task), stays=task.stays, in_turn=task.in_turn, observer=observer)
        gained = rise(lift.level, lift.state, lift.moments["prone"])
        state = state.with_time(state.time + let_go_seconds(lift))
        for tool, volume, pressure in zip(lift.tools, lift.volumes, lift.state.pressures, strict=True):
            stays = tool.stays if task.stays is None else task.stays
            data = {"cavity_ml": volume / 1000.0, "pressure_bar": 10.0 * pressure, "lift_mm": gained.middle}
            state = state.with_event(EventKind.DEFLATION, task.level, tool.side, data)
            if not stays:
                state = state.with_event(EventKind.BALLOON_REMOVED, task.level, tool.side, {"tool": tool.name})
        for note in lift.notes:
            state = state.with_event(EventKind.WARNING, task.level, None, {"sentence": note})
        bed = draw(site_after(lift, state.at(task.level).bed.site))
        return state.with_level(task.level, replace(state.at(task.level), bed=bed, lift=lift))

    return step


def _lift(state: State, task: LiftTask) -> Lift:
    lift = state.at(task.level).lift
    if lift is None:
        raise GeometryError(f"{task.level}: no tool is in place; place one before it is inflated")
    return lift


def _with(state: State, task: LiftTask, lift: Lift) -> State:
    return state.with_level(task.level, replace(state.at(task.level), lift=lift))


def _told(state: State, task: LiftTask, what: str, gained: tuple[float, float, float]) -> State:
    data: dict[str, Datum] = {"what": what, **dict(zip(("front_mm", "middle_mm", "back_mm"), gained, strict=True))}
    side: Side | None = None
    return state.with_event(EventKind.INFLATION, task.level, side, data)
