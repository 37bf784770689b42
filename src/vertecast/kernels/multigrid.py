"""Geometric multigrid over any backend: the V-cycle and its Chebyshev smoother."""

from collections.abc import Sequence
from typing import Protocol

DEGREE = 4
"""Degree of the smoother before and after the coarse correction."""
SPREAD = 16.0
"""The smoother damps eigenvalues of D^-1 K from top / SPREAD to top."""


class Level(Protocol):
    """One grid: holds its own right-hand side and unknown, and does the work on them.

    ``smooth(weights, fresh)`` runs the steps of :func:`chebyshev_weights`, from zero when ``fresh``; ``residual`` and
    ``restrict_to`` make the coarse right-hand side; ``prolong_from`` adds the coarse unknown; ``solve`` is direct.
    """

    weights: tuple[tuple[float, float], ...]

    def smooth(self, *, fresh: bool) -> None: ...
    def restrict_to(self, coarse: "Level") -> None: ...
    def prolong_from(self, coarse: "Level") -> None: ...
    def solve(self) -> None: ...


def chebyshev_weights(top: float, degree: int = DEGREE, spread: float = SPREAD) -> tuple[tuple[float, float], ...]:
    """Return the (old step, residual) weights of each Chebyshev step for eigenvalues in [top / spread, top]."""
    centre, half = 0.5 * top * (1 + 1 / spread), 0.5 * top * (1 - 1 / spread)
    rho = half / centre
    steps = [(0.0, 1.0 / centre)]
    for _ in range(degree - 1):
        following = 1.0 / (2.0 * centre / half - rho)
        steps.append((following * rho, 2.0 * following / half))
        rho = following
    return tuple(steps)


def v_cycle(levels: Sequence[Level], at: int = 0) -> None:
    """Improve the unknown of level ``at`` from zero: smooth, correct on the coarser grids, smooth again."""
    level = levels[at]
    if at == len(levels) - 1:
        level.solve()
        return
    level.smooth(fresh=True)
    level.restrict_to(levels[at + 1])
    v_cycle(levels, at + 1)
    level.prolong_from(levels[at + 1])
    level.smooth(fresh=False)
