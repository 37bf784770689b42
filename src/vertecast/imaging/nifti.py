"""NIfTI to a raster in LPS: the one place where RAS is turned."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError, InputError
from vertecast.imaging.limits import Limits
from vertecast.imaging.raster import Raster, checked_grid, decoding, require_scalar

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MM_PER_UNIT = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}


def read_nifti(path: Path, limits: Limits) -> Raster:
    """Read a ``.nii`` or ``.nii.gz``.

    Integers without a scale stay integers; scaled ones become float32.

    Raises
    ------
    InputError
        If the file is truncated or damaged, 4-D, coloured or flat.
    GeometryError
        If it tells no orientation, or two that differ (qform and sform), or voxels that no CT has.
    """
    name = str(path)
    with decoding(name, ImageFileError, HeaderDataError):
        image: Any = nibabel.load(path)
        header = image.header
        shape, dtype = image.shape, header.get_data_dtype()
    if dtype.fields or dtype.kind not in "iufb":
        raise InputError(
            f"{name} holds {'colour' if dtype.fields else dtype} voxels, a CT or label map has one number per voxel; "
            "export the scalar image"
        )
    trimmed = require_scalar(name, shape)
    matrix, warnings = _lps_from_voxel(name, header, trimmed, limits)
    grid = checked_grid(name, trimmed, matrix, limits)
    with decoding(name, ImageFileError, HeaderDataError):
        array = _decoded(image).reshape(trimmed)
    return Raster(name, array, grid, warnings)


def _decoded(image: Any) -> NDArray[Any]:
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if (slope, intercept) == (1.0, 0.0):
        return np.asanyarray(image.dataobj)
    return np.asarray(image.dataobj, dtype=np.float32)


def _lps_from_voxel(
    name: str, header: Any, shape: tuple[int, int, int], limits: Limits
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    with decoding(name, ImageFileError, HeaderDataError):
        qform, sform = header.get_qform(coded=True)[0], header.get_sform(coded=True)[0]
        unit = header.get_xyzt_units()[0]
    if qform is None and sform is None:
        raise GeometryError(
            f"{name} tells no orientation (qform and sform codes are 0), so left and right are unknown; "
            "convert the DICOM series again or set the sform"
        )
    warnings: tuple[str, ...] = ()
    if qform is not None and sform is not None:
        warnings = _compared_forms(name, qform, sform, shape, limits)
    scale = np.diag([_MM_PER_UNIT[unit]] * 3 + [1.0])
    chosen = np.asarray(qform if sform is None else sform, float)
    with np.errstate(all="ignore"):  # what is not finite is refused with the grid
        return LPS_FROM_RAS @ scale @ chosen, warnings


def _compared_forms(
    name: str, qform: NDArray[Any], sform: NDArray[Any], shape: tuple[int, int, int], limits: Limits
) -> tuple[str, ...]:
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    with np.errstate(all="ignore"):
        difference = (qform - sform)[:3, :3] @ ends + (qform - sform)[:3, 3:]
        distance = float(np.linalg.norm(difference, axis=0).max())
    if not distance <= limits.form_refused:
        raise GeometryError(
            f"{name}: its qform and sform put the same voxel {distance:.1f} mm apart, limit {limits.form_refused} mm; "
            "set both to the scanner's (code 1) or convert the DICOM series again"
        )
    if distance > limits.form_warned:
        return (f"{name}: its qform and sform differ by {distance:.2f} mm; the sform is used",)
    return ()
