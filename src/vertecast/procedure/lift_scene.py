"""What the fluoroscope sees of a lift: balloons full of contrast, needles, and the bone where it has been moved to."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.devices.fills import Contrast
from vertecast.fluoro.scene import Scene, Shape, Tube
from vertecast.fluoro.surface import level_set_surface
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.physics.attenuation import Material, iodine_contrast
from vertecast.procedure.lift import Lift
from vertecast.procedure.lift_outcome import Displacement
from vertecast.procedure.needle import Needle

_ROUND = 45.0  # mm beside the level's middle within which the CT is moved; beyond it is soft tissue that is not seen to


def balloon_scene(
    lift: Lift, moment: str, needles: tuple[Needle, ...], contrast: Contrast, materials: Mapping[str, Material]
) -> Scene:
    """Return needles and tools at a moment; a balloon as its fluid, a metal tool as the shape it has opened.

    Parameters
    ----------
    moment : a name of ``lift.moments``
    """
    steel, fluid = materials["steel_316l"], iodine_contrast(contrast.iodine, materials)
    shapes: list[Shape] = []
    for needle in needles:
        back = needle.entry_lps - needle.tip_lps
        away = back / np.linalg.norm(back) * needle.length
        shapes.append(Tube(needle.tip_lps, needle.tip_lps + away, needle.outer_radius, needle.inner_radius, steel))
    grid = node_grid(lift)
    for cavity in lift.moments[moment].cavities:
        shapes.append(level_set_surface(cavity, grid, fluid))
    return Scene(tuple(shapes))


def node_grid(lift: Lift) -> Grid:
    """Return the grid whose samples are the nodes of the level's part of the site."""
    corner = np.eye(4)
    corner[:3, 3] = np.asarray(lift.level.corner) - 0.5
    shape = tuple(n + 1 for n in lift.level.tissue.shape)
    return Grid.from_affine(shape, lift.level.site.grid.lps_from_voxel.matrix @ corner)


def displaced_volume(lift: Lift, moment: str, volume: Volume) -> Volume:
    """Return the CT with the level, and what lies on it, moved as at a moment; HU by linear interpolation."""
    level, site = lift.level, lift.level.site
    moved = Displacement.of(level, lift.moments[moment])
    middle = site.grid.to_lps((np.asarray(level.centre) / site.voxel_mm + np.asarray(level.corner)) - 0.5)
    at = volume.grid.to_voxel(middle)
    reach = _ROUND / volume.grid.spacing
    low = np.maximum(np.floor(at - reach), 0).astype(int)
    high = np.minimum(np.ceil(at + reach) + 1, volume.grid.shape).astype(int)
    hu: NDArray[np.float32] = np.array(volume.hu, np.float32)
    corner = (np.asarray(level.corner) - 0.5)[:, None]
    for i in range(low[0], high[0]):
        index = np.indices((1, high[1] - low[1], high[2] - low[2])).reshape(3, -1).T + np.array([i, low[1], low[2]])
        source = moved.before(level.places(volume.grid.to_lps(index)).T)
        there = volume.grid.to_voxel(site.grid.to_lps((source / site.voxel_mm + corner).T)).T
        seen = ndimage.map_coordinates(volume.hu, there, order=1, mode="nearest", output=np.float32)
        hu[i, low[1] : high[1], low[2] : high[2]] = seen.reshape(high[1] - low[1], high[2] - low[2])
    return replace(volume, hu=hu)
