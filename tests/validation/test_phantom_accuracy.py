"""Proves: on phantoms of random shape, pose and density the measurements meet the truth within the stated limits.

The truth is evaluated on the phantom's analytic surfaces by the definitions of docs/methods/heights.md, never by the
measuring code.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vertecast.core.levels import Level
from vertecast.core.quantities import Measured
from vertecast.imaging.volume import LabelMap
from vertecast.spine.heights import Place
from vertecast.spine.measure import measure_spine
from vertecast.spine.measurement import SpineMeasurement
from vertecast.spine.phantom.phantom import Phantom, make_phantom
from vertecast.spine.phantom.spec import Scan
from vertecast.spine.phantom.truth import LevelTruth
from vertecast.spine.phantom.variation import random_spec

RANGES = ((Level.T8, Level.T10), (Level.T11, Level.L1), (Level.L1, Level.L3), (Level.L3, Level.L5))
FINE, THICK = (1.0, 1.0, 1.0), (1.0, 1.0, 3.0)


@dataclass(frozen=True)
class Errors:
    """Measured minus true, pooled over phantoms; and how the truths lie in the 95 % intervals."""

    heights_mm: NDArray[np.float64]
    angles_deg: NDArray[np.float64]
    density_percent: NDArray[np.float64]
    inside: NDArray[np.bool_]
    widths_mm: NDArray[np.float64]
    flags: list[tuple[str, ...]]


def phantom(seed: int, spacing: tuple[float, float, float]) -> Phantom:
    first, last = RANGES[seed % len(RANGES)]
    return make_phantom(
        random_spec(np.random.default_rng(seed), first, last, scan=Scan(spacing_mm=spacing, width_mm=120.0)), seed=seed
    )


def pooled(seeds: range, spacing: tuple[float, float, float]) -> Errors:
    heights, angles, density, inside, widths, flags = [], [], [], [], [], []
    for seed in seeds:
        made = phantom(seed, spacing)
        for vertebra in measure_spine(made.labels, made.volume).vertebrae:
            truth = made.truth.levels[vertebra.level]
            for measured, true in compared_heights(vertebra.heights_mm, truth):
                heights.append(measured.value - true)
                inside.append(measured.low <= true <= measured.high)
                widths.append(measured.high - measured.low)
            angles.append(vertebra.wedge_angle_deg.value - truth.wedge_deg)
            density.append(100.0 * (vertebra.details.density.mean_hu.value / truth.trabecular_hu - 1.0))
            flags.append(vertebra.flags)
    return Errors(*(np.array(one) for one in (heights, angles, density, inside, widths)), flags)


def compared_heights(heights: dict[Place, Measured], truth: LevelTruth) -> list[tuple[Measured, float]]:
    return [(heights[place], truth.heights_mm["mid"][place.value]) for place in Place]


def test_twenty_random_phantoms_at_one_millimetre() -> None:
    """Heights within 0.5 mm, wedge within 1.5 degrees, density within 5 %, nine truths in ten inside: all of them."""
    fine = pooled(range(20), FINE)
    assert fine.heights_mm.size == 20 * 3 * 3
    assert np.abs(fine.heights_mm).max() <= 0.5
    assert np.abs(fine.angles_deg).max() <= 1.5
    assert np.abs(fine.density_percent).max() <= 5.0
    assert fine.inside.mean() >= 0.9
    assert np.median(fine.widths_mm) <= 1.5 * max(FINE)


@pytest.mark.parametrize("seeds", [range(4), pytest.param(range(20), marks=pytest.mark.slow)], ids=["four", "twenty"])
def test_thick_slices_are_flagged_and_within_a_millimetre(seeds: range) -> None:
    """At 3 mm slices: heights within 1 mm, density within 5 %, nine truths in ten inside narrow intervals."""
    thick = pooled(seeds, THICK)
    assert thick.heights_mm.size == len(seeds) * 3 * 3
    assert all("thick" in flags for flags in thick.flags)
    assert np.abs(thick.heights_mm).max() <= 1.0
    assert np.abs(thick.density_percent).max() <= 5.0
    assert thick.inside.mean() >= 0.9
    assert np.median(thick.widths_mm) <= 1.5 * max(THICK)


def test_these_checks_can_fail() -> None:
    """A label map moved by one voxel against its truth breaks the limits, and so does a truth of another vertebra."""
    made = phantom(2, FINE)
    grown = np.where(np.roll(made.labels.labels, 1, axis=2) > 0, np.roll(made.labels.labels, 1, axis=2), 0)
    thicker = replace(made.labels, labels=np.where(made.labels.labels > 0, made.labels.labels, grown).astype(np.int16))
    errors = height_errors(thicker, measure_spine(thicker), made)
    assert np.abs(errors).max() > 0.5


def height_errors(labels: LabelMap, spine: SpineMeasurement, made: Phantom) -> NDArray[np.float64]:
    pairs = [
        pair for level in labels.levels for pair in compared_heights(spine[level].heights_mm, made.truth.levels[level])
    ]
    return np.array([measured.value - true for measured, true in pairs])
