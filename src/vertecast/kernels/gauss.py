"""Strain, internal force and tangent at the eight Gauss points of every brick: what a material law needs.

Gauss point g = 4 gx + 2 gy + gz (0 at -1/sqrt(3), 1 at +1/sqrt(3)); Voigt order xx yy zz yz xz xy with engineering
shear. Gauss arrays are (8, components, elements) with the packed elements of a range of voxel planes last.
The mean-dilatation brick is symmetric: its strain has the element's mean volume part at each point, and its force
takes the mean pressure. For a law that fills memory, work a few planes at a time: strain of the planes, law, force of
the planes added into one array.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError
from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.elastic_grid import SLAB
from vertecast.kernels.gauss_compiled import FORCE, STRAIN, TANGENT, gauss_pass

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GaussPasses:
    """The passes over the Gauss points of one mesh, with their work space."""

    mesh: BrickMesh
    integration: Integration

    @cached_property
    def _tables(self) -> tuple[NDArray[Any], ...]:
        nx, ny, nz = self.mesh.node_shape
        start, runs = self.mesh.runs
        mean = 1.0 if self.integration is Integration.MEAN_DILATATION else 0.0
        h = np.asarray(self.mesh.spacing)
        scales = np.array([*(1 / (4 * h)), 1 / np.sqrt(3), np.prod(h) / 8, mean])
        rows = np.zeros((nx, ny, nz), dtype=np.bool_)
        rows[...] = np.any(self.mesh.nodes, axis=2, keepdims=True)
        return start, runs, scales, rows, np.zeros((max(1, (nx - 1) // SLAB), 3, 3 * ny * nz))

    def run(self, kind: int, x: Array, values: NDArray[Any], out: Array, planes: tuple[int, int]) -> None:
        """Run one pass on flat vectors over a range of voxel planes."""
        start, runs, scales, rows, work = self._tables
        slabs = max(1, min(work.shape[0], (planes[1] - planes[0]) // SLAB))
        bounds = np.linspace(planes[0], planes[1], slabs + 1).astype(np.int64)
        origin = self.mesh.slab(*planes).start
        gauss_pass(kind, x, values, origin, start, runs, scales, rows, bounds, work, out)

    def strain(self, u: Array, *, planes: tuple[int, int] | None = None, out: Array | None = None) -> Array:
        """Return the strains (8, 6, elements) of the displacement (3, nodes); ``out`` is written if given."""
        chosen = self._planes(planes)
        packed = self.mesh.slab(*chosen)
        strains = np.empty((8, 6, packed.stop - packed.start)) if out is None else out
        self.run(STRAIN, self._nodal(u), strains, np.zeros(0), chosen)
        return strains

    def force(self, stress: Array, *, planes: tuple[int, int] | None = None, out: Array | None = None) -> Array:
        """Return the nodal forces (3, nodes), N, of stresses (8, 6, elements), MPa; added to ``out`` if given."""
        chosen = self._planes(planes)
        packed = self.mesh.slab(*chosen)
        if stress.shape != (8, 6, packed.stop - packed.start):
            raise ParameterError(
                f"stress of shape {stress.shape} must be (8, 6, {packed.stop - packed.start}) for planes {chosen}"
            )
        total = np.zeros((3, *self.mesh.node_shape)) if out is None else out
        self.run(FORCE, np.zeros(0), np.ascontiguousarray(stress, dtype=float), total.reshape(-1), chosen)
        return total

    def _planes(self, planes: tuple[int, int] | None) -> tuple[int, int]:
        chosen = (0, self.mesh.shape[0]) if planes is None else planes
        if not 0 <= chosen[0] < chosen[1] <= self.mesh.shape[0]:
            raise ParameterError(f"planes {chosen} must lie in 0..{self.mesh.shape[0]} and hold at least one")
        return chosen

    def _nodal(self, u: Array) -> Array:
        if u.shape != (3, *self.mesh.node_shape):
            raise ParameterError(f"displacement of shape {u.shape} does not fit the nodes {(3, *self.mesh.node_shape)}")
        return np.ascontiguousarray(u, dtype=float).reshape(-1)


@dataclass(frozen=True, eq=False)
class RankOneTangent:
    """Tangent stiffness khat 1x1 + 2 ghat Idev - w x w at every Gauss point, as a Krylov operator.

    Parameters
    ----------
    passes : of the mesh the system is solved on (``system.mesh``: the same packed elements)
    values : (8, 8, count) float32, MPa and MPa^(1/2)
        [g, 0] bulk modulus, [g, 1] shear modulus, [g, 2:8] the vector w, stress-like, in Voigt order.
    """

    passes: GaussPasses
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        expected = (8, 8, self.passes.mesh.count)
        if self.values.shape != expected or self.values.dtype != np.float32 or not self.values.flags.c_contiguous:
            raise ParameterError(
                f"tangent values {self.values.dtype}{self.values.shape} must be contiguous float32 of shape {expected}"
            )

    @property
    def mesh(self) -> BrickMesh:
        """The mesh of the passes."""
        return self.passes.mesh

    def apply(self, x: Array, out: Array) -> None:
        """Write K x into ``out``; both flat."""
        out[:] = 0
        self.passes.run(TANGENT, x, self.values, out, (0, self.mesh.shape[0]))
