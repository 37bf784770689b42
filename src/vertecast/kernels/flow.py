"""Two incompressible fluids that do not mix, in pores on voxel cells: one pushes the other out towards the outlets.

-div(lambda grad p) = q with the mobilities of whichever fluid is where, then the front moves with the fluxes. Each call
of :func:`advance_flow` is one pressure solve and a step in which the front moves at most a part of a cell. Cell-centred
seven-point finite volumes; faces of two fluids in series (:mod:`flow_faces`); the front as planes in the partly filled
cells (:mod:`flow_planes`), advanced in order of falling pressure without clipping (:mod:`flow_front`).

Not for compressible fluids, gravity, capillary pressure or two sources that carry different fluids.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.kernels.flow_front import advance_front, front_rates
from vertecast.kernels.flow_planes import interface_planes
from vertecast.kernels.flow_pressure import (
    SET_SHARE,
    Flow,
    FlowSettings,
    FlowSystem,
    Fluids,
    feeds,
    injected_viscosity,
    live_cells,
    sealed_cells,
    solve_flow,
)
from vertecast.kernels.flow_space import (
    Array,
    Outlet,
    PoreSpace,
    Source,
    edge_outlet,
    pore_space,
    source_radius,
    tip_cells,
)
from vertecast.kernels.flow_state import Control, FlowLedger, FlowState, StepReport, frozen

__all__ = [
    "Control",
    "FlowLedger",
    "FlowSettings",
    "FlowState",
    "FlowSystem",
    "Fluids",
    "Outlet",
    "PoreSpace",
    "Source",
    "StepReport",
    "advance_flow",
    "edge_outlet",
    "pore_space",
    "prepare_flow",
    "source_radius",
    "start_flow",
    "tip_cells",
]


def prepare_flow(
    space: PoreSpace,
    outlets: Sequence[Outlet],
    fluids: Fluids,
    settings: FlowSettings = FlowSettings(),  # noqa: B008 - frozen
) -> FlowSystem:
    """Check what flows where, and return it as one system.

    Raises
    ------
    GeometryError
        Without any outlet in an open cell: two incompressible fluids cannot then move.
    ParameterError
        For outlets of one name, an outlet cell beyond the grid, a resident viscosity that is not positive.
    """
    names = [outlet.name for outlet in outlets]
    if len(set(names)) < len(names):
        raise ParameterError(f"outlets {names} must have different names")
    resident = np.array(np.broadcast_to(np.asarray(fluids.resident, dtype=float), space.shape))
    if not np.all(np.isfinite(resident)) or resident.min() <= 0:
        raise ParameterError(f"resident viscosity, least {resident.min()} MPa.s, must be positive and finite")
    cells = np.concatenate([np.asarray(o.cells, dtype=int) for o in outlets]) if outlets else np.zeros(0, int)
    if cells.size and (cells.min() < 0 or cells.max() >= resident.size):
        raise ParameterError(f"an outlet cell lies beyond the grid {space.shape}")
    number = np.repeat(np.arange(len(outlets)), [np.size(o.cells) for o in outlets])
    conductance = np.concatenate([np.asarray(o.conductance, dtype=float) for o in outlets]) if outlets else np.zeros(0)
    pressure = np.array([o.pressure for o in outlets], dtype=float)[number]
    if not np.any(space.open_cells.ravel()[cells] & (conductance > 0)):
        raise GeometryError("no outlet lies in an open cell, so the resident fluid has no way out; add a drain")
    order = np.argsort(cells, kind="stable")
    drains = (cells[order], number[order], conductance[order], pressure[order])
    return FlowSystem(space, tuple(outlets), fluids, settings, resident, drains)


def start_flow(system: FlowSystem, carried: Sequence[str] = ()) -> FlowState:
    """Return the state before the first step: resident fluid everywhere, at rest.

    Parameters
    ----------
    carried : names of the values that travel with the injected fluid (age, temperature)
    """
    shape = system.space.shape
    blocked = np.zeros(shape, dtype=bool)
    sealed = sealed_cells(system, blocked)
    none: Mapping[str, float] = MappingProxyType({})
    ledger = FlowLedger(none, none, _by_outlet(system), _by_outlet(system), _nothing_carried(system, carried))
    return FlowState(
        0.0,
        frozen(np.zeros(shape)),
        MappingProxyType({name: frozen(np.zeros(shape)) for name in carried}),
        frozen(np.where(system.space.open_cells & ~sealed, 0.0, np.nan)),
        frozen(np.zeros((3, *shape))),
        frozen(blocked),
        frozen(sealed),
        ledger,
        None,
    )


def advance_flow(system: FlowSystem, state: FlowState, sources: Sequence[Source], span: float) -> FlowState:
    """Solve the pressure once and advance by at most ``span`` seconds.

    Parameters
    ----------
    system, state : from :func:`prepare_flow`, and :func:`start_flow` or the last step
    sources : tips that feed now; a moving one keeps its name
    span : float, s
        Upper limit of the step; the step taken is ``report.span``, so that the front moves ``settings.front`` cells at
        most.

    Returns
    -------
    FlowState
        A new state. A source cut off by set fluid has rate zero and says so; a tip at its limit is slowed.

    Raises
    ------
    ParameterError
        For a span that is not positive, sources of one name, or one that does not give every carried value.
    ConvergenceError
        If the pressure does not reach its tolerance.

    Notes
    -----
    Every transfer is taken from one cell and given to another, so the ledger closes to rounding whatever the pressure's
    tolerance; the tolerance limits the overfill, since the total fluxes balance in each cell only to it.
    """
    _check_step(state, sources, span)
    filling = {s.name: s for s in sources if s.rate > 0 and _needle_room(state, s) > 0}
    span = min([span, *(_needle_room(state, s) / s.rate for s in filling.values())])
    pushed = [replace(s, rate=0.0) if s.name in filling else s for s in sources]
    state = _with_set_cells(system, state)
    live = live_cells(system, state)
    flow = solve_flow(system, state, live, feeds(system, pushed, live))
    entering = flow.entering.reshape(live.shape)
    rates = front_rates(state.saturation, system.space.volume, flow.fluxes, entering, system.settings.small)
    taken, fastest = _step(system.settings, span, *rates)
    share, carried, gone, overfill = _moved(system, state, sources, flow, (taken, taken * fastest))
    report = _report(system, pushed, flow, taken, filling)
    report = replace(report, sealed_cells=int(np.count_nonzero(state.sealed)), front=taken * fastest, overfill=overfill)
    return replace(
        state,
        time=state.time + taken,
        saturation=frozen(share),
        carried=carried,
        pressure=frozen(flow.pressure),
        fluxes=frozen(flow.fluxes),
        ledger=_booked(system, state.ledger, flow, gone, report, filling),
        report=report,
    )


def _step(settings: FlowSettings, span: float, rates: Array, fluxes: Array) -> tuple[float, float]:
    """Return the seconds of the step and the front's fastest movement, cells per second.

    The front moves at most ``settings.front`` cells but for where its fastest ``settings.hasty`` of the flux runs
    (a vein): there ``settings.reach``.
    """
    if not rates.size:
        return span, 0.0
    order = np.argsort(-rates, kind="stable")
    passed = np.cumsum(fluxes[order])
    bulk = rates[order][np.searchsorted(passed, settings.hasty * passed[-1])]
    fastest = float(rates[order[0]])
    return min(span, settings.front / float(bulk), settings.reach / fastest), fastest


def _needle_room(state: FlowState, source: Source) -> float:
    """Return what is left to fill of the needle, mm3; a rest of rounding is none."""
    room = source.dead_volume - state.ledger.needle.get(source.name, 0.0)
    return room if room > 1e-9 * source.dead_volume else 0.0


def _check_step(state: FlowState, sources: Sequence[Source], span: float) -> None:
    if not np.isfinite(span) or span <= 0:
        raise ParameterError(f"span {span} s must be positive and finite")
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise ParameterError(f"sources {names} must have different names")
    for source in sources:
        missing = [name for name in state.carried if not np.isfinite(source.carried.get(name, np.nan))]
        if missing:
            raise ParameterError(f"source {source.name} gives no finite {', '.join(missing)}, which is carried")


def _with_set_cells(system: FlowSystem, state: FlowState) -> FlowState:
    """Return the state with set cells closed, and what they (or an outlet that has closed) seal flagged."""
    viscosity = injected_viscosity(system, state, (), state.fluxes)
    blocked = np.isinf(viscosity) & (state.saturation > SET_SHARE)
    return replace(state, blocked=frozen(blocked), sealed=frozen(sealed_cells(system, blocked)))


def _moved(
    system: FlowSystem, state: FlowState, sources: Sequence[Source], flow: Flow, taken: tuple[float, float]
) -> tuple[Array, Mapping[str, Array], tuple[Array, Array], float]:
    """Return the shares and carried values after the step, what left by each outlet entry, and the overfill.

    ``taken`` are the seconds of the step and the cells that the front moves in it: the front is set anew within the
    step, with the fluxes as they are, whenever it has moved ``settings.courant`` cells.
    """
    names = list(state.carried)
    share = state.saturation.ravel().copy()
    carried = np.stack([state.carried[n].ravel() for n in names]) if names else np.zeros((0, share.size))
    brought = np.zeros_like(carried)
    for source in sources:
        for m, name in enumerate(names):
            brought[m, source.cells] = source.carried[name]
    shape = system.space.shape
    live = np.isfinite(flow.pressure)
    moving = (flow.fluxes.reshape(3, -1), flow.entering, brought, np.array(shape))
    gone, values, overfill = np.zeros(flow.drained.size), np.zeros((flow.drained.size, len(names))), 0.0
    parts = max(1, math.ceil(taken[1] / system.settings.courant - 1e-9))
    for _ in range(parts):
        number, planes = interface_planes(share.reshape(shape), live)
        cells = (system.space.volume.ravel(), flow.pressure.ravel(), number.ravel(), planes)
        left, left_values, most = advance_front(
            share, carried, cells, moving, (system.drains[0], flow.drained), taken[0] / parts
        )
        gone, values, overfill = gone + left, values + left_values, max(overfill, float(most))
    after = {name: frozen(carried[m].reshape(shape)) for m, name in enumerate(names)}
    return share.reshape(shape), MappingProxyType(after), (gone, values), overfill


def _report(
    system: FlowSystem, pushed: Sequence[Source], flow: Flow, taken: float, filling: Mapping[str, Source]
) -> StepReport:
    out = np.bincount(system.drains[1], flow.drained, len(system.outlets))
    control = {s.name: c for s, c in zip(pushed, flow.control, strict=True)}
    rates = {s.name: r for s, r in zip(pushed, flow.rates, strict=True)}
    for name, source in filling.items():
        control[name], rates[name] = Control.FILLING, source.rate
    return StepReport(
        span=taken,
        control=MappingProxyType(control),
        rates=MappingProxyType(rates),
        pressures=MappingProxyType({s.name: p for s, p in zip(pushed, flow.tips, strict=True)}),
        outlet_rates=MappingProxyType({o.name: float(q) for o, q in zip(system.outlets, out, strict=True)}),
        sealed_cells=0,
        front=0.0,
        overfill=0.0,
        iterations=flow.iterations,
        residual=flow.residual,
        passes=flow.passes,
        change=flow.change,
    )


def _booked(
    system: FlowSystem,
    ledger: FlowLedger,
    flow: Flow,
    gone: tuple[Array, Array],
    report: StepReport,
    filling: Mapping[str, Source],
) -> FlowLedger:
    """Return the ledger after a step."""
    number = system.drains[1]
    injected, needle = dict(ledger.injected), dict(ledger.needle)
    for name, rate in report.rates.items():
        injected[name] = injected.get(name, 0.0) + rate * report.span
        needle[name] = needle.get(name, 0.0) + (rate * report.span if name in filling else 0.0)
    left = np.bincount(number, gone[0], len(system.outlets))
    total = np.bincount(number, flow.drained, len(system.outlets)) * report.span
    leaked, drained, carried = {}, {}, {}
    for n, outlet in enumerate(system.outlets):
        leaked[outlet.name] = ledger.leaked[outlet.name] + float(left[n])
        drained[outlet.name] = ledger.drained[outlet.name] + float(total[n] - left[n])
        before = ledger.leaked_carried[outlet.name]
        values = gone[1][number == n].sum(axis=0)
        carried[outlet.name] = MappingProxyType({k: before[k] + float(v) for k, v in zip(before, values, strict=True)})
    return FlowLedger(
        MappingProxyType(injected),
        MappingProxyType(needle),
        MappingProxyType(leaked),
        MappingProxyType(drained),
        MappingProxyType(carried),
    )


def _by_outlet(system: FlowSystem) -> Mapping[str, float]:
    return MappingProxyType({outlet.name: 0.0 for outlet in system.outlets})


def _nothing_carried(system: FlowSystem, names: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
    return MappingProxyType({o.name: MappingProxyType(dict.fromkeys(names, 0.0)) for o in system.outlets})
