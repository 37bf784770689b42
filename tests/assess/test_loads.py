"""Proves: the load is the hand-made balance of moments, grows with what should make it grow, and may be unknown."""

from dataclasses import replace

import numpy as np
import pytest

from vertecast.assess.loads import ACTIVITIES, Person, Task, at_level, compression, load, load_trunk
from vertecast.core.errors import ParameterError
from vertecast.core.levels import Level

TRUNK = load_trunk().values
WEIGHT = 0.48 * 70.0 * 9.80665  # N above L3 of a person of 70 kg


def task(activity="standing", level=Level.L3, tilt=0.0):
    return Task(activity=activity, level=level, tilt=tilt)


def by_hand(lever, flexion=0.0, held=0.0):
    """F = (W + w) cos(a) + (W lever + w 400 mm)/57 mm at L3."""
    return (WEIGHT + held) * np.cos(flexion) + (WEIGHT * lever + 400.0 * held) / 57.0


def test_standing_bending_and_lifting_at_l3_are_the_hand_calculation():
    attack = 0.17 * 1700.0
    expected = {
        "standing": by_hand(15.0),
        "bending": by_hand(15.0 * np.cos(np.pi / 6) + attack * np.sin(np.pi / 6), np.pi / 6),
        "lifting_10_kg": by_hand(15.0 * np.cos(np.pi / 4) + attack * np.sin(np.pi / 4), np.pi / 4, 98.0665),
    }
    for activity in ACTIVITIES:
        assert compression(task(activity), 70.0, 1700.0, TRUNK) == pytest.approx(expected[activity], rel=1e-4)
    assert expected["standing"] == pytest.approx(416.2, abs=0.1)


def test_uncompensated_kyphosis_adds_its_own_lever():
    tilt = np.radians(12.0)
    found = compression(task(tilt=tilt), 70.0, 1700.0, TRUNK, compensation=0.0)
    assert found == pytest.approx(by_hand(15.0 + 289.0 * np.sin(tilt)), rel=1e-6)


def test_fully_compensated_kyphosis_adds_nothing():
    one, two = (compression(task(tilt=t), 70.0, 1700.0, TRUNK, compensation=1.0) for t in (0.0, 0.3))
    assert one == two


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_load_grows_with_kyphosis_weight_and_height(activity):
    base = compression(task(activity, tilt=0.1), 60.0, 1600.0, TRUNK)
    assert compression(task(activity, tilt=0.2), 60.0, 1600.0, TRUNK) > base
    assert compression(task(activity, tilt=0.1), 70.0, 1600.0, TRUNK) > base
    assert compression(task(activity, tilt=0.1), 60.0, 1700.0, TRUNK) > base


def test_these_checks_can_fail():
    """A balance without the muscle, or one that forgets the kyphosis, misses the hand calculation."""
    weak = replace(TRUNK, muscle_lever=(1e9,) * 5)
    assert compression(task(), 70.0, 1700.0, weak) != pytest.approx(by_hand(15.0), rel=1e-2)
    deaf = replace(TRUNK, compensation=1.0)
    assert compression(task(tilt=0.2), 70.0, 1700.0, deaf) == compression(task(), 70.0, 1700.0, deaf)


def test_without_weight_or_height_the_load_is_unknown_and_says_the_populations_range():
    for person, what in (
        (Person(), "weight and height"),
        (Person(mass=60.0), "height"),
        (Person(height=1600.0), "weight"),
    ):
        found = load(task(), person, TRUNK)
        assert found.value is None
        assert found.reason.startswith(f"body {what} not given; over the usual range of the population")


def test_known_load_has_an_interval_from_compensation_and_model():
    found = load(task(tilt=0.2), Person(mass=70.0, height=1700.0), TRUNK)
    assert found.low < found.value < found.high
    none = compression(task(tilt=0.2), 70.0, 1700.0, TRUNK, compensation=0.0)
    assert found.high == pytest.approx(1.25 * none)


def test_levels_lie_on_straight_lines_and_t13_counts_as_t12():
    assert at_level(Level.L3, TRUNK.mass_share) == 0.48
    assert at_level(Level.T10, TRUNK.mass_share) == pytest.approx(0.5 * (0.325 + 0.397))
    assert at_level(Level.T13, TRUNK.mass_share) == at_level(Level.T12, TRUNK.mass_share)


def test_bad_input_is_refused():
    with pytest.raises(ParameterError, match="knows T4 to L5, not C3"):
        compression(task(level=Level.C3), 70.0, 1700.0, TRUNK)
    with pytest.raises(ParameterError, match="activity 'flying' is not one of standing, bending"):
        compression(task("flying"), 70.0, 1700.0, TRUNK)
    with pytest.raises(ParameterError, match=r"0\.0 kg and 1700\.0 mm cannot be"):
        compression(task(), 0.0, 1700.0, TRUNK)
    with pytest.raises(ParameterError, match="need 5 values each"):
        replace(TRUNK, mass_share=(0.2, 0.3))
    with pytest.raises(ParameterError, match=r"compensation = 1\.5 is outside 0-1"):
        replace(TRUNK, compensation=1.5)
    assert "knows T4 to L5" in load(task(level=Level.T1), Person(mass=70.0, height=1700.0), TRUNK).reason
