"""The state of a procedure between two steps: frozen, whole, and enough to go on from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.levels import Level
from vertecast.core.quantities import quantity
from vertecast.core.sides import Side
from vertecast.kernels.flow import FlowState
from vertecast.physics.exotherm import ExothermState
from vertecast.procedure.bed import Bed
from vertecast.procedure.events import Datum, Event, EventKind
from vertecast.procedure.lift import Lift
from vertecast.procedure.needle import Needle
from vertecast.procedure.regions import Route

Field = NDArray[Any]
BODY_TEMPERATURE = 310.15
"""K: 37 degrees Celsius, by definition of the surroundings."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Cement that left the vertebra by one route.

    Parameters
    ----------
    onset : s on the procedure's clock; None while nothing has
    volume : mm³
    """

    route: Route
    onset: float | None
    volume: float = quantity("mm3", "volume outside the vertebra")


@dataclass(frozen=True, eq=False)
class LevelState:
    """One level.

    Parameters
    ----------
    bed : what the cement flows into
    needles : those in place
    tools : every needle that was placed
    flow : cement in the bed; None before the first injection
    arrival : (nx, ny, nz), s on the procedure's clock when a cell was first reached; infinite where it was not
    temperature : (nx, ny, nz), K
    leaks : by route
    injected : mm³ of cement that left the tip, by side
    ended : s, when the last injection ended
    heat : temperature, conversion and dose of the site with its surroundings; None before the first cement
    waited : s by which conduction lags behind the flow
    heat_ended : s of the heat's own clock when the last injection ended; None before the cure
    cured : whether curing is done
    lift : cavity tools and what they have lifted; None in a vertebroplasty
    """

    bed: Bed
    needles: Mapping[Side, Needle]
    flow: FlowState | None
    arrival: Field
    temperature: Field
    leaks: Mapping[Route, Leak]
    injected: Mapping[Side, float]
    tools: Mapping[Side, Needle] = field(default_factory=dict)
    ended: float | None = None
    heat: ExothermState | None = None
    heat_ended: float | None = None
    cured: bool = False
    peak_pressure: float = quantity("MPa", "highest pressure at the syringe so far", default=0.0)
    waited: float = quantity("s", "time by which conduction lags behind the flow", default=0.0)
    lift: Lift | None = None

    @classmethod
    def before(cls, bed: Bed) -> "LevelState":
        """Return the untouched level."""
        shape = bed.site.grid.shape
        leaks = {route: Leak(route, None, 0.0) for route in Route}
        return cls(
            bed,
            MappingProxyType({}),
            None,
            np.full(shape, np.inf),
            np.full(shape, BODY_TEMPERATURE),
            MappingProxyType(leaks),
            MappingProxyType({}),
        )

    @property
    def cement_fraction(self) -> Field:
        """(nx, ny, nz): volume of cement per volume of cell."""
        if self.flow is None:
            return np.zeros(self.bed.site.grid.shape)
        return np.asarray(self.flow.saturation * self.bed.porosity)

    @property
    def cement_volume(self) -> float:
        """Cement that has left the needles, mm³."""
        return float(sum(self.injected.values()))

    @property
    def leaked_volume(self) -> float:
        """Cement outside the vertebra, mm³."""
        return float(sum(leak.volume for leak in self.leaks.values()))


@dataclass(frozen=True, eq=False)
class State:
    """The whole procedure.

    Parameters
    ----------
    time : s, the procedure's clock
    levels : those that are treated
    events : all that happened
    done : names of the steps that are finished
    mixed_at : s, when the batch in use was mixed; None without one
    """

    levels: Mapping[Level, LevelState]
    events: tuple[Event, ...] = ()
    done: tuple[str, ...] = ()
    mixed_at: float | None = None
    time: float = field(default=0.0, metadata={"unit": "s", "doc": "the procedure's clock"})

    @classmethod
    def before(cls, beds: Mapping[Level, Bed]) -> "State":
        """Return the state before the first needle."""
        if not beds:
            raise GeometryError("no level was given; a procedure needs at least one")
        return cls(MappingProxyType({level: LevelState.before(bed) for level, bed in beds.items()}))

    def at(self, level: Level) -> LevelState:
        """Return one level, or say which there are."""
        if level not in self.levels:
            raise GeometryError(f"level {level} is not treated; treated are {', '.join(map(str, self.levels))}")
        return self.levels[level]

    def with_level(self, level: Level, new: LevelState) -> "State":
        """Return the state with one level changed."""
        return replace(self, levels=MappingProxyType({**self.levels, level: new}))

    def with_event(
        self,
        kind: EventKind,
        level: Level | None = None,
        side: Side | None = None,
        data: Mapping[str, Datum] | None = None,
        *,
        at: float | None = None,
    ) -> "State":
        """Return the state with one more event, now or at a time of its own (what goes on beside other work)."""
        time = self.time if at is None else at
        event = Event(seq=len(self.events), t_s=time, level=level, side=side, kind=kind, data=data or {})
        return replace(self, events=(*self.events, event))

    def stream(self) -> tuple[Event, ...]:
        """Return the events in the order of time, numbered from zero."""
        ordered = sorted(self.events, key=lambda event: event.t_s)
        return tuple(replace(event, seq=number) for number, event in enumerate(ordered))

    def with_time(self, time: float) -> "State":
        """Return the state with the clock moved on; it never goes back."""
        return replace(self, time=max(self.time, time))

    def having_done(self, step: str) -> "State":
        """Return the state with one step finished."""
        return replace(self, done=(*self.done, step))
