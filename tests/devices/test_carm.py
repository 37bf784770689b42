"""The C-arm: signs of every angle, exact magnification, pixels and LPS both ways, letters, limits."""

from dataclasses import replace

import numpy as np
import pytest

from vertecast.core.errors import GeometryError
from vertecast.core.frames import Transform
from vertecast.devices.carm import Lying, Pose, View, bulls_eye, letters, load_carm, true_ap, true_lateral

CARM = load_carm().values
ISOCENTRE = np.array([5.0, -20.0, 100.0])
LEFT, BACK, HEAD = np.eye(3)


def view(lao: float = 0.0, cranial: float = 0.0, lying: Lying = Lying.PRONE) -> View:
    return View(CARM, Pose.tilted(ISOCENTRE, lao_deg=lao, cranial_deg=cranial, lying=lying))


def random_views(count: int) -> list[View]:
    generator = np.random.default_rng(5)
    return [
        View(
            CARM,
            Pose.tilted(
                generator.normal(0, 100, 3),
                lao_deg=generator.uniform(-110, 110),
                cranial_deg=generator.uniform(-45, 45),
                lying=list(Lying)[generator.integers(2)],
            ),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("primary", "secondary", "direction"),
    [
        (0, 0, -BACK),
        (90, 0, LEFT),
        (-90, 0, -LEFT),
        (180, 0, BACK),
        (0, 45, (HEAD - BACK) / np.sqrt(2)),
        (0, -45, (-HEAD - BACK) / np.sqrt(2)),
        (45, 0, (LEFT - BACK) / np.sqrt(2)),
        (-45, 0, (-LEFT - BACK) / np.sqrt(2)),
    ],
)
def test_dicom_angles_put_the_detector_where_the_standard_says(
    primary: float, secondary: float, direction: np.ndarray
) -> None:
    pose = Pose(ISOCENTRE, primary, secondary)
    assert pose.towards_detector_lps == pytest.approx(direction, abs=1e-12)


@pytest.mark.parametrize("lying", list(Lying))
def test_each_tilt_moves_the_detector_to_its_side(lying: Lying) -> None:
    assert view(20, 0, lying).pose.towards_detector_lps @ LEFT == pytest.approx(np.sin(np.radians(20)))
    assert view(-20, 0, lying).pose.towards_detector_lps @ LEFT == pytest.approx(-np.sin(np.radians(20)))
    assert view(0, 10, lying).pose.towards_detector_lps @ HEAD == pytest.approx(np.sin(np.radians(10)))
    assert view(0, -10, lying).pose.towards_detector_lps @ HEAD == pytest.approx(-np.sin(np.radians(10)))
    side = 1 if lying is Lying.PRONE else -1
    assert view(0, 0, lying).pose.towards_detector_lps @ BACK == pytest.approx(side)


def test_console_tilt_and_dicom_angle() -> None:
    assert view(20).pose.primary_deg == pytest.approx(160)
    assert view(20, 0, Lying.SUPINE).pose.primary_deg == pytest.approx(20)
    assert view(-20).pose.primary_deg == pytest.approx(-160)
    assert view(-20).pose.lao_deg == pytest.approx(-20)
    assert view(-20, 10).angles == "RAO 20 CRA 10"
    assert view(20, -10).angles == "LAO 20 CAU 10"


def test_letters_and_up_are_those_of_the_screen() -> None:
    prone, supine = view(), view(lying=Lying.SUPINE)
    assert (letters(prone.pose.right_lps), letters(prone.pose.down_lps)) == ("R", "F")
    assert (letters(supine.pose.right_lps), letters(supine.pose.down_lps)) == ("L", "F")
    lateral = view(90)
    assert (letters(lateral.pose.right_lps), letters(lateral.pose.down_lps)) == ("P", "F")
    assert letters(view(30).pose.right_lps) == "RP"
    left, head = prone.to_pixel(ISOCENTRE + 10 * LEFT), prone.to_pixel(ISOCENTRE + 10 * HEAD)
    middle = prone.to_pixel(ISOCENTRE)
    assert left[0] < middle[0]
    assert head[1] < middle[1]
    assert supine.to_pixel(ISOCENTRE + 10 * LEFT)[0] > middle[0]


def test_the_axes_are_right_handed_and_the_isocentre_is_in_the_middle() -> None:
    for one in random_views(30):
        pose = one.pose
        triad = np.stack([pose.right_lps, pose.down_lps, -pose.towards_detector_lps])
        assert np.linalg.det(triad) == pytest.approx(1.0)
        rows, columns = one.shape
        assert one.to_pixel(pose.isocentre_lps) == pytest.approx([(columns - 1) / 2, (rows - 1) / 2], abs=1e-9)


def test_pixels_and_lps_both_ways() -> None:
    generator = np.random.default_rng(2)
    for one in random_views(30):
        points = one.pose.isocentre_lps + generator.uniform(-60, 60, (20, 3))
        pixels = one.to_pixel(points)
        for point, pixel in zip(points, pixels, strict=True):
            assert one.to_lps(pixel, float(one.depth(point))) == pytest.approx(point, abs=1e-8)
        assert one.to_pixel(one.to_lps(pixels)) == pytest.approx(pixels, abs=1e-8)


def test_magnification_is_exact() -> None:
    one = view(30, 10)
    assert one.magnification(ISOCENTRE) == pytest.approx(CARM.source_detector / CARM.source_isocentre, rel=1e-12)
    for distance in (-100.0, 0.0, 80.0):
        at = ISOCENTRE + distance * one.pose.towards_detector_lps
        ends = one.to_pixel(np.stack([at, at + 10 * one.pose.right_lps]))
        shown = (ends[1, 0] - ends[0, 0]) * CARM.pixel_mm[0]
        assert shown / 10 == pytest.approx(CARM.source_detector / (CARM.source_isocentre + distance), rel=1e-12)


def test_table_moves_the_patient_not_the_gantry() -> None:
    pose = view().pose
    assert pose.with_table_moved(left_mm=10).isocentre_lps == pytest.approx(ISOCENTRE - [10, 0, 0])
    assert pose.with_table_moved(headward_mm=10).isocentre_lps == pytest.approx(ISOCENTRE - [0, 0, 10])
    assert pose.with_table_moved(upward_mm=10).isocentre_lps == pytest.approx(ISOCENTRE - [0, 10, 0])
    supine = view(lying=Lying.SUPINE).pose
    assert supine.with_table_moved(upward_mm=10).isocentre_lps == pytest.approx(ISOCENTRE - np.array([0, -10, 0]))


def test_true_views_and_bulls_eye_of_a_tilted_vertebra() -> None:
    turn, tilt = np.radians([12.0, -18.0])
    about_z = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
    vert_from_lps = Transform.from_axes(about_x @ about_z, ISOCENTRE, target="vert:L1", source="lps")
    ap, lateral = true_ap(vert_from_lps), true_lateral(vert_from_lps)
    assert ap.towards_detector_lps == pytest.approx(vert_from_lps.axes[1], abs=1e-9)
    assert lateral.towards_detector_lps == pytest.approx(vert_from_lps.axes[0], abs=1e-9)
    assert true_lateral(vert_from_lps, detector_left=False).towards_detector_lps == pytest.approx(
        -vert_from_lps.axes[0]
    )
    supine = true_ap(vert_from_lps, Lying.SUPINE)
    assert supine.towards_detector_lps == pytest.approx(-vert_from_lps.axes[1], abs=1e-9)
    entry, target = ISOCENTRE - np.array([-30, -60, -10]), ISOCENTRE
    eye = View(CARM, bulls_eye(entry, target))
    assert eye.to_pixel(entry) == pytest.approx(eye.to_pixel(target), abs=1e-9)
    assert eye.depth(entry) > eye.depth(target)


def test_refusals() -> None:
    with pytest.raises(GeometryError, match="has no area"):
        replace(CARM, detector_width=0.0)
    with pytest.raises(GeometryError, match="must lie between 0 and"):
        replace(CARM, source_isocentre=2000.0)
    with pytest.raises(GeometryError, match="LAO 130 CRA 0 is beyond the gantry"):
        view(130)
    with pytest.raises(GeometryError, match="CAU 60 is beyond the gantry"):
        view(0, -60)
    with pytest.raises(GeometryError, match="behind the focal spot"):
        view().to_pixel(view().source_lps)
    with pytest.raises(GeometryError, match="are one point"):
        bulls_eye(ISOCENTRE, ISOCENTRE)
    with pytest.raises(GeometryError, match="must be finite"):
        Pose(np.array([np.nan, 0, 0]), 0, 0)


def test_these_checks_can_fail() -> None:
    mirrored = np.array([-1, 1, 1]) * view(20).pose.towards_detector_lps
    assert mirrored @ LEFT != pytest.approx(np.sin(np.radians(20)))
    assert view().to_pixel(ISOCENTRE + LEFT)[0] != pytest.approx(view().to_pixel(ISOCENTRE - LEFT)[0])
