"""Proves that resampling, cropping and reorienting keep every place in the patient, and masks their volume."""

import numpy as np
import pytest

from vertecast.core.errors import GeometryError
from vertecast.core.frames import Transform
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.resample import (
    AXIS_ORDERS,
    Interpolation,
    aligned_grid,
    canonical_order,
    cropped,
    reoriented,
    resampled,
    resampled_labels,
    resampled_mask,
    signed_distance,
)
from vertecast.imaging.volume import LabelMap, Volume

TURN = Transform.from_axes(
    np.array([[np.cos(0.3), np.sin(0.3), 0], [-np.sin(0.3), np.cos(0.3), 0], [0, 0, 1.0]]),
    [4.0, -3.0, 20.0],
    target="vert:L1",
    source="lps",
)


def ramp_volume(grid: Grid) -> Volume:
    """HU that grow linearly in LPS, which linear and cubic interpolation hold exactly."""
    points = grid.to_lps(np.argwhere(np.ones(grid.shape, bool)))
    return Volume((points @ [3.0, -4.0, 2.0]).reshape(grid.shape).astype(np.float32), grid)


@pytest.mark.parametrize("order", AXIS_ORDERS, ids=str)
def test_every_axis_order_keeps_every_voxel_in_its_place(
    volume: Volume, order: tuple[tuple[int, int, int], tuple[int, int, int]]
) -> None:
    stored = reoriented(volume, *order)
    points = volume.grid.to_lps(np.argwhere(np.ones(volume.grid.shape, bool)))
    there = np.rint(stored.grid.to_voxel(points)).astype(int)
    np.testing.assert_array_equal(stored.hu[tuple(there.T)], volume.hu.ravel())
    np.testing.assert_allclose(stored.grid.to_lps(there), points, atol=1e-9)
    back = reoriented(stored, *canonical_order(stored.grid))
    np.testing.assert_array_equal(back.hu, volume.hu)
    np.testing.assert_allclose(back.grid.lps_from_voxel.matrix, volume.grid.lps_from_voxel.matrix, atol=1e-9)


def test_a_crop_keeps_its_place_and_names_a_wrong_box(volume: Volume) -> None:
    part = cropped(volume, [2, 3, 4], [12, 13, 14])
    np.testing.assert_allclose(part.grid.to_lps([0, 0, 0]), volume.grid.to_lps([2, 3, 4]))
    np.testing.assert_array_equal(part.hu, volume.hu[2:12, 3:13, 4:14])
    with pytest.raises(GeometryError, match=r"crop \[0, 0, 0\] to \[21, 22, 45\] leaves the grid of \[20, 22, 45\]"):
        cropped(volume, [0, 0, 0], [21, 22, 45])


@pytest.mark.parametrize("interpolation", Interpolation)
def test_hu_land_where_they_were(grid: Grid, interpolation: Interpolation) -> None:
    source = ramp_volume(grid)
    centre = grid.to_lps(np.array(grid.shape) / 2)
    frame = Transform.from_axes(TURN.axes, centre, target="vert:L1", source="lps")
    target = aligned_grid(frame, [[-6, 6], [-6, 6], [-20, 20]], 0.8)
    moved = resampled(source, target, interpolation)
    points = target.to_lps(np.argwhere(np.ones(target.shape, bool)))
    tolerance = 2e-2 if interpolation is Interpolation.LINEAR else 2.0  # splines ring at the border of so small a CT
    expected = (points @ [3.0, -4.0, 2.0]).reshape(target.shape)
    inner = (slice(3, -3),) * 3
    assert np.abs(moved.hu - np.maximum(expected, -1024))[inner].max() < tolerance


def test_outside_is_air(volume: Volume) -> None:
    matrix = volume.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] += 1000
    assert (resampled(volume, Grid.from_affine((4, 4, 4), matrix)).hu == -1024).all()


def ball(grid: Grid, centre: np.ndarray, radius: float) -> np.ndarray:
    points = grid.to_lps(np.argwhere(np.ones(grid.shape, bool)))
    return (np.linalg.norm(points - centre, axis=1) <= radius).reshape(grid.shape)


def test_a_resampled_mask_keeps_volume_and_surface() -> None:
    """A ball of 12 mm on 1 x 1 x 2 mm voxels, onto 0.7 mm voxels turned by 17 degrees."""
    source = Grid.from_affine((40, 40, 20), np.diag([1.0, 1.0, 2.0, 1.0]))
    centre = np.array([19.7, 20.2, 19.4])
    frame = Transform.from_axes(TURN.axes, centre, target="vert:L1", source="lps")
    target = aligned_grid(frame, [[-15, 15], [-15, 15], [-15, 15]], 0.7)
    moved = resampled_mask(ball(source, centre, 12.0), source, target)
    truth = 4 / 3 * np.pi * 12.0**3
    assert moved.sum() * target.voxel_volume == pytest.approx(truth, rel=0.02)
    # Where the two masks differ they differ within half a diagonal of a source voxel of the true surface.
    wrong = moved != ball(target, centre, 12.0)
    points = target.to_lps(np.argwhere(wrong))
    assert np.abs(np.linalg.norm(points - centre, axis=1) - 12.0).max() < 0.5 * np.sqrt(6.0) + 0.1


def test_signed_distance_is_odd_across_a_flat_surface() -> None:
    mask = np.zeros((9, 9, 10), bool)
    mask[:, :, :5] = True
    along = signed_distance(mask, (1.0, 1.0, 2.0))[4, 4]
    np.testing.assert_allclose(along, [10, 8, 6, 4, 2, -2, -4, -6, -8, -10])


def test_labels_on_an_aligned_grid_do_not_overlap_and_keep_their_volume(labels: LabelMap) -> None:
    centre = labels.grid.to_lps([9.5, 11.5, 22.0])
    frame = Transform.from_axes(labels.grid.directions.T, centre, target="vert:L2", source="lps")
    target = aligned_grid(frame, [[-12, 12], [-12, 12], [-45, 45]], 0.5)
    moved = resampled_labels(labels, target)
    assert moved.values == labels.values
    for level in labels.levels:
        before = labels.mask(level).sum() * labels.grid.voxel_volume
        assert moved.mask(level).sum() * target.voxel_volume == pytest.approx(before, rel=0.03)
        middle = target.to_lps(np.argwhere(moved.mask(level))).mean(axis=0)
        np.testing.assert_allclose(middle, labels.grid.to_lps(np.argwhere(labels.mask(level))).mean(axis=0), atol=0.1)


def test_an_aligned_grid_lies_along_the_vertebra() -> None:
    made = aligned_grid(TURN, [[-10, 10], [-8, 8.2], [-20, 20]], 0.5)
    assert made.shape == (40, 33, 80)
    np.testing.assert_allclose(made.spacing, 0.5)
    corners = TURN.apply(made.corners_lps)
    np.testing.assert_allclose(corners.min(axis=0), [-10, -8.15, -20])
    np.testing.assert_allclose(corners.max(axis=0), [10, 8.35, 20])
    np.testing.assert_allclose(made.directions, TURN.axes.T, atol=1e-12)
    with pytest.raises(GeometryError, match="span no box"):
        aligned_grid(TURN, [[10, -10], [-8, 8], [-20, 20]], 0.5)


def test_an_empty_target_mask_is_empty(grid: Grid) -> None:
    assert not resampled_mask(np.zeros(grid.shape, bool), grid, grid).any()


def test_these_checks_can_fail(volume: Volume, labels: LabelMap) -> None:
    """A mirror is seen, and so is a label map whose level got lost."""
    mirrored = Volume(volume.hu[::-1].copy(), volume.grid)
    assert not np.array_equal(mirrored.hu, volume.hu)
    cut = cropped(labels, [0, 0, 0], [20, 22, 20])
    assert Level.L1 not in cut.values
