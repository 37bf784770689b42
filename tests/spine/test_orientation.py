"""One image stored in any of the 48 axis orders gives one and the same measurement; a mirrored one gives the mirror."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from tests.spine.simple_vertebra import SimpleVertebra, column

from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.spine.heights import Place
from vertecast.spine.measure import measure_spine
from vertecast.spine.orientation import canonical_array, canonical_grid, canonical_volume

ORDERS = [(p, f) for p in itertools.permutations(range(3)) for f in itertools.product((False, True), repeat=3)]


def stored(labels: LabelMap, order: tuple[int, ...], flips: tuple[bool, ...]) -> LabelMap:
    """The same voxels in another axis order, at the same places in the patient."""
    array = np.transpose(labels.labels, order)[tuple(slice(None, None, -1 if f else 1) for f in flips)]
    matrix = labels.grid.lps_from_voxel.matrix[:, [*order, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip:
            matrix[:3, 3] += matrix[:3, axis] * (array.shape[axis] - 1)
            matrix[:3, axis] *= -1
    return LabelMap(np.ascontiguousarray(array), Grid.from_affine(array.shape, matrix), labels.values, labels.dialect)


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    return column({Level.L2: SimpleVertebra()}, (1.5, 1.3, 2.0), turn=(12.0, 5.0, -7.0))


def test_all_48_axis_orders_become_one_array(labels):
    grid = canonical_grid(labels.grid)
    array = canonical_array(labels.labels, labels.grid)
    assert len(ORDERS) == 48
    for order, flips in ORDERS:
        other = stored(labels, order, flips)
        assert canonical_grid(other.grid).same_as(grid, 1e-6)
        assert np.array_equal(canonical_array(other.labels, other.grid), array)


def test_the_ct_becomes_one_array_in_all_48_axis_orders(labels):
    """With labels and CT in one canonical order whatever the file's, nothing after it can tell the orders apart."""
    hu = np.random.default_rng(3).normal(100.0, 40.0, labels.labels.shape).astype(np.float32)
    grid, array = canonical_grid(labels.grid), canonical_array(hu, labels.grid)
    assert not np.array_equal(array, array[::-1])
    for order, flips in ORDERS:
        turned = stored(labels, order, flips)
        array_there = np.flip(hu.transpose(order), [axis for axis in range(3) if flips[axis]])
        ct = canonical_volume(Volume(np.ascontiguousarray(array_there), turned.grid))
        assert ct.grid.same_as(grid, 1e-6)
        assert np.array_equal(ct.hu, array)


@pytest.mark.parametrize("at", [0, 13, 22, 31, 47])
def test_measurements_do_not_depend_on_the_axis_order(labels, at):
    first = measure_spine(stored(labels, *ORDERS[6])).as_json()
    second = measure_spine(stored(labels, *ORDERS[at])).as_json()
    assert numbers(second) == pytest.approx(numbers(first), rel=1e-6, abs=1e-6)


def numbers(document: object) -> list[float]:
    found: list[float] = []
    json.loads(json.dumps(document), parse_float=lambda text: found.append(float(text)) or 0.0)
    return found


def test_a_mirrored_vertebra_gives_the_mirrored_measurement(labels):
    mirrored = replace(labels, labels=labels.labels[::-1])
    one, other = measure_spine(labels)[Level.L2], measure_spine(mirrored)[Level.L2]
    for place in Place:
        assert other.heights_mm[place].value == pytest.approx(one.heights_mm[place].value, abs=0.2)
    assert other.geometry.lateral_wedge.value == pytest.approx(-one.geometry.lateral_wedge.value, abs=0.5)
    assert other.geometry.six.left.heights == pytest.approx(one.geometry.six.right.heights, abs=0.2)
    z, mirrored_z = (v.anatomy.vert_from_lps.axes[2] for v in (one, other))
    assert mirrored_z == pytest.approx(z * [-1, 1, 1], abs=0.01)


def test_these_checks_can_fail(labels):
    """A flipped array at an unflipped place is another patient."""
    other = replace(labels, labels=labels.labels[:, ::-1])
    assert not np.array_equal(canonical_array(other.labels, other.grid), canonical_array(labels.labels, labels.grid))
