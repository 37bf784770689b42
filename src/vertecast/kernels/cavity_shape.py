"""A cavity held by a level set: its distance field on the nodes, its share of every cell's octants, volume and area.

``distance`` is negative inside the cavity. A voxel has eight octants, each the home of one Gauss point; what a plane
cuts off an octant is exact, so a smooth wall crosses the grid without steps.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vertecast.core.errors import GeometryError

Array = NDArray[np.float64]
_QUARTER = (-7 / 128, 105 / 128, 35 / 128, -5 / 128)  # Lagrange's weights of four nodes at a quarter of the middle edge
_THINNEST = 1e-3  # share of the largest slope that the smaller ones of a cutting plane are raised to


def node_places(node_shape: Sequence[int], spacing: Sequence[float]) -> Array:
    """Return the positions (3, nx + 1, ny + 1, nz + 1) of the nodes, mm in grid coordinates."""
    axes = [np.arange(n, dtype=float) * h for n, h in zip(node_shape, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def sphere(node_shape: Sequence[int], spacing: Sequence[float], centre: Sequence[float], radius: float) -> Array:
    """Return the distance field of a sphere, mm; ``centre`` in grid coordinates."""
    places = node_places(node_shape, spacing) - np.reshape(np.asarray(centre, dtype=float), (3, 1, 1, 1))
    return np.asarray(np.sqrt((places**2).sum(axis=0)) - radius)


def capsule(
    node_shape: Sequence[int], spacing: Sequence[float], ends: tuple[Sequence[float], Sequence[float]], radius: float
) -> Array:
    """Return the distance field of a rod with round ends, mm: a folded balloon or a needle; ``ends`` of its axis."""
    places = node_places(node_shape, spacing)
    first, second = (np.reshape(np.asarray(end, dtype=float), (3, 1, 1, 1)) for end in ends)
    axis = second - first
    along = ((places - first) * axis).sum(axis=0) / max(float((axis**2).sum()), 1e-300)
    nearest = first + np.clip(along, 0.0, 1.0) * axis
    return np.asarray(np.sqrt(((places - nearest) ** 2).sum(axis=0)) - radius)


def octant_values(nodal: Array) -> Array:
    """Interpolate a nodal field to the octants' centres by cubics along each axis; (2 nx, 2 ny, 2 nz).

    A straight line between nodes would put a curved wall too far out by h²/11 of its curvature.
    """
    field = nodal
    for axis in range(3):
        line = np.moveaxis(field, axis, 0)
        if line.shape[0] > 2:
            before = (3.0 * line[0] - 3.0 * line[1] + line[2])[None]
            after = (3.0 * line[-1] - 3.0 * line[-2] + line[-3])[None]
        else:
            before, after = (2.0 * line[0] - line[1])[None], (2.0 * line[-1] - line[-2])[None]
        line = np.concatenate([before, line, after])
        w = _QUARTER
        low = w[0] * line[:-3] + w[1] * line[1:-2] + w[2] * line[2:-1] + w[3] * line[3:]
        high = w[3] * line[:-3] + w[2] * line[1:-2] + w[1] * line[2:-1] + w[0] * line[3:]
        both = np.stack([low, high], axis=1)
        field = np.moveaxis(both.reshape(-1, *line.shape[1:]), 0, axis)
    return np.ascontiguousarray(field)


def gauss_order(octants: NDArray[np.generic]) -> NDArray[np.generic]:
    """Turn a lattice of octants (2 nx, 2 ny, 2 nz) into (8, nx, ny, nz) in the order of the Gauss points."""
    nx, ny, nz = (n // 2 for n in octants.shape)
    split = octants.reshape(nx, 2, ny, 2, nz, 2).transpose(1, 3, 5, 0, 2, 4)
    return split.reshape(8, nx, ny, nz)


def octant_order(gauss: NDArray[np.generic]) -> NDArray[np.generic]:
    """Turn (8, nx, ny, nz) back into the lattice of octants: the inverse of :func:`gauss_order`."""
    _, nx, ny, nz = gauss.shape
    return gauss.reshape(2, 2, 2, nx, ny, nz).transpose(3, 0, 4, 1, 5, 2).reshape(2 * nx, 2 * ny, 2 * nz)


def cut_share(value: Array, slopes: Array) -> Array:
    """Return the share of a unit cube in which ``value + slopes . t < 0``, t from -1/2 to 1/2.

    Parameters
    ----------
    value : (n,), the plane's function at the centre
    slopes : (3, n), its change across the cube along each axis

    References
    ----------
    .. [1] Scardovelli, Zaleski, J Comput Phys 164 (2000) 228: the volume a plane cuts off a cube.
    """
    a = np.abs(slopes)
    a = np.maximum(a, np.maximum(_THINNEST * a.max(axis=0), 1e-300))
    level = 0.5 * a.sum(axis=0) - value
    total = np.maximum(level, 0.0) ** 3
    for i in range(3):
        j = (i + 1) % 3
        total -= np.maximum(level - a[i], 0.0) ** 3
        total += np.maximum(level - a[i] - a[j], 0.0) ** 3
    total -= np.maximum(level - a.sum(axis=0), 0.0) ** 3
    return np.asarray(np.clip(total / (6.0 * a.prod(axis=0)), 0.0, 1.0))


def cavity_share(distance: Array, spacing: Sequence[float]) -> Array:
    """Return the share of each octant that lies in the cavity; (2 nx, 2 ny, 2 nz), 0-1."""
    share = np.zeros([2 * (n - 1) for n in distance.shape])
    near = np.nonzero(distance < 2.0 * max(spacing))
    if near[0].size:
        nodes = [
            (max(0, int(n.min()) - 2), min(size, int(n.max()) + 3))
            for n, size in zip(near, distance.shape, strict=True)
        ]
        octants = tuple(slice(2 * low, 2 * (high - 1)) for low, high in nodes)
        share[octants] = _share_of_box(distance[tuple(slice(*n) for n in nodes)], spacing)
    return share


def _share_of_box(distance: Array, spacing: Sequence[float]) -> Array:
    value = octant_values(distance)
    half = 0.5 * np.asarray(spacing, dtype=float)
    share = (value < 0).astype(float)
    near = np.abs(value) < 1.5 * float(np.linalg.norm(half))
    at = np.nonzero(near)
    slopes = np.empty((3, at[0].size))
    for axis in range(3):
        last = value.shape[axis] - 1
        up = tuple(np.minimum(i + 1, last) if k == axis else i for k, i in enumerate(at))
        down = tuple(np.maximum(i - 1, 0) if k == axis else i for k, i in enumerate(at))
        slopes[axis] = (value[up] - value[down]) / np.maximum(up[axis] - down[axis], 1)
    share[at] = cut_share(value[at], slopes)
    return share


def cavity_volume(distance: Array, spacing: Sequence[float]) -> float:
    """Return the cavity's volume, mm³."""
    return float(cavity_share(distance, spacing).sum() * np.prod(spacing) / 8.0)


def wall_points(distance: Array, spacing: Sequence[float]) -> tuple[Array, Array]:
    """Return points (n, 3) of the wall, mm, where it crosses the grid's edges, and its outward normals."""
    gradient = np.stack([np.asarray(one) for one in np.gradient(distance, *spacing)])
    places, normals = [], []
    for axis in range(3):
        low = tuple(slice(None, -1) if k == axis else slice(None) for k in range(3))
        high = tuple(slice(1, None) if k == axis else slice(None) for k in range(3))
        a, b = distance[low], distance[high]
        at = np.nonzero((a < 0) != (b < 0))
        share = a[at] / (a[at] - b[at])
        place = np.stack(at, axis=1).astype(float)
        place[:, axis] += share
        places.append(place * np.asarray(spacing))
        normals.append(np.stack([(1 - share) * g[low][at] + share * g[high][at] for g in gradient], axis=1))
    normal = np.concatenate(normals)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return np.concatenate(places), normal / np.maximum(length, 1e-300)


def redistanced(distance: Array, spacing: Sequence[float], band: float) -> Array:
    """Return the field with true distances up to ``band`` mm from the wall, and at least ``band`` beyond, sign kept.

    A node takes its distance to the plane of the nearest wall point; the whole field is then shifted by the little that
    keeps the volume.
    """
    out = _to_nearest_plane(distance, spacing, band)
    wanted = cavity_volume(distance, spacing)
    h = min(spacing)
    for _ in range(2):
        now = cavity_volume(out, spacing)
        area = (cavity_volume(out - 0.05 * h, spacing) - now) / (0.05 * h)
        if area <= 0.0:
            break
        out = out - np.clip((wanted - now) / area, -0.2 * h, 0.2 * h)
    return out


def _to_nearest_plane(distance: Array, spacing: Sequence[float], band: float) -> Array:
    places, normals = wall_points(distance, spacing)
    if not len(places):
        raise GeometryError("the cavity has no wall on this grid; it vanished or fills everything: use a finer grid")
    tree = cKDTree(places)
    slope = max(1.0, float(np.abs(distance).max()) * 1e-9)
    near = np.nonzero(np.abs(distance) < 2.0 * band * slope)
    nodes = np.stack(near, axis=1) * np.asarray(spacing)
    away, nearest = tree.query(nodes, distance_upper_bound=1.5 * band)
    found = np.isfinite(away)
    sign = np.where(distance < 0, -1.0, 1.0)
    out = sign * np.maximum(np.abs(distance), band)
    inside = tuple(i[found] for i in near)
    offset = nodes[found] - places[nearest[found]]
    plane = (offset * normals[nearest[found]]).sum(axis=1)
    close = np.abs(plane) >= 0.5 * away[found]  # at a sharp edge the nearest point's plane says little
    out[inside] = np.where(close, sign[inside] * np.abs(plane), sign[inside] * away[found])
    return np.asarray(out)
