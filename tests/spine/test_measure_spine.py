"""A spine of vertebrae in closed form: a known loss is recovered, named, graded and shaped, from labels alone.

The truth is the analytic height of the lowered vertebra against the one it was made from.
"""

import json

import numpy as np
import pytest
from tests.spine.simple_vertebra import SimpleVertebra, column

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.spine.heights import Place
from vertecast.spine.measure import measure_shape, measure_spine
from vertecast.spine.measurement import SpineMeasurement

LEVELS = (Level.T12, Level.L1, Level.L2)
POSE = (9.0, 4.0, -5.0)


def shape_of(level: Level, **changes: float) -> SimpleVertebra:
    """A normal level: heights rise downward, the wedge is the normal one."""
    height = {Level.T12: 24.6, Level.L1: 26.1, Level.L2: 26.5}[level]
    slope = {Level.T12: 0.037, Level.L1: 0.029, Level.L2: 0.014}[level]
    return SimpleVertebra(**{"height": height, "slope": slope, "concavity": 1.5} | changes)


INTACT = {level: shape_of(level) for level in LEVELS}


def fractured(loss: float, kind: str) -> SimpleVertebra:
    """Lower L1 by ``loss`` in front (wedge), in the middle (biconcave) or everywhere (crush)."""
    one = INTACT[Level.L1]
    front, _, back = one.heights()
    if kind == "crush":
        return shape_of(Level.L1, height=one.height * (1 - loss), slope=one.slope * (1 - loss))
    if kind == "biconcave":
        return shape_of(Level.L1, concavity=one.concavity + 0.5 * loss * one.heights()[1])
    run = 0.8 * (one.posterior + one.half_depth)
    slope = one.slope + 0.5 * loss * front / run
    lost = loss * front * (0.9 * one.posterior - 0.1 * one.half_depth) / run
    del back
    return shape_of(Level.L1, height=one.height - lost, slope=slope)


@pytest.fixture(scope="module")
def intact() -> SpineMeasurement:
    return measure_spine(column(INTACT, turn=POSE))


def test_intact_levels_are_grade_zero_and_lose_nothing(intact):
    for vertebra in intact.vertebrae:
        assert vertebra.genant.grade == 0.0
        assert abs(vertebra.height_loss_percent.value) < 8.0
        assert vertebra.of_call.of_class.value == "OF0_or_OF1"
    assert intact.stature_lost_mm.value == 0.0


@pytest.mark.parametrize(
    ("kind", "loss", "grade"),
    [("wedge", 0.32, 2.0), ("crush", 0.30, 2.0), ("biconcave", 0.33, 2.0), ("wedge", 0.46, 3.0)],
)
def test_a_known_loss_is_recovered_with_shape_and_grade(intact, kind, loss, grade):
    broken = fractured(loss, kind)
    spine = measure_spine(column(INTACT | {Level.L1: broken}, turn=POSE), prior=intact)
    found = spine[Level.L1]
    truth = 100 * (1 - broken.heights() / INTACT[Level.L1].heights())
    assert [found.loss.percent[place].value for place in Place] == pytest.approx(truth, abs=3.0)
    assert found.loss.kind.value == "own prior CT"
    assert found.genant.grade == grade
    assert found.genant.shape.value == kind
    others = [spine[level].genant.grade for level in (Level.T12, Level.L2)]
    assert others == [0.0, 0.0]
    assert spine.stature_lost_mm.value > 2.0


def test_against_neighbours_the_loss_is_found_too_and_the_reference_named():
    broken = fractured(0.32, "wedge")
    spine = measure_spine(column(INTACT | {Level.L1: broken}, turn=POSE))
    found = spine[Level.L1]
    truth = 100 * (1 - broken.heights()[0] / INTACT[Level.L1].heights()[0])
    assert found.loss.percent[Place.ANTERIOR].value == pytest.approx(truth, abs=8.0)
    assert found.loss.levels == (Level.T12, Level.L2)
    assert "T12 and L2" in found.loss.formula
    document = found.as_json()["height_loss_percent"]
    assert document["reference"]["kind"] == "nearest intact neighbours"
    assert document["low"] < document["value"] < document["high"]


def test_a_fractured_level_is_no_reference_for_others():
    spine = measure_spine(column(INTACT | {Level.L1: fractured(0.40, "crush")}, turn=POSE))
    for level in (Level.T12, Level.L2):
        assert Level.L1 not in spine[level].loss.levels


def test_kyphosis_over_the_fracture_grows(intact):
    spine = measure_spine(column(INTACT | {Level.L1: fractured(0.40, "wedge")}, turn=POSE))
    before, after = intact[Level.L1], spine[Level.L1]
    assert after.wedge_angle_deg.value > before.wedge_angle_deg.value + 10.0
    assert after.wedge_less_normal_deg.value > 8.0
    # The column of this test is straight, so the angle over three bodies is that of the outer endplates alone.
    assert after.bisegmental_kyphosis_deg.value == pytest.approx(before.bisegmental_kyphosis_deg.value, abs=2.0)


def test_the_shape_of_one_level_is_that_of_the_whole_measurement():
    labels = column({Level.L1: fractured(0.32, "wedge")}, turn=POSE)
    whole, alone = measure_spine(labels)[Level.L1], measure_shape(labels, Level.L1)
    assert alone.reason is None
    assert alone.heights_mm == whole.heights_mm
    assert alone.wedge_angle_deg == whole.wedge_angle_deg
    with pytest.raises(GeometryError, match="L5 is not in the labels"):
        measure_shape(labels, Level.L5)


def test_one_vertebra_alone_has_heights_but_no_loss():
    spine = measure_spine(column({Level.L1: INTACT[Level.L1]}))
    found = spine[Level.L1]
    assert found.heights_mm[Place.MIDDLE].value is not None
    assert found.height_loss_percent.value is None
    assert "no prior CT" in found.height_loss_percent.reason
    assert found.genant.grade is None
    assert found.of_call.of_class.value == "unknown"
    assert spine.regional_kyphosis_deg["T10-L2"].reason == "T10 and L2 not measured"


def test_stray_islands_are_given_back(intact):
    labels = column(INTACT, turn=POSE)
    array = labels.labels.copy()
    inside = np.argwhere(array == labels.values[Level.L1])
    centre = inside[np.argmin(np.abs(inside - inside.mean(axis=0) - [0, -8, 0]).sum(axis=1))]
    island = tuple(slice(c, c + 3) for c in centre)
    array[island] = labels.values[Level.T12]
    spine = measure_spine(LabelMap(array, labels.grid, labels.values, labels.dialect))
    assert any("given back" in sentence for sentence in spine.warnings)
    for place in Place:
        same = intact[Level.L1].heights_mm[place].value
        assert spine[Level.L1].heights_mm[place].value == pytest.approx(same, abs=0.05)


def test_a_cut_level_is_measured_as_far_as_possible_and_says_so():
    labels = column(INTACT)
    z = labels.grid.to_voxel([0.0, 0.0, -10.0])[2]
    cut = labels.labels[:, :, : int(z)]
    spine = measure_spine(
        LabelMap(cut, Grid.from_affine(cut.shape, labels.grid.lps_from_voxel.matrix), labels.values, "verse")
    )
    assert "cut_by_border" in spine[Level.T12].flags
    assert "image border" in spine[Level.T12].heights_mm[Place.ANTERIOR].reason
    assert Level.T12 not in spine[Level.L1].loss.levels


def test_the_document_survives_json(intact):
    document = json.loads(json.dumps(intact.as_json(), allow_nan=False))
    assert document["posture"]["value"] == "supine"
    assert document["vertebrae"][0]["density"]["mean_hu"]["value"] is None
    assert document["vertebrae"][0]["pedicles"].keys() == {"left", "right"}
    assert intact.uses


def test_labels_on_another_grid_are_refused():
    labels = column({Level.L1: INTACT[Level.L1]}, (2.0, 2.0, 2.0))
    other = Volume(np.zeros((4, 4, 4), np.int16), Grid.from_affine((4, 4, 4), np.eye(4)))
    with pytest.raises(InputError, match=r"another grid .* resample the labels"):
        measure_spine(labels, other)


def test_labels_without_any_body_are_refused():
    labels = np.zeros((30, 30, 30), np.int16)
    labels[5:25, 14:16, 14:16] = 20
    with pytest.raises(GeometryError, match=r"no label could be measured .* check the labels"):
        measure_spine(LabelMap(labels, Grid.from_affine((30, 30, 30), np.eye(4)), {Level.L1: 20}, "verse"))
