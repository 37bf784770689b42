"""A uniform column of bone in a CT, and the calibrations that read it."""

import numpy as np

from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.spine.anatomy import Anatomy

RADIUS, HEIGHT, DENSITY = 12.0, 22.0, 0.1  # mm, mm (11 voxels of 2 mm), mg/mm³


class Line:
    """A calibration: density in mg/mm³ is HU / 1000."""

    name, calibrated = "a line", True

    def density(self, hu):
        return np.asarray(hu, float) / 1000


class Uncalibrated(Line):
    calibrated = False


def column(turn=0.0):
    """A cylinder standing along the z axis of a frame turned by ``turn`` about x, with the CT it lies in."""
    shape = (36, 36, 36)
    matrix = np.eye(4)
    matrix[:3, 3] = -17.5
    grid = Grid.from_affine(shape, matrix)
    c, s = np.cos(turn), np.sin(turn)
    axes = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    frame = Transform.from_axes(axes, np.zeros(3), target="vert:L3", source=LPS)
    x, y, z = np.moveaxis(frame.apply(grid.to_lps(np.moveaxis(np.indices(shape), 0, -1))), -1, 0)
    body = (x**2 + y**2 < RADIUS**2) & (np.abs(z) < HEIGHT / 2)
    hu = np.full(shape, 1000 * DENSITY, np.float32)
    return Anatomy(Level.L3, grid, body, body, np.zeros(shape, bool), frame), Volume(hu, grid)
