"""Preconditioned conjugate gradients over any backend, with an honest report."""

import enum
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ConvergenceError

Motions = NDArray[np.float64]


class Status(enum.Enum):
    """How a solve ended."""

    CONVERGED = "converged"
    ITERATION_LIMIT = "iteration limit reached"
    NOT_POSITIVE = "operator is not positive definite along a search direction"
    NOT_FINITE = "residual is not finite"


@dataclass(frozen=True, slots=True)
class SolveReport:
    """How a solve went: residual norms relative to the load's, first to last, and wall seconds without set-up."""

    status: Status
    iterations: int
    residuals: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """When to end: relative residual, iterations, and whether a failure raises."""

    rtol: float = 1e-8
    max_iterations: int = 300
    throw: bool = True


class Space(Protocol):
    """What the driver needs of a backend; arrays are its own, ``motions`` are a few host numbers (platens).

    ``apply`` returns the forces on the motions and p . K p; it leaves zero forces on everything held.
    """

    def zeros(self) -> Any:
        """Make a vector of zeros."""

    def apply(self, p: Any, p_motions: Motions, out: Any) -> tuple[Motions, float]:
        """Write K p into ``out``; return the forces on the motions, and p . K p."""

    def precondition(self, r: Any, r_motions: Motions) -> tuple[Any, Motions]:
        """Return an approximation of K^-1 r."""

    def dots(self, r: Any, z: Any, ap: Any) -> tuple[float, float]:
        """Return (r . z, ap . z)."""

    def advance(self, alpha: float, p: Any, ap: Any, x: Any, r: Any) -> float:
        """Advance x += alpha p, r -= alpha ap; return r . r."""

    def direct(self, z: Any, beta: float, p: Any) -> None:
        """Take p = z + beta p."""


def conjugate_gradients(
    space: Space, x: Any, r: Any, motions: tuple[Motions, Motions], norms: tuple[float, float], stop: Stop
) -> SolveReport:
    """Solve K x = b in place by flexible (Polak-Ribiere) conjugate gradients.

    Parameters
    ----------
    space : backend operations
    x, r : start and its residual b - K x, advanced in place
    motions : platen motions of x and their residual forces, advanced in place
    norms : norm of the load (of b), and of r at the start
    stop : ends at ``|r| <= rtol * norm of the load``

    Raises
    ------
    ConvergenceError
        Unless ``stop.throw`` is false; the report then tells how far it came.
    """
    began = time.perf_counter()
    xq, rq = motions
    reference, size = norms
    residuals = [size / reference if reference > 0 else 0.0]
    p, ap = space.zeros(), space.zeros()
    pq, apq = np.zeros_like(xq), np.zeros_like(xq)
    alpha, before, status = 0.0, 0.0, Status.ITERATION_LIMIT
    while True:
        if not np.isfinite(residuals[-1]):
            status = Status.NOT_FINITE
            break
        if residuals[-1] <= stop.rtol:
            status = Status.CONVERGED
            break
        if len(residuals) > stop.max_iterations:
            break
        z, zq = space.precondition(r, rq)
        rz, change = space.dots(r, z, ap)
        rz, change = rz + float(rq @ zq), change + float(apq @ zq)
        beta = -alpha * change / before if before > 0 else 0.0  # z . (r - r_old) = -alpha z . K p
        space.direct(z, beta, p)
        pq = zq + beta * pq
        apq, curvature = space.apply(p, pq, ap)
        if not (curvature > 0 and rz > 0):
            status = Status.NOT_POSITIVE
            break
        alpha, before = rz / curvature, rz
        square = space.advance(alpha, p, ap, x, r)
        xq += alpha * pq
        rq -= alpha * apq
        residuals.append(float(np.sqrt(square + float(rq @ rq))) / reference)
    report = SolveReport(status, len(residuals) - 1, tuple(residuals), time.perf_counter() - began)
    return _judged(report, stop)


def _judged(report: SolveReport, stop: Stop) -> SolveReport:
    """Raise for a solve that failed, unless the caller takes the status."""
    if stop.throw and report.status is not Status.CONVERGED:
        raise ConvergenceError(
            f"relative residual {report.residuals[-1]:.2e} above {stop.rtol:.1e} after {report.iterations} iterations "
            f"({report.status.value}); check supports and moduli, or allow more than {stop.max_iterations} iterations",
            report,
        )
    return report
