"""Proves: a patient stored in another pose gives the same numbers in that pose, a mirrored array the mirrored ones.

No voxel is resampled: the affine alone turns the patient, and an array read backwards mirrors it. The frame, the
heights and the pedicles' isthmuses follow to 1e-5 mm, which is what offsets rounded to 1e-6 mm leave.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.spine.measure import measure_spine
from vertecast.spine.measurement import MeasuredVertebra
from vertecast.spine.orientation import canonical_axes
from vertecast.spine.phantom.phantom import make_phantom
from vertecast.spine.phantom.spec import Scan, default_spec

CLOSE = 1e-5  # mm, and of unit vectors
OTHER = {Side.LEFT: Side.RIGHT, Side.RIGHT: Side.LEFT}

Scanned = tuple[LabelMap, Volume]


def test_a_turned_phantom_is_measured_alike() -> None:
    scan = Scan(spacing_mm=(1.5, 1.5, 2.0), tilt_deg=(4.0, -3.0, 5.0), width_mm=110.0)
    phantom = make_phantom(default_spec(Level.L1, Level.L2, scan=scan), seed=4)
    require_turned((phantom.labels, phantom.volume), Level.L1)
    require_mirrored((phantom.labels, phantom.volume), Level.L1)


@pytest.mark.data
def test_a_turned_patient_is_measured_alike(data_dir: Path) -> None:
    require_turned(patient(data_dir), Level.L3)


@pytest.mark.data
def test_a_mirrored_patient_is_measured_as_the_mirror(data_dir: Path) -> None:
    require_mirrored(patient(data_dir), Level.L3)


@pytest.mark.data
def test_these_checks_can_fail(data_dir: Path) -> None:
    """An array read backwards and taken for the same patient turned is not alike."""
    labels, volume = patient(data_dir)
    mirrored = reversed_along((labels, volume), canonical_axes(volume.grid)[0][0])
    one, other = (measure_spine(*scanned)[Level.L3] for scanned in ((labels, volume), mirrored))
    assert np.abs(frame(one) - frame(other)).max() > 0.01


def require_turned(scanned: Scanned, level: Level) -> None:
    """The affine turns the patient: frame, heights and isthmuses go with it."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [12.0, -9.0, 17.0], degrees=True).as_matrix()
    turn[:3, 3] = 13.3, -7.77, 101.13
    labels, volume = scanned
    grid = Grid.from_affine(volume.grid.shape, turn @ volume.grid.lps_from_voxel.matrix)
    one = measure_spine(labels, volume)[level]
    other = measure_spine(replace(labels, grid=grid), replace(volume, grid=grid))[level]
    assert frame(other) @ turn == pytest.approx(frame(one), abs=CLOSE)
    assert heights(other) == pytest.approx(heights(one), abs=CLOSE)
    for side in Side:
        assert isthmus(other, side) == pytest.approx(turn[:3, :3] @ isthmus(one, side) + turn[:3, 3], abs=CLOSE)
        assert width(other, side) == pytest.approx(width(one, side), abs=CLOSE)


def require_mirrored(scanned: Scanned, level: Level) -> None:
    """The array is read backwards from right to left: what was left is right."""
    matrix = scanned[1].grid.lps_from_voxel.matrix
    axis = canonical_axes(scanned[1].grid)[0][0]
    flip = np.eye(4)
    flip[axis, axis], flip[axis, 3] = -1.0, scanned[1].grid.shape[axis] - 1.0
    mirror = matrix @ flip @ np.linalg.inv(matrix)
    one = measure_spine(*scanned)[level]
    other = measure_spine(*reversed_along(scanned, axis))[level]
    assert np.diag([-1.0, 1.0, 1.0, 1.0]) @ frame(other) @ mirror == pytest.approx(frame(one), abs=CLOSE)
    assert heights(other)[::-1] == pytest.approx(heights(one), abs=CLOSE)
    for side in Side:
        mirrored = mirror[:3, :3] @ isthmus(one, side) + mirror[:3, 3]
        assert isthmus(other, OTHER[side]) == pytest.approx(mirrored, abs=CLOSE)
        assert width(other, OTHER[side]) == pytest.approx(width(one, side), abs=CLOSE)


def patient(data_dir: Path) -> Scanned:
    """L3 of a real CT, alone: what surrounds it stays in the image, unlabelled."""
    volume = read_volume(data_dir / "verse014" / "ct.nii.gz")
    labels = matched_labels(read_labels(data_dir / "verse014" / "vert.nii.gz"), volume)
    value = labels.values[Level.L3]
    only = np.where(labels.labels == value, labels.labels, 0).astype(labels.labels.dtype)
    return replace(labels, labels=only, values={Level.L3: value}), volume


def reversed_along(scanned: Scanned, axis: int) -> Scanned:
    labels, volume = scanned
    return replace(labels, labels=np.flip(labels.labels, axis)), replace(volume, hu=np.flip(volume.hu, axis))


def frame(vertebra: MeasuredVertebra) -> NDArray[np.float64]:
    assert vertebra.geometry is not None
    return vertebra.geometry.anatomy.vert_from_lps.matrix


def heights(vertebra: MeasuredVertebra) -> NDArray[np.float64]:
    """(3, 3), mm: right, middle and left section, each in front, in the middle and behind."""
    assert vertebra.geometry is not None
    six = vertebra.geometry.six
    return np.array([six.right.heights, six.middle.heights, six.left.heights])


def isthmus(vertebra: MeasuredVertebra, side: Side) -> NDArray[np.float64]:
    assert vertebra.details.pedicles is not None
    place = vertebra.details.pedicles[side].isthmus_lps
    assert place is not None
    return np.asarray(place)


def width(vertebra: MeasuredVertebra, side: Side) -> float:
    assert vertebra.details.pedicles is not None
    value = vertebra.details.pedicles[side].width_mm.value
    assert value is not None
    return value
