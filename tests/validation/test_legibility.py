"""Endplates, pedicles, spinous processes of phantom and chest CT, tools in a lumbar CT: all stand out on the screen.

A structure's own contrast is projected from its label; the picture is regressed on it within its outline. 10 grey
levels of root mean square are seen without effort, and a contrast-to-noise ratio of 3 is Rose's lower border (A. Rose,
J. Opt. Soc. Am. 38 (1948) 196). What overlies a structure is not noise: it lowers the likeness instead.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from tests.fluoro.bodies import SETTINGS
from tests.fluoro.legibility import Pictures, parts_of, template

from vertecast.core.frames import Transform
from vertecast.core.levels import Level
from vertecast.devices.carm import Pose, View, true_ap, true_lateral
from vertecast.fluoro.body import Body
from vertecast.fluoro.radiograph import Options, radiograph
from vertecast.fluoro.scene import Scene, Tube, VoxelField
from vertecast.fluoro.surface import level_set_surface
from vertecast.imaging.grid import Grid
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.physics.attenuation import iodine_contrast, opacified
from vertecast.spine.phantom.phantom import make_phantom
from vertecast.spine.phantom.placement import world_from_patient
from vertecast.spine.phantom.spec import Scan, default_spec

CARM = SETTINGS.carm.binned(512)
SIGNAL, ROSE = 10.0, 3.0

# Frames of two vertebrae of the chest CT as ``vertecast measure`` gives them, so that they need not be measured here.
CHEST_FRAMES = {
    Level.T8: ([0.68, 77.05, -162.52], [[0.9983, 0.0522, 0.0252], [-0.0503, 0.9962, -0.0712]]),
    Level.T12: ([17.4, 50.99, -254.71], [[0.9857, 0.1313, 0.1053], [-0.0934, 0.9473, -0.3063]]),
}
CHEST_FIELD = (100.0, 160.0)


def chest_frame(level: Level) -> Transform:
    origin, (left, back) = CHEST_FRAMES[level]
    x = np.array(left) / np.linalg.norm(left)
    z = np.cross(x, back)
    z /= np.linalg.norm(z)
    return Transform.from_axes([x, np.cross(z, x), z], origin, target="vert", source="lps")


@pytest.fixture(scope="module")
def chest(data_dir: Path) -> tuple[Volume, LabelMap, Body]:
    volume = read_volume(data_dir / "cxr" / "ct.nii.gz")
    labels = matched_labels(read_labels(data_dir / "cxr" / "labels.nii.gz"), volume, name="labels")
    return volume, labels, Body(volume, SETTINGS.physics, SETTINGS.tissue)


def oblique(frame: Transform) -> Pose:
    straight = true_ap(frame)
    return Pose.tilted(straight.isocentre_lps, lao_deg=straight.lao_deg + 30, cranial_deg=straight.cranial_deg)


def test_phantom_endplates_pedicles_and_spinous_process_stand_out() -> None:
    phantom = make_phantom(default_spec(Level.T12, Level.L2, scan=Scan(spacing_mm=(1.5, 1.5, 1.5))), seed=3)
    body = Body(phantom.volume, SETTINGS.physics, SETTINGS.tissue)
    placed = next(one for one in phantom.placed if one.shape.level is Level.L1)
    lps_from_own = world_from_patient(phantom.spec).matrix @ placed.patient_from_own
    frame = Transform.from_axes(lps_from_own[:3, :3].T, lps_from_own[:3, 3], target="vert", source="lps")
    parts = parts_of(phantom.labels.mask(Level.L1), phantom.volume.grid, frame)
    for pose in (true_ap(frame), true_lateral(frame)):
        view = View(CARM, pose)
        pictures = Pictures(body, view, (110.0, 120.0))
        for name, part in parts.items():
            seen = pictures.legibility(template(phantom.volume, part, view))
            assert seen.signal > SIGNAL, (name, view.angles, seen)
            assert seen.contrast_to_noise > ROSE, (name, view.angles, seen)
            assert seen.clipped < 0.05, (name, view.angles, seen)


@pytest.mark.data
@pytest.mark.parametrize(
    ("level", "pose_of", "names"),
    [
        (Level.T12, true_ap, ("endplates", "pedicles", "spinous process")),
        (Level.T12, oblique, ("endplates", "spinous process")),
        (Level.T8, true_lateral, ("endplates",)),
        (Level.T8, oblique, ("pedicles",)),
    ],
)
def test_thoracic_bone_stands_out_in_the_chest_ct(
    chest: tuple[Volume, LabelMap, Body], level: Level, pose_of: object, names: tuple[str, ...]
) -> None:
    volume, labels, body = chest
    frame = chest_frame(level)
    view = View(CARM, pose_of(frame))  # type: ignore[operator]
    pictures = Pictures(body, view, CHEST_FIELD)
    parts = parts_of(labels.mask(level), volume.grid, frame)
    for name in names:
        seen = pictures.legibility(template(volume, parts[name], view))
        assert seen.signal > SIGNAL, (name, seen)
        assert seen.contrast_to_noise > ROSE, (name, seen)
        assert seen.clipped < 0.05, (name, seen)


@pytest.mark.data
def test_what_the_chest_ct_itself_does_not_show_is_known(chest: tuple[Volume, LabelMap, Body]) -> None:
    """T8 in AP lies behind the contrast-filled heart: the bare sum of the CT is hardly like its endplates either."""
    volume, labels, body = chest
    likeness = {}
    for level in (Level.T8, Level.T12):
        frame = chest_frame(level)
        view = View(CARM, true_ap(frame))
        part = template(volume, parts_of(labels.mask(level), volume.grid, frame)["endplates"], view)
        pictures = Pictures(body, view, CHEST_FIELD)
        likeness[level] = pictures.likeness_of_the_sum(part), pictures.legibility(part).likeness
    assert max(likeness[Level.T8]) < 0.25
    assert min(likeness[Level.T12]) > 0.4


@pytest.mark.data
def test_these_checks_can_fail(chest: tuple[Volume, LabelMap, Body]) -> None:
    """With a plain logarithm instead of the equalised bands the same bones fall below."""
    volume, labels, body = chest
    display = SETTINGS.display
    plain = replace(
        SETTINGS,
        display=replace(
            display, base=1.0, gains=tuple(1e3 for _ in display.gains), floors=tuple(1e3 for _ in display.floors)
        ),
    )
    frame = chest_frame(Level.T12)
    view = View(CARM, true_ap(frame))
    pictures = Pictures(body, view, CHEST_FIELD, plain)
    part = parts_of(labels.mask(Level.T12), volume.grid, frame)["endplates"]
    assert pictures.legibility(template(volume, part, view)).signal < SIGNAL


@pytest.mark.data
def test_needle_balloon_and_cement_are_black_and_in_place_in_a_lumbar_ct(data_dir: Path) -> None:
    volume = read_volume(data_dir / "verse014" / "ct.nii.gz")
    labels = read_labels(data_dir / "verse014" / "vert.nii.gz")
    points = labels.grid.to_lps(np.argwhere(labels.mask(Level.L2)))
    front = points[points[:, 1] < points[:, 1].min() + 25]
    middle = front.mean(axis=0)
    materials = SETTINGS.physics.materials
    side, back, back_and_up = np.array([[9.0, 0.0, 0.0], [0.0, 12.0, 0.0], [0.0, 90.0, 25.0]])
    left, right = middle + side, middle - side
    cement = opacified(materials["pmma"], materials["barium_sulfate"], 0.2)
    shapes = {
        "needle": (Tube(right + back, right + back_and_up, 1.6, 0.0, materials["steel_316l"]), None),
        "balloon": (level_set_surface(*_ball(left, 6.0, hollow=True), iodine_contrast(240.0, materials)), left),
        "cement": (VoxelField(*_ball(right, 6.0, hollow=False), cement), right),
    }
    body = Body(volume, SETTINGS.physics, SETTINGS.tissue)
    for lao in (0.0, 90.0):
        view = View(CARM, Pose.tilted(middle, lao_deg=lao))
        plain = radiograph(body, view, settings=SETTINGS, options=Options(marks=False))
        for name, (shape, place) in shapes.items():
            taken = radiograph(body, view, scene=Scene((shape,)), settings=SETTINGS, options=Options(marks=False))
            darker = np.log(np.maximum(plain.signal, 1)) - np.log(np.maximum(taken.signal, 1))
            inside = ndimage.binary_erosion(ndimage.gaussian_filter(darker, 1.0) > 0.5)
            assert inside.sum() > 30, (name, lao)
            assert taken.pixels[inside].mean() < 60, (name, lao)
            assert plain.pixels[inside].mean() > taken.pixels[inside].mean() + 40, (name, lao)
            if place is not None:
                rows, columns = np.nonzero(inside)
                seen = np.array([columns.mean(), rows.mean()])
                assert seen == pytest.approx(view.to_pixel(place), abs=0.7), (name, lao)


def _ball(centre: np.ndarray, radius: float, *, hollow: bool) -> tuple[np.ndarray, Grid]:
    """A ball on a grid of 0.5 mm: its distance, or what part of each voxel it fills."""
    count, step = 32, 0.5
    matrix = np.diag([step, step, step, 1.0])
    matrix[:3, 3] = centre - step * (count - 1) / 2
    grid = Grid.from_affine((count,) * 3, matrix)
    places = grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1)) - centre
    distance = np.linalg.norm(places, axis=-1) - radius
    return (distance if hollow else np.clip(0.5 - distance / step, 0.0, 1.0).astype(np.float32)), grid
