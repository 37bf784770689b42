"""Posterior wall: a known hump is measured beyond the corners' line, and its share of the canal."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.spine.real_anatomy import real_anatomies
from tests.spine.tube_vertebra import Scan, Tube, TubeVertebra, scanned

from vertecast.spine.posterior_wall import measure_bulge, wall_parameters

SHAPE = TubeVertebra(left=Tube(x=15.5), right=Tube(x=15.5))


def true_bulge(bulge: float) -> float:
    """The cosine hump over the line of its own places where the corners are taken."""
    inset = wall_parameters().values.corner_inset
    return bulge * (1.0 - np.cos(np.pi * (SHAPE.half_height - inset) / (2.0 * SHAPE.half_height)))


@pytest.mark.parametrize(
    ("spacing", "limit_mm"),
    [
        ((0.7, 0.7, 0.7), 0.4),
        ((1.0, 1.0, 1.0), 0.7),
        ((1.0, 1.0, 3.0), 1.0),
        ((3.0, 0.5, 0.5), 0.7),
        ((2.0, 2.0, 2.0), 1.6),
    ],
)
def test_known_humps_in_random_poses(spacing: tuple[float, float, float], limit_mm: float) -> None:
    rng = np.random.default_rng(11)
    held = []
    for bulge in (0.0, 1.5, 3.0, 5.0):
        scan = Scan(spacing, tuple(rng.normal(size=3) * 0.15), tuple(rng.uniform(-0.5, 0.5, 3)))
        found = measure_bulge(scanned(replace(SHAPE, bulge=bulge), scan))
        assert found.bulge_mm.value == pytest.approx(true_bulge(bulge), abs=limit_mm)
        held.append(found.bulge_mm.low <= true_bulge(bulge) <= found.bulge_mm.high)
    assert np.mean(held) >= 0.75


def test_share_of_the_canal() -> None:
    found = measure_bulge(scanned(replace(SHAPE, bulge=6.0)))
    whole = 2.0 * SHAPE.canal_half_depth
    assert found.canal_share.value == pytest.approx(true_bulge(6.0) / whole, abs=0.07)
    assert found.canal_share.value > wall_parameters().values.minor_share
    flat = measure_bulge(scanned(SHAPE))
    assert flat.canal_share.value < wall_parameters().values.minor_share


def test_references_give_the_excess_and_the_narrowing() -> None:
    intact = scanned(SHAPE, Scan(shift=(0.3, 0.1, 0.2)))
    found = measure_bulge(scanned(replace(SHAPE, bulge=4.0)), [intact, intact])
    assert found.excess_mm.value == pytest.approx(true_bulge(4.0), abs=0.8)
    assert found.canal_narrowing.value == pytest.approx(4.0 / (2.0 * SHAPE.canal_half_depth), abs=0.08)
    alone = measure_bulge(scanned(replace(SHAPE, bulge=4.0)))
    assert "no intact reference" in alone.excess_mm.reason
    assert "no intact reference" in alone.canal_narrowing.reason


def test_a_carried_corner_is_seen_by_the_narrowing_only() -> None:
    """The whole upper half moved back as one piece: its line moves too, the canal's depth does not."""
    shape = replace(SHAPE)
    anatomy = scanned(shape)
    points = anatomy.coordinates()
    fragment = (points[..., 2] > 0.0) & (np.abs(points[..., 0]) < 9.0) & (points[..., 2] < shape.half_height)
    fragment &= (points[..., 1] > 10.0) & (points[..., 1] < 0.8 * shape.half_depth + 4.0)
    broken = replace(anatomy, mask=anatomy.mask | fragment, body=anatomy.body | fragment, arch=anatomy.arch & ~fragment)
    found = measure_bulge(broken, [anatomy])
    assert found.canal_narrowing.value == pytest.approx(4.0 / 16.0, abs=0.08)
    assert found.bulge_mm.value < 4.0


def test_the_place_of_the_bulge() -> None:
    anatomy = scanned(replace(SHAPE, bulge=5.0), Scan(turn=(0.1, 0.1, -0.1)))
    at = anatomy.vert_from_lps.apply(measure_bulge(anatomy).at_lps)
    np.testing.assert_allclose(at, [0.0, 0.8 * SHAPE.half_depth + 5.0, 0.0], atol=3.0)


def test_missing_parts_say_why() -> None:
    anatomy = scanned(SHAPE)
    nothing = np.zeros_like(anatomy.body)
    assert "no vertebral body" in measure_bulge(replace(anatomy, body=nothing)).bulge_mm.reason
    alone = measure_bulge(replace(anatomy, mask=anatomy.body, arch=nothing))
    assert alone.bulge_mm.value is not None
    assert "no arch" in alone.canal_share.reason


def test_these_checks_can_fail() -> None:
    assert measure_bulge(scanned(replace(SHAPE, bulge=5.0))).bulge_mm.value != pytest.approx(true_bulge(2.0), abs=0.7)


@pytest.mark.data
def test_a_real_intact_wall_is_no_fragment(data_dir: Path) -> None:
    """L3 of tptbox_l3 is intact: its bulge stays below a fifth of the canal."""
    (anatomy,) = real_anatomies(data_dir / "tptbox_l3", "vert.nii.gz", ("L3",), "subreg.nii.gz")
    assert measure_bulge(anatomy).canal_share.value < wall_parameters().values.minor_share
