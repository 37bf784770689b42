"""Proves that each kind of bad input is refused in a sentence that names the file, what is wrong and the remedy."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.imaging.write import write_nifti, write_nrrd
from vertecast.imaging.write_dicom import write_dicom_series

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def saved(path: Path, array: np.ndarray, spacing: float = 1.0) -> Path:
    """Write any array as NIfTI with an orientation."""
    nibabel.save(nibabel.Nifti1Image(array, RAS * [spacing, spacing, spacing, 1.0]), path)
    return path


def test_a_truncated_nifti(tmp_path: Path, volume: Volume) -> None:
    for name in ("cut.nii", "cut.nii.gz"):
        path = write_nifti(tmp_path / name, volume)
        path.write_bytes(path.read_bytes()[:-3000])
        with pytest.raises(
            InputError, match=rf"{name} cannot be decoded .*truncated, damaged .*copy or export it again"
        ):
            read_volume(path)


def test_a_truncated_nrrd(tmp_path: Path, volume: Volume) -> None:
    path = write_nrrd(tmp_path / "cut.nrrd", volume)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"cut\.nrrd cannot be decoded"):
        read_volume(path)


def test_a_metaimage_without_its_voxels(tmp_path: Path, volume: Volume) -> None:
    """Found by fuzzing: with these headers ITK divides by zero and takes the program with it."""
    path = write_nrrd(tmp_path / "ct.mha", volume)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"ElementDataFile = LOCAL\n", b"ElementDataFile = LOCAL3"))
    with pytest.raises(InputError, match=r"ct\.mha: its MetaImage header is damaged at 'ElementDataFile = LOCAL3"):
        read_volume(path)
    path.write_bytes(whole[: whole.index(b"LOCAL") + 6])
    with pytest.raises(InputError, match=r"ct\.mha says that its voxels are in 'LOCAL', where 0 of \d+ bytes are"):
        read_volume(path)
    path.write_bytes(whole[:100])
    with pytest.raises(InputError, match=r"ct\.mha has no whole MetaImage header"):
        read_volume(path)


def test_four_dimensions_and_colour(tmp_path: Path, volume: Volume) -> None:
    array = np.asarray(volume.hu)
    with pytest.raises(InputError, match=r"4d\.nii is 4-D with shape \(20, 22, 45, 2\); one 3-D image is needed"):
        read_volume(saved(tmp_path / "4d.nii", np.stack([array, array], axis=3)))
    colour = np.zeros(array.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InputError, match=r"rgb\.nii holds colour voxels"):
        read_volume(saved(tmp_path / "rgb.nii", colour))
    same = read_volume(saved(tmp_path / "one.nii", array[..., None]))
    np.testing.assert_array_equal(same.hu, array)


def test_one_slice(tmp_path: Path, volume: Volume) -> None:
    with pytest.raises(InputError, match=r"flat\.nii is one slice \(shape \(20, 22, 1\)\)"):
        read_volume(saved(tmp_path / "flat.nii", np.asarray(volume.hu[:, :, :1])))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan(tmp_path: Path, volume: Volume, value: float) -> None:
    array = volume.hu.astype(np.float32)
    array[3, 4, 5] = value
    with pytest.raises(InputError, match=r"nan\.nii holds 1 voxels that are NaN or infinite; replace them with air"):
        read_volume(saved(tmp_path / "nan.nii", array))


def test_all_air(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(-1000, 10, (12, 12, 12)).astype(np.int16)
    with pytest.raises(InputError, match=r"air\.nii is all air: 0\.00 % of the voxels exceed -300 HU"):
        read_volume(saved(tmp_path / "air.nii", noise))
    with pytest.raises(InputError, match=r"air\.nii holds one value everywhere \(-1024\)"):
        read_volume(saved(tmp_path / "air.nii", np.full((12, 12, 12), -1024, np.int16)))


def test_swapped_ct_and_labels(tmp_path: Path, volume: Volume, labels: LabelMap) -> None:
    ct, seg = write_nifti(tmp_path / "ct.nii.gz", volume), write_nifti(tmp_path / "seg.nii.gz", labels)
    with pytest.raises(InputError, match=r"seg\.nii\.gz looks like a label map, not a CT \(4 different whole numbers"):
        read_volume(seg)
    with pytest.raises(InputError, match=r"ct\.nii\.gz holds values below 0 .*CT and labels may be swapped"):
        read_labels(ct)
    shifted = saved(tmp_path / "shifted.nii", np.random.default_rng(2).integers(0, 3000, volume.hu.shape, np.int16))
    with pytest.raises(InputError, match=r"shifted\.nii holds \d+ different values, more than the 256 .*swapped"):
        read_labels(shifted)
    with pytest.raises(InputError, match=r"shifted\.nii has no value below 0 .*not Hounsfield units"):
        read_volume(shifted)


def test_labels_that_are_no_labels(tmp_path: Path, labels: LabelMap) -> None:
    array = labels.labels.astype(np.float32)
    with pytest.raises(InputError, match=r"half\.nii holds values that are not whole numbers"):
        read_labels(saved(tmp_path / "half.nii", array / 2 + 0.25))
    whole = read_labels(saved(tmp_path / "float.nii", array))
    assert whole.labels.dtype == np.int16


def test_labels_without_a_vertebra(tmp_path: Path, labels: LabelMap) -> None:
    with pytest.raises(InputError, match=r"zero\.nii holds no label \(all voxels are 0\)"):
        read_labels(saved(tmp_path / "zero.nii", np.zeros((9, 9, 9), np.uint8)))
    ribs = np.where(labels.labels > 0, 92, 0).astype(np.uint8)
    with pytest.raises(InputError, match=r"ribs\.nii holds no vertebra in any numbering that is known \(values 92\)"):
        read_labels(saved(tmp_path / "ribs.nii", ribs))
    with pytest.raises(InputError, match=r"ribs\.nii holds no vertebra in the numbering verse"):
        read_labels(saved(tmp_path / "ribs.nii", ribs), dialect="verse")


def test_labels_on_another_grid(tmp_path: Path, volume: Volume, labels: LabelMap) -> None:
    matrix = labels.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] += 0.7
    moved = LabelMap(labels.labels, Grid.from_affine(labels.grid.shape, matrix), labels.values, "verse")
    with pytest.raises(
        GeometryError,
        match=r"seg\.nii are on another grid \(20 x 22 x 45 voxels of 1\.5 x 1\.25 x 2 mm from LPS \(-30\.6, .*\) than "
        r"the CT \(20 x 22 x 45 .* from LPS \(-31\.2, .*; segment this CT, or resample",
    ):
        matched_labels(moved, volume, name="seg.nii")


def test_an_absent_level(labels: LabelMap) -> None:
    with pytest.raises(InputError, match="level T12 is not in the labels; present are L1, L2, L3"):
        labels.mask(Level.T12)


def test_empty_and_unreadable(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for read in (read_volume, read_labels):
        with pytest.raises(InputError, match=r"folder is an empty folder"):
            read(tmp_path / "folder")
        with pytest.raises(InputError, match=r"nowhere\.nii does not exist; check the path"):
            read(tmp_path / "nowhere.nii")
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"folder is no image that can be read: none of its 1 files is DICOM"):
        read_volume(tmp_path / "folder")
    with pytest.raises(InputError, match=r"notes\.txt is no image that can be read: it is not DICOM"):
        read_volume(tmp_path / "folder" / "notes.txt")
    with pytest.raises(InputError, match=r"notes\.txt is no label map that can be read"):
        read_labels(tmp_path / "folder" / "notes.txt")
    (tmp_path / "empty.nii").touch()
    with pytest.raises(InputError, match=r"empty\.nii is empty \(0 bytes\)"):
        read_volume(tmp_path / "empty.nii")
    (tmp_path / "text.nii.gz").write_text("no image")
    with pytest.raises(InputError, match=r"text\.nii\.gz cannot be decoded"):
        read_volume(tmp_path / "text.nii.gz")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04" + bytes(40))
    with pytest.raises(InputError, match=r"bad\.zip"):
        read_volume(tmp_path / "bad.zip")


def test_a_ct_given_as_dicom_labels(series: Path) -> None:
    with pytest.raises(InputError, match=r"series is DICOM but holds no segmentation \(SEG\); CT and labels may be"):
        read_labels(series)


def test_an_unknown_dialect(tmp_path: Path, labels: LabelMap) -> None:
    path = write_nifti(tmp_path / "seg.nii", labels)
    with pytest.raises(InputError, match=r"dialect 'german' is not known; use one of auto, verse"):
        read_labels(path, dialect="german")


@pytest.mark.parametrize("write", [write_nifti, write_nrrd])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, volume: Volume, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, Volume], Path]
) -> None:
    """The disk is full as the writer meets it: at the first byte of the temporary file."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(nibabel, "save", full)
    monkeypatch.setattr("vertecast.imaging.write.sitk.WriteImage", full)
    path = tmp_path / ("ct.nii.gz" if write is write_nifti else "ct.nrrd")
    with pytest.raises(
        InputError, match=r"ct\.(nii\.gz|nrrd) cannot be written: the disk is full \(.* MiB free there\)"
    ):
        write(path, volume)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_really_is_full(tmp_path: Path, labels: LabelMap) -> None:
    """A file system of 1 MiB: every writer stops in a sentence, and leaves the folder as it was."""
    mount = tmp_path / "tiny"
    mount.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs root and the right to mount a 1 MiB tmpfs")
    noise = np.random.default_rng(0).integers(-1000, 2000, (128, 128, 100), np.int16)
    big = Volume(noise, Grid.from_affine(noise.shape, np.eye(4)))
    try:
        (mount / "ct.nii.gz").write_text("old")
        for work in (
            lambda: write_nifti(mount / "ct.nii.gz", big),
            lambda: write_nrrd(mount / "ct.nrrd", big),
            lambda: write_nrrd(mount / "ct.mha", big),
            lambda: write_dicom_series(mount / "series", big),
        ):
            with pytest.raises(InputError, match=r"tiny/\S+ cannot be written: the disk is full \(.* MiB free there\)"):
                work()
            assert [one.name for one in mount.iterdir()] == ["ct.nii.gz"]
        assert (mount / "ct.nii.gz").read_text() == "old"
    finally:
        subprocess.run(["umount", str(mount)], check=True)
