"""How deep an endplate is dished or pushed in, and in which fifth of its depth the deepest place lies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.quantities import Measured
from vertecast.spine.endplates import Endplate, Side, fitted_plane, shrunk

SEGMENTS = ("a1", "a2", "m", "p1", "p2")
"""Fifths of the endplate's depth, from front to back (clinical.md 2.4)."""

_RIM = (0.98, 0.85)  # linear shares of the outline between which the rim lies
_INNER = 0.85  # share within which the deepest place is sought


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth of one endplate below the plane of its rim.

    Parameters
    ----------
    side : which endplate
    depth : (nx, ny), mm, positive into the body; NaN outside the outline; on the endplate's grid lines
    deepest_mm : greatest depth of the inner endplate
    mean_mm : mean depth over the inner endplate
    segment : fifth of the depth that holds the deepest place
    deepest_point : (3,), mm, in the vertebral frame
    """

    side: Side
    depth: NDArray[np.float64]
    deepest_mm: Measured
    mean_mm: Measured
    segment: str
    deepest_point: NDArray[np.float64]


def map_depth(plate: Endplate, point_error: float) -> DepthMap:
    """Map the depth of an endplate.

    Parameters
    ----------
    point_error : standard deviation of the surface at a point, in voxel steps
    """
    x, y = np.meshgrid(plate.x, plate.y, indexing="ij")
    rim = shrunk(plate.inside, _RIM[0]) & ~shrunk(plate.inside, _RIM[1])
    inner = shrunk(plate.inside, _INNER)
    if rim.sum() < 12 or not inner.any():
        raise GeometryError("the endplate is too small for a depth map")
    surface = plate.field.at(x, y)
    plane = fitted_plane(np.stack([x[rim], y[rim], surface[rim]], axis=1))
    depth = plate.side.sign * (plane[0] + plane[1] * x + plane[2] * y - surface)
    i, j = np.unravel_index(int(np.argmax(np.where(inner, depth, -np.inf))), depth.shape)
    rows = np.flatnonzero(plate.inside.any(axis=0))
    share = (int(j) - int(rows[0]) + 0.5) / (rows[-1] - rows[0] + 1)
    error = 1.96 * point_error * plate.step
    method = "below the plane of the endplate's rim"
    return DepthMap(
        plate.side,
        np.where(plate.inside, depth, np.nan),
        Measured.with_error(float(depth[i, j]), error, method),
        Measured.with_error(float(depth[inner].mean()), error, method),
        SEGMENTS[min(int(share * len(SEGMENTS)), len(SEGMENTS) - 1)],
        np.array([x[i, j], y[i, j], surface[i, j]]),
    )
