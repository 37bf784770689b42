"""Heights, wedge, depth, frame and split of vertebrae in closed form are found from their voxels, in any pose.

Truth is analytic (``simple_vertebra``), by docs/methods/heights.md, and never comes from the measuring code.
"""

from dataclasses import replace

import numpy as np
import pytest
from tests.spine.simple_vertebra import SimpleVertebra, column, rotation

from vertecast.core.errors import GeometryError
from vertecast.core.levels import Level
from vertecast.imaging.volume import LabelMap
from vertecast.spine.geometry import Settings, VertebraGeometry, measure_geometry
from vertecast.spine.integrity import cut_pieces
from vertecast.spine.orientation import canonical_labels

SETTINGS = Settings.shipped()
FINE = ((1.0, 1.0, 1.0), (0.7, 0.7, 0.7))


def measured(labels: LabelMap, axis: np.ndarray, level: Level = Level.L2) -> VertebraGeometry:
    piece = cut_pieces(canonical_labels(labels), SETTINGS.integrity)[level]
    return measure_geometry(piece, axis, SETTINGS)


def random_case(seed: int) -> tuple[SimpleVertebra, tuple[float, float, float]]:
    rng = np.random.default_rng(seed)
    shape = SimpleVertebra(
        half_width=rng.uniform(16, 25),
        half_depth=rng.uniform(13, 18),
        posterior=rng.uniform(10, 12.9),
        height=rng.uniform(20, 32),
        slope=rng.uniform(-0.07, 0.12),
        concavity=rng.uniform(0, 3.5),
    )
    return shape, (rng.uniform(-35, 35), rng.uniform(-15, 15), rng.uniform(-12, 12))


@pytest.fixture(scope="module", params=range(6))
def fine_case(request):
    shape, turn = random_case(request.param)
    labels = column({Level.L2: shape}, FINE[request.param % 2], turn=turn, seed=request.param)
    return shape, turn, measured(labels, rotation(turn) @ [0, 0, 1])


def test_heights_of_fine_voxels_are_within_half_a_millimetre(fine_case):
    shape, _, found = fine_case
    assert found.six.middle.heights == pytest.approx(shape.heights(), abs=0.5)


def test_intervals_hold_the_truth_and_are_narrow(fine_case):
    shape, _, found = fine_case
    assert (np.abs(found.six.middle.heights - shape.heights()) <= 1.96 * found.six.middle.deviations).all()
    assert np.median(2 * 1.96 * found.six.middle.deviations) <= 1.5 * found.anatomy.grid.spacing.max()


def test_wedge_is_within_a_degree_and_a_half_and_its_interval_holds_it(fine_case):
    shape, _, found = fine_case
    assert found.wedge.value == pytest.approx(shape.wedge_deg(), abs=1.5)
    assert found.wedge.low <= shape.wedge_deg() <= found.wedge.high


def test_frame_follows_the_pose(fine_case):
    _, turn, found = fine_case
    axes = rotation(turn).T
    cosines = (found.anatomy.vert_from_lps.axes * axes).sum(axis=1)
    assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).max() < 1.0
    assert found.lateral_wedge.value == pytest.approx(0.0, abs=1.5)


def test_size_of_the_body(fine_case):
    shape, _, found = fine_case
    assert found.six.depth == pytest.approx(shape.posterior + shape.half_depth, abs=1.2)
    assert found.six.width == pytest.approx(2 * shape.half_width, abs=1.2)


def test_body_and_arch_make_up_the_vertebra_and_the_canal_is_in_neither(fine_case):
    shape, _, found = fine_case
    anatomy = found.anatomy
    assert not (anatomy.body & anatomy.arch).any()
    assert ((anatomy.body | anatomy.arch) == anatomy.mask).all()
    y = anatomy.coordinates()[..., 1]
    depth = shape.posterior + shape.half_depth
    assert y[anatomy.body].max() - y[anatomy.body].min() < depth + 4.0
    assert y[anatomy.arch].max() > y[anatomy.body].max() + 15.0


def test_concavity_is_found_in_the_middle_segment():
    shape = SimpleVertebra(concavity=3.0, slope=0.0)
    found = measured(column({Level.L2: shape}), np.array([0, 0, 1.0]))
    for plate in found.depth_maps.values():
        # The rim is a ring of some width, so its plane lies a little inside the edge the dish is counted from.
        assert 1.9 < plate.deepest_mm.value < 3.1
        assert plate.segment in ("a2", "m", "p1")


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_thick_slices_are_flagged_and_within_their_intervals(seed):
    shape, turn = random_case(seed)
    labels = column({Level.L2: shape}, (1.0, 1.0, 3.0), turn=turn, seed=seed)
    found = measured(labels, rotation(turn) @ [0, 0, 1])
    assert "thick" in found.flags
    assert found.six.middle.heights == pytest.approx(shape.heights(), abs=1.5)
    assert np.median(2 * 1.96 * found.six.middle.deviations) <= 1.5 * 3.0


def test_a_lower_vertebra_measures_lower():
    """These checks can fail: a body 3 mm lower in front is 3 mm lower in front, and nowhere near the first one."""
    plain, wedged = (SimpleVertebra(height=27 - d, slope=0.03 + d / 28.0) for d in (0.0, 1.5))
    turn = (8.0, 3.0, 2.0)
    pair = [column({Level.L2: one}, turn=turn) for one in (plain, wedged)]
    first, second = (measured(labels, rotation(turn) @ [0, 0, 1]) for labels in pair)
    lost = first.six.middle.heights - second.six.middle.heights
    assert lost == pytest.approx(plain.heights() - wedged.heights(), abs=1.0)
    assert second.wedge.value - first.wedge.value == pytest.approx(wedged.wedge_deg() - plain.wedge_deg(), abs=1.5)
    assert second.six.middle.heights != pytest.approx(plain.heights(), abs=0.5)


def test_an_arch_alone_is_refused():
    shape = SimpleVertebra()
    labels = column({Level.L2: shape})
    points = labels.grid.to_lps(np.moveaxis(np.indices(labels.grid.shape), 0, -1))
    arch = np.where(points[..., 1] > shape.posterior + 3.0, labels.labels, 0).astype(np.int16)
    with pytest.raises(GeometryError, match=r"arch|body|fragment|columns"):
        measured(replace(labels, labels=arch), np.array([0, 0, 1.0]))


def test_a_handful_of_voxels_is_refused():
    labels = column({Level.L2: SimpleVertebra()})
    few = np.zeros_like(labels.labels)
    where = np.argwhere(labels.labels > 0)[:1]
    few[tuple(slice(a, a + 3) for a in where[0])] = 21
    with pytest.raises(GeometryError, match=r"voxels, 60 are needed"):
        measured(replace(labels, labels=few), np.array([0, 0, 1.0]))
