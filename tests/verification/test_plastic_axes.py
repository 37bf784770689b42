"""Proves: a plastic step gives the same answer in all 48 axis orders, for a foam that crushes."""

import itertools

import numpy as np

from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.foam import FoamBody
from vertecast.kernels.foam_law import FoamLaw
from vertecast.kernels.foam_loading import FoamUnderLoad
from vertecast.kernels.newton import PathStatus, StepControl, follow

SHAPE, SPACING = (2, 3, 4), np.array([1.0, 0.8, 1.3])


def answer(order, flips, strength, pressed=0.06):
    """Displacement and plastic strain of a block pressed and sheared on one face, turned back from an axis order."""

    def turned(field):
        return np.flip(field.transpose(order), flips).copy()

    signs = np.array([-1.0 if axis in flips else 1.0 for axis in range(3)])
    mesh = BrickMesh.from_mask(turned(np.ones(SHAPE, bool)), SPACING[list(order)])
    node_shape = tuple(n + 1 for n in SHAPE)
    fixed, values = np.zeros((3, *node_shape), bool), np.zeros((3, *node_shape))
    fixed[..., 0] = fixed[..., -1] = True
    values[2, ..., -1], values[0, ..., -1] = -pressed, 0.3 * pressed
    held = np.stack([turned(fixed[a]) for a in order])
    given = np.stack([signs[i] * turned(values[a]) for i, a in enumerate(order)])
    lame, mu = lame_parameters(np.full(mesh.count, 300.0), 0.3)
    body = FoamBody(mesh, lame, mu, mesh.pack(turned(strength)), FoamLaw(alpha=1.0), Integration.MEAN_DILATATION)
    problem = FoamUnderLoad(body, Constraints(held, given), grip=mesh.nodes)
    control = StepControl(increments=2, tolerance=1e-10, tightest=1e-9, iterations=25)
    path = follow(problem, control)
    assert path.status is PathStatus.COMPLETE
    u = np.empty((3, *node_shape))
    for i, a in enumerate(order):
        u[a] = np.flip(signs[i] * path.displacement[i], flips).transpose(np.argsort(order))
    kappa = np.flip(mesh.unpack(problem.state.kappa.mean(axis=0)), flips).transpose(np.argsort(order))
    return u, kappa


def test_all_48_axis_orders_give_the_same_plastic_answer():
    strength = 2.0 * np.random.default_rng(8).uniform(0.5, 1.5, SHAPE)
    first, yielded = answer((0, 1, 2), (), strength)
    assert (yielded > 1e-3).mean() > 0.5  # well beyond first yield
    flips = [f for n in range(4) for f in itertools.combinations(range(3), n)]
    for order, flip in itertools.product(itertools.permutations(range(3)), flips):
        u, kappa = answer(order, flip, strength)
        # the history is kept in float32
        np.testing.assert_allclose(u, first, atol=1e-6 * np.abs(first).max())
        np.testing.assert_allclose(kappa, yielded, atol=1e-5 * yielded.max())
    strength[0, 0, 0] *= 1.01
    assert np.abs(answer((0, 1, 2), (), strength)[0] - first).max() > 1e-6 * np.abs(first).max(), "cannot fail"
