"""Pedicles: known tubes are found with their size, place and axis; left is left; what cannot be measured says why."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.spine.real_anatomy import real_anatomies
from tests.spine.tube_vertebra import ORDERS, Scan, Tube, TubeVertebra, scanned

from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.pedicles import measure_pedicles

UNLIKE = TubeVertebra(
    left=Tube(width=6.0, height=13.0, convergence_deg=5.0, x=14.5),
    right=Tube(width=9.0, height=15.0, convergence_deg=18.0, x=16.0),
)


def random_shape(rng: np.random.Generator, narrowest: float) -> TubeVertebra:
    def tube() -> Tube:
        width = rng.uniform(narrowest, 12.0)
        return Tube(
            width=width,
            height=rng.uniform(11.0, 15.0),
            convergence_deg=rng.uniform(0.0, 25.0),
            sagittal_deg=rng.uniform(-12.0, 12.0),
            x=11.5 + 0.5 * width,
            z=rng.uniform(3.0, 7.0),
            flare=rng.uniform(0.1, 0.25),
        )

    return TubeVertebra(left=tube(), right=tube())


def errors(shape: TubeVertebra, scan: Scan) -> list[tuple[float, float, float, float, list[bool]]]:
    """Width, height, place and axis errors of both sides, and whether each interval holds the truth."""
    anatomy = scanned(shape, scan)
    found = []
    for side, pedicle in measure_pedicles(anatomy).items():
        tube = shape.tube(side)
        assert pedicle.reason is None, pedicle.reason
        place = anatomy.vert_from_lps.apply(pedicle.isthmus_lps) - shape.isthmus(side)
        axis = anatomy.vert_from_lps.apply_directions(pedicle.axis_lps)
        pairs = [
            (pedicle.width_mm, tube.width),
            (pedicle.height_mm, tube.height),
            (pedicle.convergence_deg, tube.convergence_deg),
            (pedicle.sagittal_deg, tube.sagittal_deg),
        ]
        found.append(
            (
                abs(pedicle.width_mm.value - tube.width),
                abs(pedicle.height_mm.value - tube.height),
                float(np.linalg.norm(place)),
                float(np.degrees(np.arccos(np.clip(axis @ shape.axis(side), -1.0, 1.0)))),
                [one.low <= truth <= one.high for one, truth in pairs],
            )
        )
    return found


@pytest.mark.parametrize(
    ("spacing", "width_mm", "axis_deg"),
    [
        ((0.7, 0.7, 0.7), 0.5, 3.0),
        ((1.0, 1.0, 1.0), 0.5, 3.0),
        ((0.5, 0.5, 3.0), 0.8, 5.0),
        ((3.0, 0.5, 0.5), 1.0, 6.0),
        ((2.0, 2.0, 2.0), 1.0, 6.0),
        ((3.0, 3.0, 3.0), 1.5, 9.0),
    ],
)
def test_random_pedicles_in_random_poses(spacing: tuple[float, float, float], width_mm: float, axis_deg: float) -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(4):
        shape = random_shape(rng, 7.0 if max(spacing) >= 3.0 else 5.0)
        turn, shift = tuple(rng.normal(size=3) * 0.2), tuple(rng.uniform(-0.5, 0.5, 3))
        found += errors(shape, Scan(spacing, turn, shift))
    width, height, place, axis, held = zip(*found, strict=True)
    # Root mean squares; single values may be larger, which the intervals say.
    assert np.sqrt(np.mean(np.square(width))) < width_mm
    assert np.sqrt(np.mean(np.square(height))) < 1.5 * width_mm + 0.5
    assert np.median(place) < 1.5
    assert np.sqrt(np.mean(np.square(axis))) < axis_deg
    assert np.mean(held) >= 0.9


def test_intervals_are_narrow_enough_to_say_something() -> None:
    pedicles = measure_pedicles(scanned(UNLIKE))
    for pedicle in pedicles.values():
        assert pedicle.width_mm.high - pedicle.width_mm.low <= 1.5
        assert pedicle.height_mm.high - pedicle.height_mm.low <= 1.5


def test_left_is_left_and_a_mirror_swaps_the_sides() -> None:
    plain, mirrored = measure_pedicles(scanned(UNLIKE)), measure_pedicles(scanned(UNLIKE.mirrored()))
    assert plain[Side.LEFT].width_mm.value == pytest.approx(6.0, abs=0.5)
    assert plain[Side.RIGHT].width_mm.value == pytest.approx(9.0, abs=0.5)
    assert plain[Side.LEFT].isthmus_lps[0] > plain[Side.RIGHT].isthmus_lps[0] + 25.0
    for side in Side:
        assert mirrored[side.other].width_mm.value == pytest.approx(plain[side].width_mm.value, abs=0.35)
        assert mirrored[side.other].convergence_deg.value == pytest.approx(plain[side].convergence_deg.value, abs=4.0)


def test_the_axis_points_forwards_and_towards_the_midline() -> None:
    anatomy = scanned(TubeVertebra(), Scan(turn=(0.1, -0.2, 0.15)))
    for side, pedicle in measure_pedicles(anatomy).items():
        axis = anatomy.vert_from_lps.apply_directions(pedicle.axis_lps)
        assert axis[1] < -0.9
        assert axis[0] * side.sign < 0.0
        assert pedicle.convergence_deg.value == pytest.approx(10.0, abs=4.0)


def test_the_same_in_every_storage_order() -> None:
    """All 48 ways to order and flip the axes of one anisotropic image."""
    plain = Scan((1.5, 1.8, 2.0))
    first = measure_pedicles(scanned(UNLIKE, plain))
    assert len(ORDERS) == 48
    for order, flips in ORDERS:
        pedicles = measure_pedicles(scanned(UNLIKE, replace(plain, order=order, flips=flips)))
        for side in Side:
            assert pedicles[side].width_mm.value == pytest.approx(first[side].width_mm.value, abs=1e-3)
            assert pedicles[side].convergence_deg.value == pytest.approx(first[side].convergence_deg.value, abs=1e-2)
            np.testing.assert_allclose(pedicles[side].isthmus_lps, first[side].isthmus_lps, atol=1e-3)


def test_a_largest_circle_is_never_wider_than_the_narrower_diameter() -> None:
    for pedicle in measure_pedicles(scanned(UNLIKE)).values():
        assert pedicle.inscribed_mm.value <= min(pedicle.width_mm.value, pedicle.height_mm.value) + 0.3
        assert pedicle.inscribed_mm.value >= min(pedicle.width_mm.value, pedicle.height_mm.value) - 1.0


def test_a_turned_frame_moves_nothing_in_the_patient() -> None:
    """A frame that is five degrees off changes the angles it defines, hardly the isthmus or the axis in the patient."""
    anatomy = scanned(UNLIKE)
    turn = Transform.from_axes(
        [[np.cos(0.09), np.sin(0.09), 0], [-np.sin(0.09), np.cos(0.09), 0], [0, 0, 1]],
        [0, 0, 0],
        target="vert:turned",
        source="vert:L1",
    )
    turned = measure_pedicles(replace(anatomy, vert_from_lps=turn @ anatomy.vert_from_lps))
    for side, pedicle in measure_pedicles(anatomy).items():
        assert np.linalg.norm(turned[side].isthmus_lps - pedicle.isthmus_lps) < 1.0
        assert np.degrees(np.arccos(turned[side].axis_lps @ pedicle.axis_lps)) < 4.0


def test_body_only_labels_have_no_pedicles() -> None:
    anatomy = scanned(TubeVertebra())
    alone = replace(anatomy, mask=anatomy.body, arch=np.zeros_like(anatomy.body))
    for pedicle in measure_pedicles(alone).values():
        assert pedicle.width_mm.value is None
        assert pedicle.isthmus_lps is None
        assert "body only" in pedicle.reason


def test_a_broken_pedicle_is_unknown_and_the_other_side_is_not() -> None:
    anatomy = scanned(TubeVertebra())
    xyz = anatomy.coordinates()
    gap = (xyz[..., 0] > 0) & (np.abs(xyz[..., 1] - 18.0) < 1.6)
    broken = replace(anatomy, mask=anatomy.mask & ~gap, arch=anatomy.arch & ~gap, body=anatomy.body & ~gap)
    pedicles = measure_pedicles(broken)
    assert "not joined by bone on the left" in pedicles[Side.LEFT].reason
    assert pedicles[Side.RIGHT].reason is None


def test_a_pedicle_at_the_image_border_is_unknown() -> None:
    anatomy = scanned(TubeVertebra())
    middle = int(anatomy.grid.to_voxel(anatomy.vert_from_lps.inverse.apply([0.0, 0.0, 5.0]))[2])
    part = (slice(None), slice(None), slice(0, middle))
    grid = Grid.from_affine(anatomy.mask[part].shape, anatomy.grid.lps_from_voxel.matrix)
    cut = Anatomy(Level.L1, grid, anatomy.mask[part], anatomy.body[part], anatomy.arch[part], anatomy.vert_from_lps)
    for pedicle in measure_pedicles(cut).values():
        assert "image border" in pedicle.reason


@pytest.mark.parametrize(
    ("tube", "reason"),
    [
        (Tube(convergence_deg=-13.0), "away from the midline"),
        (Tube(convergence_deg=-28.0), "end of the transverse angles"),
    ],
)
def test_a_direction_that_no_pedicle_has_is_unknown_and_the_other_side_is_not(tube: Tube, reason: str) -> None:
    pedicles = measure_pedicles(scanned(TubeVertebra(left=tube)))
    assert pedicles[Side.LEFT].isthmus_lps is None
    assert reason in pedicles[Side.LEFT].reason
    assert pedicles[Side.RIGHT].reason is None


def test_these_checks_can_fail() -> None:
    """Swapped sides, and a width read from a stretched grid, are seen by the checks above."""
    plain = measure_pedicles(scanned(UNLIKE))
    assert plain[Side.RIGHT].width_mm.value != pytest.approx(6.0, abs=0.5)
    anatomy = scanned(UNLIKE)
    stretched = replace(
        anatomy, grid=Grid.from_affine(anatomy.grid.shape, anatomy.grid.lps_from_voxel.matrix @ np.diag([1.2, 1, 1, 1]))
    )
    moved = replace(stretched, vert_from_lps=_about(stretched, anatomy))
    assert measure_pedicles(moved)[Side.RIGHT].width_mm.value != pytest.approx(9.0, abs=0.5)


def _about(stretched: Anatomy, anatomy: Anatomy) -> Transform:
    """Move the frame's origin to where the stretched grid has carried the body centre."""
    voxel = anatomy.grid.to_voxel(anatomy.vert_from_lps.origin)
    return Transform.from_axes(anatomy.vert_from_lps.axes, stretched.grid.to_lps(voxel), target="vert:L1", source=LPS)


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "labels", "subregions", "level", "width", "height"),
    [
        ("tptbox_l3", "vert.nii.gz", "subreg.nii.gz", "L3", (7.0, 14.0), (10.0, 18.0)),
        ("verse014", "vert.nii.gz", None, "L2", (6.0, 13.0), (11.0, 18.0)),
        ("cxr", "labels.nii.gz", None, "T5", (3.0, 8.0), (9.0, 15.0)),
    ],
)
def test_real_pedicles_have_the_size_of_their_level(
    data_dir: Path,
    folder: str,
    labels: str,
    subregions: str | None,
    level: str,
    width: tuple[float, float],
    height: tuple[float, float],
) -> None:
    """Published means plus and minus three SD or so (research/clinical.md section 4.3); both sides alike."""
    (anatomy,) = real_anatomies(data_dir / folder, labels, (level,), subregions)
    pedicles = measure_pedicles(anatomy)
    for side, pedicle in pedicles.items():
        assert pedicle.reason is None
        assert width[0] <= pedicle.width_mm.value <= width[1]
        assert height[0] <= pedicle.height_mm.value <= height[1]
        assert pedicle.isthmus_lps[0] * side.sign > pedicles[side.other].isthmus_lps[0] * side.sign
    assert abs(pedicles[Side.LEFT].width_mm.value - pedicles[Side.RIGHT].width_mm.value) < 2.5
