"""The fractured level as a balloon meets it: crushed band, discs of two zones, ligaments, the patient's load."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.parameters import Loaded, ParameterUse, load_parameters
from vertecast.core.quantities import quantity
from vertecast.imaging.grid import Grid
from vertecast.imaging.resample import resampled, resampled_mask
from vertecast.imaging.volume import Volume
from vertecast.kernels.bricks import corners_of
from vertecast.procedure.regions import Mask, Region
from vertecast.procedure.site import Site, load_site
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.density import HuCalibration

Field = NDArray[np.float64]
Lost = tuple[float, float, float]
"""mm of height lost in front, in the middle and behind."""


class Tissue(IntEnum):
    """What a cell of the mechanical model is; the material points carry the number."""

    VOID = 0
    BONE = 1
    BAND = 2
    ANNULUS = 3
    NUCLEUS = 4
    LIGAMENT = 5
    EPIDURAL = 6
    SLACK = 7
    """Ligament along columns that have lost height: too long now to be taut."""


class DiscGrade(Enum):
    """Which disc lies beside the level."""

    HEALTHY = "healthy"
    DEGENERATED = "degenerated"


@dataclass(frozen=True, slots=True, kw_only=True)
class FracturedSettings:
    """What the CT does not say of a fractured level; ``data/procedure/fractured.toml``."""

    crush_strain: float = quantity("1", "strain by which the band was crushed")
    least_loss: float = quantity("mm", "least loss of height of a column that counts as crushed")
    largest_share: float = quantity("1", "largest part of a column's present height that is band")
    endplate_depth: float = quantity("mm", "bone that stays with the endplate beside the band")
    tension_share: float = quantity("1", "strength of whole bone in tension over that in compression")
    tearing_strain: float = quantity("1", "plastic or opening strain over which it is lost")
    cutoff_share: float = quantity("1", "tension that broken bone still bears, over its first yield stress")
    jam: float = quantity("1", "share of a gap's opening that does not close again")
    ligament_thickness: float = quantity("mm", "tissue kept around body and discs")
    ligament_modulus: float = quantity("MPa", "Young's modulus of that tissue")
    ligament_poisson: float = quantity("1", "Poisson's ratio of that tissue")
    slack_tension: float = quantity("MPa", "tension that it bears where it is slack, and that epidural fat bears")
    marrow_modulus: float = quantity("MPa", "Young's modulus of bone below the floor density")
    floor_density: float = quantity("mg/mm3", "K2HPO4-equivalent density below which bone is marrow")
    prone_load: float = quantity("N", "on the level of a patient who lies prone")
    standing_load: float = quantity("N", "on the level of a patient who stands")
    least_height: float = quantity("mm", "lowest body in which a cavity can be made")
    hardening: float = quantity("1", "slope of the yield stress within an increment")
    voxel: float = quantity("mm", "smallest voxel that a level is lifted on")
    posterior_stiffness: float = quantity("N/mm", "of both facets' capsules and the posterior ligaments, axially")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscZones:
    """A disc of two zones; ``data/procedure/disc_<grade>.toml``."""

    annulus_modulus: float = quantity("MPa", "Young's modulus of the annulus")
    annulus_poisson: float = quantity("1", "Poisson's ratio of the annulus")
    nucleus_modulus: float = quantity("MPa", "Young's modulus of the nucleus")
    nucleus_poisson: float = quantity("1", "Poisson's ratio of the nucleus")
    nucleus_radius: float = quantity("1", "half-width of the nucleus over that of the disc")


@dataclass(frozen=True, eq=False)
class FracturedLevel:
    """One level ready for a cavity, on the part of the site's grid that holds material.

    Parameters
    ----------
    site : the whole site
    corner : (3,), cells: where the part begins in the site
    tissue : (nx, ny, nz), codes of :class:`Tissue`
    density : (nx, ny, nz), mg/mm³ K2HPO4-equivalent, what stiffness and strength are taken from
    upper, lower : (nx + 1, ny + 1, nz + 1) bool, nodes on the endplates of the vertebrae above and below
    density_ct, density_mapped : mg/mm³, means over the body: as the CT shows it, as the intact neighbours have it
    arched : whether facets and posterior ligaments join it to its neighbours; not on a bench
    """

    site: Site
    corner: tuple[int, int, int]
    tissue: NDArray[np.int16]
    density: Field
    upper: Mask
    lower: Mask
    settings: FracturedSettings
    discs: DiscZones
    density_ct: float = quantity("mg/mm3", "mean over the body as the CT shows it")
    density_mapped: float | None = quantity("mg/mm3", "mean over the body mapped from intact neighbours")
    warnings: tuple[str, ...] = ()
    uses: tuple[ParameterUse, ...] = ()
    arched: bool = True

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Edges of the cells, mm."""
        return (self.site.voxel_mm,) * 3

    @cached_property
    def body(self) -> Mask:
        """Cells of the vertebra's own bone."""
        return np.asarray((self.tissue == Tissue.BONE) | (self.tissue == Tissue.BAND))

    @cached_property
    def centre(self) -> tuple[float, float, float]:
        """Middle of the body, mm from the part's corner."""
        x, y, z = ((np.argwhere(self.part(self.site.body)) + 0.5) * self.site.voxel_mm).mean(axis=0)
        return float(x), float(y), float(z)

    @cached_property
    def facets(self) -> tuple[tuple[float, float], ...]:
        """Return x and y, mm from the part's corner, of the right and left facet joint; none on a bench.

        Notes
        -----
        They stand beside the canal, as far behind the posterior wall as a usual canal is deep: the site ends before.
        """
        h, lines, settings = self.site.voxel_mm, self.site.lines, load_site().values
        canal = np.argwhere((self.site.regions == Region.CANAL).any(axis=(1, 2)))
        if not self.arched:
            return ()
        half = float(np.abs(lines[0][canal]).max()) if len(canal) else settings.canal_half_width
        back = float(self.site.box[1, 1]) + settings.canal_depth
        x0, y0 = (float(lines[a][0]) + (self.corner[a] - 0.5) * h for a in (0, 1))
        return (-half - x0, back - y0), (half - x0, back - y0)

    def crushed(self, label: NDArray[np.integer]) -> Field:
        """Return how many times denser than whole the fracture has made bone of these labels."""
        return np.where(label == Tissue.BAND, 1.0 / (1.0 - self.settings.crush_strain), 1.0)

    def part(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the part of an array on the site's grid."""
        return array[tuple(slice(c, c + n) for c, n in zip(self.corner, self.tissue.shape, strict=True))]

    def places(self, points_lps: NDArray[np.float64]) -> Field:
        """Return LPS points (..., 3) as mm from the part's corner: the coordinates of the cavity kernel."""
        return np.asarray(self.site.to_cells(points_lps) + (0.5 - np.asarray(self.corner)) * self.site.voxel_mm)

    def cells(self, places: Field) -> Field:
        """Return the (fractional) cells of the part (3, ...) that hold places (3, ...), mm from its corner."""
        return np.asarray(places / self.site.voxel_mm - 0.5)

    def lps(self, places: Field) -> Field:
        """Return places (3, n), mm from the part's corner, as LPS points (n, 3)."""
        return np.asarray(self.site.grid.to_lps(self.cells(places).T + np.asarray(self.corner)))


def load_fractured() -> Loaded[FracturedSettings]:
    """Load ``data/procedure/fractured.toml``."""
    return load_parameters("procedure/fractured.toml", FracturedSettings)


def load_discs(grade: DiscGrade) -> Loaded[DiscZones]:
    """Load ``data/procedure/disc_<grade>.toml``."""
    return load_parameters(f"procedure/disc_{grade.value}.toml", DiscZones)


def make_fractured(
    site: Site,
    lost: Lost,
    *,
    mapped: Field | None = None,
    grade: DiscGrade = DiscGrade.HEALTHY,
    settings: FracturedSettings | None = None,
) -> FracturedLevel:
    """Build the mechanical state of a fractured level.

    Parameters
    ----------
    lost : height lost in front, middle and behind; zeros for an intact body, which then has no band
    mapped : (nx, ny, nz) of the site, mg/mm³, density of the intact neighbours; the CT's own where None, with a warning
    settings : the shipped ones when None

    Raises
    ------
    GeometryError
        If no bone is left that a cavity fits into (vertebra plana).
    """
    loaded, zones = load_fractured(), load_discs(grade)
    chosen = settings or loaded.values
    _require_height(site, chosen)
    tissue = _tissues(site, lost, chosen, zones.values)
    corner, box = _box(tissue != Tissue.VOID)
    upper, lower = _endplates(tissue != Tissue.VOID, site)
    nodes = tuple(slice(part.start, part.stop + 1) for part in box)
    said = [] if mapped is not None else [f"{site.level}: no intact neighbour; strength is that of the fractured bone"]
    density = site.density if mapped is None else np.where(site.own, mapped, site.density)
    floor = 0.5 * chosen.floor_density
    return FracturedLevel(
        site,
        corner,
        tissue[box],
        np.maximum(np.where(site.own, density, floor), floor)[box].astype(float),
        upper[nodes],
        lower[nodes],
        chosen,
        zones.values,
        float(site.density[site.body].mean()),
        None if mapped is None else float(mapped[site.body].mean()),
        tuple(said),
        (*loaded.uses, *zones.uses),
    )


def mapped_density(site: Site, intact: Sequence[Anatomy], volume: Volume, calibration: HuCalibration) -> Field | None:
    """Return the density that the site's bone had before it broke, by place in the intact neighbours' bodies.

    A place is known by its share of the body's width, depth and height; the neighbours' densities there are averaged.

    Returns
    -------
    (nx, ny, nz), mg/mm³, or None without an intact neighbour
    """
    found = []
    low, high = site.box.T
    for anatomy in intact:
        places = anatomy.coordinates()[anatomy.body]
        ends = np.percentile(places, [0.5, 99.5], axis=0)
        scale = (ends[1] - ends[0]) / (high - low)
        stretch = np.eye(4)
        stretch[:3, :3] = np.diag(scale)
        stretch[:3, 3] = ends[0] - scale * low
        own = (site.vert_from_lps @ site.grid.lps_from_voxel).matrix
        grid = Grid.from_affine(site.grid.shape, anatomy.vert_from_lps.inverse.matrix @ stretch @ own)
        there = resampled_mask(anatomy.mask, anatomy.grid, grid)
        density = np.asarray(calibration.density(resampled(volume, grid).hu), float)
        found.append(np.where(there, density, np.nan))
    if not found:
        return None
    known = np.isfinite(found)
    total = np.where(known, found, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    nearest = ndimage.distance_transform_edt(count == 0, return_distances=False, return_indices=True)
    return np.asarray(mean[tuple(nearest)])


def isolated(level: FracturedLevel) -> FracturedLevel:
    """Return the body alone between two plates, as bench studies test it: no discs, no ligaments, no arch."""
    body = np.asarray(level.part(level.site.body))
    above = corners_of(body) & ~_lower_corners(body)
    below = corners_of(body) & ~_lower_corners(body[:, :, ::-1])[:, :, ::-1]
    half = np.arange(above.shape[2]) > level.centre[2] / level.site.voxel_mm
    alone = np.where(body, level.tissue, Tissue.VOID)
    return replace(level, tissue=alone, upper=above & half, lower=below & ~half, arched=False)


def crushed_band(site: Site, lost: Lost, settings: FracturedSettings) -> Mask:
    """Mark the crushed band: under the superior endplate, as thick as what is left of what each column lost.

    Notes
    -----
    A column that lost L by a crush of strain e had a band of L/e and has L (1 - e)/e now.
    """
    body = site.body
    loss = _loss(site, lost)
    column = body.sum(axis=2) * site.voxel_mm
    thick = np.maximum(loss * (1.0 - settings.crush_strain) / settings.crush_strain, site.voxel_mm)
    thick = np.minimum(thick[None, :], settings.largest_share * column)
    top = body.shape[2] - np.argmax(body[:, :, ::-1], axis=2)
    depth = (top[:, :, None] - np.arange(body.shape[2]) - 0.5) * site.voxel_mm
    under = depth - settings.endplate_depth
    inside = (under > 0) & (under <= np.maximum(thick, site.voxel_mm)[:, :, None])
    return np.asarray(body & inside & (loss >= settings.least_loss)[None, :, None])


def _loss(site: Site, lost: Lost) -> Field:
    """Return the height lost (ny,), mm, along the depth."""
    low, high = site.box[1]
    share = np.clip((site.lines[1] - low) / (high - low), 0.0, 1.0)
    return np.asarray(np.interp(share, [0.0, 0.5, 1.0], np.maximum(lost, 0.0)))


def without_cutoff(level: FracturedLevel) -> FracturedLevel:
    """Return the level with bone that never tears, not even where it is crushed: the null model of the gap."""
    return replace(level, settings=replace(level.settings, tension_share=np.inf))


def _lower_corners(body: Mask) -> Mask:
    """Return the nodes that have some body above them."""
    wide = np.pad(body, [(1, 1), (1, 1), (0, 1)])
    out = np.zeros(tuple(n + 1 for n in body.shape), bool)
    for i in (0, 1):
        for j in (0, 1):
            out |= wide[i : i + out.shape[0], j : j + out.shape[1], :]
    return out


def _require_height(site: Site, settings: FracturedSettings) -> None:
    columns = site.body.sum(axis=2) * site.voxel_mm
    usual = float(np.median(columns[columns > 0]))
    if usual < settings.least_height:
        raise GeometryError(
            f"{site.level}: half of the body is lower than {usual:.1f} mm, {settings.least_height:g} mm are needed: "
            "no bone is left for a cavity (vertebra plana); choose cement alone"
        )


def _tissues(site: Site, lost: Lost, settings: FracturedSettings, discs: DiscZones) -> NDArray[np.int16]:
    regions = site.regions
    tissue = np.full(site.grid.shape, Tissue.VOID, np.int16)
    core = site.body | (regions == Region.DISC)
    cells = max(settings.ligament_thickness, site.voxel_mm)
    near = ndimage.distance_transform_edt(~core, sampling=site.voxel_mm) <= 1.01 * cells
    skin = near & ~core & (regions != Region.NEIGHBOUR)
    tissue[skin] = Tissue.LIGAMENT
    tissue[skin & (_loss(site, lost) >= settings.least_loss)[None, :, None]] = Tissue.SLACK
    tissue[near & np.isin(regions, (Region.CANAL, Region.FORAMEN))] = Tissue.EPIDURAL
    tissue[near & (regions == Region.ARCH)] = Tissue.BONE
    tissue[regions == Region.DISC] = Tissue.ANNULUS
    tissue[_nuclei(site, discs.nucleus_radius)] = Tissue.NUCLEUS
    tissue[site.body] = Tissue.BONE
    tissue[crushed_band(site, lost, settings)] = Tissue.BAND
    return tissue


def _nuclei(site: Site, radius: float) -> Mask:
    (x0, x1), (y0, y1), _ = site.box
    x, y = site.lines[0], site.lines[1]
    away = ((x - 0.5 * (x0 + x1)) / (0.5 * (x1 - x0)))[:, None] ** 2
    away = away + ((y - 0.5 * (y0 + y1)) / (0.5 * (y1 - y0)))[None, :] ** 2
    return np.asarray((site.regions == Region.DISC) & (away <= radius**2)[:, :, None])


def _box(material: Mask) -> tuple[tuple[int, int, int], tuple[slice, ...]]:
    """Return the part of the grid with material: one empty cell beside it, none above and below."""
    places = np.argwhere(material)
    room = np.array([1, 1, 0])
    low = np.maximum(places.min(axis=0) - room, 0)
    high = np.minimum(places.max(axis=0) + 1 + room, material.shape)
    x, y, z = (int(n) for n in low)
    return (x, y, z), tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _endplates(material: Mask, site: Site) -> tuple[Mask, Mask]:
    """Return the nodes that the vertebrae above and below hold; a disc's outer face where none is labelled."""
    held = corners_of(material)
    other = corners_of(site.regions == Region.NEIGHBOUR) & held
    layers = np.flatnonzero(material.any(axis=(0, 1)))
    middle = round(float(np.argwhere(site.body)[:, 2].mean()))
    ends = np.zeros_like(held)
    ends[:, :, layers[0]] = held[:, :, layers[0]]
    ends[:, :, layers[-1] + 1] = held[:, :, layers[-1] + 1]
    above = np.arange(held.shape[2]) > middle
    both = other | ends
    return np.asarray(both & above), np.asarray(both & ~above)
