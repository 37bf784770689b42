"""One Newton correction at given volumes: conjugate gradients in the space of motions that keep the cavities' volumes.

The pressures are the multipliers of the volumes. Solving for each pressure's own motion first would cost a solve a
cavity; here the preconditioned direction is made orthogonal to ``g = dV/du`` and what the pressures balance is taken
out of the residual, so one solve finds motion and pressures together (projected conjugate gradients [1]_).

References
----------
.. [1] Gould, Hribar, Nocedal, SIAM J Sci Comput 23 (2001) 1376.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.kernels.constraints import FREE
from vertecast.kernels.elastic import ElasticSpace, ElasticSystem, Operator, force_norm, reduced
from vertecast.kernels.krylov import Stop, conjugate_gradients
from vertecast.kernels.multigrid import v_cycle

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Border:
    """The steered cavities' ``g`` on free nodes of a system, and the preconditioner's answers to them.

    Parameters
    ----------
    index : (m,) into the flat displacement
    values : (cavities, m), mm²
    answers : (cavities, n) float32, mm per MPa, and (cavities, motions)
    """

    index: NDArray[np.int64]
    values: Array
    answers: NDArray[np.float32]
    motions: Array

    @classmethod
    def of(cls, system: ElasticSystem, pushes: list[Array]) -> "Border":
        """Make the border of the nodal forces (3, *nodes) of unit pressure."""
        flat = np.stack([system.cropped(push) for push in pushes])
        flat[:, system.kinds.ravel() != FREE] = 0.0
        index = np.flatnonzero(flat.any(axis=0))
        answers, motions = [], []
        top = system.levels[0]
        for one in flat:
            top.b[:] = one
            top.b_motions[:] = 0.0
            v_cycle(system.levels)
            answers.append(np.array(top.x))
            motions.append(np.array(top.x_motions))
        return cls(index, flat[:, index].copy(), np.stack(answers), np.stack(motions))

    def volumes(self, x: NDArray[np.floating]) -> Array:
        """Return g . x of each cavity."""
        return np.asarray(np.einsum("ij,j->i", self.values, x[self.index].astype(float)))

    def shares(self, missing: Array) -> Array:
        """Return how much of each answer makes the volumes change by ``missing``."""
        matrix = np.stack([self.volumes(answer) for answer in self.answers], axis=1)
        return np.asarray(np.linalg.solve(matrix, missing))

    def balanced(self, r: Array) -> Array:
        """Take from ``r``, in place, what pressures balance (least squares); return the pressures."""
        gram = np.einsum("ij,kj->ik", self.values, self.values)
        pressures = np.linalg.solve(gram, np.einsum("ij,j->i", self.values, r[self.index]))
        r[self.index] -= np.einsum("i,ij->j", pressures, self.values)
        return pressures


class SteeredSpace(ElasticSpace):
    """The Krylov driver's backend in which every direction keeps the volumes; ``pressures`` is what it has found."""

    def __init__(self, system: ElasticSystem, operator: Operator, scale: float, border: Border) -> None:
        super().__init__(system, operator, scale)
        self.border = border
        self.pressures = np.zeros(border.values.shape[0])
        self._shares = np.linalg.inv(np.stack([border.volumes(answer) for answer in border.answers], axis=1))

    def precondition(self, r: Array, r_motions: Array) -> tuple[NDArray[np.float32], Array]:
        """Return the V-cycle's answer without its change of volume."""
        z, motions = super().precondition(r, r_motions)
        shares = -(self._shares @ self.border.volumes(z))
        for share, answer in zip(shares, self.border.answers, strict=True):
            z += np.float32(share) * answer
        return z, motions + shares @ self.border.motions

    def advance(self, alpha: float, p: Array, ap: Array, x: Array, r: Array) -> float:
        """Advance x and r, and give the pressures what they can balance."""
        square = super().advance(alpha, p, ap, x, r)
        index = self.border.index
        before = float(r[index] @ r[index])
        self.pressures -= self.border.balanced(r)
        self.system.levels[0].b[index] = self.scale * r[index]
        return max(square - before + float(r[index] @ r[index]), 0.0)


def steered_correction(
    system: ElasticSystem, operator: Operator, border: Border, residual: Array, missing: Array, stop: Stop
) -> tuple[Array, Array, int]:
    """Solve K du = residual + sum of dp g with g . du = missing.

    Parameters
    ----------
    residual : (3, *nodes), N
    missing : mm³, change of each steered cavity's volume still to be made

    Returns
    -------
    du (3, *nodes), dp, iterations
    """
    r = system.cropped(residual)
    rq = reduced(system, r, np.zeros(system.ties.free.size))
    x, motions = np.zeros(r.size), np.zeros(rq.size)
    pressures = -border.balanced(r)
    reference = force_norm(r, rq)
    if missing.any():
        shares = border.shares(missing)
        x += np.einsum("i,ij->j", shares, border.answers)
        motions += shares @ border.motions
        motions[~system.ties.free] = 0.0
        x[system.ties.index] = (system.ties.matrix * motions).sum(axis=1)
        applied = np.zeros(x.size)
        operator.apply(x, applied)
        applied *= -1.0
        rq += reduced(system, applied, np.zeros(rq.size))
        r += applied
        pressures -= border.balanced(r)
    size = force_norm(r, rq)
    reference = max(reference, size)
    scale = 1.0 / reference if reference > 0 and np.isfinite(reference) else 1.0
    np.multiply(r, scale, out=system.levels[0].b, casting="same_kind")
    space = SteeredSpace(system, operator, scale, border)
    report = conjugate_gradients(space, x, r, (motions, rq), (reference, size), stop)
    x[system.ties.index] = (system.ties.matrix * motions).sum(axis=1)
    return system.restored(x), pressures + space.pressures, report.iterations
