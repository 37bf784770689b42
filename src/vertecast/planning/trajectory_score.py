"""The score of a path: every term a length or an angle with its weight; less is better."""

import numpy as np
from numpy.typing import NDArray

from vertecast.planning.site import SideView
from vertecast.planning.trajectory import Lines, Target
from vertecast.planning.trajectory_gates import Judged
from vertecast.planning.trajectory_rules import TrajectoryRules
from vertecast.planning.views import view_angles

Terms = dict[str, tuple[NDArray[np.float64], str, float]]
"""Name to value (n,), unit and weight."""


def target_point(view: SideView, target: Target, height: float, rules: TrajectoryRules) -> NDArray[np.float64]:
    """Return where the tip should go, mm in the side frame.

    Parameters
    ----------
    height : relative height in the body, 0 at the inferior and 1 at the superior endplate
    """
    body = view.body
    x = 0.0 if target is Target.MIDLINE else rules.target_side * body.half_width
    y = body.front + rules.target_depth * body.depth
    lattice = view.bone.lattice
    i, j = np.rint((np.array([x, y]) - lattice.first[:2]) / lattice.pitch).astype(int)
    near = (slice(i - 2, i + 3), slice(j - 2, j + 3))
    top, bottom = float(np.nanmedian(body.top[near])), float(np.nanmedian(body.bottom[near]))
    return np.array([x, y, bottom + height * (top - bottom)])


def score_terms(
    lines: Lines, judged: Judged, view: SideView, target: Target, goal: NDArray[np.float64], rules: TrajectoryRules
) -> Terms:
    """Return every term of the score for each path."""
    assert view.pedicle is not None
    angle = np.degrees(np.arccos(np.clip(lines.forward @ view.pedicle.axis, -1.0, 1.0)))
    rotation, tilt = view_angles(lines.forward @ view.lps_from_side.T)
    beyond = np.maximum(np.abs(rotation) - rules.view_limit, 0) + np.maximum(np.abs(tilt) - rules.view_limit, 0)
    across = np.maximum(lines.tip[:, 0] - rules.midline_reach, 0.0)
    terms: Terms = {
        "clearance to the canal missing": (_short(judged.canal, rules), "mm", rules.medial_weight),
        "clearance to the roots missing": (_short(judged.root, rules), "mm", rules.inferior_weight),
        "clearance in bone missing": (_short(judged.wall, rules), "mm", rules.wall_weight),
        "tip to target": (np.linalg.norm(lines.tip - goal, axis=1), "mm", rules.tip_weight),
        "angle to the pedicle's axis": (angle, "deg", rules.angle_weight),
        "path in bone": (judged.in_bone, "mm", rules.length_weight),
        "bull's-eye beyond the C-arm": (beyond, "deg", rules.view_weight),
        "own bone crossed before": (judged.recrossed, "mm", rules.recross_weight),
    }
    if target is Target.MIDLINE:
        terms["missing to the midline"] = (across, "mm", rules.midline_weight)
    return terms


def robustness_terms(share: NDArray[np.float64], rules: TrajectoryRules) -> Terms:
    """Return the terms of the share of perturbed paths that pass every gate; less than the share asked weighs more."""
    return {
        "perturbed paths that fail a gate": (1.0 - share, "1", rules.robustness_weight),
        "robustness missing to the share asked": (
            np.maximum(rules.robust_enough - share, 0.0), "1", rules.robust_enough_weight,
        ),
    }  # fmt: skip


def total(terms: Terms) -> NDArray[np.float64]:
    """Return the weighted sum of the terms, (n,)."""
    return np.asarray(sum(weight * value for value, _, weight in terms.values()))


def _short(clearance: NDArray[np.float64], rules: TrajectoryRules) -> NDArray[np.float64]:
    return np.maximum(rules.comfort - clearance, 0.0)
