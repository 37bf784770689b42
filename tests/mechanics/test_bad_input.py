"""Proves: what cannot be loaded is refused by name; a body that gives way ends with its curve and the status."""

import numpy as np
import pytest
from tests.mechanics.columns import DENSITY, HEIGHT, Line, column

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.core.levels import Level
from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints, Platen, Sides
from vertecast.kernels.elastic import prepare_elastic
from vertecast.kernels.foam import FoamBody
from vertecast.kernels.foam_law import NO_SIDEWAYS, FoamLaw
from vertecast.kernels.foam_loading import FoamUnderLoad
from vertecast.kernels.newton import PathStatus, StepControl, follow
from vertecast.mechanics.curve import Curve
from vertecast.mechanics.settings import StrengthOptions
from vertecast.mechanics.strength import strength
from vertecast.spine.anatomy import Anatomy

QUICK = StrengthOptions(voxel_mm=3.0, increments=2, alphas=(float(NO_SIDEWAYS),), strain=0.004)


def with_body(change):
    """Return the column's anatomy with another body, and its CT."""
    anatomy, volume = column()
    body = change(anatomy.body.copy())
    none = np.zeros_like(body)
    return Anatomy(Level.L3, anatomy.grid, body, body, none, anatomy.vert_from_lps), volume


def test_empty_mask():
    with pytest.raises(GeometryError, match="L3: the body has no voxel; check the labels"):
        strength(*with_body(np.zeros_like), Line(), QUICK)
    with pytest.raises(GeometryError, match="no active voxel in the mask"):
        BrickMesh.from_mask(np.zeros((3, 3, 3), bool), (1, 1, 1))


def test_a_body_of_a_few_voxels():
    def speck(body):
        body[:] = False
        body[16:20, 16:20, 16:20] = True
        return body

    with pytest.raises(GeometryError, match=r"L3: only \d+ voxels of 3.0 mm lie in the body; use a smaller voxel"):
        strength(*with_body(speck), Line(), QUICK)


def test_disconnected_pieces_are_left_out_by_name():
    def with_crumb(body):
        body[1:6, 1:6, 14:20] = True
        return body

    alone = strength(*column(), Line(), QUICK)
    found = strength(*with_body(with_crumb), Line(), QUICK)
    assert any("voxels not connected to the body were left out" in said for said in found.warnings)
    # the crumb widens the grid, so its voxels lie elsewhere in the body
    assert found.elements == pytest.approx(alone.elements, rel=0.1)
    assert found.results[0].curve.stiffness == pytest.approx(alone.results[0].curve.stiffness, rel=0.1)
    assert not any("not connected" in said for said in alone.warnings)


@pytest.mark.parametrize("modulus", [0.0, -5.0, np.nan])
def test_zero_or_negative_modulus(modulus):
    with pytest.raises(ParameterError, match="must be positive and finite in every active voxel"):
        lame_parameters(np.array([100.0, modulus]), 0.3)


@pytest.mark.parametrize("stress", [0.0, -1.0, np.nan])
def test_zero_or_negative_strength(stress):
    mesh = BrickMesh.from_mask(np.ones((2, 2, 2), bool), (1, 1, 1))
    lame, mu = lame_parameters(np.full(8, 100.0), 0.3)
    with pytest.raises(ParameterError, match="8 of 8 yield stresses are NaN or not positive"):
        FoamBody(mesh, lame, mu, np.full(8, stress), FoamLaw(alpha=1.0), Integration.MEAN_DILATATION)


def test_nan_density():
    class Holed(Line):
        def density(self, hu):
            rho = np.full(np.shape(hu), DENSITY)
            rho[:7] = np.nan
            return rho

    with pytest.raises(ParameterError, match=r"7 of \d+ densities are NaN or infinite; repair the CT"):
        strength(*column(), Holed(), QUICK)


def test_unconstrained_body():
    mesh = BrickMesh.from_mask(np.ones((3, 3, 3), bool), (1, 1, 1))
    moduli = lame_parameters(np.full(mesh.count, 100.0), 0.3)
    with pytest.raises(GeometryError, match="is not held against all six rigid motions; fix more displacements"):
        prepare_elastic(mesh, *moduli, Constraints(np.zeros((3, *mesh.node_shape), bool)))


def test_two_pieces_of_which_one_is_loose():
    mask = np.ones((3, 3, 9), bool)
    mask[:, :, 4] = False
    mesh = BrickMesh.from_mask(mask, (1, 1, 1))
    fixed = np.zeros((3, *mesh.node_shape), bool)
    fixed[..., 0] = True
    moduli = lame_parameters(np.full(mesh.count, 100.0), 0.3)
    with pytest.raises(GeometryError, match=r"1 of 2 disconnected pieces are not held; the first has 36 voxels"):
        prepare_elastic(mesh, *moduli, Constraints(fixed))


def test_a_force_beyond_the_limit_point_gives_the_curve_up_to_it_and_the_status():
    mesh = BrickMesh.from_mask(np.ones((3, 3, 6), bool), (1, 1, 1))
    lame, mu = lame_parameters(np.full(mesh.count, 300.0), 0.0)
    body = FoamBody(mesh, lame, mu, np.full(mesh.count, 2.0), FoamLaw(alpha=0.0), Integration.MEAN_DILATATION)
    limit = 2.0 * 9.0  # yield stress times area; without Poisson's effect nothing is gripped
    fixed = np.zeros((3, *mesh.node_shape), bool)
    fixed[:2, :, :, 0] = fixed[2, :, :, 0] = True
    top = np.zeros(mesh.node_shape, bool)
    top[..., -1] = True
    press = Platen(nodes=top, axis=2, point=(1.5, 1.5, 6.0), sides=Sides.FRICTIONLESS, force=-2.0 * limit)
    load = np.zeros((3, *mesh.node_shape))
    weights = np.outer([0.5, 1, 1, 0.5], [0.5, 1, 1, 0.5])
    load[2, :, :, -1] = -2.0 * limit * weights / weights.sum()
    problem = FoamUnderLoad(body, Constraints(fixed, None, (press,)), load=load, grip=top)
    path = follow(problem, StepControl(increments=8, tolerance=1e-5))
    assert path.status is PathStatus.LIMIT
    reached = 2.0 * limit * path.increments[-1].scale
    assert len(path.increments) >= 4
    # both ends are free to widen but for the lower one, held sideways: at most the confined factor 2/sqrt(3) above
    assert limit * 0.98 < reached < limit * 1.16


def test_a_curve_that_ends_early_says_what_cannot_be_read():
    early = Curve(np.array([0, 0.1]), np.array([0, 900.0]), 10000.0, HEIGHT)
    assert "the curve ends at" in str(early.strength_at(0.019).reason)
    assert "before the offset line" in str(early.offset_strength(0.002).reason)
    nothing = Curve(np.zeros(1), np.zeros(1), 10000.0, HEIGHT)
    assert "no step of the load found equilibrium" in str(nothing.maximum().reason)
