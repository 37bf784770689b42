"""Newton-Krylov along a load path: load stepping, inexact solves, line search, step cutting; a status, never a hang.

It knows no mechanics: a :class:`Problem` says what the imbalance is and solves its own linear systems.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.observer import SILENT, Observer

Array = NDArray[np.float64]
Record = TypeVar("Record", covariant=True)


class PathStatus(Enum):
    """How a path ended."""

    COMPLETE = "complete"
    LIMIT = "no equilibrium found beyond the last step"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, eq=False)
class Imbalance:
    """External less internal force at a trial state.

    Parameters
    ----------
    residual : the problem's own array
    size : norm of what must vanish
    reference : norm of the forces present, which ``size`` is compared with
    """

    residual: Array
    size: float
    reference: float

    @property
    def miss(self) -> float:
        """Size over the forces present."""
        return self.size / self.reference if self.reference > 0 else self.size


class Equations(Protocol):
    """What one search for equilibrium needs of a discretised structure."""

    def imbalance(self, u: Array, scale: float) -> Imbalance:
        """Return the imbalance at ``u`` and remember the tangent there."""

    def correct(self, residual: Array, rtol: float) -> tuple[Array, int]:
        """Solve tangent * du = residual to a relative tolerance; return du and the iterations it took."""

    def work(self, residual: Array, du: Array) -> float:
        """Return the work of a residual on a correction."""


class Problem(Equations, Protocol[Record]):
    """A discretised structure under a load that grows with one scale from 0 to 1."""

    def elastic(self) -> Array:
        """Return the elastic displacement at scale 1: the direction of the first step."""

    def accept(self, u: Array, scale: float) -> Record:
        """Make ``u`` the new state of equilibrium and return what to record of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepControl:
    """How the path is walked.

    Parameters
    ----------
    increments : equal steps of the scale
    tolerance : imbalance over present forces at which a step is in equilibrium
    iterations : Newton corrections a step may take before it is cut in half
    smallest : share of the nominal step below which no more cutting is done: the limit is reached
    loosest, tightest : relative tolerances between which the linear solves are chosen (Eisenstat and Walker)
    patience : corrections after which a step that has not halved its first imbalance is cut; None waits for the last
    """

    increments: int = 20
    tolerance: float = 1e-4
    iterations: int = 12
    smallest: float = 1.0 / 64.0
    loosest: float = 0.1
    tightest: float = 1e-4
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.increments < 1 or self.iterations < 1:
            raise ParameterError(f"increments = {self.increments} and iterations = {self.iterations} must be >= 1")
        if not 0 < self.tolerance < 1 or not 0 < self.smallest <= 1 or not 0 < self.tightest <= self.loosest < 1:
            raise ParameterError(f"tolerances and the smallest step must lie in 0-1, got {self}")


@dataclass(frozen=True, slots=True, eq=False)
class Increment(Generic[Record]):
    """One step of equilibrium: its scale, what the problem recorded, and what it cost."""

    scale: float
    record: Record
    newton: int
    krylov: int
    imbalance: float


@dataclass(frozen=True, slots=True, eq=False)
class Path(Generic[Record]):
    """The curve as far as it could be followed; ``displacement`` is its last state of equilibrium."""

    status: PathStatus
    increments: tuple[Increment[Record], ...]
    displacement: Array
    cuts: int


def follow(
    problem: Problem[Record],
    control: StepControl,
    *,
    stop: Callable[[tuple[Increment[Record], ...]], bool] | None = None,
    observer: Observer = SILENT,
) -> Path[Record]:
    """Walk the load path from rest.

    Notes
    -----
    The first step starts from the elastic solution, later ones from the last two states extrapolated. A step that
    finds no equilibrium is halved; after a success it grows back. Under force control nothing lies beyond a limit
    point: the path then ends there with status LIMIT and everything before it.
    """
    elastic = problem.elastic()
    states: list[tuple[float, Array]] = [(0.0, np.zeros_like(elastic))]
    done: list[Increment[Record]] = []
    nominal, cuts = 1.0 / control.increments, 0
    step, status = nominal, PathStatus.COMPLETE
    while states[-1][0] < 1.0 - 1e-9:
        if observer.cancelled():
            status = PathStatus.CANCELLED
            break
        target = min(1.0, states[-1][0] + step)
        if 1.0 - target < 1e-9:
            target = 1.0
        found = equilibrium(problem, control, _guess(states, elastic, target), target)
        if found is None:
            cuts, step = cuts + 1, 0.5 * step
            if step < nominal * control.smallest:
                status = PathStatus.LIMIT
                break
            continue
        u, newton, krylov, miss = found
        done.append(Increment(target, problem.accept(u, target), newton, krylov, miss))
        states = [states[-1], (target, u)]
        step = min(nominal, 2.0 * step)
        observer.advance()
        if stop is not None and stop(tuple(done)):
            break
    return Path(status, tuple(done), states[-1][1], cuts)


def _guess(states: list[tuple[float, Array]], elastic: Array, target: float) -> Array:
    at, u = states[-1]
    if len(states) == 1:
        return target * elastic
    before, old = states[0]
    return np.asarray(u + (u - old) * ((target - at) / (at - before)))


def equilibrium(
    problem: Equations, control: StepControl, u: Array, scale: float
) -> tuple[Array, int, int, float] | None:
    """Find the state of equilibrium at one scale by Newton's method, starting from ``u``.

    Returns
    -------
    state, Newton corrections, Krylov iterations, imbalance over present forces; None where none was found
    """
    now = problem.imbalance(u, scale)
    first, forcing, krylov = now, control.loosest, 0
    for newton in range(control.iterations + 1):
        miss = now.miss
        if not np.isfinite(miss) or now.size > 1e4 * first.size:
            return None
        if miss <= control.tolerance:
            return u, newton, krylov, miss
        if newton == control.iterations or (newton == control.patience and miss > 0.5 * first.miss):
            return None
        needed = 0.3 * control.tolerance / miss
        du, spent = problem.correct(now.residual, min(control.loosest, max(forcing, needed, control.tightest)))
        krylov += spent
        u, new = _search(problem, u, du, now, scale)
        forcing = 0.9 * (new.size / now.size) ** 2
        now = new
    return None


def _search(problem: Equations, u: Array, du: Array, now: Imbalance, scale: float) -> tuple[Array, Imbalance]:
    """Shorten a correction that overshoots, by false position on the work of the imbalance along it."""
    begin = problem.work(now.residual, du)
    share = 1.0
    for _ in range(3):
        trial = u + share * du
        new = problem.imbalance(trial, scale)
        if new.size < now.size:
            return trial, new
        end = problem.work(new.residual, du)
        if not np.isfinite(end) or end >= -0.5 * begin:
            return trial, new
        share *= min(0.9, max(0.1, begin / (begin - end)))
    trial = u + share * du
    return trial, problem.imbalance(trial, scale)
