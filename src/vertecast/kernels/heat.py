"""Transient conduction on voxel cells with a reaction in some of them: C dT/dt = div(k grad T) + heat dw/dt.

Cell-centred finite volumes of any widths: what leaves a cell enters its neighbour. Advanced by second-order
Runge-Kutta-Chebyshev steps whose length follows an error estimate, so nothing is solved and nothing has to be small:
the balance of energy holds to rounding, because a Runge-Kutta method keeps every linear invariant.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ConvergenceError, ParameterError
from vertecast.kernels.diffusion import Faces
from vertecast.kernels.heat_chebyshev import Cells, Rates, Step, longest_step, stages_for

Array = NDArray[Any]
Watch = Callable[["HeatState", "HeatState"], None]
"""Called after every accepted step with the states before and after; may raise to stop."""


@dataclass(frozen=True, eq=False)
class Conductor:
    """Cells that conduct: face conductances (mW/K), heat capacity (mJ/K), conductance to the surroundings (mW/K)."""

    faces: Faces
    capacity: Array
    outlet: Array
    ambient: float

    def __post_init__(self) -> None:
        shape = self.faces.x.shape
        if self.capacity.shape != shape or self.outlet.shape != shape:
            raise ParameterError(f"capacity {self.capacity.shape} and outlet {self.outlet.shape} must be {shape}")
        if not (np.all(np.isfinite(self.capacity)) and np.all(self.capacity > 0)):
            raise ParameterError("heat capacities must be finite and above 0 in every cell")
        if not (np.all(np.isfinite(self.outlet)) and np.all(self.outlet >= 0)) or not np.isfinite(self.ambient):
            raise ParameterError("conductances to the surroundings must be finite and not negative, ambient finite")


@dataclass(frozen=True, eq=False)
class Reaction:
    """A reaction in some cells whose extent w releases heat.

    ``cells`` (n,) flat indices; ``heat`` (n,) mJ per unit of extent; ``rate(T, w, ceiling)`` gives dw/dt, 1/s, and
    ``limit(T)`` the ceiling of w that a temperature allows; its running maximum is part of the state.
    """

    cells: NDArray[np.intp]
    heat: Array
    rate: Callable[[Array, Array, Array], Array]
    limit: Callable[[Array], Array]

    def __post_init__(self) -> None:
        if self.cells.ndim != 1 or self.cells.shape != self.heat.shape:
            raise ParameterError(f"cells {self.cells.shape} and heat {self.heat.shape} must be two lists alike")
        if np.unique(self.cells).size != self.cells.size or not np.all(np.isfinite(self.heat)):
            raise ParameterError("reacting cells must be named once each, with finite heats")


@dataclass(frozen=True, eq=False)
class HeatState:
    """Time, s; temperature (nx, ny, nz), K; extent and ceiling of the reacting cells; the next step to try, s."""

    time: float
    temperature: Array
    extent: Array
    ceiling: Array
    step: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatControl:
    """How exactly to advance: largest local error of one step, and the limits of a step, s.

    ``kelvin`` is absolute; ``extent`` is relative to the extent itself, for what starts small and feeds itself is late
    or early by its relative error.
    """

    kelvin: float = 0.004
    extent: float = 5e-4
    shortest: float = 1e-6
    longest: float = 60.0

    def __post_init__(self) -> None:
        if not (self.kelvin > 0 and self.extent > 0 and 0 < self.shortest < self.longest):
            raise ParameterError(f"tolerances and steps of a heat run must be above 0 and in order, got {self}")


@dataclass(frozen=True, slots=True)
class HeatReport:
    """How a run went: steps taken and rejected, stages (passes over the grid), shortest and longest step, s."""

    steps: int
    rejected: int
    stages: int
    shortest: float
    longest: float


@dataclass(frozen=True, slots=True)
class HeatBalance:
    """Heat stored, released and lost to the surroundings over a run, mJ."""

    stored: float
    released: float
    lost: float

    @property
    def error(self) -> float:
        """What is unaccounted for, relative to the largest of the three."""
        largest = max(abs(self.stored), abs(self.released), abs(self.lost))
        return abs(self.stored - self.released + self.lost) / largest if largest > 0 else 0.0


@dataclass(frozen=True, eq=False)
class HeatRun:
    """The state at the end, how the run went and the balance of heat."""

    state: HeatState
    report: HeatReport
    balance: HeatBalance


def make_conductor(
    conductivity: ArrayLike,
    heat_capacity: ArrayLike,
    widths: tuple[ArrayLike, ArrayLike, ArrayLike],
    ambient: float | None,
) -> Conductor:
    """Build the conductor of a grid whose cells may differ in width.

    Parameters
    ----------
    conductivity : (nx, ny, nz), mW/(mm·K)
    heat_capacity : (nx, ny, nz), mJ/(mm³·K)
    widths : three lists of nx, ny, nz, mm
    ambient : K, or None
        Temperature at which the six outer faces are held; insulated when None.
    """
    k, c = np.asarray(conductivity, float), np.asarray(heat_capacity, float)
    w = [np.asarray(v, float) for v in widths]
    if k.ndim != 3 or k.shape != c.shape or k.shape != tuple(v.size for v in w):
        raise ParameterError(f"conductivity {k.shape}, capacity {c.shape} and widths do not describe one grid")
    if not (np.all(np.isfinite(k)) and np.all(k > 0) and all(np.all(v > 0) for v in w)):
        raise ParameterError("conductivities and widths must be finite and above 0")
    volume = w[0][:, None, None] * w[1][None, :, None] * w[2][None, None, :]
    faces, outlet = [], np.zeros_like(k)
    for axis in range(3):
        width = w[axis].reshape([-1 if a == axis else 1 for a in range(3)])
        area, half = volume / width, 0.5 * width / k
        face = np.zeros_like(k)
        low, high = (_part(axis, slice(0, -1)), _part(axis, slice(1, None)))
        face[low] = area[low] / (half[low] + half[high])
        faces.append(face)
        if ambient is not None:
            for end in (_part(axis, 0), _part(axis, -1)):
                outlet[end] += area[end] / half[end]
    return Conductor(Faces(*faces), c * volume, outlet, 0.0 if ambient is None else ambient)


def advance_heat(
    conductor: Conductor,
    reaction: Reaction | None,
    state: HeatState,
    until: float,
    *,
    control: HeatControl = HeatControl(),
    watch: Watch | None = None,
) -> HeatRun:
    """Advance conduction and reaction to the time ``until``, s.

    Raises
    ------
    ConvergenceError
        When the error stays above the tolerance at the shortest step: an unstable rate or an absurd input.

    Notes
    -----
    The error of a step is the largest over all cells, of temperature and of extent, each against its tolerance.
    """
    _check(conductor, reaction, state, until)
    run = _Run(conductor, reaction, state, control)
    while run.state.time < until:
        before = run.state
        run.advance(until)
        if watch is not None:
            watch(before, run.state)
    end = run.state
    balance = HeatBalance(
        float(np.sum(conductor.capacity * (end.temperature - state.temperature))),
        float(np.sum(run.heat * (end.extent - state.extent))),
        run.lost,
    )
    report = HeatReport(run.steps, run.rejected, run.stages, run.least, run.most)
    del run.cells, run.rates  # a ring with the run: it would keep every array until the collector runs
    return HeatRun(end, report, balance)


class _Run:
    """The moving parts of one run."""

    def __init__(self, conductor: Conductor, reaction: Reaction | None, state: HeatState, control: HeatControl) -> None:
        self.reaction, self.control = reaction, control
        self.heat = np.zeros(0) if reaction is None else reaction.heat
        self.state = replace(state, ceiling=self._raised(state.temperature, state.ceiling))
        self.cells, self.fastest = _prepared(conductor, reaction, self._rate)
        self.rates = Rates(self.cells, state.temperature, state.extent)
        self.lost, self.steps, self.rejected, self.stages = 0.0, 0, 0, 0
        self.least, self.most = np.inf, 0.0

    def advance(self, until: float) -> None:
        """Take one step, as long as the tolerance allows."""
        now, control = self.state, self.control
        fastest = max(self.fastest + self._stiffness(), 1 / control.longest)
        wanted = 0.25 / fastest if now.step is None else now.step
        ceiling = min(control.longest, longest_step(fastest))
        while True:
            left = until - now.time
            last = wanted >= left * (1 - 1e-12)
            step = left if last else min(wanted, ceiling, max(0.5 * left, left - wanted))
            last = last and left <= ceiling
            step = min(step, ceiling)
            count = stages_for(step, fastest)
            taken = Step(self.cells, now.temperature, now.extent, self.rates, (step, count))
            self.stages += count
            error = max(taken.error / control.kelvin, taken.extent_error / control.extent)
            if not np.isfinite(error + taken.extent_error + np.sum(taken.temperature)):
                error = 1e9
            following = step * min(5.0, max(0.1, 0.8 / max(error, 1e-9) ** (1 / 3)))
            if error <= 1:
                break
            self.rejected += 1
            wanted = following
            if wanted < control.shortest:
                raise ConvergenceError(
                    f"error of a step {error:.2g} times the tolerance at {step:.2g} s, t = {now.time:.4g} s, below the "
                    f"shortest step {control.shortest:g} s; check the rate of the reaction or loosen the tolerance"
                )
        self._accept(taken, until if last else now.time + step, step, max(following, wanted) if last else following)

    def _accept(self, taken: Step, time: float, step: float, following: float) -> None:
        ceiling = self._raised(taken.temperature, self.state.ceiling)
        for values in (taken.temperature, taken.extent, ceiling):
            values.setflags(write=False)
        self.state = HeatState(time, taken.temperature, taken.extent, ceiling, following)
        self.rates = taken.rates
        self.lost += float(taken.loss)
        self.steps += 1
        self.least, self.most = min(self.least, step), max(self.most, step)

    def _raised(self, temperature: Array, ceiling: Array) -> Array:
        if self.reaction is None:
            return np.zeros(0)
        return np.maximum(ceiling, self.reaction.limit(temperature.ravel()[self.reaction.cells]))

    def _rate(self, temperature: Array, extent: Array) -> Array:
        assert self.reaction is not None
        top = np.maximum(self.state.ceiling, self.reaction.limit(temperature))
        return self.reaction.rate(temperature, extent, top)

    def _stiffness(self) -> float:
        """Fastest decay that the reaction adds, 1/s, by differences of its rate; half as much again to be safe."""
        if not self.cells.reacting.size:
            return 0.0
        kelvin, extent = self.state.temperature.ravel()[self.cells.reacting], self.state.extent
        base = self.rates.extent
        by_extent = (self._rate(kelvin, extent + 1e-6) - base) / 1e-6
        by_kelvin = (self._rate(kelvin + 1e-4, extent) - base) / 1e-4
        warming = self.heat * self.cells.inverse.ravel()[self.cells.reacting]
        return 1.5 * float(max(0.0, -np.min(by_extent + warming * by_kelvin)))


def _prepared(
    conductor: Conductor, reaction: Reaction | None, rate: Callable[[Array, Array], Array]
) -> tuple[Cells, float]:
    """Return the cells for the passes and the largest rate of conduction, 1/s (Gershgorin)."""
    faces = (conductor.faces.x, conductor.faces.y, conductor.faces.z)
    through = np.zeros_like(conductor.capacity)
    for axis, face in enumerate(faces):
        through += face
        through[_part(axis, slice(1, None))] += face[_part(axis, slice(0, -1))]
    outer = np.flatnonzero(conductor.outlet)
    cells = Cells(
        faces,
        through + conductor.outlet,
        1 / conductor.capacity,
        conductor.outlet * conductor.ambient,
        outer,
        conductor.outlet.ravel()[outer],
        conductor.ambient,
        np.zeros(0, np.intp) if reaction is None else reaction.cells,
        np.zeros(0) if reaction is None else reaction.heat,
        rate,
    )
    return cells, float(np.max((2 * through + conductor.outlet) / conductor.capacity))


def _part(axis: int, part: slice | int) -> tuple[slice | int, ...]:
    return tuple(part if a == axis else slice(None) for a in range(3))


def _check(conductor: Conductor, reaction: Reaction | None, state: HeatState, until: float) -> None:
    count = 0 if reaction is None else reaction.cells.size
    if state.temperature.shape != conductor.capacity.shape or state.extent.shape != (count,):
        raise ParameterError(
            f"temperature {state.temperature.shape} and extent {state.extent.shape} do not fit the cells "
            f"{conductor.capacity.shape} and the {count} reacting ones"
        )
    if state.ceiling.shape != (count,):
        raise ParameterError(f"ceiling {state.ceiling.shape} does not fit the {count} reacting cells")
    if not (np.all(np.isfinite(state.temperature)) and np.all(np.isfinite(state.extent))):
        raise ParameterError("temperature and extent must be finite at the start")
    if not until >= state.time:
        raise ParameterError(f"until = {until} s lies before the state's time, {state.time} s")
