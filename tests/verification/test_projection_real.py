"""Radiographs of real CTs show what they must: bone contrast at endplates, the right side, the needle where it goes."""

from pathlib import Path

import numpy as np
import pytest
from tests.fluoro.bodies import SETTINGS

from vertecast.devices.carm import Pose, View
from vertecast.fluoro.body import Body
from vertecast.fluoro.radiograph import Options, radiograph
from vertecast.fluoro.scene import Scene, Tube
from vertecast.imaging.read import read_labels, read_volume


@pytest.mark.data
def test_endplates_stand_out_in_the_lateral_lumbar_view(data_dir: Path) -> None:
    volume = read_volume(data_dir / "verse014" / "ct.nii.gz")
    labels = read_labels(data_dir / "verse014" / "vert.nii.gz")
    mask = labels.mask(labels.levels[2])
    points = labels.grid.to_lps(np.argwhere(mask))
    body = Body(volume, SETTINGS.physics, SETTINGS.tissue)
    assert any("cut at the CT's faces L, R" in sentence for sentence in body.warnings)
    # The front of a vertebra is its body; its upper and lower ends there are the endplates.
    front = points[points[:, 1] < points[:, 1].min() + 25]
    high, low = np.percentile(front[:, 2], [98, 2])
    middle = np.array([front[:, 0].mean(), front[:, 1].mean(), (high + low) / 2])
    view = View(SETTINGS.carm.binned(512), Pose.tilted(middle, lao_deg=90.0))
    needle = Tube(middle, middle + np.array([0.0, 70.0, 0.0]), 1.6, 0.0, SETTINGS.physics.materials["steel_316l"])
    options = Options(marks=False)
    plain = radiograph(body, view, settings=SETTINGS, options=options)
    column, row = view.to_pixel(middle).round().astype(int)
    profile = plain.pixels[:, column - 6 : column + 7].astype(float).mean(axis=1)
    ends = [round(view.to_pixel([middle[0], middle[1], z])[1]) for z in (high, low)]
    inside = profile[row - 10 : row + 11].mean()
    for end in ends:
        assert profile[end - 8 : end + 9].min() < inside - 25  # a dark line, bone dark
    with_needle = radiograph(body, view, scene=Scene((needle,)), settings=SETTINGS, options=options)
    at = view.to_pixel(middle + np.array([0.0, 30.0, 0.0])).round().astype(int)
    change = np.log(np.maximum(plain.signal, 1)) - np.log(np.maximum(with_needle.signal, 1))
    assert np.median(change[at[1] - 1 : at[1] + 2, at[0] - 1 : at[0] + 2]) > 0.8
    assert abs(np.median(change[row + 60 : row + 120, column - 40 : column + 40])) < 0.05


@pytest.mark.data
def test_the_heart_lies_to_the_left_of_a_prone_chest(data_dir: Path) -> None:
    volume = read_volume(data_dir / "cxr" / "ct.nii.gz")
    body = Body(volume, SETTINGS.physics, SETTINGS.tissue)
    assert any("couch" in sentence for sentence in body.warnings)
    centre = volume.grid.to_lps((np.array(volume.grid.shape) - 1) / 2) + np.array([0.0, 20.0, 0.0])
    view = View(SETTINGS.carm.binned(128), Pose.tilted(centre))
    water, bone = body.paths(view)
    middle = int(view.to_pixel([6.0, 80.0, centre[2]])[0])  # the spine, seen in the labels
    reach = min(middle, 128 - middle) - 2
    rows = slice(50, 80)
    left_of_screen = (water + bone)[rows, middle - reach : middle].sum()
    right_of_screen = (water + bone)[rows, middle : middle + reach].sum()
    assert left_of_screen > 1.05 * right_of_screen
