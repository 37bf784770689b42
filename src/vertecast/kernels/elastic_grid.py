"""One elastic grid on the numba backend: the operator, and a level of the multigrid."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.kernels.brick_modes import Integration, mode_scales, stiffness_parts
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.constraints import FIXED, FREE, Ties
from vertecast.kernels.elastic_compiled import APPLY, CHEBYSHEV, RESIDUAL, elastic_parallel, elastic_serial
from vertecast.kernels.multigrid import chebyshev_weights
from vertecast.kernels.transfers_compiled import node_sums, prolong_nodes, restrict_nodes
from vertecast.kernels.vectors_compiled import back_solve, factor, first_step

Array = NDArray[Any]
SLAB = 8
SERIAL_NODES = 20_000


@dataclass(frozen=True, eq=False)
class ElasticOperator:
    """K(lambda, mu) on the active bricks of one grid, in the precision of ``material``.

    Parameters
    ----------
    mesh : active bricks
    material : (2, count) float32 or float64, MPa: lambda, mu
    integration : Integration
    """

    mesh: BrickMesh
    material: Array
    integration: Integration

    @cached_property
    def _tables(self) -> tuple[Array, ...]:
        """Runs, coefficients, node rows, slab bounds and the slabs' planes, as the compiled pass wants them."""
        dtype, (nx, ny, nz) = self.material.dtype, self.mesh.node_shape
        start, runs = self.mesh.runs
        weights = (*mode_scales(self.mesh.spacing), *self.integration.high_weights, 1 / 3, 1 / 9)
        rows = np.zeros((nx, ny, nz), dtype=np.bool_)
        rows[...] = np.any(self.mesh.nodes, axis=2, keepdims=True)
        bounds = np.linspace(0, nx - 1, max(1, (nx - 1) // SLAB) + 1).astype(np.int64)
        work = np.zeros((bounds.size - 1, 3, 3 * ny * nz), dtype)
        return start, runs, np.asarray(weights, dtype), rows, bounds, work

    def run(self, mode: int, x: Array, b: Array, d: Array, inverse: Array, out: Array, weights: Array) -> None:
        """Run the compiled pass on flat vectors; see :mod:`elastic_compiled`."""
        work = elastic_serial if x.size < SERIAL_NODES else elastic_parallel
        start, runs, coefficients, rows, bounds, planes = self._tables
        work(mode, x, self.material, start, runs, coefficients, rows, bounds, planes, b, d, inverse, out, weights)

    def apply(self, x: Array, out: Array) -> None:
        """Write K x into ``out``; both flat, ``out`` zero outside the body."""
        self.run(APPLY, x, x, x, x, out, np.zeros(2, x.dtype))

    def diagonal(self) -> Array:
        """Return the diagonal of K; flat, zero outside the body."""
        start, runs = self.mesh.runs
        parts = stiffness_parts(self.mesh.spacing, self.integration)
        result = np.zeros((3, *self.mesh.node_shape), self.material.dtype)
        for values, part in zip(self.material, parts, strict=True):
            sums = np.zeros(self.mesh.node_shape, self.material.dtype)
            node_sums(values, start, runs, sums)
            for component in range(3):
                result[component] += self.material.dtype.type(part[component, component]) * sums
        return result.ravel()

    def eigenvalue_bound(self) -> float:
        """Return a bound of the eigenvalues of D^-1 K, from the elements: it holds for any mixture of them."""
        lame, mu = self.material.astype(float)
        ratio = lame / mu
        first, second = stiffness_parts(self.mesh.spacing, self.integration)
        bound = 0.0
        for value in np.linspace(ratio.min(), ratio.max(), 5):
            element = value * first + second
            scale = 1 / np.sqrt(np.diag(element))
            bound = max(bound, float(np.linalg.eigvalsh(scale[:, None] * element * scale)[-1]))
        return bound


class ElasticLevel:
    """A float32 grid of the multigrid with its vectors; platens are solved for on the coarsest and carried up."""

    def __init__(self, operator: ElasticOperator, kinds: NDArray[np.int8], ties: Ties) -> None:
        self.operator, self.kinds, self.ties = operator, kinds, ties
        self.steps = (2, 2, 2)
        flat = self.kinds.ravel()
        diagonal = self.operator.diagonal()
        self.inverse: Array = np.zeros_like(diagonal)
        free = flat == FREE
        self.inverse[free] = 1 / diagonal[free]
        self.held = np.flatnonzero((flat == FIXED) | (flat >= 2))
        self.b, self.x = np.zeros_like(diagonal), np.zeros_like(diagonal)
        self.d, self.r = np.zeros_like(diagonal), np.zeros_like(diagonal)
        self.b_motions = np.zeros(self.ties.free.size)
        self.x_motions = np.zeros(self.ties.free.size)
        self.weights = chebyshev_weights(self.operator.eigenvalue_bound())

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(3, nodes)."""
        return (3, *self.operator.mesh.node_shape)

    def smooth(self, *, fresh: bool) -> None:
        """Run the Chebyshev steps on the free nodes; platens stand still."""
        weights = np.asarray(self.weights, self.x.dtype)
        if fresh:
            first_step(weights[0, 1], self.inverse, self.b, self.x, self.d)
            self.x_motions[:] = 0
        for weight in weights[1:] if fresh else weights:
            self.operator.run(CHEBYSHEV, self.x, self.b, self.d, self.inverse, self.r, weight)

    def restrict_to(self, coarse: "ElasticLevel") -> None:
        """Make the coarse right-hand side from this level's residual."""
        self.operator.run(RESIDUAL, self.x, self.b, self.d, self.inverse, self.r, np.zeros(2, self.x.dtype))
        coarse.b_motions[:] = self.b_motions
        if self.ties.index.size:
            coarse.b_motions += self.ties.gathered(self.r)
        self.r[self.held] = 0
        restrict_nodes(self.r.reshape(self.shape), coarse.b.reshape(coarse.shape), self.steps)
        if coarse.ties.index.size:
            coarse.b_motions += coarse.ties.gathered(coarse.b)
        coarse.b[coarse.held] = 0
        coarse.b_motions[~coarse.ties.free] = 0

    def prolong_from(self, coarse: "ElasticLevel") -> None:
        """Add the coarse unknown."""
        prolong_nodes(coarse.x.reshape(coarse.shape), self.x.reshape(self.shape), self.steps)
        self.x_motions += coarse.x_motions
        self.x[self.held] = 0
        self.place_motions(self.x, self.x_motions)

    def place_motions(self, x: Array, motions: NDArray[np.float64]) -> None:
        """Write the tied displacements of the platen motions."""
        if self.ties.index.size:
            x[self.ties.index] = self.ties.matrix @ motions

    @cached_property
    def _direct(self) -> tuple[Array, Array, NDArray[np.int64]]:
        """Cholesky factor over the free degrees of freedom and the free motions, by columns and by rows."""
        free = np.flatnonzero(self.kinds.ravel() == FREE)
        dense = dense_stiffness(self.operator)
        ties = self.ties.matrix[:, self.ties.free]
        pulled = np.einsum("it,tm->im", dense[:, self.ties.index], ties)  # no BLAS: its sums depend on its threads
        matrix = np.empty((free.size + ties.shape[1],) * 2)
        matrix[: free.size, : free.size] = dense[np.ix_(free, free)]
        matrix[: free.size, free.size :] = pulled[free]
        matrix[free.size :, : free.size] = pulled[free].T
        matrix[free.size :, free.size :] = np.einsum("tm,tn->mn", ties, pulled[self.ties.index])
        columns, _ = factor(matrix, 1e-9)
        return columns, np.ascontiguousarray(columns.T), free

    def solve(self) -> None:
        """Solve directly."""
        columns, rows, free = self._direct
        right = np.concatenate([self.b[free].astype(float), self.b_motions[self.ties.free]])
        back_solve(columns, rows, right)
        self.x[:] = 0
        self.x[free] = right[: free.size]
        self.x_motions[:] = 0
        self.x_motions[self.ties.free] = right[free.size :]
        self.place_motions(self.x, self.x_motions)


def element_nodes(mesh: BrickMesh) -> NDArray[np.int64]:
    """Return the flat node numbers of each active brick; (count, 8), corner 4 a + 2 b + c."""
    _, ny, nz = mesh.node_shape
    i, j, k = np.nonzero(mesh.mask)
    corner = np.array([(a * ny + b) * nz + c for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    return np.asarray(((i * ny + j) * nz + k)[:, None] + corner)


def dense_stiffness(operator: ElasticOperator) -> NDArray[np.float64]:
    """Assemble K of a small grid from the plain reference brick; (3 nodes, 3 nodes)."""
    mesh = operator.mesh
    nodes = element_nodes(mesh)
    total = int(np.prod(mesh.node_shape))
    unknowns = (nodes[:, :, None] + total * np.arange(3)).reshape(mesh.count, 24)
    matrix = np.zeros((3 * total, 3 * total))
    first, second = stiffness_parts(mesh.spacing, operator.integration)
    lame, mu = operator.material.astype(float)
    for element, unknown in enumerate(unknowns):
        matrix[np.ix_(unknown, unknown)] += lame[element] * first + mu[element] * second
    return matrix
