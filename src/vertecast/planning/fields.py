"""Distance fields on a lattice of the vertebral frame: how deep in bone, how far from canal, neighbours and lung."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.special import ndtri

from vertecast.core.errors import GeometryError
from vertecast.core.frames import Transform
from vertecast.imaging.grid import Grid

_FAR = 1e3  # mm, the distance from something that is not there
_LEAST_BLUR = 0.6  # mm: finer voxels are blurred this much too, so that the lattice sees the slope of a surface
_FAINTEST = 2e-4  # occupancy beyond which a point is no longer on the slope of a surface


@dataclass(frozen=True, slots=True)
class Lattice:
    """A cubic lattice of a vertebral frame, symmetric about x = 0 so that a mirror maps it onto itself.

    Parameters
    ----------
    half_x : mm
    y, z : (low, high), mm
    pitch : mm
    """

    half_x: float
    y: tuple[float, float]
    z: tuple[float, float]
    pitch: float

    @property
    def first(self) -> NDArray[np.float64]:
        """(3,), mm: the lattice point of index (0, 0, 0)."""
        count = round(self.half_x / self.pitch)
        return np.array([-count * self.pitch, self.y[0], self.z[0]])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of points along x, y and z."""
        across = 2 * round(self.half_x / self.pitch) + 1
        deep, high = (round((b - a) / self.pitch) + 1 for a, b in (self.y, self.z))
        return across, deep, high

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which points (..., 3) lie on the lattice's box."""
        last = self.first + (np.array(self.shape) - 1) * self.pitch
        return np.asarray(((points >= self.first) & (points <= last)).all(axis=-1))


@dataclass(frozen=True, slots=True, eq=False)
class DistanceField:
    """Signed distance, mm, on a lattice; what is positive the maker says."""

    values: NDArray[np.float32]
    lattice: Lattice

    def at(self, points: ArrayLike) -> NDArray[np.float32]:
        """Return the distance at points (..., 3), mm, trilinear; outside the lattice that of its border."""
        indices = (np.asarray(points, np.float32) - self.lattice.first.astype(np.float32)) / self.lattice.pitch
        found = ndimage.map_coordinates(self.values, np.moveaxis(indices, -1, 0), order=1, mode="nearest")
        return np.asarray(found, np.float32)

    def mirrored(self) -> "DistanceField":
        """Return the field with left and right exchanged."""
        return DistanceField(self.values[::-1], self.lattice)


def soft_sample(mask: NDArray[np.bool_], grid: Grid, vert_from_lps: Transform, lattice: Lattice) -> NDArray[np.float32]:
    """Sample a mask on the lattice as occupancy 0 to 1, blurred by half a voxel so that its steps do not count.

    Raises
    ------
    GeometryError
        When mask and grid differ in shape.
    """
    if mask.shape != grid.shape:
        raise GeometryError(f"mask has shape {mask.shape}, its grid {grid.shape}; crop both alike")
    blur = np.maximum(0.5, _LEAST_BLUR / np.asarray(grid.spacing))
    pad = int(np.ceil(4.0 * blur.max()))
    soft = ndimage.gaussian_filter(np.pad(mask.astype(np.float32), pad), blur, truncate=4.0)
    voxel_from_vert = (vert_from_lps @ grid.lps_from_voxel).inverse
    matrix = voxel_from_vert.matrix[:3, :3] * lattice.pitch
    offset = voxel_from_vert.apply(lattice.first) + pad
    return np.asarray(
        ndimage.affine_transform(soft, matrix, offset=offset, output_shape=lattice.shape, order=1, mode="constant")
    )


def signed_depth(occupancy: NDArray[np.float32], lattice: Lattice) -> DistanceField:
    """Return the depth below the surface where the occupancy is one half: positive inside, negative outside, mm.

    The distance to the nearest lattice point across the surface is shortened by how far that point lies from the
    surface, by the occupancy there and its slope, so that the lattice's staircase does not count.
    """
    inside = occupancy >= 0.5
    if not inside.any():
        return DistanceField(np.full(lattice.shape, -_FAR, np.float32), lattice)
    beyond = _beyond(occupancy, lattice.pitch)
    depth = _to_surface(inside, beyond, lattice.pitch) - _to_surface(~inside, beyond, lattice.pitch)
    return DistanceField(depth, lattice)


def distance_from(occupancy: NDArray[np.float32], lattice: Lattice) -> DistanceField:
    """Return the distance from a region, mm: positive outside, 0 inside; very far when the region is empty."""
    inside = occupancy >= 0.5
    if not inside.any():
        return DistanceField(np.full(lattice.shape, _FAR, np.float32), lattice)
    return DistanceField(_to_surface(~inside, _beyond(occupancy, lattice.pitch), lattice.pitch), lattice)


def _beyond(occupancy: NDArray[np.float32], pitch: float) -> NDArray[np.float32]:
    """Return how far each lattice point near a surface lies from where the occupancy is one half, mm.

    Across a blurred flat surface the occupancy is a normal distribution's integral, so its inverse is linear in the
    distance and its slope gives the blur: no first-order error where the occupancy levels off.
    """
    along = ndtri(np.clip(occupancy, _FAINTEST, 1.0 - _FAINTEST)).astype(np.float32)
    slope = np.sqrt(sum(np.square(g) for g in np.gradient(along, pitch)))
    return np.asarray(np.minimum(np.abs(along) / np.maximum(slope, 1e-3), 1.8 * pitch), np.float32)


def _to_surface(region: NDArray[np.bool_], beyond: NDArray[np.float32], pitch: float) -> NDArray[np.float32]:
    """Return the distance from points of ``region`` to its surface, mm; 0 outside it."""
    distance, nearest = ndimage.distance_transform_edt(region, sampling=pitch, return_indices=True)
    found = np.maximum(distance - beyond[tuple(nearest)], 0.1 * pitch)
    return np.where(region, found, 0.0).astype(np.float32)
