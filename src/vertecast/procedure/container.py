"""Cement in a mesh container: it fills the container that the tool has made and goes no farther."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.observer import SILENT, Observer
from vertecast.kernels.flow import FlowState, start_flow
from vertecast.procedure.cement import CARRIED, Cement
from vertecast.procedure.events import EventKind
from vertecast.procedure.inject import Injection, Run, ended, system_of, tip_of
from vertecast.procedure.lift import Lift
from vertecast.procedure.lift_outcome import in_cavity
from vertecast.procedure.state import LevelState, State
from vertecast.procedure.stops import InjectionSettings, StopReason
from vertecast.procedure.warmth import warmed

Field = NDArray[np.float64]


def fill_container(
    state: State, injection: Injection, cement: Cement, settings: InjectionSettings, observer: Observer = SILENT
) -> State:
    """Fill the container of one side until the planned volume is in or the container is full.

    Parameters
    ----------
    state : the level has been lifted with a tool that keeps the cement, its needle is in place, a batch is mixed

    Returns
    -------
    State
        With the clock moved on and the events of the injection.

    Notes
    -----
    The wall is tight: no source was read that gives the leakage of a mesh. The container was folded and empty when it
    came in, so no marrow has to leave it. Cement spreads from the needle's tip, nearest cells first, at the set rate.
    """
    level = state.at(injection.level)
    needle, mixed_at, lift = level.needles.get(injection.side), state.mixed_at, level.lift
    if needle is None or mixed_at is None or lift is None:
        raise GeometryError(f"{injection.level} {injection.side}: no container, needle or cement; place them first")
    run = Run(injection, needle, cement, settings, mixed_at, tip_of(level.bed, needle))
    state = state.with_event(
        EventKind.INJECTION_STARTED,
        injection.level,
        injection.side,
        {"planned_ml": injection.volume / 1000.0, "cement_age_s": run.age(state.time), "cement": cement.name},
    )
    observer.begin(f"Filling {injection.level} {injection.side}", 1)
    flow = level.flow or start_flow(system_of(level.bed, cement, ()), CARRIED)
    cells, taken = _order(level, lift, injection, flow)
    wanted = min(injection.volume, float(taken.sum()))
    filled = np.diff(np.minimum(np.cumsum(taken), wanted), prepend=0.0)
    level, span = _filled(run, replace(level, flow=flow), (cells, filled), state.time)
    state = state.with_time(state.time + span)
    observer.advance()
    full = wanted < injection.volume * (1.0 - 1e-9)
    reason = StopReason.CONTAINER_FULL if full else StopReason.PLANNED_VOLUME
    return ended(run, replace(level, ended=state.time), state, reason)


def _order(
    level: LevelState, lift: Lift, injection: Injection, flow: FlowState
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the container's flat cells, nearest to the tip first, and what each still takes, mm³."""
    site = level.bed.site
    number = [tool.side for tool in lift.tools].index(injection.side)
    here = lift.level.places(site.grid.to_lps(np.indices(site.grid.shape).reshape(3, -1).T)).T
    inside = in_cavity(lift, number, here).reshape(site.grid.shape)
    inside &= level.bed.space.open_cells & site.own
    if not inside.any():
        raise GeometryError(f"{injection.level} {injection.side}: the container is no cell wide; use a finer grid")
    tip = site.grid.to_voxel(level.needles[injection.side].tip_lps)
    away = np.linalg.norm(np.argwhere(inside) - tip, axis=1)
    cells = np.flatnonzero(inside)[np.argsort(away, kind="stable")]
    room = level.bed.space.volume.ravel()[cells] * (1.0 - flow.saturation.ravel()[cells])
    return cells, np.asarray(room)


def _filled(run: Run, level: LevelState, what: tuple[NDArray[np.intp], Field], time: float) -> tuple[LevelState, float]:
    """Return the level with cement in the cells, and the s that took, the needle's own filling included."""
    cells, filled = what
    flow, rate, side = level.flow, run.settings.rate, run.injection.side
    assert flow is not None
    total, dead = float(filled.sum()), run.needle.dead_volume
    span = (dead + total) / rate
    saturation, arrival = flow.saturation.copy(), level.arrival.copy()
    wet = filled > 0.0
    saturation.ravel()[cells] += filled / level.bed.space.volume.ravel()[cells]
    reached = time + (dead + np.cumsum(filled)) / rate
    arrival.ravel()[cells[wet]] = np.minimum(arrival.ravel()[cells[wet]], reached[wet])
    fresh = run.source(time + span, rate).carried
    carried = {}
    for name, old in flow.carried.items():
        now = old.copy()
        now.ravel()[cells[wet]] = fresh[name]
        carried[name] = now
    ledger = replace(
        flow.ledger,
        injected=MappingProxyType({**flow.ledger.injected, run.name: dead + total}),
        needle=MappingProxyType({**flow.ledger.needle, run.name: dead}),
    )
    for array in (saturation, *carried.values()):
        array.setflags(write=False)
    flow = replace(flow, saturation=saturation, carried=MappingProxyType(carried), ledger=ledger)
    level = replace(
        level,
        flow=flow,
        arrival=arrival,
        injected=MappingProxyType({**level.injected, side: total}),
        peak_pressure=max(level.peak_pressure, run.drop(time + span, rate)),
    )
    return warmed(level, span, run.cement), span
