"""One vertebra, split and oriented: what every measurement of it starts from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vertecast.core.frames import Transform
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.spine.solid import Solid


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One labelled vertebra on a crop of the label map.

    Parameters
    ----------
    level : its name
    grid : the crop, in the label map's own voxels
    mask, body, arch : (nx, ny, nz)
        The whole vertebra, its body, and the rest (pedicles included); body and arch are disjoint and make up the mask.
    vert_from_lps : rigid; x = left, y = posterior, z = superior of this vertebra, origin in the body centre
    """

    level: Level
    grid: Grid
    mask: NDArray[np.bool_]
    body: NDArray[np.bool_]
    arch: NDArray[np.bool_]
    vert_from_lps: Transform

    def coordinates(self) -> NDArray[np.float64]:
        """(nx, ny, nz, 3), mm: every voxel centre in the vertebral frame."""
        indices = np.moveaxis(np.indices(self.grid.shape), 0, -1)
        return (self.vert_from_lps @ self.grid.lps_from_voxel).apply(indices)

    @cached_property
    def solid(self) -> Solid:
        """The whole vertebra as a solid whose points are given in the vertebral frame."""
        return Solid.from_mask(self.mask, self.grid, self.vert_from_lps)

    @cached_property
    def body_solid(self) -> Solid:
        """The body as a solid whose points are given in the vertebral frame."""
        return Solid.from_mask(self.body, self.grid, self.vert_from_lps)
