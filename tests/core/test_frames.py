"""Proves: transforms of different frames cannot be mixed, a mirror is never a pose, and maps round-trip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vertecast.core.errors import FrameError
from vertecast.core.frames import LPS, Transform

angles = st.floats(-np.pi, np.pi)
lengths = st.floats(-500, 500)


def pose(a: float, b: float, c: float, origin: tuple[float, float, float]) -> Transform:
    axes = Rotation.from_euler("zyx", [a, b, c]).as_matrix()
    return Transform.from_axes(axes, origin, target="vert:L1", source=LPS)


@given(a=angles, b=angles, c=angles, x=lengths, y=lengths, z=lengths)
def test_a_pose_round_trips_and_keeps_lengths(a: float, b: float, c: float, x: float, y: float, z: float) -> None:
    vert_from_lps = pose(a, b, c, (x, y, z))
    points = np.random.default_rng(0).normal(size=(5, 3)) * 100
    there = vert_from_lps.apply(points)
    assert np.allclose(vert_from_lps.inverse.apply(there), points, atol=1e-9 * (1 + abs(x) + abs(y) + abs(z)))
    assert np.allclose(np.linalg.norm(there[0] - there[1]), np.linalg.norm(points[0] - points[1]))
    assert np.allclose(vert_from_lps.origin, (x, y, z), atol=1e-9 * 1000)


def test_the_origin_maps_to_zero_and_axes_to_units() -> None:
    vert_from_lps = pose(0.3, -0.2, 0.1, (10, 20, 30))
    assert np.allclose(vert_from_lps.apply([10, 20, 30]), 0)
    assert np.allclose(vert_from_lps.apply_directions(vert_from_lps.axes), np.eye(3))


def test_chaining_checks_the_frames() -> None:
    vert_from_lps = pose(0.1, 0, 0, (1, 2, 3))
    lps_from_voxel = Transform(np.diag([1, 1, 2, 1.0]), LPS, "voxel")
    assert (vert_from_lps @ lps_from_voxel).name == "vert:L1_from_voxel"
    with pytest.raises(FrameError, match="'voxel' is not 'vert:L1'; invert one of them"):
        lps_from_voxel @ vert_from_lps


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (np.eye(3), r"shape \(3, 3\), needs \(4, 4\)"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.ones((4, 4)), "last row is"),
        (np.diag([1, 1, 0, 1.0]), "singular"),
    ],
)
def test_a_matrix_that_is_no_map_is_refused(matrix: np.ndarray, sentence: str) -> None:
    with pytest.raises(FrameError, match=sentence):
        Transform(matrix, "a", "b")


def test_a_mirror_is_never_a_pose() -> None:
    with pytest.raises(FrameError, match="left-handed; a mirror is never a pose"):
        Transform.from_axes(np.diag([-1, 1, 1.0]), [0, 0, 0], target="vert", source=LPS)
    with pytest.raises(FrameError, match="not orthonormal"):
        Transform.from_axes(np.diag([2, 1, 1.0]), [0, 0, 0], target="vert", source=LPS)


def test_a_transform_cannot_be_written_to() -> None:
    matrix = np.eye(4)
    transform = Transform(matrix, "a", "b")
    matrix[0, 3] = 9.0
    assert transform.matrix[0, 3] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        transform.matrix[0, 0] = 2.0
