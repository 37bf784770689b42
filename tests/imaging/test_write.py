"""Proves that what we write is read back by independent readers, voxel by voxel, in the source's frame of reference."""

from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.resample import reoriented
from vertecast.imaging.segmentation import write_dicom_seg
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.imaging.write import write_nifti, write_nrrd, write_seg_nrrd


def test_a_dicom_seg_is_read_by_highdicom(series: Path, tmp_path: Path, volume: Volume, labels: LabelMap) -> None:
    path = write_dicom_seg(tmp_path / "seg.dcm", labels, series)
    made = highdicom.seg.segread(path)
    source = pydicom.dcmread(sorted(series.iterdir())[0])
    assert made.SegmentationType == "BINARY"
    assert made.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert made.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    assert len(made.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == volume.grid.shape[2]
    assert [one.SegmentedPropertyTypeCodeSequence[0].CodeValue for one in made.SegmentSequence] == [
        "66794005",
        "14293000",
        "36470004",
    ]
    for segment, level in enumerate(labels.levels, start=1):
        whole = made.get_volume(segment_numbers=[segment], combine_segments=True)
        found = np.argwhere(np.asarray(whole.array) > 0)
        places = found @ whole.affine[:3, :3].T + whole.affine[:3, 3]
        voxels = np.rint(labels.grid.to_voxel(places)).astype(int)
        np.testing.assert_allclose(labels.grid.to_lps(voxels), places, atol=1e-4)
        mask = np.zeros(labels.grid.shape, bool)
        mask[tuple(voxels.T)] = True
        np.testing.assert_array_equal(mask, labels.mask(level))


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_a_seg_of_highdicom_is_read_by_us(
    series: Path, tmp_path: Path, volume: Volume, labels: LabelMap, kind: str
) -> None:
    slices = [pydicom.dcmread(one) for one in sorted(series.iterdir())]
    array = np.zeros((len(slices), slices[0].Rows, slices[0].Columns), np.uint8)
    for segment, level in enumerate(labels.levels, start=1):
        array[labels.mask(level).T] = segment
    concept = highdicom.sr.CodedConcept
    names = [("verte", "66794005"), ("L2", "51282000"), ("vertebrae_L3", "36470004")]
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=k,
            segment_label=label,
            segmented_property_category=concept("123037004", "SCT", "Anatomical Structure"),
            segmented_property_type=concept(code, "SCT", "vertebra"),
            algorithm_type="MANUAL",
        )
        for k, (label, code) in enumerate(names, start=1)
    ]
    stacked = np.stack([array == k for k in (1, 2, 3)], axis=3).astype(float)
    made = highdicom.seg.Segmentation(
        source_images=slices,
        pixel_array=stacked if kind == "FRACTIONAL" else array,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=highdicom.UID(),
        series_number=2,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
    )
    made.save_as(tmp_path / "seg.dcm")
    found = matched_labels(read_labels(tmp_path / "seg.dcm"), read_volume(series))
    assert found.levels == (Level.L1, Level.L2, Level.L3)
    for level in labels.levels:
        np.testing.assert_array_equal(found.mask(level), labels.mask(level))


def test_a_seg_of_labels_in_another_axis_order(series: Path, tmp_path: Path, labels: LabelMap) -> None:
    stored = reoriented(labels, (2, 0, 1), (-1, 1, -1))
    found = read_labels(write_dicom_seg(tmp_path / "seg.dcm", stored, series))
    again = matched_labels(found, read_volume(series))
    for level in labels.levels:
        np.testing.assert_array_equal(again.mask(level), labels.mask(level))


def test_a_thirteenth_thoracic_vertebra_keeps_its_name(series: Path, tmp_path: Path, labels: LabelMap) -> None:
    array = np.where(labels.labels == 20, 28, labels.labels).astype(np.int16)
    extra = LabelMap(array, labels.grid, {Level.T13: 28, Level.L1: 21, Level.L2: 22}, "verse")
    found = read_labels(write_dicom_seg(tmp_path / "seg.dcm", extra, series))
    assert found.levels == (Level.T13, Level.L1, Level.L2)


def test_a_seg_needs_a_dicom_source(tmp_path: Path, volume: Volume, labels: LabelMap) -> None:
    with pytest.raises(InputError, match=r"ct\.nii is no image that can be read: it is not DICOM"):
        write_dicom_seg(tmp_path / "seg.dcm", labels, write_nifti(tmp_path / "ct.nii", volume))
    assert not (tmp_path / "seg.dcm").exists()


def test_a_source_without_identifiers_is_refused(data_dir: Path, tmp_path: Path, labels: LabelMap) -> None:
    source = data_dir / "ts_example" / "dicom_jpeg2000"
    with pytest.raises(InputError, match=r"dicom_jpeg2000 lacks SOPInstanceUID, which a DICOM SEG refers to"):
        write_dicom_seg(tmp_path / "seg.dcm", labels, source)


def test_a_slicer_segmentation_is_read_by_simpleitk(tmp_path: Path, labels: LabelMap) -> None:
    path = write_seg_nrrd(tmp_path / "labels.seg.nrrd", labels)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, labels.labels)
    assert [image.GetMetaData(f"Segment{k}_Name") for k in range(3)] == [f"vertebrae_L{k}" for k in (1, 2, 3)]
    assert [image.GetMetaData(f"Segment{k}_LabelValue") for k in range(3)] == ["20", "21", "22"]
    assert image.GetMetaData("Segment0_Extent") == "6 13 8 15 32 40"
    place = image.TransformIndexToPhysicalPoint([6, 8, 32])
    np.testing.assert_allclose(place, labels.grid.to_lps([6, 8, 32]), atol=1e-6)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_masks_and_fields_are_read_by_nibabel(tmp_path: Path, grid: Grid, kind: type) -> None:
    array = np.random.default_rng(5).integers(0, 2, grid.shape).astype(kind)
    image = nibabel.load(write_nifti(tmp_path / "field.nii.gz", array, grid))
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), array)
    expected = np.diag([-1, -1, 1, 1]) @ grid.lps_from_voxel.matrix
    np.testing.assert_allclose(image.affine, expected, atol=1e-4)
    np.testing.assert_allclose(image.get_qform(), expected, atol=1e-3)


def test_wrong_names_and_arrays_are_refused(tmp_path: Path, volume: Volume, labels: LabelMap, grid: Grid) -> None:
    with pytest.raises(InputError, match=r"ct\.png is no NIfTI name; end it with \.nii\.gz"):
        write_nifti(tmp_path / "ct.png", volume)
    with pytest.raises(InputError, match=r"a\.nii is no NRRD name"):
        write_nrrd(tmp_path / "a.nii", volume)
    with pytest.raises(InputError, match=r"a\.nrrd is no segmentation name"):
        write_seg_nrrd(tmp_path / "a.nrrd", labels)
    with pytest.raises(InputError, match=r"needs its own grid"):
        write_nifti(tmp_path / "a.nii", np.zeros((2, 2, 2)), grid)
    with pytest.raises(InputError, match=r"complex128 is not written"):
        write_nifti(tmp_path / "a.nii", np.zeros(grid.shape, complex), grid)


def test_these_checks_can_fail(series: Path, tmp_path: Path, labels: LabelMap) -> None:
    """A segmentation mirrored front to back is not taken for the right one."""
    mirrored = LabelMap(labels.labels[:, ::-1].copy(), labels.grid, labels.values, "verse")
    found = matched_labels(read_labels(write_dicom_seg(tmp_path / "seg.dcm", mirrored, series)), read_volume(series))
    assert not np.array_equal(found.mask(Level.L1), labels.mask(Level.L1))
