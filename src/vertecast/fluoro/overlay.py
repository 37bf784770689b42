"""The scene's shapes projected: for each, a window of the picture with its path and with what it displaces."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.devices.carm import View
from vertecast.fluoro.body import Body, cone_through, integrate
from vertecast.fluoro.scene import Ball, ClosedSurface, Scene, Shape, Tube, VoxelField
from vertecast.kernels.project import make_stack
from vertecast.kernels.project_shapes import ball_paths, surface_paths, tube_paths
from vertecast.physics.attenuation import Material

_PROFILE_MM = 0.5

Window = tuple[int, int, int, int]
"""First and last row, first and last column, the last ones excluded."""


@dataclass(frozen=True, eq=False)
class Footprint:
    """One shape as the detector sees it.

    Parameters
    ----------
    window : where in the picture
    material : of the path, ``None`` for a void
    path : (rows, columns), mm in the material
    displaced : (2, rows, columns), mg/mm2 of water-like and bone-like tissue that is no longer there
    """

    window: Window
    material: Material | None
    path: NDArray[np.float32]
    displaced: NDArray[np.float32]


def footprint(shape: Shape, view: View, body: Body) -> Footprint | None:
    """Project one shape; ``None`` when it lies outside the picture."""
    window = _window(_outline(shape), view)
    if window is None:
        return None
    if isinstance(shape, VoxelField):
        return _field_footprint(shape, view, body, window)
    size = window[1] - window[0], window[3] - window[2]
    path, displaced = np.zeros(size, np.float32), np.zeros((2, *size), np.float32)
    rays = _rays(view, window)
    if isinstance(shape, Tube):
        profile = _tube_profile(shape, body)
        radii = np.array([shape.outer_radius, shape.inner_radius])
        tube_paths(rays, shape.start_lps, shape.end_lps, radii, profile, path, displaced)
    else:
        if isinstance(shape, Ball):
            ball_paths(rays, shape.centre_lps, float(shape.radius), path)
            density = body.densities(shape.centre_lps[None]).mean(axis=1)
        else:
            pixels = view.to_pixel(shape.vertices_lps) - np.array([window[2], window[0]])
            surface_paths(rays, shape.vertices_lps, pixels, shape.faces, path)
            points, weights = shape.interior()
            density = np.average(body.densities(points), axis=1, weights=weights)
        displaced[:] = density[:, None, None] * path
    return Footprint(window, shape.material, path, displaced * np.float32(shape.displaces))


def union(windows: list[Window]) -> Window:
    """Return the smallest window that holds all."""
    table = np.array(windows)
    low, high = table.min(axis=0), table.max(axis=0)
    return int(low[0]), int(high[1]), int(low[2]), int(high[3])


def stacked_paths(
    background: NDArray[np.float32], prints: list[Footprint], window: Window
) -> tuple[NDArray[np.float32], list[Material]]:
    """Lay footprints on the background inside one window.

    Returns
    -------
    (2 + materials, rows, columns)
        Water-like and bone-like mass per area, mg/mm2, then the path in each material, mm.
    The materials in that order.
    """
    materials: list[Material] = []
    for one in prints:
        if one.material is not None and all(one.material is not known for known in materials):
            materials.append(one.material)
    top, bottom, left, right = window
    paths = np.zeros((2 + len(materials), bottom - top, right - left), np.float32)
    paths[:2] = background[:, top:bottom, left:right]
    for one in prints:
        rows = slice(one.window[0] - top, one.window[1] - top)
        columns = slice(one.window[2] - left, one.window[3] - left)
        paths[:2, rows, columns] -= one.displaced
        if one.material is not None:
            index = next(i for i, known in enumerate(materials) if known is one.material)
            paths[2 + index, rows, columns] += one.path
    np.maximum(paths, 0.0, out=paths)
    return paths, materials


class Overlay:
    """Footprints of a scene in one view; what did not change since the last call is kept."""

    def __init__(self, view: View, body: Body) -> None:
        self._view, self._body = view, body
        self._kept: dict[Shape, Footprint | None] = {}

    def footprints(self, scene: Scene) -> list[Footprint]:
        """Project the shapes that are new, forget those that are gone."""
        self._kept = {
            shape: self._kept[shape] if shape in self._kept else footprint(shape, self._view, self._body)
            for shape in scene.shapes
        }
        return [one for one in self._kept.values() if one is not None]


def _outline(shape: Shape) -> NDArray[np.float64]:
    """Points whose picture encloses the shape's, (n, 3), LPS mm."""
    if isinstance(shape, ClosedSurface):
        return shape.vertices_lps
    if isinstance(shape, VoxelField):
        return shape.trimmed[1].corners_lps
    if isinstance(shape, Ball):
        centres, radius = shape.centre_lps[None], shape.radius
    else:
        centres, radius = np.stack([shape.start_lps, shape.end_lps]), shape.outer_radius
    box = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * radius
    return np.asarray((centres[:, None] + box).reshape(-1, 3))


def _window(points_lps: NDArray[np.float64], view: View) -> Window | None:
    pixels = view.to_pixel(points_lps)
    low, high = np.floor(pixels.min(axis=0)).astype(int), np.ceil(pixels.max(axis=0)).astype(int) + 1
    rows, columns = view.shape
    top, bottom = max(0, int(low[1])), min(rows, int(high[1]))
    left, right = max(0, int(low[0])), min(columns, int(high[0]))
    return (top, bottom, left, right) if top < bottom and left < right else None


def _rays(view: View, window: Window) -> NDArray[np.float64]:
    first = view.corner_lps + window[2] * view.column_step_lps + window[0] * view.row_step_lps
    return np.stack([view.source_lps, first, view.column_step_lps, view.row_step_lps])


def _tube_profile(tube: Tube, body: Body) -> NDArray[np.float32]:
    """Density of what the tube displaces, (2, n), at even places along its axis."""
    length = float(np.linalg.norm(tube.end_lps - tube.start_lps))
    count = max(1, int(np.ceil(length / _PROFILE_MM)))
    places = (np.arange(count) + 0.5) / count
    return body.densities(tube.start_lps + places[:, None] * (tube.end_lps - tube.start_lps))


def _field_footprint(field: VoxelField, view: View, body: Body, window: Window) -> Footprint:
    fraction, grid = field.trimmed
    cone = cone_through(view, grid).windowed(*window)
    fields = [fraction]
    if field.displaces:
        filled = np.nonzero(fraction)
        densities = body.densities(grid.to_lps(np.stack(filled, axis=-1)))
        fields.extend(np.zeros_like(fraction) for _ in densities)
        for displaced, density in zip(fields[1:], densities, strict=True):
            displaced[filled] = fraction[filled] * density
    maps = [integrate(make_stack(np.ascontiguousarray(one), cone.slice_axis), cone) for one in fields]
    removed = np.stack(maps[1:]) if field.displaces else np.zeros((2, *cone.shape), np.float32)
    return Footprint(window, field.material, maps[0], removed)
