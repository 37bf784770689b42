"""The Gauss-point passes are the strain matrices: strain, force, tangent; and a Newton step is a linear solve."""

import numpy as np
import pytest

from vertecast.core.errors import ParameterError
from vertecast.kernels.brick_modes import Integration, strain_matrices
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.elastic import prepare_elastic, solve, solve_correction
from vertecast.kernels.elastic_grid import ElasticOperator, element_nodes
from vertecast.kernels.gauss import GaussPasses, RankOneTangent
from vertecast.kernels.krylov import Stop


@pytest.fixture(params=Integration)
def case(request):
    rng = np.random.default_rng(2)
    mask = rng.random((19, 5, 90)) < 0.6
    mask[0, 0] = False
    mesh = BrickMesh.from_mask(mask, (1.0, 1.5, 0.7))
    u = rng.standard_normal((3, *mesh.node_shape))
    corners = u.reshape(3, -1)[:, element_nodes(mesh)].transpose(1, 2, 0).reshape(-1, 24)
    matrices = strain_matrices(mesh.spacing, request.param)
    return GaussPasses(mesh, request.param), u, matrices, np.einsum("gij,ej->gie", matrices, corners), rng


def nodal(mesh, matrices, stress):
    """Sum B^T sigma over the points with plain NumPy."""
    element = np.einsum("gij,gie->ej", matrices, stress) * np.prod(mesh.spacing) / 8
    total = np.zeros((3, int(np.prod(mesh.node_shape))))
    for component in range(3):
        np.add.at(total[component], element_nodes(mesh), element.reshape(-1, 8, 3)[:, :, component])
    return total.reshape(3, *mesh.node_shape)


def rank_one_stress(values, strain):
    """Stress of the tangent, written out."""
    bulk, shear, w = values[:, 0].astype(float), values[:, 1].astype(float), values[:, 2:].astype(float)
    unit = np.array([1.0, 1, 1, 0, 0, 0])[None, :, None]
    twice = np.array([2.0, 2, 2, 1, 1, 1])[None, :, None]
    volume = strain[:, :3].sum(axis=1)
    along = (w * strain).sum(axis=1)
    isotropic = ((bulk - 2 / 3 * shear) * volume)[:, None] * unit + shear[:, None] * strain * twice
    return isotropic - along[:, None] * w


def test_strain_and_force_are_the_strain_matrices(case):
    passes, u, matrices, expected, rng = case
    mesh = passes.mesh
    assert np.abs(passes.strain(u) - expected).max() < 1e-13 * np.abs(expected).max()
    part = passes.strain(u, planes=(3, 8))
    assert np.allclose(part, expected[..., mesh.slab(3, 8)], rtol=0, atol=1e-13 * np.abs(expected).max())
    stress = rng.standard_normal(expected.shape)
    force = nodal(mesh, matrices, stress)
    assert np.abs(passes.force(stress) - force).max() < 1e-13 * np.abs(force).max()
    total = np.zeros_like(force)
    for first in range(0, 19, 4):
        planes = (first, min(first + 4, 19))
        passes.force(stress[..., mesh.slab(*planes)], planes=planes, out=total)
    assert np.abs(total - force).max() < 1e-13 * np.abs(force).max()
    assert np.abs(nodal(mesh, matrices[::-1], stress) - force).max() > 1e-3, "this check cannot fail"


def test_tangent_is_force_of_stress_of_strain(case):
    passes, u, matrices, strain, rng = case
    values = rng.random((8, 8, passes.mesh.count)).astype(np.float32)
    expected = nodal(passes.mesh, matrices, rank_one_stress(values, strain)).ravel()
    found = np.empty(u.size)
    RankOneTangent(passes, values).apply(u.ravel(), found)
    assert np.abs(found - expected).max() < 1e-13 * np.abs(expected).max()


def test_elastic_tangent_is_the_elastic_operator(case):
    passes, u, _, _, rng = case
    lame, mu = rng.random((2, passes.mesh.count)).astype(np.float32).astype(float)
    values = np.zeros((8, 8, passes.mesh.count), np.float32)
    values[:, 0], values[:, 1] = lame + 2 / 3 * mu, mu
    found, expected = np.empty(u.size), np.zeros(u.size)
    RankOneTangent(passes, values).apply(u.ravel(), found)
    ElasticOperator(passes.mesh, np.stack([lame, mu]), passes.integration).apply(u.ravel(), expected)
    assert np.abs(found - expected).max() < 3e-7 * np.abs(expected).max()


def test_one_newton_step_from_the_imposed_motion_is_the_linear_solution():
    mesh = BrickMesh.from_mask(np.pad(np.ones((6, 6, 8), dtype=bool), ((2, 1), (0, 1), (0, 0))), (1, 1, 1))
    young = np.linspace(50, 400, mesh.count).astype(np.float32).astype(float)
    lame, mu = lame_parameters(young, 0.3)
    fixed = np.zeros((3, *mesh.node_shape), dtype=bool)
    fixed[..., 0] = fixed[..., -1] = True
    values = np.zeros(fixed.shape)
    values[2, ..., -1] = -0.2
    system = prepare_elastic(mesh, lame, mu, Constraints(fixed, values))
    passes = GaussPasses(mesh, Integration.FULL)
    start = system.imposed()
    strain = passes.strain(start)
    stress = 2 * mu * strain * np.array([1, 1, 1, 0.5, 0.5, 0.5])[None, :, None]
    stress[:, :3] += (lame * strain[:, :3].sum(axis=1))[:, None]
    tangent_values = np.zeros((8, 8, mesh.count), np.float32)
    tangent_values[:, 0], tangent_values[:, 1] = lame + 2 / 3 * mu, mu
    tangent = RankOneTangent(GaussPasses(system.mesh, Integration.FULL), tangent_values)
    step = solve_correction(system, -passes.force(stress), tangent=tangent, stop=Stop(rtol=1e-10))
    expected = solve(system, stop=Stop(rtol=1e-12)).displacement
    assert np.abs(start + step.displacement - expected).max() < 1e-6 * np.abs(expected).max()
    assert np.abs(start - expected).max() > 1e-2


def test_refusals():
    mesh = BrickMesh.from_mask(np.ones((3, 3, 3)), (1, 1, 1))
    passes = GaussPasses(mesh, Integration.FULL)
    with pytest.raises(ParameterError, match=r"must be \(8, 6, 27\)"):
        passes.force(np.zeros((8, 6, 5)))
    with pytest.raises(ParameterError, match=r"planes \(2, 5\) must lie in 0..3"):
        passes.strain(np.zeros((3, 4, 4, 4)), planes=(2, 5))
    with pytest.raises(ParameterError, match="does not fit the nodes"):
        passes.strain(np.zeros((3, 3, 3, 3)))
    with pytest.raises(ParameterError, match="must be contiguous float32"):
        RankOneTangent(passes, np.zeros((8, 8, 27)))
