"""Proves: a disc fills the gap to the next vertebra's own endplate and nothing else; what is missing is said."""

import numpy as np
import pytest

from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap
from vertecast.kernels.bricks import corners_of
from vertecast.mechanics.pads import DiscSpace, caps, discs, load_disc_space, neighbours_of
from vertecast.mechanics.settings import Support, load_support

SPACE = load_disc_space().values
DISC, PMMA = (load_support(one).values for one in (Support.DISC, Support.PMMA))
SHAPE = (20, 20, 40)
X, Y, Z = np.indices(SHAPE)
ROUND = (X - 9.5) ** 2 + (Y - 9.5) ** 2
BODY = (ROUND < 64) & (Z >= 14) & (Z < 26)
DOME = np.round(ROUND / 32).astype(int)  # the endplate above is arched: 0 to 2 voxels
ABOVE = (ROUND < 64) & (Z >= 30 + 2 - DOME)
BELOW = (ROUND < 49) & (Z < 8)


def test_disc_is_the_gap_to_the_neighbours_own_endplate():
    found = discs(BODY, 1.0, DISC, (BELOW, ABOVE), SPACE)
    upper, lower = found.mask & (Z > 20), found.mask & (Z < 20)
    heights = upper.sum(axis=2)
    inside = ROUND[:, :, 0] < 64
    np.testing.assert_array_equal(heights[inside], (6 - DOME[:, :, 0])[inside])
    assert set(np.unique(lower.sum(axis=2))) == {0, 6}
    assert lower.sum() == 6 * np.count_nonzero(ROUND[:, :, 0] < 49)  # the neighbour below is the narrower one
    assert not (found.mask & (BODY | ABOVE | BELOW)).any()
    assert found.warnings == ()


def test_platens_are_the_neighbours_endplates():
    found = discs(BODY, 1.0, DISC, (BELOW, ABOVE), SPACE)
    np.testing.assert_array_equal(found.upper, corners_of(found.mask & (Z > 20)) & corners_of(ABOVE))
    assert np.ptp(np.argwhere(found.upper)[:, 2]) == 2  # arched, not a plane
    assert set(np.argwhere(found.lower)[:, 2]) == {8}


def test_turned_upside_down_it_is_the_same():
    found = discs(BODY, 1.0, DISC, (BELOW, ABOVE), SPACE)
    turned = discs(BODY[..., ::-1], 1.0, DISC, (ABOVE[..., ::-1], BELOW[..., ::-1]), SPACE)
    np.testing.assert_array_equal(turned.mask[..., ::-1], found.mask)
    np.testing.assert_array_equal(turned.lower[..., ::-1], found.upper)


@pytest.mark.parametrize(
    ("above", "sentence"),
    [
        (None, "disc above: the next vertebra is not labelled; half a disc of 5 mm is assumed"),
        (ABOVE & (X < 6), "disc above: no disc space to the next vertebra"),
        ((ROUND < 64) & (Z >= 39), "disc above: no disc space"),
    ],
)
def test_where_there_is_no_neighbour_half_a_disc_is_assumed_and_said(above, sentence):
    near = DiscSpace(highest=10.0, facing=SPACE.facing)
    found = discs(BODY, 1.0, DISC, (BELOW, above), near)
    assert sentence in found.warnings[0]
    assert len(found.warnings) == 1
    assert set(np.argwhere(found.upper)[:, 2]) == {26 + 5}
    assert (found.mask & (Z > 20)).sum() == 5 * np.count_nonzero(ROUND[:, :, 0] < 64)


def test_bodies_that_touch_are_not_held_where_they_touch():
    above = ABOVE | ((ROUND < 9) & (Z >= 26))
    found = discs(BODY, 1.0, DISC, (BELOW, above), SPACE)
    assert not (found.mask & (Z > 20) & (ROUND < 9)).any()
    assert not (found.upper & ~corners_of(found.mask)).any()


def test_caps_end_in_planes():
    found = caps(BODY, 1.0, PMMA)
    assert set(np.argwhere(found.upper)[:, 2]) == {26 + 4}
    assert set(np.argwhere(found.lower)[:, 2]) == {14 - 4}


def test_neighbours_are_the_next_levels_only():
    grid = Grid.from_affine((4, 1, 1), np.eye(4))
    numbers = np.array([1, 2, 3, 0], np.int16).reshape(4, 1, 1)

    def around(level, *named):
        values = {one: i + 1 for i, one in enumerate(named)}
        found = neighbours_of(LabelMap(numbers, grid, values, "verse"), level)
        return [None if mask is None else int(numbers[mask][0]) for mask in (found.above, found.below)]

    assert around(Level.L2, Level.L1, Level.L2, Level.L3) == [1, 3]
    assert around(Level.L1, Level.L1, Level.L2) == [None, 2]
    assert around(Level.L3, Level.L1, Level.L3, Level.L4) == [None, 3]  # L2 lies between: no neighbour
    assert around(Level.T12, Level.T11, Level.T12, Level.L1) == [1, 3]  # few have a T13
    assert around(Level.L5, Level.L4, Level.L5, Level.S1) == [1, 3]
