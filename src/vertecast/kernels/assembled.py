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
