"""The skin behind a vertebra as a height map, so that a search knows how long a way to it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.frames import Transform
from vertecast.planning.air import AirMap
from vertecast.planning.trajectory import Lines

_HALF, _PITCH, _STEP = 120.0, 4.0, 2.0  # mm: reach and pitch of the map, step of the rays
_ROUNDS = 4  # a line crosses the gently curved skin within a few rounds


@dataclass(frozen=True, slots=True, eq=False)
class SkinMap:
    """y of the skin in the vertebral frame over x and z, mm; known everywhere by its nearest known place."""

    height: NDArray[np.float64]

    def mirrored(self) -> "SkinMap":
        """Return the map with left and right exchanged."""
        return SkinMap(self.height[::-1])

    def distance(self, lines: Lines) -> NDArray[np.float64]:
        """(n,), mm: the way from each tip back to the skin."""
        rise = np.maximum(-lines.forward[:, 1], 0.2)
        away = np.full(len(lines), 60.0)
        for _ in range(_ROUNDS):
            at = lines.tip - away[:, None] * lines.forward
            index = np.clip(np.rint((at[:, [0, 2]] + _HALF) / _PITCH).astype(np.intp), 0, self.height.shape[0] - 1)
            away = np.maximum((self.height[index[:, 0], index[:, 1]] - lines.tip[:, 1]) / rise, 0.0)
        return np.asarray(away)


def skin_map(air: AirMap, vert_from_lps: Transform, first_y: float) -> SkinMap | None:
    """Look straight behind the vertebra for the skin; ``None`` when the image shows none.

    Parameters
    ----------
    first_y : mm, where the rays begin, behind the canal
    """
    across = np.arange(-_HALF, _HALF + _PITCH / 2, _PITCH)
    y = np.arange(first_y, first_y + air.furthest, _STEP)
    points = np.stack(np.meshgrid(across, across, y, indexing="ij"), axis=-1)
    index = np.rint(air.grid.to_voxel(vert_from_lps.inverse.apply(points))).astype(np.intp)
    inside = np.asarray(((index >= 0) & (index < np.array(air.grid.shape))).all(axis=-1))
    index = np.where(inside[..., None], index, 0)
    beyond = np.asarray(air.outer[index[..., 0], index[..., 1], index[..., 2]] & inside)
    starts = inside[..., 0] & ~beyond[..., 0]
    known = beyond.any(axis=-1) & starts
    if not known.any():
        return None
    height = y[beyond.argmax(axis=-1)]
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return SkinMap(height[tuple(nearest)])
