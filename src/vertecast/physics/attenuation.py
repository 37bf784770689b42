"""X-ray attenuation of elements and materials: density, composition, mass and linear attenuation coefficients."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import ParameterUse, data_file, parse_parameters, read_toml
from vertecast.core.quantities import quantity

MM2_MG_PER_CM2_G = 0.1
_FRACTION_TOLERANCE = 2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    density: float = quantity("mg/mm3", "mass density")
    elements: str = quantity("1", "symbols of the elements, separated by blanks")
    mass_fractions: tuple[float, ...] = quantity("1", "mass fraction of each element")


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What X-rays pass through.

    Parameters
    ----------
    name : the key of ``data/xray/materials.toml``, or the name of a mixture
    density : mg/mm3
    mass_fractions : mass of each element in 1 mg of the material; they sum to one
    uses : where its numbers come from
    """

    name: str
    density: float = field(metadata={"unit": "mg/mm3", "doc": "mass density"})
    mass_fractions: Mapping[str, float]
    uses: tuple[ParameterUse, ...] = ()

    def __post_init__(self) -> None:
        total = sum(self.mass_fractions.values())
        if not self.density > 0:
            raise ParameterError(f"material {self.name}: density {self.density} mg/mm3 must be positive")
        if abs(total - 1.0) > _FRACTION_TOLERANCE or min(self.mass_fractions.values()) < 0:
            raise ParameterError(f"material {self.name}: mass fractions sum to {total:.4f}, needs 1 with none negative")
        fractions = {symbol: value / total for symbol, value in self.mass_fractions.items()}
        object.__setattr__(self, "mass_fractions", MappingProxyType(fractions))


@dataclass(frozen=True, slots=True, eq=False)
class AttenuationTable:
    """Mass attenuation coefficients of the elements between 1 and 200 keV, both sides of every edge listed.

    Parameters
    ----------
    energies : (n,), keV, ascending
    elements : symbols of the columns
    coefficients : (n, len(elements)), mm2/mg
        Total with coherent scattering, as in NIST SRD 126 and XCOM.
    """

    energies: NDArray[np.float64]
    elements: tuple[str, ...]
    coefficients: NDArray[np.float64]

    def mass_attenuation(self, material: Material, energies: ArrayLike) -> NDArray[np.float64]:
        """Interpolate the mixture rule log-log at photon energies in keV; mm2/mg, in the shape of ``energies``.

        Raises
        ------
        ParameterError
            For an energy outside the table or an element that it does not hold.
        """
        wanted = np.asarray(energies, float)
        if wanted.size and (wanted.min() < self.energies[0] or wanted.max() > self.energies[-1]):
            raise ParameterError(
                f"photon energy {wanted.min():g} to {wanted.max():g} keV leaves the table "
                f"({self.energies[0]:g} to {self.energies[-1]:g} keV) for {material.name}; stay inside it"
            )
        total = np.zeros(wanted.shape)
        for symbol, fraction in material.mass_fractions.items():
            if symbol not in self.elements:
                raise ParameterError(
                    f"material {material.name}: element {symbol} is not in data/xray/elements.csv; "
                    f"add it to tools/xray_tables.py and write the table again"
                )
            column = self.coefficients[:, self.elements.index(symbol)]
            total += fraction * np.exp(np.interp(np.log(wanted), np.log(self.energies), np.log(column)))
        return total

    def linear_attenuation(self, material: Material, energies: ArrayLike) -> NDArray[np.float64]:
        """Return the linear attenuation coefficient, 1/mm, at photon energies in keV; see :meth:`mass_attenuation`."""
        return np.asarray(material.density * self.mass_attenuation(material, energies))


def load_attenuation() -> AttenuationTable:
    """Read ``data/xray/elements.csv``; its source stands in ``data/xray/tables.toml``."""
    names, rows = read_table("xray/elements.csv")
    coefficients = rows[:, 1:] * MM2_MG_PER_CM2_G
    coefficients.setflags(write=False)
    return AttenuationTable(rows[:, 0], names[1:], coefficients)


def load_materials() -> Mapping[str, Material]:
    """Read ``data/xray/materials.toml`` and return its materials by name."""
    made = {}
    for name, table in read_toml("xray/materials.toml").items():
        loaded = parse_parameters(table, _Entry, place=f"data/xray/materials.toml: {name}")
        entry = loaded.values
        symbols = entry.elements.split()
        if len(symbols) != len(entry.mass_fractions):
            raise ParameterError(
                f"data/xray/materials.toml: {name}: {len(symbols)} elements but "
                f"{len(entry.mass_fractions)} mass fractions; give one for each"
            )
        fractions = dict(zip(symbols, entry.mass_fractions, strict=True))
        made[name] = Material(name, entry.density, fractions, loaded.uses)
    return MappingProxyType(made)


def mixture(name: str, parts: Sequence[tuple[Material, float]], *, porosity: float = 0.0) -> Material:
    """Mix materials by mass; volumes add up, and ``porosity`` of the mixture's volume is empty.

    Parameters
    ----------
    name : of the mixture
    parts : material and its mass in any common unit; none negative
    porosity : between 0 and 1, the part of the volume that attenuates nothing

    Notes
    -----
    A cement with 30 % BaSO4 by mass is ``mixture("cement", [(pmma, 0.7), (barium_sulfate, 0.3)])``. A filler stated
    for the powder only must first be diluted by the liquid.
    """
    masses = [mass for _, mass in parts]
    if not parts or min(masses) < 0 or sum(masses) <= 0:
        raise ParameterError(f"mixture {name}: masses {masses} must not be negative and must not all be zero")
    if not 0.0 <= porosity < 1.0:
        raise ParameterError(f"mixture {name}: porosity {porosity} must lie in [0, 1)")
    volume = sum(mass / material.density for material, mass in parts) / (1.0 - porosity)
    fractions: dict[str, float] = {}
    for material, mass in parts:
        for symbol, fraction in material.mass_fractions.items():
            fractions[symbol] = fractions.get(symbol, 0.0) + fraction * mass / sum(masses)
    uses = tuple(use for material, _ in parts for use in material.uses)
    return Material(name, sum(masses) / volume, fractions, uses)


def opacified(base: Material, filler: Material, filler_fraction: float, *, porosity: float = 0.0) -> Material:
    """Add a radiopacifier to a cement: ``filler_fraction`` is its mass in 1 mg of the set cement."""
    if not 0.0 <= filler_fraction <= 1.0:
        raise ParameterError(f"mass fraction {filler_fraction} of {filler.name} must lie in [0, 1]")
    name = f"{base.name}+{100 * filler_fraction:g}% {filler.name}"
    return mixture(name, [(base, 1.0 - filler_fraction), (filler, filler_fraction)], porosity=porosity)


def iodine_contrast(iodine_mg_ml: float, materials: Mapping[str, Material]) -> Material:
    """Dissolve iohexol in water to ``iodine_mg_ml`` mg of iodine in 1 mL of solution.

    Raises
    ------
    ParameterError
        Outside 0 to 400 mg/mL, beyond which no such solution is sold.
    """
    if not 0.0 <= iodine_mg_ml <= 400.0:
        raise ParameterError(f"iodine concentration {iodine_mg_ml} mg/mL is outside 0 to 400 mg/mL; dilute it")
    iohexol, water = materials["iohexol"], materials["water"]
    iohexol_density = iodine_mg_ml / 1000.0 / iohexol.mass_fractions["I"]
    water_density = (1.0 - iohexol_density / iohexol.density) * water.density
    return mixture(f"iodine {iodine_mg_ml:g} mg/mL", [(iohexol, iohexol_density), (water, water_density)])


def read_table(path: str) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Read a CSV table of the package's data: the names of its columns, and its numbers, (rows, columns)."""
    reader = csv.reader(io.StringIO(data_file(path).read_text(encoding="utf-8")))
    names = tuple(next(reader))
    return names, np.array([[float(cell) for cell in row] for row in reader])
