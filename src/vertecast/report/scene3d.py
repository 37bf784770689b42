"""Still pictures of the 3-D scene, drawn off screen: for the PDF, for print, and where a browser has no WebGL."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.levels import Level
from vertecast.report.view3d import Filling, Needle, Scene3D
from vertecast.report.view3d_meshes import Mesh, contoured

Pixels = NDArray[np.uint8]
Colour = tuple[float, float, float]

_COLOURS: dict[str, Colour] = {
    "target": (0.78, 0.67, 0.49),
    "neighbour": (0.73, 0.70, 0.65),
    "canal": (0.85, 0.64, 0.0),
    "cement": (0.85, 0.39, 0.12),
    "balloon": (0.18, 0.50, 0.82),
    "needle": (0.34, 0.38, 0.42),
}
_OPACITY = {"target": 0.30, "neighbour": 0.22, "canal": 0.18, "cement": 1.0, "balloon": 0.7, "needle": 1.0}
_LEVEL = 0.3
_HALF_MM = 62.0
"""Half the height of a still for one level; more when several levels do not fit."""
_BEYOND_MM = 28.0
_WINDOWS = ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow", "vtkOpenGLRenderWindow")
_LETTER_MM, _NAME_MM = 5.0, 14.0
_LEVELS = frozenset(level.value for level in Level)
Words = tuple[list[tuple[Any, NDArray[np.float64]]], list[tuple[Any, float]]]
"""The letters of the directions with their axes, and the vertebrae's names with their heights."""


@dataclass(frozen=True, slots=True)
class Look:
    """From where a picture is taken, in the patient's directions, and the letters at its left and right edge."""

    name: str
    from_left: float
    from_posterior: float
    from_superior: float


LOOKS = (
    Look("from behind, left and above", 0.55, 0.75, 0.40),
    Look("from the left", 1.0, 0.0, 0.0),
    Look("from in front", 0.0, -1.0, 0.0),
)


def scene_pictures(
    scene: Scene3D, looks: tuple[Look, ...] = LOOKS, *, second: float = np.inf, pixels: int = 720, needles: bool = True
) -> list[Pixels]:
    """Draw the scene at one moment from each direction; (pixels, pixels, 3) each, white ground.

    Parameters
    ----------
    second : of the procedure's clock; infinite for the end
    needles : also those that are out by then
    """
    from vtkmodules.vtkRenderingCore import vtkRenderer

    window = _window(pixels)
    renderer = vtkRenderer()
    renderer.SetBackground(1.0, 1.0, 1.0)
    renderer.SetUseDepthPeeling(True)
    renderer.SetMaximumNumberOfPeels(12)
    renderer.SetOcclusionRatio(0.02)
    window.SetAlphaBitPlanes(1)
    window.SetMultiSamples(0)
    renderer.UseFXAAOn()
    window.AddRenderer(renderer)
    for mesh, kind in _surfaces(scene, second):
        renderer.AddActor(_actor(_poly(mesh), kind))
    for needle in scene.needles:
        if needles or needle.from_s <= second <= needle.until_s:
            renderer.AddActor(_actor(_tube(needle), "needle"))
    words = (_letters(scene, renderer), _names(scene, renderer))
    pictures = [_taken(window, renderer, scene, look, words) for look in looks]
    window.Finalize()
    return pictures


def filling_mesh(filling: Filling, second: float) -> Mesh | None:
    """Return the surface of what is filled at a moment; None before the first voxel or after removal."""
    if second >= filling.until_s and np.isfinite(filling.until_s):
        return None
    here = np.where(np.nan_to_num(filling.arrival_s, nan=np.inf) <= second, filling.amount, 0.0)
    soft = ndimage.gaussian_filter(np.pad(here, 1), 0.7)
    if soft.max() <= _LEVEL:
        return None
    points, faces = _contour(soft)
    return Mesh(filling.grid.to_lps(points - 1.0), faces)


def _surfaces(scene: Scene3D, second: float) -> list[tuple[Mesh, str]]:
    found = [(bone.at(second), bone.kind) for bone in scene.bones]
    for filling in scene.fillings:
        mesh = filling_mesh(filling, second)
        if mesh is not None:
            found.append((mesh, filling.kind))
    return found


def _window(pixels: int) -> Any:
    """Return an off-screen window: EGL where it is, without asking for a display."""
    from vtkmodules import vtkRenderingOpenGL2

    name = next(name for name in _WINDOWS if hasattr(vtkRenderingOpenGL2, name))
    window = getattr(vtkRenderingOpenGL2, name)()
    window.SetOffScreenRendering(1)
    window.SetSize(pixels, pixels)
    return window


def _contour(field: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return contoured(np.asarray(field, np.float32) * (0.5 / _LEVEL), 40000)


def _poly(mesh: Mesh) -> Any:
    from vtkmodules.util import numpy_support
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    arrays: Any = numpy_support  # untyped
    points = vtkPoints()
    points.SetData(arrays.numpy_to_vtk(np.ascontiguousarray(mesh.points_lps), deep=True))
    cells = vtkCellArray()
    starts = arrays.numpy_to_vtkIdTypeArray(np.arange(0, 3 * len(mesh.faces) + 1, 3, dtype=np.int64), deep=True)
    cells.SetData(starts, arrays.numpy_to_vtkIdTypeArray(np.ascontiguousarray(mesh.faces.ravel()), deep=True))
    poly = vtkPolyData()
    poly.SetPoints(points)
    poly.SetPolys(cells)
    return _with_normals(poly)


def _with_normals(poly: Any) -> Any:
    from vtkmodules.vtkFiltersCore import vtkPolyDataNormals

    normals = vtkPolyDataNormals()
    normals.SetInputData(poly)
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()


def _tube(needle: Needle) -> Any:
    from vtkmodules.vtkFiltersCore import vtkTubeFilter
    from vtkmodules.vtkFiltersSources import vtkLineSource

    line = vtkLineSource()
    line.SetPoint1(*needle.outer_lps)
    line.SetPoint2(*needle.tip_lps)
    tube = vtkTubeFilter()
    tube.SetInputConnection(line.GetOutputPort())
    tube.SetRadius(needle.radius_mm)
    tube.SetNumberOfSides(24)
    tube.CappingOn()
    tube.Update()
    return tube.GetOutput()


def _actor(poly: Any, kind: str) -> Any:
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    mapper = vtkPolyDataMapper()
    mapper.SetInputData(poly)
    mapper.ScalarVisibilityOff()
    actor = vtkActor()
    actor.SetMapper(mapper)
    look = actor.GetProperty()
    look.SetColor(*_COLOURS[kind])
    look.SetOpacity(_OPACITY[kind])
    look.SetAmbient(0.25)
    look.SetDiffuse(0.8)
    look.SetSpecular(0.25 if kind in ("needle", "cement", "balloon") else 0.05)
    look.SetSpecularPower(30)
    return actor


def _letters(scene: Scene3D, renderer: Any) -> list[tuple[Any, NDArray[np.float64]]]:
    """Add the six directions as letters that always face the viewer; return each with its axis."""
    made = []
    for name, axis in zip("LPS", scene.axes_lps, strict=True):
        for letter, sign in ((name, 1.0), ({"L": "R", "P": "A", "S": "I"}[name], -1.0)):
            made.append((_text(letter, renderer, 26, (0.11, 0.23, 0.33)), sign * axis))
    return made


def _names(scene: Scene3D, renderer: Any) -> list[tuple[Any, float]]:
    """Add the vertebrae's names; return each with its height, mm along the superior axis from the centre."""
    named = [bone for bone in scene.bones if bone.name in _LEVELS]
    return [
        (
            _text(bone.name, renderer, 20, (0.36, 0.40, 0.44)),
            float((bone.middle_lps - scene.centre_lps) @ scene.axes_lps[2]),
        )
        for bone in named
    ]


def _text(words: str, renderer: Any, size: int, colour: Colour) -> Any:
    from vtkmodules import vtkRenderingFreeType  # noqa: F401  (registers the fonts)
    from vtkmodules.vtkRenderingCore import vtkBillboardTextActor3D

    actor = vtkBillboardTextActor3D()
    actor.SetInput(words)
    style = actor.GetTextProperty()
    style.SetFontSize(size)
    style.SetBold(True)
    style.SetColor(*colour)
    style.SetJustificationToCentered()
    style.SetVerticalJustificationToCentered()
    renderer.AddActor(actor)
    return actor


def _half_height(scene: Scene3D) -> float:
    """Return half the height, mm, that shows every treated level with its neighbours' edges."""
    own = [bone.mesh.points_lps for bone in scene.bones if bone.kind == "target"]
    if not own:
        return _HALF_MM
    return max(_HALF_MM, float(np.abs((np.concatenate(own) - scene.centre_lps) @ scene.axes_lps[2]).max()) + _BEYOND_MM)


def _place_letters(
    letters: list[tuple[Any, NDArray[np.float64]]], away: NDArray[np.float64], half: float
) -> list[NDArray[np.float64] | None]:
    """Return where each direction's letter stands, mm from the centre; None for one that points at the viewer."""
    places: list[NDArray[np.float64] | None] = []
    for _, axis in letters:
        seen = axis - away * float(axis @ away)
        size = float(np.linalg.norm(seen))
        places.append((half - _LETTER_MM) * seen / size if size > 0.35 else None)
    return places


def _room(
    letters: list[NDArray[np.float64] | None], names: list[NDArray[np.float64]], away: NDArray[np.float64]
) -> float:
    """Return the least distance of a name to a letter as it is seen, mm."""
    apart = [one - name for one in letters if one is not None for name in names]
    return min((float(np.linalg.norm(gap - away * float(gap @ away))) for gap in apart), default=np.inf)


def _taken(window: Any, renderer: Any, scene: Scene3D, look: Look, words: Words) -> Pixels:
    from vtkmodules.util import numpy_support
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

    arrays: Any = numpy_support  # untyped
    half = _half_height(scene)
    away = np.array([look.from_left, look.from_posterior, look.from_superior]) @ scene.axes_lps
    away /= np.linalg.norm(away)
    letters, names = words
    superior = scene.axes_lps[2]
    leftwards = np.cross(away, superior)
    size_left = float(np.linalg.norm(leftwards))
    beside = (half - _NAME_MM) * leftwards / max(size_left, 1e-9)
    seen_letters = _place_letters(letters, away, half)
    # The names stand on the side where no letter is in their way.
    side = max((1.0, -1.0), key=lambda one: _room(seen_letters, [h * superior + one * beside for _, h in names], away))
    for actor, height in names:
        actor.SetPosition(*(scene.centre_lps + height * superior + side * beside))
        actor.SetVisibility(abs(height) < half - _NAME_MM and size_left > 0.6)
    for actor, place in zip((actor for actor, _ in letters), seen_letters, strict=True):
        # A direction that points at the viewer would stand in front of the spine: left out.
        actor.SetVisibility(place is not None)
        if place is not None:
            actor.SetPosition(*(scene.centre_lps + place))
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetParallelScale(half)
    camera.SetFocalPoint(*scene.centre_lps)
    camera.SetPosition(*(scene.centre_lps + 500.0 * away))
    camera.SetViewUp(*scene.axes_lps[2])
    renderer.ResetCameraClippingRange()
    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    across, up, _ = image.GetDimensions()
    flat = arrays.vtk_to_numpy(image.GetPointData().GetScalars())
    return np.asarray(flat.reshape(up, across, 3)[::-1], np.uint8).copy()
