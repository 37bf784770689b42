"""The voxels that take part: active mask, spacing, and its rows as runs of consecutive voxels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import GeometryError, ParameterError

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class BrickMesh:
    """One eight-node brick for each active voxel of a regular grid.

    Parameters
    ----------
    mask : (nx, ny, nz) bool
        Active voxels; at least one.
    spacing : (3,), mm
        Voxel edges, not necessarily equal.

    Notes
    -----
    Element quantities are *packed*: (count,), in C order of the mask. The nodes are the voxel corners, so a nodal field
    has the shape ``node_shape`` = (nx + 1, ny + 1, nz + 1) and the node (0, 0, 0) is the origin of grid coordinates.
    """

    mask: NDArray[np.bool_]
    spacing: tuple[float, float, float]

    @classmethod
    def from_mask(cls, mask: ArrayLike, spacing: ArrayLike) -> "BrickMesh":
        """Check the mask and the spacing, and copy them."""
        active = np.array(mask, dtype=bool, order="C")
        edges = np.asarray(spacing, dtype=float)
        if active.ndim != 3:
            raise GeometryError(f"mask has {active.ndim} axes, a voxel grid has 3; give a (nx, ny, nz) array")
        if edges.shape != (3,) or not np.all(np.isfinite(edges)) or edges.min() <= 0:
            raise GeometryError(f"spacing {edges.tolist()} mm must be three positive numbers")
        if not active.any():
            raise GeometryError(f"no active voxel in the mask of shape {active.shape}; there is nothing to solve")
        active.setflags(write=False)
        return cls(active, (float(edges[0]), float(edges[1]), float(edges[2])))

    @property
    def shape(self) -> Shape:
        """Voxels along each axis."""
        nx, ny, nz = self.mask.shape
        return nx, ny, nz

    @property
    def node_shape(self) -> Shape:
        """Nodes along each axis."""
        nx, ny, nz = self.mask.shape
        return nx + 1, ny + 1, nz + 1

    @cached_property
    def count(self) -> int:
        """Number of active voxels."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def nodes(self) -> NDArray[np.bool_]:
        """Nodes that belong to at least one active voxel; (nx + 1, ny + 1, nz + 1)."""
        return corners_of(self.mask)

    @cached_property
    def row_start(self) -> NDArray[np.int64]:
        """First packed element of each voxel row (i, j), and the end; (nx * ny + 1,)."""
        per_row = np.count_nonzero(self.mask.reshape(-1, self.mask.shape[2]), axis=1)
        return np.concatenate([[0], np.cumsum(per_row)])

    @cached_property
    def runs(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Runs of consecutive active voxels in each row.

        Returns
        -------
        (nx * ny + 1,), first run of each row, and the end
        (runs, 3), first voxel, end voxel, first packed element of each run
        """
        rows = self.mask.reshape(-1, self.mask.shape[2])
        padded = np.zeros((rows.shape[0], rows.shape[1] + 2), dtype=np.int8)
        padded[:, 1:-1] = rows
        change = np.diff(padded, axis=1)
        row, first = np.nonzero(change == 1)
        end = np.nonzero(change == -1)[1]
        start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows.shape[0]))])
        packed = np.concatenate([[0], np.cumsum(end - first)])[:-1]
        return start.astype(np.int32), np.stack([first, end, packed], axis=1).astype(np.int32)

    def pack(self, field: ArrayLike) -> NDArray[np.float64]:
        """Take the active voxels' values; a number is repeated for each."""
        values = np.asarray(field, dtype=float)
        if values.ndim == 0:
            return np.full(self.count, float(values))
        if values.shape != self.mask.shape:
            raise ParameterError(f"field of shape {values.shape} does not fit the grid {self.mask.shape}")
        return np.ascontiguousarray(values[self.mask])

    def unpack(self, values: ArrayLike, fill: float = 0.0) -> NDArray[np.float64]:
        """Put packed values back on the grid; ``fill`` elsewhere."""
        field = np.full(self.mask.shape, fill)
        field[self.mask] = values
        return field

    def slab(self, first: int, end: int) -> slice:
        """Return the packed elements of the voxel planes ``first`` <= i < ``end``."""
        return slice(int(self.row_start[first * self.mask.shape[1]]), int(self.row_start[end * self.mask.shape[1]]))

    def node_coordinates(self, axis: int) -> NDArray[np.float64]:
        """Positions of the node planes along one axis, mm."""
        return np.arange(self.node_shape[axis], dtype=np.float64) * self.spacing[axis]


def corners_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the nodes that are a corner of at least one voxel of the mask."""
    nodes = np.zeros([n + 1 for n in mask.shape], dtype=bool)
    for i in (slice(0, -1), slice(1, None)):
        for j in (slice(0, -1), slice(1, None)):
            for k in (slice(0, -1), slice(1, None)):
                nodes[i, j, k] |= mask
    return nodes


def lame_parameters(young: ArrayLike, poisson: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Lame's lambda and mu of an isotropic material.

    Parameters
    ----------
    young : any shape, MPa, positive
    poisson : same shape or a number, between -1 and 0.5 (both excluded)
    """
    modulus, ratio = np.broadcast_arrays(np.asarray(young, dtype=float), np.asarray(poisson, dtype=float))
    if not np.all(np.isfinite(modulus)) or modulus.size == 0 or modulus.min() <= 0:
        worst = float(modulus.min()) if modulus.size and np.all(np.isfinite(modulus)) else float("nan")
        raise ParameterError(f"Young's modulus {worst} MPa must be positive and finite in every active voxel")
    if not np.all((ratio > -1) & (ratio < 0.5)):
        raise ParameterError(
            f"Poisson's ratio from {ratio.min()} to {ratio.max()} leaves (-1, 0.5); use 0.499 for nearly incompressible"
        )
    mu = modulus / (2 * (1 + ratio))
    return np.asarray(2 * mu * ratio / (1 - 2 * ratio)), np.asarray(mu)
