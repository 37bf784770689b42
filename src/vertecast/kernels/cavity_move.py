"""How walls move with the material: displacement carried into the void, level sets transported and made true again."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.kernels.cavity_shape import redistanced, wall_points

Array = NDArray[np.float64]

_LAYERS = 4  # layers of nodes beyond the material that get a displacement
_BAND = 4.0  # voxels about a wall in which its distance field is kept true
_SLOPE = 0.15  # how far the slope of a distance field may be from one near the wall, for nine nodes of ten
_NEIGHBOURS = [(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1) if (i, j, k) != (0, 0, 0)]


def extended(u: Array, known: NDArray[np.bool_], layers: int = _LAYERS) -> Array:
    """Return ``u`` (3, *nodes) carried ``layers`` nodes beyond ``known``, by means of the neighbours."""
    out = np.where(known, u, 0.0)
    done = known.copy()
    shape = np.array(known.shape)
    for _ in range(layers):
        ring = ndimage.binary_dilation(done, np.ones((3, 3, 3), bool)) & ~done
        at = np.stack(np.nonzero(ring))
        if not at.shape[1]:
            break
        total, weight = np.zeros((3, at.shape[1])), np.zeros(at.shape[1])
        for offset in _NEIGHBOURS:
            near = at + np.reshape(offset, (3, 1))
            inside = np.all((near >= 0) & (near < shape[:, None]), axis=0)
            place = tuple(np.where(inside, near, 0))
            share = (inside & done[place]) / float(np.dot(offset, offset))
            total += share * out[(slice(None), *place)]
            weight += share
        out[(slice(None), *at)] = total / weight
        done |= ring
    return out


def moved_wall(distance: Array, du: Array, spacing: tuple[float, float, float]) -> Array:
    """Return the distance field after the material moved by ``du``: its value comes from where the material was."""
    if not du.any():
        return distance
    h = np.asarray(spacing)
    band = _BAND * float(h.max())
    near = np.abs(distance) < band
    box = tuple(slice(max(0, int(a.min()) - 2), int(a.max()) + 3) for a in np.nonzero(near))
    part, step = distance[box], du[(slice(None), *box)] / h.reshape(3, 1, 1, 1)
    places = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in part.shape], indexing="ij"))
    source = places - step
    for _ in range(2):
        carried = [ndimage.map_coordinates(one, source, order=1, mode="nearest") for one in step]
        source = places - np.stack(carried)
    padded = np.pad(part, 2, mode="reflect", reflect_type="odd")
    shifted = ndimage.map_coordinates(padded, source + 2, order=3, mode="nearest")
    out = distance.copy()
    out[box] = np.where(near[box], shifted, part)
    return out if _true(out[box], spacing) else redistanced(out, spacing, band)


def _true(distance: Array, spacing: tuple[float, float, float]) -> bool:
    """Tell whether the field is still a distance near the wall: making it one again costs a little noise each time."""
    slope = np.sqrt(sum(one**2 for one in np.gradient(distance, *spacing)))
    near = slope[np.abs(distance) < 1.5 * max(spacing)]
    return not near.size or bool(np.quantile(np.abs(near - 1.0), 0.9) < _SLOPE)


def wall_step(distance: Array, u: Array, known: NDArray[np.bool_], spacing: tuple[float, float, float]) -> float:
    """Return how far, in voxels, the fastest point of the wall moves across itself."""
    places, normals = wall_points(distance, spacing)
    du = extended(u, known, 1)
    index = (places / np.asarray(spacing)).T
    across = sum(
        normals[:, axis] * ndimage.map_coordinates(du[axis], index, order=1, mode="nearest") for axis in range(3)
    )
    return float(np.abs(across).max()) / min(spacing) if len(places) else 0.0
