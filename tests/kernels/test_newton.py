"""Proves: the path driver finds equilibrium to its tolerance, cuts steps, and ends at a limit point with the curve."""

import numpy as np
import pytest

from vertecast.core.errors import ParameterError
from vertecast.kernels.newton import Imbalance, PathStatus, StepControl, follow


class ShallowTruss:
    """Two bars of rise 1 pressed down at the apex: force u (u - 1)(u - 2), largest 2/(3 sqrt 3) at u = 1 - 1/sqrt 3."""

    peak = 2 / (3 * np.sqrt(3))

    def __init__(self, force):
        self.force, self.corrections = force, 0

    def elastic(self):
        return np.array([self.force / 2.0])

    def imbalance(self, u, scale):
        x = u[0]
        self.stiffness = 3 * x**2 - 6 * x + 2
        inner = x * (x - 1) * (x - 2)
        return Imbalance(np.array([scale * self.force - inner]), abs(scale * self.force - inner), abs(inner) + 1e-30)

    def correct(self, residual, rtol):
        self.corrections += 1
        return residual / self.stiffness, 1

    def work(self, residual, du):
        return float(residual @ du)

    def accept(self, u, scale):
        return float(u[0])


def test_follows_a_curve_to_its_tolerance():
    path = follow(ShallowTruss(0.9 * ShallowTruss.peak), StepControl(increments=10, tolerance=1e-10))
    assert path.status is PathStatus.COMPLETE
    for one in path.increments:
        x = one.record
        assert x * (x - 1) * (x - 2) == pytest.approx(one.scale * 0.9 * ShallowTruss.peak, rel=1e-9)
    assert path.increments[-1].scale == 1.0


def test_force_beyond_the_limit_point_gives_the_curve_and_the_status():
    truss = ShallowTruss(1.3 * ShallowTruss.peak)
    path = follow(truss, StepControl(increments=10, tolerance=1e-8))
    # the apex may also snap through to the far branch, which is an equilibrium too; the curve before it must be there
    reached = [one for one in path.increments if one.record < 1]
    assert path.cuts > 0
    assert truss.corrections < 500
    assert reached[-1].scale * 1.3 == pytest.approx(1.0, abs=0.02)


class SofteningSprings(ShallowTruss):
    """A force that saturates at 1 and has no equilibrium above."""

    def imbalance(self, u, scale):
        inner = np.tanh(u[0])
        self.stiffness = max(1 - inner**2, 1e-12)
        return Imbalance(np.array([scale * self.force - inner]), abs(scale * self.force - inner), abs(inner) + 1e-30)


def test_no_equilibrium_above_a_plateau_ends_with_the_limit_status():
    path = follow(SofteningSprings(2.0), StepControl(increments=8, tolerance=1e-6))
    assert path.status is PathStatus.LIMIT
    assert path.increments[-1].scale * 2.0 == pytest.approx(1.0, abs=0.01)
    assert path.increments[-1].scale * 2.0 <= 1.0 + 1e-6


def test_patience_cuts_a_hopeless_step_early_and_changes_no_curve():
    found = {}
    for patience in (None, 4):
        springs = SofteningSprings(2.0)
        path = follow(springs, StepControl(increments=8, tolerance=1e-6, patience=patience))
        found[patience] = (path, springs.corrections)
    long, short = found[None], found[4]
    assert short[1] < 0.7 * long[1]  # else it changes nothing
    assert [one.scale for one in short[0].increments] == [one.scale for one in long[0].increments]
    assert short[0].displacement == pytest.approx(long[0].displacement, rel=1e-4)


def test_cancelling_stops_between_steps():
    class Cancelling:
        steps = 0

        def advance(self, steps=1):
            self.steps += steps

        def cancelled(self):
            return self.steps >= 3

    path = follow(ShallowTruss(0.1), StepControl(increments=10), observer=Cancelling())
    assert path.status is PathStatus.CANCELLED
    assert len(path.increments) == 3


def test_stop_ends_the_path_where_told():
    path = follow(ShallowTruss(0.1), StepControl(increments=10), stop=lambda done: done[-1].scale >= 0.5)
    assert path.increments[-1].scale == pytest.approx(0.5)


def test_nan_never_hangs():
    class Broken(ShallowTruss):
        def imbalance(self, u, scale):
            return Imbalance(np.array([np.nan]), np.nan, 1.0)

    path = follow(Broken(0.1), StepControl(increments=4))
    assert path.status is PathStatus.LIMIT
    assert path.increments == ()


@pytest.mark.parametrize("change", [{"increments": 0}, {"tolerance": 0.0}, {"tightest": 0.5}, {"smallest": 2.0}])
def test_control_refuses(change):
    with pytest.raises(ParameterError, match=r"must (be|lie)"):
        StepControl(**change)
