"""Tissue of a CT as two X-ray materials: how much of a voxel is water-like and how much is cortical bone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.quantities import quantity
from vertecast.physics.xray import Physics


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueLaw:
    """Limits of the split, see ``data/xray/tissue.toml``."""

    air_cut: float = quantity("HU", "below this a voxel is empty")
    soft_limit: float = quantity("HU", "below this a voxel holds no bone")
    ct_energy: float = quantity("keV", "effective energy of the CT")
    padding_limit: float = quantity("HU", "values below are padding, taken as air")
    highest: float = quantity("HU", "values above are metal clipped by the scanner")
    cut_tissue: float = quantity("HU", "denser than this is body when looking for a cut body")
    cut_share: float = quantity("1", "part of a face that may be body")
    couch_gap: float = quantity("mm", "grid on which the couch is found")


def split_hounsfield(
    hu: ArrayLike, law: TissueLaw, physics: Physics
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Split Hounsfield units into mass densities of water and of cortical bone, mg/mm3, in the shape of ``hu``.

    Notes
    -----
    Below ``soft_limit`` a voxel is water of density 1 + HU/1000. Above, it is a mixture by volume of such soft tissue
    and of cortical bone, and beyond cortical bone it is denser bone. At the CT's effective energy the pair attenuates
    exactly as the Hounsfield unit says. Iodine in vessels is taken for bone, since the unit alone cannot tell.
    """
    values = np.clip(np.asarray(hu, np.float32), None, law.highest)
    bone, water = physics.materials["cortical_bone"], physics.materials["water"]
    ratio = float(physics.table.mass_attenuation(bone, law.ct_energy))
    ratio /= float(physics.table.mass_attenuation(water, law.ct_energy))
    soft, cortical = 1.0 + law.soft_limit / 1000.0, bone.density * ratio
    total = 1.0 + values / np.float32(1000.0)
    part = np.clip((total - np.float32(soft)) / np.float32(cortical - soft), 0.0, None)
    bone_density = np.where(part < 1.0, part * np.float32(bone.density), total / np.float32(ratio))
    water_density = np.where(part > 0.0, (1.0 - np.minimum(part, 1.0)) * np.float32(soft), np.maximum(total, 0.0))
    water_density[values < law.air_cut] = 0.0
    return water_density.astype(np.float32), bone_density.astype(np.float32)
