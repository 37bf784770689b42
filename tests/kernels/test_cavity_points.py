"""Proves: material points hand their state to the grid and back without loss, move rigidly when told to, keep mass."""

import numpy as np
import pytest

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.cavity_points import (
    Leftover,
    cell_means,
    changed,
    homes,
    labels_of,
    seeded,
    slot_means,
    travelled,
)
from vertecast.kernels.cavity_shape import cavity_share, node_places, sphere

SHAPE, SPACING = (6, 5, 4), (1.0, 0.8, 1.25)


def points_of(share=None):
    rng = np.random.default_rng(4)
    full = np.ones([2 * n for n in SHAPE]) if share is None else share
    label = rng.integers(0, 5, SHAPE)
    return seeded(full, SPACING, rng.uniform(0.1, 0.4, SHAPE), rng.random(SHAPE), label), label


def mesh_of(mask=None):
    return BrickMesh.from_mask(np.ones(SHAPE, bool) if mask is None else mask, SPACING)


def test_seeding_puts_the_mass_where_it_is():
    hole = cavity_share(sphere([n + 1 for n in SHAPE], SPACING, (3, 2, 2.5), 1.4), SPACING)
    density = np.full(SHAPE, 0.2)
    points = seeded(1 - hole, SPACING, density, np.zeros(SHAPE), np.ones(SHAPE, int))
    assert points.mass.sum() == pytest.approx(0.2 * (120 - 4 / 3 * np.pi * 1.4**3), rel=0.02)


def test_what_the_points_carry_comes_back_unchanged():
    points, label = points_of()
    mesh = mesh_of()
    at, rng = homes(points, mesh), np.random.default_rng(5)
    shear = np.ones(mesh.count)
    strain, kappa = rng.normal(size=(8, 6, mesh.count)), rng.random((8, mesh.count))
    zero = (np.zeros_like(strain), np.zeros_like(kappa))
    told = changed(points, at, (zero[0], strain), (zero[1], kappa), shear)
    back = slot_means(at, told, shear, mesh, np.ones(mesh.count, bool))
    np.testing.assert_allclose(back[0], strain, atol=1e-12)
    np.testing.assert_allclose(back[1], kappa, atol=1e-12)
    low, high = labels_of(at, points.label, mesh)
    np.testing.assert_array_equal(low, label.ravel())
    np.testing.assert_array_equal(high, label.ravel())
    (density,) = cell_means(at, points, (points.mass / points.volume,), mesh)
    assert (density * np.prod(SPACING)).sum() == pytest.approx(points.mass.sum())


def test_stress_stays_when_the_modulus_changes():
    points, _ = points_of()
    mesh = mesh_of()
    at, shear, stiffer = homes(points, mesh), np.ones(mesh.count), np.full(mesh.count, 4.0)
    strain, kappa = np.full((8, 6, mesh.count), 0.02), np.zeros((8, mesh.count))
    told = changed(points, at, (np.zeros_like(strain), strain), (kappa, kappa), shear)
    np.testing.assert_allclose(slot_means(at, told, stiffer, mesh, np.ones(mesh.count, bool))[0], 0.005)


def test_leftover_restores_what_cut_voxels_forget():
    points, _ = points_of()
    mesh = mesh_of()
    at, rng, shear = homes(points, mesh), np.random.default_rng(6), np.ones(mesh.count)
    cut = np.arange(mesh.count) % 3 > 0  # every third voxel is cut: its octants share one mean
    strain, kappa = rng.normal(size=(8, 6, mesh.count)), rng.random((8, mesh.count))
    zero = (np.zeros_like(strain), np.zeros_like(kappa))
    told = changed(points, at, (zero[0], strain), (zero[1], kappa), shear)
    means = slot_means(at, told, shear, mesh, cut)
    assert np.abs(means[0] - strain).max() > 0.1
    left = Leftover.between(mesh, (strain, kappa), means)
    assert left.voxel.size == np.count_nonzero(~cut)
    again = left.added(mesh, *slot_means(at, told, shear, mesh, cut))
    np.testing.assert_allclose(again[0], strain, atol=1e-12)
    smaller = mesh_of(np.arange(120).reshape(SHAPE) > 30)
    left.added(smaller, np.zeros((8, 6, smaller.count)), np.zeros((8, smaller.count)))  # what has gone is left out


def test_a_rigid_turn_turns_the_strain_and_keeps_the_volume():
    points, _ = points_of()
    angle, places = 0.02, node_places([n + 1 for n in SHAPE], SPACING)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    du = np.einsum("ij,jabc->iabc", turn - np.eye(3), places)
    mesh = mesh_of()
    strain = np.zeros((8, 6, mesh.count))
    strain[:, 0], strain[:, 1] = 0.01, -0.004
    kappa = np.zeros((8, mesh.count))
    start = changed(points, homes(points, mesh), (np.zeros_like(strain), strain), (kappa, kappa), np.ones(mesh.count))
    end = travelled(start, du, SPACING)
    np.testing.assert_allclose(end.place, turn @ start.place, atol=1e-12)
    np.testing.assert_allclose(end.volume, start.volume, rtol=1e-3)
    expected = turn @ np.diag([0.01, -0.004, 0.0]) @ turn.T
    np.testing.assert_allclose(end.strain[0], expected[0, 0], atol=1e-6)
    np.testing.assert_allclose(end.strain[5], 2 * expected[0, 1], atol=1e-6)


def test_compression_makes_points_denser():
    points, _ = points_of()
    du = np.zeros((3, *[n + 1 for n in SHAPE]))
    du[2] = -0.1 * node_places([n + 1 for n in SHAPE], SPACING)[2]
    end = travelled(points, du, SPACING)
    np.testing.assert_allclose(end.volume, points.volume * np.exp(-0.1), rtol=1e-12)
    np.testing.assert_array_equal(end.mass, points.mass)


def test_refusals():
    density = np.full(SHAPE, 0.2)
    flat = np.zeros(SHAPE)
    with pytest.raises(ParameterError, match="density must be positive"):
        seeded(np.ones([2 * n for n in SHAPE]), SPACING, density * 0, flat, flat.astype(int))
    with pytest.raises(ParameterError, match="one a voxel"):
        seeded(np.ones([2 * n for n in SHAPE]), SPACING, density[1:], flat, flat.astype(int))
    with pytest.raises(GeometryError, match="no octant"):
        seeded(np.zeros([2 * n for n in SHAPE]), SPACING, density, flat, flat.astype(int))
