"""A vertebra of simple shapes, symmetric left to right: an elliptic body, two pedicles, discs, canal, one density."""

from dataclasses import replace

import numpy as np

from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.procedure.bed import Bed, make_bed
from vertecast.procedure.cement import Cement, choose_cement
from vertecast.procedure.needle import Needle
from vertecast.procedure.regions import Region, Route
from vertecast.procedure.shell import Shell, usual_shell
from vertecast.procedure.site import Site
from vertecast.procedure.state import State
from vertecast.procedure.stops import InjectionSettings, load_injection
from vertecast.procedure.veins import Vein

HALF = (20.0, 14.0, 12.0)
"""mm: half-axes of the body along x and y, half-height."""
THICKNESS = 0.4


def simple_site(voxel_mm: float = 2.0, density: float = 0.10, *, fractured: bool = False) -> Site:
    """Return the site; density in mg/mm³ K2HPO4-equivalent."""
    reach = np.array([HALF[0] + 9.0, HALF[1] + 19.0, HALF[2] + 9.0])
    count = 2 * np.ceil(reach / voxel_mm).astype(int)
    matrix = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    matrix[:3, 3] = -(count - 1) / 2 * voxel_mm
    grid = Grid.from_affine(tuple(count), matrix)
    x, y, z = np.moveaxis(grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    round_ = (x / HALF[0]) ** 2 + (y / HALF[1]) ** 2 <= 1.0
    body = round_ & (np.abs(z) <= HALF[2])
    regions = np.full(grid.shape, Region.SOFT, np.uint8)
    regions[round_ & (np.abs(z) > HALF[2])] = Region.DISC
    regions[(np.abs(x) < 8.0) & (y > 0.0) & ~round_ & (y < HALF[1] + 15.0)] = Region.CANAL
    pedicle = (np.abs(np.abs(x) - 12.0) <= 4.0) & (y > 0.0) & (y < HALF[1] + 12.0) & (np.abs(z - 4.0) <= 5.0)
    regions[pedicle & ~round_] = Region.ARCH
    regions[body] = Region.BODY
    field = np.where(regions == Region.BODY, density, 0.0).astype(np.float32)
    field[regions == Region.ARCH] = 2.0 * density
    frame = Transform(np.eye(4), "vert:L1", LPS)
    none = np.zeros(grid.shape, bool)
    return Site(Level.L1, grid, frame, regions, field, none, 120.0, voxel_mm, fractured=fractured, calibrated=True)


def trunk(radius: float = 1.2, *, x: float = 0.0) -> Vein:
    """Return a basivertebral vein straight from the posterior wall to the body's middle."""
    course = np.array([[x, HALF[1] - 1.2, 0.3], [x, -2.2, 0.3]])
    return Vein("basivertebral", Route.BASIVERTEBRAL, course, np.array([0.0, 1.0, 0.0]), radius, 15.0)


def side_vein(side: Side = Side.LEFT, radius: float = 0.8) -> Vein:
    """Return a segmental vein through a side wall."""
    course = np.array([[side.sign * (HALF[0] - 1.4), 0.3, 0.3], [side.sign * 8.3, -2.2, 0.3]])
    outward = np.array([float(side.sign), 0.0, 0.0])
    return Vein(f"segmental {side.value} 1", Route.SEGMENTAL, course, outward, radius, 15.0)


def simple_bed(
    site: Site | None = None,
    veins: tuple[Vein, ...] | None = None,
    *,
    sealed: tuple[Route, ...] = (),
    holes: tuple[tuple[float, float, float], ...] = (),
    hole_radius: float = 3.5,
) -> Bed:
    """Return a bed of the site with given veins and holes (mm) in the shell."""
    site = site or simple_site()
    shell = usual_shell(site, THICKNESS)
    broken = shell.broken.copy()
    cells = np.argwhere(np.isfinite(shell.thickness))
    places = np.stack([line[cells[:, a]] for a, line in enumerate(site.lines)], axis=1)
    for hole in holes:
        near = np.linalg.norm(places - np.array(hole), axis=1) <= hole_radius
        broken[tuple(cells[near].T)] = True
    return make_bed(
        site, Shell(shell.thickness, broken), veins or (trunk(), side_vein(), side_vein(Side.RIGHT)), sealed=sealed
    )


def needle(side: Side = Side.LEFT, tip: tuple[float, float, float] = (8.2, -4.2, 0.2)) -> Needle:
    """Return an 11 G needle whose tip lies at ``tip`` on the left, mirrored on the right; mm."""
    at = np.array([side.sign * tip[0], tip[1], tip[2]])
    entry = at + np.array([side.sign * 4.0, 30.0, 4.0])
    return Needle(side, entry, at, 1.525, 1.195, 120.0)


def cement(name: str = "pmma-medium-viscosity") -> Cement:
    """Return a cement of the catalogue."""
    return choose_cement(name)


def settings(**changed: float) -> InjectionSettings:
    """Return the shipped settings with some changed."""
    return replace(load_injection().values, **changed)


def before(bed: Bed) -> State:
    """Return the untouched state of one bed."""
    return State.before({bed.site.level: bed})
