"""Equilibrium of a cut-cell body around cavities under fluid pressure: pressures are found for given volumes.

Each octant of a voxel weighs in with the share of it that is material; the pressure acts in the rest, as a stress -p:
``f_i = p * integral of (1 - share) grad N_i`` is in balance with itself, has no spikes on the staircase, and is the
derivative ``dV/du_i`` as well. The volumes' multipliers are the pressures, so the unknowns are bordered by one row a
cavity.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.cavity_gaps import gap_tangent
from vertecast.kernels.cavity_law import GAP, respond, with_drag
from vertecast.kernels.cavity_shape import gauss_order
from vertecast.kernels.cavity_solver import Border, steered_correction
from vertecast.kernels.cavity_spring import Pull, Sprung, unit_force
from vertecast.kernels.constraints import FIXED, FREE, Constraints
from vertecast.kernels.elastic import ElasticSystem, Operator, prepare_elastic, solve_correction
from vertecast.kernels.elastic_grid import SLAB
from vertecast.kernels.foam_law import FoamLaw
from vertecast.kernels.foam_loading import effective_moduli
from vertecast.kernels.gauss import GaussPasses, RankOneTangent
from vertecast.kernels.krylov import Stop
from vertecast.kernels.newton import Imbalance
from vertecast.kernels.supports import held_voxels

Array = NDArray[np.float64]

THINNEST = 0.05
"""Share of material below which a cell is dropped."""
_PLANES = 2 * SLAB
_STALE = 15  # iterations of one linear solve after which the preconditioner is built anew
_SOFTEST = 0.02  # share of the elastic modulus below which the preconditioner does not follow the tangent
_STILL = 1e-3  # voxels of wall motion that a missing volume is compared with where none is wanted
_GIVE_UP = 150
_PULL = 1e-3  # MPa by which a pressure may lie below what its skin bears: the solver's noise


@dataclass(frozen=True, eq=False)
class CutBody:
    """The cells that bear, and what acts on their walls, for one shape of the cavities.

    Parameters
    ----------
    mesh : active voxels
    weight : (n,), share of each cell that is material
    pushes : per cavity (3, *nodes), mm²: nodal force of unit pressure, and dV/du
    """

    mesh: BrickMesh
    weight: Array
    pushes: tuple[Array, ...]

    @cached_property
    def passes(self) -> GaussPasses:
        """Strain and force at the Gauss points; mean dilatation."""
        return GaussPasses(self.mesh, Integration.MEAN_DILATATION)

    @cached_property
    def firm(self) -> NDArray[np.bool_]:
        """Nodes that hold on to as much material as the thinnest flat wall has; the others are crumbs' corners."""
        whole = np.zeros(self.mesh.shape)
        whole[self.mesh.mask] = self.weight
        return np.asarray(_round_nodes(whole) >= 0.5 * THINNEST * _round_nodes(np.ones(self.mesh.shape)))

    def chunks(self) -> list[tuple[tuple[int, int], slice]]:
        """Return ranges of voxel planes and their packed elements; empty ones are left out."""
        nx = self.mesh.shape[0]
        ranges = [(i, min(i + _PLANES, nx)) for i in range(0, nx, _PLANES)]
        parts = [(planes, self.mesh.slab(*planes)) for planes in ranges]
        return [(planes, part) for planes, part in parts if part.stop > part.start]


def _round_nodes(cells: Array) -> Array:
    """Return the sum over the voxels round each node."""
    out = np.zeros([n + 1 for n in cells.shape])
    for corner in np.ndindex(2, 2, 2):
        out[tuple(slice(c, c + n) for c, n in zip(corner, cells.shape, strict=True))] += cells
    return out


def cut_body(
    shares: tuple[Array, ...],
    spacing: tuple[float, float, float],
    constraints: Constraints,
    outside: Array | None = None,
    filled: NDArray[np.bool_] | None = None,
) -> CutBody:
    """Make the body of what the cavities leave.

    Parameters
    ----------
    shares : per cavity, (2 nx, 2 ny, 2 nz) share of each octant inside it
    outside : same shape, share of each octant that is neither material nor cavity
    constraints : pieces they do not hold are dropped
    filled : (nx, ny, nz), voxels in which a material point lies; a cut one without is dropped, what tore has left it

    Notes
    -----
    A dropped cell is cavity or outside altogether, whichever holds more of it: so its forces cancel.
    """
    voids = [gauss_order(share).mean(axis=0) for share in shares]
    voids.append(np.zeros_like(voids[0]) if outside is None else gauss_order(outside).mean(axis=0))
    material = np.clip(1.0 - np.sum(voids, axis=0), 0.0, 1.0)
    active = material >= THINNEST
    if filled is not None:
        active &= filled | (np.sum(voids[:-1], axis=0) <= 0.0)
    mesh = BrickMesh.from_mask(active, spacing)
    held = held_voxels(mesh, constraints)
    if (held != active).any():
        active = active & held
        mesh = BrickMesh.from_mask(active, spacing)
    owner = np.argmax(voids, axis=0)
    pushes = []
    for number, void in enumerate(voids[:-1]):
        full = np.where(active, void, (owner == number).astype(float))
        inside = BrickMesh.from_mask(full > 0, spacing)
        unit = np.zeros((8, 6, inside.count))
        unit[:, :3] = inside.pack(full)
        push = GaussPasses(inside, Integration.MEAN_DILATATION).force(unit)
        pushes.append(np.where(mesh.nodes, push, 0.0))
    return CutBody(mesh, np.ascontiguousarray(material[active]), tuple(pushes))


@dataclass(frozen=True, eq=False)
class SlotState:
    """What the Gauss points of a cut body carry.

    Parameters
    ----------
    strain : (8, 6, n), elastic strain with the gaps' opening
    gap : (8, 6, n), its part that is open gaps
    kappa : (8, n), equivalent plastic strain
    material : (4, n), MPa: lambda, mu, yield stress, tension cut-off
    """

    strain: Array
    gap: Array
    kappa: Array
    material: Array


class CavityBalance:
    """The problem :func:`vertecast.kernels.newton.equilibrium` solves: x holds the increment of u, then the pressures.

    Parameters
    ----------
    load : (3, *nodes), N, forces other than the cavities'
    change : per cavity, mm³, the change of volume wanted; None where the pressure is given
    reliefs : per cavity (*nodes), MPa, or None: what a membrane takes off the fluid's pressure at the wall
    pulls : springs on the platens
    drag : share of the stiffness with which open gaps resist change

    Notes
    -----
    Where a volume is given and the wall is to be drawn inwards, the trial pulls evenly below ``floors``, so that there
    is an equilibrium to find; ``pulling`` then tells, and the caller takes the state only if nothing pulls.
    """

    def __init__(
        self,
        body: CutBody,
        slots: SlotState,
        law: FoamLaw,
        constraints: Constraints,
        *,
        load: Array,
        change: tuple[float | None, ...],
        reliefs: tuple[Array | None, ...] | None = None,
        pulls: tuple[Pull, ...] = (),
        drag: float = GAP,
    ) -> None:
        self.body, self.slots, self.law, self.constraints = body, slots, with_drag(law, drag), constraints
        self.load, self.free = load, [k for k, one in enumerate(change) if one is not None]
        self._change = np.array([one for one in change if one is not None])
        self._reliefs = (None,) * len(body.pushes) if reliefs is None else reliefs
        self.floors = [self._floor(*one) for one in zip(body.pushes, self._reliefs, strict=True)]
        self.pulls = pulls
        self._size = load.size
        self._system = self._prepared(None)
        inner = GaussPasses(self._system.mesh, Integration.MEAN_DILATATION)
        self._tangent = RankOneTangent(inner, np.zeros((8, 8, body.mesh.count), np.float32))
        self._bounds: tuple[Array, Array] | None = None
        self._opens: tuple[NDArray[np.bool_], list[Array]] = (np.zeros((8, 0), dtype=np.bool_), [])
        self._border: Border | None = None
        self._stale = True
        self._pressures = np.zeros(len(body.pushes))
        self._missing = self._change
        self._moving = np.where(constraints.kinds(body.mesh) == FREE, 1.0, 0.0)

    def imbalance(self, x: Array, scale: float) -> Imbalance:
        """Return external less internal force; the tangent is remembered. ``scale`` is not used.

        What is missing of the wanted volumes counts as imbalance in its share of the whole change.
        """
        u, self._pressures = self.parted(x)
        force = self.internal(u)
        residual = self.load - force
        for push in self.wall_forces(self._pressures):
            residual += push
        for pull in self.pulls:
            residual += pull.force(u)
        full = np.concatenate([residual.ravel(), np.zeros(self._pressures.size)])
        reference = float(np.linalg.norm(force))
        self._missing = self._change - np.array([float(np.vdot(self.body.pushes[k], u)) for k in self.free])
        short = self._missing / np.maximum(np.abs(self._change), _STILL * self._wall())
        size = np.hypot(self.free_size(residual), (reference or 1.0) * float(np.linalg.norm(short)))
        return Imbalance(full, float(size), reference)

    def _wall(self) -> Array:
        """Return mm³ that each steered cavity gains when its wall moves by a voxel, about."""
        sums = [np.sqrt(self.body.mesh.spacing[0] ** 2 * np.vdot(push, push)) for push in self.body.pushes]
        return np.array(sums)[self.free] * self.body.mesh.spacing[0]

    def parted(self, x: Array) -> tuple[Array, Array]:
        """Return displacement (3, *nodes) and pressures of a state vector."""
        return x[: self._size].reshape(self.load.shape), x[self._size :]

    def wall_forces(self, pressures: Array) -> list[Array]:
        """Return the nodal forces (3, *nodes), N, of each cavity: a membrane never pulls but in a trial."""
        forces = []
        for k, (pressure, push) in enumerate(zip(pressures, self.body.pushes, strict=True)):
            relief = self._reliefs[k]
            pull = min(pressure - self.floors[k], 0.0) if k in self.free else 0.0
            forces.append((pressure if relief is None else np.maximum(pressure - relief, pull)) * push)
        return forces

    def pulling(self) -> tuple[int, ...]:
        """Return the cavities of given volume that pulled on their wall in the last trial."""
        return tuple(k for k in self.free if self._pressures[k] < self.floors[k] - _PULL)

    @staticmethod
    def _floor(push: Array, relief: Array | None) -> float:
        """Return the pressure, MPa, up to which the wall feels nothing."""
        touched = np.any(push != 0, axis=0)
        return 0.0 if relief is None or not touched.any() else float(relief[touched].min())

    def internal(self, u: Array) -> Array:
        """Return the internal force (3, *nodes), N, and fill the tangent."""
        out = np.zeros_like(u)
        opens, kept = np.zeros((8, self.body.mesh.count), dtype=np.bool_), []
        for planes, part in self.body.chunks():
            strain = self.body.passes.strain(u, planes=planes)
            strain += self.slots.strain[:, :, part]
            stress = np.empty_like(strain)
            respond(
                strain, self.slots.gap[:, :, part], self.slots.kappa[:, part], self.body.weight[part],
                self.slots.material[:, part], self.law, stress, self._tangent.values[:, :, part], opens[:, part],
            )  # fmt: skip
            self.body.passes.force(stress, planes=planes, out=out)
            if opens[:, part].any():
                kept.append(strain[:, :, opens[:, part].any(axis=0)])
        self._bounds, self._opens = None, (opens, kept)
        return out

    def _followed(self) -> Operator:
        """Return the tangent, exact where gaps are open too: made here, for trials of a line search need none."""
        operator: Operator = self._tangent
        opens, kept = self._opens
        if kept:
            self._bounds = effective_moduli(self._tangent)
            at, slots = np.flatnonzero(opens.any(axis=0)), self.slots
            material = np.concatenate([slots.material[:, at], self.body.weight[None, at]])
            operator = gap_tangent(
                self._tangent, opens, np.concatenate(kept, axis=2), slots.kappa[:, at], material, self.law
            )
        if self.pulls:
            stiff = [(self._system.cropped(pull.unit), pull.stiffness) for pull in self.pulls]
            operator = Sprung(operator, stiff)
        return operator

    def correct(self, residual: Array, rtol: float) -> tuple[Array, int]:
        """Solve the bordered system: motion and pressures that make the volumes what is wanted."""
        operator = self._followed()
        r, _ = self.parted(residual)
        if self._stale:
            self._system, self._border = self._prepared(self._tangent), None
        stop = Stop(rtol=rtol, max_iterations=_GIVE_UP, throw=False)
        dp = np.zeros(len(self.body.pushes))
        if not self.free:
            answer = solve_correction(self._system, r, tangent=operator, stop=stop)
            self._stale = answer.report.iterations > _STALE
            return np.concatenate([answer.displacement.ravel(), dp]), answer.report.iterations
        if self._border is None:
            self._border = Border.of(self._system, [self._felt(k) for k in self.free])
        du, dp[self.free], spent = steered_correction(self._system, operator, self._border, r, self._missing, stop)
        self._stale = spent > _STALE
        return np.concatenate([du.ravel(), dp]), spent

    def _felt(self, k: int) -> Array:
        """Return the force of unit pressure where the membrane lets the wall feel it."""
        push, relief = self.body.pushes[k], self._reliefs[k]
        if relief is None:
            return push
        felt = push * (relief < self._pressures[k])
        return felt if felt.any() else push

    def work(self, residual: Array, step: Array) -> float:
        """Return the work of a residual on a correction, mJ."""
        return float(residual[: self._size] @ step[: self._size])

    def free_size(self, residual: Array) -> float:
        """Return the norm of what must vanish: free nodes, and platens' forces and moments (over their reach)."""
        free = residual * self._moving
        ties = self._system.ties
        forces = np.where(ties.free, ties.gathered(self._system.cropped(residual)), 0.0)
        return float(np.sqrt(np.vdot(free, free) + forces @ forces))

    def support(self, x: Array) -> tuple[float, float, float]:
        """Return the resultant, N, that the fixed nodes exert on the body in a state."""
        missing = -self.parted(self.imbalance(x, 1.0).residual)[0]
        held = self.constraints.kinds(self.body.mesh) == FIXED
        fx, fy, fz = (float(force[fixed].sum()) for force, fixed in zip(missing, held, strict=True))
        return fx, fy, fz

    def _prepared(self, tangent: RankOneTangent | None) -> ElasticSystem:
        """Build the preconditioner, of the elastic moduli or of a tangent's nearest ones."""
        lame, mu = self.slots.material[0] * self.body.weight, self.slots.material[1] * self.body.weight
        if tangent is not None:
            bulk, shear = effective_moduli(tangent) if self._bounds is None else self._bounds
            bulk = np.maximum(bulk, _SOFTEST * (lame + 2.0 * mu / 3.0))
            mu = np.maximum(shear, _SOFTEST * mu)
            lame = bulk - 2.0 * mu / 3.0
        return prepare_elastic(self.body.mesh, lame, mu, self.constraints, integration=Integration.MEAN_DILATATION)


def spread(constraints: Constraints, mesh: BrickMesh) -> Array:
    """Return the nodal forces (3, *nodes), N, of the platens' given forces: no moment about each platen's point."""
    out: Array = np.zeros((3, *mesh.node_shape))
    for platen in constraints.platens:
        if platen.force is not None:
            out += platen.force * unit_force(platen, mesh, platen.point)
    return out
