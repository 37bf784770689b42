"""A level set becomes a closed surface of the right size and place, whatever the grid's axes, and is seen there."""

import numpy as np
import pytest
from tests.fluoro.bodies import MATERIALS, SETTINGS, view_at, water_block

from vertecast.core.errors import GeometryError
from vertecast.fluoro.body import Body
from vertecast.fluoro.overlay import footprint
from vertecast.fluoro.scene import Ball
from vertecast.fluoro.surface import level_set_surface
from vertecast.imaging.grid import Grid
from vertecast.physics.attenuation import iodine_contrast

CONTRAST = iodine_contrast(300.0, MATERIALS)
CENTRE = np.array([3.0, -4.0, 5.0])


def level_set(signs: tuple[int, int, int] = (1, 1, 1), radius: float = 8.0) -> tuple[np.ndarray, Grid]:
    shape, spacing = (28, 26, 24), np.array([0.9, 1.0, 1.1])
    matrix = np.diag([*(spacing * signs), 1.0])
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    grid = Grid.from_affine(shape, matrix)
    points = grid.to_lps(np.moveaxis(np.indices(shape), 0, -1))
    return np.linalg.norm(points - CENTRE, axis=-1) - radius, grid


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (-1, -1, -1)])
def test_a_ball_keeps_its_volume_and_place(signs: tuple[int, int, int]) -> None:
    surface = level_set_surface(*level_set(signs), CONTRAST)  # an open or inside-out surface would be refused
    assert surface.volume_mm3 == pytest.approx(4 / 3 * np.pi * 8.0**3, rel=0.01)
    assert surface.vertices_lps.mean(axis=0) == pytest.approx(CENTRE, abs=0.05)
    assert np.abs(np.linalg.norm(surface.vertices_lps - CENTRE, axis=1) - 8.0).max() < 0.05


def test_its_picture_is_that_of_the_ball() -> None:
    view, body = view_at(512, lao_deg=20.0), Body(water_block(), SETTINGS.physics, SETTINGS.tissue)
    seen = footprint(level_set_surface(*level_set(), CONTRAST), view, body)
    exact = footprint(Ball(CENTRE, 8.0, CONTRAST), view, body)
    assert seen is not None
    assert exact is not None
    assert seen.path.max() == pytest.approx(exact.path.max(), rel=0.01)
    assert seen.path.sum() == pytest.approx(exact.path.sum(), rel=0.01)
    rows, columns = np.indices(seen.path.shape)
    middle = np.array([(columns * seen.path).sum(), (rows * seen.path).sum()]) / seen.path.sum()
    assert middle + np.array([seen.window[2], seen.window[0]]) == pytest.approx(view.to_pixel(CENTRE), abs=0.2)


def test_rough_masks_and_samples_on_the_surface_give_a_closed_surface() -> None:
    generator = np.random.default_rng(4)
    mask = generator.random((9, 8, 7)) < 0.4  # touches the border, has holes, meets at corners
    grid = Grid.from_affine(mask.shape, np.eye(4))
    assert level_set_surface(0.5 - mask, grid, CONTRAST).volume_mm3 > 0
    distance, grid = level_set(radius=8.0)
    distance = np.round(distance)
    assert (distance == 0).any()
    assert level_set_surface(distance, grid, CONTRAST).volume_mm3 > 0


def test_refusals() -> None:
    distance, grid = level_set()
    with pytest.raises(GeometryError, match="nowhere negative"):
        level_set_surface(np.abs(distance), grid, CONTRAST)
    with pytest.raises(GeometryError, match="level set has shape"):
        level_set_surface(distance[1:], grid, CONTRAST)
    with pytest.raises(GeometryError, match="not finite"):
        level_set_surface(np.where(distance > 0, np.nan, distance), grid, CONTRAST)


def test_these_checks_can_fail() -> None:
    small = level_set_surface(*level_set(radius=7.8), CONTRAST)
    assert small.volume_mm3 != pytest.approx(4 / 3 * np.pi * 8.0**3, rel=0.01)
