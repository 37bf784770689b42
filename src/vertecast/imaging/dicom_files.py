"""DICOM files of a folder, a zip or one file: found, opened, their headers read."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from vertecast.core.errors import InputError
from vertecast.imaging.raster import DECODER_ERRORS, decoding

DICOM_ERRORS: tuple[type[Exception], ...] = (InvalidDicomError, BytesLengthException, zipfile.BadZipFile)
"""What pydicom and zip raise beside the standard library's exceptions."""

_VALUE_ERRORS: tuple[type[Exception], ...] = (*DECODER_ERRORS, *DICOM_ERRORS)
_MAX_ZIP_BYTES = 16 << 30
_GROUP_8 = (b"\x08\x00", b"\x00\x08")


@dataclass(frozen=True, slots=True)
class Source:
    """One file that may be DICOM: on disk, or a member of a zip."""

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """The file as the user knows it."""
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the bytes for reading with seek."""
        if self.member is None:
            with self.path.open("rb") as stream:
                yield stream
        else:
            with zipfile.ZipFile(self.path) as archive:
                yield io.BytesIO(archive.read(self.member))


def found_sources(path: Path) -> list[Source]:
    """List the files of a folder (with its subfolders) or zip, in sorted order; hidden files are left out."""
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file() and not _hidden(one.relative_to(path)))
        if not files:
            raise InputError(f"{path} is an empty folder; give the folder that holds the DICOM series")
        return [Source(one) for one in files]
    with decoding(str(path), *DICOM_ERRORS):
        if not zipfile.is_zipfile(path):
            return [Source(path)]
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir() and not _hidden(Path(one.filename))]
    if not members:
        raise InputError(f"{path} is an empty zip; give the zip that holds the DICOM series")
    size = sum(one.file_size for one in members)
    if size > _MAX_ZIP_BYTES:
        raise InputError(f"{path} unpacks to {size / 2**30:.0f} GiB, limit 16 GiB; unzip it and give one series")
    return [Source(path, one) for one in sorted(member.filename for member in members)]


def read_header(source: Source) -> Dataset | None:
    """Read everything but the pixels; ``None`` if the file is not DICOM."""
    with decoding(source.name, *DICOM_ERRORS), source.opened() as stream:
        start = stream.read(132)
        stream.seek(0)
        if start[128:132] != b"DICM" and start[:2] not in _GROUP_8:
            return None
        header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
        return header if "Modality" in header or "SOPClassUID" in header else None


def number(header: Any, keyword: str) -> float | None:
    """Return a numeric header value, or ``None`` if it is absent, empty or no number."""
    try:
        value = header.get(keyword)
        return None if value is None or value == "" else float(value)
    except _VALUE_ERRORS:
        return None


def numbers(header: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return a header value of ``count`` numbers, or ``None``."""
    try:
        values = tuple(float(one) for one in header.get(keyword) or ())
    except _VALUE_ERRORS:
        return None
    return values if len(values) == count else None


def text(header: Any, keyword: str) -> str | None:
    """Return a header value as text (several values joined by a space), or ``None`` if it is absent or empty."""
    try:
        value = header.get(keyword)
    except _VALUE_ERRORS:
        return None
    if value is None:
        return None
    said = value if isinstance(value, str) else " ".join(map(str, value)) if hasattr(value, "__iter__") else str(value)
    return said.strip() or None


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts) or path.name.upper() == "DICOMDIR"
