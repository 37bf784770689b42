"""Material points that carry mass, stress and history through a fixed grid; eight to a voxel at the start.

The grid only solves. Before an increment the Gauss points take the mean of the material points in their octant; after
it, the points take the *change* of their octant, so what does not move does not smear. Then they travel.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.cavity_slots import Carried

Array = NDArray[np.float64]

_CLOSED = 1e-3  # opening that a closed part of a voxel counts as when the tension cut-offs of its parts are mixed


@dataclass(frozen=True, slots=True, eq=False)
class MaterialPoints:
    """What the material carries; n points.

    Parameters
    ----------
    place : (3, n), mm in grid coordinates
    volume, mass : (n,), mm³ and the caller's unit of mass
    stress : (6, n), MPa
    gap : (6, n), strain of open gaps, Voigt with engineering shear
    kappa : (n,), equivalent plastic strain
    torn : (n,), largest opening so far, strain: root of gap : gap
    damage : (n,), 0-1, the caller's; carried unchanged
    label : (n,), the caller's; carried unchanged
    lattice : (3, n), octant that each belongs to: where it lies, but for moves that only restore a balance
    """

    place: Array
    volume: Array
    mass: Array
    stress: Array
    gap: Array
    kappa: Array
    torn: Array
    damage: Array
    label: NDArray[np.integer]
    lattice: NDArray[np.int32]

    @property
    def count(self) -> int:
        """Number of points."""
        return int(self.volume.size)

    def filled(self, nodes: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return which voxels of a grid of so many nodes hold a point."""
        voxel = self.lattice // 2
        inside = np.all((voxel >= 0) & (voxel < np.reshape(nodes, (3, 1)) - 1), axis=0)
        out = np.zeros([n - 1 for n in nodes], dtype=bool)
        out[tuple(voxel[:, inside])] = True
        return out


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
        stress=np.zeros((6, volume.size)),
        gap=np.zeros((6, volume.size)),
        kappa=np.zeros(volume.size),
        torn=np.zeros(volume.size),
        damage=damage[voxel].astype(float),
        label=label[voxel].astype(np.int16),
        lattice=np.stack(at).astype(np.int32),
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
    """Return each point's voxel and octant."""
    packed = np.full(mesh.shape, -1, dtype=np.int64)
    packed[mesh.mask] = np.arange(mesh.count)
    octants = points.lattice.astype(np.int64)
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


def crowding(homes_: Homes, points: MaterialPoints, mesh: BrickMesh, weight: Array) -> Array:
    """Return by how much too large the points of each active voxel are for the material around it; (n,), about 1.

    Both are summed over the voxel and its neighbours: one point more or less in a voxel says nothing.
    """
    known = homes_.known
    volume = np.bincount(homes_.element[known], points.volume[known], mesh.count)
    room = weight * float(np.prod(mesh.spacing))
    held, there = (ndimage.uniform_filter(mesh.unpack(one), 3, mode="constant") for one in (volume, room))
    return np.asarray((held / np.maximum(there, 1e-300))[mesh.mask])


def cell_constants(
    constants: Callable[[Array, Array, Array, NDArray[np.int64], Array], Array],
    homes_: Homes,
    points: MaterialPoints,
    mesh: BrickMesh,
    weight: Array,
) -> Array:
    """Return the law's constants (4, n) of the active voxels.

    Notes
    -----
    A voxel that holds several labels is their mixture by volume: moduli add, yield stress and tension cut-off are those
    of parts in a row (harmonic mean), so that a part that does not yield or open at all does not keep the rest from it.
    For the cut-off the parts with open gaps count by their opening: a gap that reaches into a voxel opens it.
    ``weight`` (n,) is the share of each voxel that is material: density is mass over the room there is (`crowding`).
    """
    known = homes_.known
    home, volume = homes_.element[known], points.volume[known]
    label = points.label[known].astype(np.int64)
    low = int(label.min(initial=0))
    kinds = int(label.max(initial=0)) - low + 1
    pair = home * kinds + (label - low)
    total = np.bincount(pair, volume, kinds * mesh.count)
    part = np.flatnonzero(total)
    cell, amount = part // kinds, total[part]
    density, damage, kappa, torn = (
        np.bincount(pair, volume * values[known], total.size)[part] / amount
        for values in (points.mass / points.volume, points.damage, points.kappa, points.torn)
    )
    density = density * crowding(homes_, points, mesh, weight)[cell]
    found = constants(density, damage, kappa, part % kinds + low, torn)
    filled = np.bincount(cell, amount, mesh.count)
    out = np.empty((4, mesh.count))
    share = np.divide(1.0, filled, out=np.zeros(mesh.count), where=filled > 0)
    for row in (0, 1):
        out[row] = np.bincount(cell, amount * found[row], mesh.count) * share
    open_ = np.bincount(pair, volume * np.abs(points.gap[:, known]).sum(axis=0), total.size)[part] + _CLOSED * amount
    for row, by in ((2, amount), (3, open_)):
        least = np.bincount(cell, by / found[row], mesh.count)
        whole = np.bincount(cell, by, mesh.count)
        out[row] = np.divide(whole, least, out=np.full(mesh.count, np.inf), where=least > 0)
    if (filled <= 0).any():
        out = out[:, _nearest_filled(mesh, filled > 0)]
    return np.ascontiguousarray(out)


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


def slot_means(homes_: Homes, points: MaterialPoints, mesh: BrickMesh, whole: NDArray[np.bool_]) -> Carried:
    """Return what the Gauss points carry.

    Parameters
    ----------
    whole : (n,), voxels no wall cuts; in the others, and in empty octants, all eight take the voxel's mean
    """
    known = homes_.known
    slot = np.where(known, homes_.octant * mesh.count + homes_.element, -1)
    sums = np.zeros((14, 8 * mesh.count))
    _sum_slots(slot, points.volume, points.stress, points.gap, points.kappa, sums)
    total = sums[13].reshape(8, -1)
    cell = total.sum(axis=0)
    borrowed = (total <= 0) | ~whole
    source = _nearest_filled(mesh, cell > 0) if (cell <= 0).any() else None
    stress, gap = np.empty((8, 6, mesh.count)), np.empty((8, 6, mesh.count))
    for i in range(6):
        stress[:, i] = _filled(sums[i], total, borrowed, source)
        gap[:, i] = _filled(sums[6 + i], total, borrowed, source) if sums[6 + i].any() else 0.0
    return Carried(stress, gap, _filled(sums[12], total, borrowed, source))


@njit(cache=True)
def _sum_slots(slot, volume, stress, gap, kappa, sums):  # type: ignore[no-untyped-def]
    """Add volume-weighted stress, gap, kappa, and the volume, of each point to the column of its slot."""
    for n in range(slot.size):
        at = slot[n]
        if at < 0:
            continue
        for i in range(6):
            sums[i, at] += volume[n] * stress[i, n]
            sums[6 + i, at] += volume[n] * gap[i, n]
        sums[12, at] += volume[n] * kappa[n]
        sums[13, at] += volume[n]


def _filled(sums: Array, total: Array, borrowed: NDArray[np.bool_], source: NDArray[np.int64] | None) -> Array:
    values = sums.reshape(total.shape)
    cell = total.sum(axis=0)
    mean = np.divide(values.sum(axis=0), cell, out=np.zeros(cell.size), where=cell > 0)
    if source is not None:
        mean = mean[source]
    own = np.divide(values, total, out=np.zeros(total.shape), where=total > 0)
    return np.where(borrowed, mean, own)


def changed(points: MaterialPoints, homes_: Homes, before: Carried, after: Carried) -> MaterialPoints:
    """Return the points with the change of their octant from first to second state."""
    known = homes_.known
    home, octant = homes_.element[known], homes_.octant[known]
    stress, gap, kappa = points.stress.copy(), points.gap.copy(), points.kappa.copy()
    for i in range(6):
        stress[i, known] += (after.stress[:, i] - before.stress[:, i])[octant, home]
        gap[i, known] += (after.gap[:, i] - before.gap[:, i])[octant, home]
    kappa[known] += (after.kappa - before.kappa)[octant, home]
    opening = np.sqrt((gap[:3] ** 2).sum(axis=0) + 0.5 * (gap[3:] ** 2).sum(axis=0))
    torn = np.maximum(points.torn, opening)
    return replace(points, stress=stress, gap=gap, kappa=np.maximum(kappa, 0.0), torn=torn)


def travelled(
    points: MaterialPoints, du: Array, spacing: tuple[float, float, float], *, hop: bool = True
) -> MaterialPoints:
    """Return the points after the displacement ``du`` (3, *nodes), mm: moved, turned, and their volume changed.

    Without ``hop`` they stay with their octants, for a small move: each that changes takes its stress along at once,
    and half a percent of them leave a tenth of the forces out of balance.
    """
    place, volume = points.place.copy(), points.volume.copy()
    stress, gap = points.stress.copy(), points.gap.copy()
    travel(place, stress, gap, volume, np.ascontiguousarray(du), np.asarray(spacing, dtype=float))
    if not hop:
        return replace(points, place=place, stress=stress, gap=gap, volume=volume)
    lattice = np.floor(place / (0.5 * np.reshape(spacing, (3, 1)))).astype(np.int32)
    return replace(points, place=place, stress=stress, gap=gap, volume=volume, lattice=lattice)


@njit(cache=True, parallel=True)
def travel(place, stress, gap, volume, du, spacing):  # type: ignore[no-untyped-def]
    """Move points in place by trilinear ``du``; turn ``stress`` and ``gap`` by the voxel's spin, stretch ``volume``.

    Empty ones (6, 0) move places only.
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
        if stress.shape[1]:
            volume[n] *= _stretch(gradient)
            _turn(stress, n, gradient, 1.0)
            _turn(gap, n, gradient, 0.5)


@njit(cache=True, inline="always")
def _stretch(g):  # type: ignore[no-untyped-def]
    """Return det(1 + gradient): what a volume that is moved to first order grows by, kept positive."""
    a, b, c = 1.0 + g[0, 0], 1.0 + g[1, 1], 1.0 + g[2, 2]
    whole = a * (b * c - g[1, 2] * g[2, 1])
    whole -= g[0, 1] * (g[1, 0] * c - g[1, 2] * g[2, 0])
    whole += g[0, 2] * (g[1, 0] * g[2, 1] - b * g[2, 0])
    return max(whole, 0.1)


@njit(cache=True, inline="always")
def _turn(tensor, n, gradient, part):  # type: ignore[no-untyped-def]
    """Turn a tensor by the displacement gradient's rotation (Cayley's form, exact); ``part`` of its shear entries."""
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
    e[0, 0], e[1, 1], e[2, 2] = tensor[0, n], tensor[1, n], tensor[2, n]
    e[1, 2] = e[2, 1] = part * tensor[3, n]
    e[0, 2] = e[2, 0] = part * tensor[4, n]
    e[0, 1] = e[1, 0] = part * tensor[5, n]
    turned = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            total = 0.0
            for c in range(3):
                for d in range(3):
                    total += r[a, c] * e[c, d] * r[b, d]
            turned[a, b] = total
    tensor[0, n], tensor[1, n], tensor[2, n] = turned[0, 0], turned[1, 1], turned[2, 2]
    tensor[3, n], tensor[4, n], tensor[5, n] = turned[1, 2] / part, turned[0, 2] / part, turned[0, 1] / part
