"""Proves: the segment's readings are those of a bar in compression; softer bodies matter, and a mirror does not."""

from dataclasses import replace

import numpy as np
import pytest
from tests.assess.blocks import block, laboratory

from vertecast.assess.arms import Arm
from vertecast.assess.segment import Segment, felt, with_arm
from vertecast.imaging.grid import Grid

LAB = laboratory()
SIDE, VOXEL, BONE, DISC = 6, 2.0, 200.0, 5.0
AREA = (SIDE * VOXEL) ** 2


def bar(*, lower=BONE):
    """Three bodies of 5 layers, two discs of 3, caps of 2 layers at the ends, all of one cross-section; nu = 0."""
    layers = {"cap": 2, "below": 5, "lower": 3, "target": 5, "upper": 3, "above": 5, "end": 2}
    shape = (SIDE, SIDE, sum(layers.values()))
    masks, at = {}, 0
    for name, count in layers.items():
        masks[name] = np.zeros(shape, bool)
        masks[name][:, :, at : at + count] = True
        at += count
    young = np.full(shape, BONE)
    young[masks["below"]] = lower
    for name in ("lower", "upper"):
        young[masks[name]] = DISC
    young[masks["target"]] = np.nan
    nodes = np.zeros([n + 1 for n in shape], bool)
    bottom, top = nodes.copy(), nodes.copy()
    bottom[:, :, 0], top[:, :, -1] = True, True
    middle = np.zeros(shape, bool)
    middle[2:4, 2:4] = True
    return Segment(
        Grid.from_affine(shape, np.diag([VOXEL, VOXEL, VOXEL, 1.0])),
        masks["target"],
        {"above": masks["above"], "below": masks["below"]},
        {"above": masks["upper"], "below": masks["lower"]},
        {"above": masks["upper"] & middle, "below": masks["lower"] & middle},
        young,
        np.zeros(shape),
        (bottom, top),
        {},
    )


def read(segment, target=BONE):
    young = np.where(segment.target, target, segment.young)
    return felt(segment, (young, segment.poisson), LAB.settings)


def test_a_straight_bar_has_the_strain_and_pressure_of_its_force():
    found = read(bar())
    for side in ("above", "below"):
        assert found[side].strain == pytest.approx(1.0 / (AREA * BONE), rel=1e-4)
        assert found[side].pressure == pytest.approx(1.0 / (3.0 * AREA), rel=1e-4)  # one stress of three, nu = 0


def test_a_softer_neighbour_strains_more_and_the_other_does_not_care():
    found = read(bar(lower=100.0))
    assert found["below"].strain == pytest.approx(2.0 / (AREA * BONE), rel=1e-4)
    assert found["above"].strain == pytest.approx(1.0 / (AREA * BONE), rel=1e-4)


def test_in_a_straight_bar_cement_changes_nothing_beside_it_but_a_core_of_it_does():
    segment = bar()
    plain = read(segment)
    assert read(segment, 10 * BONE)["above"].pressure == pytest.approx(plain["above"].pressure, rel=1e-4)
    core = np.full(segment.target.shape, 0.1 * BONE)
    core[2:4, 2:4] = 10 * BONE
    assert read(segment, core)["above"].pressure > 1.02 * plain["above"].pressure


def test_these_checks_can_fail():
    """Twice the force is not the answer: the reading is per newton."""
    assert read(bar())["above"].strain != pytest.approx(2.0 / (AREA * BONE), rel=0.1)


def test_an_arm_fills_the_target_by_the_mean_of_its_cells():
    treated = block(side=12, height=12, voxel=1.0)
    young = np.full(treated.body.shape, 100.0)
    young[::2] = 300.0
    arm = Arm(treated.body, young, np.full(young.shape, 0.25), np.full(young.shape, np.inf))
    shape = tuple(n // 2 for n in treated.body.shape)
    grid = Grid.from_affine(shape, np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1.0]]))
    target = treated.body[::2, ::2, ::2]
    segment = replace(
        bar(), grid=grid, target=target, young=np.full(shape, np.nan), poisson=np.zeros(shape), bodies={}, discs={}
    )
    made, poisson = with_arm(segment, arm, treated, LAB.materials)
    assert made[target] == pytest.approx(200.0)
    assert poisson[target] == pytest.approx(0.25)
