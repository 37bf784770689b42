"""A thoracolumbar spine CT made from a specification, with its labels and its exact truth."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, ScanInfo, Volume
from vertecast.spine.phantom.bones import Drawn, draw_solid, draw_vertebra
from vertecast.spine.phantom.labels import VERSE
from vertecast.spine.phantom.placement import Placed, neighbours, stack, world_from_patient
from vertecast.spine.phantom.ribs import rib_parts
from vertecast.spine.phantom.scanner import add_noise, blurred, image_grid, reoriented, reoriented_grid
from vertecast.spine.phantom.spec import PhantomSpec
from vertecast.spine.phantom.tissues import Course, Slab, course_of, disc_share, paint
from vertecast.spine.phantom.truth import SpineTruth, spine_truth

_SLAB_VOXELS = 400_000
_MOTTLE_MM, _LUMP_MM = 1.2, 9.0


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A made spine CT.

    Parameters
    ----------
    labels : VerSe numbers; ``subregions`` of the label map are left out, so that the split of body and arch is measured
    subregions : (nx, ny, nz): TPTBox subregion numbers on the same grid
    spec, placed : what was asked, and the analytic vertebrae where they stand in the patient
    """

    volume: Volume
    labels: LabelMap
    subregions: NDArray[np.int16]
    truth: SpineTruth
    spec: PhantomSpec
    placed: tuple[Placed, ...]

    @property
    def labels_with_subregions(self) -> LabelMap:
        """The same labels with the TPTBox subregions beside them."""
        return replace(self.labels, subregions=self.subregions)


@dataclass(frozen=True, slots=True, eq=False)
class _Bone:
    share: NDArray[np.float32]
    hard: NDArray[np.float32]
    marrow: NDArray[np.float32]
    labels: NDArray[np.int16]
    subregions: NDArray[np.int16]


def make_phantom(spec: PhantomSpec, *, seed: int) -> Phantom:
    """Make the CT, labels and truth of a specification.

    Parameters
    ----------
    seed : of texture, tissue and noise; the anatomy is the specification's alone

    Notes
    -----
    Bones are cut into sub-voxels of about 0.5 mm, so a voxel holds its true share of cortex whatever its size. The
    label of a voxel is
    the vertebra that fills at least half of it. Arrays are made in the order left, posterior, superior and turned at
    the end, so the
    same specification in another axis order is the same picture.
    """
    placed, world = stack(spec), world_from_patient(spec)
    above, below = neighbours(placed)
    chain = tuple(one for one in (above, *placed, below) if one is not None)
    grid = image_grid(spec.scan, placed, world.matrix)
    patient_from_voxel = world.inverse.matrix @ grid.lps_from_voxel.matrix
    rng = np.random.default_rng(seed)
    bone = _draw_bones(spec, chain, patient_from_voxel, grid.shape)
    mottle, lumps = _field(rng, grid, _MOTTLE_MM), _field(rng, grid, _LUMP_MM)
    hu = _draw_tissues(spec, chain, patient_from_voxel, (mottle, lumps))
    _draw_discs(hu, chain, patient_from_voxel, spec)
    total = np.maximum(bone.share, 1.0)
    hu *= 1.0 - bone.share / total
    hu += (bone.hard + bone.marrow * (1.0 + np.float32(spec.texture) * mottle)) / total
    truth = spine_truth(spec, placed, (world.matrix, grid, mottle))
    del mottle, lumps, total
    blurred(hu, spec.scan)
    add_noise(hu, spec.scan, rng)
    np.clip(hu, -1024.0, 3071.0, out=hu)
    return _assembled(spec, placed, (grid, hu, bone), truth)


def _assembled(
    spec: PhantomSpec,
    placed: tuple[Placed, ...],
    picture: tuple[Grid, NDArray[np.float32], _Bone],
    truth: SpineTruth,
) -> Phantom:
    grid, hu, bone = picture
    axes = spec.scan.axes
    turned = reoriented_grid(grid, axes)
    scan = ScanInfo(
        modality="CT",
        kvp=120.0,
        kernel="phantom",
        slice_thickness_mm=spec.scan.slice_thickness_mm or spec.scan.spacing_mm[2],
        contrast=False,
        posture="supine",
    )
    values = {level: VERSE[level] for level in spec.levels}
    labels = LabelMap(reoriented(bone.labels, axes), turned, values, "verse")  # type: ignore[arg-type]
    volume = Volume(reoriented(hu, axes), turned, scan)  # type: ignore[arg-type]
    return Phantom(volume, labels, reoriented(bone.subregions, axes), truth, spec, placed)  # type: ignore[arg-type]


def _draw_bones(
    spec: PhantomSpec, chain: tuple[Placed, ...], patient_from_voxel: NDArray[np.float64], shape: tuple[int, int, int]
) -> _Bone:
    share, hard, marrow = (np.zeros(shape, np.float32) for _ in range(3))
    bone = _Bone(share, hard, marrow, np.zeros(shape, np.int16), np.zeros(shape, np.int16))
    best = np.full(shape, 0.5, np.float32)
    for number, placed in enumerate(chain):
        above = chain[number - 1] if number else None
        filling = (spec.trabecular_hu(placed.shape), spec.tissue)
        drawn = draw_vertebra(placed, above, patient_from_voxel, shape, filling)
        if drawn is not None:
            _add(bone, drawn)
            if placed.shape in spec.shapes:
                _label(bone, best, drawn, VERSE[placed.shape.level])
        for side in Side:
            parts = rib_parts(placed, side)
            rib = draw_solid(parts, patient_from_voxel, shape, spec.tissue) if parts else None
            if rib is not None:
                _add(bone, rib)
    return bone


def _add(bone: _Bone, drawn: Drawn) -> None:
    bone.share[drawn.voxels] += drawn.share
    bone.hard[drawn.voxels] += drawn.hard
    bone.marrow[drawn.voxels] += drawn.marrow


def _label(bone: _Bone, best: NDArray[np.float32], drawn: Drawn, value: int) -> None:
    at = drawn.voxels
    wins = drawn.share >= best[at]
    best[at][wins] = drawn.share[wins]
    bone.labels[at][wins] = value
    bone.subregions[at][wins] = drawn.subregions[wins]


def _field(rng: np.random.Generator, grid: Grid, grain_mm: float) -> NDArray[np.float32]:
    """Return a smooth random field of mean 0 and variance 1; coarse grains are made on a coarse grid."""
    step = max(1.0, grain_mm / 3.0 / float(grid.spacing.max()))
    coarse = [int(np.ceil(n / step)) + 1 for n in grid.shape]
    noise = rng.standard_normal(coarse, np.float32)
    for axis in range(3):
        ndimage.gaussian_filter1d(noise, grain_mm / (grid.spacing[axis] * step), axis, output=noise, mode="wrap")
    noise -= noise.mean()
    noise /= noise.std()
    if step == 1.0:
        return noise[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
    factors = [n / c for n, c in zip(grid.shape, coarse, strict=True)]
    return np.asarray(ndimage.zoom(noise, factors, order=1, mode="nearest", output=np.float32))


def _draw_tissues(
    spec: PhantomSpec,
    chain: tuple[Placed, ...],
    patient_from_voxel: NDArray[np.float64],
    fields: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> NDArray[np.float32]:
    course: Course = course_of(chain)
    shape = fields[0].shape
    edge = float(np.mean(np.linalg.norm(patient_from_voxel[:3, :3], axis=0)))
    hu = np.empty(shape, np.float32)
    planes = max(1, _SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], planes):
        rows = slice(start, min(start + planes, shape[0]))
        x, y, z = _coordinates(patient_from_voxel, (rows, slice(0, shape[1]), slice(0, shape[2])))
        slab = Slab(x, y, z, edge, fields[0][rows], fields[1][rows])
        hu[rows] = paint(slab, course, spec.tissue)
    return hu


def _draw_discs(
    hu: NDArray[np.float32], chain: tuple[Placed, ...], patient_from_voxel: NDArray[np.float64], spec: PhantomSpec
) -> None:
    voxel_from_patient = np.linalg.inv(patient_from_voxel)
    edge = float(np.mean(np.linalg.norm(patient_from_voxel[:3, :3], axis=0)))
    for upper, lower in itertools.pairwise(chain):
        middle = 0.5 * (upper.centre + lower.centre)
        centre = voxel_from_patient[:3, :3] @ middle + voxel_from_patient[:3, 3]
        reach = 0.5 * upper.shape.width_inferior_mm + 12.0
        radius = reach * np.linalg.norm(voxel_from_patient[:3, :3], axis=1)
        low = np.clip(np.floor(centre - radius), 0, hu.shape).astype(int)
        high = np.clip(np.ceil(centre + radius), 0, hu.shape).astype(int)
        if (low >= high).any():
            continue
        box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
        share, radius_in_disc = disc_share(upper, lower, _coordinates(patient_from_voxel, box), edge)
        rim = np.clip((radius_in_disc - 0.55) / 0.3, 0.0, 1.0)
        value = spec.tissue.nucleus + rim * (spec.tissue.annulus - spec.tissue.nucleus)
        hu[box] += share * (value - hu[box])


def _coordinates(
    patient_from_voxel: NDArray[np.float64], box: tuple[slice, slice, slice]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    m = patient_from_voxel
    i, j, k = (np.arange(s.start, s.stop, dtype=np.float64) for s in box)
    x, y, z = (
        ((m[r, 0] * i + m[r, 3])[:, None, None] + (m[r, 1] * j)[:, None] + m[r, 2] * k).astype(np.float32)
        for r in range(3)
    )
    return x, y, z
