"""Proves: what a tool moved is found where it was, with its density; a lifted level without cement stays as stiff."""

import numpy as np
import pytest
from tests.assess.blocks import DENSITY, laboratory, straight

from vertecast.assess.arms import bone_arm, cemented_arm, crushed_slab, unbroken_body
from vertecast.assess.compression import elastic_stiffness
from vertecast.assess.treated import make_treated
from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.procedure.regions import Region

LAB = laboratory()
VOXEL, LIFT = 2.0, 2  # mm; cells by which a tool has lifted everything
SHAPE = (16, 16, 20)
BODY = (slice(2, -2), slice(2, -2), slice(4, 14))


def fields(*, lifted: bool, denser: float = 1.0):
    """The fields of a run: a block, with a dense layer in it, that a tool has lifted as a whole, or left alone."""
    regions = np.zeros(SHAPE, np.uint8)
    regions[BODY] = Region.BODY
    density = np.full(SHAPE, 1000.0 * DENSITY)
    density[:, :, 8] *= 2.0
    found = {"cement_fraction": np.zeros(SHAPE), "pore_fraction": np.full(SHAPE, 0.9)}
    if lifted:
        regions, density = (np.roll(one, LIFT, axis=2) for one in (regions, denser * density))
        found |= {f"displacement_{axis}_deflated_mm": np.zeros(SHAPE) for axis in "xy"}
        found |= {"displacement_z_deflated_mm": np.full(SHAPE, LIFT * VOXEL), "compaction": np.full(SHAPE, denser)}
    found |= {"regions": regions, "density_k2hpo4_mg_cm3": density}
    return {name: np.asarray(one, np.float32) for name, one in found.items()}


def treated(*, known=(None, False, True), **how):
    grid = Grid.from_affine(SHAPE, np.diag([VOXEL, VOXEL, VOXEL, 1.0]))
    return make_treated(Level.L2, fields(**how), grid, known)


def test_without_a_tool_nothing_moves():
    one = treated(lifted=False)
    assert one.came_from is None
    assert np.array_equal(one.body, one.body_after)
    assert one.carried(one.density) is one.density


def test_a_lifted_body_is_found_where_it_was_with_its_density():
    still, moved = treated(lifted=False), treated(lifted=True)
    assert np.array_equal(moved.body, still.body)
    assert np.array_equal(moved.body_after, np.roll(still.body, LIFT, axis=2))
    assert moved.density[moved.body] == pytest.approx(still.density[still.body])
    back = moved.carried(moved.density)
    assert back[moved.body_after] == pytest.approx(moved.density_after[moved.body_after])


def test_compaction_is_taken_out_of_the_density_before():
    moved = treated(lifted=True, denser=1.5)
    assert moved.density[moved.body] == pytest.approx(treated(lifted=False).density[moved.body])
    assert moved.density_after[moved.body_after] == pytest.approx(1.5 * moved.density[moved.body])


def test_places_are_followed_to_where_the_tool_put_them():
    moved = treated(lifted=True)
    place = np.array([[8.0, 8.0, 15.0]])
    assert moved.moved_on(place).tolist() == [[8, 8, 15 + LIFT]]
    assert treated(lifted=False).moved_on(place).tolist() == [[8, 8, 15]]


def test_lift_alone_neither_stiffens_nor_softens_but_compaction_does():
    bench, materials = straight(LAB)
    values = []
    for one in (treated(lifted=False), treated(lifted=True), treated(lifted=True, denser=1.5)):
        arm = cemented_arm(one, bone_arm(one.body, one.density, materials), materials)
        values.append(elastic_stiffness(arm, one.grid, materials, bench))
    assert values[1] == pytest.approx(values[0], rel=1e-3)
    assert values[2] == pytest.approx(1.5**materials.bone.modulus.exponent * values[0], rel=1e-3)


def test_lost_height_is_put_back_on_top_by_its_place():
    one = treated(lifted=False, known=((4.0, 2.0, 0.0), True, True))
    taller = unbroken_body(one).sum(axis=2)[8] - one.body.sum(axis=2)[8]
    columns = np.flatnonzero(one.body.any(axis=(0, 2)))
    assert (taller[columns[0]], taller[columns[-1]]) == (2, 0)
    assert np.all(np.diff(taller[columns]) <= 0)


def test_the_crushed_slab_lies_under_the_upper_endplate_and_spares_what_lost_nothing():
    one = treated(lifted=False, known=((6.0, 3.0, 0.0), True, True))
    band, thick = crushed_slab(one, LAB.materials.fractured)
    front, back = np.flatnonzero(one.body.any(axis=(0, 2)))[[0, -1]]
    assert band[8, front].any()
    assert not band[8, back].any()
    assert thick.min() == 2 * VOXEL
    top = np.flatnonzero(one.body[8, front]).max()
    assert np.flatnonzero(band[8, front]).max() == top - 1  # 2 mm of bone stay with the endplate


def test_a_run_without_its_fields_is_refused():
    some = fields(lifted=False)
    del some["cement_fraction"]
    grid = Grid.from_affine(SHAPE, np.diag([VOXEL, VOXEL, VOXEL, 1.0]))
    with pytest.raises(InputError, match="L2: the run has no field cement_fraction"):
        make_treated(Level.L2, some, grid, (None, False, True))
