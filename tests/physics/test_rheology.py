"""Proves: needle flow exact and its own inverse, ageing an equivalent time, pores exact, absurd values refused."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Status, read_toml
from vertecast.physics import rheology
from vertecast.physics.rheology import Bore, load_cement

MEDIUM = load_cement("pmma-medium-viscosity").values
BORE = Bore(inner_radius=1.2, length=120.0)


def with_index(n: float) -> rheology.CementRheology:
    return dataclasses.replace(MEDIUM, power_index=n)


def integrated_rate(pressure: float, k: float, n: float, bore: Bore) -> float:
    """Rate through a tube by integrating the shear rate of the wall stress profile twice: no closed form used."""

    def shear(r: float) -> float:
        return float((pressure * r / (2 * bore.length * k)) ** (1 / n))

    return float(np.pi * quad(lambda r: r * r * shear(r), 0, bore.inner_radius, epsabs=0, epsrel=1e-12)[0])


@pytest.mark.parametrize("n", [0.3, 0.5, 0.7, 1.0])
def test_the_needle_drop_is_exact(n: float) -> None:
    for k, rate in ((3e-5, 50.0), (5e-4, 100.0), (1e-3, 200.0)):
        pressure = float(rheology.needle_pressure(rate, k, BORE, with_index(n)))
        assert integrated_rate(pressure, k, n, BORE) == pytest.approx(rate, rel=1e-10)
        assert rheology.needle_rate(pressure, k, BORE, with_index(n)) == pytest.approx(rate, rel=1e-13)
        assert integrated_rate(1.001 * pressure, k, n, BORE) != pytest.approx(rate, rel=1e-4), "this check cannot fail"


def test_a_newtonian_needle_is_hagen_poiseuille() -> None:
    expected = 8 * 5e-4 * 120.0 * 100.0 / (np.pi * 1.2**4)
    assert rheology.needle_pressure(100.0, 5e-4, BORE, with_index(1.0)) == pytest.approx(expected, rel=1e-13)


def test_the_regression_values_of_the_research_file() -> None:
    narrow = Bore(inner_radius=0.9, length=120.0)
    for bore, k, drops in (
        (BORE, 1.5e-4, (0.20, 0.29, 0.41)),
        (BORE, 5e-4, (0.68, 0.96, 1.36)),
        (BORE, 1e-3, (1.36, 1.92, 2.71)),
        (narrow, 1.5e-4, (0.42, 0.59, 0.84)),
        (narrow, 5e-4, (1.39, 1.97, 2.79)),
    ):
        assert rheology.needle_pressure([50.0, 100.0, 200.0], k, bore, with_index(0.5)) == pytest.approx(
            drops, abs=6e-3
        )


@given(st.floats(0, 500), st.floats(1e-5, 0.07), st.floats(0.3, 1.0))
def test_rate_and_pressure_go_round(rate: float, k: float, n: float) -> None:
    cement = with_index(n)
    back = rheology.needle_rate(rheology.needle_pressure(rate, k, BORE, cement), k, BORE, cement)
    assert back == pytest.approx(rate, rel=1e-9, abs=1e-12)


def test_consistency_doubles_and_ends_at_the_plateau() -> None:
    at = MEDIUM.reference_age
    k = rheology.consistency([at - 90.0, at, at + 90.0, 1e9], MEDIUM)
    assert k == pytest.approx([2.5e-4, 5e-4, 1e-3, MEDIUM.plateau])
    assert rheology.ageing_rate([296.15, 308.15], MEDIUM) == pytest.approx([1.0, 2.0])
    assert rheology.remaining_time([300.0, 600.0], 510.0, 308.15, MEDIUM) == pytest.approx([105.0, 0.0])


def test_the_classes_are_in_order_over_their_common_window() -> None:
    ages = np.arange(306.0, 391.0, 12.0)
    low, middle, high = (
        rheology.consistency(ages, load_cement(f"pmma-{name}-viscosity").values) for name in ("low", "medium", "high")
    )
    assert np.all(low < middle)
    assert np.all(middle < high)


def test_every_cement_of_the_catalogue_has_its_flow_and_its_consistency_stays_assumed() -> None:
    assert rheology.cement_names() == sorted(read_toml("devices/cements.toml"))
    for name in rheology.cement_names():
        status = {use.name: use.status for use in load_cement(name).uses}
        assert status["consistency"] is Status.ASSUMED


@pytest.mark.parametrize("n", [0.3, 0.5, 1.0])
def test_darcy_with_the_pore_viscosity_is_exact_in_capillaries(n: float) -> None:
    cement, phi, radius, k = with_index(n), 0.6, 0.25, 4e-4
    permeability = phi * radius**2 / 8
    gradient = 2e-3
    tube = integrated_rate(gradient * BORE.length, k, n, dataclasses.replace(BORE, inner_radius=radius))
    velocity = phi * tube / (np.pi * radius**2)
    shear = velocity * rheology.shear_per_velocity(permeability, phi, cement)
    assert permeability / rheology.pore_viscosity(shear, k, cement) * gradient == pytest.approx(velocity, rel=1e-9)
    assert rheology.pore_resistance(k, permeability, phi, cement) * velocity**n == pytest.approx(gradient, rel=1e-9)
    if n < 1:
        wrong = rheology.viscosity(shear, k, cement)
        assert permeability / wrong * gradient != pytest.approx(velocity, rel=1e-2), "this check cannot fail"


def test_the_shear_rate_is_bounded() -> None:
    low, high = rheology.viscosity([0.0, 1e9], 1e-4, MEDIUM)
    assert low == pytest.approx(1e-4 * MEDIUM.lowest_rate ** (MEDIUM.power_index - 1))
    assert high == pytest.approx(1e-4 * MEDIUM.highest_rate ** (MEDIUM.power_index - 1))


def test_absurd_values_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"no flow is known of cement 'pmma'; choose one of pmma-high"):
        load_cement("pmma")
    with pytest.raises(ParameterError, match=r"injection rate -1 in 1 of 1 places must be at least 0"):
        rheology.needle_pressure(-1.0, 1e-4, BORE, MEDIUM)
    with pytest.raises(ParameterError, match=r"consistency 0 in 1 of 2 places must be above 0"):
        rheology.needle_rate(1.0, [1e-4, 0.0], BORE, MEDIUM)
    with pytest.raises(ParameterError, match=r"pressure nan"):
        rheology.needle_rate(np.nan, 1e-4, BORE, MEDIUM)
    with pytest.raises(ParameterError, match=r"temperature -3 in 1 of 1 places must be above 0"):
        rheology.ageing_rate(-3.0, MEDIUM)
    with pytest.raises(ParameterError, match=r"age -1 in 1 of 1 places must be at least 0"):
        rheology.consistency(-1.0, MEDIUM)
    with pytest.raises(ParameterError, match=r"permeability 0 .* must be above 0"):
        rheology.shear_per_velocity(0.0, 0.8, MEDIUM)
    with pytest.raises(ParameterError, match=r"radius 0.0, length 120.0 mm: both must be above 0"):
        Bore(inner_radius=0.0, length=120.0)
    for change, sentence in (
        ({"power_index": 1.2}, "power_index = 1.2 is outside 0-1"),
        ({"lowest_rate": 0.0}, "are not a range above 0"),
        ({"consistency": 1.0}, r"must be above 0 and at most plateau = 0.075"),
        ({"doubling_time": 0.0}, "doubling_time = 0.0 s"),
    ):
        with pytest.raises(ParameterError, match=sentence):
            dataclasses.replace(MEDIUM, **change)
