"""The lattice that carries a fracture's warp: how much of the collapse each place takes part in."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.levels import Level
from vertecast.imaging.volume import LabelMap
from vertecast.spine.fracture.pose import Pose
from vertecast.spine.fracture.spec import WarpShape

Array = NDArray[np.float64]
_FRONT_MM, _BACK_MM, _SIDE_MM, _RISE_MM = 50.0, 60.0, 54.0, 48.0
_FREE_FAN_MM, _SEAM_MM, _NEAREST_MM, _CLEARANCE_MM = 1.0, 4.0, 0.6, 1.5
_RIM_COLUMNS, _ARCH_REACH_MM, _SHARPNESS = 2, 14.0, 4
_DISC_MM, _LEAST_DISC_MM = 7.0, 2.5


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """A regular lattice along a pose's axes; nodes are at ``low + spacing * index``, mm."""

    low: Array
    spacing: float
    shape: tuple[int, int, int]

    @property
    def axes(self) -> tuple[Array, Array, Array]:
        """Coordinates of the nodes along the three axes, mm."""
        x, y, z = (low + self.spacing * np.arange(n) for low, n in zip(self.low, self.shape, strict=True))
        return x, y, z

    def index(self, points: Array) -> Array:
        """Return fractional indices (3, n) of points (n, 3)."""
        return np.ascontiguousarray(((points - self.low) / self.spacing).T)

    def sample(self, field: Array, index: Array) -> Array:
        """Interpolate a field straight between nodes; beyond the lattice it stays what it is at the edge."""
        return np.asarray(ndimage.map_coordinates(field, index, order=1, mode="nearest"))


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Four fields on one lattice.

    Parameters
    ----------
    drop, turn : 0 below the fracture, 1 above: share of the upper spine's translation and rotation. They differ on
        the arch, which follows a
        lowered posterior wall down but does not turn with the endplate.
    dent : how far a unit dent of the middle moves a place along z: negative above mid-height, positive below, 0 at
        the rims
    bulge : share of the posterior wall's displacement backward
    """

    lattice: Lattice
    drop: Array
    turn: Array
    dent: Array
    bulge: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """The body's two surfaces laid over the whole lattice, and which label is where."""

    lattice: Lattice
    upper: Array
    lower: Array
    top: float
    bottom: float
    arch: NDArray[np.bool_]
    above: NDArray[np.bool_]
    below: NDArray[np.bool_]


def make_weights(
    labels: LabelMap, level: Level, pose: Pose, shape: WarpShape, *, smoothing: float, rng: np.random.Generator
) -> Weights:
    """Lay the weights of a collapse out round one vertebra.

    Parameters
    ----------
    smoothing : mm, Gaussian width that the arches' weights are smoothed by: the stiffer the arches, the smaller
    rng : of the impaction band's gentle irregularity
    """
    scene = _scene(labels, level, pose, shape)
    x, y, z = scene.lattice.axes
    relative = np.clip((z - scene.lower[..., None]) / (scene.upper - scene.lower)[..., None], 0.0, 1.0)
    wave = _wave(rng, scene.lattice, shape.undulation)
    relative = relative + 4.0 * wave[..., None] * relative * (1.0 - relative)
    collapse = crush_profile(shape)
    share = collapse(relative)
    pedicle = float(collapse(np.array([0.62]))[0])
    seam = np.clip((y - pose.back + _SEAM_MM) / (2.0 * _SEAM_MM), 0.0, 1.0)
    seam = (seam * seam * (3.0 - 2.0 * seam))[None, :, None]
    near = _nearness(scene)
    step = shape.smoothing / shape.lattice_spacing
    arch_step = smoothing / shape.lattice_spacing
    fields = []
    for held in (pedicle, 0.0):
        behind = ndimage.gaussian_filter(_between(near, held), arch_step, mode="nearest")
        whole = (1.0 - seam) * share + seam * behind
        fields.append(np.clip(ndimage.gaussian_filter(whole, step, mode="nearest"), 0.0, 1.0))
    drop, turn = fields
    dent = ndimage.gaussian_filter(_dent(scene, pose, shape, (x, y, z)), 0.5 * step, mode="nearest")
    return Weights(scene.lattice, drop, turn, dent, _bulge(pose, (x, y, z)))


def crush_profile(shape: WarpShape) -> Callable[[Array], Array]:
    """Return the share of the collapse below a relative height: 0 at the inferior endplate, 1 at the superior."""
    t = np.linspace(0.0, 1.0, 201)
    ends = np.clip(np.minimum(t, 1.0 - t) / 0.08, 0.0, 1.0)
    band = np.exp(-(((t - shape.band_centre) / shape.band_half_width) ** 2))
    strain = ends * ends * (3.0 - 2.0 * ends) * (1.0 + shape.band_excess * band)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (strain[1:] + strain[:-1]))])
    total = total / total[-1]
    return lambda relative: np.asarray(np.interp(relative, t, total))


def greatest_strain(shape: WarpShape) -> float:
    """Largest slope of :func:`crush_profile`: how much deeper than the mean the band is squeezed."""
    t = np.linspace(0.0, 1.0, 201)
    return float(np.gradient(crush_profile(shape)(t), t).max())


def _scene(labels: LabelMap, level: Level, pose: Pose, shape: WarpShape) -> _Scene:
    body = np.isfinite(pose.superior) & np.isfinite(pose.inferior)
    known = ndimage.binary_erosion(body, iterations=_RIM_COLUMNS)
    top, bottom = float(np.nanmax(pose.superior)), float(np.nanmin(pose.inferior))
    low = np.array([-_SIDE_MM, pose.front - _FRONT_MM, bottom - _RISE_MM])
    high = np.array([_SIDE_MM, pose.back + _BACK_MM, top + _RISE_MM])
    size = np.ceil((high - low) / shape.lattice_spacing).astype(int) + 1
    lattice = Lattice(low, shape.lattice_spacing, (int(size[0]), int(size[1]), int(size[2])))
    x, y, _ = lattice.axes
    at = np.meshgrid(
        (x - pose.x[0]) / (pose.x[1] - pose.x[0]), (y - pose.y[0]) / (pose.y[1] - pose.y[0]), indexing="ij"
    )
    away = ndimage.distance_transform_edt(~body) * (pose.x[1] - pose.x[0])
    away = ndimage.map_coordinates(away, at, order=1, mode="nearest") + _beyond(x, y, pose)
    surfaces = [
        ndimage.map_coordinates(_extended(surface, known), at, order=1, mode="nearest")
        for surface in (pose.superior, pose.inferior)
    ]
    arch, above, below = _labels_on(labels, level, pose, lattice)
    fan = shape.soft_fan * np.maximum(away - _FREE_FAN_MM, 0.0)
    ceiling, floor = _first(above, lattice, surfaces[0], upward=True), _first(below, lattice, surfaces[1], upward=False)
    upper = np.minimum(surfaces[0] - shape.plate_thickness + fan, np.minimum(ceiling - _CLEARANCE_MM, high[2] - 4.0))
    lower = np.maximum(surfaces[1] + shape.plate_thickness - fan, np.maximum(floor + _CLEARANCE_MM, low[2] + 4.0))
    if (upper - lower).min() < 2.0:
        raise GeometryError(
            f"{level} is {float(np.nanmin(pose.superior - pose.inferior)):.1f} mm high at its lowest, "
            "too little to collapse further; choose a less collapsed vertebra"
        )
    return _Scene(lattice, upper, lower, top, bottom, arch, above, below)


def _first(mask: NDArray[np.bool_], lattice: Lattice, surface: Array, *, upward: bool) -> Array:
    """Height of the first labelled node over (or under) a surface in every column; far away where there is none."""
    z = lattice.axes[2]
    beyond = (z > surface[..., None]) if upward else (z < surface[..., None])
    hit = mask & beyond
    first = z[hit.argmax(axis=-1)] if upward else z[len(z) - 1 - hit[..., ::-1].argmax(axis=-1)]
    return np.where(hit.any(axis=-1), first, np.inf if upward else -np.inf)


def _extended(surface: Array, known: NDArray[np.bool_]) -> Array:
    """Continue an endplate outward by its rim's height and smooth it gently."""
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(ndimage.gaussian_filter(surface[tuple(nearest)], 2.0, mode="nearest"))


def _beyond(x: Array, y: Array, pose: Pose) -> Array:
    """How far lattice columns lie outside the pose's own columns, mm."""
    dx = np.maximum(np.maximum(pose.x[0] - x, x - pose.x[-1]), 0.0)
    dy = np.maximum(np.maximum(pose.y[0] - y, y - pose.y[-1]), 0.0)
    return np.asarray(np.hypot(dx[:, None], dy[None, :]))


def _labels_on(labels: LabelMap, level: Level, pose: Pose, lattice: Lattice) -> list[NDArray[np.bool_]]:
    x, y, z = lattice.axes
    own = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    index = np.moveaxis(labels.grid.to_voxel(pose.own_from_lps.inverse.apply(own)), -1, 0)
    here = ndimage.map_coordinates(labels.labels, index, order=0, mode="constant")
    behind = (y > pose.back + 2.0)[None, :, None]
    arch = (here == labels.values[level]) & behind
    above = [labels.values[one] for one in labels.levels if one.rank < level.rank]
    below = [labels.values[one] for one in labels.levels if one.rank > level.rank]
    return [arch, np.isin(here, above), np.isin(here, below)]


def _nearness(scene: _Scene) -> tuple[Array, Array, Array]:
    """Nearness (a steep power of the distance) to the arch, to what lies above and to what lies below."""
    above, below = scene.above.copy(), scene.below.copy()
    z = scene.lattice.axes[2]
    above[..., z > scene.top + _ARCH_REACH_MM] = True
    below[..., z < scene.bottom - 1.4 * _ARCH_REACH_MM] = True
    out = []
    for mask in (scene.arch, above, below):
        far = ndimage.distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, 1e3)
        out.append(1.0 / np.maximum(far * scene.lattice.spacing, _NEAREST_MM) ** _SHARPNESS)
    return out[0], out[1], out[2]


def _between(near: tuple[Array, Array, Array], held: float) -> Array:
    """Weight between the arch (``held``), what lies above (1) and what lies below (0)."""
    return (held * near[0] + near[1]) / (near[0] + near[1] + near[2])


def _dent(scene: _Scene, pose: Pose, shape: WarpShape, nodes: tuple[Array, Array, Array]) -> Array:
    """Unit dent: the endplates' middles approach each other by one, their rims stay, the discs fill the hollows."""
    x, y, z = nodes
    half_depth, half_width = 0.43 * pose.depth, 0.43 * pose.width
    middle = 0.5 * (pose.front + pose.back)
    radius = (x[:, None] / half_width) ** 2 + ((y[None, :] - middle) / half_depth) ** 2
    bowl = np.clip(1.0 - radius, 0.0, 1.0) ** 2 * (1.0 + 2.0 * np.clip(radius, 0.0, 1.0))
    inside = np.clip((z - scene.lower[..., None]) / (scene.upper - scene.lower)[..., None], 0.0, 1.0)
    over = np.clip((z - scene.upper[..., None] - shape.plate_thickness) / _gap(scene, upward=True)[..., None], 0.0, 1.0)
    under = np.clip(
        (scene.lower[..., None] - shape.plate_thickness - z) / _gap(scene, upward=False)[..., None], 0.0, 1.0
    )
    top, bottom = shape.superior_share, 1.0 - shape.superior_share
    way = bottom - inside * (top + bottom)
    fade = (1.0 - over) * (1.0 - under)
    return np.asarray(bowl[..., None] * way * fade)


def _gap(scene: _Scene, *, upward: bool) -> Array:
    """Height of the disc over (or under) each column, mm; a usual disc where no neighbour is labelled."""
    surface = scene.upper if upward else scene.lower
    first = _first(scene.above if upward else scene.below, scene.lattice, surface, upward=upward)
    gap = np.where(np.isfinite(first), np.abs(first - surface) - 3.0, _DISC_MM)
    return np.asarray(ndimage.gaussian_filter(np.clip(gap, _LEAST_DISC_MM, 14.0), 1.5, mode="nearest"))


def _bulge(pose: Pose, nodes: tuple[Array, Array, Array]) -> Array:
    """Share of the posterior wall's displacement: 1 on the wall behind the band, 0 deep in body and canal."""
    x, y, z = (n.reshape(s) for n, s in zip(nodes, ((-1, 1, 1), (1, -1, 1), (1, 1, -1)), strict=True))
    high = float(np.nanmean(pose.superior[np.isfinite(pose.superior)]))
    across = np.clip(1.0 - (x / (0.32 * pose.width)) ** 2, 0.0, 1.0) ** 2
    along = np.clip(1.0 - ((z - 0.35 * high) / (0.8 * high)) ** 2, 0.0, 1.0) ** 2
    t = y - pose.back
    deep = np.clip(1.0 - np.where(t < 0.0, -t / (0.6 * pose.depth), t / 12.0), 0.0, 1.0)
    return np.asarray(across * along * deep * deep * (3.0 - 2.0 * deep))


def _wave(rng: np.random.Generator, lattice: Lattice, size: float) -> Array:
    noise = ndimage.gaussian_filter(rng.standard_normal(lattice.shape[:2]), 6.0 / lattice.spacing, mode="wrap")
    return np.asarray(size * noise / max(float(np.abs(noise).max()), 1e-9))
