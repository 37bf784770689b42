"""The simulation grid of one level: isotropic, along the vertebra's own axes, the body with all that touches it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.core.frames import Transform
from vertecast.core.levels import Level, neighbour
from vertecast.core.parameters import Loaded, ParameterUse, load_parameters
from vertecast.core.quantities import quantity
from vertecast.imaging.grid import Grid
from vertecast.imaging.resample import aligned_grid, resampled, resampled_mask
from vertecast.imaging.volume import Volume
from vertecast.procedure.regions import (
    Codes,
    ForamenSize,
    Mask,
    Region,
    canal_cells,
    disc_cells,
    foramen_cells,
    own_bone,
)
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.density import HuCalibration
from vertecast.spine.isthmus import posterior_wall_y
from vertecast.spine.measurement import MeasuredVertebra

Field = NDArray[np.float32]
SMALLEST, LARGEST = 0.4, 3.0
LEAST_CELLS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """How far the site reaches, and what stands in for anatomy that the labels do not show."""

    margin: float = quantity("mm", "how far the site reaches beyond the body")
    disc_reach: float = quantity("mm", "disc height where the neighbouring vertebra is not labelled; half the largest")
    shell_blur: float = quantity("mm", "depth below the surface whose HU the cortex has blurred")
    foramen_width: float = quantity("mm", "width of the nerve root's foramen beside the canal")
    foramen_depth: float = quantity("mm", "depth of the foramen behind the posterior wall")
    canal_half_width: float = quantity("mm", "half-width of a canal that the labels do not show")
    canal_depth: float = quantity("mm", "depth of a canal that the labels do not show")
    tube_voltage: float = quantity("kV", "of a CT that does not say it")

    @property
    def foramen(self) -> ForamenSize:
        """The part that regions need."""
        return ForamenSize(
            width=self.foramen_width,
            depth=self.foramen_depth,
            canal_half_width=self.canal_half_width,
            canal_depth=self.canal_depth,
        )


@dataclass(frozen=True, eq=False)
class Site:
    """One level, ready to be injected.

    Parameters
    ----------
    level : its name
    grid : isotropic, array axes along left, posterior and superior of the vertebra, symmetric about its mid-plane
    vert_from_lps : rigid
    regions : (nx, ny, nz), codes of :class:`Region`
    density : (nx, ny, nz), mg/mm³ K2HPO4-equivalent, as the CT shows it; meaningless outside bone
    cleft : (nx, ny, nz), gas or fluid inside the body
    tube_voltage : kV, of the CT
    source_voxel : mm, coarsest voxel edge of the CT
    fractured : whether the level is fractured; None when not known
    calibrated : whether density comes from this scan's own calibration
    """

    level: Level
    grid: Grid
    vert_from_lps: Transform
    regions: Codes
    density: Field
    cleft: Mask
    tube_voltage: float
    source_voxel: float
    fractured: bool | None = None
    calibrated: bool = False
    warnings: tuple[str, ...] = ()
    uses: tuple[ParameterUse, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for array in (self.regions, self.density, self.cleft):
            if array.shape != self.grid.shape:
                raise GeometryError(f"{self.level}: array {array.shape} does not fit the site's grid {self.grid.shape}")
            array.setflags(write=False)
        if not np.allclose(self.grid.spacing, self.grid.spacing[0], rtol=1e-6):
            raise GeometryError(f"{self.level}: the site's voxels {self.grid.spacing.tolist()} mm are not cubes")

    @property
    def voxel_mm(self) -> float:
        """Edge of the cells, mm."""
        return float(self.grid.spacing[0])

    @cached_property
    def body(self) -> Mask:
        """Cells of the body."""
        return np.asarray(self.regions == Region.BODY)

    @cached_property
    def own(self) -> Mask:
        """Cells of the treated vertebra, arch included."""
        return own_bone(self.regions)

    @cached_property
    def lines(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates, mm, of the cell centres along x, y and z of the vertebral frame."""
        first = self.vert_from_lps.apply(self.grid.to_lps([0.0, 0.0, 0.0]))
        x, y, z = (first[a] + self.voxel_mm * np.arange(n) for a, n in enumerate(self.grid.shape))
        return x, y, z

    @cached_property
    def box(self) -> NDArray[np.float64]:
        """(3, 2), mm: lowest and highest coordinate of the body in the vertebral frame, without its outliers."""
        places = np.argwhere(self.body)
        ends = np.percentile(places, [0.5, 99.5], axis=0).T + np.array([-0.5, 0.5])
        return np.stack([line[0] + self.voxel_mm * end for line, end in zip(self.lines, ends, strict=True)])

    @property
    def body_volume(self) -> float:
        """Volume of the body, mm³."""
        return float(self.body.sum()) * self.voxel_mm**3

    def to_cells(self, points_lps: ArrayLike) -> NDArray[np.float64]:
        """Return LPS points (..., 3) as distances, mm, from the first cell's centre along the array axes."""
        return np.asarray(self.grid.to_voxel(points_lps) * self.voxel_mm)


def load_site() -> Loaded[SiteSettings]:
    """Load ``data/procedure/site.toml``."""
    return load_parameters("procedure/site.toml", SiteSettings)


def make_site(
    vertebra: MeasuredVertebra,
    neighbours: Sequence[Anatomy],
    volume: Volume,
    calibration: HuCalibration,
    *,
    voxel_mm: float = 1.0,
) -> Site:
    """Cut the site of one level out of the CT: HU resampled once, masks by signed distance.

    Parameters
    ----------
    vertebra : the measured level; its canal and cleft are used where they were found
    neighbours : the other labelled vertebrae, which bound the discs

    Raises
    ------
    GeometryError
        If the level was not split and oriented, or its body is lost on the grid.
    ParameterError
        For a voxel size that is out of range.
    """
    if not SMALLEST <= voxel_mm <= LARGEST:
        raise ParameterError(f"voxel_mm = {voxel_mm} is outside {SMALLEST}-{LARGEST} mm; 1 mm is usual")
    anatomy = vertebra.anatomy
    if anatomy is None:
        raise GeometryError(f"{vertebra.level} could not be split and oriented: {vertebra.reason}; check its label")
    loaded = load_site()
    grid = _site_grid(anatomy, voxel_mm, loaded.values)
    regions, said = _regions(vertebra, anatomy, neighbours, grid, loaded.values)
    if np.count_nonzero(regions == Region.BODY) < LEAST_CELLS:
        raise GeometryError(
            f"{anatomy.level}: {np.count_nonzero(regions == Region.BODY)} voxels of {voxel_mm} mm lie in the body, "
            f"{LEAST_CELLS} are needed; use a smaller voxel"
        )
    density = np.asarray(calibration.density(resampled(volume, grid).hu), np.float32)
    if not calibration.calibrated:
        said.append(f"{anatomy.level}: uncalibrated: density by {calibration.name}, so porosity and flow too")
    grade = vertebra.genant.grade
    return Site(
        anatomy.level,
        grid,
        anatomy.vert_from_lps,
        regions,
        density,
        _cleft(vertebra, grid) & (regions == Region.BODY),
        volume.scan.kvp or loaded.values.tube_voltage,
        float(volume.grid.spacing.max()),
        fractured=None if grade is None else grade > 0,
        calibrated=calibration.calibrated,
        warnings=tuple(said),
        uses=loaded.uses,
    )


def marrow_density(site: Site, blur: float) -> Field:
    """(nx, ny, nz), mg/mm³: density of the bone without its cortex, which is a skin on the faces instead.

    Cells nearer to the surface than ``blur`` mm hold cortex by partial volume; they take the nearest deeper cell's.
    """
    depth = ndimage.distance_transform_edt(site.own, sampling=site.voxel_mm) - 0.5 * site.voxel_mm
    blurred = site.own & (depth < blur)
    if not (site.own & ~blurred).any():
        return site.density
    nearest = ndimage.distance_transform_edt(~(site.own & ~blurred), return_distances=False, return_indices=True)
    return np.asarray(np.where(blurred, site.density[tuple(nearest)], site.density), np.float32)


def _site_grid(anatomy: Anatomy, voxel_mm: float, settings: SiteSettings) -> Grid:
    places = anatomy.coordinates()[anatomy.body]
    if not len(places):
        raise GeometryError(f"{anatomy.level}: the body has no voxel; check the labels or split body from arch again")
    low, high = places.min(axis=0) - settings.margin, places.max(axis=0) + settings.margin
    widest = max(-low[0], high[0])  # a mirrored case then has the mirrored grid
    low[0], high[0] = -widest, widest
    return aligned_grid(anatomy.vert_from_lps, np.stack([low, high], axis=1), voxel_mm)


def _regions(
    vertebra: MeasuredVertebra, anatomy: Anatomy, neighbours: Sequence[Anatomy], grid: Grid, settings: SiteSettings
) -> tuple[Codes, list[str]]:
    said: list[str] = []
    whole = resampled_mask(anatomy.mask, anatomy.grid, grid)
    body = _largest(resampled_mask(anatomy.body, anatomy.grid, grid) & whole)
    regions = np.full(grid.shape, Region.SOFT, np.uint8)
    bone = whole.copy()
    bodies: dict[bool, Mask] = {}
    labelled = {one.level for one in neighbours}
    next_ones = {neighbour(labelled, anatomy.level, step) for step in (-1, 1)}
    for one in neighbours:
        mask = resampled_mask(one.mask, one.grid, grid) & ~whole
        regions[mask] = Region.NEIGHBOUR
        bone |= mask
        if one.level in next_ones:
            bodies[one.level.rank < anatomy.level.rank] = resampled_mask(one.body, one.grid, grid) & ~whole
    reach = max(1, round(settings.disc_reach / float(grid.spacing[0])))
    for above in (True, False):
        if above not in bodies:
            side = "above" if above else "below"
            said.append(f"{anatomy.level}: no vertebra {side} is labelled; its disc is taken {reach} voxels high")
        found = disc_cells(body, bodies.get(above), reach, above=above) & ~bone
        regions[found] = Region.DISC
    _mark_canal(vertebra, anatomy, grid, (regions, bone), settings, said)
    regions[whole] = Region.ARCH
    regions[body] = Region.BODY
    return regions, said


def _mark_canal(
    vertebra: MeasuredVertebra,
    anatomy: Anatomy,
    grid: Grid,
    arrays: tuple[Codes, Mask],
    settings: SiteSettings,
    said: list[str],
) -> None:
    """Write canal and foramina into the regions."""
    regions, bone = arrays
    wall = posterior_wall_y(anatomy.body_solid)
    index = [
        np.stack([np.arange(n) if a == b else np.zeros(n) for b in range(3)], -1) for a, n in enumerate(grid.shape)
    ]
    x, y = (anatomy.vert_from_lps.apply(grid.to_lps(index[a]))[:, a] for a in (0, 1))
    canal = vertebra.details.canal
    if canal is not None and canal.canal_mask is not None:
        lumen = resampled_mask(canal.canal_mask, anatomy.grid, grid)
    else:
        said.append(f"{anatomy.level}: the canal was not found; a usual one behind the posterior wall stands in for it")
        wide = np.abs(x) <= settings.canal_half_width
        deep = (y > wall) & (y <= wall + settings.canal_depth)
        lumen = np.broadcast_to(wide[:, None, None] & deep[None, :, None], grid.shape)
    cells = canal_cells(lumen, bone) & ~bone
    cells |= _before_canal(cells, y > wall - settings.canal_depth / 2) & ~bone & (regions != Region.DISC)
    foramina = foramen_cells((x, y), cells, wall, settings.foramen) & ~bone & (regions != Region.DISC)
    regions[foramina] = Region.FORAMEN
    regions[cells] = Region.CANAL


def _before_canal(canal: Mask, behind: NDArray[np.bool_]) -> Mask:
    """Mark what lies in front of the canal, up to half a canal's depth before the wall: ligament and epidural fat."""
    reached = np.flip(np.logical_or.accumulate(np.flip(canal, axis=1), axis=1), axis=1)
    return np.asarray(reached & behind[None, :, None])


def _cleft(vertebra: MeasuredVertebra, grid: Grid) -> Mask:
    cleft = vertebra.details.cleft
    if cleft.mask is None or cleft.grid is None:
        return np.zeros(grid.shape, bool)
    return resampled_mask(cleft.mask, cleft.grid, grid)


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))
