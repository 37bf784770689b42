"""The body's veins: the basivertebral one at its foramen, segmental ones in the side walls, drawn by chance.

A CT shows at most the basivertebral foramen; the rest of the venous tree is below its resolution. So one *draw* of the
veins stands for one of the patient's possible ones: radii, courses and numbers vary with a seed.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.core.sides import Side
from vertecast.procedure.regions import Mask, Route
from vertecast.procedure.shell import Shell
from vertecast.procedure.site import Site

Points = NDArray[np.float64]
_WALL = 1.5  # mm: a branch ends before the far wall, it has no foramen there
_LEAST_STEP = 0.2  # of a cell: a course sampled this finely visits cells that touch by faces


@dataclass(frozen=True, slots=True, kw_only=True)
class VeinSettings:
    """Numbers, radii and courses of the veins."""

    pressure: float = quantity("MPa", "pressure in the veins that drain the body")
    trunk_radius: float = quantity("mm", "radius of the basivertebral vein at its foramen")
    trunk_depth: float = quantity("1", "how far it runs forward, share of the body's depth")
    branches: float = quantity("1", "number of its branches in the body")
    branch_radius: float = quantity("mm", "radius of a branch")
    branch_reach: float = quantity("1", "how far a branch runs towards the wall, share of the half-width")
    foramen_half_width: float = quantity("1", "half-width of the window on the posterior wall, share of the half-width")
    foramen_half_height: float = quantity("1", "its half-height, share of the body's half-height")
    segmental: float = quantity("1", "mean number of segmental veins through each side wall")
    segmental_radius: float = quantity("mm", "radius of a segmental vein")
    segmental_depth: float = quantity("mm", "mean length of its course in the body")
    spread: float = quantity("1", "standard deviation of the logarithm of radii and lengths")
    outside_length: float = quantity("mm", "course outside the body until a vessel so wide that cement is carried away")


@dataclass(frozen=True, eq=False)
class Vein:
    """One vein of the draw.

    Parameters
    ----------
    name : its own name in the ledger
    route : basivertebral or segmental
    course : (n, 3), mm in the vertebral frame, from the wall where it leaves the body inwards
    outward : (3,), unit, its direction outside the body
    """

    name: str
    route: Route
    course: Points
    outward: Points
    radius: float = quantity("mm", "of the lumen")
    outside_length: float = quantity("mm", "of the course outside the body")

    @property
    def lumen_area(self) -> float:
        """Area of the lumen, mm²."""
        return float(np.pi * self.radius**2)

    def mirrored(self) -> "Vein":
        """Return the same vein on the other side of the mid-plane."""
        flip = np.array([-1.0, 1.0, 1.0])
        return replace(self, course=self.course * flip, outward=self.outward * flip)


def load_veins() -> Loaded[VeinSettings]:
    """Load ``data/procedure/veins.toml``."""
    return load_parameters("procedure/veins.toml", VeinSettings)


def find_foramen(site: Site, shell: Shell, settings: VeinSettings) -> Points:
    """Return the basivertebral foramen, (3,), mm: where the middle of the posterior wall has the thinnest shell.

    The window is symmetric, and among equally thin places the one nearest to its middle is taken.
    """
    x, y, z = site.lines
    (x0, x1), _, (z0, z1) = site.box
    half_x, half_z = 0.5 * (x1 - x0), 0.5 * (z1 - z0)
    middle = 0.5 * (z0 + z1)
    columns = np.abs(x) <= settings.foramen_half_width * half_x
    rows = np.abs(z - middle) <= settings.foramen_half_height * half_z
    best: tuple[float, Points] | None = None
    for i in np.flatnonzero(columns):
        for k in np.flatnonzero(rows):
            inside = np.flatnonzero(site.body[i, :, k])
            if not len(inside):
                continue
            j = int(inside[-1])
            thickness = shell.thickness[i, j, k]
            if not np.isfinite(thickness):
                continue
            away = np.hypot(x[i] / half_x, (z[k] - middle) / half_z)
            score = float(thickness) + 0.1 * float(away)
            if best is None or score < best[0] - 1e-9:
                best = score, np.array([x[i], y[j], z[k]])
    if best is not None:
        return best[1]
    return np.array([0.0, site.box[1, 1], middle])


def draw_veins(site: Site, shell: Shell, settings: VeinSettings, rng: np.random.Generator) -> tuple[Vein, ...]:
    """Draw the veins of one body."""
    foramen = find_foramen(site, shell, settings)
    return (*_basivertebral(site, foramen, settings, rng), *_segmental(site, settings, rng))


def _basivertebral(site: Site, foramen: Points, settings: VeinSettings, rng: np.random.Generator) -> tuple[Vein, ...]:
    depth = float(site.box[1, 1] - site.box[1, 0])
    half = 0.5 * float(site.box[0, 1] - site.box[0, 0])
    radius = settings.trunk_radius * _around_one(settings.spread, rng)
    length = min(settings.trunk_depth * _around_one(settings.spread, rng), 0.8) * depth
    end = foramen + np.array([rng.normal(0.0, 0.05 * half), -length, rng.normal(0.0, 0.05 * depth)])
    parts = [np.array([foramen, end])]
    count = round(settings.branches)
    for angle in np.linspace(-1.2, 1.2, count) + rng.normal(0.0, 0.25, count):
        reach = settings.branch_reach * half * _around_one(settings.spread, rng)
        way = np.array([np.sin(angle), -np.cos(angle), rng.normal(0.0, 0.2)])
        way /= np.linalg.norm(way)
        room = float(np.linalg.norm(_exit(site, end, way) - end))
        parts.append(np.array([end, end + min(reach, max(room - _WALL, 0.5)) * way]))
    outward = np.array([0.0, 1.0, 0.0])
    trunk = Vein("basivertebral", Route.BASIVERTEBRAL, parts[0], outward, radius, settings.outside_length)
    branches = [
        Vein(
            f"basivertebral branch {number}",
            Route.BASIVERTEBRAL,
            part,
            outward,
            settings.branch_radius * _around_one(settings.spread, rng),
            0.0,
        )
        for number, part in enumerate(parts[1:], 1)
    ]
    return (trunk, *branches)


def _segmental(site: Site, settings: VeinSettings, rng: np.random.Generator) -> list[Vein]:
    found = []
    (_, (y0, y1), (z0, z1)) = site.box
    middle = np.array([0.0, 0.5 * (y0 + y1), 0.5 * (z0 + z1)])
    for side in (Side.LEFT, Side.RIGHT):
        for number in range(1, 1 + int(rng.poisson(settings.segmental))):
            angle = rng.uniform(0.25 * np.pi, 0.6 * np.pi)  # from anterior towards the side
            outward = np.array([side.sign * np.sin(angle), -np.cos(angle), 0.0])
            start = middle + np.array([0.0, 0.0, rng.normal(0.0, 0.12 * (z1 - z0))])
            wall = _exit(site, start, outward)
            length = settings.segmental_depth * _around_one(settings.spread, rng)
            inward = start - wall + rng.normal(0.0, 3.0, 3) * np.array([0.0, 1.0, 0.5])
            inward *= min(1.0, length / float(np.linalg.norm(inward)))
            radius = settings.segmental_radius * _around_one(settings.spread, rng)
            found.append(
                Vein(
                    f"segmental {side.value} {number}",
                    Route.SEGMENTAL,
                    np.array([wall, wall + inward]),
                    outward,
                    radius,
                    settings.outside_length,
                )
            )
    return found


def visited_cells(site: Site, vein: Vein) -> NDArray[np.intp]:
    """(n, 3): cells of the vertebra that the lumen fills or its course passes, the one at the wall first."""
    h = site.voxel_mm
    first = np.array([line[0] for line in site.lines])
    steps = [vein.course[:1]]
    for a, b in zip(vein.course[:-1], vein.course[1:], strict=True):
        count = max(2, int(np.ceil(np.linalg.norm(b - a) / (_LEAST_STEP * h))))
        steps.append(a + np.linspace(0.0, 1.0, count + 1)[1:, None] * (b - a))
    course = np.concatenate(steps)
    near = np.rint((course - first) / h).astype(np.intp)
    if vein.radius > 0.5 * h:
        reach = int(np.ceil(vein.radius / h))
        ball = np.argwhere(np.ones((2 * reach + 1,) * 3)) - reach
        cells = (near[:, None, :] + ball).reshape(-1, 3)
        places = np.repeat(course, len(ball), axis=0)
        inside = np.linalg.norm(first + cells * h - places, axis=1) <= vein.radius
        near = np.concatenate([near, cells[inside]])
    _, order = np.unique(near, axis=0, return_index=True)
    near = near[np.sort(order)]
    fits = ((near >= 0) & (near < site.grid.shape)).all(axis=1)
    near = near[fits]
    return np.asarray(near[site.own[tuple(near.T)]])


def vein_mask(site: Site, veins: tuple[Vein, ...]) -> Mask:
    """(nx, ny, nz): every cell that a vein passes."""
    mask = np.zeros(site.grid.shape, bool)
    for vein in veins:
        mask[tuple(visited_cells(site, vein).T)] = True
    return mask


def _exit(site: Site, start: Points, outward: Points) -> Points:
    """Return the last point inside the body on a ray from its middle."""
    h = site.voxel_mm
    first = np.array([line[0] for line in site.lines])
    away = np.arange(0.0, 60.0, 0.25 * h)
    points = start + away[:, None] * outward
    cells = np.rint((points - first) / h).astype(np.intp)
    fits = ((cells >= 0) & (cells < site.grid.shape)).all(axis=1)
    inside = fits.copy()
    inside[fits] = site.body[tuple(cells[fits].T)]
    return points[np.flatnonzero(inside)[-1]] if inside.any() else start


def _around_one(spread: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.normal(0.0, spread)))
