"""Clefts: known gas and fluid are found with their volume; vacuum discs, fat, noise and thick voxels are not clefts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from tests.spine.real_anatomy import real_anatomies, real_ct
from tests.spine.tube_vertebra import Scan, TubeVertebra, ct_of, scanned

from vertecast.imaging.volume import Volume
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.cleft import CleftKind, find_cleft

CENTRE = np.array([2.0, -6.0, 4.0])
RADII = np.array([9.0, 6.0, 2.5])
TRUE_ML = 4.0 / 3.0 * np.pi * float(np.prod(RADII)) / 1000.0


def with_lens(
    anatomy: Anatomy, hu: float, *, centre: NDArray[np.float64] = CENTRE, noise: float = 20.0, trabecular: float = 150.0
) -> Volume:
    """A lens of one HU in the body, mixed with bone by the share of each voxel it fills, then noise."""
    fine = _shares(anatomy, centre)
    plain = np.array(ct_of(anatomy, trabecular).hu)
    mixed = plain * (1.0 - fine) + hu * fine
    mixed += np.random.default_rng(2).normal(0.0, noise, mixed.shape)
    return Volume(mixed.astype(np.float32), anatomy.grid)


def _shares(anatomy: Anatomy, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = (np.arange(3) + 0.5) / 3 - 0.5
    total = np.zeros(anatomy.grid.shape)
    indices = np.moveaxis(np.indices(anatomy.grid.shape), 0, -1)
    to_vert = anatomy.vert_from_lps @ anatomy.grid.lps_from_voxel
    for offset in np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3):
        total += (((to_vert.apply(indices + offset) - centre) / RADII) ** 2).sum(axis=-1) <= 1.0
    return total / 27.0


@pytest.mark.parametrize(
    "spacing", [(0.7, 0.7, 0.7), (1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (2.0, 0.7, 0.7), (3.0, 1.0, 1.0)]
)
def test_gas_of_known_volume(spacing: tuple[float, float, float]) -> None:
    anatomy = scanned(TubeVertebra(), Scan(spacing, (0.1, 0.05, -0.1)))
    cleft = find_cleft(anatomy, with_lens(anatomy, -950.0))
    assert cleft.kind is CleftKind.GAS
    assert cleft.volume_ml.value == pytest.approx(0.95 * TRUE_ML, rel=0.15)
    assert cleft.volume_ml.low <= 0.97 * TRUE_ML <= cleft.volume_ml.high
    np.testing.assert_allclose(anatomy.vert_from_lps.apply(cleft.centroid_lps), CENTRE, atol=0.8)
    assert cleft.mask.shape == cleft.grid.shape


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 0.8), (1.0, 1.0, 1.0), (1.0, 1.0, 1.5)])
def test_fluid_in_clear_bone(spacing: tuple[float, float, float]) -> None:
    anatomy = scanned(TubeVertebra(), Scan(spacing))
    cleft = find_cleft(anatomy, with_lens(anatomy, 10.0, trabecular=200.0))
    assert cleft.kind is CleftKind.FLUID
    assert cleft.volume_ml.value == pytest.approx(TRUE_ML, rel=0.3)
    assert cleft.volume_ml.low <= TRUE_ML <= cleft.volume_ml.high
    np.testing.assert_allclose(anatomy.vert_from_lps.apply(cleft.centroid_lps), CENTRE, atol=1.5)


def test_no_cleft() -> None:
    anatomy = scanned(TubeVertebra())
    cleft = find_cleft(anatomy, ct_of(anatomy, 150.0, noise=30.0))
    assert cleft.kind is CleftKind.NONE
    assert cleft.volume_ml.value == 0.0
    assert cleft.centroid_lps is None


def test_gas_outside_the_body_is_a_vacuum_disc() -> None:
    anatomy = scanned(TubeVertebra())
    above = np.array([0.0, 0.0, 16.5])
    assert find_cleft(anatomy, with_lens(anatomy, -950.0, centre=above)).kind is CleftKind.NONE


def test_gas_the_segmentation_left_out_is_found() -> None:
    anatomy = scanned(TubeVertebra())
    hole = _shares(anatomy, CENTRE) > 0.5
    holed = replace(anatomy, mask=anatomy.mask & ~hole, body=anatomy.body & ~hole)
    assert find_cleft(holed, with_lens(anatomy, -950.0)).kind is CleftKind.GAS


def test_fluid_in_osteoporotic_bone_is_unknown() -> None:
    anatomy = scanned(TubeVertebra())
    cleft = find_cleft(anatomy, with_lens(anatomy, 10.0, trabecular=60.0))
    assert cleft.kind is CleftKind.UNKNOWN
    assert "fatty marrow" in cleft.reason
    assert cleft.volume_ml.value is None


def test_a_patch_of_fading_marrow_is_not_fluid() -> None:
    """Marrow that fades over a centimetre has no edge."""
    anatomy = scanned(TubeVertebra())
    away = np.linalg.norm(anatomy.coordinates() - CENTRE, axis=-1)
    hu = np.array(ct_of(anatomy, 180.0, noise=20.0).hu) - np.where(
        anatomy.body, 170.0 * np.exp(-((away / 9.0) ** 2)), 0
    )
    assert find_cleft(anatomy, Volume(hu.astype(np.float32), anatomy.grid)).kind is not CleftKind.FLUID


@pytest.mark.parametrize(
    ("spacing", "noise", "reason"),
    [((3.0, 1.0, 1.0), 20.0, "may hide a cleft"), ((1.0, 1.0, 1.0), 250.0, "noise")],
)
def test_a_ct_that_cannot_tell_says_so(spacing: tuple[float, float, float], noise: float, reason: str) -> None:
    anatomy = scanned(TubeVertebra(), Scan(spacing))
    cleft = find_cleft(anatomy, ct_of(anatomy, 150.0, noise=noise))
    assert cleft.kind is CleftKind.UNKNOWN
    assert reason in cleft.reason


def test_noise_alone_never_makes_gas() -> None:
    anatomy = scanned(TubeVertebra(), Scan((0.8, 0.8, 0.8)))
    for seed in range(4):
        volume = ct_of(anatomy, 40.0, noise=90.0, seed=seed)
        soft = replace(volume, hu=ndimage.gaussian_filter(np.array(volume.hu), 0.4))
        for one in (volume, soft):
            assert find_cleft(anatomy, one).kind in (CleftKind.NONE, CleftKind.UNKNOWN)


def test_no_ct_and_cement() -> None:
    anatomy = scanned(TubeVertebra())
    assert "no CT" in find_cleft(anatomy, None).reason
    hu = np.array(ct_of(anatomy, 120.0).hu)
    hu[(np.linalg.norm(anatomy.coordinates(), axis=-1) < 7.0) & anatomy.body] = 2500.0
    assert "cemented" in find_cleft(anatomy, Volume(hu, anatomy.grid)).reason


def test_these_checks_can_fail() -> None:
    """A lens of bone is no cleft, and half the lens is not the whole volume."""
    anatomy = scanned(TubeVertebra())
    assert find_cleft(anatomy, with_lens(anatomy, 150.0)).kind is CleftKind.NONE
    assert find_cleft(anatomy, with_lens(anatomy, -400.0)).volume_ml.value != pytest.approx(0.95 * TRUE_ML, rel=0.15)


@pytest.mark.data
def test_intact_real_bodies_hold_no_gas(data_dir: Path) -> None:
    volume = real_ct(data_dir / "verse014")
    for anatomy in real_anatomies(data_dir / "verse014", "vert.nii.gz", ("L2", "L4")):
        assert find_cleft(anatomy, volume).kind in (CleftKind.NONE, CleftKind.UNKNOWN)
