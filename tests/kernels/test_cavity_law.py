"""Proves: gaps open at the cut-off, close again, and have the tangent their stresses say; the ellipse is untouched."""

import numpy as np
import pytest

from vertecast.kernels.cavity_gaps import full_tangent, multiply
from vertecast.kernels.cavity_law import advance, opened, parted, principal, respond, with_drag
from vertecast.kernels.cavity_slots import Carried
from vertecast.kernels.foam_law import FoamLaw
from vertecast.kernels.foam_reference import elastic_matrix, returned

LAME, MU = 57.7, 38.5


def constants(count, strength=1.0, cut_off=np.inf):
    return np.stack([np.full(count, value) for value in (LAME, MU, strength, cut_off)])


def stress_of(strain, law, material, kappa=None):
    count = strain.shape[2]
    stress, tangent = np.empty_like(strain), np.zeros((8, 8, count), np.float32)
    gaps = np.zeros((8, count), bool)
    history = np.zeros((8, count)) if kappa is None else kappa
    respond(strain, np.zeros_like(strain), history, np.ones(count), material, with_drag(law), stress, tangent, gaps)
    return stress, tangent, gaps


def tensor(v, shear=1.0):
    return np.array(
        [[v[0], shear * v[5], shear * v[4]], [shear * v[5], v[1], shear * v[3]], [shear * v[4], shear * v[3], v[2]]]
    )


def test_principal_values_and_axes():
    rng = np.random.default_rng(0)
    for _ in range(50):
        s, values, axes = rng.normal(size=6), np.empty(3), np.empty((3, 3))
        principal(s, values, axes)
        np.testing.assert_allclose(values, np.linalg.eigvalsh(tensor(s))[::-1], atol=1e-12)
        np.testing.assert_allclose(axes * values @ axes.T, tensor(s), atol=1e-12)


def test_without_cut_off_it_is_the_foam_of_the_reference():
    rng, law = np.random.default_rng(1), FoamLaw(alpha=1.3, hardening=0.4)
    strain = rng.normal(0, 0.02, (8, 6, 3))
    stress, _, gaps = stress_of(strain, law, constants(3))
    assert not gaps.any()
    for q in range(8):
        for j in range(3):
            expected = returned(strain[q, :, j], np.zeros(6), 0.0, (LAME, MU, 1.0), law)[0]
            np.testing.assert_allclose(stress[q, :, j], expected, atol=1e-9)


def test_gaps_keep_the_stress_at_the_cut_off_and_never_overlap():
    rng, cut_off = np.random.default_rng(2), 0.05
    stiffness = elastic_matrix(LAME, MU)
    seen = set()
    for _ in range(300):
        e, gap, axes = rng.normal(0, 0.01, 6), np.empty(6), np.empty((3, 3))
        count = opened(e, LAME, MU, cut_off, gap, axes)
        seen.add(count)
        left = np.linalg.eigvalsh(tensor(stiffness @ (e - gap)))
        opening = np.linalg.eigvalsh(tensor(gap, 0.5))
        assert left[-1] <= cut_off + 1e-9  # no more than the cut-off
        assert opening[0] >= -1e-12  # faces do not pass through each other
        slack = tensor(stiffness @ (e - gap)) - cut_off * np.eye(3)
        assert abs(np.trace(slack @ tensor(gap, 0.5))) < 1e-10  # open only where the cut-off is reached
    assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize("cut_off", [0.0, 0.1])
def test_a_gap_closes_before_it_bears_again(cut_off):
    law, material = FoamLaw(alpha=2.0), constants(1, strength=1e9, cut_off=cut_off)
    strain = np.zeros((8, 6, 1))
    strain[:, 2] = 0.05
    energy = np.empty((2, 1))
    carried = strain.copy()
    advance(carried, np.zeros_like(strain), np.zeros((8, 1)), np.ones(1), material, with_drag(law), 0.0, energy)
    np.testing.assert_array_equal(carried, strain)
    half, _, gaps = stress_of(carried * 0.5, law, material)
    assert gaps.all()
    assert half[0, 2, 0] < cut_off + 0.01 * (LAME + 2 * MU) * 0.05
    back, *_ = stress_of(-0.2 * carried, law, material)
    assert back[0, 2, 0] == pytest.approx(-(LAME + 2 * MU) * 0.01, rel=1e-9)
    jammed = strain.copy()
    advance(jammed, np.zeros_like(strain), np.zeros((8, 1)), np.ones(1), material, with_drag(law), 0.5, energy)
    assert 0.4 * 0.05 < jammed[0, 2, 0] < 0.6 * 0.05 + 0.01


@pytest.mark.parametrize(("alpha", "strength", "most"), [(2.1, 1e9, 1e-5), (1.0, 1.0, 0.02)])
def test_full_tangent_is_the_stresss_derivative(alpha, strength, most):
    rng, law = np.random.default_rng(3), FoamLaw(alpha=alpha, hardening=0.5)
    strain, material = rng.normal(0, 0.02, (8, 6, 20)), constants(20, strength, 0.05)
    values, h = np.empty((8, 21, 20), np.float32), 1e-7
    _, rank_one, opens = stress_of(strain, law, material)
    assert 0.1 < opens.mean() < 1.0
    weighed = np.concatenate([material, np.ones((1, 20))])
    full_tangent(strain, opens, rank_one, np.zeros((8, 20)), weighed, with_drag(law), values)
    way = rng.normal(size=strain.shape)
    plus, minus = (stress_of(strain + sign * h * way, law, material)[0] for sign in (1, -1))
    exact, ours = (plus - minus) / (2 * h), way.copy()
    multiply(values, ours)
    miss = np.abs(ours - exact).max(axis=1) / np.abs(exact).max()
    assert np.quantile(miss, 0.97) < most


def test_full_tangent_is_never_negative():
    rng, law = np.random.default_rng(4), FoamLaw(alpha=2.1, hardening=0.4)
    strain, material = rng.normal(0, 0.05, (8, 6, 40)), constants(40, 1.0, 0.05)
    values = np.empty((8, 21, 40), np.float32)
    _, rank_one, opens = stress_of(strain, law, material)
    weighed = np.concatenate([material, np.ones((1, 40))])
    full_tangent(strain, opens, rank_one, np.zeros((8, 40)), weighed, with_drag(law), values)
    for q, j in zip(*np.nonzero(opens), strict=True):
        whole = np.zeros((6, 6))
        whole[np.triu_indices(6)] = values[q, :, j]
        whole += np.triu(whole, 1).T
        assert np.linalg.eigvalsh(whole)[0] > -1e-4 * np.linalg.eigvalsh(whole)[-1]


def test_multiply_is_the_matrix_product():
    rng = np.random.default_rng(6)
    values, strain = rng.normal(size=(8, 21, 70)).astype(np.float32), rng.normal(size=(8, 6, 70))
    whole = np.zeros((8, 70, 6, 6))
    whole[:, :, *np.triu_indices(6)] = np.moveaxis(values, 1, 2)
    whole += np.swapaxes(np.triu(whole, 1), 2, 3)
    expected = np.einsum("qjab,qbj->qaj", whole, strain)
    multiply(values, strain)
    np.testing.assert_allclose(strain, expected, atol=1e-12)


def both_of(strain, material):
    stress, gap = np.empty_like(strain), np.empty_like(strain)
    parted(strain, material, stress, gap)
    return stress, gap


def test_stress_and_gap_make_the_strain_they_came_from():
    strain, material = np.random.default_rng(8).normal(0, 0.01, (8, 6, 40)), constants(40, 1.0, 0.05)
    stress, gap = both_of(strain, material)
    assert np.count_nonzero(gap.any(axis=1)) > 100
    back = Carried(stress, gap, np.zeros((8, 40))).strain(material)
    np.testing.assert_allclose(back, strain, atol=1e-12)


def test_other_moduli_keep_stress_and_gap():
    """A band with a wide gap that becomes part of a soft, nearly incompressible disc must not pull on it."""
    strain = np.zeros((8, 6, 1))
    strain[:, 2] = 0.3
    stress, gap = both_of(strain, constants(1, 1.0, 0.05))
    disc = np.array([[16.4], [0.34], [1e3], [0.1]])
    back = Carried(stress, gap, np.zeros((8, 1))).strain(disc)
    now, _ = both_of(back, disc)
    assert np.abs(now).max() <= 0.1 + 1e-9
    naive = strain * MU / disc[1]  # as if the whole strain were elastic
    assert np.abs(both_of(naive, np.array([[16.4], [0.34], [1e3], [np.inf]]))[0]).max() > 100.0


def test_a_gap_that_closes_meets_its_drag_to_the_end():
    law, drag = with_drag(FoamLaw(alpha=1.0), 0.1), 0.1 * (LAME + 2 * MU) * 0.02
    before = np.zeros((8, 6, 1))
    before[:, 2] = 0.02
    found = []
    for strain in np.linspace(0.0012, -0.0012, 9):
        stress, opens = np.empty((8, 6, 1)), np.zeros((8, 1), bool)
        spread = np.zeros((8, 6, 1))
        spread[:, 2] = strain
        material = constants(1, cut_off=0.05)
        respond(
            spread, before, np.zeros((8, 1)), np.ones(1), material, law, stress, np.zeros((8, 8, 1), np.float32), opens
        )
        found.append((bool(opens[0, 0]), float(stress[0, 2, 0])))
    assert found[0][0]
    assert not found[-1][0]
    steps = np.diff([s for _, s in found])
    assert (steps < 0).all()  # falls all the way: a jump up where it closes would leave Newton nothing to find
    np.testing.assert_allclose(found[-1][1], -0.0012 * (LAME + 2 * MU) - drag, rtol=1e-9)
