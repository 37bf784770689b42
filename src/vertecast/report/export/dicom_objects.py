"""The run's results as DICOM objects of the source study: segmentations and the encapsulated report."""

from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian, generate_uid

from vertecast.core.errors import InputError
from vertecast.core.files import atomic_path
from vertecast.imaging.read import read_labels
from vertecast.imaging.segmentation import SegmentKind, source_headers, write_dicom_mask_seg, write_dicom_seg
from vertecast.report.case_report_run import RunFolder
from vertecast.report.export.cement_voxels import cement_voxels
from vertecast.report.export.inputs import run_input
from vertecast.report.export.measurements import export_codes

_STUDY = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""What makes an object one of the patient's study: copied as it is, empty where the source has none."""


_NOT_DICOM = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


def source_ct(run: RunFolder) -> Path:
    """Return the run's own DICOM CT.

    Raises
    ------
    InputError
        If the CT is gone, has changed, or is no DICOM.
    """
    path = run_input(run, "ct")
    if path.name.endswith(_NOT_DICOM):
        raise InputError(
            "the run's CT is not DICOM, so it belongs to no study; run the case with the DICOM series as CT"
        )
    return path


def export_vertebrae_seg(run: RunFolder, path: Path) -> Path:
    """Write the run's vertebra labels as a DICOM SEG of the source study."""
    return write_dicom_seg(path, read_labels(run_input(run, "labels")), source_ct(run))


def export_cement_seg(run: RunFolder, level: str, path: Path) -> Path:
    """Write the cement of one level, on the simulation's grid, as a DICOM SEG of the source study."""
    codes = export_codes()
    cement, scheme = codes["cement_segment"], codes["private_scheme"]["designator"]
    mask, grid = cement_voxels(run, level, least=cement["least_fraction"])
    kind = SegmentKind(
        label=f"cement_{level}",
        category=(cement["category"], "SCT", cement["category_meaning"]),
        type=(cement["type"], scheme, cement["type_meaning"]),
    )
    return write_dicom_mask_seg(path, mask, grid, source_ct(run), kind)


def export_pdf(run: RunFolder, path: Path, *, pdf: str = "report.pdf") -> Path:
    """Write a PDF of the run folder as an Encapsulated PDF of the source study.

    Raises
    ------
    InputError
        If the run holds no such PDF, or the source is not DICOM.
    """
    source, report = source_ct(run), run.path / pdf
    if not report.is_file():
        raise InputError(f"{report} does not exist; write it with `vertecast report {run.path}`")
    content = report.read_bytes()
    if not content.startswith(b"%PDF"):
        raise InputError(f"{report} is no PDF; write it again with `vertecast report {run.path}`")
    header = source_headers(path, source)[0]
    one, now = _of_study(header), datetime.now(UTC)
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    one.Modality, one.ConversionType = "DOC", "WSD"
    one.SeriesInstanceUID, one.SeriesNumber, one.InstanceNumber = generate_uid(), 903, 1
    one.SeriesDescription = "Vertecast report"
    one.Manufacturer = one.ManufacturerModelName = "Vertecast"
    one.SoftwareVersions = metadata.version("vertecast")
    one.ContentDate, one.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    one.AcquisitionDateTime = ""
    one.BurnedInAnnotation = "NO"
    one.DocumentTitle = "Vertecast: plan and simulation; research and education, not a medical device"
    one.ConceptNameCodeSequence = []
    one.MIMETypeOfEncapsulatedDocument = "application/pdf"
    one.EncapsulatedDocumentLength = len(content)
    one.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    one.SourceInstanceSequence = [_reference(header)]
    with atomic_path(path) as temporary:
        one.save_as(temporary, enforce_file_format=True)
    return path


def _of_study(header: Dataset) -> Dataset:
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for keyword in _STUDY:
        if keyword in header:
            one[keyword] = header[keyword]
        elif keyword != "SpecificCharacterSet":
            setattr(one, keyword, "")
    return one


def _reference(header: Dataset) -> Dataset:
    one = Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return one
