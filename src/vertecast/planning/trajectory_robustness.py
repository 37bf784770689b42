"""Robustness: the share of paths, perturbed as a hand perturbs them, that still pass every gate."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri
from scipy.stats import qmc

from vertecast.planning.site import SideView
from vertecast.planning.trajectory import Approach, Lines, Tool
from vertecast.planning.trajectory_gates import judge_lines
from vertecast.planning.trajectory_rules import TrajectoryRules

SAMPLES = 1000
_SOFT = 0.2  # mm of room over which a path turns from failing to passing while the search compares paths


def random_draws(samples: int, seed: int) -> NDArray[np.float64]:
    """(samples, 4): standard normal, for the entry's shift and the direction's turn, each lateral and upward."""
    return np.random.default_rng(seed).standard_normal((samples, 4))


def even_draws(power: int) -> NDArray[np.float64]:
    """(2**power, 4): standard normal, spread evenly (Sobol), so that few of them compare two paths well."""
    points = qmc.Sobol(4, scramble=False).random_base2(power)
    return np.asarray(ndtri(points + 0.5 / len(points)))


def perturbed(line: Lines, in_bone: float, rules: TrajectoryRules, drawn: NDArray[np.float64]) -> Lines:
    """Return copies of one path whose entry point is shifted and whose direction is turned, both Gaussian.

    Parameters
    ----------
    line : one path; in_bone : mm from its entry to its tip; the needle goes in as deep as planned
    drawn : (n, 4), standard normal
    """
    forward = line.forward[0]
    lateral, upward = _across(forward)
    entry = line.tip[0] - in_bone * forward
    shift = rules.sigma_shift * (drawn[:, :1] * lateral + drawn[:, 1:2] * upward)
    turn = np.radians(rules.sigma_angle) * (drawn[:, 2:3] * lateral + drawn[:, 3:4] * upward)
    turned = forward + turn
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    return Lines(entry + shift + in_bone * turned, turned)


def robustness(
    line: Lines, in_bone: float, view: SideView, tool: Tool, approach: Approach, rules: TrajectoryRules,
    *, samples: int = SAMPLES, seed: int = 0,
) -> float:  # fmt: skip
    """Return the share of the perturbed paths that pass every gate; the same seed on both sides, mirrored."""
    lines = perturbed(line, in_bone, rules, random_draws(samples, seed))
    return float(passes(lines, view, tool, approach, rules).mean())


def soft_robustness(
    lines: Lines, in_bone: NDArray[np.float64], view: SideView, tool: Tool, approach: Approach,
    rules: TrajectoryRules, drawn: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """(n,): the robustness of each path, a copy counting by its worst room, so that it is smooth in the path."""
    copies = [perturbed(lines.chosen(np.array([i])), float(in_bone[i]), rules, drawn) for i in range(len(lines))]
    bundle = Lines(np.concatenate([c.tip for c in copies]), np.concatenate([c.forward for c in copies]))
    worst = judge_lines(bundle, view, tool, approach, replace(rules, field_error=0.0)).worst
    return np.asarray(expit(worst / _SOFT).reshape(len(lines), len(drawn)).mean(axis=1))


def passes(lines: Lines, view: SideView, tool: Tool, approach: Approach, rules: TrajectoryRules) -> NDArray[np.bool_]:
    """Tell which paths pass every gate at its plain margin.

    The allowance for the error of the sampled distances protects a single path that is called safe; a share of many
    paths takes the distances as they are, since their error has no preferred sign.
    """
    return np.asarray(judge_lines(lines, view, tool, approach, replace(rules, field_error=0.0)).worst >= 0)


def _across(forward: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two unit vectors across a direction: lateral and upward in the side frame."""
    lateral = np.array([1.0, 0.0, 0.0]) - forward * forward[0]
    lateral /= np.linalg.norm(lateral)
    return lateral, np.cross(lateral, forward)
