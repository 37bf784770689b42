"""Heat in tissue and cement: properties of the media and their mixture, thermal dose, damage and its depth."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Loaded, ParameterUse, load_parameters, parse_parameters, read_toml
from vertecast.core.quantities import quantity

Array = NDArray[np.float64]
REFERENCE = 316.15
"""K: 43 degC, to which the isoeffective dose refers by definition."""
_STILL = 1e-2
"""K: below this change the plain mean of a step is exact enough."""


class Medium(IntEnum):
    """What a cell consists of besides cement; the order is that of the codes in a label array."""

    TRABECULAR = 0
    CORTEX = 1
    DISC = 2
    SOFT = 3
    CANAL = 4
    CAVITY = 5
    STEEL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumThermal:
    """How one medium conducts and stores heat."""

    conductivity: float = quantity("mW/(mm.K)", "thermal conductivity")
    heat_capacity: float = quantity("mJ/(mm3.K)", "volumetric heat capacity")

    def __post_init__(self) -> None:
        if not (self.conductivity > 0 and self.heat_capacity > 0):
            raise ParameterError(
                f"conductivity {self.conductivity} and heat capacity {self.heat_capacity} must be above 0"
            )


@dataclass(frozen=True, slots=True)
class Media:
    """The media by :class:`Medium`, with where each number comes from."""

    of: tuple[MediumThermal, ...]
    uses: tuple[ParameterUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CementThermal:
    """Thermal properties of bone cement."""

    density: float = quantity("mg/mm3", "density")
    specific_heat: float = quantity("mJ/(mg.K)", "heat capacity per mass")
    conductivity: float = quantity("mW/(mm.K)", "thermal conductivity")

    def __post_init__(self) -> None:
        if not min(self.density, self.specific_heat, self.conductivity) > 0:
            raise ParameterError(f"thermal properties of cement must be above 0, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseLaw:
    """When heat harms bone."""

    half_above: float = quantity("1", "time needed per kelvin above 43 degC, as a factor")
    half_below: float = quantity("1", "time needed per kelvin below 43 degC, as a factor")
    floor: float = quantity("K", "temperature below which no dose is counted")
    frequency: float = quantity("1/s", "Arrhenius factor of the damage")
    activation: float = quantity("K", "activation energy of the damage over the gas constant")
    necrosis: float = quantity("1", "damage at which bone is dead")
    hot: float = quantity("K", "temperature above which the time is counted")

    def __post_init__(self) -> None:
        if not (0 < self.half_below <= self.half_above < 1 and self.floor < REFERENCE):
            raise ParameterError(
                f"dose factors {self.half_below}, {self.half_above} must rise within 0-1 and the floor "
                f"{self.floor} K lie below 43 degC"
            )


def load_media() -> Media:
    """Load ``data/thermal/media.toml``."""
    table, place = read_toml("thermal/media.toml"), "data/thermal/media.toml"
    names = [medium.name.lower() for medium in Medium]
    if sorted(table) != sorted(names):
        raise ParameterError(f"{place}: needs {', '.join(names)}, got {', '.join(table)}")
    parsed = [parse_parameters(table[name], MediumThermal, place=f"{place} [{name}]") for name in names]
    uses = tuple(
        ParameterUse(f"{name}.{use.name}", use.value, use.unit, use.source, use.status)
        for name, one in zip(names, parsed, strict=True)
        for use in one.uses
    )
    return Media(tuple(one.values for one in parsed), uses)


def load_cement_thermal() -> Loaded[CementThermal]:
    """Load ``data/thermal/cement.toml``."""
    return load_parameters("thermal/cement.toml", CementThermal)


def load_dose() -> Loaded[DoseLaw]:
    """Load ``data/thermal/dose.toml``."""
    return load_parameters("thermal/dose.toml", DoseLaw)


def thermal_fields(
    medium: ArrayLike, cement_fraction: ArrayLike, media: Media, cement: CementThermal
) -> tuple[Array, Array]:
    """Conductivity, mW/(mm·K), and heat capacity, mJ/(mm³·K), of cells that hold a medium and some cement.

    Parameters
    ----------
    medium : (nx, ny, nz), codes of :class:`Medium`
    cement_fraction : (nx, ny, nz), 0-1
        Volume of cement per volume of cell: saturation times accessible porosity.

    Notes
    -----
    Heat capacities add by volume. Conductivities mix by their weighted geometric mean, which lies between layers in
    series and in parallel; the shares of bone and marrow in the rest of the cell stay those of the medium.
    """
    code, share = np.asarray(medium), np.asarray(cement_fraction, float)
    if code.size and (code.min() < 0 or code.max() >= len(Medium)):
        raise ParameterError(f"medium codes {code.min()}-{code.max()} are outside 0-{len(Medium) - 1}")
    if not np.all((share >= 0) & (share <= 1)):
        raise ParameterError("cement fractions must lie within 0-1: saturation times accessible porosity")
    k = np.array([m.conductivity for m in media.of])[code]
    c = np.array([m.heat_capacity for m in media.of])[code]
    own = cement.density * cement.specific_heat
    return k * (cement.conductivity / k) ** share, c + share * (own - c)


def cem43_rate(temperature: ArrayLike, law: DoseLaw) -> Array:
    """Seconds at 43 °C that one second at this temperature, K, is worth."""
    kelvin = np.asarray(temperature, float)
    base = np.where(kelvin >= REFERENCE, law.half_above, law.half_below)
    return np.where(kelvin >= law.floor, base ** (REFERENCE - kelvin), 0.0)


def damage_rate(temperature: ArrayLike, law: DoseLaw) -> Array:
    """Rate of the damage integral Ω, 1/s, at a temperature, K."""
    return np.asarray(np.exp(np.log(law.frequency) - law.activation / np.asarray(temperature, float)))


def dose_of_step(first: ArrayLike, last: ArrayLike, dt: float, law: DoseLaw) -> tuple[Array, Array]:
    """CEM43, s, and Ω gained while the temperature, K, goes straight from ``first`` to ``last`` within ``dt``, s.

    CEM43 is exact on one side of 43 °C; of Ω's integral three terms of its asymptotic series are taken (1e-6).
    """
    a, b = np.asarray(first, float), np.asarray(last, float)
    cem43 = _between(cem43_rate(a, law), cem43_rate(b, law))
    steep = np.abs(b - a) > _STILL
    mean = np.asarray(0.5 * (damage_rate(a, law) + damage_rate(b, law)))
    omega = np.divide(_summed_damage(b, law) - _summed_damage(a, law), b - a, out=mean, where=steep)
    return np.asarray(cem43 * dt), np.asarray(omega * dt)


def time_above(first: ArrayLike, last: ArrayLike, level: float, dt: float) -> Array:
    """Seconds of a step of ``dt`` spent above ``level``, the temperature running straight."""
    a, b = np.asarray(first, float) - level, np.asarray(last, float) - level
    above = np.maximum(a, 0) + np.maximum(b, 0)
    span = np.abs(a) + np.abs(b)
    return np.asarray(dt * np.divide(above, span, out=np.zeros(span.shape), where=span > 0))


def necrosis_depth(omega: ArrayLike, cement: ArrayLike, spacing: ArrayLike, law: DoseLaw) -> float:
    """Greatest distance, mm, from the cement's surface at which bone is dead; to half a voxel.

    Parameters
    ----------
    omega : (nx, ny, nz), damage integral
    cement : (nx, ny, nz) bool, cells that hold cement
    spacing : (3,), mm
    """
    inside = np.asarray(cement, bool)
    dead = (np.asarray(omega, float) >= law.necrosis) & ~inside
    if not dead.any() or not inside.any():
        return 0.0
    distance = ndimage.distance_transform_edt(~inside, sampling=np.asarray(spacing, float))
    return float(distance[dead].max())


def _summed_damage(kelvin: Array, law: DoseLaw) -> Array:
    """Integral of the damage rate over temperature, up to a constant."""
    part = kelvin / law.activation
    return np.asarray(damage_rate(kelvin, law) * kelvin * part * (1 - 2 * part + 6 * part * part))


def _between(first: Array, last: Array) -> Array:
    """Return the mean of an exponential between its ends; the plain mean where an end is zero."""
    mean = np.asarray(0.5 * (first + last))
    good = (first > 0) & (last > 0)
    ratio = np.log(np.divide(last, first, out=np.ones_like(mean), where=good))
    steep = np.abs(ratio) > 1e-4
    return np.divide(last - first, ratio, out=mean, where=good & steep)
