"""The arms that are compared, each a body whose every cell is a material: before the fracture, fractured, cemented."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vertecast.assess.treated import Field, Mask, Treated, largest_piece
from vertecast.imaging.volume import Volume
from vertecast.mechanics.settings import StrengthDefinition
from vertecast.physics.augmented import AugmentedLaw, augmented_modulus, augmented_yield
from vertecast.physics.bone import BoneLaw, bone_voxels, modulus, yield_stress
from vertecast.physics.bone_yield import PostYield
from vertecast.procedure.fractured import FracturedSettings, mapped_density
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.density import HuCalibration


@dataclass(frozen=True, eq=False)
class Arm:
    """One body, ready to be loaded.

    Parameters
    ----------
    body : (nx, ny, nz)
    young, poisson, strength : (nx, ny, nz), MPa, 1, MPa; ``inf`` stays elastic; meaningless outside the body
    said : what the reader must know of this arm
    """

    body: Mask
    young: Field
    poisson: Field
    strength: Field
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class Materials:
    """Laws that turn density and cement into mechanics."""

    bone: BoneLaw
    definition: StrengthDefinition
    crush: PostYield
    fractured: FracturedSettings
    cement: AugmentedLaw


def intact_density(
    treated: Treated, body: Mask, neighbours: Sequence[Anatomy], images: tuple[Volume, HuCalibration]
) -> Field | None:
    """Return the density that the body had before it broke, from its intact neighbours; None without one."""
    if not neighbours:
        return None
    return mapped_density(treated.site(body), neighbours, *images)


def bone_arm(body: Mask, density: Field, materials: Materials) -> Arm:
    """Return a body of bone and marrow, by density alone."""
    definition = materials.definition
    young = np.full(body.shape, definition.marrow_modulus)
    poisson = np.full(body.shape, definition.marrow_poisson)
    strength = np.full(body.shape, np.inf)
    bone = np.zeros(body.shape, bool)
    bone[body] = bone_voxels(density[body], materials.bone, definition.floor_density)
    young[bone] = modulus(density[bone], materials.bone)
    poisson[bone] = materials.bone.modulus.poisson
    strength[bone] = yield_stress(density[bone], materials.bone)
    return Arm(body, young, poisson, strength)


def unbroken_body(treated: Treated) -> Mask:
    """Return the body with the height it lost put back on top, column by column from front to back."""
    if treated.lost is None or not treated.fractured:
        return treated.body
    added = np.rint(_loss(treated, treated.body) / treated.voxel_mm).astype(int)
    body = treated.body
    top = body.shape[2] - np.argmax(body[:, :, ::-1], axis=2)
    level = np.arange(body.shape[2])
    above = (level >= top[:, :, None]) & (level < (top + added[None, :])[:, :, None])
    return largest_piece(np.asarray(body | (above & np.any(body, axis=2, keepdims=True))))


def fractured_arm(treated: Treated, density: Field, materials: Materials) -> Arm:
    """Return the body as it is now: bone of the density before the break, with a crushed band that has lost its frame.

    Notes
    -----
    The loss of stiffness and strength with crush is that of ``post_yield_crush``, calibrated on Wegrzyn 2011 in the
    undeformed shape. A layer that was L/e thick, and has L(1 - e)/e left, keeps its compliance per area; so its modulus
    is multiplied by what is left at the strain e, and by its thickness on this grid over L/e.
    """
    arm = bone_arm(treated.body, density, materials)
    if not treated.fractured or treated.lost is None:
        return arm
    band, here = crushed_slab(treated, materials.fractured)
    band &= np.isfinite(arm.strength)
    if not band.any():
        return replace(arm, said="less height is lost than a CT can tell: no crushed band")
    soft, weak = crush_factors(materials.crush, materials.fractured.crush_strain)
    before = np.maximum(_loss(treated, treated.body), materials.fractured.least_loss) / materials.fractured.crush_strain
    factor = np.minimum(soft * here / before, 1.0)[None, :, None]
    floor = materials.definition.marrow_modulus
    young = np.where(band, np.maximum(arm.young * factor, floor), arm.young)
    strength = np.where(band, arm.strength * weak, arm.strength)
    return replace(arm, young=young, strength=strength)


def crushed_slab(treated: Treated, settings: FracturedSettings) -> tuple[Mask, NDArray[np.float64]]:
    """Return the crushed band, and how thick it is on this grid, (ny,) mm.

    Notes
    -----
    It lies under the superior endplate, whose columns are smoothed to a curved surface, and is two cells thick at
    least: a band that followed every dent, or a single layer of cells, would be bridged where it steps.
    """
    h, body = treated.voxel_mm, treated.body
    loss, strain = _loss(treated, body), settings.crush_strain
    columns: Mask = np.any(body, axis=2)
    top = (body.shape[2] - np.argmax(body[:, :, ::-1], axis=2)).astype(float)
    tall = body.sum(axis=2)[columns].max() * h
    thick = np.minimum(loss * (1.0 - strain) / strain, settings.largest_share * tall)
    count = np.maximum(np.rint(thick / h), 2.0)
    roof = _smoothed(top, columns) - settings.endplate_depth / h
    centre = np.arange(body.shape[2]) + 0.5
    inside = (centre < roof[:, :, None]) & (centre >= (roof - count[None, :])[:, :, None])
    return np.asarray(body & inside & (loss >= settings.least_loss)[None, :, None]), count * h


def _smoothed(top: Field, columns: Mask) -> Field:
    """Return the least-squares surface of second degree through the columns' tops, everywhere."""
    x, y = (2.0 * axis / n - 1.0 for axis, n in zip(np.indices(top.shape), top.shape, strict=True))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    found, *_ = np.linalg.lstsq(terms[columns], top[columns], rcond=None)
    return np.asarray(terms @ found)


def crush_factors(post: PostYield, strain: float) -> tuple[float, float]:
    """Return what is left of stiffness and of strength in a band crushed by ``strain``, each 0-1."""
    past = max(strain - post.onset, 0.0)
    soft = 1.0 - post.stiffness_loss * (1.0 - np.exp(-past / post.stiffness_scale))
    weak = 1.0 - post.strength_loss * (1.0 - np.exp(-past / post.strength_scale))
    return float(soft), float(weak)


def cemented_arm(treated: Treated, bone: Arm, materials: Materials, law: AugmentedLaw | None = None) -> Arm:
    """Return the body after the procedure: the bone of an arm carried along, emptied by the tool, filled with cement.

    Parameters
    ----------
    bone : the state before the procedure
    law : the materials' own when None
    """
    cement = law or materials.cement
    body, floor = treated.body_after, materials.definition.marrow_modulus
    young, poisson, strength = (treated.carried(one) for one in (bone.young, bone.poisson, bone.strength))
    ratio = _denser(treated)
    young = np.maximum(young * ratio**materials.bone.modulus.exponent * (1.0 - treated.cavity), floor)
    strength = strength * ratio**materials.bone.modulus.exponent * np.maximum(1.0 - treated.cavity, 1e-3)
    filled = body & (treated.cement > 0)
    fraction, share = treated.cement[filled], treated.saturation[filled]
    fraction = np.minimum(fraction, share)
    finite = np.where(np.isfinite(strength[filled]), strength[filled], 0.0)
    made = augmented_yield(fraction, share, finite, cement)
    young[filled] = augmented_modulus(fraction, share, young[filled], treated.voxel_mm, cement)
    strength[filled] = np.where(made > 0, made, np.inf)
    poisson[filled] = np.where(share > 1 - 1e-6, cement.cement_poisson, poisson[filled])
    return Arm(body, young, poisson, strength)


def _denser(treated: Treated) -> Field:
    """Return how much denser than before the bone of each cell is after the tool; 1 where nothing moved."""
    if treated.came_from is None:
        return np.ones(treated.grid.shape)
    before = np.maximum(treated.carried(treated.density), 1e-3)
    return np.asarray(np.clip(treated.density_after / before, 0.1, 10.0))


def _loss(treated: Treated, body: Mask) -> NDArray[np.float64]:
    """(ny,), mm: height lost by each column, by its share of the way from front to back."""
    assert treated.lost is not None
    columns = np.flatnonzero(body.any(axis=(0, 2)))
    share = np.clip((np.arange(body.shape[1]) - columns[0]) / max(np.ptp(columns), 1), 0.0, 1.0)
    return np.asarray(np.interp(share, [0.0, 0.5, 1.0], np.maximum(treated.lost, 0.0)))
