"""Proves the needle planner on vertebrae of known shape, and on real CTs.

Every plan is judged again on the analytic solids, by code that shares nothing with the planner; the search is compared
with brute force; mirrored anatomy gives mirrored plans and a turned patient turned ones; narrow pedicles are refused.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vertecast.core.errors import GeometryError
from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.imaging.read import read_labels
from vertecast.imaging.volume import LabelMap
from vertecast.planning.markups import plan_markups
from vertecast.planning.site import Site, make_site
from vertecast.planning.trajectory import Approach, Gate, Lines, NeedlePath, Target, Tool
from vertecast.planning.trajectory_gates import bone_ahead, segment_distance
from vertecast.planning.trajectory_plan import Layout, LevelAim, LevelPlan, make_task, plan_level
from vertecast.planning.trajectory_robustness import even_draws, perturbed, random_draws, robustness
from vertecast.planning.trajectory_rules import trajectory_rules
from vertecast.planning.trajectory_search import harden, search
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.canal import Canal, measure_canal
from vertecast.spine.measure import measure_spine
from vertecast.spine.pedicles import Pedicle, measure_pedicles
from vertecast.spine.phantom.arch import arch_parts
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.levels import LevelShape, normal_shape

RULES = trajectory_rules().values
G11 = Tool("11G", 3.05 / 2, 150.0)
G8 = Tool("cannula-8G", 4.19 / 2, 150.0)
POSE = Transform(
    np.vstack([np.hstack([Rotation.from_euler("xyz", [8, -5, 11], degrees=True).as_matrix(), [[12.0], [-30.0], [7.0]]]),
               [0, 0, 0, 1]]), LPS, "vert:truth")  # fmt: skip


def solid_distance(shape: LevelShape, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance of the whole vertebra, negative inside, from its analytic parts."""
    x, y, z = np.moveaxis(points.astype(np.float32), -1, 0)
    parts = [Body(shape).part(), *arch_parts(shape)]
    return np.minimum.reduce([part.distance(x, y, z) for part in parts]).astype(np.float64)


def made(shape: LevelShape, *, spacing: float = 0.8, pose: Transform | None = None) -> Anatomy:
    """Return the vertebra as labels on a grid, with its true frame; ``pose`` turns the patient by the affine alone."""
    counts = tuple(int(np.ceil(length / spacing)) for length in (100, 108, 82))
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = (-(counts[0] - 1) * spacing / 2, -33.0, -(counts[2] - 1) * spacing / 2)
    points = Grid.from_affine(counts, matrix).to_lps(np.moveaxis(np.indices(counts), 0, -1)).astype(np.float32)
    x, y, z = np.moveaxis(points, -1, 0)
    body = Body(shape).part().distance(x, y, z) < 0
    arch = np.minimum.reduce([part.distance(x, y, z) for part in arch_parts(shape)]) < 0
    lps_from_vert = np.eye(4) if pose is None else pose.matrix
    frame = Transform(np.linalg.inv(lps_from_vert), f"vert:{shape.level}", LPS)
    return Anatomy(
        shape.level, Grid.from_affine(counts, lps_from_vert @ matrix), body | arch, body, arch & ~body, frame
    )


def measured(anatomy: Anatomy) -> tuple[dict[Side, Pedicle], Canal]:
    return measure_pedicles(anatomy), measure_canal(anatomy)


@cache
def site_of(level: Level, width: float | None = None) -> Site:
    shape = shape_of(level, width)
    anatomy = made(shape)
    return make_site(anatomy, *measured(anatomy), RULES)


def shape_of(level: Level, width: float | None = None) -> LevelShape:
    shape = normal_shape(level)
    return shape if width is None else replace(shape, pedicle_width_mm=width)


@cache
def plan_of(level: Level, width: float | None = None, tool: Tool = G11) -> LevelPlan:
    return plan_level(site_of(level, width), LevelAim(tool=tool), RULES)


def tube(needle: NeedlePath, radius: float, back: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (m, 24, 3), mm, on the tube's surface at ``back`` mm behind the tip."""
    forward = needle.forward_lps
    u = np.cross(forward, [0.0, 0.0, 1.0])
    u /= np.linalg.norm(u)
    angle = np.linspace(0.0, 2 * np.pi, 24, endpoint=False)
    ring = np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * np.cross(forward, u)
    return (needle.tip_lps - back[:, None] * forward)[:, None, :] + radius * ring


def faults(shape: LevelShape, needle: NeedlePath) -> list[str]:
    """Judge a path again on the analytic solids at the plain margins; the true frame is the world here."""
    length = float(np.linalg.norm(needle.tip_lps - needle.entry_lps))
    back = np.arange(0.0, length + 20.0, 0.25)
    wall = 0.5 * Body(shape).depth - 1.4
    y = (needle.tip_lps - back[:, None] * needle.forward_lps)[:, 1]
    found = []
    held = back <= length - (RULES.lead_in if needle.approach is Approach.EXTRAPEDICULAR else 8.0)
    if needle.approach is Approach.TRANSPEDICULAR:
        isthmus = wall + 0.28 * shape.canal_depth_mm + 1.9
        held = y <= isthmus
    if (solid_distance(shape, tube(needle, needle.tool.radius + 1.0, back[held])) > 0).any():
        found.append("the tube with 1 mm of margin leaves the bone")
    bare = tube(needle, needle.tool.radius + 0.8, back)
    half = 0.5 * shape.canal_width_mm
    x, yy = bare[..., 0], bare[..., 1]
    in_canal = (np.abs(x) < 0.8 * half) & (yy > wall + 1.0) & (yy < wall + shape.canal_depth_mm - 2.0)
    in_canal &= np.abs(bare[..., 2]) < 10.0
    if in_canal.any():
        found.append("the tube is in the canal")
    if solid_distance(shape, needle.tip_lps[None])[0] > -needle.tool.radius - 1.0:
        found.append("the tip is not inside the body")
    return found


CASES = [
    (Level.L2, None, G11),
    (Level.L2, 12.0, G8),
    (Level.L4, None, G11),
    (Level.T6, 4.5, G8),
    (Level.T11, None, G11),
]


@pytest.mark.parametrize(("level", "width", "tool"), CASES)
def test_every_plan_passes_its_gates_on_the_analytic_shape(level: Level, width: float | None, tool: Tool) -> None:
    plan = plan_of(level, width, tool)
    assert plan.plans
    shape = shape_of(level, width)
    for one in plan.plans:
        for needle in one.needles:
            assert needle.safe
            assert faults(shape, needle) == [], (needle.side, needle.approach, needle.target)


def test_the_independent_judgement_can_fail() -> None:
    """The same path moved 4 mm to the midline, and 12 mm too deep, is found at fault."""
    needle = next(n for p in plan_of(Level.L2).plans for n in p.needles if n.approach is Approach.TRANSPEDICULAR)
    medial = np.array([-4.0 * needle.side.sign, 0.0, 0.0])
    moved = replace(needle, entry_lps=needle.entry_lps + medial, tip_lps=needle.tip_lps + medial)
    assert "the tube with 1 mm of margin leaves the bone" in faults(shape_of(Level.L2), moved)
    deep = replace(needle, tip_lps=needle.tip_lps + 12.0 * needle.forward_lps)
    assert "the tip is not inside the body" in faults(shape_of(Level.L2), deep)


def through(level: Level, excess: float) -> float:
    """Robustness of the transpedicular path to the own half; ``excess`` is the isthmus beyond tube and margins, mm."""
    width = 2 * G11.radius + 2 * RULES.bone_margin + excess
    way = (Side.LEFT, Approach.TRANSPEDICULAR, Target.OWN_HALF)
    task = make_task(site_of(level, width), way, LevelAim(tool=G11), RULES)
    line = task.lines(harden(task, search(task).five[0])[None])
    depth = float(task.judge(line).in_bone[0])
    return robustness(line, depth, task.view, G11, task.approach, RULES)


def test_robustness_rises_with_the_isthmus() -> None:
    shares = [through(Level.L2, excess) for excess in (1.5, 3.0, 5.0, 7.5)]
    assert shares == sorted(shares), shares
    assert shares[0] < 0.6
    assert shares[2] >= 0.95
    assert shares[3] >= 0.98


@pytest.mark.parametrize("level", [Level.L1, Level.L3, Level.L4, Level.L5])
def test_robustness_is_95_percent_at_5_mm_beyond_tube_and_margins(level: Level) -> None:
    assert through(level, 5.0) >= 0.95


def test_no_path_is_more_robust_than_a_centred_one_in_a_straight_pedicle() -> None:
    """The isthmus alone bounds the share: by Anderson's inequality no path beats the one through its middle.

    The bound is that of an elliptic isthmus 18 mm behind the entry; what the planner reaches lies below it.
    """
    drawn = random_draws(20_000, 3)
    across = RULES.sigma_shift * drawn[:, :2] + np.radians(RULES.sigma_angle) * 18.0 * drawn[:, 2:]
    t = np.linspace(0.0, 2.0 * np.pi, 1441)
    for excess in (3.0, 5.0):
        a, b = 0.5 * (2 * G11.radius + 2 * RULES.bone_margin + excess), 7.5
        wall = np.column_stack([a * np.cos(t), b * np.sin(t)])
        away = np.linalg.norm(across[:, None, :] - wall[None, ::8, :], axis=-1).min(axis=1)
        inside = (across[:, 0] / a) ** 2 + (across[:, 1] / b) ** 2 < 1.0
        bound = float((inside & (away >= G11.radius + RULES.bone_margin)).mean())
        assert 0.9 * bound < through(Level.L2, excess) < bound + 0.01


@pytest.mark.parametrize("level", [Level.T4, Level.T5, Level.T6, Level.T7, Level.T8])
def test_8_g_at_a_4_5_mm_pedicle_is_refused_through_it_and_offered_beside_it(level: Level) -> None:
    plan = plan_of(level, 4.5, G8)
    approaches = {n.approach for p in plan.plans for n in p.needles}
    assert approaches == {Approach.EXTRAPEDICULAR}
    refused = [r for r in plan.refusals if r.approach is Approach.TRANSPEDICULAR]
    assert {(r.side, r.target) for r in refused} == {(s, t) for s in Side for t in Target}
    assert all(Gate.ISTHMUS in {g.gate for g in r.gates} for r in refused)
    assert "isthmus is too narrow" in refused[0].reason


def test_the_tip_keeps_its_distance_from_the_anterior_cortex() -> None:
    """A path that is driven on until bone ends is refused by the anterior gate, 4 mm before the great vessels."""
    way = (Side.LEFT, Approach.TRANSPEDICULAR, Target.OWN_HALF)
    task = make_task(site_of(Level.L2, 10.05), way, LevelAim(tool=G11), RULES)
    line = task.lines(search(task).five[:1])
    left = bone_ahead(line, task.view)
    assert left >= RULES.anterior_margin
    deep = Lines(line.tip + (left - 2.0) * line.forward, line.forward)
    assert bone_ahead(deep, task.view) == pytest.approx(2.0, abs=0.3)
    assert float(task.judge(deep).rooms[Gate.ANTERIOR][0]) < 0
    assert float(task.judge(line).rooms[Gate.ANTERIOR][0]) >= 0


def test_bone_over_the_pedicles_roots_is_no_endplate() -> None:
    """Where the arch goes on above or below the body there is no disc to keep away from."""
    view = site_of(Level.L2).views[Side.LEFT]
    y = view.bone.lattice.first[1] + view.bone.lattice.pitch * np.arange(view.body.top.shape[1])
    x = view.bone.lattice.first[0] + view.bone.lattice.pitch * np.arange(view.body.top.shape[0])
    middle = np.abs(x) < 5.0
    assert np.isfinite(view.body.top[np.ix_(middle, np.abs(y) < 8.0)]).all()
    assert np.isfinite(view.body.bottom[np.ix_(middle, np.abs(y) < 8.0)]).all()
    assert np.isnan(view.body.top[:, y > view.body.wall + 6.0]).all()


def test_when_nothing_is_safe_it_says_so_and_which_gate_forbids_it() -> None:
    thick = Tool("a rod", 7.0, 150.0)
    plan = plan_level(site_of(Level.T6, 4.5), LevelAim(tool=thick), RULES)
    assert plan.plans == ()
    assert len(plan.refusals) == 8
    assert "no safe plan exists for a rod" in plan.sentence
    assert "mm missing" in plan.sentence


def test_search_is_not_worse_than_brute_force() -> None:
    task = make_task(
        site_of(Level.L2, 12.0), (Side.LEFT, Approach.TRANSPEDICULAR, Target.OWN_HALF), LevelAim(tool=G11), RULES
    )
    found = search(task)
    centre = found.five[0]
    grid = np.stack(np.meshgrid(*[c + np.linspace(-3.0, 3.0, 7) for c in centre], indexing="ij"), axis=-1).reshape(
        -1, 5
    )
    assert len(grid) == 7**5
    far = np.random.default_rng(2).uniform(-1, 1, (4000, 5)) * [4.0, 6.0, 9.0, 9.0, 8.0] + [0, 0, *task.goal]
    brute = min(float(task.costs(part).min()) for part in np.array_split(np.vstack([grid, far]), 8))
    assert found.cost[0] <= brute * 1.01
    assert found.cost[0] < 0.5 * float(np.median(task.costs(far[:500])))


def test_mirrored_anatomy_gives_mirrored_plans() -> None:
    anatomy = made(shape_of(Level.L3))
    # A dent in the left side of the body and pedicle makes the two sides different.
    points = anatomy.coordinates()
    dent = (points[..., 0] > 17.5) & (points[..., 1] > -4.0) & (points[..., 1] < 24.0)
    uneven = replace(anatomy, mask=anatomy.mask & ~dent, body=anatomy.body & ~dent, arch=anatomy.arch & ~dent)
    flipped = replace(uneven, mask=uneven.mask[::-1], body=uneven.body[::-1], arch=uneven.arch[::-1])
    pedicles, canal = measured(uneven)
    aim = LevelAim(tool=G11)
    first = plan_level(make_site(uneven, pedicles, canal, RULES), aim, RULES)
    mirror = np.array([-1.0, 1.0, 1.0])
    swapped = {
        p.side.other: replace(p, side=p.side.other, isthmus_lps=p.isthmus_lps * mirror, axis_lps=p.axis_lps * mirror)
        for p in pedicles.values()
        if p.isthmus_lps is not None and p.axis_lps is not None
    }
    assert canal.canal_mask is not None
    second = plan_level(
        make_site(flipped, swapped, replace(canal, canal_mask=canal.canal_mask[::-1]), RULES), aim, RULES
    )
    by_way = [{(n.side, n.approach, n.target): n for p in plan.plans for n in p.needles} for plan in (first, second)]
    assert by_way[0].keys() == {(side.other, a, t) for side, a, t in by_way[1]}
    assert len({round(n.score, 3) for n in by_way[0].values()}) > 3, "the sides must differ for this to mean anything"
    for (side, approach, target), needle in by_way[0].items():
        other = by_way[1][side.other, approach, target]
        assert np.abs(other.tip_lps * mirror - needle.tip_lps).max() < 1e-3
        assert np.abs(other.entry_lps * mirror - needle.entry_lps).max() < 1e-3
        assert other.robustness == needle.robustness


def test_turning_the_patient_turns_the_plan() -> None:
    still, turned = made(shape_of(Level.T11)), made(shape_of(Level.T11), pose=POSE)
    pedicles, canal = measured(still)
    moved = {
        side: replace(p, isthmus_lps=POSE.apply(p.isthmus_lps), axis_lps=POSE.apply_directions(p.axis_lps))
        for side, p in pedicles.items()
        if p.isthmus_lps is not None and p.axis_lps is not None
    }
    wide = replace(RULES, view_limit=90.0)  # the C-arm's limits belong to the room, not to the patient
    plans = [
        plan_level(make_site(a, p, canal, wide), LevelAim(tool=G11), wide)
        for a, p in ((still, pedicles), (turned, moved))
    ]
    assert len(plans[0].plans) == len(plans[1].plans) > 0
    for one, other in zip(plans[0].plans, plans[1].plans, strict=True):
        for n, m in zip(one.needles, other.needles, strict=True):
            assert np.abs(POSE.apply(n.tip_lps) - m.tip_lps).max() < 1e-3
            assert np.abs(POSE.apply(n.entry_lps) - m.entry_lps).max() < 1e-3


def test_plans_differ_and_their_scores_add_up_from_named_terms() -> None:
    plan = plan_of(Level.L2)
    assert 2 <= len(plan.plans) <= 6
    assert {p.layout for p in plan.plans} == set(Layout)
    for needle in (n for p in plan.plans for n in p.needles):
        assert needle.score == pytest.approx(sum(t.weight * t.value for t in needle.terms))
        assert {t.unit for t in needle.terms} <= {"mm", "deg", "1"}
        weights = {t.name: t.weight for t in needle.terms}
        assert weights["clearance to the canal missing"] == 2 * weights["clearance in bone missing"]
        assert weights["clearance to the roots missing"] == 2 * weights["clearance in bone missing"]
        unchecked = {g.gate for g in needle.gates if g.passed is None}
        assert unchecked == {Gate.LUNG, Gate.SKIN}, "without a CT these cannot be checked, and that is said"


def test_robustness_is_seeded_and_uses_a_thousand_paths() -> None:
    task = make_task(
        site_of(Level.L2), (Side.LEFT, Approach.TRANSPEDICULAR, Target.OWN_HALF), LevelAim(tool=G11), RULES
    )
    line = task.lines(search(task).five[:1])
    depth = float(task.judge(line).in_bone[0])

    def share(seed: int) -> float:
        return robustness(line, depth, task.view, G11, task.approach, RULES, seed=seed)

    assert share(0) == share(0)
    assert share(0) != share(1)
    assert abs(share(0) - share(1)) < 0.06
    copies = perturbed(line, depth, RULES, random_draws(4000, 0))
    entry = copies.tip - depth * copies.forward
    nominal = line.tip[0] - depth * line.forward[0]
    across = (entry - nominal) - ((entry - nominal) @ line.forward[0])[:, None] * line.forward[0]
    assert across.std(axis=0).max() == pytest.approx(RULES.sigma_shift, rel=0.05)
    angle = np.degrees(np.arccos(np.clip(copies.forward @ line.forward[0], -1, 1)))
    assert np.sqrt((angle**2).mean() / 2) == pytest.approx(RULES.sigma_angle, rel=0.05)


def test_even_draws_are_normal_and_the_same_every_time() -> None:
    drawn = even_draws(6)
    assert drawn.shape == (64, 4)
    assert np.abs(drawn.mean(axis=0)).max() < 0.05
    assert drawn.std(axis=0) == pytest.approx(np.ones(4), abs=0.05)
    assert np.array_equal(drawn, even_draws(6))


def test_markups_are_lines_in_lps() -> None:
    plan = plan_of(Level.L2)
    document = plan_markups([plan])
    assert document["@schema"].endswith("markups-schema-v1.0.3.json#")
    assert len(document["markups"]) == sum(len(p.needles) for p in plan.plans)
    first = document["markups"][0]
    assert (first["type"], first["coordinateSystem"], first["coordinateUnits"]) == ("Line", "LPS", "mm")
    assert first["controlPoints"][1]["position"] == plan.plans[0].needles[0].tip_lps.tolist()
    assert first["display"]["visibility"] is True


def test_anatomy_that_cannot_be_planned_is_refused() -> None:
    anatomy = made(shape_of(Level.L2))
    pedicles, canal = measured(anatomy)
    only_body = replace(anatomy, mask=anatomy.body, arch=np.zeros_like(anatomy.arch))
    with pytest.raises(GeometryError, match="L2: the labels hold the body only, no pedicles; give labels of the whole"):
        make_site(only_body, pedicles, canal, RULES)
    with pytest.raises(GeometryError, match=r"L2: the canal was not found \(open arch\); no needle path can be called"):
        make_site(anatomy, pedicles, Canal.unknown("open arch"), RULES)
    cut = {side: Pedicle.unknown(side, f"the image border cuts the {side} pedicle") for side in Side}
    with pytest.raises(GeometryError, match="the image border cuts the left pedicle"):
        plan_level(make_site(anatomy, cut, canal, RULES), LevelAim(tool=G11), RULES)
    with pytest.raises(GeometryError, match=r"radius -1 and length 10 mm must be above 0"):
        Tool("x", -1, 10)
    one = {**pedicles, Side.LEFT: cut[Side.LEFT]}
    half = plan_level(make_site(anatomy, one, canal, RULES), LevelAim(tool=G11), RULES)
    assert {n.side for p in half.plans for n in p.needles} == {Side.RIGHT}
    assert "L2 left: no pedicle: the image border cuts the left pedicle" in half.warnings


def test_lines_pass_their_point_and_end_at_their_tip() -> None:
    point, tip = np.array([[10.0, 20.0, 5.0]]), np.array([[0.0, -8.0, 2.0]])
    line = Lines.through(point, tip)
    away = float(np.linalg.norm(tip - point))
    assert np.allclose(line.points(np.array([0.0, away])), np.stack([tip, point], axis=1))


def test_segment_distance_is_that_of_dense_points() -> None:
    rng = np.random.default_rng(8)
    start, along = rng.normal(0, 20, (60, 3)), rng.normal(0, 25, (60, 3))
    other, course = rng.normal(0, 20, 3), rng.normal(0, 15, 3)
    course[2] = 4.0
    along[0] = 2.0 * course  # parallel
    share = np.linspace(0.0, 1.0, 801)
    dense = other + share[:, None] * course
    for i, found in enumerate(segment_distance(start, along, other, course)):
        points = start[i] + share[:, None] * along[i]
        expected = np.sqrt(((points[:, None] - dense[None]) ** 2).sum(axis=-1).min())
        assert found == pytest.approx(expected, abs=0.05)
        assert found <= expected + 1e-9


@pytest.mark.data
def test_a_real_lumbar_level_is_planned_on_both_sides(data_dir: Path) -> None:
    """L3 of the main real case: gate-clean paths through both pedicles, the tip in the anterior half."""
    whole = read_labels(data_dir / "verse014" / "vert.nii.gz")
    only = np.where(whole.labels == whole.values[Level.L3], whole.labels, 0).astype(np.int16)
    spine = measure_spine(LabelMap(only, whole.grid, {Level.L3: whole.values[Level.L3]}, whole.dialect))
    vertebra = spine[Level.L3]
    assert vertebra.anatomy is not None
    assert vertebra.details.pedicles is not None
    assert vertebra.details.canal is not None
    site = make_site(vertebra.anatomy, vertebra.details.pedicles, vertebra.details.canal, RULES)
    plan = plan_level(site, LevelAim(tool=G11), RULES)
    best = plan.plans[0]
    assert best.layout is Layout.BILATERAL
    assert {n.approach for n in best.needles} == {Approach.TRANSPEDICULAR}
    for needle in (n for p in plan.plans for n in p.needles):
        assert needle.safe
        assert min(needle.clearances.values()) >= 1.0
        assert site.vert_from_lps.apply(needle.tip_lps)[1] < 0
    assert best.robustness > 0.6
