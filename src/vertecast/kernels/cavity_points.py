"""Material points that carry mass, stress and history through a fixed grid; eight to a voxel at the start.

The grid only solves. Before an increment the Gauss points take the mean of the material points in their octant; after
it, the points take the *change* of their octant, so what does not move does not smear. Then they travel.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.kernels.bricks import BrickMesh

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MaterialPoints:
    """What the material carries; n points.

    Parameters
    ----------
    place : (3, n), mm in grid coordinates
    volume, mass : (n,), mm³ and the caller's unit of mass
    strain : (6, n), elastic strain with the gaps' opening, Voigt with engineering shear
    kappa : (n,), equivalent plastic strain
    shear : (n,), MPa, the shear modulus ``strain`` belongs to: stress stays when the modulus changes
    damage : (n,), 0-1, the caller's; carried unchanged
    label : (n,), the caller's; carried unchanged
    """

    place: Array
    volume: Array
    mass: Array
    strain: Array
    kappa: Array
    shear: Array
    damage: Array
    label: NDArray[np.integer]

    @property
    def count(self) -> int:
        """Number of points."""
        return int(self.volume.size)


def seeded(
    share: Array, spacing: tuple[float, float, float], density: Array, damage: Array, label: NDArray[np.integer]
) -> MaterialPoints:
    """Place a point at the centre of each octant that holds material.

    Parameters
    ----------
    share : (2 nx, 2 ny, 2 nz), share of each octant that is material
    density, damage, label : (nx, ny, nz); mass per mm³
    """
    if not density.shape == damage.shape == label.shape == tuple(n // 2 for n in share.shape):
        raise ParameterError(f"density {density.shape}, damage {damage.shape}, label {label.shape} must be one a voxel")
    at = np.nonzero(share > 0)
    if not at[0].size:
        raise GeometryError("no octant holds material; the cavities fill the grid")
    voxel = tuple(i // 2 for i in at)
    if not (density[voxel] > 0).all() or not np.isfinite(density[voxel]).all():
        raise ParameterError("density must be positive and finite wherever there is material; mark the rest as outside")
    volume = share[at] * np.prod(spacing) / 8.0
    return MaterialPoints(
        place=(np.stack(at) + 0.5) * 0.5 * np.reshape(spacing, (3, 1)),
        volume=volume,
        mass=volume * density[voxel],
        strain=np.zeros((6, volume.size)),
        kappa=np.zeros(volume.size),
        shear=np.ones(volume.size),
        damage=damage[voxel].astype(float),
        label=label[voxel].astype(np.int16),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Homes:
    """Where the points are on a mesh: packed element (-1: none) and Gauss point of each."""

    element: NDArray[np.int64]
    octant: NDArray[np.int64]
    count: int

    @property
    def known(self) -> NDArray[np.bool_]:
        """Points that lie in an active voxel."""
        return np.asarray(self.element >= 0)


def homes(points: MaterialPoints, mesh: BrickMesh) -> Homes:
    """Find each point's voxel and octant."""
    packed = np.full(mesh.shape, -1, dtype=np.int64)
    packed[mesh.mask] = np.arange(mesh.count)
    octants = np.floor(points.place / (0.5 * np.reshape(mesh.spacing, (3, 1)))).astype(np.int64)
    inside = np.all((octants >= 0) & (octants < 2 * np.reshape(mesh.shape, (3, 1))), axis=0)
    octants[:, ~inside] = 0
    voxel = octants // 2
    element = np.where(inside, packed[tuple(voxel)], -1)
    low = octants - 2 * voxel
    return Homes(element, 4 * low[0] + 2 * low[1] + low[2], mesh.count)


def cell_means(homes_: Homes, points: MaterialPoints, fields: tuple[Array, ...], mesh: BrickMesh) -> list[Array]:
    """Return the volume-weighted mean of each field over the points of each active voxel; empty ones ask around."""
    known = homes_.known
    home = homes_.element[known]
    volume = points.volume[known]
    total = np.bincount(home, volume, mesh.count)
    sums = [np.bincount(home, volume * field[known], mesh.count) for field in fields]
    empty = total <= 0
    means = [np.divide(one, total, out=np.zeros(mesh.count), where=~empty) for one in sums]
    if empty.any():
        source = _nearest_filled(mesh, ~empty)
        means = [one[source] for one in means]
    return means


def labels_of(
    homes_: Homes, label: NDArray[np.integer], mesh: BrickMesh
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the smallest and the largest label of the points in each active voxel; empty ones ask the nearest."""
    known = homes_.known
    home, labels = homes_.element[known], label[known].astype(np.int64)
    low, high = np.full(mesh.count, np.iinfo(np.int64).max), np.full(mesh.count, np.iinfo(np.int64).min)
    np.minimum.at(low, home, labels)
    np.maximum.at(high, home, labels)
    filled = np.bincount(home, minlength=mesh.count) > 0
    if filled.all():
        return low, high
    source = _nearest_filled(mesh, filled)
    return low[source], high[source]


def _nearest_filled(mesh: BrickMesh, filled: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each active voxel the nearest one that holds points: itself, mostly."""
    if not filled.any():
        raise GeometryError("no material point lies in an active voxel; the points belong to another grid")
    packed = np.full(mesh.shape, -1, dtype=np.int64)
    packed[mesh.mask] = np.arange(mesh.count)
    missing = np.ones(mesh.shape, dtype=bool)
    missing[mesh.mask] = ~filled
    nearest = ndimage.distance_transform_edt(missing, mesh.spacing, return_distances=False, return_indices=True)
    return np.asarray(packed[tuple(nearest)][mesh.mask])


def slot_means(
    homes_: Homes, points: MaterialPoints, shear: Array, mesh: BrickMesh, whole: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Return carried strain (8, 6, n) and kappa (8, n) at the Gauss points.

    Parameters
    ----------
    shear : (n,), MPa, the elements' present shear modulus: the points' stress is what is averaged
    whole : (n,), voxels no wall cuts; in the others, and in empty octants, all eight take the voxel's mean
    """
    known = homes_.known
    slot = homes_.octant[known] * mesh.count + homes_.element[known]
    volume = points.volume[known]
    size = 8 * mesh.count
    total: Array = _summed(slot, volume, size).reshape(8, -1)
    cell = total.sum(axis=0)
    borrowed = (total <= 0) | ~whole
    source = _nearest_filled(mesh, cell > 0) if (cell <= 0).any() else None
    weighted = volume * points.shear[known]
    strain = np.empty((8, 6, mesh.count))
    for i in range(6):
        strain[:, i] = _filled(_summed(slot, weighted * points.strain[i, known], size), total, borrowed, source)
    strain /= shear
    kappa = _filled(_summed(slot, volume * points.kappa[known], size), total, borrowed, source)
    return strain, kappa


@dataclass(frozen=True, slots=True, eq=False)
class Leftover:
    """What Gauss points of cut voxels know beyond their material points: octants without points, mostly.

    It stays with the grid, is made anew in each increment, and lets a body that does not move keep its state exactly.

    Parameters
    ----------
    voxel : (m,), flat number in the grid
    strain, kappa : (8, 6, m), (8, m), to be added to the means
    """

    voxel: NDArray[np.int64]
    strain: Array
    kappa: Array

    @classmethod
    def none(cls) -> "Leftover":
        """Make an empty one."""
        return cls(np.zeros(0, np.int64), np.zeros((8, 6, 0)), np.zeros((8, 0)))

    @classmethod
    def between(cls, mesh: BrickMesh, told: tuple[Array, Array], known: tuple[Array, Array]) -> "Leftover":
        """Take what ``told`` (strain and kappa of the Gauss points) has over ``known`` (their points' means)."""
        strain, kappa = told[0] - known[0], told[1] - known[1]
        size = np.abs(strain).max(axis=(0, 1))
        some = np.flatnonzero((size > 1e-9 * max(float(np.abs(told[0]).max()), 1e-300)) | np.any(kappa != 0, axis=0))
        voxel = np.flatnonzero(mesh.mask)[some]
        return cls(voxel, np.ascontiguousarray(strain[:, :, some]), np.ascontiguousarray(kappa[:, some]))

    def added(self, mesh: BrickMesh, strain: Array, kappa: Array) -> tuple[Array, Array]:
        """Add it, in place, to the voxels that are still active; return both."""
        packed = np.full(mesh.mask.size, -1, dtype=np.int64)
        packed[np.flatnonzero(mesh.mask)] = np.arange(mesh.count)
        at = packed[self.voxel]
        still = at >= 0
        strain[:, :, at[still]] += self.strain[:, :, still]
        kappa[:, at[still]] = np.maximum(kappa[:, at[still]] + self.kappa[:, still], 0.0)
        return strain, kappa


def _summed(slot: NDArray[np.int64], values: Array, size: int) -> Array:
    return np.bincount(slot, values, size).astype(np.float64)


def _filled(sums: Array, total: Array, borrowed: NDArray[np.bool_], source: NDArray[np.int64] | None) -> Array:
    values = sums.reshape(total.shape)
    cell = total.sum(axis=0)
    mean = np.divide(values.sum(axis=0), cell, out=np.zeros(cell.size), where=cell > 0)
    if source is not None:
        mean = mean[source]
    own = np.divide(values, total, out=np.zeros(total.shape), where=total > 0)
    return np.where(borrowed, mean, own)


def changed(
    points: MaterialPoints, homes_: Homes, strain: tuple[Array, Array], kappa: tuple[Array, Array], shear: Array
) -> MaterialPoints:
    """Return the points with the change of their octant from first to second state; ``strain`` and ``kappa`` pairs."""
    known = homes_.known
    home, octant = homes_.element[known], homes_.octant[known]
    new_strain, new_kappa, new_shear = points.strain.copy(), points.kappa.copy(), points.shear.copy()
    ratio = points.shear[known] / shear[home]
    for i in range(6):
        step = strain[1][:, i] - strain[0][:, i]
        new_strain[i, known] = points.strain[i, known] * ratio + step[octant, home]
    new_kappa[known] += (kappa[1] - kappa[0])[octant, home]
    new_shear[known] = shear[home]
    return replace(points, strain=new_strain, kappa=np.maximum(new_kappa, 0.0), shear=new_shear)


def travelled(points: MaterialPoints, du: Array, spacing: tuple[float, float, float]) -> MaterialPoints:
    """Return the points after the displacement ``du`` (3, *nodes), mm: moved, turned, and their volume changed."""
    place, strain, volume = points.place.copy(), points.strain.copy(), points.volume.copy()
    travel(place, strain, volume, np.ascontiguousarray(du), np.asarray(spacing, dtype=float))
    return replace(points, place=place, strain=strain, volume=volume)


@njit(cache=True, parallel=True)
def travel(place, strain, volume, du, spacing):  # type: ignore[no-untyped-def]
    """Move points in place by trilinear ``du``; turn ``strain`` by the voxel's mean spin, stretch ``volume``.

    An empty ``strain`` (6, 0) moves places only.
    """
    nx, ny, nz = du.shape[1] - 1, du.shape[2] - 1, du.shape[3] - 1
    for n in prange(place.shape[1]):
        x, y, z = place[0, n] / spacing[0], place[1, n] / spacing[1], place[2, n] / spacing[2]
        i = min(max(int(np.floor(x)), 0), nx - 1)
        j = min(max(int(np.floor(y)), 0), ny - 1)
        k = min(max(int(np.floor(z)), 0), nz - 1)
        x, y, z = min(max(x - i, 0.0), 1.0), min(max(y - j, 0.0), 1.0), min(max(z - k, 0.0), 1.0)
        gradient = np.zeros((3, 3))
        for c in range(3):
            step = 0.0
            for a in range(2):
                for b in range(2):
                    for d in range(2):
                        u = du[c, i + a, j + b, k + d]
                        step += (x if a else 1.0 - x) * (y if b else 1.0 - y) * (z if d else 1.0 - z) * u
                        gradient[c, 0] += (0.25 if a else -0.25) * u / spacing[0]
                        gradient[c, 1] += (0.25 if b else -0.25) * u / spacing[1]
                        gradient[c, 2] += (0.25 if d else -0.25) * u / spacing[2]
            place[c, n] += step
        if strain.shape[1]:
            volume[n] *= np.exp(gradient[0, 0] + gradient[1, 1] + gradient[2, 2])
            _turn(strain, n, gradient)


@njit(cache=True, inline="always")
def _turn(strain, n, gradient):  # type: ignore[no-untyped-def]
    """Turn one strain by the rotation of the displacement gradient (Cayley's form, exact for a rigid turn)."""
    wx = 0.25 * (gradient[2, 1] - gradient[1, 2])
    wy = 0.25 * (gradient[0, 2] - gradient[2, 0])
    wz = 0.25 * (gradient[1, 0] - gradient[0, 1])
    if wx == 0.0 and wy == 0.0 and wz == 0.0:
        return
    w2 = wx * wx + wy * wy + wz * wz
    r = np.empty((3, 3))
    scale = 1.0 / (1.0 + w2)
    r[0, 0] = (1.0 + wx * wx - wy * wy - wz * wz) * scale
    r[1, 1] = (1.0 - wx * wx + wy * wy - wz * wz) * scale
    r[2, 2] = (1.0 - wx * wx - wy * wy + wz * wz) * scale
    r[0, 1], r[1, 0] = 2.0 * (wx * wy - wz) * scale, 2.0 * (wx * wy + wz) * scale
    r[0, 2], r[2, 0] = 2.0 * (wx * wz + wy) * scale, 2.0 * (wx * wz - wy) * scale
    r[1, 2], r[2, 1] = 2.0 * (wy * wz - wx) * scale, 2.0 * (wy * wz + wx) * scale
    e = np.empty((3, 3))
    e[0, 0], e[1, 1], e[2, 2] = strain[0, n], strain[1, n], strain[2, n]
    e[1, 2] = e[2, 1] = 0.5 * strain[3, n]
    e[0, 2] = e[2, 0] = 0.5 * strain[4, n]
    e[0, 1] = e[1, 0] = 0.5 * strain[5, n]
    turned = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            total = 0.0
            for c in range(3):
                for d in range(3):
                    total += r[a, c] * e[c, d] * r[b, d]
            turned[a, b] = total
    strain[0, n], strain[1, n], strain[2, n] = turned[0, 0], turned[1, 1], turned[2, 2]
    strain[3, n], strain[4, n], strain[5, n] = 2.0 * turned[1, 2], 2.0 * turned[0, 2], 2.0 * turned[0, 1]
