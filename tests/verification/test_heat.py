"""Heat against closed forms: order two in space and time, adiabatic rise, spreading heat, energy, all axes."""

import itertools

import numpy as np
import pytest

from vertecast.kernels.heat import (
    HeatControl,
    HeatState,
    Reaction,
    _prepared,
    advance_heat,
    make_conductor,
)
from vertecast.kernels.heat_chebyshev import Rates, Step
from vertecast.kernels.heat_grid import surround
from vertecast.physics import cure
from vertecast.physics.exotherm import CementInPlace, advance_exotherm, load_exotherm, start_exotherm, surround_site
from vertecast.physics.thermal import Medium

NONE = np.zeros(0)
FINE = HeatControl(kelvin=1e-7, extent=1e-9)


def still(temperature):
    return HeatState(0.0, temperature, NONE, NONE)


def decay_error(n, waves, drop=None):
    """Error of prod cos(m pi x / L) in an insulated box, decaying at alpha (pi/L)^2 sum m^2; ``drop`` loses an axis."""
    lengths, k, c, time = np.array([10.0, 12.0, 14.0]), 0.4, 2.0, 4.0
    h = lengths / n
    parts = [np.cos(m * np.pi * (np.arange(n) + 0.5) / n) for m in waves]
    shape = parts[0][:, None, None] * parts[1][None, :, None] * parts[2][None, None, :]
    conductor = make_conductor(
        np.full((n, n, n), k), np.full((n, n, n), c), tuple(np.full(n, w) for w in h), ambient=None
    )
    if drop is not None:
        (conductor.faces.x, conductor.faces.y, conductor.faces.z)[drop][:] = 0.0
    end = advance_heat(conductor, None, still(300 + 20 * shape), time, control=FINE).state
    rate = k / c * np.sum((np.array(waves) * np.pi / lengths) ** 2)
    exact = 300 + 20 * np.exp(-rate * time) * shape
    return float(np.sqrt(np.mean((end.temperature - exact) ** 2)))


@pytest.mark.parametrize("waves", [(1, 2, 1), (3, 0, 0), (0, 3, 0), (0, 0, 3)])
def test_order_two_in_space_on_every_axis(waves):
    errors = [decay_error(n, waves) for n in (8, 16, 32)]
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.1)
    assert errors[2] < 0.05


def test_the_order_check_can_fail():
    """A kernel that dropped one axis would pass any test along another, and must fail where that axis takes part."""
    for axis, waves in enumerate([(3, 0, 0), (0, 3, 0), (0, 0, 3)]):
        errors = [decay_error(n, waves, drop=axis) for n in (8, 16)]
        assert np.log2(errors[0] / errors[1]) < 0.5


def steps_error(count, stages):
    """Error of a fixed number of steps against many more, with a reaction on: the order of the method itself."""
    rng = np.random.default_rng(2)
    conductor = make_conductor(rng.uniform(0.2, 0.6, (6, 6, 6)), np.full((6, 6, 6), 2.0), (np.ones(6),) * 3, 300.0)
    temperature, extent = 300 + 10 * rng.random((6, 6, 6)), np.full(216, 0.05)

    def rate(kelvin, w):
        return 0.08 * np.exp((kelvin - 300) / 30) * w * (1 - w)

    reaction = Reaction(np.arange(216), np.full(216, 60.0), lambda t, w, top: rate(t, w), lambda t: np.ones_like(t))
    cells, _ = _prepared(conductor, reaction, rate)
    rates = Rates(cells, temperature, extent)
    for _ in range(count):
        taken = Step(cells, temperature, extent, rates, (20.0 / count, stages))
        temperature, extent, rates = taken.temperature, taken.extent, taken.rates
    return temperature, extent


@pytest.mark.parametrize("stages", [6, 10])
def test_order_two_in_time_with_the_reaction(stages):
    exact, full = steps_error(1280, 4)
    errors = []
    for count in (40, 80, 160):
        temperature, extent = steps_error(count, stages)
        errors.append((np.abs(temperature - exact).max(), np.abs(extent - full).max()))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert orders[-1] == pytest.approx([2, 2], abs=0.1)


def adiabatic(law_name, share=0.7, start=298.15):
    laws = load_exotherm(law_name)
    shape = (5, 4, 3)
    grid = surround(shape, (1.0, 1.0, 1.0), 0.0, 1.0)
    k, c = np.full(shape, 0.3), np.full(shape, 0.0)
    own = laws.cement.density * laws.cement.specific_heat
    c += 2.0 + share * (own - 2.0)
    conductor = make_conductor(k, c, grid.widths, None)
    heat = laws.cement.density * laws.cure.kinetics.enthalpy * share
    reaction = Reaction(
        np.arange(60),
        np.full(60, heat),
        lambda t, w, top: cure.cure_rate(t, w, top, laws.cure),
        lambda t: cure.reachable(t, laws.cure),
    )
    begin = laws.cure.kinetics.start
    state = HeatState(0.0, np.full(shape, start), np.full(60, begin), cure.reachable(np.full(60, start), laws.cure))
    end = advance_heat(conductor, reaction, state, 40_000.0).state
    return end, heat / c[0, 0, 0], begin


@pytest.mark.parametrize("name", cure.kinetics_names())
def test_the_adiabatic_rise(name):
    """ρ ΔH φ w_max / (ρc)_mix within 0.1 %; w_max follows the temperature where vitrification limits it."""
    end, full, begin = adiabatic(name)
    start, law = 298.15, cure.load_kinetics(name)
    expected = full * (1 - begin)
    if law.ceiling is not None:
        top = start - full * begin
        expected = min(top / (1 - full / law.ceiling.full) - start, expected)
    assert end.temperature == pytest.approx(start + expected, abs=1e-3 * expected)
    undiluted, more, _ = adiabatic(name, share=0.71)
    assert undiluted.temperature.max() - start != pytest.approx(expected, rel=1e-3), "this check cannot fail"
    assert more > full


def test_a_point_of_heat_spreads_as_it_should():
    """A Gaussian in open space stays one: 3-D, with the surroundings of growing cells around it."""
    k, c, n, h = 0.5, 2.5, 25, 1.0
    alpha, begin, time = k / c, 20.0, 60.0
    grid = surround((n, n, n), (h, h, h), 25.0, 1.3)
    axes = [
        np.cumsum(w) - 0.5 * w - w[: m + n // 2].sum() - 0.5 * h for w, m in zip(grid.widths, grid.layers, strict=True)
    ]
    square = axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2

    def gauss(t):
        return 310 + 60 * (begin / t) ** 1.5 * np.exp(-square / (4 * alpha * t))

    fields = [np.full(square.shape, v) for v in (k, c)]
    conductor = make_conductor(*fields, grid.widths, 310.0)
    end = advance_heat(conductor, None, still(gauss(begin)), time).state.temperature
    error = np.abs(end - gauss(begin + time))[grid.inner].max()
    assert error < 0.02 * (gauss(begin + time).max() - 310)
    assert np.abs(end - gauss(begin + 0.9 * time))[grid.inner].max() > 0.02 * (end.max() - 310)


def ball(shape, spacing, radius, share=0.7):
    place = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, spacing, strict=True)]
    distance = np.sqrt(place[0][:, None, None] ** 2 + place[1][None, :, None] ** 2 + place[2][None, None, :] ** 2)
    return share * np.clip((radius - distance) / spacing[0] + 0.5, 0, 1)


def cured(shape, spacing, radius, laws, depth=None, growth=None, until=600.0):
    around = laws.surroundings
    grid = surround(
        shape, spacing, around.depth if depth is None else depth, around.growth if growth is None else growth
    )
    place = CementInPlace(grid, np.full(shape, Medium.TRABECULAR), ball(shape, spacing, radius))
    return advance_exotherm(place, start_exotherm(grid, laws), until, laws)


def test_energy_of_a_curing_ball_and_its_surroundings():
    laws = load_exotherm("borzacchiello_1998_2")
    even = cured((56, 56, 56), (1.5, 1.5, 1.5), 9.0, laws, depth=0.0)
    assert even.balance.error < 1e-9
    assert even.balance.released > 1e4
    graded = cured((24, 24, 24), (1.5, 1.5, 1.5), 9.0, laws)
    assert graded.balance.error < 1e-9
    inside = tuple(slice(16, 40) for _ in range(3))
    assert np.abs(graded.state.peak - even.state.peak[inside]).max() < 0.1
    assert graded.state.peak.max() > 330
    tight = cured((24, 24, 24), (1.5, 1.5, 1.5), 9.0, laws, depth=0.0)
    assert np.abs(tight.state.peak - even.state.peak[inside]).max() > 0.1, "this check cannot fail"


def test_all_48_axis_orders_give_the_same_fields():
    laws = load_exotherm("borzacchiello_1998_2")
    rng = np.random.default_rng(5)
    shape, spacing = (6, 7, 8), np.array([2.0, 1.6, 2.4])
    medium, cement = rng.integers(0, 6, shape), 0.7 * (rng.random(shape) < 0.3) * rng.random(shape)

    def answer(order, flips):
        def turned(field):
            return np.flip(field.transpose(order), flips).copy()

        grid = surround_site(tuple(np.array(shape)[list(order)]), spacing[list(order)], laws)
        run = advance_exotherm(
            CementInPlace(grid, turned(medium), turned(cement)), start_exotherm(grid, laws), 300, laws
        )
        fields = (run.state.peak, run.state.omega, run.state.cem43, run.state.conversion)
        return [np.flip(f, flips).transpose(np.argsort(order)) for f in fields]

    first = answer((0, 1, 2), ())
    flips = [f for count in range(4) for f in itertools.combinations(range(3), count)]
    for order, flip in itertools.product(itertools.permutations(range(3)), flips):
        for one, other in zip(answer(order, flip), first, strict=True):
            assert one == pytest.approx(other, rel=1e-6)
    assert np.abs(first[0] - np.flip(first[0], 0)).max() > 0.1, "this check cannot fail"


def test_units_do_not_matter():
    """The same ball in micrometres: lengths x 1000, conductivity / 1000, heat per volume / 1e9."""
    shape, rng = (6, 5, 4), np.random.default_rng(1)
    k, c, start = rng.uniform(0.2, 0.6, shape), rng.uniform(1.5, 3, shape), 300 + 20 * rng.random(shape)

    def end(scale):
        widths = tuple(np.full(n, scale) for n in shape)
        conductor = make_conductor(k / scale, c / scale**3, widths, 310.0)
        return advance_heat(conductor, None, still(start), 30.0).state.temperature

    assert end(1000.0) == pytest.approx(end(1.0), rel=1e-10)
