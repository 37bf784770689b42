"""A shaded 3-D view of one vertebra by looking through its mask: light bone, needles drawn where they run."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.frames import Transform
from vertecast.imaging.grid import Grid
from vertecast.planning.trajectory import NeedlePath
from vertecast.spine.anatomy import Anatomy

_HALF, _STEP = 48.0, 0.5  # mm
RELIEF_EXTENT = (-_HALF, _HALF, -_HALF, _HALF)
Camera = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Viewing direction, and the picture's right and up; (3,) unit each, in LPS."""
_LIGHT = np.array([-0.4, 0.6, 0.7])


def draw_relief(axes: Axes, needles: Sequence[NeedlePath], anatomy: Anatomy) -> None:
    """Draw the vertebra from behind and above, its surface translucent over the needles inside.

    Needles are drawn bright outside the bone and pale where bone lies before them.
    """
    camera = camera_from_behind(anatomy.vert_from_lps)
    view, right, up = camera
    depth = depth_image(anatomy.mask, anatomy.grid, anatomy.vert_from_lps.origin, camera)
    shade = shaded(depth)
    axes.set_facecolor("black")
    axes.imshow(shade, cmap="bone", vmin=0.0, vmax=1.1, extent=RELIEF_EXTENT, origin="lower")
    centre = anatomy.vert_from_lps.origin
    for needle in needles:
        outer = needle.entry_lps - 40.0 * needle.forward_lps
        share = np.linspace(0.0, 1.0, 200)[:, None]
        points = outer + share * (needle.tip_lps - outer) - centre
        u, v, w = points @ right, points @ up, points @ view
        hidden = _sampled(depth, u, v) < w
        axes.plot(u, v, color="#39c0c8", linewidth=1.2, alpha=0.9, linestyle=":")
        seen = np.where(hidden, np.nan, u)
        axes.plot(seen, v, color="#39c0c8", linewidth=2.0 * needle.tool.radius, solid_capstyle="butt")
        axes.plot(u[-1], v[-1], marker="x", color="#ff4d4d", markersize=7, markeredgewidth=2)
    axes.set_title("from behind, left and above\n(dotted: inside the bone)", color="white", fontsize=8)
    axes.set_xlim(-_HALF, _HALF)
    axes.set_ylim(-_HALF, _HALF)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])


def camera_from_behind(vert_from_lps: Transform) -> Camera:
    """Return the viewing direction, and the picture's right and up, in LPS: from behind, left and above."""
    left, posterior, superior = vert_from_lps.axes
    return camera_along(-(0.80 * posterior + 0.45 * superior + 0.40 * left), superior)


def camera_along(view_lps: NDArray[np.float64], superior: NDArray[np.float64]) -> Camera:
    """Return the camera that looks along a direction, superior up as far as that goes."""
    view = view_lps / np.linalg.norm(view_lps)
    up = superior - view * float(superior @ view)
    up /= np.linalg.norm(up)
    return view, np.cross(view, up), up


def depth_image(
    mask: NDArray[np.bool_], grid: Grid, centre_lps: NDArray[np.float64], camera: Camera
) -> NDArray[np.float64]:
    """(n, n), mm: distance along the view from the plane through ``centre_lps`` to the mask; NaN where it is not."""
    view, right, up = camera
    line = np.arange(-_HALF, _HALF, _STEP) + 0.5 * _STEP
    away = np.arange(-75.0, 55.0, 0.75)
    plane = line[None, :, None] * right + line[:, None, None] * up
    voxel_from_lps = grid.lps_from_voxel.inverse
    first = np.full(plane.shape[:2], np.nan)
    soft = ndimage.gaussian_filter(mask.astype(np.float32), 0.6)
    for w in away:
        points = centre_lps + plane + w * view
        indices = np.moveaxis(voxel_from_lps.apply(points), -1, 0)
        bone = ndimage.map_coordinates(soft, indices, order=1, mode="constant") > 0.5
        first = np.where(np.isnan(first) & bone, w, first)
    return first


def shaded(depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light the surface by its slope, darker with depth."""
    held = np.where(np.isnan(depth), 55.0, depth)
    smooth = ndimage.gaussian_filter(held, 1.0)
    dv, du = np.gradient(smooth, _STEP)
    normal = np.stack([du, dv, np.ones_like(du)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.clip(normal @ (_LIGHT / np.linalg.norm(_LIGHT)), 0.0, 1.0)
    fog = np.clip(1.0 - (held + 40.0) / 130.0, 0.35, 1.0)
    return np.where(np.isnan(depth), 0.0, (0.25 + 0.75 * light) * fog)


def _sampled(depth: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    i = np.clip(np.rint((v + _HALF) / _STEP - 0.5).astype(int), 0, depth.shape[0] - 1)
    j = np.clip(np.rint((u + _HALF) / _STEP - 0.5).astype(int), 0, depth.shape[1] - 1)
    return np.where(np.isnan(depth[i, j]), np.inf, depth[i, j])
