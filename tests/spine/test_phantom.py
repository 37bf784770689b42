"""Proves: a phantom's picture, labels and truth are one thing in every pose, order and voxel; bad wishes are refused.

The truth is checked against closed forms and against the voxels themselves, never with the measuring code.
"""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.spine.phantom.levels import normal_shape, table_uses
from vertecast.spine.phantom.morphometry import measure_surface
from vertecast.spine.phantom.phantom import Phantom, make_phantom
from vertecast.spine.phantom.spec import PhantomSpec, Scan, default_spec, level_range
from vertecast.spine.phantom.variation import random_spec

QUIET = Scan(noise_hu=0.0)
COARSE = Scan(spacing_mm=(2.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(default_spec(Level.T12, Level.L2, scan=QUIET), seed=1)


def wedge_block(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A box 40 wide, 30 deep, 26 high in the middle, whose upper face rises 10 degrees to the back."""
    top = 13.0 + np.tan(np.radians(10.0)) * points[:, 1] - points[:, 2]
    sides = [20.0 - abs(points[:, 0]), 15.0 - abs(points[:, 1]), points[:, 2] + 13.0, top]
    return np.asarray(-np.minimum.reduce(sides))


def test_definitions_on_a_wedge_with_a_closed_form() -> None:
    form = measure_surface(wedge_block, np.array([26.0, 22.0, 24.0]))
    assert form.wedge_deg == pytest.approx(10.0, abs=0.02)
    assert form.lateral_wedge_deg == pytest.approx(0.0, abs=0.02)
    assert form.height_mm("mid", "middle") == pytest.approx(26.0, abs=0.15)
    assert form.height_mm("mid", "anterior") == pytest.approx(26.0 - 12.0 * np.tan(np.radians(10.0)), abs=0.15)
    assert form.width_mm == pytest.approx(40.0, abs=0.1)
    assert form.volume_mm3 == pytest.approx(40.0 * 30.0 * 26.0, rel=0.01)


def test_these_checks_can_fail() -> None:
    form = measure_surface(lambda p: wedge_block(p * [1.0, 1.0, 1.02]), np.array([26.0, 22.0, 24.0]))
    assert form.height_mm("mid", "middle") != pytest.approx(26.0, abs=0.15)


def test_a_steeper_body_has_the_difference_in_its_truth() -> None:
    plain = replace(normal_shape(Level.L1), concavity_superior_mm=0.0, concavity_inferior_mm=0.0)
    flat, steep = (replace(plain, wedge_deg=w) for w in (0.0, 8.0))
    scan = Scan(spacing_mm=(3.0, 3.0, 3.0))
    truths = [make_phantom(PhantomSpec(shapes=(s,), scan=scan), seed=1).truth.levels[Level.L1] for s in (flat, steep)]
    assert truths[1].wedge_deg - truths[0].wedge_deg == pytest.approx(8.0, abs=0.05)


@pytest.mark.parametrize("level", [Level.T12, Level.L1, Level.L2])
def test_labels_fill_the_body_the_truth_tells_of(phantom: Phantom, level: Level) -> None:
    truth = phantom.truth.levels[level]
    body = phantom.labels.mask(level) & np.isin(phantom.subregions, (49, 50))
    voxels = float(body.sum()) * phantom.labels.grid.voxel_volume
    assert voxels == pytest.approx(truth.volume_mm3, rel=0.02)
    centre = phantom.labels.grid.to_lps(np.argwhere(body)).mean(axis=0)
    assert np.linalg.norm(centre - truth.vert_from_lps.origin) < 1.5


@pytest.mark.parametrize("level", [Level.T12, Level.L1, Level.L2])
def test_six_points_lie_on_the_bone_of_the_picture(phantom: Phantom, level: Level) -> None:
    truth, mask = phantom.truth.levels[level], phantom.labels.mask(level)
    up = truth.vert_from_lps.axes[2]
    for points in truth.points_lps.values():
        for (superior, inferior), step in itertools.product(points.values(), (1.0,)):
            for point, way in ((superior, -up), (inferior, up)):
                inside, outside = (phantom.labels.grid.to_voxel(point + s * step * way) for s in (1.0, -1.0))
                assert mask[tuple(np.rint(inside).astype(int))]
                assert not mask[tuple(np.rint(outside).astype(int))]


@pytest.mark.parametrize("side", list(Side))
def test_pedicle_isthmus_in_the_labels_is_as_wide_as_the_truth(phantom: Phantom, side: Side) -> None:
    truth = phantom.truth.levels[Level.L2]
    pedicle, mask = truth.pedicles[side], phantom.labels.mask(Level.L2)
    up = truth.vert_from_lps.axes[2]
    for direction, size in ((np.cross(up, pedicle.axis_lps), pedicle.width_mm), (up, pedicle.height_mm)):
        unit = direction - pedicle.axis_lps * (direction @ pedicle.axis_lps)
        steps = np.arange(-20.0, 20.0, 0.1)[:, None] * unit / np.linalg.norm(unit)
        index = np.rint(phantom.labels.grid.to_voxel(pedicle.centre_lps + steps)).astype(int)
        held = mask[tuple(index.T)]
        run = held[200:].argmin() + held[200::-1].argmin()
        assert 0.1 * run == pytest.approx(size, abs=1.1)


def test_density_of_the_picture_is_the_truths(phantom: Phantom) -> None:
    for level, truth in phantom.truth.levels.items():
        index = np.argwhere(phantom.labels.mask(level))
        own = truth.vert_from_lps.apply(phantom.labels.grid.to_lps(index))
        core = (abs(own) < [9.0, 4.0, 5.0]).all(axis=1) & (own[:, 1] < 2.0)
        hu = phantom.volume.hu[tuple(index[core].T)]
        assert float(hu.mean()) == pytest.approx(truth.trabecular_hu, rel=0.05)
        assert truth.density_mg_cm3 == pytest.approx(0.75 * truth.trabecular_hu + 5.0)


def test_internal_calibration_finds_its_tissues() -> None:
    hu = make_phantom(default_spec(Level.T11, Level.L1, scan=COARSE), seed=2).volume.hu
    shares = {name: float(((hu > low) & (hu < high)).mean()) for name, low, high in (
        ("air", -1024.0, -950.0), ("lung", -900.0, -750.0), ("fat", -125.0, -75.0), ("muscle", 30.0, 80.0),
    )}  # fmt: skip
    assert min(shares.values()) > 0.01, shares
    assert float(hu.max()) > 600.0


def test_every_axis_order_is_the_same_picture() -> None:
    spec = default_spec(Level.L3, Level.L3, scan=Scan(spacing_mm=(3.0, 2.0, 4.0)))
    reference = make_phantom(spec, seed=3)
    probe = reference.volume.grid.to_lps([[3, 5, 7], [20, 30, 4]])
    orders = ["LPS", "PIR", "SAL", "RAI"]
    for axes in orders:
        other = make_phantom(replace(spec, scan=replace(spec.scan, axes=axes)), seed=3)
        index = np.rint(other.volume.grid.to_voxel(probe)).astype(int)
        assert other.volume.hu[tuple(index.T)] == pytest.approx(
            [reference.volume.hu[3, 5, 7], reference.volume.hu[20, 30, 4]]
        )
        assert np.sort(other.volume.hu, axis=None) == pytest.approx(np.sort(reference.volume.hu, axis=None))
        assert (other.labels.labels > 0).sum() == (reference.labels.labels > 0).sum()


def test_truth_does_not_depend_on_voxels_or_pose() -> None:
    spec = default_spec(Level.L3, Level.L3, scan=Scan(spacing_mm=(3.0, 3.0, 3.0), noise_hu=0.0))
    turned = replace(spec, pose_deg=(20.0, -10.0, 15.0), position_lps_mm=(30.0, -200.0, 900.0))
    a, b = (make_phantom(one, seed=4).truth.levels[Level.L3] for one in (spec, turned))
    assert a.heights_mm == b.heights_mm
    assert (a.wedge_deg, a.volume_mm3, a.canal_area_mm2) == (b.wedge_deg, b.volume_mm3, b.canal_area_mm2)
    assert b.vert_from_lps.origin == pytest.approx([30.0, -200.0, 900.0], abs=3.0)


def test_seed_changes_noise_and_not_anatomy() -> None:
    spec = default_spec(Level.L3, Level.L3, scan=COARSE)
    one, same, other = (make_phantom(spec, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(one.volume.hu, same.volume.hu)
    assert not np.array_equal(one.volume.hu, other.volume.hu)
    assert np.array_equal(one.labels.labels, other.labels.labels)


def test_noise_has_the_asked_strength() -> None:
    quiet, noisy = (
        make_phantom(default_spec(Level.L3, Level.L3, scan=replace(COARSE, noise_hu=n)), seed=7) for n in (0.0, 25.0)
    )
    difference = noisy.volume.hu - quiet.volume.hu
    assert float(difference[quiet.volume.hu > -900.0].std()) == pytest.approx(25.0, rel=0.05)


def test_rare_levels_and_single_ones() -> None:
    levels = level_range(Level.T12, Level.L1, with_t13=True)
    assert levels == (Level.T12, Level.T13, Level.L1)
    spec = PhantomSpec(shapes=tuple(normal_shape(one) for one in levels), scan=Scan(spacing_mm=(3.0, 3.0, 3.0)))
    made = make_phantom(spec, seed=8)
    assert dict(made.labels.values) == {Level.T12: 19, Level.T13: 28, Level.L1: 20}
    assert set(np.unique(made.labels.labels)) == {0, 19, 28, 20}
    assert make_phantom(default_spec(Level.L6, Level.L6, scan=COARSE), seed=8).labels.levels == (Level.L6,)
    assert make_phantom(default_spec(Level.T1, Level.T1, scan=COARSE), seed=8).labels.levels == (Level.T1,)


def test_random_specs_repeat_and_stay_plausible() -> None:
    drawn = [random_spec(np.random.default_rng(seed)) for seed in range(20)]
    assert drawn[3] == random_spec(np.random.default_rng(3))
    assert len({one.shapes[0].height_posterior_mm for one in drawn}) == 20
    l3 = [one.shapes[5] for one in drawn]
    assert all(23.0 < shape.height_posterior_mm < 33.0 and abs(shape.wedge_deg) < 8.0 for shape in l3)


def test_truth_is_json_and_every_number_has_a_source(phantom: Phantom) -> None:
    text = json.loads(json.dumps(phantom.truth.as_json()))
    assert [one["level"] for one in text["vertebrae"]] == ["T12", "L1", "L2"]
    assert text["vertebrae"][1]["pedicles"]["left"]["width_mm"] == pytest.approx(7.8)
    assert all(use.source and use.unit for use in table_uses())


def test_refusals() -> None:
    with pytest.raises(InputError, match="first level L5 lies below last level T10; swap them"):
        default_spec(Level.L5, Level.T10)
    with pytest.raises(GeometryError, match="no phantom of level C5; choose from T1"):
        default_spec(Level.C5, Level.T2)
    with pytest.raises(InputError, match="axes 'LLS' must name each of"):
        Scan(axes="LLS")
    with pytest.raises(InputError, match="choose a CT's voxel"):
        Scan(spacing_mm=(0.0, 1.0, 1.0))
    with pytest.raises(InputError, match="gaps are not made"):
        Scan(spacing_mm=(1.0, 1.0, 3.0), slice_thickness_mm=1.0)
    with pytest.raises(InputError, match="T12 and L3 do not follow each other"):
        PhantomSpec(shapes=(normal_shape(Level.T12), normal_shape(Level.L3)))
    with pytest.raises(InputError, match="at least one level"):
        PhantomSpec(shapes=())
    with pytest.raises(GeometryError, match="use a fracture for that"):
        replace(normal_shape(Level.L1), wedge_deg=30.0)
    with pytest.raises(InputError, match="exceeds 120000000; enlarge spacing_mm"):
        make_phantom(default_spec(scan=Scan(spacing_mm=(0.3, 0.3, 0.3))), seed=1)
