"""A mask on a regular grid of the vertebral frame: soft occupancy, 1 inside, 0 outside, one half on the surface."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.frames import Transform
from vertecast.imaging.grid import Grid


@dataclass(frozen=True, eq=False)
class FrameSample:
    """Soft occupancy on a grid of a vertebral frame.

    Parameters
    ----------
    occupancy : (nx, ny, nz), 0 to 1, float32
    x, y, z : coordinates of the grid lines in the frame, mm; ``x`` is symmetric about 0, so that a mirror keeps it
    pitch : mm
    """

    occupancy: NDArray[np.float32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]
    pitch: float


def sample_mask(mask: NDArray[np.bool_], grid: Grid, vert_from_lps: Transform, pitch: float) -> FrameSample:
    """Sample a mask, linearly between voxel centres, on a grid of ``pitch`` that covers it with one pitch to spare."""
    vert_from_voxel = vert_from_lps @ grid.lps_from_voxel
    points = vert_from_voxel.apply(np.argwhere(mask))
    reach = pitch + 0.5 * float(grid.spacing.max())
    low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
    widest = max(-low[0], high[0])
    low[0], high[0] = -widest, widest
    lines = [np.arange(np.floor(a / pitch), np.ceil(b / pitch) + 1) * pitch for a, b in zip(low, high, strict=True)]
    voxel_from_vert = vert_from_voxel.inverse
    first = voxel_from_vert.apply([line[0] for line in lines])
    occupancy = ndimage.affine_transform(
        mask.astype(np.float32),
        voxel_from_vert.matrix[:3, :3] * pitch,
        offset=first,
        output_shape=tuple(len(line) for line in lines),
        order=1,
        mode="constant",
    )
    return FrameSample(occupancy, lines[0], lines[1], lines[2], pitch)
