"""Geometric multigrid over any backend: the V-cycle and its Chebyshev smoother."""

from collections.abc import Sequence
from typing import Any, Protocol

DEGREE = 5
"""Degree of the smoother before and after the coarse correction."""
SPREAD = 36.0
"""The smoother damps eigenvalues of D^-1 K from top / SPREAD to top."""


class Level(Protocol):
    """One grid: holds its own right-hand side and unknown, and does the work on them.

    A new backend brings these four operations and those of :class:`krylov.Space`.
    """

    def smooth(self, *, fresh: bool) -> None:
        """Run the Chebyshev steps, from zero when ``fresh``."""

    def restrict_to(self, coarse: Any) -> None:
        """Make the coarse right-hand side from this level's residual."""

    def prolong_from(self, coarse: Any) -> None:
        """Add the coarse unknown to this level's."""

    def solve(self) -> None:
        """Solve directly."""


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
