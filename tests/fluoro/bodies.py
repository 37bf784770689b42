"""Small synthetic patients and views for the tests of this folder."""

import numpy as np

from vertecast.devices.carm import Pose, View
from vertecast.fluoro.settings import load_settings
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume

SETTINGS = load_settings()
MATERIALS = SETTINGS.physics.materials


def water_block(shape: tuple[int, int, int] = (60, 50, 60), spacing: float = 2.0, margin: int = 4) -> Volume:
    """A block of water in air, centred at LPS zero; axes L, P, S."""
    hu = np.full(shape, -1024, np.int16)
    hu[margin:-margin, margin:-margin, margin:-margin] = 0
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = -(np.array(shape) - 1) / 2 * spacing
    return Volume(hu, Grid.from_affine(shape, matrix))


def view_at(columns: int = 128, **tilt: float) -> View:
    return View(SETTINGS.carm.binned(columns), Pose.tilted(np.zeros(3), **tilt))


def cube_surface(half: float, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and outward faces of a cube."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))])
    return corners * half + np.array(centre), faces
