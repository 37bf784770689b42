"""Images on an oblique plane of the patient, for every picture that shows a cut."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vertecast.imaging.grid import Grid


@dataclass(frozen=True, eq=False)
class Plane:
    """A rectangle in the patient on which pictures are sampled.

    Parameters
    ----------
    points_lps : (rows, columns, 3), mm
        Row 0 is the top of the picture.
    extent_mm : (left, right, bottom, top), the picture's own axes, for ``imshow``
    """

    points_lps: NDArray[np.float64]
    extent_mm: tuple[float, float, float, float]

    @classmethod
    def across(
        cls,
        origin_lps: ArrayLike,
        right_lps: ArrayLike,
        up_lps: ArrayLike,
        extent_mm: tuple[float, float, float, float],
    ) -> "Plane":
        """Make the plane through ``origin_lps`` with the picture's right and up given as unit LPS directions."""
        left, right, bottom, top = extent_mm
        step = 0.4  # mm, finer than any CT's voxel
        u = np.arange(left, right, step) + step / 2
        v = np.arange(bottom, top, step)[::-1] + step / 2
        sideways = u[None, :, None] * np.asarray(right_lps, float)
        upwards = v[:, None, None] * np.asarray(up_lps, float)
        return cls(np.asarray(origin_lps, float) + sideways + upwards, extent_mm)

    def sampled(self, array: NDArray[np.generic], grid: Grid, *, order: int, outside: float) -> NDArray[np.float64]:
        """(rows, columns): ``array`` on this plane; order 1 for HU, 0 for labels."""
        indices = np.moveaxis(grid.to_voxel(self.points_lps), -1, 0)
        low = np.maximum(np.floor(indices.reshape(3, -1).min(axis=1)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(indices.reshape(3, -1).max(axis=1)).astype(int) + 2, grid.shape)
        if (high <= low).any():
            return np.full(indices.shape[1:], outside)
        crop = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float64)
        shifted = indices - low.reshape(3, 1, 1)
        return np.asarray(ndimage.map_coordinates(crop, shifted, order=order, cval=outside, output=np.float64))
