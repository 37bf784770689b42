"""Proves: a whole vertebroplasty runs its steps in order, goes on after a break, and its stream keeps the schema."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from tests.procedure.simple_site import cement, needle, settings, simple_bed, simple_site

from vertecast.core.errors import GeometryError, InputError, ParameterError
from vertecast.core.levels import Level
from vertecast.core.parameters import data_file
from vertecast.core.sides import Side
from vertecast.physics.attenuation import load_materials
from vertecast.procedure.bed import Bed
from vertecast.procedure.cure import heat_of, load_cure
from vertecast.procedure.events import Event, EventKind
from vertecast.procedure.fields import level_fields, level_summary, mixed_for
from vertecast.procedure.scene import filling_time, needles_at, scene_at
from vertecast.procedure.state import State
from vertecast.procedure.store import load_state, save_state
from vertecast.procedure.vertebroplasty import LevelTask, Practice, finished, vertebroplasty, vertebroplasty_steps

VOLUME = 900.0


def practice(*, cures: bool = False) -> Practice:
    short = replace(load_cure().values, duration=600.0, chunk=60.0)
    return Practice(cement=cement(), injection=settings(), curing=short, rules=frozenset(), cures=cures)


def task(level: Level = Level.L1, *sides: Side) -> LevelTask:
    return LevelTask(level=level, needles=tuple(needle(side) for side in sides or Side), volume=VOLUME)


def beds() -> Mapping[Level, Bed]:
    return {Level.L1: simple_bed(simple_site(2.5))}


@pytest.fixture(scope="module")
def cured() -> State:
    return vertebroplasty(beds(), [task()], practice(cures=True))


def test_the_steps_come_in_order_and_each_is_done_once(cured: State) -> None:
    expected = list(vertebroplasty_steps([task()], practice(cures=True)))
    assert list(cured.done) == expected
    assert finished(cured, [task()], practice(cures=True))
    kinds = [event.kind for event in cured.stream()]
    assert kinds.index(EventKind.ACCESS) < kinds.index(EventKind.CEMENT_MIXED)
    assert kinds.index(EventKind.CEMENT_MIXED) < kinds.index(EventKind.INJECTION_STARTED)
    assert kinds.count(EventKind.INJECTION_ENDED) == 2
    assert kinds[-1] is EventKind.CURED
    assert cured.at(Level.L1).cement_volume == pytest.approx(VOLUME, rel=1e-9)


def test_the_stream_is_ordered_and_keeps_its_schema(cured: State) -> None:
    schema = json.loads(data_file("schema/events.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    stream = cured.stream()
    assert [event.seq for event in stream] == list(range(len(stream)))
    assert all(a.t_s <= b.t_s for a, b in pairwise(stream))
    for event in stream:
        line = json.loads(json.dumps(event.as_json(), allow_nan=False))
        validator.validate(line)
        assert Event.from_json(line).as_json() == line
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**stream[0].as_json(), "kind": "unheard of"})
    assert set(schema["properties"]["kind"]["enum"]) == {kind.value for kind in EventKind}


def test_the_cure_heats_the_cement_and_spares_the_canal(cured: State) -> None:
    level = cured.at(Level.L1)
    assert cured.mixed_at is not None
    heat = heat_of(level, practice().curing, cured.mixed_at, cement())
    assert heat.hard_s is not None
    assert 400.0 < heat.hard_s < 1500.0
    assert 40.0 < heat.cement_peak_degc < 120.0
    assert heat.cement_peak_degc > heat.bone_peak_degc > heat.canal_peak_degc >= 37.0 - 1e-6
    summary = level_summary(cured, level, cement(), practice().curing)
    assert summary["heat"]["cement_peak_degc"] == pytest.approx(heat.cement_peak_degc)


def test_a_level_hardens_from_its_own_mixing_though_a_later_level_mixed_anew(cured: State) -> None:
    level = cured.at(Level.L1)
    alone = level_summary(cured, level, cement(), practice().curing)["heat"]["hard_s"]
    mixing = next(event for event in cured.events if event.kind is EventKind.CEMENT_MIXED)
    assert level.ended is not None
    later = replace(mixing, t_s=level.ended + 60.0)
    after = replace(cured, mixed_at=later.t_s, events=(*cured.events, later))
    assert mixed_for(after, level) == mixing.t_s
    assert level_summary(after, level, cement(), practice().curing)["heat"]["hard_s"] == pytest.approx(alone)


def test_fields_are_on_the_site_and_any_instant_is_a_threshold(cured: State) -> None:
    level = cured.at(Level.L1)
    fields = {name: values for name, (values, _) in level_fields(level).items()}
    assert all(values.shape == level.bed.site.grid.shape for values in fields.values())
    arrival, fraction = fields["cement_arrival_s"], fields["cement_fraction"]
    half = filling_time(cured, Level.L1, 0.5)
    by_half = float(fraction[arrival <= half].sum()) / float(fraction.sum())
    assert 0.35 < by_half < 0.65
    assert np.nanmax(arrival) <= filling_time(cured, Level.L1, 1.0)
    assert fields["peak_temperature_degc"].max() > 40.0


def test_the_scene_holds_needles_and_the_cement_of_the_moment(cured: State) -> None:
    materials = load_materials()
    card = cement().card
    start, end = filling_time(cured, Level.L1, 0.0), filling_time(cured, Level.L1, 1.0)
    assert len(needles_at(cured, Level.L1, start)) == 2
    assert len(scene_at(cured, start - 1.0, card, materials).shapes) == 2  # needles alone
    assert len(scene_at(cured, end, card, materials).shapes) >= 3
    assert needles_at(cured, Level.L1, end + 1.0) == ()


class _Cancels:
    """Cancels after so many looks."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def begin(self, stage: str, steps: int | None = None) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def warn(self, sentence: str) -> None: ...

    def cancelled(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("looks", [3, 10])
def test_a_cancelled_run_goes_on_from_its_saved_state_to_the_same_end(looks: int, tmp_path: Path) -> None:
    jobs, way = [task(Level.L1, Side.LEFT)], practice()
    whole = vertebroplasty(beds(), jobs, way)
    file = tmp_path / "state.npz"
    part = vertebroplasty(beds(), jobs, way, observer=_Cancels(looks), keep=lambda now: save_state(now, file, "key"))
    save_state(part, file, "key")
    assert not finished(part, jobs, way)
    back = load_state(file, beds(), "key")
    rest = vertebroplasty(beds(), jobs, way, start=back)
    assert finished(rest, jobs, way)
    assert np.allclose(rest.at(Level.L1).cement_fraction, whole.at(Level.L1).cement_fraction, atol=1e-6)
    kinds = [event.kind for event in rest.stream()]
    assert EventKind.CANCELLED in kinds
    assert EventKind.RESUMED in kinds


def test_a_state_of_another_run_or_a_broken_file_is_refused(tmp_path: Path) -> None:
    file = save_state(State.before(beds()), tmp_path / "state.npz", "one")
    with pytest.raises(InputError, match="saved by a run with other inputs"):
        load_state(file, beds(), "another")
    file.write_bytes(b"no state")
    with pytest.raises(InputError, match="is no saved procedure"):
        load_state(file, beds(), "one")


def test_two_levels_share_a_batch_only_while_it_lasts() -> None:
    site = simple_site(2.5)
    two = {Level.L1: simple_bed(site), Level.L2: simple_bed(replace(site, level=Level.L2))}
    jobs = [task(Level.L1, Side.LEFT), task(Level.L2, Side.LEFT)]
    state = vertebroplasty(two, jobs, practice())
    mixed = [e for e in state.stream() if e.kind is EventKind.CEMENT_MIXED]
    assert len(mixed) == 1  # both within the window
    slow = replace(practice(), injection=settings(level_change=150.0))
    state = vertebroplasty(two, jobs, slow)
    assert len([e for e in state.stream() if e.kind is EventKind.CEMENT_MIXED]) == 2
    ended = {e.level: e.t_s for e in state.stream() if e.kind is EventKind.INJECTION_ENDED}
    assert ended[Level.L2] > ended[Level.L1]


def test_bad_tasks_are_refused_before_anything_starts() -> None:
    with pytest.raises(InputError, match="no level is to be treated"):
        vertebroplasty(beds(), [], practice())
    with pytest.raises(InputError, match="give one or two, one a side"):
        LevelTask(level=Level.L1, needles=(), volume=100.0)
    with pytest.raises(InputError, match="no bed was made of this level"):
        vertebroplasty(beds(), [task(Level.L4)], practice())
    with pytest.raises(InputError, match="mL of cement do not fit"):
        vertebroplasty(beds(), [replace(task(), volume=50000.0)], practice())
    with pytest.raises(GeometryError, match="not in the vertebra"):
        outside = LevelTask(level=Level.L1, needles=(needle(tip=(8.2, -20.0, 0.2)),), volume=VOLUME)
        vertebroplasty(beds(), [outside], practice())
    with pytest.raises(GeometryError, match="at least one"):
        State.before({})
    with pytest.raises(ParameterError, match="before the procedure's start"):
        Event(seq=0, t_s=-1.0, level=None, side=None, kind=EventKind.STOP)
    with pytest.raises(ParameterError, match="is not finite"):
        Event(seq=0, t_s=0.0, level=None, side=None, kind=EventKind.STOP, data={"rate_ml_s": float("nan")})
