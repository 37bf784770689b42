"""Where the voxels of an array are in the patient: shape and affine to LPS millimetres."""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.frames import LPS, Transform

VOXEL = "voxel"


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid in the patient; index (0, 0, 0) is the centre of the first voxel.

    Parameters
    ----------
    shape : number of voxels along the three array axes
    lps_from_voxel : affine from array indices to LPS mm; oblique directions are allowed, shear is not
    """

    shape: tuple[int, int, int]
    lps_from_voxel: Transform

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"grid shape {self.shape} needs three positive numbers")
        if (self.lps_from_voxel.target, self.lps_from_voxel.source) != (LPS, VOXEL):
            raise GeometryError(f"grid needs lps_from_voxel, got {self.lps_from_voxel.name}")
        columns = self.lps_from_voxel.matrix[:3, :3] / self.spacing
        if not np.allclose(columns.T @ columns, np.eye(3), atol=1e-3):
            raise GeometryError(
                "voxel axes are not at right angles (sheared affine, for instance gantry tilt); resample first"
            )

    @classmethod
    def from_affine(cls, shape: tuple[int, ...], matrix: ArrayLike) -> "Grid":
        """Make a grid from a bare (4, 4) affine to LPS mm."""
        return cls(tuple(int(n) for n in shape), Transform(np.asarray(matrix, float), LPS, VOXEL))  # type: ignore[arg-type]

    @cached_property
    def spacing(self) -> NDArray[np.float64]:
        """(3,), mm: voxel edge along each array axis."""
        return np.asarray(np.linalg.norm(self.lps_from_voxel.matrix[:3, :3], axis=0))

    @cached_property
    def directions(self) -> NDArray[np.float64]:
        """(3, 3): column ``i`` is the unit LPS direction of array axis ``i``."""
        return np.asarray(self.lps_from_voxel.matrix[:3, :3] / self.spacing)

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel, mm³."""
        return float(np.prod(self.spacing))

    def to_lps(self, voxels: ArrayLike) -> NDArray[np.float64]:
        """Map array indices (..., 3) to LPS mm."""
        return self.lps_from_voxel.apply(voxels)

    def to_voxel(self, points_lps: ArrayLike) -> NDArray[np.float64]:
        """Map LPS points (..., 3), mm, to fractional array indices."""
        return self.lps_from_voxel.inverse.apply(points_lps)

    @cached_property
    def corners_lps(self) -> NDArray[np.float64]:
        """(8, 3), mm: the outer corners of the corner voxels."""
        ends = [(-0.5, n - 0.5) for n in self.shape]
        return self.to_lps(list(itertools.product(*ends)))

    def same_as(self, other: "Grid", tolerance_mm: float = 1e-2) -> bool:
        """Tell whether two grids have one shape and put every voxel at the same place."""
        return self.shape == other.shape and bool(np.abs(self.corners_lps - other.corners_lps).max() <= tolerance_mm)
