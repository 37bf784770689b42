"""A body of foam under a growing load: the problem that :func:`vertecast.kernels.newton.follow` walks."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vertecast.kernels.constraints import Constraints, Platen, Sides
from vertecast.kernels.elastic import prepare_elastic, solve, solve_correction
from vertecast.kernels.foam import FoamBody, FoamState, advanced, forces
from vertecast.kernels.gauss import GaussPasses, RankOneTangent
from vertecast.kernels.krylov import Stop
from vertecast.kernels.newton import Imbalance

Array = NDArray[np.float64]

_STALE = 10  # iterations of one linear solve after which the preconditioner is built anew, for the price of about four
_GIVE_UP = 150  # iterations of one linear solve: beyond, what there is of the correction is tried
_SOFTEST = 0.02  # share of the elastic modulus below which the preconditioner does not follow the tangent


@dataclass(frozen=True, slots=True, eq=False)
class FoamRecord:
    """What is kept of one state of equilibrium.

    Parameters
    ----------
    force : (3,), N, resultant that holds the gripped nodes
    moment : (3,), N.mm, of those forces about the grid's origin
    work : mJ, done on the body since the start, by the trapezoidal rule
    stored, dissipated : mJ, summed over the body; the latter since the start
    yielded : share of elements with plastic strain
    """

    force: Array
    moment: Array
    work: float
    stored: float
    dissipated: float
    yielded: float


class FoamUnderLoad:
    """A foam body with its constraints and nodal load, both growing with one scale; keeps the history it has reached.

    Parameters
    ----------
    load : (3, *nodes), N, at scale 1, or None
    grip : (*nodes) bool, the nodes whose resultant is recorded
    state : the history to start from; a virgin body when None
    """

    def __init__(
        self,
        body: FoamBody,
        constraints: Constraints,
        *,
        load: Array | None = None,
        grip: NDArray[np.bool_],
        state: FoamState | None = None,
    ) -> None:
        self.body, self.constraints, self.grip = body, constraints, grip
        self.state = FoamState.virgin(body.mesh.count) if state is None else state
        self._load = np.zeros((3, *body.mesh.node_shape)) if load is None else load
        self._system = prepare_elastic(body.mesh, body.lame, body.mu, constraints, integration=body.integration)
        inner = GaussPasses(self._system.mesh, body.integration)  # of the bounding box, with the same packed elements
        self._tangent = RankOneTangent(inner, np.zeros((8, 8, body.mesh.count), np.float32))
        self._force = np.zeros_like(self._load)
        self._before = (np.zeros_like(self._load), np.zeros_like(self._load))
        self._work = self._dissipated = 0.0
        self._stale = False
        self._elastic: Array | None = None

    def elastic(self) -> Array:
        """Return the elastic displacement at scale 1, solved for once."""
        if self._elastic is None:
            load = self._load if self._load.any() else None
            self._elastic = np.asarray(solve(self._system, load, stop=Stop(rtol=1e-6)).displacement)
        return self._elastic

    def resting_force(self) -> Array:
        """Return the internal force (3, *nodes), N, of the elastic displacement as if nothing ever yielded."""
        body = replace(self.body, strength=np.full(self.body.mesh.count, np.inf))
        return forces(body, FoamState.virgin(body.mesh.count), self.elastic())

    def imbalance(self, u: Array, scale: float) -> Imbalance:
        """Return external less internal force, its size on the free motions, and the size of all forces."""
        self._force = forces(self.body, self.state, u, self._tangent)
        residual = scale * self._load - self._force
        return Imbalance(residual, self._free_size(residual), float(np.linalg.norm(self._force)))

    def correct(self, residual: Array, rtol: float) -> tuple[Array, int]:
        """Solve with the tangent of the last imbalance; the preconditioner is kept until it is slow."""
        if self._stale:
            self._rebuild()
        plastic = bool(self._tangent.values[:, 2:].any())
        operator = self._tangent if plastic else None
        answer = solve_correction(
            self._system, residual, tangent=operator, stop=Stop(rtol=rtol, max_iterations=_GIVE_UP, throw=False)
        )
        self._stale = plastic and answer.report.iterations > _STALE
        return np.asarray(answer.displacement), int(answer.report.iterations)

    def work(self, residual: Array, du: Array) -> float:
        """Return the work of a residual on a correction, mJ."""
        return float(np.vdot(residual, du))

    def accept(self, u: Array, scale: float) -> FoamRecord:
        """Move the history to ``u``, the displacement of the last imbalance."""
        self.state, stored, dissipated = advanced(self.body, self.state, u)
        u_old, force_old = self._before
        self._work += 0.5 * float(np.vdot(force_old + self._force, u - u_old))
        self._dissipated += float(dissipated.sum())
        self._before = (u, self._force)
        held = self._force[:, self.grip]
        places = [axis[self.grip] for axis in np.meshgrid(*self._node_places(), indexing="ij")]
        return FoamRecord(
            held.sum(axis=1),
            np.cross(np.stack(places), held, axis=0).sum(axis=1),
            self._work,
            float(stored.sum()),
            self._dissipated,
            float(np.mean(self.state.kappa.max(axis=0) > 0)),
        )

    def _node_places(self) -> list[Array]:
        return [self.body.mesh.node_coordinates(axis) for axis in range(3)]

    def _free_size(self, residual: Array) -> float:
        free = np.where(self.constraints.fixed | ~self.body.mesh.nodes, 0.0, residual)
        total = 0.0
        for platen in self.constraints.platens:
            total += self._platen_size2(platen, residual)
            for axis in range(3):
                if axis == platen.axis or platen.sides is not Sides.FRICTIONLESS:
                    free[axis][platen.nodes] = 0.0
        return float(np.sqrt(np.vdot(free, free) + total))

    def _platen_size2(self, platen: Platen, residual: Array) -> float:
        """Square of the platen's own imbalance, N²: moments divided by the platen's radius of inertia, and force."""
        pushes = residual[platen.axis][platen.nodes]
        places = np.meshgrid(*self._node_places(), indexing="ij", sparse=False)
        size2 = 0.0 if platen.force is None else float(pushes.sum()) ** 2
        for axis in range(3):
            if axis != platen.axis:
                arms = places[axis][platen.nodes] - platen.point[axis]
                size2 += float(pushes @ arms) ** 2 / float(np.mean(arms**2))
        return size2

    def _rebuild(self) -> None:
        """Follow the tangent with the preconditioner's moduli, element by element."""
        bulk, shear = effective_moduli(self._tangent)
        bulk = np.maximum(bulk, _SOFTEST * (self.body.lame + 2.0 * self.body.mu / 3.0))
        shear = np.maximum(shear, _SOFTEST * self.body.mu)
        lame = bulk - 2.0 * shear / 3.0
        self._system = prepare_elastic(self.body.mesh, lame, shear, self.constraints, integration=self.body.integration)


def effective_moduli(tangent: RankOneTangent) -> tuple[Array, Array]:
    """Return the isotropic bulk and shear modulus nearest to each element's mean tangent, (n,), MPa."""
    values = tangent.values
    bulk, shear = np.zeros(values.shape[2]), np.zeros(values.shape[2])
    for q in range(8):
        w = values[q, 2:].astype(np.float64)
        mean = w[:3].sum(axis=0) / 3.0
        deviator2 = ((w[:3] - mean) ** 2).sum(axis=0) + 2.0 * (w[3:] ** 2).sum(axis=0)
        bulk += (values[q, 0] - mean**2) / 8.0
        shear += (values[q, 1] - deviator2 / 10.0) / 8.0
    return bulk, shear
