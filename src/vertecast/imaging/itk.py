"""NRRD and MetaImage to a raster in LPS, decoded by SimpleITK."""

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


def _segment_names(meta: dict[str, str]) -> dict[int, str]:
    """Return what a ``.seg.nrrd`` says of its label values."""
    names: dict[int, str] = {}
    for key, value in meta.items():
        if key.startswith("Segment") and key.endswith("_LabelValue") and value.strip().isdigit():
            names[int(value)] = meta.get(key.removesuffix("_LabelValue") + "_Name", "")
    return names
