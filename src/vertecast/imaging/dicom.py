"""A DICOM CT becomes a volume: series chosen, slices stacked, pixels decoded and rescaled, tilt removed."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array

from vertecast.core.errors import InputError
from vertecast.imaging.dicom_files import DICOM_ERRORS, Source, found_sources, number, read_header, text
from vertecast.imaging.dicom_series import Frame, Series, chosen_series, grouped_series
from vertecast.imaging.dicom_stack import Stack, stacked
from vertecast.imaging.grid import Grid
from vertecast.imaging.hounsfield import as_volume
from vertecast.imaging.limits import Limits
from vertecast.imaging.raster import Raster, checked_grid, decoding
from vertecast.imaging.resample import sampled
from vertecast.imaging.volume import ScanInfo, Volume

sitk: Any = SimpleITK  # it has no type stubs

_POSTURES = {"P": "prone", "S": "supine", "DR": "right decubitus", "DL": "left decubitus"}
_NO_CONTRAST = {"NONE", "NO", "NO CONTRAST", "WITHOUT", "WITHOUT CONTRAST", "UNENHANCED", "NATIVE", "NATIV"}


def read_dicom_ct(path: Path, limits: Limits, *, series: str | None = None) -> Volume:
    """Read a CT series from a folder (with subfolders), a zip, or one file; see :func:`.read.read_volume`."""
    name = str(path)
    # Header values are decoded when they are first looked at, so a damaged one can turn up anywhere here.
    with decoding(name, *DICOM_ERRORS):
        chosen, notes = chosen_series(name, read_series(path), series)
        frames, doubles = _without_doubles(chosen.frames)
        stack = stacked(name, frames, limits)
        array, padding = _pixels(name, stack.frames, chosen.header)
        grid, array, tilted = _upright(name, stack, array, limits)
        scan = scan_info(chosen)
    warnings = (*notes, *doubles, *stack.warnings, *tilted, *padding)
    return as_volume(Raster(name, array, grid, warnings), limits, scan)


def read_series(path: Path) -> list[Series]:
    """List the image series of a folder, zip or file.

    Raises
    ------
    InputError
        If nothing there is a DICOM image.
    """
    sources = found_sources(path)
    headers = [(source, header) for source in sources if (header := read_header(source)) is not None]
    if not headers:
        where = f"none of its {len(sources)} files is" if path.is_dir() or len(sources) > 1 else "it is not"
        raise InputError(
            f"{path} is no image that can be read: {where} DICOM, and its name is not .nii, .nii.gz, .nrrd or .mha; "
            "give a CT in one of these formats"
        )
    found = grouped_series(headers)
    if not found:
        kinds = ", ".join(sorted({text(header, "Modality") or "unknown" for _, header in headers}))
        raise InputError(f"{path} holds DICOM files but no image with a position in the patient ({kinds}); give the CT")
    return found


def scan_info(series: Series) -> ScanInfo:
    """Return what measurements need of a series' header; names and ids are not kept."""
    header = series.header
    groups = [one[0] for key in ("SharedFunctionalGroupsSequence",) if (one := header.get(key))]
    beam = next((one.CTXRayDetailsSequence[0] for one in groups if one.get("CTXRayDetailsSequence")), header)
    recon = next((one.CTReconstructionSequence[0] for one in groups if one.get("CTReconstructionSequence")), header)
    return ScanInfo(
        modality=series.modality,
        kvp=number(beam, "KVP") or number(header, "KVP"),
        kernel=text(recon, "ConvolutionKernel") or text(header, "ConvolutionKernel"),
        slice_thickness_mm=series.frames[0].thickness,
        contrast=_contrast(header),
        posture=_posture(header),
        frame_of_reference_uid=text(header, "FrameOfReferenceUID"),
        study_uid=text(header, "StudyInstanceUID"),
        series_uid=series.uid or None,
    )


def _posture(header: Dataset) -> str | None:
    position = (text(header, "PatientPosition") or "").upper()
    return _POSTURES.get(position[2:]) if position[:2] in ("HF", "FF") else None


def _contrast(header: Dataset) -> bool | None:
    agent = text(header, "ContrastBolusAgent")
    if agent is None:
        return None
    return agent.upper() not in _NO_CONTRAST


def _without_doubles(frames: tuple[Frame, ...]) -> tuple[tuple[Frame, ...], tuple[str, ...]]:
    """Drop copies of a slice that is there already, bit for bit; different slices at one place are refused later."""
    seen: dict[tuple[float, ...], tuple[Frame, bytes | None]] = {}
    kept: list[Frame] = []
    for frame in frames:
        key = tuple(np.round(frame.position, 3))
        first = seen.get(key)
        if first is None:
            seen[key] = (frame, None)
            kept.append(frame)
        elif not np.array_equal(_decoded(first[0]), _decoded(frame)):
            kept.append(frame)
    dropped = len(frames) - len(kept)
    if not dropped:
        return frames, ()
    return tuple(kept), (
        f"{frames[0].source.path.parent}: {dropped} slices are there twice; one copy of each was read",
    )


def _pixels(name: str, frames: tuple[Frame, ...], header: Dataset) -> tuple[NDArray[Any], tuple[str, ...]]:
    rows, columns = frames[0].shape
    samples = number(header, "SamplesPerPixel")
    if samples is not None and samples > 1:
        raise InputError(f"{name} has {samples:.0f} numbers per pixel (colour), a CT has one; give the CT series")
    whole = all(_is_whole(frame.slope) and _is_whole(frame.intercept) for frame in frames)
    array = np.empty((columns, rows, len(frames)), np.int32 if whole else np.float32, order="F")
    low, high = number(header, "PixelPaddingValue"), number(header, "PixelPaddingRangeLimit")
    padded = 0
    for k, frame in enumerate(frames):
        if frame.slope is None or frame.intercept is None:
            raise InputError(
                f"{frame.source.name} has no RescaleSlope or RescaleIntercept, so its Hounsfield units are unknown; "
                "export the series with them"
            )
        stored = _decoded(frame)
        if stored.shape != (rows, columns):
            raise InputError(
                f"{frame.source.name}: {stored.shape} pixels, header says {(rows, columns)}; copy it again"
            )
        with np.errstate(all="ignore"):
            array[..., k] = (stored * frame.slope + frame.intercept).T
        if low is not None:
            outside = _padding(stored, low, high).T
            padded += int(outside.sum())
            array[..., k][outside] = -1024
    if not padded:
        return array, ()
    share = 100 * padded / array.size
    return array, (f"{name}: {share:.1f} % of the voxels are padding by the header; set to -1024 HU",)


def _padding(stored: NDArray[Any], low: float, high: float | None) -> NDArray[np.bool_]:
    ends = sorted((low, low if high is None else high))
    return np.asarray((stored >= ends[0]) & (stored <= ends[1]))


def _is_whole(value: float | None) -> bool:
    return value is not None and float(value).is_integer() and abs(value) < 2**15


def _decoded(frame: Frame) -> NDArray[Any]:
    """Decode one frame to its stored numbers, by pydicom's plugins or, where none is installed, by GDCM."""
    source = frame.source
    with decoding(source.name, *DICOM_ERRORS), source.opened() as stream:
        dataset = pydicom.dcmread(stream, force=True)
        if "PixelData" not in dataset:
            raise InputError(f"{source.name} has a header but no pixels; it is truncated, so copy or export it again")
        syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
        if syntax is None:
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        elif syntax.is_compressed and not get_decoder(syntax).is_available:
            return _decoded_by_gdcm(source, frame)
        return pixel_array(dataset, index=frame.index)


def _decoded_by_gdcm(source: Source, frame: Frame) -> NDArray[Any]:
    """Decode by SimpleITK, which rescales; the rescale is undone so that every path gives stored numbers."""
    with tempfile.TemporaryDirectory() as folder, source.opened() as stream:
        file = Path(folder) / "slice.dcm"
        file.write_bytes(stream.read())
        hounsfield = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[frame.index]
    return np.asarray(np.rint((hounsfield - frame.intercept) / frame.slope), np.int32)


def _upright(
    name: str, stack: Stack, array: NDArray[Any], limits: Limits
) -> tuple[Grid, NDArray[Any], tuple[str, ...]]:
    """Remove the shear of a tilted gantry: each slice is moved within its own plane onto a right-angled grid."""
    shape = (array.shape[0], array.shape[1], array.shape[2])
    if not stack.tilt_deg:
        return checked_grid(name, shape, stack.lps_from_voxel, limits), array, ()
    sheared = stack.lps_from_voxel
    upright = sheared.copy()
    unit = sheared[:3, :2] / np.linalg.norm(sheared[:3, :2], axis=0)
    upright[:3, 2] -= unit @ (unit.T @ sheared[:3, 2])
    # The slices drift over the whole stack; the grid grows to hold all of them.
    drift = np.linalg.solve(upright[:3, :3], sheared[:3, 2])[:2] * (shape[2] - 1)
    grown = np.ceil(np.abs(drift)).astype(int)
    upright[:3, 3] += upright[:3, :2] @ np.where(drift < 0, -grown, 0)
    grid = checked_grid(name, (shape[0] + int(grown[0]), shape[1] + int(grown[1]), shape[2]), upright, limits)
    moved = sampled(array.astype(np.float32, copy=False), np.linalg.inv(sheared) @ upright, grid.shape, fill=-1024.0)
    warning = f"{name}: gantry tilt of {stack.tilt_deg:.1f} degrees was removed by moving each slice within its plane"
    return grid, moved, (warning,)
