"""Proves: with a CT, endplates are found below the size of a voxel; without an edge they stay where the label is."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vertecast.core.levels import Level
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.spine.geometry import Settings, VertebraGeometry, measure_geometry
from vertecast.spine.heights import Place
from vertecast.spine.integrity import cut_pieces
from vertecast.spine.phantom.phantom import Phantom, make_phantom
from vertecast.spine.phantom.spec import Scan, default_spec

SETTINGS = Settings.shipped()


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    scan = Scan(spacing_mm=(1.0, 1.0, 1.0), tilt_deg=(2.0, 3.0, 1.0), width_mm=110.0)
    return make_phantom(default_spec(Level.L2, Level.L2, scan=scan), seed=5)


def measured(labels: LabelMap, volume: Volume | None) -> VertebraGeometry:
    piece = cut_pieces(labels, SETTINGS.integrity)[Level.L2]
    return measure_geometry(piece, np.array([0.0, 0.0, 1.0]), SETTINGS, volume)


def errors(phantom: Phantom, geometry: VertebraGeometry) -> NDArray[np.float64]:
    truth = phantom.truth.levels[Level.L2].heights_mm["mid"]
    return geometry.six.middle.heights - np.array([truth[place.value] for place in Place])


def grown(labels: LabelMap, voxels: int) -> LabelMap:
    """Return labels reaching so many slices farther up."""
    values = labels.labels.copy()
    for _ in range(voxels):
        values[:, :, 1:] = np.maximum(values[:, :, 1:], values[:, :, :-1])
    return replace(labels, labels=values)


def test_endplates_are_found_below_the_size_of_a_voxel(phantom: Phantom) -> None:
    assert np.abs(errors(phantom, measured(phantom.labels, phantom.volume))).max() < 0.3


@pytest.fixture(scope="module")
def thick() -> Phantom:
    scan = Scan(spacing_mm=(1.0, 1.0, 3.0), tilt_deg=(2.0, 3.0, 1.0), width_mm=110.0)
    return make_phantom(default_spec(Level.L2, Level.L2, scan=scan), seed=5)


def test_a_label_larger_than_the_bone_by_a_slice_is_brought_towards_it(thick: Phantom) -> None:
    labels = grown(thick.labels, 1)
    by_label, by_ct = errors(thick, measured(labels, None)), errors(thick, measured(labels, thick.volume))
    assert by_label.min() > 1.5
    assert (np.abs(by_ct) < 0.75 * by_label).all()


def test_the_ct_never_moves_an_endplate_farther_than_a_voxel(phantom: Phantom) -> None:
    labels = grown(phantom.labels, 4)
    by_label, by_ct = measured(labels, None), measured(labels, phantom.volume)
    moved = by_label.six.middle.heights - by_ct.six.middle.heights
    assert np.abs(moved).max() <= 2.0 * 1.1


def test_a_ct_without_an_edge_leaves_the_label(phantom: Phantom) -> None:
    noise = np.random.default_rng(1).normal(100.0, 10.0, phantom.volume.hu.shape).astype(np.float32)
    flat = replace(phantom.volume, hu=noise)
    by_label, by_ct = measured(phantom.labels, None), measured(phantom.labels, flat)
    assert by_ct.six.middle.heights == pytest.approx(by_label.six.middle.heights, abs=0.5)


def test_these_checks_can_fail(thick: Phantom) -> None:
    """A CT moved up against its labels takes the endplates along."""
    moved = replace(thick.volume, hu=np.roll(thick.volume.hu, 1, axis=2))
    here, there = measured(thick.labels, thick.volume), measured(thick.labels, moved)
    for row in range(2):
        z = [g.anatomy.vert_from_lps.inverse.apply(g.six.middle.points[row, 1])[2] for g in (here, there)]
        assert z[1] - z[0] > 0.4
