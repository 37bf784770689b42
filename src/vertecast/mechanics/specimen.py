"""From CT to test specimen: the body on a grid along its own axes, each voxel a material, caps or discs at its ends."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.parameters import ParameterUse
from vertecast.imaging.grid import Grid
from vertecast.imaging.resample import aligned_grid, resampled, resampled_mask
from vertecast.imaging.volume import Volume
from vertecast.mechanics.pads import Neighbours, Pads, caps, discs, load_disc_space
from vertecast.mechanics.settings import StrengthDefinition, StrengthOptions, Support, SupportMaterial
from vertecast.physics.bone import BoneLaw, bone_voxels, modulus, outside_range, yield_stress
from vertecast.physics.bone_density import DensityKind, convert_density, load_conversions
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.density import HuCalibration

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Specimen:
    """A body with its pads, ready to be loaded along the third array axis (superior).

    Parameters
    ----------
    grid : isotropic, along left, posterior, superior of the vertebra
    body : (nx, ny, nz) bool
    pads : beside the body; together they are the mesh
    young, poisson, strength : (nx, ny, nz), MPa, 1, MPa; strength ``inf`` stays elastic; meaningless outside the mesh
    density : (nx, ny, nz), mg/mm³ of the law's kind, NaN outside the body
    height : mm, of the body between its endplates, mean over the inner columns
    centre : (2,), mm, left and posterior coordinate of the body's centroid from the corner of the grid
    depth : mm, of the body from front to back
    """

    grid: Grid
    body: Mask
    pads: Pads
    young: Field
    poisson: Field
    strength: Field
    density: Field
    height: float
    centre: tuple[float, float]
    depth: float
    warnings: tuple[str, ...]
    uses: tuple[ParameterUse, ...]

    @property
    def mesh_mask(self) -> Mask:
        """Body and pads."""
        return np.asarray(self.body | self.pads.mask)


def make_specimen(
    anatomy: Anatomy,
    volume: Volume,
    calibration: HuCalibration,
    law: BoneLaw,
    settings: tuple[StrengthOptions, StrengthDefinition, SupportMaterial],
    *,
    neighbours: Neighbours | None = None,
) -> Specimen:
    """Cut the body out of the CT, resample HU once, and give every voxel its material.

    Parameters
    ----------
    neighbours : whose endplates bound the discs; without them, and without discs, the platens are planes

    Raises
    ------
    GeometryError
        If the body is empty or lost on the grid.
    ParameterError
        For NaN densities, or where the law's density cannot be had from the CT's.
    """
    options, definition, pad = settings
    if not anatomy.body.any():
        raise GeometryError(f"{anatomy.level}: the body has no voxel; check the labels or split body from arch again")
    own_discs = options.support is Support.DISC and neighbours is not None
    space = load_disc_space()
    grid = _specimen_grid(anatomy, options.voxel_mm, max(pad.outside, space.values.highest if own_discs else 0.0))
    body, loose = _largest_piece(resampled_mask(anatomy.body, anatomy.grid, grid))
    if np.count_nonzero(body) < 100:
        raise GeometryError(
            f"{anatomy.level}: only {np.count_nonzero(body)} voxels of {options.voxel_mm} mm lie in the body; "
            "use a smaller voxel"
        )
    density, uses = _law_density(calibration.density(resampled(volume, grid).hu[body]), law, volume)
    bone = bone_voxels(density, law, definition.floor_density)
    if options.support is Support.DISC:
        facing = neighbours.on(grid) if neighbours is not None else (None, None)
        pads, uses = discs(body, options.voxel_mm, pad, facing, space.values), uses + space.uses
    else:
        pads = caps(body, options.voxel_mm, pad)
    young, poisson, strength = _materials(body, (density, bone), law, definition, pad)
    field = np.full(grid.shape, np.nan)
    field[body] = density
    centre = (np.argwhere(body)[:, :2] + 0.5).mean(axis=0) * grid.spacing[:2]
    return Specimen(
        grid,
        body,
        pads,
        young,
        poisson,
        strength,
        field,
        body_height(body, grid.spacing, definition.inner_share),
        (float(centre[0]), float(centre[1])),
        float(np.ptp(np.flatnonzero(body.any(axis=(0, 2)))) + 1) * float(grid.spacing[1]),
        (
            *_warnings(anatomy, calibration, bone, outside_range(density, law), loose),
            *(f"{anatomy.level}: {said}" for said in pads.warnings),
            *volume.warnings,
        ),
        uses,
    )


def _materials(
    body: Mask, seen: tuple[Field, Mask], law: BoneLaw, definition: StrengthDefinition, pad: SupportMaterial
) -> tuple[Field, Field, Field]:
    """Return Young's modulus, Poisson's ratio and yield stress of every voxel: the pads' outside the body."""
    density, bone = seen
    values = np.full((3, density.size), definition.marrow_modulus)
    values[1], values[2] = definition.marrow_poisson, np.inf
    values[0, bone], values[1, bone] = modulus(density[bone], law), law.modulus.poisson
    values[2, bone] = yield_stress(density[bone], law)
    young, poisson = np.full(body.shape, pad.modulus), np.full(body.shape, pad.poisson)
    strength = np.full(body.shape, pad.yield_stress)
    young[body], poisson[body], strength[body] = values
    return young, poisson, strength


def _specimen_grid(anatomy: Anatomy, spacing: float, reach: float) -> Grid:
    places = anatomy.coordinates()[anatomy.body]
    margin = np.array([2.0 * spacing, 2.0 * spacing, reach + 2.0 * spacing])
    margin += float(anatomy.grid.spacing.max())
    return aligned_grid(
        anatomy.vert_from_lps, np.stack([places.min(0) - margin, places.max(0) + margin], axis=1), spacing
    )


def _law_density(density: Field, law: BoneLaw, volume: Volume) -> tuple[Field, tuple[ParameterUse, ...]]:
    if law.kind is DensityKind.K2HPO4:
        return density, law.uses
    conversions = load_conversions()
    turned = convert_density(density, DensityKind.K2HPO4, law.kind, conversions.values, kvp=volume.scan.kvp)
    return turned, law.uses + conversions.uses


def _largest_piece(mask: Mask) -> tuple[Mask, int]:
    """Return the largest face-connected piece, and how many voxels the others had."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask, 0
    sizes = np.bincount(labels.ravel())[1:]
    kept = labels == 1 + int(np.argmax(sizes))
    return np.asarray(kept), int(sizes.sum() - sizes.max())


def body_height(body: Mask, spacing: NDArray[np.float64], inner: float) -> float:
    """Mean distance between the endplates, mm, over the columns inside the rims."""
    column: Mask = np.any(body, axis=2)
    places = np.argwhere(column)
    middle, half = places.mean(axis=0), (np.ptp(places, axis=0) + 1) / 2
    away = (np.indices(column.shape) - middle[:, None, None]) / (half[:, None, None] * inner)
    near = np.logical_and(np.sum(away**2, axis=0) <= 1, column)
    top = body.shape[2] - np.argmax(body[:, :, ::-1], axis=2)
    return float(np.mean((top - np.argmax(body, axis=2))[near]) * spacing[2])


def _warnings(anatomy: Anatomy, calibration: HuCalibration, bone: Mask, dense: float, loose: int) -> tuple[str, ...]:
    said = []
    if not calibration.calibrated:
        said.append(f"{anatomy.level}: uncalibrated: density by {calibration.name}, so stiffness and strength too")
    if loose:
        said.append(f"{anatomy.level}: {loose} voxels not connected to the body were left out")
    marrow = 1.0 - float(bone.mean())
    if marrow > 0.02:
        said.append(f"{anatomy.level}: {100 * marrow:.0f} % of the body's voxels are below the bone floor: marrow")
    if dense >= 0.001:
        said.append(f"{anatomy.level}: {100 * dense:.1f} % of the body's voxels exceed the density law's range")
    return tuple(said)
