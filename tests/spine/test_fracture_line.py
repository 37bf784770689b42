"""Fracture lines: band and step together, or a split, are a line; one sign alone, sclerosis or thick voxels are not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.spine.real_anatomy import real_anatomies, real_ct
from tests.spine.tube_vertebra import Scan, TubeVertebra, ct_of, scanned

from vertecast.imaging.volume import Volume
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.fracture_line import LineSign, LineState, find_fracture_line


def added(anatomy: Anatomy, where: NDArray[np.bool_], hu: float, *, noise: float = 25.0) -> Volume:
    volume = ct_of(anatomy, 130.0, noise=noise, seed=4)
    return replace(volume, hu=np.array(volume.hu) + np.where(where & anatomy.body, hu, 0.0).astype(np.float32))


def band(anatomy: Anatomy, middle: float = 6.0, half: float = 1.5) -> NDArray[np.bool_]:
    return np.asarray(np.abs(anatomy.coordinates()[..., 2] - middle) <= half)


def stepped(height: float = 4.0) -> Anatomy:
    """The anterior wall above z = 5 is pushed forward by ``height``."""
    anatomy = scanned(TubeVertebra())
    points = anatomy.coordinates()
    shape = TubeVertebra()
    lip = shape.in_body(points + np.array([0.0, height, 0.0])) & (points[..., 2] > 3.0) & (points[..., 1] < 0.0)
    return replace(anatomy, mask=anatomy.mask | lip, body=anatomy.body | lip, arch=anatomy.arch & ~lip)


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 0.8), (1.0, 1.0, 1.0), (1.0, 1.0, 2.0)])
def test_an_intact_body_has_none(spacing: tuple[float, float, float]) -> None:
    anatomy = scanned(TubeVertebra(), Scan(spacing, (0.05, 0.05, 0.1)))
    for seed in range(3):
        line = find_fracture_line(anatomy, ct_of(anatomy, 130.0, noise=40.0, seed=seed))
        assert line.state is LineState.NONE, line.evidence


def test_a_band_alone_is_evidence_and_no_line() -> None:
    anatomy = scanned(TubeVertebra())
    line = find_fracture_line(anatomy, added(anatomy, band(anatomy), 150.0))
    assert line.signs == (LineSign.IMPACTION_BAND,)
    assert line.state is LineState.UNKNOWN
    assert "one sign alone" in line.evidence[-1]
    words = line.evidence[0].split()
    assert "below the upper endplate" in line.evidence[0]
    assert abs(float(words[words.index("mm") - 1]) - 7.5) <= 2.0


def test_a_lucent_band_is_evidence() -> None:
    anatomy = scanned(TubeVertebra())
    line = find_fracture_line(anatomy, added(anatomy, band(anatomy), -150.0))
    assert line.signs == (LineSign.LUCENT_BAND,)
    assert line.state is LineState.UNKNOWN


def test_a_step_alone_is_evidence_and_no_line() -> None:
    anatomy = stepped()
    line = find_fracture_line(anatomy, ct_of(anatomy, 130.0, noise=25.0))
    assert line.signs == (LineSign.CORTICAL_STEP,)
    assert line.state is LineState.UNKNOWN
    alone = find_fracture_line(anatomy, None)
    assert alone.signs == (LineSign.CORTICAL_STEP,)
    assert "no CT" in alone.evidence[-1]


def test_a_band_and_a_step_are_a_fracture_line() -> None:
    anatomy = stepped()
    line = find_fracture_line(anatomy, added(anatomy, band(anatomy), 150.0))
    assert line.state is LineState.PRESENT
    assert {LineSign.CORTICAL_STEP, LineSign.IMPACTION_BAND} <= set(line.signs)


def test_a_coronal_split_from_endplate_to_endplate() -> None:
    anatomy = scanned(TubeVertebra())
    plane = np.abs(anatomy.coordinates()[..., 1] + 3.0) <= 1.2
    line = find_fracture_line(anatomy, added(anatomy, plane, -170.0))
    assert line.state is LineState.PRESENT
    assert LineSign.SPLIT in line.signs
    assert "coronal" in " ".join(line.evidence)


def test_half_a_split_is_none() -> None:
    """A lucency that ends at mid-height crosses no endplate below."""
    anatomy = scanned(TubeVertebra())
    points = anatomy.coordinates()
    plane = (np.abs(points[..., 1] + 3.0) <= 1.2) & (points[..., 2] > 2.0)
    assert LineSign.SPLIT not in find_fracture_line(anatomy, added(anatomy, plane, -170.0)).signs


def test_sclerosis_is_unknown() -> None:
    anatomy = stepped()
    sclerotic = np.array(added(anatomy, band(anatomy, 4.0, 5.0), 500.0).hu)
    line = find_fracture_line(anatomy, Volume(sclerotic, anatomy.grid))
    assert line.state is LineState.UNKNOWN
    assert "sclerotic" in line.evidence[-1]


def test_thick_voxels_cannot_tell() -> None:
    anatomy = scanned(TubeVertebra(), Scan((1.0, 1.0, 3.0)))
    line = find_fracture_line(anatomy, ct_of(anatomy, 130.0, noise=25.0))
    assert line.state is LineState.UNKNOWN
    assert "may hide a fracture line" in line.evidence[0]


def test_missing_parts_say_why() -> None:
    anatomy = scanned(TubeVertebra())
    assert "no CT" in find_fracture_line(anatomy, None).evidence[-1]
    nothing = replace(anatomy, body=np.zeros_like(anatomy.body))
    assert "no vertebral body" in find_fracture_line(nothing, None).evidence[0]


def test_these_checks_can_fail() -> None:
    """A band of the noise's own height is not called, one three times the limit is."""
    anatomy = scanned(TubeVertebra())
    assert find_fracture_line(anatomy, added(anatomy, band(anatomy), 20.0)).signs == ()
    assert find_fracture_line(anatomy, added(anatomy, band(anatomy), 180.0)).signs != ()


@pytest.mark.data
def test_unfractured_real_bodies_have_no_line(data_dir: Path) -> None:
    """verse014 holds no fracture; its sclerotic, spurred L1 must not be called one."""
    volume = real_ct(data_dir / "verse014")
    for anatomy in real_anatomies(data_dir / "verse014", "vert.nii.gz", ("L1", "L2", "L3")):
        assert find_fracture_line(anatomy, volume).state is not LineState.PRESENT
