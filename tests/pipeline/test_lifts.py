"""Proves: the density before the break comes from whole vertebrae near by, whatever the height loss refers to.

A reference that is the patient's own earlier CT names the broken level itself, which tells no density before.
"""

import pytest
from tests.spine.simple_vertebra import column
from tests.spine.test_measure_spine import INTACT, POSE, fractured, shape_of

from vertecast.core.levels import Level
from vertecast.pipeline.lifts import _donors
from vertecast.spine.measure import measure_spine
from vertecast.spine.measurement import SpineMeasurement


@pytest.fixture(scope="module")
def earlier() -> SpineMeasurement:
    return measure_spine(column(INTACT, turn=POSE))


def names(level: Level, spine: SpineMeasurement) -> list[Level]:
    return [anatomy.level for anatomy in _donors(level, spine)]


def test_an_own_earlier_ct_as_reference_leaves_the_whole_neighbours_as_donors(earlier: SpineMeasurement) -> None:
    broken = INTACT | {Level.L1: fractured(0.35, "wedge")}
    spine = measure_spine(column(broken, turn=POSE), prior=earlier)
    assert spine[Level.L1].loss.kind.value == "own prior CT"
    assert set(spine[Level.L1].loss.levels) <= {Level.L1}
    assert names(Level.L1, spine) == [Level.T12, Level.L2]


def test_a_broken_neighbour_is_no_donor(earlier: SpineMeasurement) -> None:
    crushed = shape_of(Level.T12, height=0.6 * INTACT[Level.T12].height, slope=0.6 * INTACT[Level.T12].slope)
    broken = INTACT | {Level.T12: crushed, Level.L1: fractured(0.35, "wedge")}
    spine = measure_spine(column(broken, turn=POSE), prior=earlier)
    assert (spine[Level.T12].loss.largest.value or 0.0) > 30.0
    assert names(Level.L1, spine) == [Level.L2]


def test_without_an_earlier_ct_the_donors_are_the_heights_reference(earlier: SpineMeasurement) -> None:
    spine = measure_spine(column(INTACT | {Level.L1: fractured(0.32, "wedge")}, turn=POSE))
    assert tuple(names(Level.L1, spine)) == spine[Level.L1].loss.levels == (Level.T12, Level.L2)
