"""The display raises faint contrast alike over lung and liver, not noise; borders and steel leave little halo."""

from dataclasses import replace

import numpy as np
import pytest
from tests.fluoro.bodies import SETTINGS, view_at

from vertecast.devices.carm import View
from vertecast.fluoro.detector import blur_taps
from vertecast.fluoro.display import Acquisition, Tone, band_variances, equalised, shown, tone_of
from vertecast.kernels.project_signal import convolve_rows_columns

VIEW = view_at(512)
DISPLAY = SETTINGS.display
TAPS = blur_taps(VIEW, SETTINGS.detector)
DIRECT = 1e7


def seen(log: np.ndarray, view: View = VIEW, quanta_at_zero: float = 1e7, noise: float = 0.0) -> np.ndarray:
    frame = (quanta_at_zero * np.exp(-log)).astype(np.float32)
    variances = noise * band_variances(view, blur_taps(view, SETTINGS.detector))
    return equalised(frame, view, Acquisition(variances, quanta_at_zero), DISPLAY)


def stripes(level: float, contrast: float = 0.03) -> np.ndarray:
    """Bars of 3 mm under a little texture of the same strength everywhere."""
    log = np.full(VIEW.shape, level)
    log[::10] += contrast
    log[1::10] += contrast
    return log


def test_faint_contrast_is_raised_alike_wherever_it_lies() -> None:
    spreads = [np.ptp(seen(stripes(level))[200:300, 256]) for level in (2.0, 5.0)]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.02)
    log = stripes(4.0, 0.02)
    log[:, :256] = stripes(4.0, 0.16)[:, :256]
    picture = seen(log)
    ratio = np.ptp(picture[200:300, 120]) / np.ptp(picture[200:300, 390])
    assert 1.0 < ratio < 3.0  # of 8 before: brought towards one strength, the stronger still the stronger


def test_noise_is_not_raised_to_the_strength_of_contrast() -> None:
    generator = np.random.default_rng(5)
    noisy = np.empty(VIEW.shape, np.float32)
    deviates = generator.standard_normal(VIEW.shape).astype(np.float32)
    convolve_rows_columns(deviates, TAPS, noisy, noisy)
    log = 4.0 + noisy / np.sqrt(1e6 * np.exp(-4.0))
    blind = seen(log, quanta_at_zero=1e6)[50:-50, 50:-50].std()
    aware = seen(log, quanta_at_zero=1e6, noise=1.0)[50:-50, 50:-50].std()
    assert aware < 0.35 * blind
    real = stripes(4.0, 0.15)
    kept = np.ptp(seen(real, quanta_at_zero=1e6, noise=1.0)[200:300, 256])
    assert kept > 0.8 * np.ptp(seen(real, quanta_at_zero=1e6)[200:300, 256])


def test_noise_of_the_bands_is_that_of_drawn_noise() -> None:
    from vertecast.fluoro.display import _pyramid

    generator = np.random.default_rng(6)
    drawn = generator.standard_normal(VIEW.shape).astype(np.float32)
    out = np.empty_like(drawn)
    convolve_rows_columns(drawn, TAPS, np.empty_like(drawn), out)
    expected = band_variances(VIEW, TAPS)
    bands, _ = _pyramid(out, len(expected))
    for band, variance in zip(bands[:4], expected[:4], strict=True):
        assert float(band[4:-4, 4:-4].var()) == pytest.approx(variance, rel=0.1)


def test_a_border_and_steel_leave_little_halo() -> None:
    log = stripes(4.0, 0.05)
    plain = seen(log)
    log[:, 256:] -= 2.0  # lung beside the spine
    log[100:106, 40:200] += 1.5  # a needle
    picture = seen(log)
    bars = np.ptp(plain[200:300, 100])
    rows = slice(300, 400)
    drift = np.ptp(picture[rows, 60:236].mean(axis=0))
    assert drift < 1.5 * bars
    kept = np.ptp(picture[120:140, 120]) / np.ptp(plain[120:140, 120])
    assert kept > 0.5  # contrast beside the needle stays
    uncut = replace(DISPLAY, edges=tuple(100 * e for e in DISPLAY.edges))
    frame = (DIRECT * np.exp(-log)).astype(np.float32)
    shadowed = equalised(frame, VIEW, Acquisition(np.zeros(6), DIRECT), uncut)
    near = (slice(110, 120), 120)
    assert shadowed[near].std() < 0.7 * picture[near].std()  # where steel counts as contrast, it dims its surroundings


def test_open_beam_is_white_bone_dark_and_shutters_cast_nothing() -> None:
    log = stripes(4.0, 0.05)
    log[:, 400:] = 0.0
    picture = seen(log)
    tone = tone_of(picture, np.pad(np.ones((212, 212), bool), 150), DISPLAY)
    grey = shown(picture, tone, DISPLAY)
    assert grey[200:300, 430:].min() > 245
    assert np.array_equal(255 - grey, shown(picture, tone, DISPLAY, bone_bright=True))
    frame = (DIRECT * np.exp(-stripes(4.0, 0.05))).astype(np.float32)
    dim = frame.copy()
    dim[:60], dim[:, :80] = 1.0, 1.0
    window = (slice(60, 512), slice(80, 512))
    pictures = [equalised(f, VIEW, Acquisition(np.zeros(6), DIRECT, window), DISPLAY) for f in (frame, dim)]
    assert np.array_equal(pictures[0][window], pictures[1][window])


def test_the_curve_has_its_middle_its_ends_and_both_polarities() -> None:
    tone = Tone(-2.0, 0.5, 2.0)
    picture = np.array([[-50.0, 0.5, 50.0]], np.float32)
    assert shown(picture, tone, DISPLAY)[0].tolist() == pytest.approx([255, 127, 0], abs=1)
    assert shown(picture, tone, DISPLAY, bone_bright=True)[0].tolist() == pytest.approx([0, 127, 255], abs=1)


def test_pixels_of_the_detector_do_not_change_the_look() -> None:
    """The same picture read with 512 and 1024 pixels: bars keep their strength on the screen."""
    fine = view_at(1024)
    coarse_log = stripes(4.0, 0.05)
    fine_log = np.kron(coarse_log, np.ones((2, 2)))
    spreads = [
        float(seen(log, view)[n // 3 : 2 * n // 3, n // 2].std())
        for log, view, n in ((coarse_log, VIEW, 512), (fine_log, fine, 1024))
    ]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.15)


def test_these_checks_can_fail() -> None:
    """Without equalising, contrast over unlike surroundings stays unlike."""
    flat = replace(DISPLAY, floors=tuple(1e3 for _ in DISPLAY.floors), gains=tuple(1e3 * g for g in DISPLAY.gains))
    log = stripes(4.0, 0.02)
    log[:, :256] = stripes(4.0, 0.16)[:, :256]
    frame = (DIRECT * np.exp(-log)).astype(np.float32)
    picture = equalised(frame, VIEW, Acquisition(np.zeros(6), DIRECT), flat)
    assert np.ptp(picture[200:300, 120]) / np.ptp(picture[200:300, 390]) > 5.0
