"""Proves: a fracture of known size put into a real CT is measured back: size, shape and grade.

The truth is the warp's, at landmarks that do not come from the measuring code. Reference: the patient's own intact CT,
and the neighbours.
"""

from pathlib import Path

import pytest

from vertecast.core.levels import Level
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.spine.fracture.fracture import fracture_vertebra
from vertecast.spine.fracture.spec import FractureSpec
from vertecast.spine.genant import FractureShape
from vertecast.spine.measure import measure_spine
from vertecast.spine.measurement import MeasuredVertebra, SpineMeasurement

pytestmark = pytest.mark.xdist_group("virtual fractures")

CASES = {
    "22 % wedge": (FractureSpec.wedge(0.22), 22.0, FractureShape.WEDGE, 1.0),
    "32 % wedge": (FractureSpec.wedge(0.32), 32.0, FractureShape.WEDGE, 2.0),
    "46 % wedge": (FractureSpec.wedge(0.46), 46.0, FractureShape.WEDGE, 3.0),
    "32 % biconcave": (FractureSpec.biconcave(0.32), 32.0, FractureShape.BICONCAVE, 2.0),
    "32 % crush": (FractureSpec.crush(0.32), 32.0, FractureShape.CRUSH, 2.0),
}


@pytest.fixture(scope="module")
def case(data_dir: Path) -> tuple[Volume, LabelMap]:
    ct = read_volume(data_dir / "verse014" / "ct.nii.gz")
    return ct, matched_labels(read_labels(data_dir / "verse014" / "vert.nii.gz"), ct)


@pytest.fixture(scope="module")
def intact(case: tuple[Volume, LabelMap]) -> SpineMeasurement:
    return measure_spine(case[1], case[0])


def measured(
    case: tuple[Volume, LabelMap], level: Level, spec: FractureSpec, prior: SpineMeasurement | None
) -> MeasuredVertebra:
    ct, labels = case
    fractured = fracture_vertebra(ct, labels, level, spec)
    return measure_spine(fractured.labels, fractured.volume, prior=prior)[level]


@pytest.mark.parametrize("level", [Level.L2, Level.L3])
@pytest.mark.parametrize("name", CASES)
def test_the_imposed_loss_is_measured_against_the_own_intact_ct(
    case: tuple[Volume, LabelMap], intact: SpineMeasurement, level: Level, name: str
) -> None:
    spec, loss, shape, grade = CASES[name]
    found = measured(case, level, spec, intact)
    assert found.height_loss_percent.value == pytest.approx(loss, abs=4.0)
    assert found.genant.shape is shape
    assert found.genant.grade == grade or found.genant.borderline
    assert abs((found.genant.grade or 0.0) - grade) <= 1.0


@pytest.mark.parametrize("name", ["32 % wedge", "32 % crush"])
def test_the_imposed_loss_is_measured_against_the_neighbours(case: tuple[Volume, LabelMap], name: str) -> None:
    spec, loss, _, _ = CASES[name]
    found = measured(case, Level.L3, spec, None)
    assert found.height_loss_percent.value == pytest.approx(loss, abs=8.0)


def test_these_checks_can_fail(case: tuple[Volume, LabelMap], intact: SpineMeasurement) -> None:
    found = measured(case, Level.L3, FractureSpec.wedge(0.40), intact)
    assert found.height_loss_percent.value != pytest.approx(32.0, abs=4.0)
