"""Flow of bone cement: a power law whose consistency grows with age, in the needle and in the pores.

The age of a cement is its *equivalent* age: the time since mixing that would have done the same at the reference
temperature. It is what travels with the cement; a warm one ages faster. Viscosities are in MPa·s, and the consistency K
is the viscosity at a shear rate of 1/s.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Loaded, parse_parameters, read_toml
from vertecast.core.quantities import quantity

Array = NDArray[np.float64]
_DATA = "cement/rheology.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class CementRheology:
    """How one cement flows, and how that changes with its age and temperature."""

    power_index: float = quantity("1", "exponent n of the power law: stress ~ K rate**n")
    consistency: float = quantity("MPa.s", "K at the reference age: viscosity at a shear rate of 1/s")
    reference_age: float = quantity("s", "age since mixing at which K was given")
    reference_temperature: float = quantity("K", "temperature at which ages are counted")
    doubling_time: float = quantity("s", "time in which K doubles at the reference temperature")
    halving_step: float = quantity("K", "warming that halves the times of setting")
    plateau: float = quantity("MPa.s", "K of the set cement: no growth beyond")
    lowest_rate: float = quantity("1/s", "shear rate below which the viscosity no longer grows")
    highest_rate: float = quantity("1/s", "shear rate above which the viscosity no longer falls")
    pore_shape: float = quantity("1", "shear rate in the pores over that in straight capillaries")

    def __post_init__(self) -> None:
        if not 0 < self.power_index <= 1:
            raise ParameterError(f"power_index = {self.power_index} is outside 0-1; bone cement thins with shear")
        if not 0 < self.lowest_rate < self.highest_rate:
            raise ParameterError(f"shear rates {self.lowest_rate}-{self.highest_rate} 1/s are not a range above 0")
        if not 0 < self.consistency <= self.plateau:
            raise ParameterError(
                f"consistency = {self.consistency} MPa.s must be above 0 and at most plateau = {self.plateau}"
            )
        if min(self.doubling_time, self.halving_step, self.pore_shape, self.reference_temperature) <= 0:
            raise ParameterError(
                f"doubling_time = {self.doubling_time} s, halving_step = {self.halving_step} K, pore_shape = "
                f"{self.pore_shape} and reference_temperature = {self.reference_temperature} K must be above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bore:
    """The lumen the cement is pushed through."""

    inner_radius: float = quantity("mm", "inner radius")
    length: float = quantity("mm", "length")

    def __post_init__(self) -> None:
        if not (self.inner_radius > 0 and self.length > 0):
            raise ParameterError(f"bore of radius {self.inner_radius}, length {self.length} mm: both must be above 0")


def cement_names() -> list[str]:
    """Return the names of the cements whose flow is described."""
    return sorted(read_toml(_DATA))


def load_cement(name: str) -> Loaded[CementRheology]:
    """Load one cement of ``data/cement/rheology.toml``, by its name in the catalogue."""
    table = read_toml(_DATA)
    if name not in table:
        raise ParameterError(f"no flow is known of cement {name!r}; choose one of {', '.join(sorted(table))}")
    return parse_parameters(table[name], CementRheology, place=f"data/{_DATA}: {name}")


def ageing_rate(temperature: ArrayLike, cement: CementRheology) -> Array:
    """Equivalent age gained per second at a temperature, K: doubles with every ``halving_step``."""
    warmer = _finite(temperature, "temperature", above=0.0) - cement.reference_temperature
    return np.asarray(2.0 ** (warmer / cement.halving_step))


def consistency(age: ArrayLike, cement: CementRheology) -> Array:
    """K, MPa·s, at an equivalent age, s: doubles with every ``doubling_time`` up to the plateau."""
    late = (_finite(age, "age", least=0.0) - cement.reference_age) / cement.doubling_time
    highest = np.log2(cement.plateau / cement.consistency)
    return np.asarray(cement.consistency * 2.0 ** np.minimum(late, highest))


def remaining_time(age: ArrayLike, end: float, temperature: ArrayLike, cement: CementRheology) -> Array:
    """Seconds at this temperature, K, until the equivalent age ``end``, s; zero when it is past."""
    left = np.maximum(end - _finite(age, "age", least=0.0), 0.0)
    return np.asarray(left / ageing_rate(temperature, cement))


def viscosity(shear_rate: ArrayLike, consistency_now: ArrayLike, cement: CementRheology) -> Array:
    """Viscosity, MPa·s, at a shear rate, 1/s, which is bounded, of cement of this consistency, MPa·s."""
    rate = np.clip(_finite(shear_rate, "shear rate", least=0.0), cement.lowest_rate, cement.highest_rate)
    return np.asarray(_finite(consistency_now, "consistency", above=0.0) * rate ** (cement.power_index - 1.0))


def needle_pressure(rate: ArrayLike, consistency_now: ArrayLike, bore: Bore, cement: CementRheology) -> Array:
    """Pressure, MPa, that drives ``rate``, mm³/s, through a bore: laminar power-law flow, fully developed.

    Notes
    -----
    ``(2 K L / R) [(3n + 1)/n · Q / (π R³)]ⁿ``, exact for the power law without bounds on the rate; no slip at the wall,
    one age over the whole length. For n = 1 it is Hagen and Poiseuille's.
    """
    n, radius = cement.power_index, bore.inner_radius
    flow = _finite(rate, "injection rate", least=0.0)
    stiff = _finite(consistency_now, "consistency", above=0.0)
    wall = (3 * n + 1) / n * flow / (np.pi * radius**3)
    return np.asarray(2 * stiff * bore.length / radius * wall**n)


def needle_rate(pressure: ArrayLike, consistency_now: ArrayLike, bore: Bore, cement: CementRheology) -> Array:
    """Rate, mm³/s, that a pressure, MPa, drives through a bore; the inverse of :func:`needle_pressure`."""
    n, radius = cement.power_index, bore.inner_radius
    drop = _finite(pressure, "pressure", least=0.0)
    stiff = _finite(consistency_now, "consistency", above=0.0)
    wall = (drop * radius / (2 * stiff * bore.length)) ** (1 / n)
    return np.asarray(wall * np.pi * radius**3 * n / (3 * n + 1))


def shear_per_velocity(permeability: ArrayLike, porosity: ArrayLike, cement: CementRheology) -> Array:
    """Equivalent shear rate per Darcy velocity, 1/mm: that of the capillaries of this permeability, mm², and porosity.

    Notes
    -----
    Capillaries of radius r fill the porosity φ, so k = φ r²/8 and the Newtonian rate at their wall is
    4 U / (φ r) = 4 U / √(8 k φ), times ``pore_shape`` for pores that are not straight.
    """
    k = _finite(permeability, "permeability", above=0.0)
    phi = _finite(porosity, "porosity", above=0.0)
    return np.asarray(4.0 * cement.pore_shape / np.sqrt(8.0 * k * phi))


def pore_viscosity(shear_rate: ArrayLike, consistency_now: ArrayLike, cement: CementRheology) -> Array:
    """Viscosity, MPa·s, that Darcy's law needs at an equivalent shear rate of :func:`shear_per_velocity`.

    Notes
    -----
    ``K ((3n + 1)/(4n))ⁿ rateⁿ⁻¹`` makes Darcy's law exact for power-law flow in the capillaries; the rate is bounded.
    """
    return _bundle(cement) * viscosity(shear_rate, consistency_now, cement)


def pore_resistance(
    consistency_now: ArrayLike, permeability: ArrayLike, porosity: ArrayLike, cement: CementRheology
) -> Array:
    """Return A of ``|grad p| = A Uⁿ`` (MPa/mm, U in mm/s) while the shear rate is within its bounds."""
    stiff = _finite(consistency_now, "consistency", above=0.0)
    shear = shear_per_velocity(permeability, porosity, cement)
    return np.asarray(_bundle(cement) * stiff * shear ** (cement.power_index - 1.0) / np.asarray(permeability, float))


def _bundle(cement: CementRheology) -> float:
    n = cement.power_index
    return float(((3 * n + 1) / (4 * n)) ** n)


def _finite(values: ArrayLike, what: str, *, above: float | None = None, least: float | None = None) -> Array:
    """Return floats, refusing NaN and what is not above ``above`` or below ``least``."""
    numbers = np.asarray(values, float)
    bad = ~np.isfinite(numbers)
    if above is not None:
        bad |= ~(numbers > above)
    if least is not None:
        bad |= ~(numbers >= least)
    if np.any(bad):
        limit = f"above {above:g}" if above is not None else f"at least {least:g}" if least is not None else "finite"
        first = float(numbers.ravel()[np.argmax(bad)])
        raise ParameterError(
            f"{what} {first:g} in {np.count_nonzero(bad)} of {numbers.size} places must be {limit}; correct it"
        )
    return numbers
