"""NRRD and MetaImage to a raster in LPS, decoded by SimpleITK."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError, InputError
from vertecast.imaging.limits import Limits
from vertecast.imaging.raster import Raster, checked_grid, decoding, require_scalar

sitk: Any = SimpleITK  # it has no type stubs

_NRRD = (".nrrd", ".nhdr")
_META = (".mha", ".mhd")
_HEADER_BYTES = 1 << 16
_TEXT = "[ -~]*"
_NUMBERS = r"[-+]?[0-9.]+(e[-+]?[0-9]+)?( [-+]?[0-9.]+(e[-+]?[0-9]+)?)*"
_FIELDS = {
    "NDims": "[2-5]",
    "DimSize": "[0-9]{1,6}( [0-9]{1,6})*",
    "ElementType": "MET_U?(CHAR|SHORT|INT|LONG|LONG_LONG)|MET_(FLOAT|DOUBLE)",
    "ElementNumberOfChannels": "[1-9][0-9]?",
    "CompressedDataSize": "[0-9]{1,12}",
    "TransformMatrix": _NUMBERS,
    "ElementSpacing": _NUMBERS,
    "Offset": _NUMBERS,
    "CenterOfRotation": _NUMBERS,
    "BinaryData": "True|False",
    "BinaryDataByteOrderMSB": "True|False",
    "CompressedData": "True|False",
    "HeaderSize": "-?[0-9]{1,9}",
}


def read_itk(path: Path, limits: Limits) -> Raster:
    """Read a ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd``; NRRD may be in LPS, RAS or LAS space.

    Raises
    ------
    InputError
        If the file is truncated or damaged, 4-D, coloured or flat.
    GeometryError
        If it tells no orientation or voxels that no CT has.
    """
    name = str(path)
    if path.suffix.lower() in _META:
        _require_whole_header(path)
    with decoding(name):
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size, components, kind = reader.GetSize(), reader.GetNumberOfComponents(), reader.GetPixelID()
        meta = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    if "complex" in sitk.GetPixelIDValueAsString(kind):
        raise InputError(f"{name} holds complex numbers; export the scalar image")
    shape = require_scalar(name, size, components)
    if path.suffix.lower() in _NRRD and "NRRD_space" not in meta:
        raise GeometryError(
            f"{name} tells no patient orientation (no 'space' line), so left and right are unknown; "
            "export it from the DICOM series again"
        )
    matrix = np.eye(4)
    with decoding(name):
        direction: NDArray[np.float64] = np.reshape(reader.GetDirection(), (len(size), len(size)))[:3, :3]
        matrix[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
        matrix[:3, 3] = reader.GetOrigin()[:3]
    grid = checked_grid(name, shape, matrix, limits)
    with decoding(name):
        array = sitk.GetArrayFromImage(reader.Execute())
    return Raster(name, array.T.reshape(shape, order="F"), grid, (), _segment_names(meta))


def _require_whole_header(path: Path) -> None:
    """Refuse a MetaImage whose header is damaged or whose voxels are missing: ITK corrupts memory on some of these."""
    with decoding(str(path)), path.open("rb") as stream:
        start = stream.read(_HEADER_BYTES)
    end = re.search(rb"^ElementDataFile = ([^\r\n]*)\r?\n?", start, re.MULTILINE)
    fields: dict[str, str] = {}
    for line in start[: end.end() if end else 0].decode("latin-1").splitlines():
        key, equals, value = line.partition(" = ")
        pattern = _FIELDS.get(key, _TEXT)
        if (
            not equals
            or key in fields
            or not re.fullmatch("[A-Za-z]+", key)
            or not re.fullmatch(pattern, value.strip())
        ):
            raise InputError(f"{path}: its MetaImage header is damaged at {line[:60]!r}; copy or export it again")
        fields[key] = value.strip()
    if end is None or not {"NDims", "DimSize", "ElementType"} <= fields.keys():
        raise InputError(f"{path} has no whole MetaImage header; copy or export it again")
    count = int(fields["NDims"])
    for key, numbers in (
        ("DimSize", count),
        ("ElementSpacing", count),
        ("Offset", count),
        ("TransformMatrix", count**2),
    ):
        if len(fields.get(key, "0 " * numbers).split()) != numbers:
            raise InputError(f"{path}: {key} needs {numbers} numbers, its header has {fields[key]!r}; export it again")
    _require_voxels(path, fields, path.stat().st_size - end.end())


def _require_voxels(path: Path, fields: dict[str, str], left: int) -> None:
    where = fields["ElementDataFile"]
    beside = path.parent / where
    if where == "LOCAL":
        there = left
    elif Path(where).name == where and beside.is_file():
        there = beside.stat().st_size
    else:
        there = 0
    wanted = 1
    if fields.get("CompressedData") == "True":
        wanted = int(fields.get("CompressedDataSize", "1"))
    if there < max(wanted, 1):
        raise InputError(
            f"{path} says that its voxels are in {where[:60]!r}, where {there} of {wanted} bytes are; "
            "it is truncated or its second file is not beside it, so copy both or export one .mha"
        )


def _segment_names(meta: dict[str, str]) -> dict[int, str]:
    """Return what a ``.seg.nrrd`` says of its label values."""
    names: dict[int, str] = {}
    for key, value in meta.items():
        if key.startswith("Segment") and key.endswith("_LabelValue") and value.strip().isdigit():
            names[int(value)] = meta.get(key.removesuffix("_LabelValue") + "_Name", "")
    return names
