"""Trabecular density: a known HU is read back through noise, vein, cortex, gas; mg/cm³ only when calibrated."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from tests.spine.real_anatomy import real_anatomies, real_ct
from tests.spine.tube_vertebra import Scan, TubeVertebra, ct_of, scan_grid, scanned

from vertecast.core.levels import Level
from vertecast.imaging.calibration import Calibration, fallback_calibration
from vertecast.imaging.volume import Volume
from vertecast.spine.density import density_parameters, measure_density

LINE = Calibration(name="test phantom", method="given line", slope=0.8, intercept=2.0)


def painted(volume: Volume, where: np.ndarray, hu: float) -> Volume:
    array = np.array(volume.hu)
    array[where] = hu
    return replace(volume, hu=array)


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 0.7), (1.0, 1.0, 1.0), (1.0, 1.0, 2.5), (3.0, 0.6, 0.6)])
@pytest.mark.parametrize(("trabecular", "noise"), [(60.0, 20.0), (150.0, 50.0), (220.0, 100.0)])
def test_a_known_hu_is_read_back(spacing: tuple[float, float, float], trabecular: float, noise: float) -> None:
    anatomy = scanned(TubeVertebra(), Scan(spacing, (0.1, -0.1, 0.05)))
    density = measure_density(anatomy, ct_of(anatomy, trabecular, noise=noise, seed=5))
    # Five per cent, or the standard error where the bone is thin and the noise high.
    assert density.mean_hu.value == pytest.approx(trabecular, abs=max(0.05 * trabecular, 0.04 * noise))
    assert density.median_hu.value == pytest.approx(trabecular, abs=max(0.05 * trabecular, 0.05 * noise))
    assert density.mean_hu.low <= trabecular <= density.mean_hu.high
    assert density.noise_hu.value == pytest.approx(noise, rel=0.1)
    assert not density.is_cemented
    assert not density.is_sclerotic


def test_intervals_hold_the_truth_in_nineteen_of_twenty() -> None:
    anatomy = scanned(TubeVertebra(), Scan((1.0, 1.0, 2.0)))
    held = []
    for seed in range(20):
        density = measure_density(anatomy, ct_of(anatomy, 120.0, noise=60.0, seed=seed))
        held.append(density.mean_hu.low <= 120.0 <= density.mean_hu.high)
    assert np.mean(held) >= 0.9


def test_blur_of_the_cortex_does_not_reach_the_region() -> None:
    anatomy = scanned(TubeVertebra())
    sharp = ct_of(anatomy, 100.0)
    blurred = replace(sharp, hu=ndimage.gaussian_filter(np.array(sharp.hu), 0.8))
    assert measure_density(anatomy, blurred).mean_hu.value == pytest.approx(100.0, abs=3.0)


def test_vein_and_gas_are_left_out() -> None:
    anatomy = scanned(TubeVertebra())
    points = anatomy.coordinates()
    vein = (np.abs(points[..., 0]) < 3.0) & (points[..., 1] > 4.0) & (np.abs(points[..., 2]) < 3.0) & anatomy.body
    gas = (np.linalg.norm(points - [-9.0, -4.0, 4.0], axis=-1) < 3.0) & anatomy.body
    volume = painted(painted(ct_of(anatomy, 120.0), vein, 40.0), gas, -900.0)
    density = measure_density(anatomy, volume)
    assert density.mean_hu.value == pytest.approx(120.0, abs=3.0)


def test_cement_and_sclerosis_are_found_and_make_no_statement() -> None:
    anatomy = scanned(TubeVertebra())
    points = anatomy.coordinates()
    ball = (np.linalg.norm(points, axis=-1) < 7.0) & anatomy.body
    upper = (points[..., 2] > 2.0) & anatomy.body
    plain = ct_of(anatomy, 120.0, noise=20.0)
    cemented = measure_density(anatomy, painted(plain, ball, 2500.0))
    assert cemented.is_cemented
    assert cemented.statements == ()
    assert any("cement" in sentence for sentence in cemented.warnings)
    sclerotic = measure_density(anatomy, painted(plain, upper, 600.0))
    assert sclerotic.is_sclerotic
    assert not sclerotic.is_cemented
    assert sclerotic.t_hu.reason is not None
    assert "sclerotic" in sclerotic.t_hu.reason


def test_no_ct_no_density() -> None:
    density = measure_density(scanned(TubeVertebra()), None)
    assert "no CT" in density.mean_hu.reason
    assert density.is_cemented is None


def test_a_ct_elsewhere_is_named() -> None:
    anatomy = scanned(TubeVertebra())
    elsewhere = scan_grid(Scan(), np.full(3, -500.0), np.full(3, -450.0))
    volume = Volume(np.zeros(elsewhere.shape, np.float32), elsewhere)
    assert "lies outside the CT" in measure_density(anatomy, volume).mean_hu.reason


def test_a_body_too_small_for_a_region_is_named() -> None:
    anatomy = scanned(TubeVertebra(half_width=6.0, half_depth=6.0, half_height=5.0))
    assert "trabecular region" in measure_density(anatomy, ct_of(anatomy)).mean_hu.reason


def test_mg_cm3_only_with_a_calibration() -> None:
    anatomy = scanned(TubeVertebra())
    volume = ct_of(anatomy, 100.0)
    assert "no calibration" in measure_density(anatomy, volume).density_mg_cm3.reason
    given = measure_density(anatomy, volume, LINE)
    assert given.density_mg_cm3.value == pytest.approx(82.0, abs=0.1)
    assert given.calibration == "test phantom"
    names = {one.name for one in given.statements}
    assert {"qct_osteoporosis_below", "qct_low_up_to"} <= names


def test_a_fallback_is_marked_and_makes_no_qct_statement() -> None:
    anatomy = scanned(TubeVertebra())
    found = measure_density(anatomy, ct_of(anatomy, 100.0), fallback_calibration())
    assert found.calibration.startswith("uncalibrated: ")
    assert found.density_mg_cm3.value is not None
    assert not {"qct_osteoporosis_below", "qct_low_up_to"} & {one.name for one in found.statements}
    assert any("uncalibrated" in sentence for sentence in found.warnings)


@pytest.mark.parametrize(("hu", "holds"), [(60.0, (1, 1, 0, 1, 1)), (100.0, (1, 1, 0, 0, 0)), (180.0, (0, 0, 1, 0, 0))])
def test_statements_of_l1(hu: float, holds: tuple[int, ...]) -> None:
    anatomy = scanned(TubeVertebra())
    density = measure_density(anatomy, ct_of(anatomy, hu))
    assert tuple(int(one.holds) for one in density.statements) == holds
    assert all(one.source for one in density.statements)
    p = density_parameters().values
    assert density.t_hu.value == pytest.approx((hu - p.young_mean) / p.young_sd, abs=0.1)


def test_l1_statements_are_l1s_alone() -> None:
    density = measure_density(scanned(TubeVertebra(), Scan(level=Level.T12)), ct_of(scanned(TubeVertebra()), 100.0))
    assert {one.name for one in density.statements} == {"of_score_up_to", "adjacent_fracture_below"}
    assert "not T12" in density.t_hu.reason


def test_contrast_medium_is_said() -> None:
    anatomy = scanned(TubeVertebra())
    density = measure_density(anatomy, ct_of(anatomy, contrast=True))
    assert density.contrast is True
    assert any("contrast medium" in sentence for sentence in density.warnings)
    assert measure_density(anatomy, ct_of(anatomy)).contrast is None


def test_labels_and_ct_on_different_grids() -> None:
    """The CT's own voxels are read, wherever the labels' lie."""
    anatomy = scanned(TubeVertebra(), Scan((1.0, 1.0, 1.0)))
    fine = scanned(
        TubeVertebra(), Scan((0.8, 0.8, 1.6), shift=(0.3, 0.4, 0.1), order=(2, 0, 1), flips=(True, False, True))
    )
    density = measure_density(anatomy, ct_of(fine, 140.0, noise=30.0))
    assert density.mean_hu.value == pytest.approx(140.0, abs=4.0)


def test_these_checks_can_fail() -> None:
    """A region that reached the cortex would read higher, and the tolerance above would see it."""
    anatomy = scanned(TubeVertebra())
    volume = ct_of(anatomy, 120.0)
    whole = float(np.array(volume.hu)[anatomy.body].mean())
    assert whole != pytest.approx(120.0, abs=6.0)


@pytest.mark.data
def test_real_verse014(data_dir: Path) -> None:
    """L1 is sclerotic and said to be; L3 is not, and reads as an elderly lumbar body does."""
    first, third = real_anatomies(data_dir / "verse014", "vert.nii.gz", ("L1", "L3"))
    volume = real_ct(data_dir / "verse014")
    assert measure_density(first, volume).is_sclerotic
    density = measure_density(third, volume)
    assert not density.is_sclerotic
    assert not density.is_cemented
    assert 70.0 <= density.mean_hu.value <= 160.0
