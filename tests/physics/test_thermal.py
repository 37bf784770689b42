"""Proves: mixtures keep their bounds, doses are the integrals they should be, depth of necrosis is right."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import quad

from vertecast.core.errors import ParameterError
from vertecast.physics import thermal
from vertecast.physics.thermal import Medium

MEDIA = thermal.load_media()
CEMENT = thermal.load_cement_thermal().values
DOSE = thermal.load_dose().values


def test_media_are_indexed_by_their_codes() -> None:
    for medium in Medium:
        k, c = thermal.thermal_fields(np.full((1, 1, 1), medium), np.zeros((1, 1, 1)), MEDIA, CEMENT)
        assert (k.item(), c.item()) == (MEDIA.of[medium].conductivity, MEDIA.of[medium].heat_capacity)


def test_mixtures_go_from_the_medium_to_pure_cement() -> None:
    share = np.linspace(0, 1, 11)
    k, c = thermal.thermal_fields(np.zeros(11, int), share, MEDIA, CEMENT)
    own = CEMENT.density * CEMENT.specific_heat
    assert k[[0, -1]] == pytest.approx([0.43, 0.17])
    assert c == pytest.approx(2.0 + share * (own - 2.0))
    series, parallel = 1 / (share / 0.17 + (1 - share) / 0.43), share * 0.17 + (1 - share) * 0.43
    assert np.all((k >= series - 1e-12) & (k <= parallel + 1e-12))


def test_cem43_by_its_definition() -> None:
    celsius = np.array([38.9, 39.0, 42.0, 43.0, 44.0, 47.0])
    assert thermal.cem43_rate(celsius + 273.15, DOSE) == pytest.approx([0.0, 0.25**4, 0.25, 1.0, 2.0, 16.0])


def test_damage_by_its_definition() -> None:
    assert thermal.damage_rate(320.0, DOSE) == pytest.approx(1e98 * np.exp(-7.5e4 / 320.0), rel=1e-9)
    minutes = 1 / thermal.damage_rate(np.array([47.0, 50.0, 60.0]) + 273.15, DOSE) / 60
    assert np.all(np.diff(minutes) < 0)


@pytest.mark.parametrize(("first", "last"), [(316.5, 330.0), (330.0, 330.0), (340.0, 318.0)])
def test_the_dose_of_a_step_is_its_integral(first: float, last: float) -> None:
    cem43, omega = thermal.dose_of_step(first, last, 7.0, DOSE)

    def along(t: float) -> float:
        return first + (last - first) * t / 7.0

    exact = quad(lambda t: float(thermal.cem43_rate(along(t), DOSE)), 0, 7, epsrel=1e-10)[0]
    assert cem43 == pytest.approx(exact, rel=1e-9)
    assert omega == pytest.approx(quad(lambda t: float(thermal.damage_rate(along(t), DOSE)), 0, 7)[0], rel=1e-5)
    if first != last:
        trapezoid = 3.5 * (thermal.cem43_rate(first, DOSE) + thermal.cem43_rate(last, DOSE))
        assert trapezoid != pytest.approx(exact, rel=0.1), "this check cannot fail"


def test_the_floor_of_the_dose() -> None:
    assert thermal.dose_of_step(310.0, 311.0, 60.0, DOSE)[0] == 0.0


def test_time_above_a_level_within_a_step() -> None:
    first, last = np.array([320.0, 324.0, 322.15, 324.15]), np.array([321.0, 330.0, 324.15, 322.15])
    assert thermal.time_above(first, last, 323.15, 2.0) == pytest.approx([0.0, 2.0, 1.0, 1.0])


def test_necrosis_depth_is_the_distance_from_the_cement() -> None:
    cement, omega = np.zeros((21, 5, 5), bool), np.zeros((21, 5, 5))
    cement[:8] = True
    omega[:11] = 2.0
    assert thermal.necrosis_depth(omega, cement, (0.5, 1, 1), DOSE) == pytest.approx(1.5)
    assert thermal.necrosis_depth(0 * omega, cement, (0.5, 1, 1), DOSE) == 0.0
    assert thermal.necrosis_depth(np.where(cement, 5.0, 0.0), cement, (0.5, 1, 1), DOSE) == 0.0


def test_absurd_values_are_refused() -> None:
    with pytest.raises(ParameterError, match="medium codes 9-9 are outside 0-6"):
        thermal.thermal_fields(np.full((1, 1, 1), 9), np.zeros((1, 1, 1)), MEDIA, CEMENT)
    with pytest.raises(ParameterError, match="cement fractions must lie within 0-1"):
        thermal.thermal_fields(np.zeros((1, 1, 1), int), np.full((1, 1, 1), np.nan), MEDIA, CEMENT)
    with pytest.raises(ParameterError, match="must be above 0"):
        dataclasses.replace(CEMENT, density=0.0)
    with pytest.raises(ParameterError, match="must be above 0"):
        dataclasses.replace(MEDIA.of[0], conductivity=-1.0)
    with pytest.raises(ParameterError, match="must rise within 0-1"):
        dataclasses.replace(DOSE, half_above=1.5)
