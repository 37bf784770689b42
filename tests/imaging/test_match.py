"""Proves that labels in any of 48 axis orders, or cropped, land on the CT's voxels exactly; other grids are refused."""

import numpy as np
import pytest

from vertecast.core.errors import GeometryError
from vertecast.imaging.grid import Grid
from vertecast.imaging.match import matched_labels
from vertecast.imaging.resample import AXIS_ORDERS, cropped, reoriented
from vertecast.imaging.volume import LabelMap, Volume


@pytest.mark.parametrize("order", AXIS_ORDERS, ids=str)
def test_every_axis_order_and_a_crop(
    volume: Volume, labels: LabelMap, order: tuple[tuple[int, int, int], tuple[int, int, int]]
) -> None:
    parts = np.where(labels.labels > 0, 49, 0).astype(np.int16)
    full = LabelMap(labels.labels, labels.grid, labels.values, "verse", parts)
    stored = reoriented(cropped(full, [5, 6, 3], [16, 18, 44]), *order)
    found = matched_labels(stored, volume)
    assert found.grid is volume.grid
    np.testing.assert_array_equal(found.labels, labels.labels)
    np.testing.assert_array_equal(found.subregions, parts)


def test_labels_larger_than_the_ct_are_cut(volume: Volume, labels: LabelMap) -> None:
    small = cropped(volume, [0, 0, 10], [20, 22, 40])
    found = matched_labels(labels, small)
    np.testing.assert_array_equal(found.labels, labels.labels[:, :, 10:40])


@pytest.mark.parametrize("fault", ["half a voxel", "another spacing", "turned", "far away"])
def test_other_grids_are_refused(volume: Volume, labels: LabelMap, fault: str) -> None:
    matrix = labels.grid.lps_from_voxel.matrix.copy()
    if fault == "half a voxel":
        matrix[:3, 3] += 0.5 * matrix[:3, 0]
    elif fault == "another spacing":
        matrix[:3, 2] *= 1.01
    elif fault == "turned":
        matrix[:3, :3] = np.array([[1, -0.01, 0], [0.01, 1, 0], [0, 0, 1]]) @ matrix[:3, :3]
    else:
        matrix[:3, 3] += 100 * matrix[:3, 2]
    moved = LabelMap(labels.labels, Grid.from_affine(labels.grid.shape, matrix), labels.values, "verse")
    with pytest.raises(GeometryError, match="on another grid"):
        matched_labels(moved, volume)
