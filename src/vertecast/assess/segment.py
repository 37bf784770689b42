"""Three vertebrae and the two discs between them under 1 N of compression: what the neighbours feel of the cement."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vertecast.assess.arms import Arm, Materials, bone_arm
from vertecast.assess.settings import AssessSettings
from vertecast.assess.treated import Field, Mask, Treated, largest_piece
from vertecast.core.errors import GeometryError
from vertecast.imaging.grid import Grid
from vertecast.imaging.resample import aligned_grid, resampled, resampled_mask
from vertecast.imaging.volume import Volume
from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh, corners_of, lame_parameters
from vertecast.kernels.constraints import Constraints, Platen, Sides
from vertecast.kernels.elastic import prepare_elastic, solve
from vertecast.kernels.gauss import GaussPasses
from vertecast.kernels.krylov import Stop
from vertecast.mechanics.pads import DiscSpace, caps, disc_between
from vertecast.mechanics.settings import SupportMaterial
from vertecast.procedure.fractured import DiscZones
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.density import HuCalibration

ABOVE, BELOW = "above", "below"
_NEAR_ZERO = 1e-3  # MPa: softer than marrow, so that no cell is without stiffness


@dataclass(frozen=True, slots=True)
class Felt:
    """What one neighbour feels under 1 N.

    Parameters
    ----------
    pressure : MPa, mean in the nucleus of the disc to the treated level
    strain : 1, mean shortening along the spine of the bone under that disc's endplate, positive in compression
    """

    pressure: float
    strain: float


@dataclass(frozen=True, eq=False)
class Segment:
    """The treated body, its neighbours and the discs on one grid.

    Parameters
    ----------
    target : cells of the treated body
    bodies : the neighbours' bodies, ``above`` and ``below``, where there are any
    discs, nuclei : between them and the target
    young, poisson : (nx, ny, nz) of everything but the target, whose cells an arm fills
    missing : why a neighbour is not there, by side
    """

    grid: Grid
    target: Mask
    bodies: Mapping[str, Mask]
    discs: Mapping[str, Mask]
    nuclei: Mapping[str, Mask]
    young: Field
    poisson: Field
    ends: tuple[Mask, Mask]
    missing: Mapping[str, str]

    @property
    def mesh_mask(self) -> Mask:
        """Cells with material."""
        return np.asarray(np.isfinite(self.young) | self.target)


@dataclass(frozen=True, kw_only=True)
class SegmentMaterials:
    """What the segment needs beside bone."""

    materials: Materials
    discs: DiscZones
    space: DiscSpace
    pad: SupportMaterial
    settings: AssessSettings


def make_segment(
    treated: Treated,
    neighbours: Mapping[str, Anatomy | str],
    images: tuple[Volume, HuCalibration],
    stuff: SegmentMaterials,
) -> Segment:
    """Build the segment along the treated body's axes, as it stands before the procedure.

    Parameters
    ----------
    neighbours : by ``above`` and ``below``; a sentence where one is missing or cut

    Raises
    ------
    GeometryError
        If neither neighbour is there.

    Notes
    -----
    The voxel is the settings' whatever the level's: a disc of a few millimetres has half its pressure on cells of 2 mm.
    """
    there = {side: one for side, one in neighbours.items() if isinstance(one, Anatomy)}
    missing = {side: one for side, one in neighbours.items() if isinstance(one, str)}
    if not there:
        raise GeometryError(f"{treated.level}: no neighbour can be assessed: {'; '.join(missing.values())}")
    spacing = stuff.settings.segment_voxel
    grid = _grid(treated, list(there.values()), spacing, stuff.pad.outside)
    target = resampled_mask(treated.body, treated.grid, grid)
    young, poisson = np.full(grid.shape, np.nan), np.full(grid.shape, 0.3)
    density = np.asarray(images[1].density(resampled(images[0], grid).hu), float)
    bodies, discs, nuclei = {}, {}, {}
    for side, anatomy in there.items():
        body = resampled_mask(anatomy.body, anatomy.grid, grid) & ~target
        gap = disc_between(target, body, spacing, stuff.space, upper=side == ABOVE)
        if gap is None:
            missing[side] = f"no disc space to {anatomy.level}"
            continue
        bone = bone_arm(body, density, stuff.materials)
        young[body], poisson[body] = bone.young[body], bone.poisson[body]
        discs[side], nuclei[side], bodies[side] = gap, _nucleus(gap, stuff.discs.nucleus_radius), body
        young[gap], poisson[gap] = stuff.discs.annulus_modulus, stuff.discs.annulus_poisson
        young[nuclei[side]], poisson[nuclei[side]] = stuff.discs.nucleus_modulus, stuff.discs.nucleus_poisson
    if not bodies:
        raise GeometryError(f"{treated.level}: no neighbour can be assessed: {'; '.join(missing.values())}")
    ends = _closed(grid, target, bodies, (young, poisson), stuff.pad)
    whole = largest_piece(np.isfinite(young) | target)
    young[~whole] = np.nan
    return Segment(
        grid,
        target & whole,
        {side: one & whole for side, one in bodies.items()},
        {side: one & whole for side, one in discs.items()},
        {side: one & whole for side, one in nuclei.items()},
        young,
        poisson,
        ends,
        missing,
    )


def with_arm(
    segment: Segment, arm: Arm, treated: Treated, materials: Materials, *, moved: bool = False
) -> tuple[Field, Field]:
    """Return modulus and Poisson's ratio of the segment with the treated body in the state of an arm.

    Parameters
    ----------
    moved : whether the arm's bone is where a tool has put it

    Notes
    -----
    A coarser cell takes the mean of the moduli inside it (Voigt), so cement is not lost between cells. A tool's lift is
    left out: the arm's material is put back to where its bone was before, so that only the material differs.
    """
    young, poisson = segment.young.copy(), segment.poisson.copy()
    floor = materials.definition.marrow_modulus
    cells = np.argwhere(segment.target)
    count = max(1, round(float(segment.grid.spacing[0]) / treated.voxel_mm))
    steps = (np.arange(count) + 0.5) / count - 0.5
    total, ratio, seen = np.zeros(len(cells)), np.zeros(len(cells)), np.zeros(len(cells))
    for offset in np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3):
        place = treated.grid.to_voxel(segment.grid.to_lps(cells + offset))
        index = treated.moved_on(place) if moved else np.rint(place).astype(int)
        index = np.clip(index, 0, np.array(treated.grid.shape) - 1)
        here = arm.body[tuple(index.T)]
        total += np.where(here, arm.young[tuple(index.T)], 0.0)
        ratio += np.where(here, arm.poisson[tuple(index.T)], 0.0)
        seen += here
    known = seen > 0
    value = np.where(known, total / np.maximum(seen, 1), floor)
    young[segment.target] = np.maximum(value, _NEAR_ZERO)
    poisson[segment.target] = np.where(known, ratio / np.maximum(seen, 1), materials.definition.marrow_poisson)
    return young, poisson


def felt(segment: Segment, fields: tuple[Field, Field], settings: AssessSettings) -> dict[str, Felt]:
    """Press the segment with 1 N over the treated body, the upper end free to tilt, and read both neighbours."""
    mask = segment.mesh_mask
    mesh = BrickMesh.from_mask(mask, segment.grid.spacing)
    lame, mu = lame_parameters(mesh.pack(np.where(mask, fields[0], 1.0)), mesh.pack(fields[1]))
    bottom, top = segment.ends
    fixed = np.zeros((3, *mesh.node_shape), bool)
    fixed[:, bottom] = True
    x, y = (np.argwhere(segment.target)[:, :2] + 0.5).mean(axis=0) * segment.grid.spacing[:2]
    height = float(np.argwhere(top)[:, 2].mean() * segment.grid.spacing[2])
    platen = Platen(nodes=top, axis=2, point=(float(x), float(y), height), sides=Sides.FIXED, force=-1.0)
    system = prepare_elastic(
        mesh, lame, mu, Constraints(fixed, None, (platen,)), integration=Integration.MEAN_DILATATION
    )
    motion = np.asarray(solve(system, stop=Stop(rtol=1e-6)).displacement)
    strain = GaussPasses(mesh, Integration.MEAN_DILATATION).strain(motion).mean(axis=0)
    volume = mesh.unpack(strain[:3].sum(axis=0))
    along = mesh.unpack(strain[2])
    bulk = mesh.unpack(lame + 2.0 * mu / 3.0)
    answer = {}
    for side, body in segment.bodies.items():
        nucleus, layer = segment.nuclei[side], _layer(body, segment.discs[side], settings.endplate_layer, segment.grid)
        answer[side] = Felt(
            float(-(bulk * volume)[nucleus].mean()),
            float(-along[layer].mean()),
        )
    return answer


def _grid(treated: Treated, neighbours: list[Anatomy], spacing: float, room: float) -> Grid:
    frame = treated.site(treated.body).vert_from_lps
    places = [(frame @ treated.grid.lps_from_voxel).apply(np.argwhere(treated.body))]
    places += [(frame @ one.grid.lps_from_voxel).apply(np.argwhere(one.body)) for one in neighbours]
    every = np.concatenate(places)
    margin = np.array([2.0, 2.0, room + 2.0]) * 1.0 + 2.0 * spacing
    return aligned_grid(frame, np.stack([every.min(0) - margin, every.max(0) + margin], axis=1), spacing)


def _nucleus(gap: Mask, radius: float) -> Mask:
    """Return the middle of a disc: the columns within an ellipse of ``radius`` times its half-widths."""
    columns = np.argwhere(gap.any(axis=2))
    middle, half = columns.mean(axis=0), (np.ptp(columns, axis=0) + 1) / 2
    away = (np.indices(gap.shape[:2]) - middle[:, None, None]) / half[:, None, None]
    return np.asarray(gap & ((away**2).sum(axis=0) <= radius**2)[:, :, None])


def _closed(
    grid: Grid, target: Mask, bodies: Mapping[str, Mask], fields: tuple[Field, Field], pad: SupportMaterial
) -> tuple[Mask, Mask]:
    """Close the segment with cement caps at both outer ends; return the nodes of their flat faces, lower and upper."""
    made = []
    for side, upper in ((BELOW, False), (ABOVE, True)):
        end = bodies.get(side, target)
        both = caps(end, float(grid.spacing[0]), pad)
        outside = both.upper if upper else both.lower
        half = _side_of(end, both.mask, upper=upper)
        free = half & ~np.isfinite(fields[0]) & ~target
        fields[0][free], fields[1][free] = pad.modulus, pad.poisson
        made.append(outside & corners_of(free))
    return made[0], made[1]


def _side_of(body: Mask, pads: Mask, *, upper: bool) -> Mask:
    middle = float(np.argwhere(body)[:, 2].mean())
    level = np.arange(body.shape[2])
    return np.asarray(pads & ((level > middle) if upper else (level < middle)))


def _layer(body: Mask, disc: Mask, depth: float, grid: Grid) -> Mask:
    """Return the body's bone within ``depth`` of the disc's bony endplate, below the disc's footprint."""
    distance = ndimage.distance_transform_edt(~disc, sampling=grid.spacing)
    footprint: Mask = np.any(disc, axis=2, keepdims=True)
    return np.asarray(body & footprint & (distance <= depth + 0.5 * float(grid.spacing[0])))
