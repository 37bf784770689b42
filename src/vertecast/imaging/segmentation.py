"""DICOM Segmentation: coded segments read into a label map, and a label map written beside its source series."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import generate_uid

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.files import atomic_path
from vertecast.core.levels import Level
from vertecast.core.parameters import read_toml
from vertecast.imaging.dicom import read_series
from vertecast.imaging.dicom_files import DICOM_ERRORS, Source, found_sources, number, read_header, text
from vertecast.imaging.dicom_series import Frame, chosen_series, frames_of
from vertecast.imaging.grid import Grid
from vertecast.imaging.labels import kept, level_named
from vertecast.imaging.limits import Limits
from vertecast.imaging.raster import checked_grid, decoding, thickness_warnings
from vertecast.imaging.resample import canonical_order, reoriented
from vertecast.imaging.volume import LabelMap


@dataclass(frozen=True, slots=True)
class VertebraCodes:
    """SNOMED CT codes of the levels, from ``data/labels/snomed.toml``."""

    codes: dict[Level, str]
    parent: str


def load_codes() -> VertebraCodes:
    """Return the shipped codes."""
    table = read_toml("labels/snomed.toml")
    return VertebraCodes({Level(level): code for level, code in table["codes"].items()}, table["parent"])


def read_dicom_seg(path: Path, limits: Limits, *, dialect: str = "auto") -> LabelMap:
    """Read a DICOM SEG (BINARY, FRACTIONAL at one half, or LABELMAP); levels by segment label or SNOMED code.

    Raises
    ------
    InputError, GeometryError
        If there is no segmentation or more than one, no segment is a vertebra, or the planes do not fit one lattice.
    """
    if dialect not in ("auto", "seg"):
        raise InputError(f"{path} is DICOM, its segments are named by code; leave --dialect out or say seg")
    with decoding(str(path), *DICOM_ERRORS):
        return _read_segmentation(*_only_segmentation(path), limits)


def _read_segmentation(source: Source, header: Dataset, limits: Limits) -> LabelMap:
    name = source.name
    levels = _segment_levels(name, header)
    frames = frames_of(source, header)
    if not frames:
        raise GeometryError(f"{name} has no frame with a position in the patient; export the segmentation again")
    matrix, shape, slots = _lattice(name, header, frames, limits)
    grid = checked_grid(name, shape, matrix, limits)
    labels = np.zeros(shape, np.int16, order="F")
    overlap = 0
    for frame, slot, (segment, plane) in zip(frames, slots, _planes(source, header), strict=True):
        if plane.shape != frame.shape:
            raise InputError(f"{name}: {plane.shape} pixels, the header says {frame.shape}; copy it again")
        here = labels[..., slot]
        new = plane.T if segment is None else plane.T.astype(np.int16) * segment
        overlap += int(np.count_nonzero((here > 0) & (new > 0)))
        labels[..., slot] = np.where(here > 0, here, new)
    present = set(np.unique(labels).tolist())
    values = {level: segment for level, segment in levels.items() if segment in present}
    if not values:
        raise InputError(f"{name} holds no voxel of a vertebra; give a vertebra segmentation")
    warnings = list(thickness_warnings(name, grid, limits))
    if overlap:
        warnings.append(f"{name}: {overlap} voxels belong to two segments; the first one keeps them")
    return LabelMap(kept(labels, values), grid, values, "seg", None, tuple(warnings))


def _only_segmentation(path: Path) -> tuple[Source, Dataset]:
    sources = found_sources(path)
    headers = [(source, header) for source in sources if (header := read_header(source)) is not None]
    found = [(source, header) for source, header in headers if "SegmentSequence" in header]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(source.name for source, _ in found[:8])
        raise InputError(f"{path} holds {len(found)} DICOM segmentations; give one of them: {names}")
    if headers:
        raise InputError(f"{path} is DICOM but holds no segmentation (SEG); CT and labels may be swapped")
    raise InputError(
        f"{path} is no label map that can be read; give NIfTI (.nii.gz), NRRD (.nrrd, .seg.nrrd), MetaImage "
        "or DICOM SEG"
    )


def _segment_levels(name: str, header: Dataset) -> dict[Level, int]:
    codes = load_codes()
    by_code = {code: level for level, code in codes.codes.items()}
    levels: dict[Level, int] = {}
    for segment in header.SegmentSequence:
        said = level_named(text(segment, "SegmentLabel") or "")
        types = segment.get("SegmentedPropertyTypeCodeSequence") or [Dataset()]
        coded = by_code.get(text(types[0], "CodeValue") or "")
        if said is not None and coded is not None and said is not coded:
            raise InputError(
                f"{name}: segment {segment.SegmentNumber} is labelled {said} but coded {coded}; correct it"
            )
        level = said or coded
        if level is None:
            continue
        if level in levels:
            raise InputError(f"{name} holds two segments {level}; keep one of them")
        levels[level] = int(segment.SegmentNumber)
    if not levels:
        labels = ", ".join(text(one, "SegmentLabel") or "?" for one in list(header.SegmentSequence)[:8])
        raise InputError(f"{name} holds no vertebra (segments: {labels}); give a vertebra segmentation")
    return levels


def _lattice(
    name: str, header: Dataset, frames: list[Frame], limits: Limits
) -> tuple[NDArray[np.float64], tuple[int, int, int], NDArray[np.int64]]:
    """Return the affine, the shape and each frame's place; empty planes may be left out, so the step is asked for."""
    first = frames[0]
    normal = first.normal / np.linalg.norm(first.normal)
    along = np.array([frame.position @ normal for frame in frames])
    places = np.unique(np.round(along, 4))
    step = _declared_step(header)
    if step is None and len(places) > 1:
        step = float(np.diff(places).min())
    if step is None or step < limits.smallest_voxel:
        raise GeometryError(f"{name} tells no distance between its planes; export it with SpacingBetweenSlices")
    slots = np.rint((along - places[0]) / step).astype(np.int64)
    lowest = first.position + (places[0] - first.position @ normal) * normal
    expected = lowest + slots[:, None] * step * normal
    error = float(np.linalg.norm(np.array([frame.position for frame in frames]) - expected, axis=1).max())
    if not error <= 2 * limits.position_tolerance:
        raise GeometryError(f"{name}: its planes lie up to {error:.2f} mm off an even stack; export it again")
    matrix = np.eye(4)
    rows, columns = first.rows_columns
    matrix[:3, :3] = np.stack([rows * first.spacing[0], columns * first.spacing[1], normal * step], axis=1)
    matrix[:3, 3] = lowest
    return matrix, (first.shape[1], first.shape[0], int(slots.max()) + 1), slots


def _declared_step(header: Dataset) -> float | None:
    shared = header.get("SharedFunctionalGroupsSequence") or [Dataset()]
    measures = shared[0].get("PixelMeasuresSequence") or [Dataset()]
    return number(measures[0], "SpacingBetweenSlices")


def _planes(source: Source, header: Dataset) -> Iterator[tuple[int | None, NDArray[np.int16]]]:
    """Yield each frame's segment number and mask, or ``None`` and the segment numbers of a LABELMAP."""
    kind = (text(header, "SegmentationType") or "BINARY").upper()
    half = (number(header, "MaximumFractionalValue") or 1.0) / 2
    with decoding(source.name, *DICOM_ERRORS), source.opened() as stream:
        dataset = pydicom.dcmread(stream, force=True)
        # pydicom takes one frame out of packed bits only where frames begin on whole bytes; else all at once
        packed = dataset.BitsAllocated == 1 and dataset.Rows * dataset.Columns % 8
        every = pixel_array(dataset).reshape(-1, dataset.Rows, dataset.Columns) if packed else None
        for index, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            plane = pixel_array(dataset, index=index) if every is None else every[index]
            if kind == "LABELMAP":
                yield None, plane.astype(np.int16)
                continue
            owner = group.get("SegmentIdentificationSequence") or (
                dataset.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence
            )
            mask = plane >= half if kind == "FRACTIONAL" else plane > 0
            yield int(owner[0].ReferencedSegmentNumber), mask.astype(np.int16)


def write_dicom_seg(path: Path, labels: LabelMap, source: Path, *, series: str | None = None) -> Path:
    """Write labels as a BINARY DICOM SEG in the frame of reference of the CT series they belong to.

    Parameters
    ----------
    source : the DICOM CT (folder, zip or file) that the labels were made on; every slice of it is referenced
    series : which series of ``source``, as in :func:`.read.read_volume`

    Raises
    ------
    InputError
        If ``source`` is not DICOM, lacks the identifiers that a reference needs, or highdicom is not installed.
    """
    headers = source_headers(path, source, series=series)
    upright = reoriented(labels, *canonical_order(labels.grid))
    array = np.zeros(upright.labels.shape, np.uint8)
    for segment, value in enumerate(upright.values.values(), start=1):
        array[upright.labels == value] = segment
    kinds = [_level_kind(one) for one in upright.values]
    return _write_segments(path, array, upright.grid, headers, kinds)


@dataclass(frozen=True, slots=True)
class SegmentKind:
    """What a segment is: its label, and category and type as (code, scheme, meaning)."""

    label: str
    category: tuple[str, str, str]
    type: tuple[str, str, str]


def write_dicom_mask_seg(
    path: Path, mask: NDArray[np.bool_], grid: Grid, source: Path, kind: SegmentKind, *, series: str | None = None
) -> Path:
    """Write one mask, on a grid of its own, as a DICOM SEG beside the CT series; see :func:`write_dicom_seg`.

    Parameters
    ----------
    mask : (nx, ny, nz), at least one voxel true
    grid : where its voxels are; it may lie obliquely to the CT

    Raises
    ------
    InputError
        As :func:`write_dicom_seg`, and if the mask is empty.
    """
    if not mask.any():
        raise InputError(f"{path}: no voxel is {kind.label}, and an empty segment is not written; leave it out")
    headers = source_headers(path, source, series=series)
    if np.linalg.det(grid.directions) < 0:
        turned = grid.lps_from_voxel.matrix.copy()
        turned[:3, 3] += turned[:3, 2] * (mask.shape[2] - 1)
        turned[:3, 2] *= -1
        mask, grid = mask[:, :, ::-1], Grid.from_affine(mask.shape, turned)
    return _write_segments(path, mask.astype(np.uint8), grid, headers, [kind])


def source_headers(path: Path, source: Path, *, series: str | None = None) -> list[Dataset]:
    """Return the headers, without pixels, of every slice of a CT series that ``path`` shall refer to.

    Raises
    ------
    InputError
        If ``source`` is not DICOM, lacks the identifiers that a reference needs, or highdicom is not installed.
    """
    if find_spec("highdicom") is None:
        raise InputError(f"{path} needs highdicom; install vertecast[dicom]")
    chosen, _ = chosen_series(str(source), read_series(Path(source)), series)
    files = list(dict.fromkeys(frame.source for frame in chosen.frames))
    headers = [header for one in files if (header := read_header(one)) is not None]
    for keyword in ("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        if any(text(header, keyword) is None for header in headers):
            raise InputError(f"{source} lacks {keyword}, which a DICOM SEG refers to; write NIfTI or .seg.nrrd instead")
    return headers


def _write_segments(
    path: Path, array: NDArray[np.uint8], grid: Grid, headers: list[Dataset], kinds: list[SegmentKind]
) -> Path:
    import highdicom

    # highdicom counts slices, rows, columns; our axes are columns, rows, slices.
    affine = grid.lps_from_voxel.matrix[:, [2, 1, 0, 3]]
    volume = highdicom.Volume(
        array=np.ascontiguousarray(array.T),
        affine=affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=headers[0].FrameOfReferenceUID,
    )
    vertebrae = kinds[0].label.startswith("vertebrae")
    with decoding("DICOM SEG"):
        made = highdicom.seg.Segmentation(
            source_images=headers,
            pixel_array=volume,
            segmentation_type="BINARY",
            segment_descriptions=[_description(highdicom, k, one) for k, one in enumerate(kinds, start=1)],
            series_instance_uid=generate_uid(),
            series_number=900 if vertebrae else 901,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="Vertecast",
            manufacturer_model_name="Vertecast",
            software_versions=metadata.version("vertecast"),
            device_serial_number="0",
            content_label="VERTEBRAE" if vertebrae else "SIMULATED",
            content_description=f"{'Vertebra labels' if vertebrae else kinds[0].label}; research and education"[:64],
        )
    with atomic_path(Path(path)) as temporary:
        made.save_as(temporary)
    return Path(path)


def _level_kind(level: Level) -> SegmentKind:
    codes = load_codes()
    code = codes.codes.get(level)
    kind = (codes.parent, "SCT", "Vertebra") if code is None else (code, "SCT", f"{level} vertebra")
    return SegmentKind(f"vertebrae_{level}", ("123037004", "SCT", "Anatomical Structure"), kind)


def _description(highdicom: Any, segment: int, kind: SegmentKind) -> Any:
    coded = highdicom.sr.CodedConcept
    vertebra = kind.label.startswith("vertebrae")
    return highdicom.seg.SegmentDescription(
        segment_number=segment,
        segment_label=kind.label,
        segmented_property_category=coded(*kind.category),
        segmented_property_type=coded(*kind.type),
        algorithm_type="SEMIAUTOMATIC" if vertebra else "AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="given label map" if vertebra else "Vertecast simulation",
            family=coded("123109", "DCM", "Manual Processing")
            if vertebra
            else coded("physics", "99VERTECAST", "Simulation of physics"),
            version=metadata.version("vertecast"),
        ),
    )
