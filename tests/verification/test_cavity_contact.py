"""Proves: fluid in a cavity never pulls on the wall, and a platen on a spring moves as beam theory says.

Contact: a cavity whose volume is held while the body is drawn apart is let loose, moves just as an empty one and is
taken up again when the body is pressed together. Spring: a column without Poisson's ratio under a platen that tilts.
"""

import numpy as np
import pytest

from vertecast.core.errors import ParameterError
from vertecast.kernels.bricks import lame_parameters
from vertecast.kernels.cavity import CavityProblem, Goal, PlatenSpring, WalkControl, WalkStatus, begun, walk
from vertecast.kernels.cavity_shape import sphere
from vertecast.kernels.constraints import Constraints, Platen, Sides
from vertecast.kernels.foam_law import NO_SIDEWAYS, FoamLaw

STEPS = WalkControl(increments=1, tolerance=1e-4, balance=1e-4)
YOUNG = 100.0


class Skin:
    """A membrane that bears 0.02 MPa in the open and never stretches."""

    stiffness = 0.0

    def resting_pressure(self, volume):
        return 0.02

    def outside(self, places, volume):
        return np.full(len(places), -1.0)


def column(cells=(6, 6, 8), force=1.0, membrane=None, springs=(), radius=1.6, poisson=0.3, **plate):
    """An elastic column on a fixed floor with a cavity in its middle; the platen pulls upwards with ``force``."""
    nodes = tuple(n + 1 for n in cells)
    fixed = np.zeros((3, *nodes), bool)
    fixed[:, :, :, 0] = True
    top = np.zeros(nodes, bool)
    top[:, :, -1] = True
    x, y, z = cells
    platen = Platen(nodes=top, axis=2, point=(x / 2, y / 2, float(z)), force=force, **{"sides": Sides.BONDED, **plate})
    lame, mu = lame_parameters(YOUNG, poisson)

    def constants(density, damage, kappa, label, torn):
        return np.repeat([[lame], [mu], [1e6], [np.inf]], density.size, axis=1)

    problem = CavityProblem(
        spacing=(1.0, 1.0, 1.0),
        constraints=Constraints(fixed, None, (platen,)),
        law=FoamLaw(alpha=float(NO_SIDEWAYS)),
        constants=constants,
        membranes=(membrane,),
        springs=springs,
    )
    fields = {"density": np.ones(cells), "damage": np.zeros(cells), "label": np.ones(cells, int)}
    return problem, begun(problem, cavities=(sphere(nodes, (1.0,) * 3, (x / 2, y / 2, z / 2), radius),), **fields)


def held(problem, state, load):
    """Keep the cavity's fluid and change the load's scale."""
    found = walk(
        problem, state, Goal(volumes=state.fluids(problem.spacing), pressures=(None,), load=load), control=STEPS
    )
    assert found.status is WalkStatus.COMPLETE
    return found.state


@pytest.mark.parametrize("membrane", [None, Skin()])
def test_a_held_cavity_does_not_pull(membrane):
    problem, state = column(force=40.0, membrane=membrane)
    (volume,) = state.volumes(problem.spacing)
    apart = held(problem, state, 1.0)
    empty = walk(problem, state, Goal(volumes=(None,), pressures=(0.0,), load=1.0), control=STEPS).state
    assert apart.pressures[0] >= 0.0
    assert apart.slack[0] > 0.01 * volume
    assert apart.fluids(problem.spacing)[0] == pytest.approx(volume, rel=1e-9)
    assert apart.platens[0, 0] == pytest.approx(empty.platens[0, 0], rel=1e-3)
    assert apart.platens[0, 0] > 0.05


def test_a_loose_cavity_is_taken_up_again():
    problem, state = column(force=40.0)
    (volume,) = state.volumes(problem.spacing)
    again = held(problem, held(problem, state, 1.0), -1.0)
    straight = held(problem, state, -1.0)
    assert again.slack == (0.0,)
    assert again.pressures[0] == pytest.approx(straight.pressures[0], rel=0.1)  # 0.1 % of its volume
    assert again.volumes(problem.spacing)[0] == pytest.approx(volume, rel=0.01)
    assert again.platens[0, 0] == pytest.approx(straight.platens[0, 0], rel=0.03)


def test_fluid_that_follows_a_loose_wall_reaches_it():
    problem, state = column(force=40.0)
    apart = held(problem, state, 1.0)
    wanted = 1.1 * apart.volumes(problem.spacing)[0]
    found = walk(problem, apart, Goal(volumes=(wanted,), pressures=(None,), load=1.0), control=STEPS)
    assert found.status is WalkStatus.COMPLETE
    assert apart.slack[0] > 0.0
    assert found.state.slack == (0.0,)
    assert found.state.pressures[0] > 0.0
    assert found.state.volumes(problem.spacing)[0] == pytest.approx(wanted, rel=0.005)


def test_a_pressed_cavity_is_never_let_loose():
    problem, state = column(force=-40.0)
    pressed = held(problem, state, 1.0)
    empty = walk(problem, state, Goal(volumes=(None,), pressures=(0.0,), load=1.0), control=STEPS).state
    assert pressed.slack == (0.0,)
    assert pressed.pressures[0] > 0.1
    assert pressed.platens[0, 0] > 1.005 * empty.platens[0, 0]  # the fluid bears


def tilted(stiffness, lever, force=-30.0, cells=(8, 8, 8), tilts=(True, True)):
    """Return motion and tilt of a column's top under a force in the middle and a spring ``lever`` behind it."""
    x, y, z = cells
    spring = PlatenSpring(platen=0, point=(x / 2, y / 2 + lever, float(z)), stiffness=stiffness)
    kind = {"radius": 0.3, "sides": Sides.FRICTIONLESS, "poisson": 0.0, "tilts": tilts}
    problem, state = column(cells, force, springs=(spring,), **kind)
    found = walk(problem, state, Goal(volumes=(None,), pressures=(0.0,), load=1.0), control=STEPS)
    return found, found.state.platens[0]


def test_a_column_beside_a_spring_tilts_as_a_beam():
    """EA/h and EI/h of the column, k (1, L; L, L²) of the spring: two equations for motion and tilt."""
    edge, height, stiffness, lever, force = 8.0, 8.0, 300.0, 12.0, -30.0
    axial, bending = YOUNG * edge**2 / height, YOUNG * edge**4 / 12.0 / height
    matrix = np.array([[axial + stiffness, stiffness * lever], [stiffness * lever, bending + stiffness * lever**2]])
    expected = np.linalg.solve(matrix, [force, 0.0])
    found, platen = tilted(stiffness, lever)
    assert platen[0] == pytest.approx(expected[0], rel=0.02)
    assert platen[2] == pytest.approx(expected[1], rel=0.03)
    assert platen[1] == pytest.approx(0.0, abs=1e-3 * abs(expected[1]))
    last = found.records[-1]
    assert last.stored == pytest.approx(last.work, rel=0.02)  # the spring's work is counted
    borne = -stiffness * (expected[0] + lever * expected[1])
    assert last.support[2] == pytest.approx(-force - borne, rel=0.02)  # the rest stands on the floor


def test_a_platen_that_may_not_tilt_stays_level():
    _, platen = tilted(300.0, 12.0, tilts=(True, False))
    assert platen[2] == pytest.approx(0.0, abs=1e-9)
    assert platen[0] == pytest.approx(-30.0 / (YOUNG * 8.0 + 300.0), rel=0.02)


def test_these_checks_can_fail():
    """Without a spring nothing tilts; one that is far stiffer is a hinge."""
    _, free = tilted(0.0, 12.0)
    _, hinged = tilted(1e5, 12.0)
    assert abs(free[2]) < 1e-6
    assert abs(hinged[0] + 12.0 * hinged[2]) < 0.02 * abs(hinged[0])
    with pytest.raises(ParameterError, match="must be finite and >= 0"):
        PlatenSpring(platen=0, point=(0.0, 0.0, 0.0), stiffness=-1.0)
    with pytest.raises(ParameterError, match="needs one of the 1 platens"):
        column(springs=(PlatenSpring(platen=1, point=(0.0, 0.0, 0.0), stiffness=1.0),))
