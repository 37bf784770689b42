"""Cement curing in place: its heat, the temperature around it, when it is hard and what the heat does to bone.

Composes the cure law, the thermal properties and the conduction kernel. A state may be advanced in parts, and its
fields replaced in between (cement that flows takes its conversion along), so the same call serves injection and rest.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Loaded, ParameterUse, load_parameters
from vertecast.core.quantities import quantity
from vertecast.kernels.heat import (
    HeatBalance,
    HeatControl,
    HeatReport,
    HeatState,
    Reaction,
    advance_heat,
    make_conductor,
)
from vertecast.kernels.heat_grid import SurroundedGrid, surround
from vertecast.physics import cure, thermal
from vertecast.physics.cure import CureLaw
from vertecast.physics.thermal import CementThermal, DoseLaw, Media

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is put around the site."""

    depth: float = quantity("mm", "thickness on every side")
    growth: float = quantity("1", "width of a layer of cells over the one inside it")
    body: float = quantity("K", "temperature of the body, held at the outer wall")


@dataclass(frozen=True, slots=True)
class ExothermLaws:
    """All laws of the cure in place."""

    cure: CureLaw
    cement: CementThermal
    media: Media
    dose: DoseLaw
    surroundings: Surroundings
    uses: tuple[ParameterUse, ...]


@dataclass(frozen=True, eq=False)
class CementInPlace:
    """Where the cement lies: media codes and cement fraction (volume per volume) of the site's cells."""

    grid: SurroundedGrid
    medium: NDArray[np.integer]
    cement_fraction: Array

    def __post_init__(self) -> None:
        if self.medium.shape != self.grid.shape or self.cement_fraction.shape != self.grid.shape:
            raise ParameterError(
                f"medium {self.medium.shape} and cement {self.cement_fraction.shape} do not fit the site "
                f"{self.grid.shape}"
            )


@dataclass(frozen=True, eq=False)
class ExothermState:
    """All fields at one time; (nx, ny, nz) of the site, except ``wide``, which has the surroundings too.

    ``conversion`` and ``reached`` count only where there is cement; ``time_hard`` is infinite where it is not hard yet.
    """

    time: float
    wide: Array
    inner: tuple[slice, slice, slice]
    conversion: Array
    reached: Array
    peak: Array
    cem43: Array
    omega: Array
    time_hot: Array
    time_hard: Array
    step: float | None = None

    @property
    def temperature(self) -> Array:
        """Temperature of the site, K."""
        return self.wide[self.inner]

    def with_temperature(self, temperature: ArrayLike) -> "ExothermState":
        """Return the state with another temperature of the site (cement has moved)."""
        wide = self.wide.copy()
        wide[self.inner] = temperature
        return replace(self, wide=wide, peak=np.maximum(self.peak, wide[self.inner]), step=None)

    def with_cement(self, conversion: ArrayLike, reached: ArrayLike) -> "ExothermState":
        """Return the state with another conversion of the cement (it has moved)."""
        fields = [np.array(np.broadcast_to(np.asarray(v, float), self.peak.shape)) for v in (conversion, reached)]
        return replace(self, conversion=fields[0], reached=fields[1], step=None)


@dataclass(frozen=True, eq=False)
class ExothermRun:
    """The state at the end, how the run went and the balance of heat, mJ."""

    state: ExothermState
    report: HeatReport
    balance: HeatBalance


def load_exotherm(kinetics: str = cure.DEFAULT_KINETICS) -> ExothermLaws:
    """Load all laws, with the named cure."""
    law, cement, media = cure.load_kinetics(kinetics), thermal.load_cement_thermal(), thermal.load_media()
    dose, around = thermal.load_dose(), load_surroundings()
    uses = (*law.uses, *cement.uses, *media.uses, *dose.uses, *around.uses)
    return ExothermLaws(law, cement.values, media, dose.values, around.values, uses)


def load_surroundings() -> Loaded[Surroundings]:
    """Load ``data/thermal/surroundings.toml``."""
    return load_parameters("thermal/surroundings.toml", Surroundings)


def surround_site(shape: tuple[int, int, int], spacing: ArrayLike, laws: ExothermLaws) -> SurroundedGrid:
    """Put the surroundings around a site."""
    return surround(shape, spacing, laws.surroundings.depth, laws.surroundings.growth)


def start_exotherm(
    grid: SurroundedGrid, laws: ExothermLaws, *, temperature: ArrayLike | None = None, time: float = 0.0
) -> ExothermState:
    """Return the state before: body temperature unless given (K, of the site), freshly mixed cement, no dose."""
    wide = np.full(tuple(w.size for w in grid.widths), laws.surroundings.body)
    if temperature is not None:
        wide[grid.inner] = temperature
    site = wide[grid.inner]
    zero = np.zeros(grid.shape)
    return ExothermState(
        time,
        wide,
        grid.inner,
        np.full(grid.shape, laws.cure.kinetics.start),
        cure.reachable(site, laws.cure),
        site.copy(),
        zero,
        zero,
        zero,
        np.full(grid.shape, np.inf),
    )


def advance_exotherm(
    place: CementInPlace,
    state: ExothermState,
    until: float,
    laws: ExothermLaws,
    *,
    control: HeatControl = HeatControl(),  # noqa: B008 - frozen
) -> ExothermRun:
    """Advance cure, heat and dose to the time ``until``, s.

    Raises
    ------
    ParameterError
        For fields that do not fit the site, fractions outside 0-1 or temperatures that are not finite.
    """
    grid, law = place.grid, laws.cure
    k, c = thermal.thermal_fields(place.medium, place.cement_fraction, laws.media, laws.cement)
    conductor = make_conductor(grid.extended(k), grid.extended(c), grid.widths, laws.surroundings.body)
    filled = place.cement_fraction > 0
    content = laws.cement.density * law.kinetics.enthalpy * float(np.prod(grid.spacing))
    reaction = Reaction(
        np.flatnonzero(grid.extended(filled, False)),
        content * place.cement_fraction[filled],
        lambda kelvin, w, top: cure.cure_rate(kelvin, w, top, law),
        lambda kelvin: cure.reachable(kelvin, law),
    )
    begin = HeatState(state.time, state.wide, state.conversion[filled], state.reached[filled], state.step)
    watch = _Dosimeter(state, filled, laws)
    run = advance_heat(conductor, reaction, begin, until, control=control, watch=watch)
    return ExothermRun(watch.final(run.state), run.report, run.balance)


class _Dosimeter:
    """Adds up peaks, doses and setting times over the accepted steps."""

    def __init__(self, state: ExothermState, filled: NDArray[np.bool_], laws: ExothermLaws) -> None:
        self.state, self.filled, self.laws = state, filled, laws
        self.peak, self.cem43, self.omega = state.peak.copy(), state.cem43.copy(), state.omega.copy()
        self.hot, self.hard = state.time_hot.copy(), state.time_hard.copy()
        soft = cure.is_hard(state.conversion[filled], state.reached[filled], laws.cure)
        self.hard_cells = np.where(soft, np.minimum(state.time, self.hard[filled]), self.hard[filled])

    def __call__(self, before: HeatState, after: HeatState) -> None:
        dt, law = after.time - before.time, self.laws.dose
        first, last = before.temperature[self.state.inner], after.temperature[self.state.inner]
        np.maximum(self.peak, last, out=self.peak)
        warm = np.nonzero(np.maximum(first, last) > law.floor)
        cem43, omega = thermal.dose_of_step(first[warm], last[warm], dt, law)
        self.cem43[warm] += cem43
        self.omega[warm] += omega
        self.hot[warm] += thermal.time_above(first[warm], last[warm], law.hot, dt)
        self._set(before, after)

    def _set(self, before: HeatState, after: HeatState) -> None:
        hard = self.laws.cure.kinetics.hard
        first, last = before.extent - hard * before.ceiling, after.extent - hard * after.ceiling
        now = (last >= 0) & ~np.isfinite(self.hard_cells)
        part = np.divide(-first, last - first, out=np.zeros_like(first), where=last > first)
        at = before.time + np.clip(part, 0, 1) * (after.time - before.time)
        self.hard_cells[now] = at[now]

    def final(self, end: HeatState) -> ExothermState:
        """Return the state at the end, its arrays read-only."""
        conversion, reached = self.state.conversion.copy(), self.state.reached.copy()
        conversion[self.filled], reached[self.filled] = end.extent, end.ceiling
        self.hard[self.filled] = self.hard_cells
        for values in (conversion, reached, self.peak, self.cem43, self.omega, self.hot, self.hard):
            values.setflags(write=False)
        return ExothermState(
            end.time,
            end.temperature,
            self.state.inner,
            conversion,
            reached,
            self.peak,
            self.cem43,
            self.omega,
            self.hot,
            self.hard,
            end.step,
        )
