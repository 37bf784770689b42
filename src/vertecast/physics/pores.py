"""Pores of bone: density to porosity to permeability along each axis, the thin shell as a resistance of faces.

Permeabilities are in mm² (1 m² = 1e6 mm²). The axes are those of the vertebral frame: x = left-right, y = antero-
posterior, z = supero-inferior.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Loaded, ParameterUse, load_parameters, parse_parameters, read_toml
from vertecast.core.quantities import quantity
from vertecast.physics.bone_density import DensityKind

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoreLaw:
    """Porosity by density, permeability by porosity (Kozeny), and the shell."""

    tissue_apparent: float = quantity("mg/mm3", "wet density of bone without pores")
    tissue_ash: float = quantity("mg/mm3", "ash density of bone without pores")
    lowest_porosity: float = quantity("1", "porosity of the densest bone")
    highest_porosity: float = quantity("1", "porosity of the weakest bone that is still bone")
    displaced_share: float = quantity("1", "share of the pores that cement takes; the rest keeps its marrow")
    reference_permeability: float = quantity("mm2", "permeability along SI at the reference porosity")
    reference_porosity: float = quantity("1", "porosity at which the permeability was given")
    highest_permeability: float = quantity("mm2", "cap of the permeability of bone")
    ap_over_si: float = quantity("1", "permeability along AP over that along SI")
    lr_over_si: float = quantity("1", "permeability along LR over that along SI")
    shell_permeability: float = quantity("mm2", "permeability of cortical shell and endplate")
    shell_thickness: float = quantity("mm", "thickness of the shell where it was not measured")
    open_below: float = quantity("mm", "a shell thinner than this is open")
    cavity_ratio: float = quantity("1", "cap of cavity and cleft permeability over the reference of bone")

    def __post_init__(self) -> None:
        if not 0 < self.lowest_porosity < self.reference_porosity <= self.highest_porosity < 1:
            raise ParameterError(
                f"porosities {self.lowest_porosity}, {self.reference_porosity}, {self.highest_porosity} must rise "
                "between 0 and 1; correct lowest, reference and highest"
            )
        if not 0 < self.displaced_share <= 1:
            raise ParameterError(f"displaced_share = {self.displaced_share} is outside 0-1; correct it")
        if not 0 < self.shell_permeability < self.reference_permeability <= self.highest_permeability:
            raise ParameterError(
                f"permeabilities of shell, bone and cap ({self.shell_permeability}, {self.reference_permeability}, "
                f"{self.highest_permeability} mm2) must rise from above 0; correct them"
            )
        rest = (self.tissue_apparent, self.tissue_ash, self.ap_over_si, self.lr_over_si, self.cavity_ratio)
        if min(*rest, self.shell_thickness) <= 0 or self.open_below < 0:
            raise ParameterError(f"densities, ratios and thicknesses of a pore law must be above 0, got {rest}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideMedium:
    """A medium outside the body that escaped cement can enter."""

    permeability: float = quantity("mm2", "effective permeability")
    porosity: float = quantity("1", "share of the volume that cement can take")


@dataclass(frozen=True, slots=True)
class OutsideMedia:
    """What lies around the body, with where each number comes from."""

    disc: OutsideMedium
    soft: OutsideMedium
    canal: OutsideMedium
    uses: tuple[ParameterUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marrow:
    """The fluid that cement pushes away."""

    viscosity: float = quantity("MPa.s", "viscosity of fatty marrow, taken as Newtonian")


def load_pores() -> Loaded[PoreLaw]:
    """Load ``data/pores/bone.toml``."""
    return load_parameters("pores/bone.toml", PoreLaw)


def load_outside() -> OutsideMedia:
    """Load ``data/pores/outside.toml``."""
    table, place = read_toml("pores/outside.toml"), "data/pores/outside.toml"
    names = ("disc", "soft", "canal")
    if set(table) != set(names):
        raise ParameterError(f"{place}: needs {', '.join(names)}, got {', '.join(sorted(table))}")
    parsed = [parse_parameters(table[name], OutsideMedium, place=f"{place} [{name}]") for name in names]
    uses = tuple(
        ParameterUse(f"{name}.{use.name}", use.value, use.unit, use.source, use.status)
        for name, one in zip(names, parsed, strict=True)
        for use in one.uses
    )
    disc, soft, canal = (one.values for one in parsed)
    return OutsideMedia(disc, soft, canal, uses)


def load_marrow() -> Loaded[Marrow]:
    """Load ``data/pores/marrow.toml``."""
    return load_parameters("pores/marrow.toml", Marrow)


def porosity(density: ArrayLike, kind: DensityKind, law: PoreLaw) -> Array:
    """Share of marrow in bone of this density, mg/mm³, bounded to the law's range.

    Densities below zero (fat) count as the highest porosity. Ash and apparent density only: the others are converted
    first (:func:`vertecast.physics.bone_density.convert_density`), as they need the tube voltage.
    """
    tissue = {DensityKind.APPARENT: law.tissue_apparent, DensityKind.ASH: law.tissue_ash}
    if kind not in tissue:
        raise ParameterError(f"density of kind {kind.value} gives no porosity; convert it to ash or apparent first")
    rho = _numbers(density, "density", least=None)
    return np.clip(1.0 - rho / tissue[kind], law.lowest_porosity, law.highest_porosity)


def accessible_porosity(pore_share: ArrayLike, law: PoreLaw) -> Array:
    """Share of the volume that cement can take: the pores less the marrow that stays trapped in them."""
    return law.displaced_share * _porosities(pore_share)


def permeability(pore_share: ArrayLike, law: PoreLaw) -> Array:
    """Permeability along SI, mm², of bone of this porosity.

    Notes
    -----
    Kozeny: k = C φ³ / (S² (1 − φ)²), with one specific surface S of the trabeculae; C/S² is fixed by the reference
    point. Capped at ``highest_permeability``, where few trabeculae are left and Kozeny's law runs off to infinity.
    """
    phi = _porosities(pore_share)
    reference = _kozeny(np.asarray(law.reference_porosity))
    with np.errstate(divide="ignore"):
        k = law.reference_permeability * _kozeny(phi) / reference
    return np.minimum(k, law.highest_permeability)


def directional(k_si: ArrayLike, law: PoreLaw) -> Array:
    """Permeability along x (LR), y (AP) and z (SI): (3, ...) from the one along SI."""
    k = _numbers(k_si, "permeability")
    return np.stack([law.lr_over_si * k, law.ap_over_si * k, k])


def cavity_permeability(law: PoreLaw) -> float:
    """Permeability, mm², of an empty cavity: the cap, beyond which its pressure is uniform anyway."""
    return law.cavity_ratio * law.reference_permeability


def cleft_permeability(width: ArrayLike, law: PoreLaw) -> Array:
    """Permeability, mm², along a fracture cleft of this width, mm: parallel plates, w²/12, capped as a cavity."""
    w = _numbers(width, "cleft width")
    return np.minimum(w * w / 12.0, cavity_permeability(law))


def shell_resistance(thickness: ArrayLike, law: PoreLaw) -> Array:
    """Resistance of the shell on a face, 1/mm: thickness, mm, over permeability; zero where it is thinner than open."""
    t = _numbers(thickness, "shell thickness")
    return np.where(t < law.open_below, 0.0, t / law.shell_permeability)


def _kozeny(phi: Array) -> Array:
    return np.asarray(phi**3 / (1.0 - phi) ** 2)


def _porosities(values: ArrayLike) -> Array:
    phi = np.asarray(values, float)
    if not np.all((phi >= 0) & (phi <= 1)):
        raise ParameterError(f"{np.count_nonzero(~((phi >= 0) & (phi <= 1)))} porosities are outside 0-1; correct them")
    return phi


def _numbers(values: ArrayLike, what: str, least: float | None = 0.0) -> Array:
    numbers = np.asarray(values, float)
    bad = ~np.isfinite(numbers) if least is None else ~(np.isfinite(numbers) & (numbers >= least))
    if np.any(bad):
        rule = "finite" if least is None else f"finite and at least {least:g}"
        raise ParameterError(f"{what} must be {rule}; {np.count_nonzero(bad)} of {numbers.size} values are not")
    return numbers
