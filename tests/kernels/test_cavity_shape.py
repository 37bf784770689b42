"""Proves: a level set's volume, wall and shares of octants are those of the shape it stands for, moved or not."""

import numpy as np
import pytest

from vertecast.core.errors import GeometryError
from vertecast.kernels.cavity_move import extended, moved_wall, wall_step
from vertecast.kernels.cavity_shape import (
    capsule,
    cavity_volume,
    cut_share,
    gauss_order,
    node_places,
    octant_order,
    octant_values,
    redistanced,
    sphere,
    wall_points,
)

ONE = (1.0, 1.0, 1.0)


def test_a_planes_share_of_a_cube_is_exact():
    rng = np.random.default_rng(1)
    points = rng.random((400_000, 3)) - 0.5
    for _ in range(6):
        slopes, value = rng.normal(size=3), rng.normal() * 0.4
        counted = np.mean(value + points @ slopes < 0)
        assert cut_share(np.array([value]), slopes[:, None])[0] == pytest.approx(counted, abs=4e-3)
    straight = cut_share(np.array([0.2]), np.array([[1.0], [0.0], [0.0]]))
    assert straight[0] == pytest.approx(0.3, abs=2e-3)


@pytest.mark.parametrize(("radius", "most"), [(3.0, 0.01), (6.0, 0.003), (10.0, 0.001)])
def test_volume_of_a_sphere(radius, most):
    n = int(radius) + 4
    field = sphere((2 * n + 1,) * 3, ONE, (n + 0.3, n - 0.2, n), radius)
    assert cavity_volume(field, ONE) == pytest.approx(4 / 3 * np.pi * radius**3, rel=most)


def test_a_capsule_on_oblong_voxels():
    field = capsule((21, 15, 31), (1.0, 1.0, 0.5), ((5.0, 7.0, 7.0), (14.0, 7.0, 7.0)), 3.0)
    exact = 4 / 3 * np.pi * 27 + np.pi * 9 * 9
    assert cavity_volume(field, (1.0, 1.0, 0.5)) == pytest.approx(exact, rel=0.01)


def test_octants_are_in_gauss_order_and_back():
    octants = np.arange(2 * 3 * 2 * 4 * 2 * 5, dtype=float).reshape(6, 8, 10)
    np.testing.assert_array_equal(octant_order(gauss_order(octants)), octants)
    assert gauss_order(octants)[6, 1, 2, 3] == octants[3, 5, 6]  # g = 4 gx + 2 gy + gz


def test_interpolation_is_exact_for_cubics():
    x, y, z = node_places((8, 7, 6), ONE)
    field = x**3 - 2 * y**2 * z + x * y * z
    qx, qy, qz = (node_places((14, 12, 10), (0.5, 0.5, 0.5)) + 0.25)[:, 2:-2, 2:-2, 2:-2]
    inner = octant_values(field)[2:-2, 2:-2, 2:-2]
    np.testing.assert_allclose(inner, qx**3 - 2 * qy**2 * qz + qx * qy * qz, atol=1e-10)


def test_distance_is_restored_and_the_volume_kept():
    field = sphere((21,) * 3, ONE, (10, 10, 10), 6.0)
    bent = field * (1 + 0.5 * np.abs(field) / 6)
    again = redistanced(bent, ONE, 4.0)
    near = np.abs(field) < 2.5
    assert np.abs(again - field)[near].max() < 0.06
    assert cavity_volume(again, ONE) == pytest.approx(cavity_volume(bent, ONE), rel=1e-3)


def test_no_wall_is_refused():
    with pytest.raises(GeometryError, match="no wall"):
        redistanced(np.ones((5, 5, 5)), ONE, 2.0)


def test_a_wall_moves_with_the_material_and_rests_with_it():
    field = sphere((25,) * 3, ONE, (12, 12, 12), 6.0)
    places = node_places(field.shape, ONE) - 12.0
    r = np.maximum(np.sqrt((places**2).sum(0)), 2.0)
    du = 0.3 * places / r
    assert moved_wall(field, np.zeros_like(du), ONE) is field
    moved = moved_wall(field, du, ONE)
    assert cavity_volume(moved, ONE) == pytest.approx(4 / 3 * np.pi * 6.3**3, rel=0.003)
    assert wall_step(field, du, np.ones(field.shape, bool), ONE) == pytest.approx(0.3, abs=0.01)
    assert len(wall_points(field, ONE)[0]) > 500


def test_displacement_is_carried_into_the_void():
    known = np.zeros((12, 6, 6), bool)
    known[:6] = True
    u = np.full((3, 12, 6, 6), 0.25)
    out = extended(u * known, known, 4)
    np.testing.assert_allclose(out[:, :10], 0.25)
    assert not out[:, 10:].any()
