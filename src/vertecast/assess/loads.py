"""Compressive force on a vertebra by a balance of moments that knows the patient's weight, height and kyphosis."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vertecast.core.errors import ParameterError
from vertecast.core.levels import Level
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import Measured, quantity

ANCHORS = (Level.T4, Level.T8, Level.T12, Level.L3, Level.L5)
ACTIVITIES = ("standing", "bending", "lifting_10_kg")
Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """The upper body above a level; ``data/assess/trunk.toml``."""

    mass_share: tuple[float, ...] = quantity("1", "weight above T4, T8, T12, L3, L5 over body weight")
    mass_height: tuple[float, ...] = quantity("1", "its point of attack above the level over body height")
    rest_lever: tuple[float, ...] = quantity("mm", "its lever in quiet standing")
    muscle_lever: tuple[float, ...] = quantity("mm", "lever of the extensor muscles")
    compensation: float = quantity("1", "share of a forward tilt that posture takes back")
    model_error: float = quantity("1", "relative half-width of the 95 % interval of the balance")
    bend_angle: float = quantity("rad", "bending forward")
    lift_angle: float = quantity("rad", "lifting")
    lift_mass: float = quantity("kg", "object lifted")
    hand_lever: float = quantity("mm", "lever of the object")
    gravity: float = quantity("N/kg", "weight per mass")
    population_mass: tuple[float, ...] = quantity("kg", "lowest and highest usual body weight")
    population_height: tuple[float, ...] = quantity("mm", "lowest and highest usual body height")

    def __post_init__(self) -> None:
        tables = (self.mass_share, self.mass_height, self.rest_lever, self.muscle_lever)
        if any(len(one) != len(ANCHORS) for one in tables):
            raise ParameterError(f"the trunk's tables need {len(ANCHORS)} values each, T4, T8, T12, L3, L5")
        if not 0.0 <= self.compensation <= 1.0 or min(self.muscle_lever) <= 0:
            raise ParameterError(f"compensation = {self.compensation} is outside 0-1, or a muscle has no lever")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who carries the load; None where the patient file does not say."""

    mass: float | None = quantity("kg", "body weight", default=None)
    height: float | None = quantity("mm", "body height", default=None)

    @property
    def missing(self) -> str:
        """What is not known, in words; empty when both are."""
        names = [name for name, value in (("weight", self.mass), ("height", self.height)) if value is None]
        return " and ".join(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One activity at one level.

    Parameters
    ----------
    tilt : forward tilt of all that is above by a wedge of the spine, positive in kyphosis
    """

    activity: str
    level: Level
    tilt: float = quantity("rad", "kyphosis beyond the normal", default=0.0)


def load_trunk() -> Loaded[Trunk]:
    """Load ``data/assess/trunk.toml``."""
    return load_parameters("assess/trunk.toml", Trunk)


def compression(task: Task, mass: float, height: float, trunk: Trunk, *, compensation: float | None = None) -> float:
    """Return the compressive force along the spine, N, of a standing person whose extensors hold the trunk.

    Parameters
    ----------
    mass : kg
    height : mm, of the person
    compensation : the trunk's own when None

    Raises
    ------
    ParameterError
        For an unknown activity, a level outside T4 to L5, or a weight or height that is not positive.

    Notes
    -----
    The weight W above has the lever r cos(a) + h sin(a + (1 - c) tilt), where a is the flexion, h the height of its
    point of attack and c the share that posture compensates; an object adds its weight times its lever. One muscle
    behind the vertebra balances both, F = (W + w) cos(a) + M / d. No abdominal pressure, no antagonists.
    """
    if task.activity not in ACTIVITIES:
        raise ParameterError(f"activity {task.activity!r} is not one of {', '.join(ACTIVITIES)}")
    if not (mass > 0 and height > 0):
        raise ParameterError(f"a person of {mass} kg and {height} mm cannot be; give both above zero")
    share, attack, rest, muscle = (
        at_level(task.level, table)
        for table in (trunk.mass_share, trunk.mass_height, trunk.rest_lever, trunk.muscle_lever)
    )
    flexion = {"standing": 0.0, "bending": trunk.bend_angle, "lifting_10_kg": trunk.lift_angle}[task.activity]
    taken_back = trunk.compensation if compensation is None else compensation
    weight = share * mass * trunk.gravity
    lever = rest * np.cos(flexion) + attack * height * np.sin(flexion + (1.0 - taken_back) * task.tilt)
    held = trunk.lift_mass * trunk.gravity if task.activity == "lifting_10_kg" else 0.0
    moment = weight * lever + held * trunk.hand_lever
    return float((weight + held) * np.cos(flexion) + max(moment, 0.0) / muscle)


def at_level(level: Level, table: tuple[float, ...]) -> float:
    """Return a table's value at a level, by straight lines between its anchors.

    Raises
    ------
    ParameterError
        For a level outside T4 to L5.
    """
    place = _place(level)
    anchors = [_place(one) for one in ANCHORS]
    if not anchors[0] <= place <= anchors[-1]:
        raise ParameterError(f"the load balance knows T4 to L5, not {level}")
    return float(np.interp(place, anchors, table))


def load(task: Task, person: Person, trunk: Trunk) -> Measured:
    """Return the force, N, with the interval that compensation and the balance's own error span.

    Without the patient's weight or height it is unknown, and the reason tells the population's range.
    """
    return by_population(
        lambda mass, height, c: compression(task, mass, height, trunk, compensation=c),
        person,
        trunk,
        f"balance of moments, {task.activity.replace('_', ' ')}, one extensor (docs/methods/assess.md)",
        error=trunk.model_error,
    )


def by_population(
    of: Callable[[float, float, float | None], float], person: Person, trunk: Trunk, method: str, *, error: float = 0.0
) -> Measured:
    """Return a function of (kg, mm, compensation) for one person; unknown, with the population's range, without both.

    Parameters
    ----------
    error : relative half-width added at both ends
    """
    masses = trunk.population_mass if person.mass is None else (person.mass,)
    heights = trunk.population_height if person.height is None else (person.height,)
    try:
        ends = [of(m, h, c) for m in masses for h in heights for c in (0.0, 1.0)]
        own = None if person.mass is None or person.height is None else of(person.mass, person.height, None)
    except ParameterError as exc:
        return Measured.unknown(str(exc))
    low, high = min(ends), max(ends)
    low, high = low - error * abs(low), high + error * abs(high)
    if own is None:
        return Measured.unknown(
            f"body {person.missing} not given; over the usual range of the population {_plain(low)} to {_plain(high)}"
        )
    return Measured(own, min(low, own), max(high, own), method)


def _plain(value: float) -> str:
    """Return three significant figures without a power of ten."""
    return f"{float(f'{value:.3g}'):.10g}"


def _place(level: Level) -> int:
    """Return the craniocaudal place with T13 left out, which most spines do not have."""
    return level.rank - (1 if level.rank >= Level.T13.rank else 0)
