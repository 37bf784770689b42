"""The assembled twin: the same problems as sparse matrices and a direct solve, by other code, to check the fast ones.

Small grids only. The matrix comes from the Gauss-point strain matrices, the platens from an explicit basis.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from vertecast.core.errors import ParameterError
from vertecast.kernels.brick_modes import Integration, stiffness_parts
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.constraints import FIXED, FREE, Constraints, ties_of
from vertecast.kernels.elastic_grid import element_nodes

Array = NDArray[np.float64]
LARGEST = 60_000


def assembled_stiffness(mesh: BrickMesh, lame: Array, mu: Array, integration: Integration) -> Any:
    """Return the sparse K of all nodes; unknown = component * nodes + node."""
    total = int(np.prod(mesh.node_shape))
    if 3 * total > LARGEST:
        raise ParameterError(f"{3 * total} unknowns are more than the {LARGEST} the assembled twin is for; use solve")
    unknowns = (element_nodes(mesh)[:, :, None] + total * np.arange(3)).reshape(mesh.count, 24)
    first, second = stiffness_parts(mesh.spacing, integration)
    values = np.asarray(lame)[:, None, None] * first + np.asarray(mu)[:, None, None] * second
    rows = np.repeat(unknowns, 24, axis=1).ravel()
    columns = np.tile(unknowns, (1, 24)).ravel()
    return sparse.csr_matrix((values.ravel(), (rows, columns)), shape=(3 * total, 3 * total))


def assembled_solve(stiffness: Any, mesh: BrickMesh, constraints: Constraints, load: Array | None = None) -> Array:
    """Return the displacement (3, nodes) by a direct solve in the space that the constraints leave."""
    kinds = constraints.kinds(mesh)
    ties = ties_of(kinds, mesh.spacing, constraints.platens, np.zeros(3))
    free = np.flatnonzero(kinds.ravel() == FREE)
    tied = sparse.csr_matrix(
        (
            ties.matrix.ravel(),
            (np.repeat(ties.index, ties.free.size), np.tile(np.arange(ties.free.size), ties.index.size)),
        ),
        shape=(kinds.size, ties.free.size),
    )
    nodal = sparse.csr_matrix((np.ones(free.size), (free, np.arange(free.size))), shape=(kinds.size, free.size))
    basis = sparse.hstack([nodal, tied[:, np.flatnonzero(ties.free)]]).tocsc()
    given = np.zeros(kinds.size)
    if constraints.values is not None:
        fixed = kinds.ravel() == FIXED
        given[fixed] = np.where(constraints.fixed, constraints.values, 0.0).ravel()[fixed]
    forces = np.zeros(ties.free.size)
    motions = np.zeros(ties.free.size)
    for number, platen in enumerate(constraints.platens):
        forces[3 * number] = platen.force or 0.0
        motions[3 * number] = platen.displacement or 0.0
    given += tied @ motions
    outer = np.zeros(kinds.size) if load is None else load.ravel()
    right = basis.T @ (outer - stiffness @ given)
    right[free.size :] += forces[ties.free]
    solution = splu((basis.T @ stiffness @ basis).tocsc()).solve(right)
    return np.asarray(given + basis @ solution).reshape(kinds.shape)


class AssembledLevel:
    """The multigrid level in float64 sparse matrices: a second backend under the same driver.

    Parameters
    ----------
    stiffness : sparse K of all nodes
    free : flat bool, the free unknowns (no platens here)
    transfer : sparse interpolation from the next coarser level, or None on the coarsest
    weights : the smoother's
    """

    def __init__(
        self, stiffness: Any, free: NDArray[np.bool_], transfer: Any, weights: tuple[tuple[float, float], ...]
    ) -> None:
        self.stiffness, self.free, self.transfer, self.weights = stiffness, free, transfer, weights
        self.b, self.x = np.zeros(free.size), np.zeros(free.size)
        self.inverse = np.where(free, 1 / np.where(free, stiffness.diagonal(), 1), 0)

    def smooth(self, *, fresh: bool) -> None:
        """Run the Chebyshev steps, from zero when ``fresh``."""
        if fresh:
            self.x = np.zeros_like(self.b)
        step = np.zeros_like(self.b)
        for old, new in self.weights:
            step = old * step + new * self.inverse * (self.b - self.stiffness @ self.x)
            self.x = self.x + step

    def restrict_to(self, coarse: "AssembledLevel") -> None:
        """Make the coarse right-hand side from this level's residual."""
        residual = np.where(self.free, self.b - self.stiffness @ self.x, 0.0)
        coarse.b = np.where(coarse.free, self.transfer.T @ residual, 0.0)

    def prolong_from(self, coarse: "AssembledLevel") -> None:
        """Add the coarse unknown to this level's."""
        self.x = self.x + np.where(self.free, self.transfer @ coarse.x, 0.0)

    def solve(self) -> None:
        """Solve directly."""
        at = np.flatnonzero(self.free)
        self.x = np.zeros_like(self.b)
        self.x[at] = splu(self.stiffness[at][:, at].tocsc()).solve(self.b[at])


def interpolation(coarse: tuple[int, int, int], fine: tuple[int, int, int], steps: tuple[int, int, int]) -> Any:
    """Return the sparse trilinear interpolation of three components between nodal grids."""
    axes = []
    for m, n, step in zip(coarse, fine, steps, strict=True):
        matrix = sparse.lil_matrix((n, m))
        for i in range(n):
            matrix[i, i // step] += 0.5
            matrix[i, (i + step - 1) // step] += 0.5
        axes.append(matrix.tocsr())
    return sparse.kron(sparse.eye(3), sparse.kron(sparse.kron(axes[0], axes[1]), axes[2])).tocsr()
