"""Proves: cure laws load with sources, keep their bounds, advance alike in one step or many, refuse nonsense."""

import dataclasses

import numpy as np
import pytest

from vertecast.core.errors import ParameterError
from vertecast.physics import cure
from vertecast.physics.cure import load_kinetics

LAWS = {name: load_kinetics(name) for name in cure.kinetics_names()}


def test_the_three_published_sets_are_there_with_their_constants() -> None:
    assert sorted(LAWS) == ["borzacchiello_1998_1", "borzacchiello_1998_2", "li_2003"]
    assert LAWS["li_2003"].ceiling is None
    assert LAWS["borzacchiello_1998_2"].kinetics.enthalpy == 123.0
    assert all(use.source for law in LAWS.values() for use in law.uses)


def test_vitrification_limits_the_conversion_below_378_kelvin() -> None:
    assert cure.reachable([310.0, 378.0, 500.0], LAWS["borzacchiello_1998_1"]) == pytest.approx([310 / 378, 1.0, 1.0])
    assert cure.reachable(310.0, LAWS["li_2003"]) == 1.0


@pytest.mark.parametrize("name", sorted(LAWS))
def test_many_small_steps_end_where_one_large_one_does(name: str) -> None:
    law = LAWS[name]
    once, _ = cure.advance_cure(law.kinetics.start, 0.0, 320.0, 600.0, law)
    w, top = np.asarray(law.kinetics.start), np.asarray(0.0)
    for _ in range(600):
        w, top = cure.advance_cure(w, top, 320.0, 1.0, law)
    assert w == pytest.approx(once, abs=1e-9)


def test_what_has_cured_stays_cured_when_it_cools() -> None:
    law = LAWS["borzacchiello_1998_1"]
    w, top = cure.advance_cure(1e-6, 0.0, 370.0, 600.0, law)
    assert w == pytest.approx(370 / 378, abs=1e-3)
    cold, kept = cure.advance_cure(w, top, 296.0, 600.0, law)
    assert cold >= w
    assert kept == top


def test_conversion_rises_and_never_passes_the_ceiling() -> None:
    rng = np.random.default_rng(0)
    for law in LAWS.values():
        start, kelvin, dt = rng.random(200) ** 4, rng.uniform(290, 400, 200), 10 ** rng.uniform(-3, 5, 200)
        w, top = cure.advance_cure(start, 1.0, kelvin, dt, law)
        assert np.all(w >= start)
        assert np.all(w <= np.maximum(top, start))
        assert np.all(np.isfinite(w))
    assert cure.advance_cure(0.0, 1.0, 350.0, 1e6, LAWS["li_2003"])[0] == 0.0, "nothing to start from, nothing cures"


def test_hard_is_a_share_of_what_can_be_reached() -> None:
    law = LAWS["borzacchiello_1998_1"]
    assert cure.is_hard([0.655, 0.657], 310 / 378, law).tolist() == [False, True]


def test_warmer_is_faster() -> None:
    for law in LAWS.values():
        w, _ = cure.advance_cure(law.kinetics.start, 1.0, np.linspace(290, 380, 20), 120.0, law)
        assert np.all(np.diff(w) > 0)


def test_absurd_values_are_refused() -> None:
    law = LAWS["li_2003"]
    with pytest.raises(ParameterError, match="cure law 'cmw' does not exist; choose one of borz"):
        load_kinetics("cmw")
    with pytest.raises(ParameterError, match="conversion is outside 0-1 or NaN"):
        cure.advance_cure(1.2, 1.0, 310.0, 1.0, law)
    with pytest.raises(ParameterError, match="not above 0 K; give kelvin"):
        cure.advance_cure(0.1, 1.0, -37.0, 1.0, law)
    with pytest.raises(ParameterError, match="time step is below 0 s"):
        cure.advance_cure(0.1, 1.0, 310.0, -1.0, law)
    with pytest.raises(ParameterError, match="rising times with one temperature each"):
        cure.cure_history([0.0, 0.0], [300.0, 300.0], law)
    with pytest.raises(ParameterError, match="must be above 0"):
        dataclasses.replace(law.kinetics, frequency=0.0)
    with pytest.raises(ParameterError, match="must rise between 0 and 1"):
        dataclasses.replace(law.kinetics, start=0.9)
