"""Proves: on phantoms of random shape, pose and density the height lost in a fracture is measured within its limits.

The truth is evaluated on the analytic surface before and after the warp, never by the measuring code. Thick slices are
the mean of three thin ones, taken after the fracture, as a scanner would: a warp of thick slices would blur them twice.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.spine.fracture.phantoms import fracture_phantom
from vertecast.spine.fracture.spec import FractureSpec
from vertecast.spine.heights import Place
from vertecast.spine.measure import measure_spine
from vertecast.spine.measurement import MeasuredVertebra
from vertecast.spine.phantom.phantom import Phantom, make_phantom
from vertecast.spine.phantom.spec import Scan
from vertecast.spine.phantom.variation import random_spec

RANGES = ((Level.T8, Level.T10), (Level.T11, Level.L1), (Level.L1, Level.L3), (Level.L3, Level.L5))
KINDS = (FractureSpec.wedge, FractureSpec.biconcave, FractureSpec.crush)
SLICES = 3
FEW = [1, 2]


@dataclass(frozen=True)
class Case:
    """A patient before and after, and what was lost (anterior, middle, posterior, per cent)."""

    before: tuple[Volume, LabelMap]
    after: tuple[Volume, LabelMap]
    level: Level
    lost: NDArray[np.float64]


def made(seed: int) -> Case:
    """Break the middle of three vertebrae by 20 to 50 per cent."""
    first, last = RANGES[seed % len(RANGES)]
    scan = Scan(spacing_mm=(1.0, 1.0, 1.0), width_mm=120.0)
    phantom = make_phantom(random_spec(np.random.default_rng(seed), first, last, scan=scan), seed=seed)
    spec = KINDS[seed % len(KINDS)](float(np.random.default_rng(1000 + seed).uniform(0.2, 0.5)))
    level = phantom.labels.levels[1]
    broken = fracture_phantom(phantom, level, spec, seed=seed).phantom
    high, low = (heights(one, level) for one in (phantom, broken))
    return Case((phantom.volume, phantom.labels), (broken.volume, broken.labels), level, 100.0 * (1.0 - low / high))


def heights(phantom: Phantom, level: Level) -> NDArray[np.float64]:
    return np.array([phantom.truth.levels[level].heights_mm["mid"][place.value] for place in Place])


def thick(ct: Volume, labels: LabelMap) -> tuple[Volume, LabelMap]:
    """Scan with slices three times as thick; a voxel has the label that at least half of it has."""
    count = ct.grid.shape[2] // SLICES
    matrix = ct.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] += matrix[:3, 2] * (SLICES - 1) / 2
    matrix[:3, 2] *= SLICES
    grid = Grid.from_affine((*ct.grid.shape[:2], count), matrix)
    stack = (*ct.grid.shape[:2], count, SLICES)
    hu = np.asarray(ct.hu)[:, :, : count * SLICES].reshape(stack).mean(axis=3).astype(np.float32)
    parts = np.asarray(labels.labels)[:, :, : count * SLICES].reshape(stack)
    values = np.zeros(grid.shape, np.int16)
    for value in labels.values.values():
        values[(parts == value).mean(axis=3) >= 0.5] = value
    return replace(ct, hu=hu, grid=grid), replace(labels, labels=values, grid=grid)


def measured(before: tuple[Volume, LabelMap], after: tuple[Volume, LabelMap], level: Level) -> MeasuredVertebra:
    """Measure the broken vertebra, and no other, against the own earlier CT; its neighbours stay labelled."""
    alone = [replace(labels, values={level: labels.values[level]}) for _, labels in (before, after)]
    prior = measure_spine(alone[0], before[0])
    return measure_spine(alone[1], after[0], prior=prior)[level]


def errors(found: MeasuredVertebra, lost: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([found.loss.percent[place].value for place in Place]) - lost


MISSED = pytest.mark.xfail(strict=True, reason="behind, 5.2 points at 1 mm: docs/validation/foundation.md")
SEEDS = [
    *FEW,
    *(
        pytest.param(seed, marks=[pytest.mark.slow, *([MISSED] if seed == 18 else [])])
        for seed in range(20)
        if seed not in FEW
    ),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_height_loss_in_fine_and_in_thick_voxels(seed: int) -> None:
    """Asked: 3 points up to 1 mm voxels, 5 at 1 x 1 x 3 mm, at the front, in the middle and behind."""
    case = made(seed)
    assert np.abs(errors(measured(case.before, case.after, case.level), case.lost)).max() <= 3.0
    coarse = measured(thick(*case.before), thick(*case.after), case.level)
    assert "thick" in coarse.flags
    assert np.abs(errors(coarse, case.lost)).max() <= 5.0


def middle(grid: Grid, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,), mm: centroid of a picture in the patient."""
    places = grid.to_lps(np.stack(np.indices(weight.shape), axis=-1).reshape(-1, 3))
    return np.asarray(places.T @ weight.ravel() / weight.sum())


def test_these_checks_can_fail() -> None:
    """Three slices are averaged where the scanner would put them, and a loss 6 points larger is told apart."""
    phantom = make_phantom(
        random_spec(np.random.default_rng(0), Level.L2, Level.L2, scan=Scan(spacing_mm=(2.0, 2.0, 1.0))), seed=0
    )
    ct, labels = thick(phantom.volume, phantom.labels)
    used = ct.grid.shape[2] * SLICES
    fine = np.asarray(phantom.volume.hu, float)[:, :, :used] + 1024.0, phantom.labels.labels[:, :, :used] > 0
    for thin, coarse, within in zip(
        fine, (np.asarray(ct.hu, float) + 1024.0, labels.labels > 0), (1e-3, 0.3), strict=True
    ):
        places = [middle(grid, one) for grid, one in ((phantom.volume.grid, thin), (ct.grid, coarse))]
        assert places[0] == pytest.approx(places[1], abs=within)
    spine = measure_spine(phantom.labels, phantom.volume)
    broken = fracture_phantom(phantom, Level.L2, FractureSpec.wedge(0.36))
    found = measure_spine(broken.phantom.labels, broken.phantom.volume, prior=spine)[Level.L2]
    assert abs(found.loss.percent[Place.ANTERIOR].value - 30.0) > 3.0
