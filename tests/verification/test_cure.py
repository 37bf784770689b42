"""Cure against SciPy to 1e-6: at constant temperature, along a history, and coupled to its own heat."""

import itertools

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from vertecast.kernels.heat import HeatControl, HeatState, Reaction, advance_heat, make_conductor
from vertecast.physics import cure

TOLERANCE = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-14}


@pytest.mark.parametrize("name", cure.kinetics_names())
@pytest.mark.parametrize("kelvin", [296.15, 310.15, 340.0, 390.0])
def test_at_constant_temperature(name, kelvin):
    law = cure.load_kinetics(name)
    k, top = law.kinetics, 1.0 if law.ceiling is None else min(kelvin / law.ceiling.full, 1.0)
    speed = k.frequency * np.exp(-k.activation / (8.314462618 * kelvin))

    def rate(_, w):
        return speed * w**k.growth * np.maximum(top - w, 0) ** k.approach

    times = np.geomspace(1.0, 3000.0, 60)
    exact = solve_ivp(rate, (0, 3000), [k.start], t_eval=times, **TOLERANCE).y[0]
    found, _ = cure.advance_cure(k.start, 0.0, kelvin, times, law)
    assert np.abs(found - exact).max() < 1e-6
    other, _ = cure.advance_cure(1.001 * k.start, 0.0, kelvin, times, law)
    assert np.abs(other - exact).max() > (1e-6 if exact[-1] > 0.05 else 1e-9), "this check cannot fail"


@pytest.mark.parametrize("name", cure.kinetics_names())
def test_along_a_temperature_history(name):
    """Mixed at room temperature, injected, heated by its own exotherm, cooled: the ceiling keeps its maximum."""
    law = cure.load_kinetics(name)
    k = law.kinetics
    times = np.array([0.0, 300.0, 330.0, 500.0, 560.0, 900.0])
    kelvin = np.array([296.15, 296.15, 310.15, 315.0, 350.0, 312.0])

    def ceiling(t):
        if law.ceiling is None:
            return 1.0
        return min(np.interp(min(t, 560.0), times, kelvin) / law.ceiling.full, 1.0)

    def rate(t, w):
        speed = k.frequency * np.exp(-k.activation / (8.314462618 * np.interp(t, times, kelvin)))
        return speed * w**k.growth * np.maximum(ceiling(t) - w, 0) ** k.approach

    exact, w = [k.start], k.start
    for first, last in itertools.pairwise(times):
        w = solve_ivp(rate, (first, last), [w], **TOLERANCE).y[0, -1]
        exact.append(w)
    found = cure.cure_history(times, kelvin, law)
    assert np.abs(found - exact).max() < 1e-6
    assert found[-1] > 0.5
    warmer = cure.cure_history(times, kelvin + 0.01, law)
    assert np.abs(warmer - exact).max() > 1e-6, "this check cannot fail"


@pytest.mark.parametrize("name", cure.kinetics_names())
def test_coupled_to_its_own_heat(name):
    """One insulated cell through the heat kernel, which is of order two: the error follows the tolerance."""
    law = cure.load_kinetics(name)
    k, start, heat, capacity = law.kinetics, 305.0, 1.1 * law.kinetics.enthalpy * 0.7, 1.64

    def rate(_, y):
        w, kelvin = y[0], start + heat / capacity * (y[0] - k.start)
        top = 1.0 if law.ceiling is None else min(kelvin / law.ceiling.full, 1.0)
        speed = k.frequency * np.exp(-k.activation / (8.314462618 * kelvin))
        return [speed * w**k.growth * max(top - w, 0.0) ** k.approach]

    times = np.linspace(50.0, 1000.0, 20)
    exact = solve_ivp(rate, (0, 1000), [k.start], t_eval=times, **TOLERANCE).y[0]
    cube = np.ones((1, 1, 1))
    conductor = make_conductor(cube, capacity * cube, (np.ones(1),) * 3, None)
    reaction = Reaction(
        np.arange(1),
        np.array([heat]),
        lambda t, w, top: cure.cure_rate(t, w, top, law),
        lambda t: cure.reachable(t, law),
    )
    errors = []
    for kelvin, extent in ((4e-3, 5e-4), (1e-5, 1e-6)):
        state = HeatState(0.0, start * cube, np.array([k.start]), cure.reachable(np.array([start]), law))
        found = []
        for time in times:
            control = HeatControl(kelvin=kelvin, extent=extent)
            state = advance_heat(conductor, reaction, state, time, control=control).state
            found.append(float(state.extent[0]))
        errors.append(np.abs(np.array(found) - exact).max())
        assert state.temperature.item() == pytest.approx(start + heat / capacity * (found[-1] - k.start), rel=1e-12)
    assert errors[1] < 5e-4
    assert errors[0] < 0.03
    assert errors[1] < 0.1 * errors[0]
