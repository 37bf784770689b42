"""Proves: a kyphoplasty runs by steps and tells them, cement fills the cavity first, heights follow displacement."""

import json
from dataclasses import replace
from importlib import resources
from typing import Any

import jsonschema
import numpy as np
import pytest
from tests.procedure.simple_site import cement, needle, settings, simple_bed, simple_site

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap
from vertecast.procedure.balloon import load_balloon
from vertecast.procedure.cure import load_cure
from vertecast.procedure.events import EventKind
from vertecast.procedure.fractured import make_fractured
from vertecast.procedure.inflate import RULES, BalloonStop, Inflation
from vertecast.procedure.kyphoplasty import LiftTask, kyphoplasty, lift_finished
from vertecast.procedure.lift import Lift, begin_lift
from vertecast.procedure.lift_outcome import keyframe_fields, lift_fields, lift_summary, measured_moments
from vertecast.procedure.state import State
from vertecast.procedure.tools import place_tool
from vertecast.procedure.vertebroplasty import LevelTask, Practice
from vertecast.spine.heights import Place
from vertecast.spine.measure import LevelShape
from vertecast.spine.phantom.arch import arch_parts
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.levels import normal_shape

FREE = RULES - {BalloonStop.CORTEX, BalloonStop.ENDPLATE, BalloonStop.CANAL}
HOLES = ((19.0, 0.0, 0.0),)


def practice() -> Practice:
    return Practice(cement=cement(), injection=settings(), curing=load_cure().values, cures=False)


def task(tool: str = "xpander-15/3") -> LiftTask:
    site = simple_site(3.0, 0.07, fractured=True)
    return LiftTask(
        cement=LevelTask(level=Level.L1, needles=(needle(Side.LEFT, (6.0, -5.0, 2.0)),), volume=600.0),
        fractured=make_fractured(site, (8.0, 8.0, 8.0), mapped=np.asarray(site.density, float)),
        inflation=Inflation(volume=1200.0, rules=FREE),
        tool=tool,
    )


@pytest.fixture(scope="module")
def done() -> State:
    one = task()
    beds = {Level.L1: simple_bed(one.fractured.site, holes=HOLES)}
    return kyphoplasty(beds, [one], practice(), lambda site: simple_bed(site, holes=HOLES))


def lift_of(state: State) -> Lift:
    lift = state.at(Level.L1).lift
    assert lift is not None
    return lift


def test_the_steps_come_in_order_and_are_told(done: State) -> None:
    assert done.done == (
        "access L1 left", "place L1", "inflate L1", "deflate L1", "ready L1 left", "inject L1 left", "withdraw L1 left"
    )  # fmt: skip
    assert lift_finished(done, [task()], practice(), simple_bed)
    kinds = [event.kind for event in done.stream()]
    order = [EventKind.ACCESS, EventKind.BALLOON_PLACED, EventKind.INFLATION, EventKind.STOP, EventKind.DEFLATION,
             EventKind.BALLOON_REMOVED, EventKind.CEMENT_MIXED, EventKind.INJECTION_STARTED]  # fmt: skip
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    schema = json.loads(resources.files("vertecast.data").joinpath("schema/events.schema.json").read_text("utf-8"))
    for event in done.stream():
        jsonschema.validate(event.as_json(), schema)
    pushed = [e.data["injected_ml"] for e in done.stream() if e.kind is EventKind.INFLATION and e.side]
    assert pushed == sorted(pushed)  # type: ignore[type-var]
    assert done.time > (1200.0 - 800.0) / load_balloon().values.rate


def test_the_cement_fills_the_cavity_first(done: State) -> None:
    level = done.at(Level.L1)
    inside = level.bed.site.cleft
    assert inside.any()
    assert level.cement_volume == pytest.approx(600.0, rel=1e-6)
    held = float(level.cement_fraction[inside].sum()) * 27.0
    assert held > 0.6 * level.cement_volume
    reached = np.isfinite(level.arrival)
    assert np.median(level.arrival[inside & reached]) <= np.median(level.arrival[~inside & reached])
    around = level.bed.site.own & ~inside
    shares = [np.count_nonzero(part & reached) / np.count_nonzero(part) for part in (inside, around)]
    assert shares[0] > 3.0 * shares[1]


def test_the_summary_keeps_its_schema_and_its_fields_their_grid(done: State) -> None:
    lift = lift_of(done)
    summary = lift_summary(lift, {"ct": "no label in this test"})
    json.dumps(summary, allow_nan=False)
    assert summary["measured"]["ct"] == {"reason": "no label in this test"}
    assert set(summary["moments"]) == {"standing", "prone", "inflated", "deflated"}
    assert summary["mobility_mm"]["middle"] > 0.0
    fields = lift_fields(lift)
    assert all(values.shape == lift.level.site.grid.shape for values, _ in fields.values())
    cavity = float(fields["cavity_inflated"][0].sum()) * 27.0
    assert cavity == pytest.approx(lift.moments["inflated"].volumes(lift.level.spacing)[0], rel=0.01)


def test_arrival_and_keyframes_follow_the_balloon(done: State) -> None:
    lift = lift_of(done)
    arrival = lift_fields(lift)["balloon_arrival_s"][0]
    inside = lift_fields(lift)["cavity_inflated"][0] > 0.5
    assert np.isfinite(arrival[inside]).all()
    assert np.isnan(arrival).sum() > 0.9 * arrival.size
    told = [event.t_s for event in done.stream() if event.kind is EventKind.INFLATION and event.side]
    assert lift.began <= np.nanmin(arrival)
    assert np.nanmax(arrival) <= max(told) + 1e-6
    frames = keyframe_fields(lift)
    assert 3 <= len(frames) <= 8
    seconds = [second for second, _, _ in frames]
    assert seconds == sorted(set(seconds))
    assert [name for _, name, _ in frames if name != "inflating"] == ["prone", "inflated", "deflated"]
    at = frames[[name for _, name, _ in frames].index("inflated")][2]
    up = lift_fields(lift)["displacement_z_inflated_mm"][0]
    np.testing.assert_allclose(at[..., 2], up, atol=1e-4)  # this site's axes are the patient's


def test_wrong_calls_are_refused_before_anything_starts() -> None:
    one = task()
    beds = {Level.L1: simple_bed(one.fractured.site, holes=HOLES)}
    with pytest.raises(InputError, match="no level is to be treated"):
        kyphoplasty(beds, [], practice(), simple_bed)
    with pytest.raises(InputError, match="no bed was made"):
        kyphoplasty({}, [one], practice(), simple_bed)
    with pytest.raises(InputError, match="is not in the catalogue"):
        kyphoplasty(beds, [replace(one, tool="nothing")], practice(), simple_bed)
    outside = replace(one.cement, needles=(needle(Side.LEFT, (6.0, 40.0, 2.0)),))
    with pytest.raises(GeometryError, match="outside the site"):
        kyphoplasty(beds, [replace(one, cement=outside)], practice(), simple_bed)


def test_heights_of_a_displaced_label_are_those_of_the_displacement() -> None:
    """A known displacement, z stretched about the body's middle, on an analytic vertebra: within 0.2 mm."""
    stretch = 0.06
    labels, body_middle = _labels()
    site = replace(simple_site(3.0, 0.07), level=Level.L2)
    level = make_fractured(site, (0.0, 0.0, 0.0))
    tool = place_tool("xpander-10/3", needle(Side.LEFT, (6.0, -3.0, 0.0)), level, load_balloon().values)
    lift = begin_lift(level, (tool,))
    nodes = np.zeros_like(lift.state.displacement)
    z = np.arange(nodes.shape[3]) * 3.0 - level.places(np.array([0.0, 0.0, body_middle]))[2]
    nodes[2] = stretch * z
    moved = replace(lift, moments={"deflated": replace(lift.state, displacement=nodes)})
    found = measured_moments(moved, labels)
    before, after = found["ct"], found["deflated"]
    assert isinstance(before, LevelShape)
    assert isinstance(after, LevelShape)
    for place in Place:
        was, now = before.heights_mm[place].value, after.heights_mm[place].value
        assert was is not None
        assert now == pytest.approx(was * (1.0 + stretch), abs=0.2)


def _labels() -> tuple[LabelMap, float]:
    shape, spacing = normal_shape(Level.L2), 1.5
    counts = (68, 74, 56)
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = (-50.5, -33.0, -41.0)
    grid = Grid.from_affine(counts, matrix)
    x, y, z = np.moveaxis(grid.to_lps(np.moveaxis(np.indices(counts), 0, -1)).astype(np.float32), -1, 0)
    parts = [Body(shape).part(), *arch_parts(shape)]
    depth = np.minimum.reduce([part.distance(x, y, z) for part in parts])
    body: Any = Body(shape).part().distance(x, y, z) < 0
    middle = float(grid.to_lps(np.argwhere(body))[:, 2].mean())
    return LabelMap(((depth < 0) * 21).astype(np.int16), grid, {Level.L2: 21}, "verse"), middle
