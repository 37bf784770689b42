"""Proves that one CT reads alike from DICOM folder, zip, multi-frame, NIfTI, NRRD and MHA: HU and places to 1e-6."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from vertecast.core.errors import GeometryError
from vertecast.imaging.grid import Grid
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.imaging.write import write_nifti, write_nrrd

Same = Callable[[Volume, Volume], None]


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha"])
def test_files_read_alike(tmp_path: Path, volume: Volume, same_ct: Same, name: str) -> None:
    write = write_nifti if ".nii" in name else write_nrrd
    read = read_volume(write(tmp_path / name, volume))
    assert read.hu.dtype == np.int16
    same_ct(volume, read)


def test_a_dicom_folder_and_its_zip_read_alike(tmp_path: Path, volume: Volume, series: Path, same_ct: Same) -> None:
    same_ct(volume, read_volume(series))
    archive = tmp_path / "series.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted(series.iterdir(), reverse=True):
            packed.write(file, f"DICOM/{file.name}")
        packed.writestr("__MACOSX/._junk", b"junk")
        packed.writestr("readme.txt", b"not an image")
    read = read_volume(archive)
    same_ct(volume, read)
    assert read.scan.kvp == 120.0
    assert (read.scan.kernel, read.scan.posture, read.scan.modality) == ("Br40", "supine", "CT")
    assert read.scan.slice_thickness_mm == 2.0


def test_nrrd_in_ras_space_reads_alike(tmp_path: Path, volume: Volume, same_ct: Same) -> None:
    """The header is written by hand, so that nothing but the format's definition is trusted."""
    matrix = np.diag([-1.0, -1.0, 1.0]) @ volume.grid.lps_from_voxel.matrix[:3]
    vectors = " ".join("(" + ",".join(f"{x:.17g}" for x in column) + ")" for column in matrix.T)
    directions, origin = vectors.rsplit(" ", 1)
    header = (
        "NRRD0004\ntype: int16\ndimension: 3\nspace: right-anterior-superior\n"
        f"sizes: {' '.join(map(str, volume.hu.shape))}\nspace directions: {directions}\nkinds: domain domain domain\n"
        f"endian: little\nencoding: raw\nspace origin: {origin}\n\n"
    )
    (tmp_path / "ras.nrrd").write_bytes(header.encode() + volume.hu.astype("<i2").tobytes(order="F"))
    same_ct(volume, read_volume(tmp_path / "ras.nrrd"))


def test_simpleitk_agrees_about_our_affine(tmp_path: Path, volume: Volume) -> None:
    """An independent reader puts every corner of our NIfTI and NRRD where our grid has it."""
    for path in (write_nifti(tmp_path / "a.nii.gz", volume), write_nrrd(tmp_path / "a.nrrd", volume)):
        image = sitk.ReadImage(str(path))
        for index in ([0, 0, 0], [19, 0, 0], [0, 21, 0], [0, 0, 44], [19, 21, 44]):
            place = image.TransformIndexToPhysicalPoint(index)
            np.testing.assert_allclose(place, volume.grid.to_lps(index), atol=1e-3)


def test_a_scaled_nifti_is_rescaled_once(tmp_path: Path, volume: Volume, same_ct: Same) -> None:
    stored = nibabel.Nifti1Image((volume.hu + 1024).astype(np.uint16), np.diag([-1.5, -1.25, 2.0, 1.0]))
    # nibabel resets the scale of integer arrays on saving, so it is put into the header by hand.
    raw = bytearray(stored.to_bytes())
    raw[112:120] = np.array([1.0, -1024.0], "<f4").tobytes()
    (tmp_path / "scaled.nii").write_bytes(raw)
    read = read_volume(tmp_path / "scaled.nii")
    assert read.hu.dtype == np.int16
    np.testing.assert_array_equal(read.hu, volume.hu)


def test_half_hounsfield_units_stay(tmp_path: Path, volume: Volume) -> None:
    half = Volume(volume.hu.astype(np.float32).clip(-1000) + np.float32(0.5), volume.grid)
    read = read_volume(write_nifti(tmp_path / "half.nii.gz", half))
    assert read.hu.dtype == np.float32
    np.testing.assert_array_equal(read.hu, half.hu)


@pytest.mark.parametrize(("unit", "scale"), [("meter", 1e-3), ("micron", 1e3), ("mm", 1.0)])
def test_nifti_units_are_obeyed(tmp_path: Path, volume: Volume, unit: str, scale: float) -> None:
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.grid.lps_from_voxel.matrix
    matrix[:3] *= scale
    image = nibabel.Nifti1Image(np.asarray(volume.hu), matrix)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "units.nii")
    read = read_volume(tmp_path / "units.nii")
    np.testing.assert_allclose(read.grid.spacing, volume.grid.spacing, rtol=1e-5)


def test_forms_that_disagree(tmp_path: Path, volume: Volume) -> None:
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.grid.lps_from_voxel.matrix
    image = nibabel.Nifti1Image(np.asarray(volume.hu), matrix)
    for shift, name in ((0.5, "near"), (12.0, "far")):
        moved = matrix.copy()
        moved[2, 3] += shift
        image.set_qform(moved, code=1)
        image.set_sform(matrix, code=1)
        nibabel.save(image, tmp_path / f"{name}.nii")
    near = read_volume(tmp_path / "near.nii")
    assert "qform and sform differ by 0.50 mm; the sform is used" in near.warnings[0]
    np.testing.assert_allclose(near.grid.corners_lps, volume.grid.corners_lps, atol=1e-3)
    with pytest.raises(GeometryError, match=r"far\.nii: its qform and sform put the same voxel 12\.0 mm apart"):
        read_volume(tmp_path / "far.nii")


def test_no_orientation_is_refused(tmp_path: Path, volume: Volume) -> None:
    image = nibabel.Nifti1Image(np.asarray(volume.hu), None)
    nibabel.save(image, tmp_path / "nowhere.nii")
    with pytest.raises(GeometryError, match=r"nowhere\.nii tells no orientation"):
        read_volume(tmp_path / "nowhere.nii")
    (tmp_path / "nowhere.nrrd").write_bytes(
        b"NRRD0004\ntype: int16\ndimension: 3\nsizes: 4 4 4\nendian: little\nencoding: raw\n\n" + bytes(128)
    )
    with pytest.raises(GeometryError, match=r"nowhere\.nrrd tells no patient orientation"):
        read_volume(tmp_path / "nowhere.nrrd")


def test_padding_is_clipped_and_said(tmp_path: Path, volume: Volume) -> None:
    padded = volume.hu.copy()
    padded[:2] = -2048
    read = read_volume(write_nifti(tmp_path / "padded.nii.gz", padded, volume.grid))
    assert read.hu.min() == -1024
    assert "10.0 % of the voxels lie below -1024 HU (lowest -2048)" in read.warnings[0]


def test_thick_slices_are_warned_about_with_the_number(tmp_path: Path, volume: Volume) -> None:
    for edge, word in ((3.0, None), (3.2, "3.20 mm apart"), (5.0, "5.00 mm apart")):
        matrix = np.diag([1.0, 1.0, edge, 1.0])
        thick = Grid.from_affine(volume.grid.shape, matrix)
        read = read_volume(write_nifti(tmp_path / "thick.nii.gz", np.asarray(volume.hu), thick))
        assert (word is None and not read.warnings) or (word is not None and word in read.warnings[0])
    thick = Grid.from_affine(volume.grid.shape, np.diag([1.0, 1.0, 6.0, 1.0]))
    with pytest.raises(GeometryError, match=r"thick\.nii\.gz: voxels of 1 x 1 x 6 mm exceed 5\.0 mm"):
        read_volume(write_nifti(tmp_path / "thick.nii.gz", np.asarray(volume.hu), thick))


def test_real_cts_and_their_labels(data_dir: Path) -> None:
    whole = read_volume(data_dir / "cxr" / "ct.nii.gz")
    assert whole.hu.dtype == np.int16
    assert whole.hu.min() == -1024
    assert "lowest -2048" in whole.warnings[0]
    found = read_labels(data_dir / "cxr" / "labels.nii.gz")
    assert found.dialect == "totalseg"
    assert [str(level) for level in (found.levels[0], found.levels[-1])] == ["C5", "L3"]
    verse = read_labels(data_dir / "verse014" / "vert.nii.gz")
    assert verse.dialect == "verse"
    assert [str(level) for level in verse.levels] == ["L1", "L2", "L3", "L4", "L5"]
    fractured = read_labels(data_dir / "vcf_masks" / "vert.nii.gz", subregions=data_dir / "vcf_masks" / "subreg.nii.gz")
    assert fractured.dialect == "tptbox"
    assert fractured.subregions is not None
    assert len(fractured.levels) == 17
    sacral = read_labels(data_dir / "ts_example" / "labels.nii.gz")
    assert [str(level) for level in sacral.levels][-2:] == ["L5", "S1"]


def test_these_checks_can_fail(tmp_path: Path, volume: Volume, labels: LabelMap, same_ct: Same) -> None:
    """A mirror left-right, and a shift by one voxel, do not pass for the same CT."""
    mirrored = Volume(volume.hu[::-1].copy(), volume.grid)
    with pytest.raises(AssertionError):
        same_ct(volume, mirrored)
    matrix = volume.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] += 0.01
    with pytest.raises(AssertionError):
        same_ct(volume, Volume(volume.hu, Grid.from_affine(volume.grid.shape, matrix)))


def test_one_ct_has_one_grid_bit_for_bit(tmp_path: Path, volume: Volume, series: Path) -> None:
    """Whatever file it comes from, so that what is measured on it cannot depend on the file."""
    reads = [read_volume(write_nifti(tmp_path / "a.nii.gz", volume)), read_volume(series)]
    reads += [read_volume(write_nrrd(tmp_path / name, volume)) for name in ("a.nrrd", "a.mha")]
    for read in reads[1:]:
        np.testing.assert_array_equal(read.grid.lps_from_voxel.matrix, reads[0].grid.lps_from_voxel.matrix)
    np.testing.assert_allclose(reads[0].grid.corners_lps, volume.grid.corners_lps, atol=1e-4)
