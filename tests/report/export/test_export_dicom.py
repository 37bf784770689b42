"""DICOM objects of a run: in the source study, and the same values, places and codes for readers that are not ours."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from tests.report.export.conftest import PDF, DicomRun
from tests.report.small_run import GRID, LEVEL, cement_mask, labels_array

from vertecast.core.errors import InputError
from vertecast.imaging.grid import Grid
from vertecast.imaging.segmentation import SegmentKind, write_dicom_mask_seg
from vertecast.report.case_report_run import read_run_folder
from vertecast.report.export.dicom_objects import export_cement_seg, export_pdf
from vertecast.report.export.dicom_report import export_sr, short_code

OBJECTS = ("vertebrae_seg.dcm", f"cement_{LEVEL}_seg.dcm", "measurements_sr.dcm", "report_pdf.dcm")
SNOMED = {"L1": "66794005", "L2": "14293000", "L3": "36470004"}


def test_every_object_is_one_of_the_source_study(dicom_run: DicomRun, exports: Path) -> None:
    source = dicom_run.source
    made = [pydicom.dcmread(exports / "dicom" / name) for name in OBJECTS]
    for one in made:
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "StudyTime"):
            assert one[keyword].value == source[keyword].value, keyword
        assert one.AccessionNumber == "ACC9"
        assert one.SeriesInstanceUID != source.SeriesInstanceUID
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber"):
        assert len({str(one[keyword].value) for one in made}) == len(made), keyword
    assert [one.FrameOfReferenceUID for one in made[:2]] == [source.FrameOfReferenceUID] * 2


def _segment(path: Path, number: int) -> tuple[np.ndarray, highdicom.Volume]:
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    where = np.argwhere(volume.array == number)
    return np.asarray(volume.affine @ np.c_[where, np.ones(len(where))].T)[:3].T, volume


def test_vertebrae_are_where_they_were_for_highdicom(exports: Path) -> None:
    path = exports / "dicom" / "vertebrae_seg.dcm"
    made = highdicom.seg.segread(path)
    for number, (level, value) in enumerate({"L1": 20, "L2": 21, "L3": 22}.items(), start=1):
        told = made.get_segment_description(number)
        assert told.segment_label == f"vertebrae_{level}"
        assert (told.segmented_property_type.value, told.segmented_property_type.scheme_designator) == (
            SNOMED[level],
            "SCT",
        )
        expected = GRID.to_lps(np.argwhere(labels_array() == value))
        found, _ = _segment(path, number)
        assert len(found) == len(expected)
        np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], atol=1e-3)


def test_vertebrae_are_as_many_voxels_for_simpleitk(exports: Path) -> None:
    image = SimpleITK.ReadImage(str(exports / "dicom" / "vertebrae_seg.dcm"))
    assert int((SimpleITK.GetArrayFromImage(image) > 0).sum()) == int((labels_array() > 0).sum())


def test_cement_lies_on_the_patients_left(exports: Path) -> None:
    path = exports / "dicom" / f"cement_{LEVEL}_seg.dcm"
    found, volume = _segment(path, 1)
    assert len(found) == int(cement_mask().sum())
    np.testing.assert_allclose(found.mean(axis=0), [7.0, 0.0, 0.0], atol=0.05)
    np.testing.assert_allclose(volume.spacing, 1.0, rtol=1e-6)
    kind = highdicom.seg.segread(path).get_segment_description(1)
    assert (kind.segmented_property_type.value, kind.segmented_property_type.scheme_designator) == (
        "bone_cement",
        "99VERTECAST",
    )


def test_a_left_handed_oblique_grid_keeps_its_places(dicom_run: DicomRun, tmp_path: Path) -> None:
    turn = np.deg2rad(20.0)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation @ np.diag([1.5, 1.0, -2.0]), [3.0, -4.0, 5.0]
    mask = np.zeros((4, 5, 6), bool)
    mask[1, 2, 3:] = mask[3, 0, 0] = True
    grid = Grid.from_affine(mask.shape, matrix)
    kind = SegmentKind("cement", ("260787004", "SCT", "Physical object"), ("bone_cement", "99VERTECAST", "Cement"))
    path = write_dicom_mask_seg(tmp_path / "seg.dcm", mask, grid, dicom_run.series, kind)
    found, expected = _segment(path, 1)[0], grid.to_lps(np.argwhere(mask))
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], atol=1e-3)
    with pytest.raises(InputError, match="no voxel is cement"):
        write_dicom_mask_seg(tmp_path / "none.dcm", mask & False, grid, dicom_run.series, kind)


@pytest.fixture(scope="module")
def report(exports: Path) -> Any:
    return highdicom.sr.srread(exports / "dicom" / "measurements_sr.dcm")


def _group(report: Any, level: str) -> Any:
    groups = report.content.get_volumetric_roi_measurement_groups()
    return next(one for one in groups if one.tracking_identifier == level)


def _measured(group: Any, quantity: str) -> Any:
    return next(one for one in group.get_measurements() if one.name.value == short_code(quantity))


def test_the_report_is_tid_1500_and_names_its_level(report: Any, exports: Path) -> None:
    assert report.content[0].ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert report.SOPClassUID == pydicom.uid.Comprehensive3DSRStorage
    group = _group(report, LEVEL)
    site = group.finding_sites[0].value
    assert (site.value, site.scheme_designator) == (SNOMED[LEVEL], "SCT")
    seg = pydicom.dcmread(exports / "dicom" / "vertebrae_seg.dcm")
    assert group.referenced_segment.referenced_sop_instance_uid == seg.SOPInstanceUID
    assert group.referenced_segment.referenced_segment_numbers == [2]


def test_values_have_unit_interval_and_method(report: Any) -> None:
    wedge = _measured(_group(report, LEVEL), "wedge_angle_deg")
    assert (wedge.value, wedge.unit.value, wedge.unit.scheme_designator) == (-8.04, "deg", "UCUM")
    spread = {str(one.name.value): float(one.value) for one in wedge[0].ContentSequence if one.ValueType == "NUM"}
    assert spread["371886008"] == pytest.approx(-6.6 + 8.04, abs=1e-9)
    assert spread["371885007"] == pytest.approx(-8.04 + 9.5, abs=1e-9)
    assert [one.TextValue for one in wedge[0].ContentSequence if one.ValueType == "TEXT"] == [
        "wedge_angle_deg: by hand"
    ]
    height = _measured(_group(report, LEVEL), "heights_mm.posterior")
    assert (height.value, height.unit.value) == (20.0, "mm")


def test_unknown_is_absent_with_its_reason(report: Any, exports: Path) -> None:
    assert short_code("bisegmental_kyphosis_deg") not in {
        one.name.value for one in _group(report, LEVEL).get_measurements()
    }
    made = pydicom.dcmread(exports / "dicom" / "measurements_sr.dcm")
    said = [one.value for one in made.iterall() if one.keyword == "TextValue"]
    assert "bisegmental_kyphosis_deg: unknown, L1 is not whole" in said


def test_findings_and_planned_needle(report: Any, dicom_run: DicomRun) -> None:
    found = {one.name.value: one.value.meaning for one in _group(report, LEVEL).get_qualitative_evaluations()}
    assert found == {"genant": "grade 2 wedge", "of_class": "OF3"}
    needles = [
        one
        for one in report.content.get_image_measurement_groups()
        if one.tracking_identifier == f"planned needle {LEVEL} left"
    ]
    path = needles[0].get_measurements()[0]
    line = next(one for one in path[0].ContentSequence if one.ValueType == "SCOORD3D")
    np.testing.assert_allclose(line.value, [[16.0, 40.0, 4.0], [8.0, -4.0, 0.0]])
    assert line.ReferencedFrameOfReferenceUID == dicom_run.source.FrameOfReferenceUID
    assert path.value == pytest.approx(np.linalg.norm([8.0, 44.0, 4.0]))


def test_the_pdf_comes_out_as_it_went_in(exports: Path) -> None:
    made = pydicom.dcmread(exports / "dicom" / "report_pdf.dcm")
    assert made.SOPClassUID == pydicom.uid.EncapsulatedPDFStorage
    assert made.EncapsulatedDocument[: made.EncapsulatedDocumentLength] == PDF
    assert (made.MIMETypeOfEncapsulatedDocument, made.Modality) == ("application/pdf", "DOC")
    assert "not a medical device" in made.DocumentTitle


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dcmtk is not installed")
def test_dcmtk_reads_the_report_and_the_pdf(exports: Path, tmp_path: Path) -> None:
    told = subprocess.run(
        ["dsrdump", str(exports / "dicom" / "measurements_sr.dcm")], capture_output=True, text=True, check=True
    )
    assert "wedge angle deg" in told.stdout
    subprocess.run(["dcm2pdf", str(exports / "dicom" / "report_pdf.dcm"), str(tmp_path / "r.pdf")], check=True)
    assert (tmp_path / "r.pdf").read_bytes().startswith(PDF)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("name", OBJECTS)
def test_the_standards_checker_finds_no_error(exports: Path, name: str) -> None:
    told = subprocess.run(["dciodvfy", str(exports / "dicom" / name)], capture_output=True, text=True, check=False)
    found = [line for line in (told.stdout + told.stderr).splitlines() if line.startswith(("Error", "Warning"))]
    assert [line for line in found if "<99VERTECAST>" not in line] == []  # a private scheme is no defined term


def test_what_cannot_be_made_is_refused(small_run: Path, dicom_run: DicomRun, tmp_path: Path) -> None:
    nifti = read_run_folder(small_run)
    with pytest.raises(InputError, match="CT is not DICOM"):
        export_sr(nifti, tmp_path / "sr.dcm")
    run = read_run_folder(dicom_run.folder)
    with pytest.raises(InputError, match="simulate T7 first"):
        export_cement_seg(run, "T7", tmp_path / "c.dcm")
    with pytest.raises(InputError, match=r"other\.pdf does not exist"):
        export_pdf(run, tmp_path / "p.dcm", pdf="other.pdf")
    with pytest.raises(InputError, match="is no PDF"):
        export_pdf(run, tmp_path / "p.dcm", pdf="spine.json")


def test_these_checks_can_fail(report: Any, exports: Path) -> None:
    """A mirrored cement and a report of another level do not pass."""
    found, _ = _segment(exports / "dicom" / f"cement_{LEVEL}_seg.dcm", 1)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose((found * [-1, 1, 1]).mean(axis=0), [7.0, 0.0, 0.0], atol=0.05)
    with pytest.raises(StopIteration):
        _group(report, "L4")
    with pytest.raises(StopIteration):
        _measured(_group(report, LEVEL), "bisegmental_kyphosis_deg")
