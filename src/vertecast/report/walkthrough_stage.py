"""The off-screen stage of the walk-through: surfaces that come and go, one camera, pictures as arrays."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.report.view3d_meshes import Mesh

Pixels = NDArray[np.uint8]
Colour = tuple[float, float, float]
_GROUND_LOW: Colour = (0.86, 0.89, 0.91)
_GROUND_HIGH: Colour = (0.97, 0.98, 0.98)
_WINDOWS = ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow", "vtkOpenGLRenderWindow")


@dataclass(frozen=True, slots=True)
class Shot:
    """Where the camera stands: parallel rays, so that lengths compare across the picture.

    Parameters
    ----------
    focus_lps : (3,), mm, in the middle of the picture
    away_lps : (3,), from the focus to the camera; any length
    up_lps : (3,), shown upwards as far as that goes
    half_mm : from the middle to the upper edge
    """

    focus_lps: NDArray[np.float64]
    away_lps: NDArray[np.float64]
    up_lps: NDArray[np.float64]
    half_mm: float

    def pixel(self, point_lps: NDArray[np.float64], size: tuple[int, int]) -> tuple[float, float]:
        """Return where a point is seen, (x, y) from the upper left, in a picture of (width, height)."""
        away = self.away_lps / np.linalg.norm(self.away_lps)
        up = self.up_lps - away * float(self.up_lps @ away)
        up /= np.linalg.norm(up)
        right = np.cross(up, away)
        scale = size[1] / (2 * self.half_mm)
        offset = point_lps - self.focus_lps
        return size[0] / 2 + scale * float(offset @ right), size[1] / 2 - scale * float(offset @ up)

    def towards(self, other: "Shot", share: float) -> "Shot":
        """Return the shot a share of the way to another one, eased at both ends."""
        s = share * share * (3.0 - 2.0 * share)

        def mixed(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray((1 - s) * one + s * two)

        return Shot(
            mixed(self.focus_lps, other.focus_lps),
            mixed(_unit(self.away_lps), _unit(other.away_lps)),
            mixed(_unit(self.up_lps), _unit(other.up_lps)),
            float(self.half_mm ** (1 - s) * other.half_mm**s),
        )


class Stage:
    """Named surfaces before one camera.

    The window is the only state; surfaces are put, moved, shown and hidden by name.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        from vtkmodules.vtkRenderingCore import vtkLight, vtkRenderer

        self.size = size
        self._window = _window(size)
        self._renderer: Any = vtkRenderer()
        # Sorting fragments costs a quarter of a picture and shows nothing: surfaces let see their near side only.
        self._renderer.SetUseOIT(False)
        self._renderer.SetGradientBackground(True)
        self._renderer.SetBackground(*_GROUND_LOW)
        self._renderer.SetBackground2(*_GROUND_HIGH)
        for place, strength in (((-0.6, 0.8, 1.0), 0.85), ((0.9, -0.1, 0.5), 0.35)):
            light: Any = vtkLight()
            light.SetLightTypeToCameraLight()
            light.SetPosition(*place)
            light.SetFocalPoint(0.0, 0.0, 0.0)
            light.SetIntensity(strength)
            self._renderer.AddLight(light)
        self._window.AddRenderer(self._renderer)
        self._actors: dict[str, Any] = {}
        self._versions: dict[str, float] = {}
        self._seen: tuple[tuple[Any, ...], Pixels] | None = None

    def put(self, name: str, mesh: Mesh, colour: Colour, opacity: float = 1.0) -> None:
        """Place a surface, instead of the one of that name."""
        self.drop(name)
        actor = _actor(mesh, colour, opacity)
        self._actors[name] = actor
        self._renderer.AddActor(actor)

    def put_version(self, name: str, version: float, make: Callable[[], Mesh | None], colour: Colour) -> None:
        """Place a surface that is made only when it differs from the one of that name; None takes it away."""
        if self._versions.get(name) != version:
            mesh = make()
            self.drop(name)
            if mesh is not None:
                self.put(name, mesh, colour)
            self._versions[name] = version
        if name in self._actors:
            self.show(name)
            self.paint(name, colour)

    def drop(self, name: str) -> None:
        """Take a surface away, if it is there."""
        self._versions.pop(name, None)
        if name in self._actors:
            self._renderer.RemoveActor(self._actors.pop(name))

    def show(self, prefix: str, visible: bool = True) -> None:
        """Show or hide every surface whose name begins so."""
        for name, actor in self._actors.items():
            if name.startswith(prefix):
                actor.SetVisibility(visible)

    def move(self, name: str, offset_lps: NDArray[np.float64]) -> None:
        """Shift a surface from where its mesh lies."""
        self._actors[name].SetPosition(*offset_lps)

    def paint(self, name: str, colour: Colour, opacity: float | None = None) -> None:
        """Change a surface's colour, and its opacity if given."""
        style = self._actors[name].GetProperty()
        style.SetColor(*colour)
        if opacity is not None:
            style.SetOpacity(opacity)
            style.SetBackfaceCulling(opacity < 1.0)

    def smooth(self, on: bool) -> None:
        """Smooth the edges or not: it doubles the time of a picture, and a moving one does not need it."""
        self._renderer.SetUseFXAA(on)

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of the surfaces that begin so."""
        return [name for name in self._actors if name.startswith(prefix)]

    def picture(self, shot: Shot) -> Pixels:
        """Return what the camera sees, (height, width, 3); the last picture when nothing moved since."""
        state = self._state(shot)
        if self._seen is None or self._seen[0] != state:
            self._seen = state, self._drawn(shot)
        return self._seen[1].copy()

    def _state(self, shot: Shot) -> tuple[Any, ...]:
        """Return all that a picture depends on."""
        camera = (*shot.focus_lps, *shot.away_lps, *shot.up_lps, shot.half_mm, self._renderer.GetUseFXAA())
        looks = [
            (actor, style.GetColor(), style.GetOpacity(), actor.GetPosition())
            for actor in self._actors.values()
            if actor.GetVisibility() and (style := actor.GetProperty())
        ]
        return (camera, looks)

    def _drawn(self, shot: Shot) -> Pixels:
        from vtkmodules.util import numpy_support
        from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

        camera = self._renderer.GetActiveCamera()
        camera.ParallelProjectionOn()
        camera.SetParallelScale(shot.half_mm)
        camera.SetFocalPoint(*shot.focus_lps)
        camera.SetPosition(*(shot.focus_lps + 3000.0 * _unit(shot.away_lps)))
        camera.SetViewUp(*shot.up_lps)
        self._renderer.ResetCameraClippingRange()
        grab: Any = vtkWindowToImageFilter()
        grab.SetInput(self._window)
        grab.ReadFrontBufferOff()
        grab.Update()
        arrays: Any = numpy_support  # untyped
        flat = arrays.vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
        return np.asarray(flat.reshape(self.size[1], self.size[0], 3)[::-1], np.uint8)

    def close(self) -> None:
        """Give the window back."""
        self._window.Finalize()


@contextmanager
def stage(size: tuple[int, int]) -> Iterator[Stage]:
    """Yield a stage of (width, height) pixels and close it at the end."""
    made = Stage(size)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def quiet_display() -> Iterator[None]:
    """Hide a display that does not answer: vtk then draws off screen without a word on standard error."""
    display = os.environ.pop("DISPLAY", None)
    try:
        yield
    finally:
        if display is not None:
            os.environ["DISPLAY"] = display


def tube_mesh(start: NDArray[np.float64], end: NDArray[np.float64], radius: float) -> Mesh:
    """Return a straight tube with closed ends."""
    along = _unit(end - start)
    side = _unit(np.cross(along, [0.3, 0.5, 0.8]))
    other = np.cross(along, side)
    turn = np.linspace(0.0, 2 * np.pi, 24, endpoint=False)
    ring = radius * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * other)
    points = np.concatenate([start + ring, end + ring, [start, end]])
    nxt = (np.arange(24) + 1) % 24
    k = np.arange(24)
    faces = np.concatenate(
        [
            np.stack([k, nxt, nxt + 24], axis=1),
            np.stack([k, nxt + 24, k + 24], axis=1),
            np.stack([nxt, k, np.full(24, 48)], axis=1),
            np.stack([k + 24, nxt + 24, np.full(24, 49)], axis=1),
        ]
    )
    return Mesh(points, faces)


def _window(size: tuple[int, int]) -> Any:
    from vtkmodules import vtkRenderingOpenGL2

    name = next(name for name in _WINDOWS if hasattr(vtkRenderingOpenGL2, name))
    window = getattr(vtkRenderingOpenGL2, name)()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(*size)
    return window


def _actor(mesh: Mesh, colour: Colour, opacity: float) -> Any:
    from vtkmodules.vtkFiltersCore import vtkPolyDataNormals
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    normals: Any = vtkPolyDataNormals()
    normals.SetInputData(_poly(mesh))
    normals.SetFeatureAngle(50.0)
    normals.Update()
    mapper: Any = vtkPolyDataMapper()
    mapper.SetInputData(normals.GetOutput())
    mapper.ScalarVisibilityOff()
    actor: Any = vtkActor()
    actor.SetMapper(mapper)
    style = actor.GetProperty()
    style.SetColor(*colour)
    style.SetOpacity(opacity)
    # Only the near side of a translucent surface: no sorting is needed, and it stays clear what lies inside.
    style.SetBackfaceCulling(opacity < 1.0)
    style.SetAmbient(0.28)
    style.SetDiffuse(0.75)
    style.SetSpecular(0.12)
    style.SetSpecularPower(25)
    return actor


def _poly(mesh: Mesh) -> Any:
    from vtkmodules.util import numpy_support
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    arrays: Any = numpy_support  # untyped
    points: Any = vtkPoints()
    points.SetData(arrays.numpy_to_vtk(np.ascontiguousarray(mesh.points_lps), deep=True))
    cells: Any = vtkCellArray()
    starts = arrays.numpy_to_vtkIdTypeArray(np.arange(0, 3 * len(mesh.faces) + 1, 3, dtype=np.int64), deep=True)
    corners = np.ascontiguousarray(mesh.faces.ravel(), dtype=np.int64)
    cells.SetData(starts, arrays.numpy_to_vtkIdTypeArray(corners, deep=True))
    poly: Any = vtkPolyData()
    poly.SetPoints(points)
    poly.SetPolys(cells)
    return poly


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))
