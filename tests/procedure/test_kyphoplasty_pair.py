"""Proves: two balloons share the load as they do in a patient, and the posterior column is a hinge.

A balloon whose volume is held never pulls; one that has reached its rated pressure is filled on when the bone has given
way; one side full of cement holds while the other is let go; behind, facets and ligaments keep the body down, so that
the wedge opens. All on a vertebra of simple shapes at 3 mm: each comparison differs in one thing only.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.procedure.simple_site import needle, simple_site

from vertecast.core.sides import Side
from vertecast.procedure.balloon import load_balloon
from vertecast.procedure.deflate import deflate
from vertecast.procedure.fractured import FracturedLevel, isolated, make_fractured
from vertecast.procedure.inflate import RULES, BalloonStop, Inflation, inflate
from vertecast.procedure.lift import Lift, begin_lift, lie_down
from vertecast.procedure.lift_measure import rise
from vertecast.procedure.tools import place_tool

FREE = RULES - {BalloonStop.CORTEX, BalloonStop.ENDPLATE, BalloonStop.CANAL, BalloonStop.PRESSURE_FALL}
LOW = 0.4
"""MPa: a rated pressure that is reached at once."""


@cache
def wedge(*, bench: bool) -> FracturedLevel:
    """On a bench a wedge; in the patient crushed over the whole depth, so that only the hinge tells front from back."""
    site = simple_site(3.0, 0.05, fractured=True)
    level = make_fractured(site, (8.0, 4.8, 0.0) if bench else (8.0, 8.0, 8.0), mapped=np.asarray(site.density, float))
    return isolated(level) if bench else level


@cache
def pair(*, bench: bool, arched: bool = True, low: bool = False, tries: float = 2.0, volume: float = 1300.0) -> Lift:
    """Both balloons inflated; the right one's rated pressure is low where that is asked for."""
    level = replace(wedge(bench=bench), arched=arched and not bench)
    chosen = replace(load_balloon().values, tries=tries)
    tools = [place_tool("xpander-15/3", needle(side, (8.0, -8.0, 2.9)), level, chosen) for side in Side]
    if low:
        tools = [replace(tool, rated_pressure=LOW if tool.side is Side.RIGHT else None) for tool in tools]
    return inflate(lie_down(begin_lift(level, tuple(tools), settings=chosen)), Inflation(volume=volume, rules=FREE))


def gained(lift: Lift, moment: str = "inflated") -> tuple[float, float, float]:
    return rise(lift.level, lift.moments[moment], lift.moments["prone"]).by_place


def test_a_balloon_that_is_held_never_pulls() -> None:
    held = pair(bench=True, low=True, tries=0.0, volume=2000.0)
    right = [tool.side for tool in held.tools].index(Side.RIGHT)
    assert held.ended == {Side.LEFT: "target_volume", Side.RIGHT: "rated_pressure"}
    assert held.stopped[Side.RIGHT] < 0.2 * held.stopped[Side.LEFT]
    assert min(min(point.pressures) for point in held.curve) >= 0.0
    assert held.state.slack[right] > 0.0  # the bone has left it
    assert held.curve[-1].injected[right] == pytest.approx(held.fluids[right], rel=0.05)
    assert held.volumes[right] > held.fluids[right]


def test_a_balloon_at_its_rated_pressure_is_filled_on_when_the_bone_gives() -> None:
    held, tried = (pair(bench=True, low=True, tries=tries, volume=2000.0) for tries in (0.0, 30.0))
    right = [tool.side for tool in held.tools].index(Side.RIGHT)
    assert any(pause.goes_on for pause in tried.pauses)
    assert not any(pause.goes_on for pause in held.pauses)
    assert [pause.seconds for pause in tried.pauses] == sorted(pause.seconds for pause in tried.pauses)
    assert tried.fluids[right] > 1.05 * held.fluids[right]
    assert sum(pause.goes_on for pause in tried.pauses) <= 30
    first, *later = [pause.pressure for pause in tried.pauses if not pause.goes_on]
    assert max(later) < first  # it goes on in small steps


def test_the_posterior_column_makes_the_front_rise_more_than_the_back() -> None:
    hinged, free = pair(bench=False), pair(bench=False, arched=False)
    level = hinged.level
    assert len(level.facets) == 2
    assert level.facets[0][1] > level.centre[1] + 14.0  # behind the posterior wall
    assert wedge(bench=True).facets == ()
    front, _, back = gained(hinged)
    assert front > back
    assert front - back > gained(free)[0] - gained(free)[2] + 0.02
    turned = [rise(one.level, one.moments["inflated"], one.moments["prone"]).angle for one in (hinged, free)]
    assert turned[0] > turned[1]
    assert turned[0] > 0.0


@pytest.mark.slow
def test_cement_on_one_side_holds_while_the_other_is_let_go() -> None:
    lift = pair(bench=True)
    together, turn = deflate(lift), deflate(lift, in_turn=True)
    assert together.state.pressures == pytest.approx((0.0, 0.0), abs=1e-9)
    assert turn.state.pressures[0] > 0.0  # the cement bears
    assert turn.state.pressures[1] == pytest.approx(0.0, abs=1e-9)
    assert turn.volumes[0] > together.volumes[0]
    assert gained(turn, "deflated")[0] > gained(together, "deflated")[0]
    assert gained(turn, "deflated")[0] < gained(lift)[0]
