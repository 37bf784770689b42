"""Proves the C-arm views: true AP and lateral of a turned vertebra, the needle as a dot, and how far a view is off."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vertecast.core.errors import GeometryError
from vertecast.core.frames import LPS, Transform
from vertecast.planning.views import ViewAngles, bulls_eye, level_views, off_true, ray_of, view_angles


def frame(*degrees: float) -> Transform:
    axes = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix().T
    return Transform.from_axes(axes, np.zeros(3), target="vert:L1", source=LPS)


def test_a_straight_vertebra_is_seen_at_zero_and_ninety() -> None:
    views = level_views(frame(0, 0, 0))
    assert (views.ap.rotation_deg, views.ap.tilt_deg) == pytest.approx((0, 0))
    assert (views.lateral.rotation_deg, views.lateral.tilt_deg) == pytest.approx((90, 0))


def test_signs_are_the_detectors_side() -> None:
    """A ray that enters from the patient's left has positive rotation; one that comes from cranial, positive tilt."""
    rotation, tilt = view_angles(np.array([[-1.0, -1.0, 0.0], [0.0, -1.0, -1.0]]))
    assert rotation == pytest.approx([45, 0])
    assert tilt == pytest.approx([0, 45])


@pytest.mark.parametrize("turn", [(20.0, 0.0, 0.0), (-12.0, 5.0, 9.0)])
def test_true_views_run_along_the_vertebras_axes(turn: tuple[float, float, float]) -> None:
    placed = frame(*turn)
    views = level_views(placed)
    assert ray_of(views.ap) == pytest.approx(-placed.axes[1], abs=1e-12)
    assert ray_of(views.lateral) == pytest.approx(-placed.axes[0], abs=1e-12)
    assert off_true(views.ap, views.ap) == pytest.approx((0, 0, 0), abs=1e-5)


def test_bulls_eye_looks_down_the_needle_and_off_true_is_the_angle_between() -> None:
    forward = np.array([-0.4, -0.9, 0.1])
    forward /= np.linalg.norm(forward)
    assert ray_of(bulls_eye(forward)) == pytest.approx(forward)
    turn, lean, angle = off_true(ViewAngles(10.0, 5.0), ViewAngles(-170.0 + 360.0, 5.0))
    assert turn == pytest.approx(-180.0)
    assert (lean, angle) == pytest.approx((0.0, 170.0))


def test_a_view_without_direction_is_refused() -> None:
    with pytest.raises(GeometryError, match="a view needs a direction"):
        view_angles(np.zeros(3))


def test_these_checks_can_fail() -> None:
    """A mirrored sign of rotation would leave the straight vertebra alone but not this one."""
    assert level_views(frame(0, 0, 20)).ap.rotation_deg != pytest.approx(-level_views(frame(0, 0, 20)).ap.rotation_deg)
