"""Proves: the injection step conserves cement, its switches bite, its stops stop, and bad input is refused by name."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from tests.procedure.simple_site import (
    HALF,
    before,
    cement,
    needle,
    settings,
    side_vein,
    simple_bed,
    simple_site,
    trunk,
)

from vertecast.core.errors import GeometryError, InputError, ParameterError
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.procedure.access import access, mix
from vertecast.procedure.bed import Bed
from vertecast.procedure.cement import Cement
from vertecast.procedure.events import EventKind
from vertecast.procedure.inject import Injection, inject, require_room
from vertecast.procedure.needle import Needle
from vertecast.procedure.regions import Region, Route
from vertecast.procedure.state import LevelState, State
from vertecast.procedure.stops import StopReason

ROOM = 296.15
NO_RULES: frozenset[StopReason] = frozenset()
TOP, FRONT, BACK = (9.0, -2.0, HALF[2]), (9.0, -HALF[1] + 1.5, 0.0), (4.0, HALF[1], 0.0)


def ready(bed: Bed, *needles: Needle, product: Cement | None = None, age: float | None = None) -> State:
    state = before(bed)
    for one in needles or (needle(),):
        state = access(state, Level.L1, one)
    return mix(state, product or cement(), ROOM, start_age=age)


def injected(
    bed: Bed,
    volume: float = 1200.0,
    *,
    at: Needle | None = None,
    product: Cement | None = None,
    rules: frozenset[StopReason] = NO_RULES,
    age: float | None = None,
    **changed: float,
) -> State:
    tool = at or needle()
    product = product or cement()
    job = Injection(level=Level.L1, side=tool.side, volume=volume, rules=rules)
    return inject(ready(bed, tool, product=product, age=age), job, product, settings(**changed))


def level(state: State) -> LevelState:
    return state.at(Level.L1)


def reason(state: State) -> str:
    return str(next(e for e in state.events if e.kind is EventKind.STOP).data["reason"])


def centroid(state: State) -> np.ndarray:
    one = level(state)
    weights = one.cement_fraction
    places = np.argwhere(weights > 0)
    middle = np.average(places, axis=0, weights=weights[tuple(places.T)])
    return np.asarray(one.bed.site.vert_from_lps.apply(one.bed.site.grid.to_lps(middle)))


def test_cement_is_conserved_to_rounding_and_marrow_makes_room() -> None:
    state = injected(simple_bed(holes=(FRONT,)), 2000.0)
    flow = level(state).flow
    assert flow is not None
    inside = float((flow.saturation * level(state).bed.space.volume).sum())
    pushed, left = sum(flow.ledger.injected.values()), sum(flow.ledger.leaked.values())
    held = sum(flow.ledger.needle.values())
    assert abs(pushed - inside - left - held) <= 1e-12 * pushed
    assert level(state).cement_volume == pytest.approx(2000.0, rel=1e-9)
    assert float(flow.saturation.max()) <= 1.0 + 1e-6
    drained = sum(flow.ledger.drained.values())
    assert drained + left == pytest.approx(2000.0, rel=1e-5)  # what goes in pushes as much out
    assert held == pytest.approx(needle().dead_volume, rel=1e-9)


def test_the_level_s_leaks_are_what_lies_outside() -> None:
    one = level(injected(simple_bed(holes=(FRONT,)), 2500.0))
    site, flow = one.bed.site, one.flow
    assert flow is not None
    outside = float((one.cement_fraction * ~site.own).sum()) * site.voxel_mm**3
    assert one.leaks[Route.CORTICAL].volume > 10.0
    assert one.leaked_volume == pytest.approx(outside + sum(flow.ledger.leaked.values()), rel=1e-9)


@pytest.mark.parametrize(
    ("route", "hole"),
    [
        (Route.CORTICAL, FRONT),
        (Route.DISC, TOP),
        (Route.CANAL, BACK),
        (Route.BASIVERTEBRAL, None),
        (Route.SEGMENTAL, None),
    ],
)
def test_sealing_a_route_makes_its_volume_exactly_zero_and_the_others_rise(
    route: Route, hole: tuple[float, float, float] | None
) -> None:
    holes = (FRONT, TOP) if hole in (FRONT, TOP, None) else (FRONT, BACK)
    tips = {Route.CANAL: (8.2, 4.2, 0.2), Route.CORTICAL: (8.2, -7.2, 1.2)}
    tip = needle(tip=tips.get(route, (7.2, -2.2, 2.2)))
    veins = (side_vein(),) if route is Route.SEGMENTAL else (trunk(x=2.0), side_vein())
    volume = 3000.0
    open_ = level(injected(simple_bed(None, veins, holes=holes), volume, at=tip))
    shut = level(injected(simple_bed(None, veins, holes=holes, sealed=(route,)), volume, at=tip))
    assert open_.leaks[route].volume > 0.5
    assert shut.leaks[route].volume == 0.0
    others = [sum(one.leaks[r].volume for r in Route if r is not route) for one in (open_, shut)]
    assert others[1] > others[0]


def test_exchanging_left_and_right_mirrors_everything() -> None:
    veins = (trunk(x=3.0), side_vein())
    left = level(injected(simple_bed(None, veins, holes=(FRONT,)), 1500.0, at=needle(Side.LEFT)))
    mirrored = tuple(vein.mirrored() for vein in veins)
    other = level(injected(simple_bed(None, mirrored, holes=((-FRONT[0], *FRONT[1:]),)), 1500.0, at=needle(Side.RIGHT)))
    # Sums and the order of cells of equal pressure differ on the mirrored case, so it is the same to a few thousandths.
    assert np.allclose(left.cement_fraction, other.cement_fraction[::-1], atol=5e-3)
    for route in Route:
        assert left.leaks[route].volume == pytest.approx(other.leaks[route].volume, rel=2e-3, abs=0.02)
    assert left.peak_pressure == pytest.approx(other.peak_pressure, rel=1e-5)


def test_moving_the_tip_5_mm_moves_the_cloud_at_least_3_mm() -> None:
    bed = simple_bed()
    first, second = (centroid(injected(bed, at=needle(tip=(x, -4.0, 0.0)))) for x in (6.0, 11.0))
    assert second[0] - first[0] >= 3.0
    assert abs(second[1] - first[1]) < 1.5


def roundness(state: State) -> float:
    """Mean distance of the cloud's cells from its centroid over that of a ball of the same cells; 1 is a ball."""
    one = level(state)
    h = one.bed.site.voxel_mm
    filled = np.argwhere(one.flow.saturation > 0.5) * h  # type: ignore[union-attr]
    away = np.linalg.norm(filled - filled.mean(axis=0), axis=1)
    radius = (3.0 * len(filled) * h**3 / (4.0 * np.pi)) ** (1.0 / 3.0)
    return float(away.mean() / (0.75 * radius))


def test_higher_viscosity_makes_a_rounder_less_leaking_cloud() -> None:
    rng = np.random.default_rng(2)
    site = simple_site()
    uneven = site.density * (1.0 + 0.8 * rng.standard_normal(site.grid.shape)).astype(np.float32)
    site = replace(site, density=np.clip(uneven, 0.0, None))
    veins = (trunk(1.5, x=3.0), side_vein())
    bed = simple_bed(site, veins, holes=(FRONT,))
    thin = cement("pmma-low-viscosity")
    thinner = replace(thin, rheology=replace(thin.rheology, consistency=thin.rheology.consistency / 100.0))
    products = (thinner, thin, cement("pmma-high-viscosity"))
    states = [injected(bed, 2000.0, product=one, age=210.0, pressure_limit=50.0) for one in products]
    leaks = [level(state).leaked_volume for state in states]
    assert leaks[0] > leaks[1] > leaks[2]
    shapes = [roundness(state) for state in states]
    assert shapes[0] > shapes[2]
    assert shapes[2] < 1.1


def test_planned_volume_and_each_rule_stop_with_their_reason() -> None:
    holes = (FRONT, TOP, BACK)
    assert reason(injected(simple_bed(), 500.0)) == "planned_volume"
    cases = {
        StopReason.POSTERIOR_QUARTER: (simple_bed(), needle(tip=(8.0, 2.0, 0.0))),
        StopReason.DISC_FILLING: (simple_bed(holes=holes), needle(tip=(9.0, -2.0, 6.0))),
        StopReason.CANAL_FILLING: (simple_bed(holes=holes), needle(tip=(5.0, 7.0, 0.0))),
        StopReason.VENOUS_FILLING: (simple_bed(None, (trunk(2.0), side_vein())), needle(tip=(2.0, 4.0, 0.0))),
    }
    for rule, (bed, tool) in cases.items():
        on = injected(bed, 6000.0, at=tool, rules=frozenset({rule}), visible_leak=20.0)
        assert reason(on) == rule.value
        assert level(on).cement_volume < 5999.0
    bed, tool = cases[StopReason.POSTERIOR_QUARTER]
    off = injected(
        bed,
        level(injected(bed, 6000.0, at=tool, rules=frozenset({StopReason.POSTERIOR_QUARTER}))).cement_volume + 400.0,
        at=tool,
    )
    assert reason(off) == "planned_volume"


def test_the_pressure_limit_slows_and_then_stops() -> None:
    state = injected(simple_bed(), 4000.0, rules=frozenset({StopReason.PRESSURE_LIMIT}), pressure_limit=0.2)
    assert reason(state) == "pressure_limit"
    assert level(state).peak_pressure <= 0.2 * (1 + 1e-6)


def test_working_time_ends_the_injection_and_set_cement_is_a_stop_not_a_nan() -> None:
    product = cement()
    late = product.card.working_end - 40.0
    state = injected(simple_bed(), 4000.0, rules=frozenset({StopReason.WORKING_TIME}), age=late)
    assert reason(state) == "working_time"
    fast = replace(product, rheology=replace(product.rheology, doubling_time=3.0, reference_age=310.0))
    state = injected(simple_bed(), 6000.0, product=fast, pressure_limit=1e6)
    assert reason(state) in ("cut_off", "pressure_limit")
    flow = level(state).flow
    assert flow is not None
    assert np.isfinite(flow.saturation).all()
    assert level(state).cement_volume < 6000.0


def test_arrival_is_a_threshold_for_any_instant_and_grows_from_the_tip() -> None:
    state = injected(simple_bed())
    one = level(state)
    began = next(e.t_s for e in state.events if e.kind is EventKind.INJECTION_STARTED)
    reached = np.isfinite(one.arrival)
    assert one.arrival[reached].min() >= began
    assert one.arrival[reached].max() <= state.time
    assert (one.cement_fraction[~reached] < 0.1).all()
    tip = np.rint(one.bed.site.to_cells(needle().tip_lps) / one.bed.site.voxel_mm).astype(int)
    away = np.linalg.norm((np.argwhere(reached) - tip), axis=1)
    assert stats.spearmanr(away, one.arrival[reached]).statistic > 0.75


def test_what_went_in_first_is_older_and_warmer() -> None:
    one = level(injected(simple_bed()))
    flow = one.flow
    assert flow is not None
    wet = flow.saturation > 0.5
    old, warm = flow.carried["age"][wet], flow.carried["temperature"][wet]
    tip = np.rint(one.bed.site.to_cells(needle().tip_lps) / one.bed.site.voxel_mm).astype(int)
    away = np.linalg.norm(np.argwhere(wet) - tip, axis=1)
    assert old[away > np.median(away)].mean() > old[away < np.median(away)].mean()
    assert warm[away > np.median(away)].mean() > warm[away < np.median(away)].mean()
    assert warm.min() > ROOM
    assert warm.max() < 310.16


class _CancelsAfter:
    """An observer that cancels after some looks."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def begin(self, stage: str, steps: int | None = None) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def warn(self, sentence: str) -> None: ...

    def cancelled(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_cancelled_injection_goes_on_to_the_same_end() -> None:
    bed, product = simple_bed(), cement()
    job = Injection(level=Level.L1, side=Side.LEFT, volume=900.0, rules=NO_RULES)
    whole = inject(ready(bed), job, product, settings())
    part = inject(ready(bed), job, product, settings(), _CancelsAfter(9))
    assert part.events[-1].kind is EventKind.CANCELLED
    assert 0.0 < level(part).cement_volume < 900.0
    rest = inject(part, job, product, settings())
    assert level(rest).cement_volume == pytest.approx(900.0, rel=1e-9)
    assert np.array_equal(level(rest).cement_fraction, level(whole).cement_fraction)


def test_the_same_case_gives_the_same_numbers() -> None:
    first, second = (injected(simple_bed(holes=(FRONT,))) for _ in range(2))
    assert [e.as_json() for e in first.events] == [e.as_json() for e in second.events]


def test_bad_input_is_refused_by_name() -> None:
    bed, product = simple_bed(), cement()
    for tip, where in (((8.0, -4.0, 16.0), "disc"), ((8.0, -20.0, 0.0), "soft"), ((0.0, 18.0, 0.0), "canal")):
        with pytest.raises(GeometryError, match=f"lies in {where}, not in the vertebra"):
            ready(bed, needle(tip=tip))
    with pytest.raises(GeometryError, match="outside the site"):
        ready(bed, needle(tip=(300.0, 0.0, 0.0)))
    with pytest.raises(InputError, match=r"20\.0 mL of cement do not fit, the pores of the body take 1\d\.\d mL"):
        require_room(bed, 20000.0)
    with pytest.raises(ParameterError, match="must be above 0"):
        Injection(level=Level.L1, side=Side.LEFT, volume=-1.0)
    with pytest.raises(ParameterError, match="must be above 0"):
        Injection(level=Level.L1, side=Side.LEFT, volume=float("nan"))
    with pytest.raises(InputError, match="outside its working time of 306 to 510 s at 22 degC"):
        ready(bed, age=600.0)
    with pytest.raises(InputError, match="no needle or no cement"):
        inject(before(bed), Injection(level=Level.L1, side=Side.LEFT, volume=100.0), product, settings())
    with pytest.raises(GeometryError, match=r"lumen of radius 2\.0 mm in a tube of 1\.5 mm"):
        Needle(Side.LEFT, np.zeros(3), np.ones(3), 1.5, 2.0, 100.0)
    with pytest.raises(GeometryError, match="level L3 is not treated; treated are L1"):
        before(bed).at(Level.L3)


def test_no_way_out_and_closed_bone_around_the_tip_are_refused() -> None:
    with pytest.raises(GeometryError, match="no outlet is left for the marrow"):
        simple_bed(sealed=tuple(Route))
    bed = simple_bed()
    volume = np.array(bed.space.volume)
    volume[bed.site.regions == Region.BODY] = 0.0
    closed = replace(bed, space=replace(bed.space, volume=volume))
    with pytest.raises(GeometryError, match="every cell within") as refused:
        injected(closed)
    assert any("the bone around the tip takes no cement" in note for note in refused.value.__notes__)


def test_these_checks_can_fail() -> None:
    bed = simple_bed(holes=(FRONT,))
    shut = simple_bed(holes=(FRONT,), sealed=(Route.DISC,))
    leak = [level(injected(one, 2500.0)).leaks[Route.CORTICAL].volume for one in (bed, shut)]
    assert leak[1] > 0.0  # sealing another route leaves this one open
    lopsided = level(injected(simple_bed(None, (trunk(x=3.0), side_vein()), holes=(FRONT,)), 1500.0))
    wrong = level(
        injected(simple_bed(None, (trunk(x=3.0), side_vein()), holes=(FRONT,)), 1500.0, at=needle(Side.RIGHT))
    )
    assert not np.allclose(lopsided.cement_fraction, wrong.cement_fraction[::-1], atol=2e-4)
