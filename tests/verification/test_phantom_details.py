"""Pedicles, canal and density of the phantom, whose analytic truth was made apart from the measures, are found."""

import numpy as np
import pytest

from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.canal import measure_canal
from vertecast.spine.cleft import CleftKind, find_cleft
from vertecast.spine.density import measure_density
from vertecast.spine.fracture_line import LineState, find_fracture_line
from vertecast.spine.pedicles import measure_pedicles
from vertecast.spine.phantom.levels import normal_shape
from vertecast.spine.phantom.phantom import Phantom, make_phantom
from vertecast.spine.phantom.spec import PhantomSpec, Scan

CORPUS = (49, 50)


def split(phantom: Phantom, level: Level) -> Anatomy:
    """Split by the phantom's own subregions and frame, so that only the details are under test."""
    mask = phantom.labels.mask(level)
    at = np.argwhere(mask)
    low, high = np.maximum(at.min(axis=0) - 3, 0), np.minimum(at.max(axis=0) + 4, mask.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    matrix = phantom.labels.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] = phantom.labels.grid.to_lps(low)
    body = mask[box] & np.isin(phantom.subregions[box], CORPUS)
    frame = phantom.truth.levels[level].vert_from_lps
    return Anatomy(level, Grid.from_affine(mask[box].shape, matrix), mask[box], body, mask[box] & ~body, frame)


@pytest.fixture(scope="module", params=["thoracic 1 mm", "lumbar oblique 1 x 1 x 2 mm"])
def phantom(request: pytest.FixtureRequest) -> Phantom:
    if request.param.startswith("thoracic"):
        levels, pose, spacing, noise = ("T6", "T7"), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 20.0
    else:
        levels, pose, spacing, noise = ("L4", "L5"), (8.0, 6.0, -10.0), (1.0, 1.0, 2.0), 30.0
    spec = PhantomSpec(
        shapes=tuple(normal_shape(Level(one)) for one in levels),
        density_l1_mg_cm3=100.0,
        pose_deg=pose,
        scan=Scan(spacing_mm=spacing, noise_hu=noise, width_mm=120.0),
    )
    return make_phantom(spec, seed=11)


def test_pedicles(phantom: Phantom) -> None:
    held = []
    for level in phantom.labels.levels:
        found = measure_pedicles(split(phantom, level))
        for side in Side:
            truth, pedicle = phantom.truth.levels[level].pedicles[side], found[side]
            assert pedicle.width_mm.value == pytest.approx(truth.width_mm, abs=0.6)
            assert pedicle.height_mm.value == pytest.approx(truth.height_mm, abs=0.8)
            assert np.linalg.norm(pedicle.isthmus_lps - truth.centre_lps) < 1.5
            assert np.degrees(np.arccos(np.clip(pedicle.axis_lps @ truth.axis_lps, -1.0, 1.0))) < 4.0
            held.append(pedicle.width_mm.low <= truth.width_mm <= pedicle.width_mm.high)
            held.append(pedicle.height_mm.low <= truth.height_mm <= pedicle.height_mm.high)
    assert np.mean(held) >= 0.9


def test_canal(phantom: Phantom) -> None:
    for level in phantom.labels.levels:
        truth, canal = phantom.truth.levels[level].canal_area_mm2, measure_canal(split(phantom, level))
        assert truth is not None
        # L5's canal widens downwards by some percent over the pedicles' height, so the height's own error shows:
        # an oblique L5 at 1 x 1 x 2 mm reads 7.2 % high (docs/validation.md), the others less than 3 %.
        assert canal.area_mm2.value == pytest.approx(truth, rel=0.08 if level is Level.L5 else 0.03)


def test_density_within_five_per_cent(phantom: Phantom) -> None:
    for level in phantom.labels.levels:
        truth, density = (
            phantom.truth.levels[level].trabecular_hu,
            measure_density(split(phantom, level), phantom.volume),
        )
        assert density.mean_hu.value == pytest.approx(truth, rel=0.05)
        assert density.mean_hu.low <= truth <= density.mean_hu.high


def test_an_intact_body_has_no_cleft_and_no_line(phantom: Phantom) -> None:
    for level in phantom.labels.levels:
        anatomy = split(phantom, level)
        assert find_cleft(anatomy, phantom.volume).kind in (CleftKind.NONE, CleftKind.UNKNOWN)
        assert find_fracture_line(anatomy, phantom.volume).state in (LineState.NONE, LineState.UNKNOWN)


def test_these_checks_can_fail(phantom: Phantom) -> None:
    """The neighbour's truth, or the other side's axis, is not accepted."""
    upper, lower = phantom.labels.levels
    found, other = measure_pedicles(split(phantom, upper)), phantom.truth.levels[lower].pedicles
    assert np.linalg.norm(found[Side.LEFT].isthmus_lps - other[Side.LEFT].centre_lps) > 10.0
    mirrored = phantom.truth.levels[upper].pedicles[Side.RIGHT].axis_lps
    angle = np.degrees(np.arccos(np.clip(found[Side.LEFT].axis_lps @ mirrored, -1.0, 1.0)))
    assert angle > 4.0 or phantom.truth.levels[upper].pedicles[Side.LEFT].axis_lps @ mirrored > np.cos(np.deg2rad(8.0))
