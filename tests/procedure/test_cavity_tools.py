"""Proves: every family of cavity tool runs, pushes in its own directions, and stays or leaves as it should.

One tool at a time in the middle of a vertebra of simple shapes at 3 mm; a mesh container holds its cement.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.procedure.simple_site import cement, needle, settings, simple_bed, simple_site

from vertecast.core.errors import GeometryError
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.procedure.balloon import Family, load_balloon
from vertecast.procedure.container import fill_container
from vertecast.procedure.cure import load_cure
from vertecast.procedure.deflate import deflate
from vertecast.procedure.events import EventKind
from vertecast.procedure.fractured import FracturedLevel, isolated, make_fractured
from vertecast.procedure.inflate import RULES, BalloonStop, Inflation, inflate
from vertecast.procedure.inject import Injection
from vertecast.procedure.kyphoplasty import LiftTask, kyphoplasty_steps
from vertecast.procedure.lift import Lift, begin_lift, lie_down
from vertecast.procedure.lift_measure import rise
from vertecast.procedure.state import State
from vertecast.procedure.tools import Force, contains_cement, place_tool
from vertecast.procedure.vertebroplasty import LevelTask, Practice

FREE = RULES - {BalloonStop.CORTEX, BalloonStop.ENDPLATE, BalloonStop.CANAL, BalloonStop.PRESSURE_FALL}
LOST = (6.0, 4.0, 0.0)
GROWN = 250.0
"""mm³ by which each tool is made larger than its first cavity."""


@cache
def body() -> FracturedLevel:
    site = simple_site(3.0, 0.05, fractured=True)
    return isolated(make_fractured(site, LOST, mapped=np.asarray(site.density, float)))


@cache
def lifted(name: str) -> Lift:
    """Return the body with the tool expanded under 110 N, started once for each tool."""
    chosen = load_balloon().values
    tip = (6.0, -12.0, 2.0) if name.startswith("jack") else (6.0, -8.0, 2.0)
    tool = place_tool(name, needle(tip=tip), body(), chosen)
    lift = lie_down(begin_lift(body(), (tool,), settings=chosen))
    return inflate(lift, Inflation(volume=lift.volumes[0] + GROWN, rules=FREE))


def gained(lift: Lift, moment: str = "inflated") -> float:
    return max(rise(lift.level, lift.moments[moment], lift.moments["prone"]).by_place)


def extent(lift: Lift, axis: int) -> float:
    """Return how wide the cavity is along an axis of the body, mm."""
    inside = np.argwhere(lift.state.cavities[0] < 0.0)
    return float(np.ptp(inside[:, axis])) * 3.0


@pytest.mark.parametrize(
    "name",
    [
        "mesh-container",
        pytest.param("stent", marks=pytest.mark.slow),
        pytest.param("expandable-ball", marks=pytest.mark.slow),
        pytest.param("coil", marks=pytest.mark.slow),
        pytest.param("jack-4.2", marks=pytest.mark.slow),
    ],
)
def test_a_tool_expands_and_stays_or_leaves(name: str) -> None:
    lift = lifted(name)
    tool = lift.tools[0]
    assert lift.curve, lift.ended
    grown = lift.volumes[0] - lift.moments["prone"].volumes(lift.level.spacing)[0]
    assert grown > 0.5 * GROWN
    assert gained(lift) > 0.0
    after = deflate(lift)
    left = after.volumes[0] / lift.volumes[0]
    if tool.stays:
        assert left > 0.8
        assert gained(after, "deflated") >= gained(deflate(lift, stays=False), "deflated") - 1e-6
    else:
        assert after.state.pressures[0] == pytest.approx(0.0, abs=1e-6) or after.notes


@pytest.mark.slow
def test_a_jack_pushes_along_the_body_only() -> None:
    jack, ball = lifted("jack-4.2"), lifted("expandable-ball")
    assert jack.tools[0].force is Force.CRANIOCAUDAL
    assert jack.tools[0].skin.family is Family.PLATES
    wider = [extent(lift, 0) - np.ptp(np.argwhere(lift.moments["prone"].cavities[0] < 0)[:, 0]) * 3.0
             for lift in (jack, ball)]  # fmt: skip
    assert wider[0] <= wider[1] + 3.0
    places = np.array([[0.0, 0.0, 20.0], [0.0, 20.0, 0.0]])
    skin = replace(jack.tools[0].skin, centre=np.zeros(3), axes=np.eye(3))
    outside = skin.outside(places, 600.0) - skin.outside(places, 300.0)
    assert outside[0] < -0.1  # higher with volume
    assert outside[1] == pytest.approx(0.0)  # no wider


def test_only_what_holds_cement_is_a_container() -> None:
    assert contains_cement("mesh-container")
    assert not contains_cement("xpander-15/3")
    assert not contains_cement("stent")


def practice() -> Practice:
    return Practice(cement=cement(), injection=settings(), curing=load_cure().values, cures=False)


def contained(volume: float) -> State:
    """Return the state after one side's container has been filled with ``volume`` mm³."""
    lift = lifted("mesh-container")
    cement_task = LevelTask(level=Level.L1, needles=(needle(tip=(6.0, -8.0, 2.0)),), volume=volume)
    task = LiftTask(cement=cement_task, fractured=body(), inflation=Inflation(volume=1500.0), tool="mesh-container")
    steps = kyphoplasty_steps([task], practice(), simple_bed)
    state = State.before({Level.L1: simple_bed(body().site, holes=((19.0, 0.0, 0.0),))})
    for name, step in steps.items():
        if name.split()[0] in ("place", "inflate"):
            state = state.with_level(Level.L1, replace(state.at(Level.L1), lift=lift))
        elif name.split()[0] == "deflate":
            state = state.with_level(Level.L1, replace(state.at(Level.L1), lift=deflate(lift)))
        else:
            state = step(state, _silent())
    return state


def _silent():  # type: ignore[no-untyped-def]
    from vertecast.core.observer import SILENT

    return SILENT


def test_a_mesh_container_holds_the_cement_back() -> None:
    state = contained(5000.0)
    level = state.at(Level.L1)
    assert level.lift is not None
    assert level.flow is not None
    size = level.lift.volumes[0]
    assert level.cement_volume < size * 1.3
    assert level.leaked_volume == 0.0
    stops = [event.data["reason"] for event in state.stream() if event.kind is EventKind.STOP]
    assert "container_full" in stops
    ledger = level.flow.ledger
    inside = float((level.flow.saturation * level.bed.space.volume).sum())
    assert sum(ledger.injected.values()) == pytest.approx(inside + sum(ledger.needle.values()))
    reached = np.isfinite(level.arrival)
    assert (level.flow.saturation[reached] > 0.0).all()


def test_less_cement_than_the_container_takes_ends_with_the_planned_volume() -> None:
    state = contained(200.0)
    assert state.at(Level.L1).cement_volume == pytest.approx(200.0)
    stops = [event.data["reason"] for event in state.stream() if event.kind is EventKind.STOP]
    assert stops[-1] == "planned_volume"


def test_a_container_that_is_not_there_is_refused() -> None:
    state = State.before({Level.L1: simple_bed(body().site, holes=((19.0, 0.0, 0.0),))})
    with pytest.raises(GeometryError, match="no container, needle or cement"):
        fill_container(state, Injection(level=Level.L1, side=Side.LEFT, volume=100.0), cement(), settings())
