"""Stiffness and strength of bone that cement has filled, ready for :mod:`vertecast.mechanics`.

Inside the cloud the composite behaves as porous cement, with trabeculae and trapped marrow counted as its pores: cement
shrinks away from bone, so bone "switched off" described biopsies best (Kinzl 2011). Not a rule of mixtures. At the edge
of the cloud, partly filled cells are cement and native bone in series through an interface layer of weak contact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity

Array = NDArray[np.float64]
_NOTHING = 1e-200
"""MPa: stands for zero in a series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentedLaw:
    """Porous cement with an interface layer."""

    cement_modulus: float = quantity("MPa", "Young's modulus of solid cement")
    cement_yield: float = quantity("MPa", "compressive yield stress of solid cement")
    cement_poisson: float = quantity("1", "Poisson's ratio of cement")
    modulus_exponent: float = quantity("1", "exponent of the cement's volume fraction in the modulus")
    yield_exponent: float = quantity("1", "exponent of the cement's volume fraction in the yield stress")
    interface_thickness: float = quantity("mm", "thickness of the layer between cement and native bone")
    interface_contact: float = quantity("1", "modulus of that layer over what it would be when bonded")

    def __post_init__(self) -> None:
        if not (self.cement_modulus > 0 and self.cement_yield > 0 and 0 <= self.cement_poisson < 0.5):
            raise ParameterError(f"modulus, yield and Poisson's ratio of cement are absurd: {self}")
        if not (min(self.modulus_exponent, self.yield_exponent) >= 1 and self.interface_thickness >= 0):
            raise ParameterError("exponents of porous cement start at 1 (layers in parallel), thicknesses at 0")
        if not 0 < self.interface_contact <= 1:
            raise ParameterError(f"interface_contact = {self.interface_contact} is outside 0-1")


def load_augmented() -> Loaded[AugmentedLaw]:
    """Load ``data/cement/augmented.toml``."""
    return load_parameters("cement/augmented.toml", AugmentedLaw)


def augmented_modulus(
    cement_fraction: ArrayLike, saturation: ArrayLike, bone_modulus: ArrayLike, spacing: float, law: AugmentedLaw
) -> Array:
    """Young's modulus, MPa, of cells that cement has filled wholly or in part.

    Parameters
    ----------
    cement_fraction : volume of cement per volume of cell
    saturation : filled share of the pores that cement can take; 1 inside the cloud, 0-1 at its edge
    bone_modulus : MPa, of the cell before; zero in a cavity
    spacing : mm
        Edge of the cell. The interface layer's compliance per area does not depend on it.

    Notes
    -----
    Never below the bone that was there: its trabeculae are still in the cell.
    """
    full, share, bone = _filled(cement_fraction, saturation, bone_modulus)
    solid = law.cement_modulus * full**law.modulus_exponent
    layer = min(law.interface_thickness / spacing, 1.0) * (1 / law.interface_contact - 1)
    edge = (share > 0) & (share < 1)
    series = 1 / (share / np.maximum(solid, _NOTHING) + (1 - share) / np.maximum(bone, _NOTHING))
    inside = np.where(share >= 1, solid, np.where(edge, series / (1 + layer), bone))
    return np.asarray(np.maximum(inside, bone))


def augmented_yield(
    cement_fraction: ArrayLike, saturation: ArrayLike, bone_yield: ArrayLike, law: AugmentedLaw
) -> Array:
    """Compressive yield stress, MPa: porous cement inside the cloud; at its edge the weaker of the two in series."""
    full, share, bone = _filled(cement_fraction, saturation, bone_yield)
    solid = law.cement_yield * full**law.yield_exponent
    return np.asarray(np.where(share >= 1, np.maximum(solid, bone), bone))


def _filled(fraction: ArrayLike, saturation: ArrayLike, bone: ArrayLike) -> tuple[Array, Array, Array]:
    """Return the cement fraction that the filled part of a cell has, the saturation and the bone's value."""
    f, s, b = np.broadcast_arrays(*(np.asarray(v, float) for v in (fraction, saturation, bone)))
    if not (np.all((f >= 0) & (f <= 1)) and np.all((s >= 0) & (s <= 1 + 1e-9))):
        raise ParameterError("cement fraction and saturation must lie within 0-1")
    if not (np.all(np.isfinite(b)) and np.all(b >= 0)):
        raise ParameterError("modulus and yield stress of the bone must be finite and not negative")
    if np.any(f > s * (1 + 1e-9)):
        raise ParameterError("the cement fraction exceeds the saturation: it is saturation times accessible porosity")
    share = np.where(s > 1 - 1e-6, 1.0, s)
    return np.divide(f, share, out=np.zeros_like(f), where=share > 0), share, b
