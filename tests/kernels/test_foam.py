"""Proves: the compiled return mapping equals exact integration on single points, and its tangent its own derivative."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from vertecast.core.errors import ParameterError
from vertecast.kernels.foam_law import NO_SIDEWAYS, FoamLaw
from vertecast.kernels.foam_points import advance_points, update_points
from vertecast.kernels.foam_reference import elastic_matrix, ellipse_size, integrity, returned

ALPHAS = (0.0, 1.0, NO_SIDEWAYS)
YOUNG, POISSON, YIELD = 400.0, 0.3, 2.0


def constants(poisson=POISSON, n=1):
    lame = YOUNG * poisson / ((1 + poisson) * (1 - 2 * poisson))
    return np.full(n, lame), np.full(n, YOUNG / (2 * (1 + poisson))), np.full(n, YIELD)


class Point:
    """n points (element columns, Gauss point 0 of 8 alike) driven through a strain history."""

    def __init__(self, law, poisson=POISSON, n=1, strength=None):
        self.law, self.n = law.packed(), n
        self.lame, self.mu, self.strength = constants(poisson, n)
        if strength is not None:
            self.strength = strength
        self.plastic, self.kappa = np.zeros((8, 6, n)), np.zeros((8, n))

    def stress(self, strain, tangent=None):
        """Return stress (n, 6) at strain (n, 6) without moving the history."""
        spread = np.ascontiguousarray(np.broadcast_to(np.atleast_2d(strain).T, (8, 6, self.n)))
        out = np.empty_like(spread)
        values = np.empty((8, 8, self.n), np.float64) if tangent is None else tangent
        fields = (self.lame, self.mu, self.strength)
        update_points(spread, self.plastic, self.kappa, *fields, self.law, out, values, tangent is not None)
        return out[0].T

    def move(self, strain):
        spread = np.ascontiguousarray(np.broadcast_to(np.atleast_2d(strain).T, (8, 6, self.n)))
        stored, lost = np.zeros(self.n), np.zeros(self.n)
        fields = (self.lame, self.mu, self.strength)
        advance_points(spread, self.plastic, self.kappa, *fields, self.law, stored, lost)
        return stored, lost

    def matrix(self, strain):
        """Return stress (6,) and the rank-one tangent as a 6x6 matrix."""
        values = np.empty((8, 8, self.n))
        stress = self.stress(strain, values)[0]
        k, g, w = values[0, 0, 0], values[0, 1, 0], values[0, 2:, 0]
        return stress, elastic_matrix(k - 2 * g / 3, g) - np.outer(w, w)

    def uniaxial(self, axial):
        """Move through axial strains with free sides; return axial stress and lateral strain of each."""
        strain, answer = np.zeros(6), []
        for value in axial:
            strain[2] = value
            for _ in range(60):
                stress, tangent = self.matrix(strain)
                if np.abs(stress[:2]).max() < 1e-11:
                    break
                strain[:2] -= np.linalg.solve(tangent[:2, :2], stress[:2])
            self.move(strain)
            answer.append((stress[2], strain[0]))
        return np.array(answer)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_uniaxial_yield_is_the_strength_for_every_alpha(alpha):
    strain = np.r_[np.linspace(0, -0.03, 31), -0.028, -0.03]
    stress, lateral = Point(FoamLaw(alpha=alpha)).uniaxial(strain).T
    np.testing.assert_allclose(stress[:31], np.maximum(YOUNG * strain[:31], -YIELD), atol=1e-4)
    assert stress[31] == pytest.approx(-YIELD + 0.002 * YOUNG, abs=1e-4)  # unloads with Young's modulus
    assert stress[32] == pytest.approx(-YIELD, abs=1e-4)  # and reloads to the same yield stress
    plastic_ratio = (lateral[30] - lateral[10]) / -(strain[30] - strain[10])
    expected = (0.5 - (alpha / 3) ** 2) / (1 + (alpha / 3) ** 2)
    assert plastic_ratio == pytest.approx(expected, abs=1e-4)


def test_no_sideways_surface_is_the_stress_norm():
    rng = np.random.default_rng(1)
    point = Point(FoamLaw(alpha=NO_SIDEWAYS), n=500)
    stress = point.stress(rng.normal(0, 0.03, (500, 6)))
    norm2 = (stress[:, :3] ** 2).sum(1) + 2 * (stress[:, 3:] ** 2).sum(1)
    np.testing.assert_allclose(norm2, YIELD**2, rtol=1e-12)


def test_no_sideways_with_zero_poisson_is_an_exact_radial_return():
    rng = np.random.default_rng(2)
    strain = rng.normal(0, 0.03, (200, 6))
    point = Point(FoamLaw(alpha=NO_SIDEWAYS), poisson=0.0, n=200)
    trial = strain @ elastic_matrix(0.0, YOUNG / 2)
    norm = np.sqrt((trial[:, :3] ** 2).sum(1) + 2 * (trial[:, 3:] ** 2).sum(1))
    np.testing.assert_allclose(point.stress(strain), trial * YIELD / norm[:, None], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("alpha", ALPHAS[1:])
def test_hydrostatic_limit(alpha):
    stress = Point(FoamLaw(alpha=alpha)).stress([-0.05, -0.05, -0.05, 0, 0, 0])[0]
    np.testing.assert_allclose(stress[:3], -YIELD * np.sqrt(1 + alpha**2 / 9) / alpha, rtol=1e-13)


def test_confined_compression_of_von_mises():
    point, bulk = Point(FoamLaw(alpha=0.0)), YOUNG / (3 * (1 - 2 * POISSON))
    stress = point.stress([0, 0, -0.02, 0, 0, 0])[0]
    assert stress[2] == pytest.approx(-bulk * 0.02 - 2 / 3 * YIELD, rel=1e-13)
    assert stress[0] == pytest.approx(-bulk * 0.02 + YIELD / 3, rel=1e-13)


def exact_stress(alpha, path, times):
    """Integrate the rate equations of the perfectly plastic ellipse along strain ``path(t)``."""
    lame, mu, _ = constants()
    stiffness, weight = elastic_matrix(lame[0], mu[0]), np.r_[1, 1, 1, 2, 2, 2]

    def rate(t, stress):
        drive = (path(t + 1e-7) - path(t - 1e-7)) / 2e-7
        mean = stress[:3].mean()
        normal = 1.5 * (stress - np.r_[[mean] * 3, 0, 0, 0]) + np.r_[[alpha**2 * mean / 3] * 3, 0, 0, 0]
        along = (stiffness @ (normal * np.r_[1, 1, 1, 2, 2, 2])) @ (drive)
        if ellipse_size(stress, alpha) < YIELD * (1 - 1e-9) or along <= 0:
            return stiffness @ drive
        flow = normal * weight
        return stiffness @ (drive - flow * along / (flow @ stiffness @ flow))

    # start on the surface: the first yield is elastic and straight
    first = next(t for t in np.linspace(0, 1, 200001) if ellipse_size(stiffness @ path(t), alpha) >= YIELD)
    span = [t for t in times if t > first]
    found = solve_ivp(
        rate, (first, span[-1]), stiffness @ path(first), t_eval=span, rtol=1e-9, atol=1e-11, max_step=2e-3
    )
    return found.y.T, span


def bent_path(t):
    """Compression that turns into shear: the flow direction keeps turning."""
    return np.array([0.002, 0.001, -0.02, 0, 0, 0]) * t + np.array([0, 0, 0, 0.02, 0, 0.008]) * t**2


@pytest.mark.parametrize("alpha", ALPHAS)
def test_bent_path_approaches_the_rate_equations_at_first_order(alpha):
    exact, _ = exact_stress(alpha, bent_path, [0.5, 1.0])
    misses = []
    for steps in (50, 100, 200, 400):
        point = Point(FoamLaw(alpha=alpha))
        for t in np.linspace(0, 1, steps + 1)[1:]:
            stress = point.stress(bent_path(t))[0]
            point.move(bent_path(t))
        misses.append(np.abs(stress - exact[-1]).max() / YIELD)
    assert misses[-1] < 1e-3
    assert np.log2(misses[-2] / misses[-1]) == pytest.approx(1.0, abs=0.25)


LAWS = [
    FoamLaw(alpha=1.0, hardening=5.0),
    FoamLaw(alpha=0.0, onset=0.004, strength_loss=0.4, strength_scale=0.05),
    FoamLaw(alpha=NO_SIDEWAYS, strength_loss=0.1, strength_scale=0.1, stiffness_loss=0.7, stiffness_scale=0.05),
    FoamLaw(alpha=1.5, hardening=1.0, onset=0.002, stiffness_loss=0.5, stiffness_scale=0.02),
]


@pytest.mark.parametrize("law", LAWS)
def test_compiled_equals_the_reference_through_a_random_history(law):
    rng = np.random.default_rng(3)
    point = Point(law)
    plastic, kappa = np.zeros(6), 0.0
    strain = np.zeros(6)
    for _ in range(40):
        strain = strain + rng.normal(0, 0.004, 6)
        expected, plastic, kappa = returned(strain, plastic, kappa, (point.lame[0], point.mu[0], YIELD), law)
        np.testing.assert_allclose(point.stress(strain)[0], expected, rtol=1e-10, atol=1e-11)
        point.move(strain)
        np.testing.assert_allclose(point.plastic[0, :, 0], plastic, rtol=1e-9, atol=1e-13)
        assert point.kappa[0, 0] == pytest.approx(kappa, rel=1e-10)
    assert kappa > 0.02


@pytest.mark.parametrize("law", [FoamLaw(alpha=a, hardening=h) for a in ALPHAS for h in (0.0, 8.0)])
def test_tangent_is_the_derivative(law):
    rng = np.random.default_rng(4)
    point = Point(law)
    point.move(rng.normal(0, 0.01, 6))
    for _ in range(5):
        strain, step = rng.normal(0, 0.02, 6), 1e-6
        _, tangent = point.matrix(strain)
        columns = [(point.stress(strain + d)[0] - point.stress(strain - d)[0]) / (2 * step) for d in np.eye(6) * step]
        np.testing.assert_allclose(tangent, np.array(columns).T, atol=2e-5 * YOUNG)
        assert np.linalg.eigvalsh(tangent).min() > 0


@pytest.mark.parametrize("law", LAWS)
def test_tangent_is_never_indefinite(law):
    rng = np.random.default_rng(5)
    point = Point(law)
    for _ in range(30):
        point.move(rng.normal(0, 0.02, 6))
        assert np.linalg.eigvalsh(point.matrix(rng.normal(0, 0.03, 6))[1]).min() > 0


@pytest.mark.parametrize("law", [FoamLaw(alpha=1.0), *LAWS])
def test_energy_of_a_cycle_is_stored_or_dissipated(law):
    point, work, lost = Point(law), 0.0, 0.0
    strains = np.r_[np.linspace(0, 1, 2001), np.linspace(1, -0.4, 2001)[1:]][:, None] * bent_path(1.0)
    before, old = np.zeros(6), strains[0]
    for strain in strains[1:]:
        stress = point.stress(strain)[0]
        stored, step = point.move(strain)
        work, lost = work + 0.5 * (stress + before) @ (strain - old), lost + step[0]
        before, old = stress, strain
    assert lost > 4 * stored[0]
    assert work == pytest.approx(stored[0] + lost, rel=2e-3)


def test_damage_unloads_softer_and_keeps_its_strength():
    law = LAWS[2]
    axial = np.r_[np.linspace(0, -0.2, 401), -0.199]
    stress, _ = Point(law).uniaxial(axial).T
    point_kappa = 0.2 - YIELD / YOUNG
    left, whole = integrity(np.array([point_kappa]), law)
    assert -stress[400] == pytest.approx(YIELD * left[0], rel=0.01)
    assert (stress[401] - stress[400]) / 0.001 == pytest.approx(YOUNG * whole[0], rel=0.02)


def test_infinite_strength_stays_elastic():
    point = Point(FoamLaw(alpha=1.0), strength=np.array([np.inf]))
    stress, tangent = point.matrix(np.full(6, 0.3))
    np.testing.assert_allclose(stress, tangent @ np.full(6, 0.3))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"alpha": -0.1}, r"alpha = -0.1 is outside"),
        ({"alpha": 2.2}, r"alpha = 2.2 is outside"),
        ({"alpha": 1.0, "stiffness_loss": 1.0}, "stiffness_loss = 1.0 is outside"),
        ({"alpha": 1.0, "strength_scale": 0.0}, "scales must be positive"),
    ],
)
def test_law_refuses(change, sentence):
    with pytest.raises(ParameterError, match=sentence):
        FoamLaw(**change)


def test_these_checks_can_fail():
    """A radial return without the ellipse's two different slopes misses the exact path by far more than allowed."""
    exact, _ = exact_stress(1.0, bent_path, [1.0])
    lame, mu, _ = constants()
    stress, old = np.zeros(6), np.zeros(6)
    for t in np.linspace(0, 1, 401)[1:]:
        stress = stress + elastic_matrix(lame[0], mu[0]) @ (bent_path(t) - old)
        stress *= min(1.0, YIELD / ellipse_size(stress, 1.0))
        old = bent_path(t)
    assert np.abs(stress - exact[-1]).max() / YIELD > 0.02
