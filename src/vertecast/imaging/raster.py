"""One decoded image before it is known to be a CT or labels, with its geometry checked by us."""

import struct
import warnings as python_warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError, InputError, VertecastError
from vertecast.imaging.grid import Grid
from vertecast.imaging.limits import Limits

# What decoders raise for damaged files: anything the standard library has, so the tuple is wide but not Exception.
DECODER_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    MemoryError,
    SyntaxError,
    BufferError,
    zlib.error,
    struct.error,
)


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """A scalar 3-D image.

    Parameters
    ----------
    name : the file as the user knows it, for messages
    array : (nx, ny, nz), any real type
    grid : where the voxels are in the patient
    warnings : sentences the reader must see
    segments : the names that the file itself gives to its values (``.seg.nrrd``), if any
    """

    name: str
    array: NDArray[Any]
    grid: Grid
    warnings: tuple[str, ...] = ()
    segments: Mapping[int, str] = field(default_factory=dict)


@contextmanager
def decoding(name: str, *more: type[Exception]) -> Iterator[None]:
    """Turn whatever a decoder raises for a damaged file into one sentence that names the file.

    ``more`` are the decoder's own exception classes. Our own errors pass unchanged; decoders' warnings are silenced,
    since what matters of them is checked by us.
    """
    try:
        with python_warnings.catch_warnings(), np.errstate(all="ignore"):
            python_warnings.simplefilter("ignore")
            yield
    except VertecastError:
        raise
    except FileNotFoundError as exc:
        raise InputError(f"{name} does not exist; check the path") from exc
    except PermissionError as exc:
        raise InputError(f"{name} cannot be read: permission denied; make it readable (chmod +r)") from exc
    except (*DECODER_ERRORS, *more) as exc:
        reason = " ".join(str(exc).split()) or type(exc).__name__
        raise InputError(
            f"{name} cannot be decoded ({reason[:200]}): it is truncated, damaged or not what its name says; "
            "copy or export it again"
        ) from exc


def require_scalar(name: str, shape: tuple[int, ...], components: int = 1) -> tuple[int, int, int]:
    """Return the 3-D shape of an image header, or refuse 4-D, colour, flat and empty images by their number."""
    trimmed = tuple(int(n) for n in shape)
    while len(trimmed) > 3 and trimmed[-1] == 1:
        trimmed = trimmed[:-1]
    if components > 1:
        raise InputError(
            f"{name} has {components} numbers per voxel (colour or vectors), a CT or label map has one; "
            "export the scalar image"
        )
    if len(trimmed) > 3:
        raise InputError(
            f"{name} is {len(trimmed)}-D with shape {trimmed}; one 3-D image is needed, "
            "so export one time point or phase"
        )
    if len(trimmed) < 3 or min(trimmed) == 1:
        raise InputError(
            f"{name} is one slice (shape {trimmed}); a vertebra needs a 3-D image, so give the whole series"
        )
    if min(trimmed) < 1:
        raise InputError(f"{name} is empty: its shape is {trimmed}; export it again")
    return trimmed[0], trimmed[1], trimmed[2]


def checked_grid(name: str, shape: tuple[int, int, int], lps_from_voxel: NDArray[Any], limits: Limits) -> Grid:
    """Make the grid of an image header and refuse, with the file's name, what no CT can have.

    Affines are kept at single precision, all that NIfTI holds, so that one CT has one grid, bit for bit, whatever file
    it comes from; at 500 mm that is 3e-5 mm.
    """
    with np.errstate(all="ignore"):
        matrix = np.asarray(lps_from_voxel).astype(np.float32).astype(np.float64)
    if not np.isfinite(matrix).all():
        raise GeometryError(
            f"{name}: its affine holds values that are not finite; export it again with its orientation"
        )
    with np.errstate(all="ignore"):
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    edges = " x ".join(f"{edge:.4g}" for edge in spacing)
    if not (np.isfinite(spacing).all() and spacing.min() >= limits.smallest_voxel):
        raise GeometryError(
            f"{name}: voxels of {edges} mm, below {limits.smallest_voxel} mm; the header's units or affine are wrong, "
            "so export it again"
        )
    if spacing.max() > limits.refused_slice * 1.001:
        raise GeometryError(
            f"{name}: voxels of {edges} mm exceed {limits.refused_slice} mm, the limit for measuring a vertebra; "
            "reconstruct the scan with thinner slices"
        )
    if np.prod([float(n) for n in shape]) > limits.most_voxels:
        raise GeometryError(
            f"{name}: {shape[0]} x {shape[1]} x {shape[2]} voxels exceed {limits.most_voxels:.0e}; crop it to the spine"
        )
    try:
        return Grid.from_affine(shape, matrix)
    except VertecastError as exc:
        raise GeometryError(f"{name}: {exc}") from exc


def thickness_warnings(name: str, grid: Grid, limits: Limits) -> tuple[str, ...]:
    """Say that the voxels are thick, with the number, or nothing."""
    edge = float(grid.spacing.max())
    if edge <= limits.thick_slice * 1.001:
        return ()
    return (
        f"{name}: slices are {edge:.2f} mm apart, more than {limits.thick_slice} mm; "
        "heights and angles are less certain",
    )
