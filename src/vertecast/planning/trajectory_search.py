"""Search of the best paths of one side and approach: a coarse lattice of candidates, then a pattern search.

A path has five degrees of freedom: where it passes the plane of the pedicle's isthmus (two) and where its tip lies
(three). What a gate is short of counts as a steep cost, so the search walks out of forbidden places.
"""

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from vertecast.planning.site import SideView
from vertecast.planning.trajectory import Approach, Lines, Target, Tool
from vertecast.planning.trajectory_gates import Judged, judge_lines
from vertecast.planning.trajectory_robustness import even_draws, soft_robustness
from vertecast.planning.trajectory_rules import TrajectoryRules
from vertecast.planning.trajectory_score import robustness_terms, score_terms, total

FORBIDDEN = 50.0
"""Cost of one millimetre that a gate is short of, in millimetres of score."""

_SPARE = 0.1  # mm of room that a finer judgement may take away again
_STARTS = 6
_FIRST_STEP, _LAST_STEP = 1.6, 0.05  # mm
_HARDEN_STEP = 0.2  # mm
_HARDEN_POWER = 6  # 2 ** 6 perturbations of each candidate
_APART = 2.0  # mm between starts, in the five dimensions


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What is searched: one side, approach and target with one tool.

    Parameters
    ----------
    goal : (3,), mm in the side frame, where the tip should go
    """

    view: SideView
    tool: Tool
    approach: Approach
    target: Target
    goal: NDArray[np.float64]
    rules: TrajectoryRules

    def lines(self, five: NDArray[np.float64]) -> Lines:
        """Make the paths of parameters (n, 5): lateral and upward in the isthmus' plane, and the tip, mm."""
        gate = self.view.pedicle
        assert gate is not None
        through = gate.centre + five[:, :1] * gate.lateral + five[:, 1:2] * gate.upward
        return Lines.through(through, five[:, 2:])

    def judge(self, lines: Lines) -> Judged:
        """Judge paths by the gates."""
        return judge_lines(lines, self.view, self.tool, self.approach, self.rules)

    def costs(self, five: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each path, and far more where a gate forbids it."""
        lines = self.lines(five)
        judged = self.judge(lines)
        score = total(score_terms(lines, judged, self.view, self.target, self.goal, self.rules))
        return np.asarray(score + FORBIDDEN * judged.short_of(_SPARE))


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a search ended with, best first: parameters (n, 5), and their costs (n,)."""

    five: NDArray[np.float64]
    cost: NDArray[np.float64]


def search(task: Task) -> Found:
    """Return the ends of the pattern searches, best first."""
    coarse = _coarse(task)
    costs = task.costs(coarse)
    starts = _apart(coarse, costs, _STARTS)
    five, cost = _pattern_search(task, coarse[starts], costs[starts])
    order = np.argsort(cost, kind="stable")
    return Found(five[order], cost[order])


def harden(task: Task, five: NDArray[np.float64]) -> NDArray[np.float64]:
    """Walk from one path to a neighbour whose score and robustness together are better.

    Parameters
    ----------
    five : (5,), parameters of a path

    Returns
    -------
    (5,)
        Parameters of a path that passes the gates if the given one does.

    Notes
    -----
    Every candidate is judged by the same few evenly spread perturbations, each counting smoothly by its worst room: a
    plain share of passes is too coarse to tell two paths near 95 % apart. The robustness that a plan states is drawn
    anew, at random.
    """
    drawn = even_draws(_HARDEN_POWER)
    best = five.copy()
    cost = _hardness(task, best[None], drawn)[0]
    step = _FIRST_STEP
    while step >= _HARDEN_STEP:
        around = best + step * _SLIDES
        costs = _hardness(task, around, drawn)
        i = int(costs.argmin())
        if costs[i] < cost - 1e-3:
            best, cost = around[i], costs[i]
        else:
            step *= 0.5
    return best


def _hardness(task: Task, five: NDArray[np.float64], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return score, gates and missing robustness together."""
    lines = task.lines(five)
    in_bone = task.judge(lines).in_bone
    share = soft_robustness(lines, in_bone, task.view, task.tool, task.approach, task.rules, drawn)
    return np.asarray(task.costs(five) + total(robustness_terms(share, task.rules)))


def _coarse(task: Task) -> NDArray[np.float64]:
    gate = task.view.pedicle
    assert gate is not None
    assert gate.width.value is not None
    assert gate.height.value is not None
    half_width, half_height = 0.5 * gate.width.value, 0.5 * gate.height.value
    if task.approach is Approach.TRANSPEDICULAR:
        lateral = np.linspace(-0.6, 0.6, 5) * half_width
        upward = np.linspace(-0.6, 0.6, 5) * half_height
    else:
        lateral = half_width + np.linspace(-1.0, 11.0, 6)
        upward = np.linspace(-0.6, 1.2, 6) * half_height
    tips = [task.goal[axis] + np.array([-4.0, 0.0, 4.0]) for axis in range(3)]
    if task.target is Target.MIDLINE:
        tips[0] = np.array([-2.0, 2.0, 6.0, 10.0])
    return np.array(list(product(lateral, upward, *tips)))


def _apart(five: NDArray[np.float64], costs: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Choose the best candidates that are not next to one another."""
    chosen: list[int] = []
    for i in np.argsort(costs, kind="stable"):
        if all(np.abs(five[i] - five[j]).max() >= _APART for j in chosen):
            chosen.append(int(i))
        if len(chosen) == count:
            break
    return np.array(chosen)


def _directions() -> NDArray[np.float64]:
    """Return the (50, 5) moves of the pattern: each parameter alone, and each pair together, both ways."""
    unit = np.eye(5)
    moves = [sign * unit[i] for i in range(5) for sign in (1, -1)]
    for i, j in combinations(range(5), 2):
        moves += [a * unit[i] + b * unit[j] for a in (1, -1) for b in (1, -1)]
    return np.array(moves)


def _slides() -> NDArray[np.float64]:
    """Return the (22, 5) moves of hardening: each parameter alone, the tip twice as far, parallel shifts, turns."""
    unit = np.eye(5)
    moves = [*unit, 2 * unit[2], 2 * unit[4]]
    moves += [unit[0] + unit[2], unit[1] + unit[4], unit[0] - unit[2], unit[1] - unit[4]]
    return np.array([sign * move for move in moves for sign in (1, -1)])


_MOVES, _SLIDES = _directions(), _slides()


def _pattern_search(
    task: Task, five: NDArray[np.float64], cost: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move each start to its best neighbour; where there is none, halve its step, until the steps are small."""
    five, cost = five.copy(), cost.copy()
    step = np.full(len(five), _FIRST_STEP)
    while (step >= _LAST_STEP).any():
        active = np.flatnonzero(step >= _LAST_STEP)
        around = five[active, None, :] + step[active, None, None] * _MOVES
        costs = task.costs(around.reshape(-1, 5)).reshape(len(active), len(_MOVES))
        best = costs.argmin(axis=1)
        better = costs[np.arange(len(active)), best] < cost[active] - 1e-4
        moved = active[better]
        five[moved] = around[better, best[better]]
        cost[moved] = costs[better, best[better]]
        step[active[~better]] *= 0.5
    return five, cost
