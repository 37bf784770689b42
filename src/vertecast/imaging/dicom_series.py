"""Which series a folder holds, and which of them is the CT that is meant."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from vertecast.core.errors import InputError
from vertecast.imaging.dicom_files import DICOM_ERRORS, Source, number, numbers, text
from vertecast.imaging.raster import decoding

_AXIAL_COSINE = 0.85  # about 32 degrees: an axial series with the largest gantry tilt is still axial


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One slice: where it is, and what turns its numbers into HU.

    Parameters
    ----------
    index : number of the frame in its file
    position : (3,), mm, LPS, centre of the first pixel
    rows_columns : (2, 3); the unit LPS direction along a row (of increasing column), then along a column
    spacing : mm between columns, mm between rows
    """

    source: Source
    index: int
    shape: tuple[int, int]
    position: NDArray[np.float64]
    rows_columns: NDArray[np.float64]
    spacing: tuple[float, float]
    thickness: float | None
    slope: float | None
    intercept: float | None

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,): the unit normal of the slice, in the sense rows, columns, normal right-handed."""
        return np.cross(self.rows_columns[0], self.rows_columns[1])


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Slices that belong together, with the header of the first."""

    uid: str
    number: str
    description: str
    modality: str
    localizer: bool
    header: Dataset
    frames: tuple[Frame, ...]

    @property
    def axial(self) -> bool:
        """Tell whether the slices lie across the body."""
        return bool(abs(self.frames[0].normal[2]) >= _AXIAL_COSINE)

    def __str__(self) -> str:
        plane = "axial" if self.axial else "not axial"
        kind = "localizer" if self.localizer else plane
        return (
            f"--series {self.uid or self.number or '-'} (number {self.number or '?'}, {self.modality}, {kind}, "
            f"{len(self.frames)} slices, {self.description or 'no description'})"
        )


def grouped_series(headers: Iterable[tuple[Source, Dataset]]) -> list[Series]:
    """Group files by series; slices of another plane or size in one series become a series of their own."""
    groups: dict[tuple[Any, ...], list[tuple[Dataset, Frame]]] = {}
    for source, header in headers:
        for frame in frames_of(source, header):
            groups.setdefault(_series_key(header, frame), []).append((header, frame))
    return [_series([one for one, _ in members], [frame for _, frame in members]) for members in groups.values()]


def chosen_series(name: str, found: list[Series], wanted: str | None) -> tuple[Series, tuple[str, ...]]:
    """Return the CT series that is meant, and a warning if others were left.

    Without ``wanted``: the only CT that is no localizer and has more than one slice, or the only axial one of them.

    Raises
    ------
    InputError
        If there is no CT, or several could be meant; the message lists the choices.
    """
    listed = "; ".join(str(one) for one in found[:12])
    if wanted is not None:
        hits = [one for one in found if wanted in (one.uid, one.number, one.description)]
        if len(hits) == 1 and hits[0].modality != "CT":
            raise InputError(f"{name}: series {wanted!r} is {hits[0].modality}, not CT; choose one of: {listed}")
        if len(hits) == 1:
            return hits[0], ()
        fault = "is not there" if not hits else f"means {len(hits)} series"
        raise InputError(f"{name}: series {wanted!r} {fault}; choose one of: {listed}")
    scans = [one for one in found if one.modality == "CT" and not one.localizer]
    if not scans:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in Counter(one.modality for one in found).items())
        raise InputError(f"{name} holds no CT series (found: {kinds or 'no image'}); give the CT's folder")
    stacks = [one for one in scans if len(one.frames) > 1] or scans
    candidates = [one for one in stacks if one.axial] or stacks
    if len(candidates) > 1:
        raise InputError(f"{name} holds {len(candidates)} CT series that could be meant; choose one: {listed}")
    if len(found) == 1:
        return candidates[0], ()
    return candidates[0], (f"{name} holds {len(found)} series; read was {candidates[0]}",)


def frames_of(source: Source, header: Dataset) -> list[Frame]:
    """Return the slices of one file; files without a plane in the patient (documents, segmentations) have none."""
    if "PerFrameFunctionalGroupsSequence" in header:
        with decoding(source.name, *DICOM_ERRORS):
            shared = header.get("SharedFunctionalGroupsSequence") or [Dataset()]
            groups = list(header.PerFrameFunctionalGroupsSequence)
            made = [_frame(source, i, header, [group, shared[0]]) for i, group in enumerate(groups)]
        return [one for one in made if one is not None]
    one = _frame(source, 0, header, [])
    return [] if one is None else [one]


def _frame(source: Source, index: int, header: Dataset, groups: list[Dataset]) -> Frame | None:
    plane = _group(groups, "PlanePositionSequence", header)
    turned = _group(groups, "PlaneOrientationSequence", header)
    pixels = _group(groups, "PixelMeasuresSequence", header)
    scale = _group(groups, "PixelValueTransformationSequence", header)
    position, axes = numbers(plane, "ImagePositionPatient", 3), numbers(turned, "ImageOrientationPatient", 6)
    spacing, rows, columns = numbers(pixels, "PixelSpacing", 2), number(header, "Rows"), number(header, "Columns")
    if position is None or axes is None or spacing is None or rows is None or columns is None:
        return None
    return Frame(
        source,
        index,
        (int(rows), int(columns)),
        np.array(position),
        np.array(axes).reshape(2, 3),
        (spacing[1], spacing[0]),
        number(pixels, "SliceThickness"),
        number(scale, "RescaleSlope"),
        number(scale, "RescaleIntercept"),
    )


def _group(groups: list[Dataset], keyword: str, otherwise: Dataset) -> Dataset:
    for group in groups:
        if group.get(keyword):
            return group[keyword].value[0]  # type: ignore[no-any-return]
    return otherwise


def _series_key(header: Dataset, frame: Frame) -> tuple[Any, ...]:
    uid = text(header, "SeriesInstanceUID")
    # De-identified files can lack the UID; number, time and description then tell series apart.
    same = uid or tuple(text(header, key) for key in ("SeriesNumber", "SeriesTime", "SeriesDescription"))
    return (
        same,
        text(header, "Modality"),
        _is_localizer(header),
        frame.shape,
        *np.round(frame.rows_columns.ravel(), 2),
    )


def _series(headers: list[Dataset], frames: list[Frame]) -> Series:
    first = headers[0]
    return Series(
        text(first, "SeriesInstanceUID") or "",
        text(first, "SeriesNumber") or "",
        text(first, "SeriesDescription") or "",
        text(first, "Modality") or "unknown",
        _is_localizer(first),
        first,
        tuple(frames),
    )


def _is_localizer(header: Dataset) -> bool:
    return "LOCALIZER" in (text(header, "ImageType") or "").upper()
