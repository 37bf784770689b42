"""Proves: material points hand their state to the grid and back without loss, move rigidly when told to, keep mass."""

from dataclasses import replace

import numpy as np
import pytest

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.cavity_points import (
    cell_constants,
    cell_means,
    changed,
    crowding,
    homes,
    seeded,
    slot_means,
    travelled,
)
from vertecast.kernels.cavity_shape import cavity_share, gauss_order, node_places, sphere
from vertecast.kernels.cavity_slots import Carried, Leftover

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


def carried(mesh, seed):
    rng = np.random.default_rng(seed)
    return Carried(
        rng.normal(size=(8, 6, mesh.count)), rng.normal(size=(8, 6, mesh.count)), rng.random((8, mesh.count))
    )


def nothing(mesh):
    return Carried(np.zeros((8, 6, mesh.count)), np.zeros((8, 6, mesh.count)), np.zeros((8, mesh.count)))


def assert_same(one, other):
    for first, second in ((one.stress, other.stress), (one.gap, other.gap), (one.kappa, other.kappa)):
        np.testing.assert_allclose(first, second, atol=1e-12)


def test_what_the_points_carry_comes_back_unchanged():
    points, _ = points_of()
    mesh = mesh_of()
    at, given = homes(points, mesh), carried(mesh, 5)
    told = changed(points, at, nothing(mesh), given)
    assert_same(slot_means(at, told, mesh, np.ones(mesh.count, bool)), given)
    (density,) = cell_means(at, points, (points.mass / points.volume,), mesh)
    assert (density * np.prod(SPACING)).sum() == pytest.approx(points.mass.sum())


def by_label(density, damage, kappa, label, torn):
    strength = np.where(label == 4, 1e6, label + 1.0)
    return np.stack([10.0 * density, 5.0 * density, strength, np.where(label == 4, np.inf, 0.1 * strength)])


def test_a_voxel_of_one_label_has_its_constants():
    points, label = points_of()
    mesh = mesh_of()
    at = homes(points, mesh)
    (density,) = cell_means(at, points, (points.mass / points.volume,), mesh)
    (damage,) = cell_means(at, points, (points.damage,), mesh)
    expected = by_label(density, damage, damage, label.ravel(), damage)
    np.testing.assert_allclose(cell_constants(by_label, at, points, mesh, np.ones(mesh.count)), expected)


def test_points_too_large_for_their_room_count_as_crowded():
    hole = cavity_share(sphere([n + 1 for n in SHAPE], SPACING, (3, 2, 2.5), 1.4), SPACING)
    points = seeded(1 - hole, SPACING, np.full(SHAPE, 0.2), np.zeros(SHAPE), np.ones(SHAPE, int))
    weight = gauss_order(1 - hole).mean(axis=0)
    mesh = mesh_of(weight > 0)
    own = weight[mesh.mask]
    np.testing.assert_allclose(crowding(homes(points, mesh), points, mesh, own), 1.0)
    swollen = replace(points, volume=1.1 * points.volume)
    (density,) = cell_means(homes(points, mesh), swollen, (swollen.mass / swollen.volume,), mesh)
    crowded = density * crowding(homes(points, mesh), swollen, mesh, own)
    assert (crowded * own).sum() * np.prod(SPACING) == pytest.approx(points.mass.sum())  # no mass is lost


def test_a_voxel_of_two_labels_is_their_mixture():
    points, _ = points_of()
    mesh = mesh_of()
    at = homes(points, mesh)
    two = replace(points, label=np.where(at.octant < 2, 4, 1))  # a quarter of each voxel never yields nor opens
    found = cell_constants(by_label, at, two, mesh, np.ones(mesh.count))
    np.testing.assert_allclose(found[2], 1.0 / (0.25 / 1e6 + 0.75 / 2.0))
    np.testing.assert_allclose(found[3], 0.2 / 0.75)
    (density,) = cell_means(at, points, (points.mass / points.volume,), mesh)
    np.testing.assert_allclose(found[1], 5.0 * density)
    open_ = replace(two, gap=np.where(at.octant < 2, 0.0, 1.0) * np.ones((6, 1)))
    np.testing.assert_allclose(
        cell_constants(by_label, at, open_, mesh, np.ones(mesh.count))[3], 0.2, rtol=1e-3
    )  # its weakest part's


def test_leftover_restores_what_cut_voxels_forget():
    points, _ = points_of()
    mesh = mesh_of()
    at, given = homes(points, mesh), carried(mesh, 6)
    whole = np.arange(mesh.count) % 3 > 0  # every third voxel is cut: its octants share one mean
    told = changed(points, at, nothing(mesh), given)
    means = slot_means(at, told, mesh, whole)
    assert np.abs(means.stress - given.stress).max() > 0.1
    left = Leftover.between(mesh, given, means)
    assert left.voxel.size == np.count_nonzero(~whole)
    assert_same(left.added(mesh, slot_means(at, told, mesh, whole)), given)
    smaller = mesh_of(np.arange(120).reshape(SHAPE) > 30)
    left.added(smaller, nothing(smaller))  # what has gone is left out


def test_a_rigid_turn_turns_the_strain_and_keeps_the_volume():
    points, _ = points_of()
    angle, places = 0.02, node_places([n + 1 for n in SHAPE], SPACING)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    du = np.einsum("ij,jabc->iabc", turn - np.eye(3), places)
    mesh = mesh_of()
    given = nothing(mesh)
    given.stress[:, 0], given.stress[:, 1] = 0.01, -0.004
    given.gap[:] = given.stress
    start = changed(points, homes(points, mesh), nothing(mesh), given)
    end = travelled(start, du, SPACING)
    np.testing.assert_allclose(end.place, turn @ start.place, atol=1e-12)
    np.testing.assert_allclose(end.volume, start.volume, rtol=1e-3)
    expected = turn @ np.diag([0.01, -0.004, 0.0]) @ turn.T
    for tensor, shear in ((end.stress, 1.0), (end.gap, 2.0)):
        np.testing.assert_allclose(tensor[0], expected[0, 0], atol=1e-6)
        np.testing.assert_allclose(tensor[5], shear * expected[0, 1], atol=1e-6)


def test_compression_makes_points_denser():
    points, _ = points_of()
    du = np.zeros((3, *[n + 1 for n in SHAPE]))
    du[2] = -0.1 * node_places([n + 1 for n in SHAPE], SPACING)[2]
    end = travelled(points, du, SPACING)
    np.testing.assert_allclose(end.volume, points.volume * 0.9, rtol=1e-12)
    np.testing.assert_array_equal(end.mass, points.mass)


def test_points_change_octant_only_when_they_may():
    points, _ = points_of()
    du = np.zeros((3, *[n + 1 for n in SHAPE]))
    du[0] = 0.3 * SPACING[0]
    gone, kept = travelled(points, du, SPACING), travelled(points, du, SPACING, hop=False)
    np.testing.assert_array_equal(gone.place, kept.place)
    np.testing.assert_array_equal(kept.lattice, points.lattice)
    np.testing.assert_array_equal(gone.lattice - points.lattice, np.array([[1], [0], [0]]) * np.ones(points.count))
    later = travelled(kept, 0.0 * du, SPACING)
    np.testing.assert_array_equal(later.lattice, gone.lattice)


def test_refusals():
    density = np.full(SHAPE, 0.2)
    flat = np.zeros(SHAPE)
    with pytest.raises(ParameterError, match="density must be positive"):
        seeded(np.ones([2 * n for n in SHAPE]), SPACING, density * 0, flat, flat.astype(int))
    with pytest.raises(ParameterError, match="one a voxel"):
        seeded(np.ones([2 * n for n in SHAPE]), SPACING, density[1:], flat, flat.astype(int))
    with pytest.raises(GeometryError, match="no octant"):
        seeded(np.zeros([2 * n for n in SHAPE]), SPACING, density, flat, flat.astype(int))
