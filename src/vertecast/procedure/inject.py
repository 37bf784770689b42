"""The injection step: cement leaves one needle's tip until the volume is in or something says stop."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError, InputError, ParameterError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.core.quantities import quantity
from vertecast.core.sides import Side
from vertecast.kernels.flow import (
    Control,
    FlowState,
    FlowSystem,
    Fluids,
    Outlet,
    Source,
    advance_flow,
    prepare_flow,
    start_flow,
    tip_cells,
)
from vertecast.physics.rheology import (
    consistency,
    needle_pressure,
    pore_viscosity,
    shear_per_velocity,
)
from vertecast.procedure.bed import Bed
from vertecast.procedure.cement import CARRIED, Cement
from vertecast.procedure.events import Datum, EventKind
from vertecast.procedure.leaks import leaked_by_route, plug_span, updated_leaks, vein_outlets
from vertecast.procedure.needle import Needle
from vertecast.procedure.state import LevelState, State
from vertecast.procedure.stops import NOTICED, InjectionSettings, StopReason, noticed
from vertecast.procedure.warmth import warmed

Field = NDArray[np.float64]
_REACHED = 0.1
"""Share of its pores from which a cell counts as reached by cement."""
_SET = 0.999
"""Share of the plateau of its consistency at which cement is set."""
_STANDSTILL = 1e-3
"""Share of the asked rate below which nothing moves, whatever rules are on."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Injection:
    """What one needle is to inject.

    Parameters
    ----------
    rules : stop rules that are on
    """

    level: Level
    side: Side
    volume: float = quantity("mm3", "cement to leave the tip")
    rules: frozenset[StopReason] = NOTICED

    def __post_init__(self) -> None:
        if not (np.isfinite(self.volume) and self.volume > 0.0):
            raise ParameterError(
                f"{self.level} {self.side}: {self.volume} mm3 of cement must be above 0; leave the injection out"
            )


def require_room(bed: Bed, volume: float) -> None:
    """Refuse a level's cement volume, mm³, that its pores cannot take.

    Raises
    ------
    InputError
        Names the volume and the room.
    """
    if volume > bed.body_pores:
        raise InputError(
            f"{bed.site.level}: {volume / 1000:.1f} mL of cement do not fit, the pores of the body take "
            f"{bed.body_pores / 1000:.1f} mL; plan less"
        )


def inject(
    state: State, injection: Injection, cement: Cement, settings: InjectionSettings, observer: Observer = SILENT
) -> State:
    """Inject through one needle until its volume is in or a rule stops it.

    Parameters
    ----------
    state : the level's needle of this side is in place and a batch of cement is mixed

    Returns
    -------
    State
        With the clock moved on and the events of the injection; ``cancelled`` among them when the observer asked.

    Notes
    -----
    The needle's own lumen is filled first, at the same rate; that cement does not count as injected.
    """
    level = state.at(injection.level)
    needle, mixed_at = level.needles.get(injection.side), state.mixed_at
    if needle is None or mixed_at is None:
        raise InputError(f"{injection.level} {injection.side}: no needle or no cement; place and mix before injecting")
    already = level.injected.get(injection.side, 0.0)
    flow = level.flow or start_flow(system_of(level.bed, cement, ()), CARRIED)
    tip = tip_of(level.bed, needle)
    run = Run(injection, needle, cement, settings, mixed_at, tip)
    state = state.with_event(
        EventKind.INJECTION_STARTED,
        injection.level,
        injection.side,
        {"planned_ml": injection.volume / 1000.0, "cement_age_s": run.age(state.time), "cement": cement.name},
    )
    observer.begin(f"Injecting {injection.level} {injection.side}", 100)
    before, said, reason = replace(level, flow=flow), already, None
    level = before
    shown = 0
    while reason is None:
        if observer.cancelled():
            reason = StopReason.CANCELLED
            break
        level, state, reason = _step(run, level, before, state)
        inside = level.injected[injection.side]
        if inside - said >= settings.progress_volume or reason is not None:
            said, state = inside, _progress(run, level, state)
        part = min(100, int(100.0 * inside / injection.volume))
        observer.advance(part - shown)
        shown = part
    observer.advance(100 - shown)
    return ended(run, replace(level, ended=state.time), state, reason)


@dataclass(frozen=True, eq=False)
class Run:
    """What does not change during one injection."""

    injection: Injection
    needle: Needle
    cement: Cement
    settings: InjectionSettings
    mixed_at: float
    tip: tuple[NDArray[np.intp], Field]

    @property
    def name(self) -> str:
        """The needle's entry in the ledger."""
        return self.injection.side.value

    def age(self, time: float) -> float:
        """Equivalent age, s, of the cement in the needle."""
        return self.cement.age_at(time - self.mixed_at, self.settings.needle_temperature)

    def stiffness(self, time: float) -> float:
        """Consistency, MPa·s, of the cement in the needle."""
        return float(consistency(self.age(time), self.cement.rheology))

    def pressure(self, flow: FlowState, time: float) -> float:
        """Pressure at the syringe, MPa, in the step that ended at ``time``: at the tip, and the needle's drop."""
        assert flow.report is not None
        time -= flow.report.span
        rate, tip = max(flow.report.rates[self.name], 0.0), flow.report.pressures[self.name]
        drop = self.drop(time, rate)
        if flow.report.control[self.name] is Control.FILLING:
            filled = flow.ledger.needle.get(self.name, 0.0) / self.needle.dead_volume
            return min(drop * filled, self.settings.pressure_limit)
        return drop + (tip if np.isfinite(tip) else 0.0)

    def drop(self, time: float, rate: float) -> float:
        """Pressure, MPa, that the needle takes at this rate."""
        return float(needle_pressure(rate, self.stiffness(time), self.needle.bore, self.cement.rheology))

    def source(self, time: float, rate: float) -> Source:
        """Return the tip as it feeds now."""
        stiff, bore, law = self.stiffness(time), self.needle.bore, self.cement.rheology
        return Source(
            name=self.name,
            cells=self.tip[0],
            weights=self.tip[1],
            rate=rate,
            radius=self.needle.inner_radius,
            pressure_limit=self.settings.pressure_limit,
            drop=lambda asked: float(needle_pressure(max(asked, 0.0), stiff, bore, law)),
            carried={
                "age": self.age(time),
                "temperature": self.settings.needle_temperature,
                "conversion": self.cement.conversion_at(time - self.mixed_at, self.settings.needle_temperature),
            },
            dead_volume=self.needle.dead_volume,
        )


def _step(run: Run, level: LevelState, before: LevelState, state: State) -> tuple[LevelState, State, StopReason | None]:
    """One look: advance the front by a part of a cell, age and warm the cement, then look at everything."""
    settings, injection, flow = run.settings, run.injection, level.flow
    assert flow is not None
    room = max(run.needle.dead_volume - flow.ledger.needle.get(run.name, 0.0), 0.0)
    left = injection.volume - level.injected.get(injection.side, 0.0) if room <= 1e-6 else room
    span = max(min(settings.longest_step, left / settings.rate, plug_span(level.bed, flow)), 1e-6)
    outlets = vein_outlets(level.bed, flow, run.cement.rheology, run.stiffness(state.time))
    system = system_of(level.bed, run.cement, outlets)
    flow = advance_flow(system, flow, [run.source(state.time, settings.rate)], span)
    report = flow.report
    assert report is not None
    state = state.with_time(state.time + report.span)
    level = warmed(replace(level, flow=flow), report.span, run.cement)
    leaks = updated_leaks(level.leaks, leaked_by_route(level.bed, flow), state.time, settings.onset_volume)
    for route, leak in leaks.items():
        if leak.onset is not None and level.leaks[route].onset is None:
            data: Mapping[str, Datum] = {"route": str(route), "volume_ml": leak.volume / 1000.0}
            state = state.with_event(EventKind.LEAK, injection.level, injection.side, data)
    reached = (flow.saturation >= _REACHED) & ~np.isfinite(level.arrival)
    pushed = flow.ledger.injected[run.name] - flow.ledger.needle.get(run.name, 0.0)
    level = replace(
        level,
        arrival=np.where(reached, state.time, level.arrival),
        leaks=leaks,
        injected=MappingProxyType({**level.injected, injection.side: pushed}),
        peak_pressure=max(level.peak_pressure, run.pressure(flow, state.time)),
    )
    return level, state, _reason(run, level, before, state.time)


def _reason(run: Run, level: LevelState, before: LevelState, time: float) -> StopReason | None:
    """Return why to stop now, if there is a reason."""
    settings, injection, flow = run.settings, run.injection, level.flow
    assert flow is not None
    assert flow.report is not None
    control, rate = flow.report.control[run.name], flow.report.rates[run.name]
    if level.injected[injection.side] >= injection.volume * (1.0 - 1e-9):
        return StopReason.PLANNED_VOLUME
    if control is Control.CUT_OFF:
        return StopReason.CUT_OFF
    if run.age(time) >= run.cement.window[1] and StopReason.WORKING_TIME in injection.rules:
        return StopReason.WORKING_TIME
    if consistency(run.age(time), run.cement.rheology) >= _SET * run.cement.rheology.plateau:
        return StopReason.CUT_OFF  # set in the needle, whatever rules are on
    slow = _STANDSTILL * settings.rate
    if StopReason.PRESSURE_LIMIT in injection.rules:
        slow = max(slow, settings.least_rate)
    if control is Control.PRESSURE and rate < slow:
        return StopReason.PRESSURE_LIMIT
    return noticed(level, before, injection.rules, settings)


def _progress(run: Run, level: LevelState, state: State) -> State:
    flow = level.flow
    assert flow is not None
    assert flow.report is not None
    data: Mapping[str, Datum] = {
        "injected_ml": level.injected[run.injection.side] / 1000.0,
        "leaked_ml": level.leaked_volume / 1000.0,
        "rate_ml_s": flow.report.rates[run.name] / 1000.0,
        "syringe_pressure_bar": 10.0 * run.pressure(flow, state.time),
        "bone_pressure_kpa": 1000.0 * _bone_pressure(level, flow),
        "cement_age_s": run.age(state.time),
    }
    return state.with_event(EventKind.PROGRESS, run.injection.level, run.injection.side, data)


def ended(run: Run, level: LevelState, state: State, reason: StopReason) -> State:
    """Write down why and with how much the injection ended."""
    name, side = run.injection.level, run.injection.side
    state = state.with_level(name, level)
    if reason is StopReason.CANCELLED:
        return state.with_event(EventKind.CANCELLED, name, side, {"injected_ml": level.injected.get(side, 0.0) / 1000})
    state = state.with_event(EventKind.STOP, name, side, {"reason": reason.value, "sentence": reason.sentence})
    flow = level.flow
    assert flow is not None
    drained = sum(flow.ledger.drained.values())
    data: dict[str, Datum] = {
        "injected_ml": level.injected[side] / 1000.0,
        "planned_ml": run.injection.volume / 1000.0,
        "needle_ml": flow.ledger.needle.get(run.name, 0.0) / 1000.0,
        "drained_marrow_ml": drained / 1000.0,
        "peak_pressure_bar": 10.0 * level.peak_pressure,
    }
    data |= {f"leaked_{route}_ml": leak.volume / 1000.0 for route, leak in level.leaks.items()}
    return state.with_event(EventKind.INJECTION_ENDED, name, side, data)


def _bone_pressure(level: LevelState, flow: FlowState) -> float:
    """Mean pressure in the body where it flows, MPa."""
    values = flow.pressure[level.bed.site.body]
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else 0.0


def system_of(bed: Bed, cement: Cement, outlets: tuple[Outlet, ...]) -> FlowSystem:
    """Return the flow of this bed with this cement."""
    k, phi = bed.permeability.ravel(), bed.porosity.ravel()
    rheology = cement.rheology

    def law(speed: Field, carried: Mapping[str, Field], cells: NDArray[np.intp]) -> Field:
        stiff = consistency(np.maximum(carried["age"], 0.0), rheology)
        shear = shear_per_velocity(k[cells], phi[cells], rheology) * speed
        viscosity = pore_viscosity(shear, stiff, rheology)
        return np.asarray(np.where(stiff >= _SET * rheology.plateau, np.inf, viscosity))

    chosen = outlets or tuple(drain.outlet for drain in bed.drains)
    return prepare_flow(bed.space, chosen, Fluids(law, bed.marrow_viscosity))


def tip_of(bed: Bed, needle: Needle) -> tuple[NDArray[np.intp], Field]:
    """Return the cells that the tip feeds, and the share of each."""
    try:
        return tip_cells(bed.space, bed.site.to_cells(needle.tip_lps), needle.inner_radius)
    except GeometryError as exc:
        exc.add_note(f"{bed.site.level} {needle.side}: the bone around the tip takes no cement")
        raise
