"""Steady diffusion on voxel cells, -div(k grad u) + sink u = source: pressure in bone, heat in a time step.

Cell-centred seven-point finite volumes: what leaves a cell enters its neighbour, whatever the contrast. The faces are
given as conductances, so a thin shell is a face with a small one, and a closed face is zero. Solved like elasticity:
float64 conjugate gradients, one float32 multigrid cycle on aggregated cells as the preconditioner.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.kernels import vectors_compiled as vectors
from vertecast.kernels.diffusion_compiled import diffusion_pass, gather_cells, spread_cells
from vertecast.kernels.elastic_compiled import APPLY, CHEBYSHEV, RESIDUAL
from vertecast.kernels.krylov import SolveReport, Stop, conjugate_gradients
from vertecast.kernels.multigrid import chebyshev_weights, v_cycle
from vertecast.kernels.vectors_compiled import back_solve, factor, first_step

Array = NDArray[Any]
DIRECT_CELLS = 250
SMOOTHING, SPREAD = 3, 10.0
GERSHGORIN = 2.0
"""Bound of the eigenvalues of D^-1 A for a matrix of this kind."""
NONE = np.zeros(0)


@dataclass(frozen=True, eq=False)
class Faces:
    """Conductances between neighbouring cells, flux per difference of u; (nx, ny, nz) each.

    ``x[i, j, k]`` joins (i, j, k) and (i + 1, j, k), so the last plane is zero; ``y`` and ``z`` alike.
    """

    x: Array
    y: Array
    z: Array

    def __post_init__(self) -> None:
        for axis, values in enumerate((self.x, self.y, self.z)):
            if values.ndim != 3 or values.shape != self.x.shape:
                raise ParameterError(f"faces {values.shape} must be three (nx, ny, nz) arrays of one shape")
            if not np.all(np.isfinite(values)) or values.min() < 0:
                raise ParameterError(f"face conductances along axis {axis} must be finite and not negative")
            if np.any(np.take(values, -1, axis=axis)):
                raise ParameterError(f"faces along axis {axis}: the last plane has no neighbour and must be zero")


def harmonic_faces(conductivity: ArrayLike, spacing: ArrayLike) -> Faces:
    """Return the series conductance of two half cells on each face; zero conductivity closes a cell.

    Parameters
    ----------
    conductivity : (nx, ny, nz), k (flux density per gradient), zero or positive
    spacing : (3,), mm
    """
    k = np.asarray(conductivity, dtype=float)
    h = np.asarray(spacing, dtype=float)
    if k.ndim != 3 or not np.all(np.isfinite(k)) or k.min() < 0:
        raise ParameterError("conductivity must be a (nx, ny, nz) array, finite and not negative")
    faces = []
    for axis in range(3):
        low = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        total = k[low] + k[high]
        face = np.zeros_like(k)
        series = np.divide(2 * k[low] * k[high], total, out=np.zeros_like(total), where=total > 0)
        face[low] = series * (np.prod(h) / h[axis] ** 2)
        faces.append(face)
    return Faces(*faces)


class CellLevel:
    """One grid of the cell multigrid with its work space; also the operator, in the precision of its arrays."""

    def __init__(
        self,
        faces: tuple[Array, Array, Array],
        sink: Array,
        held: NDArray[np.bool_],
        smoother: tuple[int, float] = (SMOOTHING, SPREAD),
    ) -> None:
        self.faces, self.sink, self.held, self.smoother = faces, sink, held, smoother
        self.steps = (2, 2, 2)
        self.diagonal: Array = self.sink.copy()
        for axis, face in enumerate(self.faces):
            high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
            low = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
            self.diagonal += face
            self.diagonal[high] += face[low]
        free = ~self.held & (self.diagonal > 0)
        self.inverse: Array = np.zeros_like(self.diagonal)
        self.inverse[free] = 1 / self.diagonal[free]
        self.b, self.x, self.d, self.r = (np.zeros_like(self.diagonal) for _ in range(4))
        self.weights = chebyshev_weights(GERSHGORIN, *smoother)

    def run(self, mode: int, x: Array, out: Array, weights: Array) -> None:
        """Run the compiled pass."""
        diffusion_pass(mode, x, *self.faces, self.diagonal, self.b, self.d, self.inverse, out, weights)

    def smooth(self, *, fresh: bool) -> None:
        """Run the Chebyshev steps, from zero when ``fresh``."""
        weights = np.asarray(self.weights, self.x.dtype)
        if fresh:
            first_step(weights[0, 1], *(a.ravel() for a in (self.inverse, self.b, self.x, self.d)))
        for weight in weights[1:] if fresh else weights:
            self.run(CHEBYSHEV, self.x, self.r, weight)
            self.x, self.r = self.r, self.x

    def restrict_to(self, coarse: "CellLevel") -> None:
        """Make the coarse right-hand side from this level's residual."""
        self.run(RESIDUAL, self.x, self.r, np.zeros(2, self.x.dtype))
        gather_cells(self.r, coarse.b, self.steps)

    def prolong_from(self, coarse: "CellLevel") -> None:
        """Add the coarse unknown to this level's."""
        spread_cells(coarse.x, self.x, self.inverse, self.steps)

    def solve(self) -> None:
        """Solve directly."""
        columns, rows, free = self._factored
        right = self.b.ravel()[free].astype(float)
        back_solve(columns, rows, right)
        self.x[:] = 0
        self.x.ravel()[free] = right

    @cached_property
    def _factored(self) -> tuple[Array, Array, Array]:
        free = np.flatnonzero(self.inverse.ravel() > 0)
        dense = np.diag(self.diagonal.astype(float).ravel())
        number = np.arange(self.diagonal.size).reshape(self.diagonal.shape)
        for axis, face in enumerate(self.faces):
            low = np.take(number, range(number.shape[axis] - 1), axis=axis).ravel()
            high = np.take(number, range(1, number.shape[axis]), axis=axis).ravel()
            dense[low, high] = dense[high, low] = -face.astype(float).ravel()[low]
        columns, _ = factor(np.ascontiguousarray(dense[np.ix_(free, free)]), 1e-12)
        return columns, np.ascontiguousarray(columns.T), free

    def coarsened(self) -> "CellLevel":
        """Return the next grid: sinks and the faces between coarse cells added up; robust at any contrast."""
        shape = tuple(math.ceil(n / s) for n, s in zip(self.sink.shape, self.steps, strict=True))
        faces = []
        for axis, face in enumerate(self.faces):
            along = _between(face, axis) if self.steps[axis] == 2 else face
            across = tuple(1 if a == axis else s for a, s in enumerate(self.steps))
            target = np.zeros(tuple(math.ceil(n / s) for n, s in zip(along.shape, across, strict=True)), face.dtype)
            gather_cells(along, target, across)
            faces.append(np.ascontiguousarray(target))
        sink = np.zeros(shape, self.sink.dtype)
        gather_cells(np.where(self.held, 0, self.sink).astype(self.sink.dtype), sink, self.steps)
        held, cells = np.zeros(shape, self.sink.dtype), np.zeros(shape, self.sink.dtype)
        gather_cells((self.inverse > 0).astype(self.sink.dtype), cells, self.steps)
        gather_cells(self.held.astype(self.sink.dtype), held, self.steps)
        return CellLevel((faces[0], faces[1], faces[2]), sink, (held > 0) | (cells == 0), self.smoother)


def _between(face: Array, axis: int) -> Array:
    """Return the fine faces that lie between coarse cells along ``axis``, halved for the doubled distance."""
    moved = np.moveaxis(face, axis, 0)
    if moved.shape[0] % 2:
        moved = np.concatenate([moved, np.zeros_like(moved[:1])])
    return np.ascontiguousarray(np.moveaxis(moved[1::2] * face.dtype.type(0.5), 0, axis))


@dataclass(frozen=True, eq=False)
class DiffusionSystem:
    """Faces, sinks, held cells and their multigrid, from :func:`prepare_diffusion`. One solve at a time."""

    operator: CellLevel
    levels: tuple[CellLevel, ...]


@dataclass(frozen=True, eq=False)
class DiffusionSolution:
    """u in every cell (zero in closed ones), the source that each held cell had to add, and the report."""

    u: NDArray[np.float64]
    supply: NDArray[np.float64]
    report: SolveReport


def prepare_diffusion(
    faces: Faces,
    *,
    sink: ArrayLike = 0.0,
    held: ArrayLike | None = None,
    determined: bool = False,
    smoother: tuple[int, float] = (SMOOTHING, SPREAD),
) -> DiffusionSystem:
    """Build the multigrid of a diffusion problem.

    Parameters
    ----------
    faces : conductances
    sink : (nx, ny, nz) or a number, zero or positive
        Conductance of each cell to u = 0: an outlet, a face held at zero (2 k A / h), or capacity / dt in a time step.
    held : (nx, ny, nz) bool or None
        Cells whose u is prescribed.
    determined : bool
        True says that every region is known to have a sink or a held cell, so that this is not looked at again.
    smoother : degree of the Chebyshev smoother and the part of the spectrum (top / spread to top) that it damps
        A higher one pays where thin layers and channels run across the coarse cells.

    Raises
    ------
    GeometryError
        For a connected region with neither sink nor held cell: its u is not determined.
    """
    shape = faces.x.shape
    sinks = np.array(np.broadcast_to(np.asarray(sink, dtype=float), shape))
    if not np.all(np.isfinite(sinks)) or sinks.min() < 0:
        raise ParameterError("sink must be finite and not negative in every cell")
    fixed = np.zeros(shape, dtype=bool) if held is None else np.asarray(held, dtype=bool)
    if fixed.shape != shape:
        raise ParameterError(f"held of shape {fixed.shape} does not fit the cells {shape}")
    operator = CellLevel((faces.x.astype(float), faces.y.astype(float), faces.z.astype(float)), sinks, fixed)
    if not determined:
        _require_determined(operator)
    scale = float(operator.diagonal.max())
    single = tuple(np.ascontiguousarray(f / scale, dtype=np.float32) for f in operator.faces)
    levels = [CellLevel((single[0], single[1], single[2]), (sinks / scale).astype(np.float32), fixed, smoother)]
    while np.count_nonzero(levels[-1].inverse) > DIRECT_CELLS and max(levels[-1].sink.shape) > 1:
        levels[-1].steps = _steps(levels[-1])
        levels.append(levels[-1].coarsened())
    return DiffusionSystem(operator, tuple(levels))


def _steps(level: CellLevel) -> tuple[int, int, int]:
    """Coarsen the axes whose coupling is not weak beside the strongest: long cells are left alone at first."""
    strength = [float(np.mean(face)) if n > 1 else 0.0 for face, n in zip(level.faces, level.sink.shape, strict=True)]
    steps = [2 if s > 0.3 * max(strength) and s > 0 else 1 for s in strength]
    if max(steps) == 1:
        steps = [2 if n > 1 else 1 for n in level.sink.shape]
    return steps[0], steps[1], steps[2]


def _require_determined(level: CellLevel) -> None:
    """Refuse a connected region without sink and without held cell."""
    number = np.arange(level.sink.size).reshape(level.sink.shape)
    rows, columns = [], []
    for axis, face in enumerate(level.faces):
        low = np.flatnonzero(face)
        rows.append(low)
        columns.append(low + number.strides[axis] // number.itemsize)
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = sparse.csr_matrix((np.ones(row.size, np.int8), (row, column)), shape=(number.size,) * 2)
    count, label = sparse.csgraph.connected_components(graph, directed=False)
    good = np.zeros(count, dtype=bool)
    good[label[((level.sink > 0) | level.held).ravel()]] = True
    loose = ~good[label] & (level.diagonal.ravel() > 0)
    if loose.any():
        first = int(np.flatnonzero(loose)[0])
        size = int(np.count_nonzero(label == label[first]))
        place = tuple(int(n) for n in np.unravel_index(first, level.sink.shape))
        raise GeometryError(
            f"a connected region of {size} cells from {place} has no sink and no held cell, so its level is not "
            f"determined; give it an outlet, or close its cells"
        )


class _CellSpace:
    """The numba backend of the Krylov driver for cells."""

    def __init__(self, system: DiffusionSystem, scale: float) -> None:
        self.system, self.scale = system, scale
        self.free = system.operator.inverse.ravel() > 0

    def zeros(self) -> Array:
        return np.zeros(self.free.size)

    def apply(self, p: Array, p_motions: Array, out: Array) -> tuple[Array, float]:
        operator = self.system.operator
        shape = operator.sink.shape
        operator.run(APPLY, p.reshape(shape), out.reshape(shape), np.zeros(2))
        out *= self.free
        return p_motions, float(vectors.dot(p, out))

    def precondition(self, r: Array, r_motions: Array) -> tuple[Array, Array]:
        v_cycle(self.system.levels)
        return self.system.levels[0].x.ravel(), r_motions

    def dots(self, r: Array, z: Array, ap: Array) -> tuple[float, float]:
        rz, change = vectors.dots(r, z, ap)
        return float(rz), float(change)

    def advance(self, alpha: float, p: Array, ap: Array, x: Array, r: Array) -> float:
        return float(vectors.advance(alpha, p, ap, x, r, self.scale, self.system.levels[0].b.ravel()))

    def direct(self, z: Array, beta: float, p: Array) -> None:
        vectors.direct(z, beta, p)


def solve_diffusion(
    system: DiffusionSystem,
    source: ArrayLike | None = None,
    *,
    values: ArrayLike | None = None,
    start: ArrayLike | None = None,
    stop: Stop = Stop(),  # noqa: B008 - frozen
) -> DiffusionSolution:
    """Solve for u under sources and held values.

    Parameters
    ----------
    source : (nx, ny, nz), flux into each cell, or None
    values : (nx, ny, nz) or a number: u of the held cells; zero when None
    start : first guess; its held cells are replaced
    stop : relative residual (1e-8), iteration limit, whether failure raises
    """
    operator = system.operator
    shape = operator.sink.shape
    flux = np.zeros(shape) if source is None else np.array(np.broadcast_to(np.asarray(source, dtype=float), shape))
    given = np.zeros(shape) if values is None else np.array(np.broadcast_to(np.asarray(values, dtype=float), shape))
    if not np.all(np.isfinite(flux)) or not np.all(np.isfinite(given[operator.held])):
        raise ParameterError("source and held values must be finite")
    free = operator.inverse > 0
    if np.any(flux[~free & ~operator.held]):
        raise ParameterError("a source lies in a cell that is closed on all sides; move it or open the cell")
    x = np.where(operator.held, given, 0.0)
    r = np.where(free, flux - _applied(operator, x), 0.0)
    reference = size = math.sqrt(float(vectors.dot(r.ravel(), r.ravel())))
    if start is not None:
        x = np.where(free, np.asarray(start, dtype=float), x)
        r = np.where(free, flux - _applied(operator, x), 0.0)
        size = math.sqrt(float(vectors.dot(r.ravel(), r.ravel())))
    scale = 1 / reference if reference > 0 else 1.0
    system.levels[0].b[:] = scale * r
    space = _CellSpace(system, scale)
    report = conjugate_gradients(space, x.ravel(), r.ravel(), (NONE.copy(), NONE.copy()), (reference, size), stop)
    supply = np.where(operator.held, _applied(operator, x) - flux, 0.0)
    x.setflags(write=False)
    supply.setflags(write=False)
    return DiffusionSolution(x, supply, report)


def _applied(operator: CellLevel, x: Array) -> Array:
    out = np.zeros_like(x)
    operator.run(APPLY, x, out, np.zeros(2))
    return out
