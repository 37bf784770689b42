"""Proves: one projected solve gives the motion and the pressures that the bordered equations ask for."""

import numpy as np
import pytest

from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import lame_parameters
from vertecast.kernels.cavity_balance import cut_body
from vertecast.kernels.cavity_shape import cavity_share, sphere
from vertecast.kernels.cavity_solver import Border, steered_correction
from vertecast.kernels.constraints import Constraints, Platen, Sides
from vertecast.kernels.elastic import prepare_elastic
from vertecast.kernels.krylov import Stop

SHAPE, ONE = (8, 9, 10), (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def block():
    """A block with two cavities under a platen, its system, and the cavities' g."""
    nodes = tuple(n + 1 for n in SHAPE)
    fixed = np.zeros((3, *nodes), bool)
    fixed[:, :, :, 0] = True
    top = np.zeros(nodes, bool)
    top[:, :, -1] = True
    platen = Platen(nodes=top, axis=2, point=(4.0, 4.5, 10.0), sides=Sides.BONDED, force=-1.0)
    constraints = Constraints(fixed, platens=(platen,))
    shares = tuple(cavity_share(sphere(nodes, ONE, centre, 1.6), ONE) for centre in ((4, 2.5, 4.8), (4.3, 6.6, 5.2)))
    body = cut_body(shares, ONE, constraints)
    lame, mu = lame_parameters(np.full(body.mesh.count, 50.0) * body.weight, 0.3)
    return body, prepare_elastic(body.mesh, lame, mu, constraints, integration=Integration.MEAN_DILATATION)


def test_motion_and_pressures_solve_the_bordered_equations(block):
    body, system = block
    rng = np.random.default_rng(3)
    residual = np.where(body.mesh.nodes, rng.normal(size=(3, *body.mesh.node_shape)), 0.0)
    missing = np.array([0.3, -0.1])
    border = Border.of(system, list(body.pushes))
    stop = Stop(rtol=1e-9, max_iterations=200, throw=False)
    du, dp, spent = steered_correction(system, system.operator, border, residual, missing, stop)
    assert spent < 60
    np.testing.assert_allclose([np.vdot(push, du) for push in body.pushes], missing, atol=1e-5)
    flat = system.cropped(du)
    out = np.empty_like(flat)
    system.operator.apply(flat, out)
    left = residual + sum(p * push for p, push in zip(dp, body.pushes, strict=True)) - system.restored(out)
    left = system.cropped(left)
    motions = np.where(system.ties.free, system.ties.gathered(left), 0.0)
    left[system.kinds.ravel() != 0] = 0.0
    assert np.abs(left).max() < 1e-6
    assert np.abs(motions).max() < 1e-6


def test_nothing_missing_moves_no_volume(block):
    body, system = block
    residual = np.where(body.mesh.nodes, 1.0, 0.0) * np.ones((3, 1, 1, 1))
    border = Border.of(system, list(body.pushes))
    stop = Stop(rtol=1e-2, max_iterations=50, throw=False)
    du, *_ = steered_correction(system, system.operator, border, residual, np.zeros(2), stop)
    for push in body.pushes:
        assert abs(np.vdot(push, du)) < 1e-5 * np.linalg.norm(push) * np.linalg.norm(du)
