"""The densities of bone and how they turn into each other: K2HPO4, hydroxyapatite, ash, apparent."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity


class DensityKind(Enum):
    """What a density is the density of, mg/mm³."""

    K2HPO4 = "k2hpo4"
    HA = "ha"
    ASH = "ash"
    APPARENT = "apparent"


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityConversions:
    """Straight lines between the densities of bone."""

    k2hpo4_per_ha_80kv: float = quantity("1", "K2HPO4-equivalent per HA-equivalent density at 80 kVp")
    k2hpo4_per_ha_140kv: float = quantity("1", "K2HPO4-equivalent per HA-equivalent density at 140 kVp")
    ash_per_ha: float = quantity("1", "ash density gained per HA-equivalent density")
    ash_at_zero_ha: float = quantity("mg/mm3", "ash density at zero HA-equivalent density")
    ash_per_apparent: float = quantity("1", "ash density per apparent (wet) density")


def load_conversions() -> Loaded[DensityConversions]:
    """Load ``data/bone/density_conversions.toml``."""
    return load_parameters("bone/density_conversions.toml", DensityConversions)


def convert_density(
    density: ArrayLike,
    source: DensityKind,
    target: DensityKind,
    conversions: DensityConversions,
    *,
    kvp: float | None = None,
) -> NDArray[np.float64]:
    """Turn a density of one kind into another, mg/mm³.

    Parameters
    ----------
    kvp : kV
        Tube voltage, needed wherever K2HPO4 is one of two different kinds: the two salts differ in effective
        atomic number, so their ratio changes with the beam. Refused outside 80-140 kV.

    Notes
    -----
    Every step is a straight line, so going there and back gives the density back.
    """
    rho = np.asarray(density, float)
    if source is target:
        return rho.copy()
    return _from_ha(_to_ha(rho, source, conversions, kvp), target, conversions, kvp)


def k2hpo4_per_ha(kvp: float | None, conversions: DensityConversions) -> float:
    """Return the ratio of K2HPO4- to HA-equivalent density at a tube voltage, by straight line from 80 to 140 kV."""
    if kvp is None or not 80.0 <= kvp <= 140.0:
        raise ParameterError(
            f"kvp = {kvp} is not in 80-140 kV, where K2HPO4 and HA were compared; give the scan's tube voltage"
        )
    share = (kvp - 80.0) / 60.0
    return (1.0 - share) * conversions.k2hpo4_per_ha_80kv + share * conversions.k2hpo4_per_ha_140kv


def _to_ha(
    rho: NDArray[np.float64], kind: DensityKind, c: DensityConversions, kvp: float | None
) -> NDArray[np.float64]:
    if kind is DensityKind.K2HPO4:
        return rho / k2hpo4_per_ha(kvp, c)
    if kind is DensityKind.APPARENT:
        rho = rho * c.ash_per_apparent
    if kind in (DensityKind.ASH, DensityKind.APPARENT):
        rho = (rho - c.ash_at_zero_ha) / c.ash_per_ha
    return rho


def _from_ha(
    rho: NDArray[np.float64], kind: DensityKind, c: DensityConversions, kvp: float | None
) -> NDArray[np.float64]:
    if kind is DensityKind.K2HPO4:
        return rho * k2hpo4_per_ha(kvp, c)
    if kind in (DensityKind.ASH, DensityKind.APPARENT):
        rho = rho * c.ash_per_ha + c.ash_at_zero_ha
    if kind is DensityKind.APPARENT:
        rho = rho / c.ash_per_apparent
    return rho
