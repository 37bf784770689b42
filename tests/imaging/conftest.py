"""A small oblique CT with three stacked vertebrae, and writers of the files that clinics send."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, ScanInfo, Volume
from vertecast.imaging.write_dicom import write_dicom_series

SHAPE = (20, 22, 45)


def rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Turn by angles in degrees about the three axes."""
    cx, cy, cz = np.cos(np.deg2rad([x, y, z]))
    sx, sy, sz = np.sin(np.deg2rad([x, y, z]))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


@pytest.fixture(scope="session")
def grid() -> Grid:
    """An oblique, anisotropic, right-handed grid far from the origin."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(4.0, -7.0, 3.0) * [1.5, 1.25, 2.0]
    matrix[:3, 3] = [-31.25, 117.5, -804.625]
    return Grid.from_affine(SHAPE, matrix)


@pytest.fixture(scope="session")
def labels(grid: Grid) -> LabelMap:
    """L1 to L3 in VerSe numbers, L1 on top."""
    array = np.zeros(SHAPE, np.int16)
    for number, low in ((22, 4), (21, 18), (20, 32)):
        array[6:14, 8:16, low : low + 9] = number
    return LabelMap(array, grid, {Level.L1: 20, Level.L2: 21, Level.L3: 22}, "verse")


@pytest.fixture(scope="session")
def volume(grid: Grid, labels: LabelMap) -> Volume:
    """Air around a block of soft tissue with three vertebrae, and noise."""
    hu = np.full(SHAPE, -1000.0)
    hu[3:17, 4:19, :] = 40.0
    hu[labels.labels > 0] = 180.0
    hu += np.random.default_rng(7).normal(0.0, 12.0, SHAPE)
    scan = ScanInfo(modality="CT", kvp=120.0, kernel="Br40", slice_thickness_mm=2.0, posture="supine")
    return Volume(np.rint(hu).clip(-1024).astype(np.int16), grid, scan)


@pytest.fixture
def series(tmp_path: Path, volume: Volume) -> Path:
    """The CT as an uncompressed DICOM series, one file per slice."""
    return write_dicom_series(tmp_path / "series", volume, description="spine")


@pytest.fixture
def change() -> Callable[[Path, Callable[[Dataset, int], object]], Path]:
    """Edit every header of a series; a change that returns ``False`` removes its file."""

    def edit(folder: Path, edited: Callable[[Dataset, int], object]) -> Path:
        for k, file in enumerate(sorted(folder.glob("*.dcm"))):
            dataset = pydicom.dcmread(file)
            if edited(dataset, k) is False:
                file.unlink()
            else:
                dataset.save_as(file)
        return folder

    return edit


def hu_at(volume: Volume, points_lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Read the HU of the voxels at given places of the patient, refusing places between voxels."""
    voxels = volume.grid.to_voxel(points_lps)
    nearest = np.rint(voxels).astype(int)
    assert np.abs(voxels - nearest).max() < 1e-6
    return np.asarray(volume.hu[tuple(nearest.T)], float)


@pytest.fixture(scope="session")
def same_ct() -> Callable[[Volume, Volume], None]:
    """Assert that two volumes hold the same HU at the same places, whatever their axis order."""

    def check(a: Volume, b: Volume) -> None:
        assert a.hu.size == b.hu.size
        points = a.grid.to_lps(np.argwhere(np.ones(a.grid.shape, bool)))
        np.testing.assert_allclose(hu_at(b, points), np.asarray(a.hu, float).ravel(), atol=1e-6)

    return check
