"""Proves: softening gathered in one layer of voxels gives one curve on three grids, by the crack band's scaling."""

import numpy as np
import pytest

from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.foam import FoamBody
from vertecast.kernels.foam_law import NO_SIDEWAYS, FoamLaw
from vertecast.kernels.foam_loading import FoamUnderLoad
from vertecast.kernels.newton import PathStatus, StepControl, follow
from vertecast.physics.bone_yield import foam_law, load_post_yield

YOUNG, YIELD, TRAVEL = 300.0, 2.0, 0.25  # MPa, MPa, mm on 12 mm


def bar(voxel, law):
    """A bar of 2 x 2 x 12 mm, its middle layer of voxels 2 % weaker, pressed by TRAVEL; returns force and losses."""
    across, along = round(2 / voxel), round(12 / voxel)
    mesh = BrickMesh.from_mask(np.ones((across, across, along), bool), (voxel,) * 3)
    strength = np.full(mesh.shape, YIELD)
    strength[:, :, along // 2] *= 0.98
    lame, mu = lame_parameters(np.full(mesh.count, YOUNG), 0.0)
    body = FoamBody(mesh, lame, mu, mesh.pack(strength), law, Integration.MEAN_DILATATION)
    fixed, values = np.zeros((3, *mesh.node_shape), bool), np.zeros((3, *mesh.node_shape))
    fixed[..., 0] = fixed[..., -1] = True
    values[2, ..., -1] = -TRAVEL
    top = np.zeros(mesh.node_shape, bool)
    top[..., -1] = True
    path = follow(
        FoamUnderLoad(body, Constraints(fixed, values), grip=top),
        StepControl(increments=18, iterations=40, tolerance=1e-3),
    )
    assert path.status is PathStatus.COMPLETE
    scales = [one.scale for one in path.increments]
    force = np.interp(np.linspace(0.4, 1, 7), scales, [-one.record.force[2] for one in path.increments])
    return force, path.increments[-1].record


def three_grids(law_of):
    found = [bar(voxel, law_of(voxel)) for voxel in (2.0, 1.0, 0.5)]
    return np.array([force for force, _ in found]), [record for _, record in found]


@pytest.fixture(scope="module")
def scaled():
    post = load_post_yield("softening").values
    return three_grids(lambda voxel: foam_law(post, float(NO_SIDEWAYS), voxel))


def test_the_curve_and_its_energy_do_not_depend_on_the_grid(scaled):
    force, records = scaled
    assert force[:, -1].max() < 0.92 * YIELD * 4  # it has softened
    np.testing.assert_allclose(force[0], force[2], rtol=0.04)
    np.testing.assert_allclose(force[1], force[2], rtol=0.04)
    losses = [one.dissipated for one in records]
    np.testing.assert_allclose(losses, losses[2], rtol=0.05)


def test_work_is_stored_or_dissipated(scaled):
    for one in scaled[1]:
        assert one.stored + one.dissipated == pytest.approx(one.work, rel=0.02)


def test_without_the_scaling_the_grids_disagree():
    post = load_post_yield("softening").values
    fixed = foam_law(post, float(NO_SIDEWAYS), post.band_length)
    assert isinstance(fixed, FoamLaw)
    force, _ = three_grids(lambda _: fixed)
    assert (force[0] / force[2]).max() > 1.1
