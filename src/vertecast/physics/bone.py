"""Bone by its density: modulus and yield stress, laws as data.

A law says which density it was measured with and where it holds. Nothing is clipped: a density at or below the point
where a law gives no positive modulus or yield stress is refused here, so the caller has to say first what such a voxel
is (:func:`bone_voxels`; marrow or void, never "a little bone").
"""

from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Loaded, ParameterUse, parse_parameters, read_toml
from vertecast.core.quantities import quantity
from vertecast.physics.bone_density import DensityKind

DEFAULT_LAW = "kopperdahl_2002"


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityRange:
    """The density a law was measured with, and where it holds."""

    kind: str = quantity("1", "kind of density: k2hpo4, ha, ash or apparent")
    low: float = quantity("mg/mm3", "lowest density of the law")
    high: float = quantity("mg/mm3", "highest density of the law")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulusLaw:
    """Young's modulus ``offset + coefficient * density**exponent``; density in mg/mm³ (g/cm³) as a pure number."""

    offset: float = quantity("MPa", "modulus at zero density")
    coefficient: float = quantity("MPa", "modulus at 1 mg/mm3, less the offset")
    exponent: float = quantity("1", "exponent of the density")
    poisson: float = quantity("1", "Poisson's ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class YieldStressLaw:
    """Compressive yield stress ``offset + coefficient * density**exponent``; density as for the modulus."""

    offset: float = quantity("MPa", "yield stress at zero density")
    coefficient: float = quantity("MPa", "yield stress at 1 mg/mm3, less the offset")
    exponent: float = quantity("1", "exponent of the density")


@dataclass(frozen=True, slots=True, kw_only=True)
class YieldStrainLaw:
    """Compressive yield stress as the modulus times one strain."""

    strain: float = quantity("1", "yield strain in compression")


@dataclass(frozen=True, slots=True)
class BoneLaw:
    """One published density law with where each number comes from."""

    name: str
    density: DensityRange
    modulus: ModulusLaw
    yielding: YieldStressLaw | YieldStrainLaw
    uses: tuple[ParameterUse, ...]

    def __post_init__(self) -> None:
        DensityKind(self.density.kind)
        if not 0 <= self.density.low < self.density.high:
            raise ParameterError(f"{self.name}: density range {self.density.low}-{self.density.high} is not a range")
        if not 0 <= self.modulus.poisson < 0.5:
            raise ParameterError(f"{self.name}: poisson = {self.modulus.poisson} is outside 0-0.5")

    @property
    def kind(self) -> DensityKind:
        """The density this law takes."""
        return DensityKind(self.density.kind)


def law_names() -> list[str]:
    """Return the names of the density laws shipped."""
    folder = resources.files("vertecast.data").joinpath("bone")
    names = sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
    return [name for name in names if "modulus" in read_toml(f"bone/{name}.toml")]


def load_law(name: str = DEFAULT_LAW) -> BoneLaw:
    """Load ``data/bone/<name>.toml``."""
    if name not in law_names():
        raise ParameterError(f"bone law {name!r} does not exist; choose one of {', '.join(law_names())}")
    place = f"data/bone/{name}.toml"
    table = read_toml(f"bone/{name}.toml")
    kinds: dict[str, type[YieldStressLaw] | type[YieldStrainLaw]] = {
        "yield_stress": YieldStressLaw,
        "yield_strain": YieldStrainLaw,
    }
    given = sorted(kinds.keys() & table.keys())
    if len(given) != 1 or table.keys() - {"density", "modulus", *given}:
        raise ParameterError(f"{place}: needs density, modulus and one of {sorted(kinds)}, got {sorted(table)}")
    density = parse_parameters(table["density"], DensityRange, place=f"{place} [density]")
    modulus = parse_parameters(table["modulus"], ModulusLaw, place=f"{place} [modulus]")
    yielding: Loaded[Any] = parse_parameters(table[given[0]], kinds[given[0]], place=f"{place} [{given[0]}]")
    uses = (*density.uses, *modulus.uses, *yielding.uses)
    return BoneLaw(name, density.values, modulus.values, yielding.values, uses)


def bone_voxels(density: ArrayLike, law: BoneLaw, floor: float) -> NDArray[np.bool_]:
    """Tell which voxels are bone for this law: density of the law's kind above ``floor`` (mg/mm³).

    The rest is marrow or void; which of the two is the caller's to say. NaN is refused: it is neither.
    """
    rho = _finite(density)
    if floor < law.density.low or floor < 0:
        raise ParameterError(
            f"floor = {floor} mg/mm3 is below {law.density.low}, where {law.name} begins; "
            "raise the floor or change the law"
        )
    return np.asarray(rho > floor)


def modulus(density: ArrayLike, law: BoneLaw) -> NDArray[np.float64]:
    """Young's modulus, MPa, of bone of this density (mg/mm³, of the law's kind).

    Raises
    ------
    ParameterError
        For NaN, and for a density at which the law gives no positive modulus: tell bone from marrow first.
    """
    rho = _positive(density, law)
    m = law.modulus
    return _above_zero(m.offset + m.coefficient * rho**m.exponent, rho, law, "modulus")


def yield_stress(density: ArrayLike, law: BoneLaw) -> NDArray[np.float64]:
    """Uniaxial compressive yield stress, MPa; refuses what :func:`modulus` refuses."""
    if isinstance(law.yielding, YieldStrainLaw):
        return law.yielding.strain * modulus(density, law)
    rho = _positive(density, law)
    y = law.yielding
    return _above_zero(y.offset + y.coefficient * rho**y.exponent, rho, law, "yield stress")


def outside_range(density: ArrayLike, law: BoneLaw) -> float:
    """Return the fraction of densities above the range the law was measured in: extrapolated, to be reported."""
    rho = _finite(density)
    return float(np.mean(rho > law.density.high)) if rho.size else 0.0


def _finite(density: ArrayLike) -> NDArray[np.float64]:
    rho = np.asarray(density, float)
    bad = int(np.count_nonzero(~np.isfinite(rho)))
    if bad:
        raise ParameterError(f"{bad} of {rho.size} densities are NaN or infinite; repair the CT or its calibration")
    return rho


def _positive(density: ArrayLike, law: BoneLaw) -> NDArray[np.float64]:
    rho = _finite(density)
    bad = int(np.count_nonzero(rho <= 0))
    if bad:
        raise ParameterError(
            f"{bad} of {rho.size} densities are <= 0 mg/mm3, where {law.name} holds for no bone; "
            "separate marrow and void with bone_voxels first"
        )
    return rho


def _above_zero(values: NDArray[np.float64], rho: NDArray[np.float64], law: BoneLaw, what: str) -> NDArray[np.float64]:
    if values.size and values.min() <= 0:
        worst = float(rho[np.unravel_index(np.argmin(values), values.shape)] if rho.ndim else rho)
        raise ParameterError(
            f"{law.name} gives a {what} <= 0 at density {worst:.4g} mg/mm3; "
            "separate marrow and void with bone_voxels first"
        )
    return np.asarray(values)
