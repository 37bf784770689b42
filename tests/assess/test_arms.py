"""Proves: bone and cement side by side and one above the other are the composites of the books; answers bite.

More cement is stiffer and stronger, cement without stiffness gains nothing, a mirrored level is the same, a deeper
fracture is softer, and the crushed band does not depend on the grid.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from tests.assess.blocks import DENSITY, block, laboratory, layers, straight

from vertecast.assess.arms import bone_arm, cemented_arm, crush_factors, fractured_arm
from vertecast.assess.cement import contact_shares, sides
from vertecast.assess.compression import elastic_stiffness, load_arm
from vertecast.assess.level import cement_bounds
from vertecast.core.errors import GeometryError
from vertecast.physics.augmented import augmented_modulus
from vertecast.physics.bone import modulus, yield_stress

LAB = laboratory()
BONE = float(modulus(DENSITY, LAB.materials.bone))
AREA, HEIGHT = 24.0**2, 24.0


def composite(fraction=0.9):
    """Modulus of full cells, MPa."""
    return float(augmented_modulus(fraction, 1.0, BONE, 2.0, LAB.materials.cement))


def stiffness(treated, law=None):
    bench, materials = straight(LAB)
    arm = cemented_arm(treated, bone_arm(treated.body, treated.density, materials), materials, law)
    return elastic_stiffness(arm, treated.grid, materials, bench)


def test_a_uniform_block_has_the_stiffness_of_its_bone():
    assert stiffness(block()) == pytest.approx(BONE * AREA / HEIGHT, rel=1e-3)


@pytest.mark.parametrize("share", [1 / 3, 2 / 3])
def test_cement_above_bone_is_the_series_of_reuss(share):
    expected = AREA / HEIGHT / (share / composite() + (1 - share) / BONE)
    assert stiffness(block(cement=layers(share))) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("columns", [4, 8])
def test_cement_beside_bone_is_the_parallel_of_voigt(columns):
    mask = np.zeros((12, 12, 12), bool)
    mask[:columns] = True
    expected = AREA / HEIGHT * (columns / 12 * composite() + (1 - columns / 12) * BONE)
    assert stiffness(block(cement=mask)) == pytest.approx(expected, rel=1e-3)


def test_these_checks_can_fail():
    """Voigt's answer for Reuss's block is far off, so neither test accepts the other's physics."""
    share = 1 / 3
    voigt = AREA / HEIGHT * (share * composite() + (1 - share) * BONE)
    assert stiffness(block(cement=layers(share))) < 0.5 * voigt


def test_strength_of_a_column_is_its_bones_and_series_cement_adds_none():
    bench, materials = straight(LAB)
    expected = float(yield_stress(DENSITY, materials.bone)) * AREA
    plain = block()
    arm = bone_arm(plain.body, plain.density, materials)
    bare = load_arm(arm, plain.grid, materials, bench)
    assert bare.strength["crushable_foam"].value == pytest.approx(expected, rel=0.02)
    some = block(cement=layers(1 / 3))
    filled = load_arm(cemented_arm(some, arm, materials), some.grid, materials, bench)
    assert filled.strength["crushable_foam"].value == pytest.approx(expected, rel=0.02)


def test_side_by_side_cement_is_stronger_the_more_of_it():
    bench, materials = straight(LAB)
    found = []
    for columns in (0, 3, 6):
        mask = np.zeros((12, 12, 12), bool)
        mask[:columns] = True
        treated = block(cement=mask)
        arm = cemented_arm(treated, bone_arm(treated.body, treated.density, materials), materials)
        found.append(load_arm(arm, treated.grid, materials, bench).strength["von_mises"].value)
    assert found[0] < found[1] < found[2]


def test_more_cement_is_stiffer():
    values = [stiffness(block(cement=layers(share))) for share in (0.0, 0.25, 0.5, 0.75)]
    assert all(a < b for a, b in itertools.pairwise(values))


def test_cement_of_next_to_no_modulus_gains_nothing():
    soft = replace(straight(LAB)[1].cement, cement_modulus=1e-9)
    mask = layers(0.5)
    assert stiffness(block(cement=mask), soft) == pytest.approx(stiffness(block()), rel=1e-9)


def test_bounds_lie_on_both_sides_of_the_law():
    low, high = cement_bounds(LAB.materials.cement, LAB.settings)
    mask = layers(0.5)
    assert stiffness(block(cement=mask), low) < stiffness(block(cement=mask)) < stiffness(block(cement=mask), high)


def test_a_mirrored_level_is_as_stiff_and_its_cement_on_the_other_side():
    mask = np.zeros((12, 12, 12), bool)
    mask[:4, 2:9, 3:8] = True
    one, other = block(cement=mask), block(cement=mask[::-1])
    assert stiffness(one) == pytest.approx(stiffness(other), rel=1e-6)
    left, right = sides(one, one.cement)
    assert sides(other, other.cement) == pytest.approx((right, left))
    assert left == 0.0
    assert right > 0.0


def test_contact_is_the_share_of_columns_with_cement_near_the_endplate():
    mask = np.zeros((12, 12, 12), bool)
    mask[:6, :, -1] = True  # under half of the superior endplate
    treated = block(cement=mask)
    shares = contact_shares(treated.body, treated.cement > 0, 3.0, 2.0)
    assert shares == {"superior": 0.5, "inferior": 0.0}
    deep = block(cement=layers(1 / 3))
    assert contact_shares(deep.body, deep.cement > 0, 3.0, 2.0) == {"superior": 0.0, "inferior": 0.0}


def test_fracture_softens_and_deeper_fracture_more():
    bench, materials = straight(LAB)
    values = []
    for loss in (0.0, 2.0, 4.0, 8.0):
        treated = block(lost=(loss,) * 3, fractured=loss > 0)
        arm = fractured_arm(treated, treated.density, materials)
        values.append(elastic_stiffness(arm, treated.grid, materials, bench))
    assert all(a > b for a, b in itertools.pairwise(values))


def test_band_is_as_compliant_as_the_bone_it_was_made_of_on_every_grid():
    """Exact: the block's compliance grows by that of the crushed layer, whose L/e mm are softer by the crush law."""
    bench, materials = straight(LAB)
    loss, strain = 4.0, materials.fractured.crush_strain
    soft, _ = crush_factors(materials.crush, strain)
    for voxel, side in ((2.0, 12), (1.0, 24)):
        treated = block(side=side, height=side, voxel=voxel, lost=(loss,) * 3, fractured=True)
        arm = fractured_arm(treated, treated.density, materials)
        band = treated.body & (arm.young < 0.9 * BONE)
        thick = float(band[side // 2, side // 2].sum()) * voxel
        expected = AREA / ((HEIGHT - thick) / BONE + loss / strain / (soft * BONE))
        assert elastic_stiffness(arm, treated.grid, materials, bench) == pytest.approx(expected, rel=2e-3)


def test_cement_in_the_band_gives_back_what_the_fracture_took():
    bench, materials = straight(LAB)
    treated = block(cement=layers(1.0), lost=(4.0,) * 3, fractured=True)
    broken = fractured_arm(treated, treated.density, materials)
    after = cemented_arm(treated, broken, materials)
    assert elastic_stiffness(after, treated.grid, materials, bench) == pytest.approx(
        composite() * AREA / HEIGHT, rel=1e-3
    )


def test_crush_law_takes_what_it_was_calibrated_to_take():
    soft, weak = crush_factors(LAB.materials.crush, 0.75)
    assert (soft, weak) == pytest.approx((0.248, 0.893), abs=1e-3)
    assert crush_factors(LAB.materials.crush, 0.0) == (1.0, 1.0)


def test_a_body_lost_on_its_grid_is_refused():
    with pytest.raises(GeometryError, match="64 voxels of 6 mm lie in the body, 100 are needed"):
        block(side=4, height=4, voxel=6.0)


def test_another_voxel_keeps_volume_and_cement():
    treated = block(cement=layers(0.5)).at_voxel(3.0)
    assert treated.body.sum() * 27.0 == pytest.approx(AREA * HEIGHT, rel=0.05)
    assert treated.cement.sum() * 27.0 == pytest.approx(0.9 * 0.5 * AREA * HEIGHT, rel=0.02)
    assert treated.at_voxel(3.0) is treated
