"""Pressure of two fluids in a pore space: mobilities from the caller's law, sources held by rate or by pressure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.kernels.diffusion import DiffusionSystem, Faces, prepare_diffusion, solve_diffusion
from vertecast.kernels.flow_faces import face_conductances, reached_cells
from vertecast.kernels.flow_planes import interface_planes
from vertecast.kernels.flow_space import Outlet, PoreSpace, Source, source_radius
from vertecast.kernels.flow_state import Control, FlowState
from vertecast.kernels.krylov import Stop

Array = NDArray[Any]
Law = Callable[[Array, Mapping[str, Array], Array], Array]
SMOOTHER = (4, 20.0)
"""Degree and spread of the pressure's smoother: a quarter faster than the default across shells and veins."""
SET_SHARE = 0.5
"""Set fluid closes a cell that it fills by more than this; less of it moves like the resident fluid."""


@dataclass(frozen=True, slots=True)
class Fluids:
    """Viscosities, MPa.s: of the injected fluid by a law, of the resident one as a number or per cell.

    ``injected(speed, carried, cells)`` gets the Darcy speed (m,) mm/s, the carried values (m,) each and the flat cells;
    an infinite viscosity means set. The law bounds its shear rate itself: zero, negative and nan are refused.
    """

    injected: Law
    resident: ArrayLike


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSettings:
    """How finely a flow is computed.

    ``front`` cells the front may move per pressure solve, but ``reach`` where its fastest ``hasty`` part of the flux
    runs; ``courant`` cells per setting of its planes; ``rtol`` of the pressure; ``passes`` at most over a
    shear-thinning viscosity, fewer when its mean relative change falls below ``settled``, with the relative residual
    ``loose`` until then; cells whose share is within ``small`` of empty or full do not limit the step.
    """

    front: float = 0.5
    reach: float = 1.0
    hasty: float = 0.25
    courant: float = 0.3
    rtol: float = 1e-8
    passes: int = 4
    settled: float = 0.02
    loose: float = 1e-4
    max_iterations: int = 500
    small: float = 0.01

    def __post_init__(self) -> None:
        if not (0 < self.front <= self.reach <= 2 and 0 <= self.hasty < 1):
            raise ParameterError("front <= reach must lie in 0..2 cells, hasty in 0..1")
        if not (0 < self.courant <= 0.5 and 0 < self.small < 0.5):
            raise ParameterError(f"courant {self.courant} and small {self.small} must lie in 0..0.5")
        if not (0 < self.rtol < 1 and self.passes >= 1 and self.settled > 0):
            raise ParameterError(f"rtol {self.rtol} must lie in 0..1; passes and settled must be positive")


@dataclass(frozen=True, slots=True, eq=False)
class FlowSystem:
    """Pore space, outlets, fluids and settings, checked by :func:`prepare_flow`."""

    space: PoreSpace
    outlets: tuple[Outlet, ...]
    fluids: Fluids
    settings: FlowSettings
    resident: Array
    drains: tuple[Array, Array, Array, Array]
    """Entries of all outlets by ascending cell: cell, number of the outlet, conductance, pressure."""


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """One solved pressure: what flows where, and what held each source."""

    pressure: Array
    fluxes: Array
    entering: Array
    drained: Array
    """(e,) mm3/s out of each outlet entry."""
    rates: tuple[float, ...]
    tips: tuple[float, ...]
    control: tuple[Control, ...]
    iterations: int
    residual: float
    passes: int
    change: float


@dataclass(frozen=True, slots=True, eq=False)
class _Feed:
    """A source on the cells that can flow: cells and weights left, and the tip's correction 1/mm3."""

    source: Source
    cells: Array
    weights: Array
    tip: float


def live_cells(system: FlowSystem, state: FlowState) -> NDArray[np.bool_]:
    """Return the cells that flow: open, not blocked by set fluid, with a way to an outlet."""
    return system.space.open_cells & ~state.blocked & ~state.sealed


def sealed_cells(system: FlowSystem, blocked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the open, unblocked cells from which no open face path leads to an outlet."""
    free = system.space.open_cells & ~blocked
    cells, _, conductance, _ = system.drains
    found: NDArray[np.bool_] = free & ~reached_cells(free, system.space.skin, cells[conductance > 0])
    return found


def feeds(system: FlowSystem, sources: Sequence[Source], live: NDArray[np.bool_]) -> list[_Feed]:
    """Return each source on its live cells; none left means cut off."""
    found = []
    for source in sources:
        cells, weights = np.asarray(source.cells), np.asarray(source.weights, dtype=float)
        if cells.size and (cells.min() < 0 or cells.max() >= live.size):
            raise GeometryError(f"source {source.name}: a cell lies beyond the grid {system.space.shape}")
        kept = live.ravel()[cells]
        cells, weights = cells[kept], weights[kept]
        tip = 0.0
        if cells.size:
            weights = weights / weights.sum()
            k = float(weights @ system.space.permeability(cells))
            tip = (1 / source.radius - 1 / source_radius(system.space, cells, weights)) / (4 * np.pi * k)
        found.append(_Feed(source, cells, weights, tip))
    return found


def solve_flow(system: FlowSystem, state: FlowState, live: NDArray[np.bool_], fed: Sequence[_Feed]) -> Flow:
    """Solve the pressure with viscosities that follow the speeds: lagged passes until they settle."""
    planes = interface_planes(state.saturation, live)
    settings = system.settings
    viscosity = injected_viscosity(system, state, fed, state.fluxes)
    pressure, fluxes, iterations = state.pressure, state.fluxes, 0
    calm = state.report is not None and state.report.change <= 0.5 * settings.settled
    for number in range(1, settings.passes + 1):
        trial = _Trial(system, state, live, fed, planes, viscosity, fluxes)
        last = number == settings.passes
        tight = last or (calm and number == 1)
        solution = trial.solve(pressure, settings.rtol if tight else max(settings.loose, settings.rtol))
        iterations += solution.iterations
        following = injected_viscosity(system, state, fed, solution.fluxes)
        change = _change(viscosity, following, solution.fluxes, system)
        if last:
            break
        pressure = solution.pressure
        if change <= settings.settled:
            if not tight:
                solution = trial.solve(pressure, settings.rtol)
                iterations += solution.iterations
            break
        viscosity, fluxes = following, solution.fluxes
    return Flow(
        solution.pressure,
        solution.fluxes,
        solution.entering,
        solution.drained,
        solution.rates,
        solution.tips,
        solution.control,
        iterations,
        solution.residual,
        number,
        change,
    )


def injected_viscosity(system: FlowSystem, state: FlowState, fed: Sequence[_Feed], fluxes: Array) -> Array:
    """Return (nx, ny, nz) the injected fluid's viscosity; zero where there is none, infinite where it has set."""
    wet = state.saturation.ravel() > 0
    carried = {name: values.ravel() for name, values in state.carried.items()}
    fresh = {}
    for feed in fed:
        dry = feed.cells[~wet[feed.cells]]
        for cell in dry:
            fresh[int(cell)] = feed.source.carried
    cells = np.union1d(np.flatnonzero(wet), np.array(sorted(fresh), dtype=int))
    out = np.zeros(wet.size)
    if not cells.size:
        return out.reshape(system.space.shape)
    values = {name: field[cells] for name, field in carried.items()}
    for at in np.searchsorted(cells, sorted(fresh)):
        for name, held in values.items():
            held[at] = fresh[int(cells[at])][name]
    found = np.asarray(system.fluids.injected(darcy_speed(system.space, fluxes, cells), values, cells), dtype=float)
    if found.shape != cells.shape or np.any(np.isnan(found)) or np.any(found <= 0):
        raise ParameterError(
            f"the law of viscosity gave {found.shape} values, least {np.min(found)} MPa.s, for {cells.shape} cells; "
            f"it must give one positive number each (bound the shear rate)"
        )
    out[cells] = found
    return out.reshape(system.space.shape)


def darcy_speed(space: PoreSpace, fluxes: Array, cells: Array) -> Array:
    """Return (m,) the Darcy speed (mm/s) in flat cells, from the mean size of the fluxes of opposite faces."""
    h = np.array(space.spacing)
    strides = (space.shape[1] * space.shape[2], space.shape[2], 1)
    square = np.zeros(cells.size)
    for axis in range(3):
        flux = np.abs(fluxes[axis].ravel())
        first = (cells // strides[axis]) % space.shape[axis] == 0
        below = np.where(first, 0.0, flux[np.where(first, 0, cells - strides[axis])])
        square += (0.5 * (flux[cells] + below) / (np.prod(h) / h[axis])) ** 2
    speed: Array = np.sqrt(square)
    return speed


def _change(old: Array, new: Array, fluxes: Array, system: FlowSystem) -> float:
    """Return the mean relative change of viscosity, weighted by the flux through each cell."""
    cells = np.flatnonzero((old.ravel() > 0) & np.isfinite(old.ravel()) & np.isfinite(new.ravel()))
    if not cells.size:
        return 0.0
    ratio = np.abs(np.log(new.ravel()[cells] / old.ravel()[cells]))
    weight = darcy_speed(system.space, fluxes, cells)
    return float(weight @ ratio / weight.sum()) if weight.sum() > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Solution:
    pressure: Array
    fluxes: Array
    entering: Array
    drained: Array
    rates: tuple[float, ...]
    tips: tuple[float, ...]
    control: tuple[Control, ...]
    iterations: int
    residual: float


class _Trial:
    """The linear pressure problem of one set of viscosities; holds the multigrid, so one at a time."""

    def __init__(
        self,
        system: FlowSystem,
        state: FlowState,
        live: NDArray[np.bool_],
        fed: Sequence[_Feed],
        planes: tuple[Array, Array],
        viscosity: Array,
        fluxes: Array,
    ) -> None:
        self.system, self.fed, self.live = system, fed, live
        wet = np.where(np.isfinite(viscosity), viscosity, system.resident)
        rock = (system.space.half, system.space.skin)
        self.faces = face_conductances(state.saturation, live, (wet, system.resident), rock, planes, fluxes)
        mean = state.saturation * wet + (1 - state.saturation) * system.resident
        self.tip_viscosity = [float(f.weights @ mean.ravel()[f.cells]) if f.cells.size else 0.0 for f in fed]
        cells, _, conductance, outside = system.drains
        self.leads = np.where(live.ravel()[cells], conductance / mean.ravel()[cells], 0.0)
        total = self.leads.sum()
        self.base = float(self.leads @ outside / total) if total > 0 else 0.0
        self.outside = outside - self.base
        sink = np.bincount(cells, self.leads, live.size).reshape(live.shape)
        self.brought = np.bincount(cells, self.leads * self.outside, live.size).reshape(live.shape)
        self.linear: DiffusionSystem = prepare_diffusion(
            Faces(*self.faces), sink=sink, determined=True, smoother=SMOOTHER
        )
        self.iterations, self.residual = 0, 0.0

    def solve(self, start: Array, rtol: float) -> _Solution:
        """Solve with the rates asked for, then lower those whose tip would pass its limit."""
        asked = [f.source.rate if f.cells.size else 0.0 for f in self.fed]
        self.iterations, self.residual = 0, 0.0
        u = self._relaxed(asked, start, rtol)
        tips = [self._tip(n, u, rate) for n, rate in enumerate(asked)]
        over = [n for n, f in enumerate(self.fed) if tips[n] + _drop(f.source, asked[n]) > f.source.pressure_limit]
        rates = list(asked)
        if any(asked[n] > 0 for n in over):
            u, rates = self._limited(u, asked, tips, rtol)
        control = [
            Control.CUT_OFF if not f.cells.size else Control.RATE if rates[n] == asked[n] else Control.PRESSURE
            for n, f in enumerate(self.fed)
        ]
        return self._solution(u, rates, control)

    def _relaxed(self, rates: Sequence[float], start: Array, rtol: float) -> Array:
        right = self.brought.ravel().copy()
        for feed, rate in zip(self.fed, rates, strict=True):
            np.add.at(right, feed.cells, rate * feed.weights)
        return self._linear_solve(right, np.where(np.isfinite(start), start - self.base, 0.0), rtol)

    def _linear_solve(self, right: Array, start: Array | None, rtol: float) -> Array:
        if not right.any():
            return np.zeros(self.live.shape)
        right = np.where(self.live.ravel(), right, 0.0).reshape(self.live.shape)
        stop = Stop(rtol=rtol, max_iterations=self.system.settings.max_iterations)
        solved = solve_diffusion(self.linear, right, start=start, stop=stop)
        self.iterations += solved.report.iterations
        self.residual = max(self.residual, solved.report.residuals[-1])
        return solved.u

    def _tip(self, number: int, u: Array, rate: float) -> float:
        """Return the pressure at the tip's radius."""
        feed = self.fed[number]
        if not feed.cells.size:
            return float("nan")
        inside = float(feed.weights @ u.ravel()[feed.cells]) + self.base
        return inside + rate * feed.tip * self.tip_viscosity[number]

    def _limited(self, u: Array, asked: list[float], tips: list[float], rtol: float) -> tuple[Array, list[float]]:
        """Lower the rates until no tip passes its limit; pressure is linear in them, so one solve each tells all."""
        fed = [n for n, rate in enumerate(asked) if rate > 0]
        units = {}
        for n in fed:
            right = np.zeros(self.live.size)
            np.add.at(right, self.fed[n].cells, self.fed[n].weights)
            units[n] = self._linear_solve(right, None, rtol)
        response = np.zeros((len(asked), len(asked)))
        for n in fed:
            for m in fed:
                cells = self.fed[m].cells
                response[m, n] = float(self.fed[m].weights @ units[n].ravel()[cells])
            response[n, n] += self.fed[n].tip * self.tip_viscosity[n]
        rates = list(asked)
        for _ in range(200 if len(fed) > 1 else 1):
            before = list(rates)
            for n in fed:
                others = tips[n] + sum(response[n, m] * (rates[m] - asked[m]) for m in fed if m != n)
                still = others - response[n, n] * asked[n]
                rates[n] = _allowed(self.fed[n].source, still, float(response[n, n]))
            if max(abs(a - b) for a, b in zip(rates, before, strict=True)) <= 1e-12 * max(asked):
                break
        for n in fed:
            u = u + (rates[n] - asked[n]) * units[n]
        return u, rates

    def _solution(self, u: Array, rates: list[float], control: list[Control]) -> _Solution:
        fluxes = np.zeros_like(self.faces)
        for axis in range(3):
            low = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
            high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
            fluxes[axis][low] = self.faces[axis][low] * (u[low] - u[high])
        entering = np.zeros(self.live.size)
        for feed, rate in zip(self.fed, rates, strict=True):
            np.add.at(entering, feed.cells, rate * feed.weights)
        drained = self.leads * (u.ravel()[self.system.drains[0]] - self.outside)
        tips = tuple(self._tip(n, u, rate) for n, rate in enumerate(rates))
        pressure = np.where(self.live, u + self.base, np.nan)
        return _Solution(
            pressure, fluxes, entering, drained, tuple(rates), tips, tuple(control), self.iterations, self.residual
        )


def _drop(source: Source, rate: float) -> float:
    return source.drop(rate) if source.drop is not None and rate > 0 else 0.0


def _allowed(source: Source, still: float, response: float) -> float:
    """Return the largest rate up to the one asked for with still + response * rate + drop(rate) <= the limit."""

    def excess(rate: float) -> float:
        return still + response * rate + _drop(source, rate) - source.pressure_limit

    if excess(source.rate) <= 0:
        return source.rate
    if excess(0.0) >= 0:
        return 0.0
    low, high = 0.0, source.rate
    for _ in range(100):
        middle = 0.5 * (low + high)
        if excess(middle) <= 0:
            low = middle
        else:
            high = middle
    return low
