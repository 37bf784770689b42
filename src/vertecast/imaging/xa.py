"""Write a simulated radiograph as a DICOM X-Ray Angiographic image with the geometry it was made by."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

from vertecast.core.errors import InputError
from vertecast.core.files import atomic_path


@dataclass(frozen=True, eq=False, kw_only=True)
class XaImage:
    """One single-plane image and what DICOM wants to know of it, in DICOM's units.

    Parameters
    ----------
    pixels : (rows, columns), uint8, as displayed and without burned-in marks
    pixel_mm : pitch at the detector along rows and along columns
    patient_orientation : letters of the row and of the column direction
    shutters : left, right vertical edge, upper, lower horizontal edge, in pixels counted from one; ``None`` when open
    dose_area_product : dGy cm2
    """

    pixels: NDArray[np.uint8]
    pixel_mm: tuple[float, float]
    primary_angle_deg: float
    secondary_angle_deg: float
    source_detector_mm: float
    source_patient_mm: float
    patient_orientation: tuple[str, str]
    patient_position: str
    kvp: float = field(metadata={"unit": "kV", "doc": "tube voltage"})
    mas: float = field(metadata={"unit": "mA.s", "doc": "charge"})
    dose_area_product: float
    shutters: tuple[int, int, int, int] | None = None
    case_id: str = "vertecast"
    study_uid: str | None = None
    description: str = ""
    comments: str = ""


def write_xa(path: Path, image: XaImage) -> Path:
    """Write one uncompressed single-frame XA object (PS3.3 A.14); names and birth dates are left empty.

    Notes
    -----
    The image type is DERIVED, the comments say that it is simulated. Instance and series identifiers follow from the
    pixels and the geometry, so writing the same picture twice gives the same identifiers.
    """
    if image.pixels.dtype != np.uint8 or image.pixels.ndim != 2:
        raise InputError(f"an XA image needs (rows, columns) uint8, got {image.pixels.dtype} {image.pixels.shape}")
    one = Dataset()
    _identify(one, image)
    _describe_acquisition(one, image)
    _describe_pixels(one, image)
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    with atomic_path(Path(path)) as temporary:
        one.save_as(temporary, enforce_file_format=True)
    return Path(path)


def _identify(one: Dataset, image: XaImage) -> None:
    now = datetime.now(UTC)
    angles = f"{image.primary_angle_deg:.6f} {image.secondary_angle_deg:.6f}"
    content = hashlib.sha256(image.pixels.tobytes() + angles.encode()).hexdigest()
    one.SOPClassUID = XRayAngiographicImageStorage
    one.SOPInstanceUID = generate_uid(entropy_srcs=["instance", image.case_id, content])
    one.SeriesInstanceUID = generate_uid(entropy_srcs=["series", image.case_id, content])
    one.StudyInstanceUID = image.study_uid or generate_uid(entropy_srcs=["study", image.case_id])
    one.Modality, one.Manufacturer = "XA", "Vertecast"
    one.ManufacturerModelName, one.SoftwareVersions = "Vertecast simulated C-arm", "1"
    one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = "", image.case_id, "", ""
    one.StudyDate = one.ContentDate = now.strftime("%Y%m%d")
    one.StudyTime = one.ContentTime = now.strftime("%H%M%S")
    one.StudyID, one.SeriesNumber, one.InstanceNumber = "1", 1, 1
    one.AccessionNumber, one.ReferringPhysicianName = "", ""
    one.SeriesDescription = image.description[:64]
    one.ImageComments = image.comments[:10240]
    one.PatientPosition = image.patient_position
    one.PatientOrientation = list(image.patient_orientation)
    one.ImageType = ["DERIVED", "PRIMARY", "SINGLE PLANE"]
    one.DerivationDescription = "Simulated from CT; research and education, not a medical device"


def _describe_acquisition(one: Dataset, image: XaImage) -> None:
    one.KVP, one.ExposureTime, one.XRayTubeCurrent = _decimal(image.kvp), None, None
    one.ExposureInuAs = round(1000 * image.mas)
    one.RadiationSetting = "GR"
    one.ImageAndFluoroscopyAreaDoseProduct = _decimal(image.dose_area_product)
    one.ImagerPixelSpacing = [_decimal(image.pixel_mm[0]), _decimal(image.pixel_mm[1])]
    one.DistanceSourceToDetector = _decimal(image.source_detector_mm)
    one.DistanceSourceToPatient = _decimal(image.source_patient_mm)
    one.EstimatedRadiographicMagnificationFactor = _decimal(image.source_detector_mm / image.source_patient_mm)
    one.PositionerMotion = "STATIC"
    one.PositionerPrimaryAngle = _decimal(image.primary_angle_deg)
    one.PositionerSecondaryAngle = _decimal(image.secondary_angle_deg)
    if image.shutters is not None:
        left, right, upper, lower = image.shutters
        one.CollimatorShape = "RECTANGULAR"
        one.CollimatorLeftVerticalEdge, one.CollimatorRightVerticalEdge = left, right
        one.CollimatorUpperHorizontalEdge, one.CollimatorLowerHorizontalEdge = upper, lower


def _describe_pixels(one: Dataset, image: XaImage) -> None:
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.Rows, one.Columns = image.pixels.shape
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 8, 8, 7, 0
    one.PixelIntensityRelationship = "DISP"
    one.LossyImageCompression, one.BurnedInAnnotation = "00", "NO"
    data = np.ascontiguousarray(image.pixels).tobytes()
    one.PixelData = data + b"\0" * (len(data) % 2)


def _decimal(value: float) -> str:
    return f"{value:.10g}"
