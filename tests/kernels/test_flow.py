"""What a flow does at its limits: pressure limit, needle, set fluid, sealed pockets, cavity, moving tip, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.kernels.flow import (
    Control,
    FlowSettings,
    Fluids,
    Outlet,
    Source,
    advance_flow,
    edge_outlet,
    pore_space,
    prepare_flow,
    start_flow,
    tip_cells,
)

N, K, MARROW = 13, 1e-2, 4e-7
EDGE = np.ones((N, N, N), dtype=bool)
MIDDLE = np.full(3, (N - 1) / 2)


def thick(speed, carried, cells):
    return np.full(cells.size, 4e-5)


def thinning(speed, carried, cells):
    return 1e-4 * np.clip(speed, 1e-4, 1e3) ** -0.5


def setting(speed, carried, cells):
    return np.where(carried["age"] > 3, np.inf, 4e-5)


def block(law=thick, k=K, skin=None, settings=None, outlets=None):
    space = pore_space(np.full((N, N, N), 0.8), np.broadcast_to(k, (N, N, N)), (1, 1, 1), skin=skin)
    outlets = outlets or [edge_outlet(space, "edge", EDGE, 1e-3)]
    return prepare_flow(space, outlets, Fluids(law, MARROW), settings or FlowSettings())


def tip(system, point=MIDDLE, **changes):
    cells, weights = tip_cells(system.space, point, 1.2)
    return Source(**{"name": "tip", "cells": cells, "weights": weights, "rate": 50.0, "radius": 1.2, **changes})


def run(system, source, span, carried=()):
    state = start_flow(system, carried)
    while state.time < span * (1 - 1e-12):
        state = advance_flow(system, state, [source] if isinstance(source, Source) else source, span - state.time)
    return state


@pytest.mark.parametrize("law", [thick, thinning])
def test_the_pressure_limit_slows_the_tip_and_is_kept(law):
    system = block(law, settings=FlowSettings(passes=12, settled=1e-4))
    free = run(system, tip(system), 2.0)
    assert free.report.control["tip"] is Control.RATE
    limit = 0.4 * free.report.pressures["tip"]
    held = run(system, tip(system, pressure_limit=limit), 2.0)
    assert held.report.control["tip"] is Control.PRESSURE
    assert held.report.pressures["tip"] == pytest.approx(limit, rel=1e-6)
    assert 0 < held.report.rates["tip"] < 0.75 * free.report.rates["tip"]
    assert sum(held.report.outlet_rates.values()) == pytest.approx(held.report.rates["tip"], rel=1e-6)
    assert held.report.change < 1e-3


def test_the_needle_takes_its_part_of_the_pressure():
    system = block()
    limit = run(system, tip(system), 1.0).report.pressures["tip"]
    state = run(system, tip(system, pressure_limit=limit, drop=lambda rate: 1e-4 * rate**0.5), 1.0)
    report = state.report
    assert report.pressures["tip"] + 1e-4 * report.rates["tip"] ** 0.5 == pytest.approx(limit, rel=1e-6)
    assert report.pressures["tip"] < 0.999 * limit


def test_two_tips_share_one_limit_each():
    system = block()
    sides = [
        tip(system, MIDDLE + np.array([side, 0, 0]), name=name, pressure_limit=limit)
        for side, name, limit in ((-3, "left", 5e-3), (3, "right", np.inf))
    ]
    state = run(system, sides, 1.0)
    assert state.report.pressures["left"] == pytest.approx(5e-3, rel=1e-6)
    assert state.report.rates["right"] == 50.0
    assert state.report.rates["left"] < 50.0
    alone = run(system, sides[0], 1.0)
    assert alone.report.rates["left"] > state.report.rates["left"], "the other tip must be felt"


def test_a_limit_below_the_outlet_lets_nothing_in():
    system = block()
    state = advance_flow(system, start_flow(system), [tip(system, pressure_limit=5e-4)], 1.0)
    assert state.report.rates["tip"] == 0
    assert state.saturation.max() == 0


def test_the_needle_is_filled_first():
    system = block()
    source = tip(system, dead_volume=30.0)
    state = advance_flow(system, start_flow(system), [source], 5.0)
    assert state.report.control["tip"] is Control.FILLING
    assert state.time == pytest.approx(0.6)
    assert state.saturation.max() == 0
    while state.time < 2.0:
        state = advance_flow(system, state, [source], 2.0 - state.time)
    ledger = state.ledger
    held = (state.saturation * system.space.volume).sum()
    assert ledger.needle["tip"] == pytest.approx(30.0)
    assert ledger.injected["tip"] == pytest.approx(100.0)
    assert abs(ledger.injected["tip"] - held - ledger.needle["tip"] - sum(ledger.leaked.values())) < 1e-10


def test_set_fluid_cuts_the_tip_off_and_a_moved_tip_goes_on():
    system = block(setting)
    source = tip(system, carried={"age": 0.0})
    state = run(system, source, 1.0, ("age",))
    state = state.with_carried(age=np.where(state.saturation > 0, 5.0, 0.0))
    after = advance_flow(system, state, [source], 1.0)
    assert after.report.control["tip"] is Control.CUT_OFF
    assert after.report.rates["tip"] == 0
    assert after.blocked.any()
    assert np.array_equal(after.saturation[after.blocked], state.saturation[after.blocked])
    moved = tip(system, MIDDLE + np.array([0, 0, 4.5]), carried={"age": 0.0})
    further = run_on(system, after, moved, 1.0)
    assert further.report.control["tip"] is Control.RATE
    assert further.ledger.injected["tip"] > after.ledger.injected["tip"] + 10
    assert np.array_equal(further.saturation[after.blocked], after.saturation[after.blocked])


def run_on(system, state, source, span):
    end = state.time + span
    while state.time < end * (1 - 1e-12):
        state = advance_flow(system, state, [source], end - state.time)
    return state


def test_sealed_pockets_are_flagged_and_stay_as_they_are():
    skin = np.zeros((3, N, N, N))
    skin[0, 1, 2:5, 2:5] = skin[0, 4, 2:5, 2:5] = np.inf
    skin[1, 2:5, 1, 2:5] = skin[1, 2:5, 4, 2:5] = np.inf
    skin[2, 2:5, 2:5, 1] = skin[2, 2:5, 2:5, 4] = np.inf
    system = block(skin=skin)
    state = run(system, tip(system), 6.0)
    assert state.report.sealed_cells == 27
    assert state.sealed[2:5, 2:5, 2:5].all()
    assert np.isnan(state.pressure[state.sealed]).all()
    assert state.saturation[state.sealed].max() == 0
    assert state.saturation[5, 5, 5] > 0.9, "the cloud must have reached the pocket"
    inside = advance_flow(system, state, [tip(system, (3, 3, 3))], 1.0)
    assert inside.report.control["tip"] is Control.CUT_OFF


def test_an_outlet_that_closes_seals_its_region_and_one_that_opens_frees_it():
    skin = np.zeros((3, N, N, N))
    skin[0, 6] = np.inf
    space = block(skin=skin).space
    left = np.indices((N, N, N))[0] < 7
    both = [edge_outlet(space, "left", left, 0.0), edge_outlet(space, "right", ~left, 0.0)]
    shut = [both[0], Outlet("right", both[1].cells, 0 * both[1].conductance, 0.0)]
    first, second = block(skin=skin, outlets=both), block(skin=skin, outlets=shut)
    source = tip(first, (3, 6, 6))
    state = advance_flow(first, start_flow(first), [source], 0.1)
    closed = advance_flow(second, state, [source], 0.1)
    again = advance_flow(first, closed, [source], 0.1)
    assert [s.report.sealed_cells for s in (state, closed, again)] == [0, 6 * N * N, 0]


def test_a_cavity_fills_at_one_pressure_and_a_bone_does_not():
    k = np.full((N, N, N), K)
    k[4:9, 4:9, 4:9] *= 1000
    plain, hollow = block(), block(k=k)
    spread = []
    for system in (plain, hollow):
        state = run(system, tip(system), 4.0)
        inside = state.pressure[4:9, 4:9, 4:9] - 1e-3
        spread.append(np.ptp(inside) / inside.mean())
    assert spread[1] < 0.05 < 0.5 < spread[0]


def test_closing_a_route_makes_its_leak_zero_and_the_others_rise():
    space = block().space
    top = np.zeros((N, N, N), dtype=bool)
    top[:, :, -1] = True
    both = [edge_outlet(space, "top", top, 0.0), edge_outlet(space, "rest", ~top, 0.0)]
    open_state = run(block(outlets=both), tip(block(), MIDDLE + np.array([0, 0, 3])), 10.0)
    shut = [Outlet("top", both[0].cells, 0 * both[0].conductance, 0.0), both[1]]
    shut_state = run(block(outlets=shut), tip(block(), MIDDLE + np.array([0, 0, 3])), 10.0)
    assert open_state.ledger.leaked["top"] > 1.0
    assert shut_state.ledger.leaked["top"] == 0
    assert shut_state.ledger.leaked["rest"] > open_state.ledger.leaked["rest"]


def test_nothing_moves_when_nothing_pushes_and_states_are_read_only():
    system = block()
    state = advance_flow(system, start_flow(system), [], 3.0)
    assert state.time == 3.0
    assert state.saturation.max() == 0
    assert np.allclose(state.pressure, 1e-3)
    with pytest.raises(ValueError, match="read-only"):
        state.saturation[0, 0, 0] = 1


def test_a_run_can_be_resumed_to_the_last_digit():
    system = block(thinning)
    first = run(system, tip(system), 1.0)
    again = replace(first)
    other = block(thinning)
    assert np.array_equal(
        run_on(system, first, tip(system), 0.5).saturation, run_on(other, again, tip(other), 0.5).saturation
    )


def test_units_do_not_matter():
    """The same block in micrometres and Pa: every number has other units, the shares are the same."""
    plain = run(block(), tip(block()), 1.0).saturation
    space = pore_space(np.full((N, N, N), 0.8), np.full((N, N, N), K * 1e6), (1e3, 1e3, 1e3))
    law = lambda speed, carried, cells: np.full(cells.size, 4e1)  # noqa: E731
    system = prepare_flow(space, [edge_outlet(space, "edge", EDGE, 1e3)], Fluids(law, MARROW * 1e6))
    cells, weights = tip_cells(space, MIDDLE * 1e3, 1.2e3)
    source = Source(name="tip", cells=cells, weights=weights, rate=50e9, radius=1.2e3)
    assert np.allclose(run(system, source, 1.0).saturation, plain, atol=1e-6)


def test_refusals():
    good, ones = block(), np.ones((N, N, N))
    with pytest.raises(ParameterError, match=r"porosity must lie in 0\.\.1"):
        pore_space(1.2 * ones, ones, (1, 1, 1))
    with pytest.raises(ParameterError, match="permeability must be finite and not negative"):
        pore_space(0.5 * ones, -ones, (1, 1, 1))
    with pytest.raises(ParameterError, match=r"permeability \(2, 2\) does not fit"):
        pore_space(0.5 * ones, np.ones((2, 2)), (1, 1, 1))
    with pytest.raises(ParameterError, match=r"must be \(nx, ny, nz\) and spacing"):
        pore_space(0.5 * ones, ones, (1, 0, 1))
    with pytest.raises(ParameterError, match=r"skin .* must be \(3, nx, ny, nz\), not negative"):
        pore_space(0.5 * ones, ones, (1, 1, 1), skin=-np.ones((3, N, N, N)))
    with pytest.raises(GeometryError, match="no outlet lies in an open cell"):
        prepare_flow(good.space, [], Fluids(thick, MARROW))
    with pytest.raises(GeometryError, match="outlet far: no open cell"):
        edge_outlet(good.space, "far", 0 * EDGE, 0.0)
    with pytest.raises(ParameterError, match="must have different names"):
        prepare_flow(good.space, [good.outlets[0]] * 2, Fluids(thick, MARROW))
    with pytest.raises(ParameterError, match="resident viscosity"):
        prepare_flow(good.space, good.outlets, Fluids(thick, 0.0))
    with pytest.raises(ParameterError, match="an outlet cell lies beyond the grid"):
        prepare_flow(good.space, [Outlet("x", np.array([N**3]), np.ones(1), 0.0)], Fluids(thick, MARROW))
    with pytest.raises(ParameterError, match="outlet x: conductance must be finite"):
        Outlet("x", np.array([0]), np.array([-1.0]), 0.0)
    with pytest.raises(GeometryError, match="lies beyond the grid"):
        tip_cells(good.space, (0, 0, 99), 1.0)
    closed = pore_space(np.where(np.indices(ones.shape)[0] > 6, 0.5, 0.0), ones, (1, 1, 1))
    with pytest.raises(GeometryError, match=r"every cell within 1\.2 mm is closed"):
        tip_cells(closed, (2, 6, 6), 1.2)


def test_refusals_of_sources_steps_and_laws():
    good = block()
    start = start_flow(good)
    for wrong, message in (
        ({"rate": -1.0}, "rate -1.0 must be finite and not negative"),
        ({"rate": np.nan}, "rate nan"),
        ({"radius": 0.0}, "radius 0.0 mm"),
        ({"weights": np.ones(2)}, "one positive weight"),
    ):
        with pytest.raises(ParameterError, match=message):
            tip(good, **wrong)
    with pytest.raises(ParameterError, match="weights add up to"):
        Source(name="x", cells=np.array([1]), weights=np.array([0.5]), rate=1.0, radius=1.0)
    with pytest.raises(ParameterError, match="span 0 s must be positive"):
        advance_flow(good, start, [], 0)
    with pytest.raises(ParameterError, match=r"sources .* must have different names"):
        advance_flow(good, start, [tip(good), tip(good)], 1.0)
    with pytest.raises(ParameterError, match="gives no finite age"):
        advance_flow(good, start_flow(good, ("age",)), [tip(good)], 1.0)
    with pytest.raises(GeometryError, match="a cell lies beyond the grid"):
        advance_flow(good, start, [tip(good, cells=np.array([N**3]), weights=np.ones(1))], 1.0)
    with pytest.raises(ParameterError, match="three finite numbers and a positive radius"):
        tip_cells(good.space, (0, 0, np.nan), 1.0)
    with pytest.raises(ParameterError, match=r"outlet x: cells .* must be flat integers"):
        Outlet("x", np.array([0.5]), np.ones(1), 0.0)
    with pytest.raises(ParameterError, match=r"age .* must be finite on the cells"):
        start_flow(good, ("age",)).with_carried(age=np.zeros(3))
    with pytest.raises(ParameterError, match="heat is not carried"):
        start.with_carried(heat=start.saturation)
    for value in (np.nan, 0.0, -1.0):
        bad = block(lambda speed, carried, cells, value=value: np.full(cells.size, value))
        with pytest.raises(ParameterError, match="bound the shear rate"):
            advance_flow(bad, start, [tip(bad)], 1.0)
    for settings in ({"front": 0.0}, {"front": 1.5}, {"courant": 0.7}, {"rtol": 2.0}, {"small": 0.6}):
        with pytest.raises(ParameterError, match="must"):
            FlowSettings(**settings)
