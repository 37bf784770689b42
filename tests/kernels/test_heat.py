"""Heat kernel: agrees with a sparse matrix and another integrator, keeps energy, refuses what cannot be heated."""

import dataclasses

import numpy as np
import pytest

from vertecast.core.errors import ConvergenceError, ParameterError
from vertecast.kernels.heat import HeatControl, HeatState, Reaction, advance_heat, make_conductor
from vertecast.kernels.heat_chebyshev import longest_step, stage_weights, stages_for
from vertecast.kernels.heat_compiled import RATE, _parallel, _serial
from vertecast.kernels.heat_grid import surround
from vertecast.kernels.heat_reference import conduction_matrix, reference_heat

SHAPE = (7, 6, 9)
TIGHT = HeatControl(kelvin=1e-5, extent=1e-7)


def random_case(seed=0, ambient=300.0):
    rng = np.random.default_rng(seed)
    widths = [rng.uniform(0.7, 1.6, n) for n in SHAPE]
    conductor = make_conductor(10 ** rng.uniform(-1.5, 0, SHAPE), rng.uniform(1, 4, SHAPE), widths, ambient)
    return conductor, 300 + 40 * rng.random(SHAPE), rng


def autocatalysis(conductor, rng, speed=1.5):
    cells = np.sort(rng.choice(np.prod(SHAPE), 60, replace=False))

    def rate(kelvin, w, top):
        grow = np.maximum(w, 0) * np.maximum(top - w, 0)
        return speed * np.exp((kelvin - 320) / 25) * grow

    return Reaction(cells, rng.uniform(20, 80, 60), rate, lambda kelvin: np.ones_like(kelvin))


def begin(temperature, reaction=None, extent=1e-3):
    count = 0 if reaction is None else reaction.cells.size
    return HeatState(0.0, temperature, np.full(count, extent), np.ones(count))


def compiled_rate(conductor, temperature, work=_serial):
    out = np.empty_like(temperature)
    faces = (conductor.faces.x, conductor.faces.y, conductor.faces.z)
    through = conductor.outlet.copy()
    for axis, face in enumerate(faces):
        through += face
        ahead = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        behind = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        through[ahead] += face[behind]
    fields = (through, conductor.outlet * conductor.ambient, 1 / conductor.capacity)
    none = np.zeros(SHAPE[0])
    work(RATE, temperature, *faces, *fields, temperature, temperature, none, out, none)
    return out


def test_the_compiled_rate_is_that_of_a_sparse_matrix():
    conductor, temperature, _ = random_case()
    matrix = conduction_matrix(conductor)
    flat = (conductor.outlet * conductor.ambient).ravel() - matrix @ temperature.ravel()
    expected = (flat / conductor.capacity.ravel()).reshape(SHAPE)
    assert np.abs(compiled_rate(conductor, temperature) - expected).max() < 1e-12 * np.abs(expected).max()
    assert np.array_equal(compiled_rate(conductor, temperature), compiled_rate(conductor, temperature, _parallel))
    wrong = dataclasses.replace(conductor, outlet=1.001 * conductor.outlet)
    assert np.abs(compiled_rate(wrong, temperature) - expected).max() > 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("reacting", [False, True])
def test_agrees_with_another_integrator(reacting):
    conductor, temperature, rng = random_case(3)
    reaction = autocatalysis(conductor, rng) if reacting else None
    state = begin(temperature, reaction)
    run = advance_heat(conductor, reaction, state, 6.0, control=TIGHT)
    exact = reference_heat(conductor, reaction, state, 6.0, tolerance=1e-9)
    assert np.abs(run.state.temperature - exact.temperature).max() < 2e-3
    assert np.abs(run.state.temperature - temperature).max() > 5.0
    if reacting:
        assert np.abs(run.state.extent - exact.extent).max() < 1e-4
        assert run.state.extent.max() > 0.9
        early = reference_heat(conductor, reaction, state, 5.9)
        assert np.abs(run.state.extent - early.extent).max() > 1e-4, "this check cannot fail"


def test_the_tolerance_governs_the_error():
    conductor, temperature, rng = random_case(4)
    reaction = autocatalysis(conductor, rng)
    state = begin(temperature, reaction)
    exact = reference_heat(conductor, reaction, state, 30.0)
    errors = []
    for kelvin in (1e-1, 1e-2, 1e-3):
        run = advance_heat(conductor, reaction, state, 30.0, control=HeatControl(kelvin=kelvin, extent=kelvin / 50))
        errors.append(np.abs(run.state.temperature - exact.temperature).max())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[1] < 0.2


def test_the_balance_of_energy_holds_to_rounding():
    conductor, temperature, rng = random_case(5)
    reaction = autocatalysis(conductor, rng)
    run = advance_heat(conductor, reaction, begin(temperature, reaction), 60.0)
    assert min(abs(run.balance.released), abs(run.balance.lost), abs(run.balance.stored)) > 100
    assert run.balance.error < 1e-10
    assert dataclasses.replace(run.balance, lost=run.balance.lost * 1.0001).error > 1e-10
    closed, temperature, _ = random_case(5, ambient=None)
    alone = advance_heat(closed, None, begin(temperature), 60.0)
    assert alone.balance.lost == 0.0
    assert abs(alone.balance.stored) < 1e-10 * np.sum(closed.capacity) * 20


def test_an_insulated_body_evens_out_without_overshoot():
    conductor, temperature, _ = random_case(6, ambient=None)
    run = advance_heat(conductor, None, begin(temperature), 5000.0)
    mean = np.sum(conductor.capacity * temperature) / np.sum(conductor.capacity)
    assert np.abs(run.state.temperature - mean).max() < 0.02
    rough = np.where(np.indices(SHAPE).sum(0) % 2, 310.0, 350.0)
    seen = []
    advance_heat(conductor, None, begin(rough), 200.0, watch=lambda a, b: seen.append(np.ptp(b.temperature)))
    assert np.all(np.diff(seen) < 1e-2)


def test_in_two_parts_or_one():
    conductor, temperature, rng = random_case(7)
    reaction = autocatalysis(conductor, rng)
    state = begin(temperature, reaction)
    one = advance_heat(conductor, reaction, state, 30.0, control=TIGHT).state
    half = advance_heat(conductor, reaction, state, 11.0, control=TIGHT).state
    two = advance_heat(conductor, reaction, half, 30.0, control=TIGHT).state
    assert two.time == one.time == 30.0
    assert np.abs(two.temperature - one.temperature).max() < 1e-3
    assert not one.temperature.flags.writeable


def test_the_watch_sees_every_step_without_a_gap():
    conductor, temperature, _ = random_case(8)
    times = [0.0]

    def watch(before, after):
        assert before.time == times[-1]
        times.append(after.time)

    run = advance_heat(conductor, None, begin(temperature), 20.0, watch=watch)
    assert times[-1] == 20.0
    assert len(times) == run.report.steps + 1


def test_the_ceiling_is_the_running_maximum():
    conductor, temperature, _ = random_case(9, ambient=280.0)
    reaction = Reaction(
        np.arange(10), np.zeros(10), lambda kelvin, w, top: 10 * np.maximum(top - w, 0), lambda kelvin: kelvin / 400
    )
    state = HeatState(0.0, temperature, np.zeros(10), np.zeros(10))
    end = advance_heat(conductor, reaction, state, 100.0).state
    assert np.all(end.ceiling >= temperature.ravel()[:10] / 400)
    assert np.all(end.ceiling > end.temperature.ravel()[:10] / 400 + 1e-3), "it has cooled since"
    assert np.abs(end.extent - end.ceiling).max() < 1e-3


def test_stability_by_stages():
    """Over one step every decaying mode shrinks, up to the rate the stages were chosen for; a few more break it."""
    for count in (2, 5, 20, 60):
        fastest = 0.65 * (count**2 - 1)
        begin_weight, rows = stage_weights(count)
        z = -np.linspace(1e-3, fastest, 4000)

        def gain(z, begin_weight=begin_weight, rows=rows):
            now, back = 1 + begin_weight * z, np.ones_like(z)
            for row in rows:
                now, back = row[0] + row[1] * now + row[2] * back + row[3] * z * now + row[4] * z, now
            return now

        assert np.abs(gain(z)).max() <= 1.0
        assert abs(gain(np.array([-1.15 * fastest]))[0]) > 1.0 or count == 2
        small = 1e-2 * np.array([-1.0, -0.5])
        assert gain(small) == pytest.approx(np.exp(small), abs=2e-6)
        assert stages_for(1.0, fastest) <= count + 2
    assert longest_step(2.0) > 1000


def test_surroundings():
    grid = surround((4, 5, 6), (1.0, 2.0, 0.5), 25.0, 1.3)
    field = np.random.default_rng(0).random((4, 5, 6))
    wide = grid.extended(field)
    assert wide.shape == tuple(w.size for w in grid.widths)
    assert np.array_equal(wide[grid.inner], field)
    assert wide[0, 0, 0] == field[0, 0, 0]
    assert grid.extended(field, 0.0)[0, 0, 0] == 0.0
    for axis, (w, h, n) in enumerate(zip(grid.widths, grid.spacing, grid.shape, strict=True)):
        added = grid.layers[axis]
        assert 25.0 <= w[:added].sum() < 25.0 * 1.6
        assert w[added : added + n] == pytest.approx(h)
        assert w[::-1] == pytest.approx(w)
    assert surround((4, 5, 6), (1, 1, 1), 0.0, 1.3).layers == (0, 0, 0)


def test_refusals():
    conductor, temperature, rng = random_case()
    ones = np.ones((3, 3, 3))
    lists = (np.ones(3),) * 3
    with pytest.raises(ParameterError, match="do not describe one grid"):
        make_conductor(ones, ones, (np.ones(2),) * 3, 300.0)
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ParameterError, match="conductivities and widths must be finite and above 0"):
            make_conductor(bad * ones, ones, lists, 300.0)
        with pytest.raises(ParameterError, match="heat capacities must be finite and above 0"):
            make_conductor(ones, bad * ones, lists, 300.0)
    with pytest.raises(ParameterError, match="ambient finite"):
        make_conductor(ones, ones, lists, np.nan)
    with pytest.raises(ParameterError, match=r"do not fit the cells \(7, 6, 9\) and the 0 reacting"):
        advance_heat(conductor, None, begin(ones), 1.0)
    with pytest.raises(ParameterError, match="lies before the state's time"):
        advance_heat(conductor, None, begin(temperature), -1.0)
    with pytest.raises(ParameterError, match="must be finite at the start"):
        advance_heat(conductor, None, begin(np.nan * temperature), 1.0)
    reaction = autocatalysis(conductor, rng)
    with pytest.raises(ParameterError, match=r"ceiling \(3,\) does not fit the 60"):
        advance_heat(conductor, reaction, HeatState(0.0, temperature, np.zeros(60), np.zeros(3)), 1.0)
    with pytest.raises(ParameterError, match="named once each"):
        Reaction(np.array([1, 1]), np.ones(2), reaction.rate, reaction.limit)
    with pytest.raises(ParameterError, match="two lists alike"):
        Reaction(np.array([1, 2]), np.ones(3), reaction.rate, reaction.limit)
    with pytest.raises(ParameterError, match="must be above 0 and in order"):
        HeatControl(kelvin=0.0)
    with pytest.raises(ParameterError, match="is not a grid of three axes"):
        surround((4, 5, 6), (1, 1, 0), 25.0, 1.3)
    with pytest.raises(ParameterError, match="growth within 1-2"):
        surround((4, 5, 6), (1, 1, 1), 25.0, 0.5)
    with pytest.raises(ParameterError, match="does not fit the grid"):
        surround((4, 5, 6), (1, 1, 1), 25.0, 1.5).extended(ones)
    wild = dataclasses.replace(reaction, rate=lambda kelvin, w, top: np.full_like(w, np.nan))
    with pytest.raises(ConvergenceError, match="below the shortest step"):
        advance_heat(conductor, wild, begin(temperature, wild), 1.0)
