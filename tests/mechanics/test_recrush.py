"""Proves: a crush goes layer by layer until pores close; what is unloaded, rested and loaded again adds up."""

import numpy as np
import pytest
from tests.mechanics.columns import DENSITY, Line, column

from vertecast.core.errors import ParameterError
from vertecast.kernels.foam import FoamState
from vertecast.kernels.foam_law import NO_SIDEWAYS
from vertecast.kernels.newton import PathStatus
from vertecast.mechanics.recrush import Pores, apparent_density, compaction_of, crush_and_reload, recrush
from vertecast.mechanics.settings import StrengthOptions, Support, load_definition, load_support
from vertecast.mechanics.specimen import make_specimen
from vertecast.physics.bone import load_law, yield_stress
from vertecast.physics.bone_yield import foam_law, load_deep_crush, load_post_yield

VOXEL, DEPTH = 3.0, 0.2
CRUSH = load_deep_crush().values
OPTIONS = StrengthOptions(voxel_mm=VOXEL)


@pytest.fixture(scope="module")
def specimen():
    settings = (OPTIONS, load_definition().values, load_support(Support.PMMA).values)
    return make_specimen(*column(), Line(), load_law(), settings)


def crushed(specimen, post="perfect", depth=DEPTH):
    voxel = min(VOXEL, 2.4) if post != "perfect" else VOXEL
    law = foam_law(load_post_yield(post).values, float(NO_SIDEWAYS), voxel)
    return recrush(specimen, law, apparent_density(specimen, load_law(), CRUSH, None), CRUSH, depth=depth)


@pytest.fixture(scope="module")
def plain(specimen):
    return crushed(specimen)


@pytest.fixture(scope="module")
def damaged(specimen):
    return crushed(specimen, "crush")


def test_without_damage_it_unloads_with_its_own_stiffness_and_yields_again_where_it_left(plain):
    assert plain.status is PathStatus.COMPLETE
    assert plain.stiffness_ratio == pytest.approx(1.0, abs=0.03)
    assert plain.strength_ratio >= 0.98  # the pores that closed can only raise it
    elastic = plain.first.force[-1] / plain.first.stiffness
    assert plain.pressed - plain.unloaded == pytest.approx(elastic, rel=0.05)


def test_rest_gives_back_the_recoverable_share_of_what_stayed(plain):
    assert plain.rested == pytest.approx((1 - CRUSH.recoverable_share) * plain.unloaded, rel=1e-12)
    whole = plain.pressed - plain.unloaded + CRUSH.recoverable_share * plain.unloaded
    assert plain.recovered == pytest.approx(whole / plain.pressed, rel=1e-12)
    assert abs(plain.second.force[0]) == 0.0
    # at rest nothing pushes: the first step of the second loading is elastic from zero
    assert plain.second.force[1] == pytest.approx(plain.second.stiffness * plain.second.shortening[1], rel=1e-6)


def test_the_force_stays_on_the_plateau_until_pores_close(plain, specimen):
    area = np.count_nonzero(specimen.body.any(axis=2)) * VOXEL**2
    plateau = float(yield_stress(DENSITY, load_law())) * area
    assert plain.first.force[3:].min() == pytest.approx(plateau, rel=0.06)


def test_compaction_is_the_height_lost(plain, specimen):
    layers = [plain.compaction[:, :, k][specimen.body[:, :, k]] for k in range(specimen.body.shape[2])]
    lost = sum(float(layer.mean()) * VOXEL for layer in layers if layer.size)
    assert lost == pytest.approx(plain.unloaded, rel=0.05)
    assert plain.compaction[specimen.pads.mask].max() == 0.0
    assert plain.compaction.max() < 1 - DENSITY / CRUSH.tissue_density


def test_damage_leaves_it_softer_and_weaker(damaged):
    assert 0.3 < damaged.stiffness_ratio < 0.85
    assert 0.8 < damaged.strength_ratio < 1.0
    assert damaged.pressed > damaged.unloaded > damaged.rested > 0


def test_a_deeper_crush_leaves_it_softer(damaged, specimen):
    assert crushed(specimen, "crush", 0.08).stiffness_ratio > damaged.stiffness_ratio


def test_pores_that_closed_stand_more_and_pads_never_compact():
    state = FoamState.virgin(3, np.float64)
    state.plastic[:, 2] = [-0.2, -0.6, -0.6]
    pores = Pores(np.array([0.2, 0.2, np.nan]), CRUSH)
    np.testing.assert_allclose(compaction_of(state), [0.2, 0.6, 0.6])
    rise = 1 + CRUSH.densification_rate * (0.6 - CRUSH.densification_onset) / (1 - 0.2 / CRUSH.tissue_density - 0.6)
    np.testing.assert_allclose(pores.hardening(state), [1.0, rise, 1.0])


@pytest.mark.parametrize("depth", [0.0, 0.6, np.nan])
def test_depth_is_refused(specimen, depth):
    with pytest.raises(ParameterError, match=r"depth = .* is outside 0-0\.4"):
        crushed(specimen, depth=depth)


def test_from_the_ct_to_the_ratios():
    found = crush_and_reload(*column(), Line(), StrengthOptions(voxel_mm=2.4), depth=0.05)
    assert {"recoverable_share", "densification_onset"} <= {one.name for one in found.uses}
    assert set(found.as_json()) >= {"stiffness_ratio", "strength_ratio", "recovered_percent"}
