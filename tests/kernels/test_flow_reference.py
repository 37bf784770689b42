"""The compiled passes of the flow do what their plain NumPy reference does, and a cut cube has the volume it has."""

import numpy as np
import pytest

from vertecast.kernels import flow_reference as reference
from vertecast.kernels.flow_faces import face_conductances, reached_cells
from vertecast.kernels.flow_front import advance_front
from vertecast.kernels.flow_planes import cut_cube, cut_slab, interface_planes, place_plane, wet_face

SHAPE = (7, 6, 8)


def cloud(seed=0):
    """A bumpy front in a block with some dead cells, sharp enough to have full, empty and partly filled cells."""
    rng = np.random.default_rng(seed)
    x = np.indices(SHAPE) - np.array([2.6, 2.2, 3.1])[:, None, None, None]
    share = np.clip(2.6 - np.sqrt((x**2).sum(axis=0)) + 0.3 * rng.standard_normal(SHAPE), 0, 1)
    live = rng.random(SHAPE) > 0.05
    share[~live] = 0
    return share, live, rng


def test_a_cut_cube_has_the_volume_that_counting_points_gives():
    rng = np.random.default_rng(1)
    grid = (np.indices((60, 60, 60)).reshape(3, -1) + 0.5) / 60
    for _ in range(20):
        m = rng.random(3)
        alpha = rng.uniform(0, m.sum())
        assert cut_cube(*m, alpha) == pytest.approx(np.mean(m @ grid < alpha), abs=4e-3)
    assert cut_cube(0.0, 0.0, 1.0, 0.3) == pytest.approx(0.3, abs=2e-4)
    assert cut_cube(1.0, 1.0, 1.0, 1.0) == pytest.approx(1 / 6)


def test_slabs_add_up_and_planes_leave_the_share():
    rng = np.random.default_rng(2)
    plane = np.zeros(4)
    for _ in range(50):
        share = rng.random()
        place_plane(rng.standard_normal(3), share, plane)
        assert cut_cube(*np.abs(plane[:3]), plane[3]) == pytest.approx(share, abs=1e-9)
        for axis in range(3):
            low, high = cut_slab(plane, axis, False, 0.3), cut_slab(plane, axis, True, 0.7)
            assert 0.3 * low + 0.7 * high == pytest.approx(share, abs=1e-3)


def test_a_moving_plane_wets_a_face_as_the_mean_over_time():
    rng = np.random.default_rng(3)
    plane = np.zeros(4)
    for _ in range(30):
        place_plane(rng.standard_normal(3), rng.random(), plane)
        advance = rng.uniform(-0.3, 0.3)
        for axis, upper in ((0, True), (1, False), (2, True)):
            still = []
            for part in (np.arange(200) + 0.5) / 200:
                moved = plane.copy()
                moved[3] += part * advance
                still.append(wet_face(moved, axis, upper, 0.0))
            assert wet_face(plane, axis, upper, advance) == pytest.approx(np.mean(still), abs=2e-3)


def test_planes_and_conductances_agree():
    share, live, rng = cloud()
    number, planes = interface_planes(share, live)
    expected = reference.planes(share, live)
    assert np.count_nonzero(number >= 0) > 40
    assert np.allclose(planes[number[number >= 0]], expected[number >= 0], atol=1e-9)
    fluids = (rng.uniform(1, 1000, SHAPE), rng.uniform(0.5, 2, SHAPE))
    skin = np.where(rng.random((3, *SHAPE)) > 0.8, rng.choice([2.0, np.inf], (3, *SHAPE)), 0.0)
    rock, fluxes = (rng.uniform(0.1, 1, (3, *SHAPE)), skin), rng.standard_normal((3, *SHAPE))
    fluxes[:, :2] = 0
    found = face_conductances(share, live, fluids, rock, (number, planes), fluxes)
    wanted = reference.conductances(share, live, fluids, rock, fluxes)
    assert np.allclose(found, wanted, rtol=1e-6, atol=1e-12)
    other = reference.conductances(share, live, fluids, (rock[0], np.zeros_like(skin)), fluxes)
    assert not np.allclose(found, other, rtol=1e-6), "this check cannot fail"


def test_the_front_advances_as_in_the_reference():
    share, live, rng = cloud(4)
    pressure = rng.random(SHAPE)
    fluxes = np.zeros((3, *SHAPE))
    for axis in range(3):
        low = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        fluxes[axis][low] = (pressure[low] - pressure[high]) * (live[low] & live[high])
    volume = np.where(live, rng.uniform(0.5, 1, SHAPE), 0.0)
    value, brought = np.where(share > 0, rng.random(SHAPE), 0.0), np.full(SHAPE, 3.0)
    entering = np.zeros(SHAPE)
    entering[tuple(np.argwhere(live & (share == 1))[0])] = 0.8
    open_cells = np.flatnonzero(live)
    places = np.sort(rng.choice(open_cells, 12, replace=False))
    rates = rng.uniform(-0.2, 0.4, 12)
    number, planes = interface_planes(share, live)
    found, carried = share.ravel().copy(), value.ravel().copy()[None]
    cells = (volume.ravel(), pressure.ravel(), number.ravel(), planes)
    flow = (fluxes.reshape(3, -1), entering.ravel(), brought.ravel()[None], np.array(SHAPE))
    gone, _, _ = advance_front(found, carried, cells, flow, (places, rates), 0.2)
    drains = list(zip(places.tolist(), rates.tolist(), strict=True))
    wanted, values, left = reference.advance(
        share, value, (volume, pressure, live), (fluxes, entering, brought), drains, 0.2
    )
    assert np.allclose(found, wanted.ravel(), atol=1e-9)
    assert np.allclose(carried[0][found > 1e-9], values.ravel()[found > 1e-9], atol=1e-9)
    assert np.allclose(gone, left, atol=1e-12)
    assert np.abs(found - share.ravel()).max() > 0.05, "nothing moved, so this check cannot fail"


def test_what_open_faces_join_agrees():
    rng = np.random.default_rng(5)
    free = rng.random(SHAPE) > 0.3
    skin = np.where(rng.random((3, *SHAPE)) > 0.6, np.inf, 0.0)
    seeds = np.array([0, 17, 100])
    found = reached_cells(free, skin, seeds)
    assert np.array_equal(found, reference.reached(free, skin, seeds))
    assert 5 < np.count_nonzero(found) < np.count_nonzero(free)
