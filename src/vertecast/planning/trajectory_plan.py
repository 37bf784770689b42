"""The plans of one level: every side and approach searched, the best few different ones kept, or why there is none."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.levels import Level, Region
from vertecast.core.observer import SILENT, Observer
from vertecast.core.sides import Side
from vertecast.planning.site import SideView, Site
from vertecast.planning.trajectory import Approach, Gate, GateResult, Lines, NeedlePath, Target, Term, Tool
from vertecast.planning.trajectory_gates import bone_ahead
from vertecast.planning.trajectory_robustness import SAMPLES, robustness
from vertecast.planning.trajectory_rules import TrajectoryRules
from vertecast.planning.trajectory_score import robustness_terms, score_terms, target_point
from vertecast.planning.trajectory_search import Task, harden, search
from vertecast.planning.views import LevelViews, bulls_eye, level_views

_MOST_PLANS = 6
_THREADS = 2


LIMITS = (
    "great vessels and segmental arteries are not modelled; look at them on the CT before any needle, above all for an "
    "extrapedicular one, whose way lies outside the bone",
    "nerve roots are corridors of assumed course and radius under the pedicles, not seen on this CT",
    "bone that is not labelled (ribs, iliac crest) is no obstacle here; look for it on the way to the skin",
    "pleura is taken as the border of air; lung that is collapsed or behind fluid is not seen",
    "the plan is of the patient as imaged; turning prone moves the spine and the lungs",
)
"""What a plan does not know, stated in every ``plan.json``."""


class Endplate(Enum):
    """Which endplate the plan is for: the depressed one."""

    SUPERIOR = "superior"
    INFERIOR = "inferior"


class Layout(Enum):
    """How many accesses."""

    UNILATERAL = "unilateral"
    BILATERAL = "bilateral"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelAim:
    """What is asked of a level.

    Parameters
    ----------
    endplate : the depressed one, which the target lies under or over
    focus_lps : (3,), mm, for instance a cleft's centre, as the target instead; ``None`` for the usual one
    sides : sides that may be used
    """

    tool: Tool
    endplate: Endplate = Endplate.SUPERIOR
    focus_lps: tuple[float, float, float] | None = None
    sides: tuple[Side, ...] = (Side.LEFT, Side.RIGHT)
    samples: int = SAMPLES
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one side and approach has no path: the gates its nearest miss breaks, the worst first."""

    side: Side
    approach: Approach
    target: Target
    gates: tuple[GateResult, ...]
    reason: str

    @property
    def sentence(self) -> str:
        """The refusal in words."""
        least = self.gates[0]
        return f"{self.side} {self.approach.value}: {least.gate.value} ({-(least.room or 0.0):.1f} mm missing)"

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        return {
            "side": self.side.value,
            "approach": self.approach.value,
            "target": self.target.value,
            "reason": self.reason,
            "gates": [gate.as_json() for gate in self.gates],
        }


@dataclass(frozen=True, slots=True, eq=False)
class TrajectoryPlan:
    """One way to reach a level: one needle or two."""

    layout: Layout
    needles: tuple[NeedlePath, ...]
    reaches_midline: bool

    @property
    def score(self) -> float:
        """Mean score of the needles, mm; less is better."""
        return float(np.mean([needle.score for needle in self.needles]))

    @property
    def robustness(self) -> float:
        """Share of perturbed attempts in which every needle passes every gate."""
        return float(np.prod([needle.robustness for needle in self.needles]))

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        return {
            "layout": self.layout.value,
            "reaches_midline": self.reaches_midline,
            "score": self.score,
            "robustness": self.robustness,
            "needles": [needle.as_json() for needle in self.needles],
        }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LevelPlan:
    """What can be done at a level: plans, best first; refusals of what cannot."""

    level: Level
    plans: tuple[TrajectoryPlan, ...]
    refusals: tuple[Refusal, ...]
    views: LevelViews
    tool: Tool
    warnings: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The result in words; plain when no safe plan exists."""
        if self.plans:
            best = self.plans[0]
            ways = " and ".join(f"{n.side} {n.approach.value}" for n in best.needles)
            return f"{self.level}: {best.layout.value}, {ways}, robustness {best.robustness:.0%}"
        why = "; ".join(dict.fromkeys(refusal.sentence for refusal in self.refusals)) or "; ".join(self.warnings)
        return f"{self.level}: no safe plan exists for {self.tool.name}. {why}"

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        return {
            "level": self.level.value,
            "sentence": self.sentence,
            "plans": [plan.as_json() for plan in self.plans],
            "refusals": [refusal.as_json() for refusal in self.refusals],
            "views": self.views.as_json(),
            "warnings": list(self.warnings),
            "limits": list(LIMITS),
        }


def plan_level(site: Site, aim: LevelAim, rules: TrajectoryRules, *, observer: Observer = SILENT) -> LevelPlan:
    """Plan one level: both sides, both approaches, one-sided to the midline and two-sided.

    Raises
    ------
    GeometryError
        When no pedicle of the asked sides could be measured.
    """
    usable = [side for side in aim.sides if site.views[side].pedicle is not None]
    if not usable:
        raise GeometryError(
            f"{site.level}: no path can be planned, {'; '.join(site.warnings)}; "
            "give labels that hold the whole vertebra"
        )
    paths: list[NeedlePath] = []
    refusals: list[Refusal] = []
    ways = list(product(usable, Approach, Target))
    observer.begin(f"Planning {site.level}", len(ways))
    with ThreadPoolExecutor(_THREADS) as pool:
        for found in pool.map(lambda way: _plan_one(make_task(site, way, aim, rules), site, aim), ways):
            observer.advance()
            if isinstance(found, NeedlePath):
                paths.append(found)
            else:
                refusals.append(found)
    return LevelPlan(
        level=site.level,
        plans=_ranked(paths, site, rules),
        refusals=tuple(refusals),
        views=level_views(site.vert_from_lps),
        tool=aim.tool,
        warnings=site.warnings,
    )


def make_task(site: Site, way: tuple[Side, Approach, Target], aim: LevelAim, rules: TrajectoryRules) -> Task:
    """Return what is searched for one side, approach and target."""
    side, approach, target = way
    view = site.views[side]
    height = rules.target_superior if aim.endplate is Endplate.SUPERIOR else rules.target_inferior
    goal = target_point(view, target, height, rules)
    if aim.focus_lps is not None:
        focus = site.vert_from_lps.apply(aim.focus_lps) * np.array([side.sign, 1.0, 1.0])
        goal = focus if target is Target.MIDLINE else np.array([goal[0], *focus[1:]])
    return Task(view, aim.tool, approach, target, goal, rules)


def _plan_one(task: Task, site: Site, aim: LevelAim) -> NeedlePath | Refusal:
    found = search(task)
    five = found.five[0]
    if task.judge(task.lines(five[None])).worst[0] >= 0:
        five = harden(task, five)
    path = make_path(site, task, task.lines(five[None]), aim)
    return path if path.safe else _refusal(path)


def _refusal(path: NeedlePath) -> Refusal:
    broken = sorted((g for g in path.gates if g.passed is False), key=lambda g: g.room or 0.0)
    reason = "; ".join(f"{g.gate.value}, {-(g.room or 0.0):.1f} mm missing" for g in broken)
    return Refusal(path.side, path.approach, path.target, tuple(broken), reason)


def make_path(site: Site, task: Task, line: Lines, aim: LevelAim) -> NeedlePath:
    """Judge one line finely and give it its place in the patient."""
    view, rules = task.view, task.rules
    judged = task.judge(line)
    entry = line.tip[0] - judged.in_bone[0] * line.forward[0]
    places = np.stack([entry, line.tip[0], task.goal, line.tip[0] - line.forward[0]])
    entry_lps, tip_lps, goal_lps, behind_lps = site.to_lps(places, view.side)
    forward_lps = tip_lps - behind_lps
    skin, skin_gate = _skin(site, entry_lps, tip_lps, forward_lps, task.tool)
    share = robustness(
        line, float(judged.in_bone[0]), view, task.tool, task.approach, rules, samples=aim.samples, seed=aim.seed
    )
    named = {
        **score_terms(line, judged, view, task.target, task.goal, rules),
        **robustness_terms(np.array([share]), rules),
    }
    terms = [Term(name, float(value[0]), unit, weight) for name, (value, unit, weight) in named.items()]
    seen = bulls_eye(forward_lps)
    # The skin's map serves the search; what is stated is the ray through the image itself.
    found = (GateResult(g, float(r[0])) for g, r in judged.rooms.items() if g is not Gate.SKIN)
    return NeedlePath(
        side=view.side,
        approach=task.approach,
        target=task.target,
        tool=task.tool,
        entry_lps=entry_lps,
        tip_lps=tip_lps,
        target_lps=goal_lps,
        skin_lps=skin,
        clearances={
            "canal": float(judged.canal[0]),
            "nerve_root": float(judged.root[0]),
            "bone_wall": float(judged.wall[0]),
            "ahead_of_tip": bone_ahead(line, view),
        },
        gates=(*found, *_lung_unknown(view), skin_gate),
        terms=tuple(terms),
        robustness=share,
        rotation_deg=seen.rotation_deg,
        tilt_deg=seen.tilt_deg,
    )


def _lung_unknown(view: SideView) -> tuple[GateResult, ...]:
    return () if view.lung is not None else (GateResult(Gate.LUNG, None, "not checked: no CT was given"),)


def _skin(
    site: Site, entry: NDArray[np.float64], tip: NDArray[np.float64], forward: NDArray[np.float64], tool: Tool
) -> tuple[NDArray[np.float64] | None, GateResult]:
    if site.air is None:
        return None, GateResult(Gate.SKIN, None, "not checked: no CT was given")
    skin = site.air.skin(entry, -forward)
    if skin is None:
        return None, GateResult(Gate.SKIN, None, "not checked: the image ends before the skin")
    return skin, GateResult(Gate.SKIN, tool.length - float(np.linalg.norm(tip - skin)))


def _ranked(paths: list[NeedlePath], site: Site, rules: TrajectoryRules) -> tuple[TrajectoryPlan, ...]:
    """Put one- and two-sided plans in order, and drop those that are nearly one already kept."""
    plans = [
        TrajectoryPlan(Layout.UNILATERAL, (p,), _to_midline(p, site) <= rules.midline_reach)
        for p in paths
        if p.target is Target.MIDLINE
    ]
    plans += _pairs([p for p in paths if p.target is Target.OWN_HALF], rules)
    usual = {(p.side, p.target) for p in paths if p.approach is Approach.TRANSPEDICULAR}
    lumbar = site.level.region is Region.LUMBAR
    order = sorted(plans, key=lambda plan: (lumbar and _is_unusual(plan, usual), not _serves(plan, rules), plan.score))
    kept: list[TrajectoryPlan] = []
    for plan in order:
        if all(_differ(plan, other, rules) for other in kept):
            kept.append(plan)
    return tuple(kept[:_MOST_PLANS])


def _is_unusual(plan: TrajectoryPlan, usual: set[tuple[Side, Target]]) -> bool:
    """Tell whether a plan goes beside a pedicle that another path goes through; in the lumbar spine that comes last."""
    return any(n.approach is Approach.EXTRAPEDICULAR and (n.side, n.target) in usual for n in plan.needles)


def _serves(plan: TrajectoryPlan, rules: TrajectoryRules) -> bool:
    """Tell whether a plan serves the whole body: two sides, or one that reaches the midline robustly."""
    if plan.layout is Layout.BILATERAL:
        return True
    return plan.reaches_midline and plan.robustness >= rules.robust_enough


def _to_midline(path: NeedlePath, site: Site) -> float:
    return abs(float(site.vert_from_lps.apply(path.tip_lps)[0]))


def _pairs(halves: Iterable[NeedlePath], rules: TrajectoryRules) -> list[TrajectoryPlan]:
    by_side: Mapping[Side, list[NeedlePath]] = {side: [] for side in Side}
    for path in halves:
        by_side[path.side].append(path)
    return [
        TrajectoryPlan(Layout.BILATERAL, (left, right), True)
        for left in by_side[Side.LEFT]
        for right in by_side[Side.RIGHT]
        if _gap(left, right) >= left.tool.radius + right.tool.radius + rules.needles_apart
    ]


def _gap(a: NeedlePath, b: NeedlePath) -> float:
    """Least distance, mm, between two needles' axes in bone."""
    share = np.linspace(0.0, 1.0, 41)[:, None]
    first, second = (p.entry_lps + share * (p.tip_lps - p.entry_lps) for p in (a, b))
    return float(np.linalg.norm(first[:, None] - second[None], axis=-1).min())


def _differ(a: TrajectoryPlan, b: TrajectoryPlan, rules: TrajectoryRules) -> bool:
    if len(a.needles) != len(b.needles):
        return True
    return any(
        p.side is not q.side
        or float(np.linalg.norm(p.entry_lps - q.entry_lps)) > rules.different_entry
        or float(np.degrees(np.arccos(np.clip(p.forward_lps @ q.forward_lps, -1, 1)))) > rules.different_angle
        for p, q in zip(a.needles, b.needles, strict=True)
    )
