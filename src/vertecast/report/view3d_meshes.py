"""Surfaces of masks for the 3-D view: smooth, few triangles, whole numbers of hundredths of a millimetre."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.imaging.grid import Grid

_COARSEST = 0.9  # mm: finer voxels are joined before the surface is taken
_BLUR = 0.8  # voxels: takes the steps off a label map
_PASS_BAND = 0.08  # of vtk's windowed sinc filter; lower is smoother
_LEAST = 30  # triangles below which decimation is not worth it


@dataclass(frozen=True, eq=False, slots=True)
class Mesh:
    """A triangulated surface, outside at the counter-clockwise face.

    Parameters
    ----------
    points_lps : (n, 3), mm
    faces : (m, 3) rows of points
    """

    points_lps: NDArray[np.float64]
    faces: NDArray[np.int64]

    @property
    def volume(self) -> float:
        """Enclosed volume, mm³: positive when the faces look outwards."""
        a, b, c = (self.points_lps[self.faces[:, k]] for k in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def mask_mesh(mask: NDArray[np.bool_], grid: Grid, *, triangles: int) -> Mesh | None:
    """Return the smoothed surface of a mask with about ``triangles`` triangles; None for an empty mask.

    Parameters
    ----------
    mask : (nx, ny, nz)
    grid : where the mask's voxels are
    """
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return None
    box = boxes[0]
    start = np.array([part.start for part in box], float)
    step = np.maximum(1, np.floor(_COARSEST / grid.spacing)).astype(int)
    field, first = _joined(mask[box], step)
    points, faces = contoured(ndimage.gaussian_filter(field, _BLUR), triangles)
    if not len(faces):
        return None
    lps = grid.to_lps(start + first + points * step)
    mesh = Mesh(lps, faces)
    return mesh if mesh.volume >= 0.0 else Mesh(lps, faces[:, ::-1])


def _joined(mask: NDArray[np.bool_], step: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the mask's mean over blocks, with a margin of two blocks, and the index of the first block's centre."""
    short = -np.array(mask.shape) % step
    padded = np.pad(mask, [(2 * s, 2 * s + int(rest)) for s, rest in zip(step, short, strict=True)])
    blocks = padded.reshape([n for size, s in zip(padded.shape, step, strict=True) for n in (size // s, s)])
    return np.asarray(blocks.mean(axis=(1, 3, 5)), np.float32), (step - 1) / 2 - 2.0 * step


def contoured(field: NDArray[np.float32], triangles: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return points, in voxels, and faces of a field's half level, decimated to about ``triangles``."""
    from vtkmodules.util import numpy_support
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D, vtkQuadricDecimation, vtkWindowedSincPolyDataFilter

    arrays: Any = numpy_support  # untyped
    image = vtkImageData()
    image.SetDimensions(*field.shape)
    image.GetPointData().SetScalars(arrays.numpy_to_vtk(np.ascontiguousarray(field.ravel(order="F")), deep=True))
    edges = vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, 0.5)
    edges.ComputeNormalsOff()
    edges.Update()
    if not edges.GetOutput().GetNumberOfPolys():
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    smooth = vtkWindowedSincPolyDataFilter()
    smooth.SetInputConnection(edges.GetOutputPort())
    smooth.SetNumberOfIterations(12)
    smooth.SetPassBand(_PASS_BAND)
    smooth.NormalizeCoordinatesOn()
    smooth.Update()
    made: Any = smooth.GetOutput()
    many = made.GetNumberOfPolys()
    if many > max(triangles, _LEAST):
        fewer = vtkQuadricDecimation()
        fewer.SetInputData(made)
        fewer.SetTargetReduction(1.0 - triangles / many)
        fewer.VolumePreservationOn()
        fewer.Update()
        made = fewer.GetOutput()
    if not made.GetNumberOfPolys():
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    faces = arrays.vtk_to_numpy(made.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    return np.asarray(arrays.vtk_to_numpy(made.GetPoints().GetData()), float), faces.astype(np.int64)
