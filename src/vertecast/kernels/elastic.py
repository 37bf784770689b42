"""Linear elasticity of a voxel body: multigrid prepared once, then solves for loads, prescribed motion and platens.

The float64 operator is solved by conjugate gradients; one float32 multigrid V-cycle is the preconditioner, on moduli
that may be another body's (an effective modulus, in a Newton iteration).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError
from vertecast.kernels import vectors_compiled as vectors
from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.constraints import DEAD, FIXED, FREE, Constraints, Ties, coarse_kinds, ties_of
from vertecast.kernels.elastic_grid import ElasticLevel, ElasticOperator
from vertecast.kernels.krylov import SolveReport, Stop, conjugate_gradients
from vertecast.kernels.multigrid import v_cycle
from vertecast.kernels.supports import require_held
from vertecast.kernels.transfers_compiled import coarse_moduli

Array = NDArray[np.float64]
DIRECT_SIZE = 450
"""Free unknowns at or below which a grid is solved directly."""


class Operator(Protocol):
    """A symmetric positive definite K on flat displacements of one mesh."""

    @property
    def mesh(self) -> BrickMesh:
        """The bricks."""

    def apply(self, x: Any, out: Any) -> None:
        """Write K x into ``out``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatenMotion:
    """What a platen did: mm along its axis at its point, slopes along its two face axes, N it exerts on the body."""

    displacement: float
    tilt: tuple[float, float]
    force: float


@dataclass(frozen=True, eq=False, kw_only=True)
class ElasticSolution:
    """Displacement and reaction (3, nx + 1, ny + 1, nz + 1) in mm and N; the reaction is what the supports exert."""

    displacement: Array
    reaction: Array
    platens: tuple[PlatenMotion, ...]
    report: SolveReport


@dataclass(frozen=True, eq=False, kw_only=True)
class ElasticSystem:
    """A body, its supports and its multigrid, from :func:`prepare_elastic`. Holds work space: one solve at a time."""

    whole: BrickMesh
    window: tuple[slice, slice, slice]
    operator: ElasticOperator
    constraints: Constraints
    kinds: NDArray[np.int8]
    ties: Ties
    levels: Sequence[ElasticLevel]

    @property
    def mesh(self) -> BrickMesh:
        """The bricks of the bounding box; packed elements are those of the whole mesh."""
        return self.operator.mesh

    def cropped(self, nodal: NDArray[Any]) -> Array:
        """Return the flat copy of a nodal field (3, ...) in the bounding box."""
        shape = (3, *self.whole.node_shape)
        if nodal.shape != shape:
            raise ParameterError(f"nodal field of shape {nodal.shape} does not fit the nodes {shape}")
        return np.array(nodal[(slice(None), *self.window)], dtype=float, order="C").ravel()

    def restored(self, flat: Array) -> Array:
        """Put a flat field of the bounding box back on all nodes."""
        field = np.zeros((3, *self.whole.node_shape))
        field[(slice(None), *self.window)] = flat.reshape(3, *self.mesh.node_shape)
        return field

    def imposed(self, scale: float = 1.0) -> Array:
        """Return the prescribed displacements times ``scale``, and zero elsewhere; (3, nodes)."""
        return self.restored(_imposed(self, scale))


def prepare_elastic(
    mesh: BrickMesh,
    lame: NDArray[Any],
    mu: NDArray[Any],
    constraints: Constraints,
    *,
    integration: Integration = Integration.FULL,
) -> ElasticSystem:
    """Build the multigrid of a body.

    Parameters
    ----------
    mesh : active voxels
    lame, mu : (count,) packed, MPa
        mu and the bulk modulus lambda + 2 mu / 3 positive.
    constraints : must hold every piece
    integration : plain bricks, or mean-dilatation ones near incompressibility

    Raises
    ------
    ParameterError
        For moduli that are not finite or not positive, or constraints that do not fit.
    GeometryError
        For a body or a disconnected piece that is not held.
    """
    material = _checked_moduli(mesh, lame, mu)
    require_held(mesh, constraints)
    box = [(int(n.min()), int(n.max())) for n in np.nonzero(mesh.mask)]
    window = tuple(slice(low, high + 2) for low, high in box)
    voxels = tuple(slice(low, high + 1) for low, high in box)
    inner = BrickMesh(np.ascontiguousarray(mesh.mask[voxels]), mesh.spacing)
    kinds = np.ascontiguousarray(constraints.kinds(mesh)[(slice(None), *window)])
    origin = np.array([low * h for (low, _), h in zip(box, mesh.spacing, strict=True)])
    operator = ElasticOperator(inner, material, integration)
    return ElasticSystem(
        whole=mesh,
        window=(window[0], window[1], window[2]),
        operator=operator,
        constraints=constraints,
        kinds=kinds,
        ties=ties_of(kinds, mesh.spacing, constraints.platens, origin),
        levels=_hierarchy(operator, kinds, constraints, origin),
    )


def _checked_moduli(mesh: BrickMesh, lame: NDArray[Any], mu: NDArray[Any]) -> Array:
    material = np.empty((2, mesh.count))
    for row, (name, values) in enumerate((("lambda", lame), ("mu", mu))):
        if np.shape(values) != (mesh.count,):
            raise ParameterError(
                f"{name} of shape {np.shape(values)} must hold one value for each of {mesh.count} voxels"
            )
        material[row] = values
    bad = ~(np.isfinite(material).all(axis=0) & (material[1] > 0) & (material[0] + material[1] * (2 / 3) > 0))
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        place = tuple(int(n[at]) for n in np.nonzero(mesh.mask))
        raise ParameterError(
            f"lambda = {material[0, at]}, mu = {material[1, at]} MPa at voxel {place} ({int(bad.sum())} such voxels): "
            f"mu and the bulk modulus must be positive and finite; leave such voxels out of the mask"
        )
    return material


def _hierarchy(
    operator: ElasticOperator, kinds: NDArray[np.int8], constraints: Constraints, origin: Array
) -> tuple[ElasticLevel, ...]:
    """Coarsen until the grid is small enough to be solved directly; long voxel edges are left alone at first."""
    levels: list[ElasticLevel] = []
    current = ElasticOperator(operator.mesh, operator.material.astype(np.float32), operator.integration)
    while True:
        mesh = current.mesh
        ties = ties_of(kinds, mesh.spacing, constraints.platens, origin)
        level = ElasticLevel(current, kinds, ties)
        levels.append(level)
        reach = 1.6 * min(h for h, n in zip(mesh.spacing, mesh.shape, strict=True) if n > 1 or max(mesh.shape) == 1)
        steps = tuple(2 if n > 1 and h <= reach else 1 for n, h in zip(mesh.shape, mesh.spacing, strict=True))
        if np.count_nonzero(kinds == FREE) <= DIRECT_SIZE or steps == (1, 1, 1):
            return tuple(levels)
        level.steps = (steps[0], steps[1], steps[2])
        current = _coarsened(current, level.steps)
        kinds = coarse_kinds(kinds, current.mesh.nodes, level.steps)


def _coarsened(operator: ElasticOperator, steps: tuple[int, int, int]) -> ElasticOperator:
    """Return the operator of the next grid, with the averages of the moduli, void counted as zero."""
    mesh = operator.mesh
    shape = [math.ceil(n / step) for n, step in zip(mesh.shape, steps, strict=True)]
    box = np.zeros((2, *shape), operator.material.dtype)
    start, runs = mesh.runs
    coarse_moduli(operator.material, start, runs, mesh.shape[1], steps, box)
    mask = box[1] > 0
    h = mesh.spacing
    coarse = BrickMesh(mask, (h[0] * steps[0], h[1] * steps[1], h[2] * steps[2]))
    return ElasticOperator(coarse, np.ascontiguousarray(box[:, mask]), operator.integration)


class ElasticSpace:
    """The numba backend of the Krylov driver for one system and operator."""

    def __init__(self, system: ElasticSystem, operator: Operator, scale: float) -> None:
        self.system, self.operator, self.scale = system, operator, scale
        self.held = system.levels[0].held
        self.ties = system.ties

    def zeros(self) -> Array:
        """Make a vector of zeros."""
        return np.zeros(self.system.kinds.size)

    def apply(self, p: Array, p_motions: Array, out: Array) -> tuple[Array, float]:
        """Write K p into ``out``; return the forces on the motions, and p . K p."""
        p[self.ties.index] = (self.ties.matrix * p_motions).sum(axis=1)  # the V-cycle's are float32
        self.operator.apply(p, out)
        curvature = float(vectors.dot(p, out))
        forces = np.where(self.ties.free, self.ties.gathered(out), 0.0)
        out[self.held] = 0
        return forces, curvature

    def precondition(self, r: Array, r_motions: Array) -> tuple[NDArray[np.float32], Array]:
        """Return the V-cycle's answer; the array is the top level's own."""
        top = self.system.levels[0]  # advance() has already written scale * r to its right-hand side
        top.b_motions[:] = self.scale * r_motions
        v_cycle(self.system.levels)
        return top.x, np.array(top.x_motions)

    def dots(self, r: Array, z: NDArray[np.float32], ap: Array) -> tuple[float, float]:
        """Return (r . z, ap . z)."""
        rz, change = vectors.dots(r, z, ap)
        return float(rz), float(change)

    def advance(self, alpha: float, p: Array, ap: Array, x: Array, r: Array) -> float:
        """Advance x and r; return r . r."""
        return float(vectors.advance(alpha, p, ap, x, r, np.float64(self.scale), self.system.levels[0].b))

    def direct(self, z: NDArray[np.float32], beta: float, p: Array) -> None:
        """Take p = z + beta p."""
        vectors.direct(z, beta, p)


def _imposed(system: ElasticSystem, scale: float) -> Array:
    """Flat field of the prescribed values and platen displacements."""
    field = np.zeros(system.kinds.size)
    if system.constraints.values is not None:
        fixed = system.kinds.ravel() == FIXED
        given = system.cropped(np.where(system.constraints.fixed, system.constraints.values, 0.0))
        field[fixed] = scale * given[fixed]
    motions = scale * _prescribed_motions(system)
    field[system.ties.index] = (system.ties.matrix * motions).sum(axis=1)
    return field


def _prescribed_motions(system: ElasticSystem) -> Array:
    motions = np.zeros(system.ties.free.size)
    for number, platen in enumerate(system.constraints.platens):
        motions[3 * number] = 0.0 if platen.displacement is None else platen.displacement
    return motions


def _platen_forces(system: ElasticSystem) -> Array:
    forces = np.zeros(system.ties.free.size)
    for number, platen in enumerate(system.constraints.platens):
        forces[3 * number] = platen.force or 0.0
    return forces


def reduced(system: ElasticSystem, r: Array, forces: Array) -> Array:
    """Move what acts on tied nodes to the motions' forces, and zero the held entries of ``r`` in place."""
    total = np.where(system.ties.free, forces + system.ties.gathered(r), 0.0)
    r[system.levels[0].held] = 0
    r[system.kinds.ravel() == DEAD] = 0
    return total


def force_norm(r: Array, motions: Array) -> float:
    """Return the norm of reduced forces, on nodes and on platen motions."""
    return math.sqrt(float(vectors.dot(r, r)) + float(motions @ motions))


def solve(
    system: ElasticSystem,
    load: Array | None = None,
    *,
    start: Array | None = None,
    stop: Stop = Stop(),  # noqa: B008 - frozen
) -> ElasticSolution:
    """Solve for the displacement under nodal forces, prescribed displacements and platens.

    Parameters
    ----------
    system : from :func:`prepare_elastic`
    load : (3, nx + 1, ny + 1, nz + 1), N, or None
        Nodal forces; those on prescribed components go straight into the reaction.
    start : same shape, mm, or None
        First guess (an earlier solution); its prescribed entries are replaced.
    stop : relative residual (1e-8), iteration limit, whether failure raises
    """
    x = _imposed(system, 1.0)
    forces = np.zeros(x.size) if load is None else system.cropped(load)
    if not np.all(np.isfinite(forces)):
        raise ParameterError("the load has entries that are not finite; give N at every node, zero where nothing acts")
    r = np.empty(x.size)
    r[:] = forces - _applied(system, x)
    rq = reduced(system, r, _platen_forces(system))
    reference = size = force_norm(r, rq)
    motions = _prescribed_motions(system)
    if start is not None:
        motions = _guess(system, start, x, motions)
        r[:] = forces - _applied(system, x)
        rq = reduced(system, r, _platen_forces(system))
        size = force_norm(r, rq)
    report = _iterate(system, system.operator, x, r, (motions, rq), (reference, size), stop)
    x[system.kinds.ravel() == DEAD] = 0
    reaction = np.subtract(_applied(system, x), forces, out=r)
    platens = _platen_results(system, motions, reaction)
    reaction[system.kinds.ravel() <= FREE] = 0
    return ElasticSolution(
        displacement=_frozen(system.restored(x)),
        reaction=_frozen(system.restored(reaction)),
        platens=platens,
        report=report,
    )


def solve_correction(
    system: ElasticSystem,
    residual: Array,
    *,
    tangent: Operator | None = None,
    stop: Stop = Stop(rtol=1e-2, throw=False),  # noqa: B008 - frozen
) -> ElasticSolution:
    """Solve K du = residual with du = 0 where displacements are prescribed: one Newton step.

    Parameters
    ----------
    system : preconditioner, and the operator when ``tangent`` is None
    residual : (3, nodes), N
        External minus internal forces. Entries on fixed components are ignored, those under a platen are reduced to its
        free motions; the platen's own force is not added, so put it into ``residual`` or leave it zero at balance.
    tangent : another operator on ``system.mesh`` (the packed elements of the whole mesh)
    """
    operator: Operator = system.operator if tangent is None else tangent
    if tangent is not None and tangent.mesh.shape != system.mesh.shape:
        raise ParameterError(f"tangent on grid {tangent.mesh.shape} must be made on system.mesh {system.mesh.shape}")
    x = np.zeros(system.kinds.size)
    r = system.cropped(residual)
    rq = reduced(system, r, np.zeros(system.ties.free.size))
    motions = np.zeros(rq.size)
    size = force_norm(r, rq)
    report = _iterate(system, operator, x, r, (motions, rq), (size, size), stop)
    x[system.kinds.ravel() == DEAD] = 0
    return ElasticSolution(
        displacement=_frozen(system.restored(x)),
        reaction=_frozen(np.zeros((3, *system.whole.node_shape))),
        platens=_platen_results(system, motions, np.zeros(x.size)),
        report=report,
    )


def _applied(system: ElasticSystem, x: Array) -> Array:
    out = np.zeros(x.size)
    system.operator.apply(x, out)
    return out


def _iterate(
    system: ElasticSystem,
    operator: Operator,
    x: Array,
    r: Array,
    motions: tuple[Array, Array],
    norms: tuple[float, float],
    stop: Stop,
) -> SolveReport:
    scale = 1.0 / norms[0] if norms[0] > 0 and math.isfinite(norms[0]) else 1.0
    np.multiply(r, scale, out=system.levels[0].b, casting="same_kind")
    return conjugate_gradients(ElasticSpace(system, operator, scale), x, r, motions, norms, stop)


def _guess(system: ElasticSystem, start: Array, x: Array, prescribed: Array) -> Array:
    """Fill ``x`` from the start; the motions are fitted to its tied nodes."""
    guess = system.cropped(start)
    free = system.kinds.ravel() == FREE
    x[free] = guess[free]
    motions = prescribed.copy()
    if system.ties.index.size:
        fitted = np.linalg.lstsq(system.ties.matrix, guess[system.ties.index], rcond=None)[0]
        motions = np.where(system.ties.free, fitted, prescribed)
        x[system.ties.index] = (system.ties.matrix * motions).sum(axis=1)
    return motions


def _platen_results(system: ElasticSystem, motions: Array, reaction: Array) -> tuple[PlatenMotion, ...]:
    forces = system.ties.gathered(reaction)
    return tuple(
        PlatenMotion(
            displacement=float(motions[3 * n]),
            tilt=(float(motions[3 * n + 1] / platen.reach), float(motions[3 * n + 2] / platen.reach)),
            force=float(forces[3 * n]),
        )
        for n, platen in enumerate(system.constraints.platens)
    )


def _frozen(field: Array) -> Array:
    field.setflags(write=False)
    return field
