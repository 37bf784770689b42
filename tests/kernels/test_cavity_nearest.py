"""Proves: the stress found is the nearest that ellipse and cut-off allow, against a minimiser that knows neither."""

import numpy as np
import pytest
from scipy.optimize import minimize

from vertecast.kernels.cavity_nearest import nearest, nearest_tangent, squared
from vertecast.kernels.foam_law import FoamLaw

LAME, MU = 57.7, 38.5
COMPLIANCE = np.linalg.inv(LAME * np.ones((3, 3)) + 2 * MU * np.eye(3))


def returned(e, law, strength, cut_off):
    t, o = np.empty(3), np.empty(3)
    g, _ = nearest(e, LAME, MU, strength, cut_off, 0.0, law.packed(), t, o)
    return g, t, o


@pytest.mark.parametrize("alpha", [0.8, 2.1])
def test_it_is_the_nearest(alpha):
    rng, law, c = np.random.default_rng(5), FoamLaw(alpha=alpha), 1 + alpha**2 / 9
    both = 0
    for _ in range(25):
        e = rng.normal(0, 0.03, 3)
        trial = np.linalg.solve(COMPLIANCE, e)
        cut_off = rng.choice([0.02, 0.3, 0.7])
        g, t, o = returned(e, law, 1.0, cut_off)
        both += g > 0 and bool(np.any(o > 0))
        found = minimize(
            lambda s, trial=trial: 50 * (s - trial) @ COMPLIANCE @ (s - trial),
            np.zeros(3),
            bounds=[(None, cut_off)] * 3,
            constraints={"type": "ineq", "fun": lambda s: c - squared(s, law.packed())},
            options={"maxiter": 300, "ftol": 1e-14},
        )
        np.testing.assert_allclose(t, found.x, atol=2e-4)
        assert squared(t, law.packed()) <= c * (1 + 1e-9)
        assert t.max() <= cut_off + 1e-9
        assert o.min() >= -1e-12
    assert both >= 5


def test_what_is_taken_away_is_opening_and_flow():
    rng, law = np.random.default_rng(7), FoamLaw(alpha=1.3, hardening=0.4)
    for _ in range(50):
        e = rng.normal(0, 0.03, 3)
        g, t, o = returned(e, law, 1.0, 0.1)
        mean = t.mean()
        flow = g * (1.5 * (t - mean) + 1.3**2 * mean / 3)
        np.testing.assert_allclose(COMPLIANCE @ t + o + flow, e, atol=1e-10)


def test_a_wide_gap_does_not_crush():
    g, t, o = returned(np.array([0.5, -0.004, -0.004]), FoamLaw(alpha=2.1), 1.0, 0.05)
    assert g == 0.0
    assert t[0] == pytest.approx(0.05)
    assert o[0] == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("hardening", [0.0, 0.5])
def test_its_derivative_is_that_of_stress_and_opening(hardening):
    rng, law, h = np.random.default_rng(11), FoamLaw(alpha=1.3, hardening=hardening), 1e-7
    both, misses = 0, []
    for _ in range(200):
        e = np.sort(rng.normal(0, 0.03, 3))[::-1].copy()
        t, o = np.empty(3), np.empty(3)
        g, held = nearest(e, LAME, MU, 1.0, 0.2, 0.0, law.packed(), t, o)
        both += g > 0 and held > 0
        d, w = np.empty((3, 3)), np.empty((3, 3))
        nearest_tangent(t, g, held, LAME, MU, 1.0, 0.0, law.packed(), d, w)
        np.testing.assert_allclose(d, d.T, atol=1e-9 * MU)
        for b in range(3):
            (_, up, wide), (_, down, narrow) = (returned(e + s * h * np.eye(3)[b], law, 1.0, 0.2) for s in (1, -1))
            misses.append(np.abs((up - down) / (2 * h) - d[:, b]).max() / LAME)
            misses.append(np.abs((wide - narrow) / (2 * h) - w[:, b]).max())
    assert both > 30
    assert np.quantile(misses, 0.98) < 1e-4  # all but those at a kink
