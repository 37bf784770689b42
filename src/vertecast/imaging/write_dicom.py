"""Write a CT as a DICOM series: for the phantom, and for round trips."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from vertecast.core.files import atomic_path
from vertecast.imaging.resample import reoriented
from vertecast.imaging.volume import Volume

_POSITIONS = {"supine": "HFS", "prone": "HFP", "right decubitus": "HFDR", "left decubitus": "HFDL"}


def write_dicom_series(folder: Path, volume: Volume, *, case_id: str = "vertecast", description: str = "") -> Path:
    """Write one uncompressed CT Image object per slice; HU are rounded to whole numbers.

    UIDs that the volume carries are kept (study, frame of reference); the series and its slices get new ones. The array
    axes become columns, rows and slices as they are; a left-handed array has its slices reversed.

    Parameters
    ----------
    folder : made new, or exchanged as a whole
    case_id : goes into PatientID; no name is written
    """
    if np.linalg.det(volume.grid.directions) < 0:
        volume = reoriented(volume, (0, 1, 2), (1, 1, -1))
    common = _common(volume, case_id, description)
    stored = np.rint(volume.hu).astype(np.int16)
    with atomic_path(Path(folder)) as temporary:
        temporary.mkdir(parents=True)
        for k in range(stored.shape[2]):
            _slice(common, volume, stored[:, :, k], k).save_as(
                temporary / f"slice{k + 1:04d}.dcm", enforce_file_format=True
            )
    return Path(folder)


def _common(volume: Volume, case_id: str, description: str) -> Dataset:
    scan, grid, now = volume.scan, volume.grid, datetime.now(UTC)
    one = Dataset()
    one.SOPClassUID, one.Modality = CTImageStorage, "CT"
    one.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = "", case_id, "", ""
    one.StudyInstanceUID = scan.study_uid or generate_uid()
    one.SeriesInstanceUID = generate_uid()
    one.FrameOfReferenceUID = scan.frame_of_reference_uid or generate_uid()
    one.StudyDate = one.ContentDate = now.strftime("%Y%m%d")
    one.StudyTime = one.ContentTime = now.strftime("%H%M%S")
    one.StudyID, one.SeriesNumber, one.AccessionNumber, one.ReferringPhysicianName = "1", 1, "", ""
    one.SeriesDescription, one.Manufacturer = description, "Vertecast"
    one.PositionReferenceIndicator, one.AcquisitionNumber = "", 1
    one.PatientPosition = _POSITIONS.get(scan.posture or "", "")
    one.KVP = "" if scan.kvp is None else f"{scan.kvp:g}"
    if scan.kernel:
        one.ConvolutionKernel = scan.kernel
    one.SliceThickness = f"{scan.slice_thickness_mm or grid.spacing[2]:.10g}"
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.Columns, one.Rows = grid.shape[0], grid.shape[1]
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.RescaleIntercept, one.RescaleSlope, one.RescaleType = "0", "1", "HU"
    one.PixelSpacing = [_decimal(grid.spacing[1]), _decimal(grid.spacing[0])]
    one.ImageOrientationPatient = [_decimal(x) for x in grid.directions[:, :2].T.ravel()]
    return one


def _slice(common: Dataset, volume: Volume, pixels: NDArray[np.int16], k: int) -> Dataset:
    one = Dataset()
    one.update(common)
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = CTImageStorage
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    one.InstanceNumber = k + 1
    one.ImagePositionPatient = [_decimal(x) for x in volume.grid.to_lps([0, 0, k])]
    one.PixelData = np.ascontiguousarray(pixels.T).astype("<i2").tobytes()
    return one


def _decimal(value: float) -> str:
    """Return a DICOM decimal string: as many digits as its 16 characters hold."""
    for digits in range(15, 5, -1):
        written = f"{value + 0.0:.{digits}g}"
        if len(written) <= 16:
            return written
    return f"{value:.9g}"
