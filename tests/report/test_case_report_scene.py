"""The 3-D scene: surfaces of the right size and side, numbers that survive their packing, stills a surgeon can read."""

import base64
import gzip
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.report.small_run import FIRST_S, LAST_S, cement_mask

from vertecast.imaging.grid import Grid
from vertecast.report.case_report import CaseReport
from vertecast.report.scene3d import Look, filling_mesh, scene_pictures
from vertecast.report.view3d import Scene3D, make_scene
from vertecast.report.view3d_data import NEVER, STEP_MM, scene_json
from vertecast.report.view3d_meshes import mask_mesh


@pytest.fixture(scope="module")
def scene(small_report: CaseReport) -> Scene3D:
    made = make_scene(small_report.run)
    assert made is not None
    return made


def unpacked(text: str, dtype: str) -> NDArray[np.generic]:
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), dtype)


@pytest.mark.parametrize("matrix", [np.eye(4), np.diag([-1.0, 1, 1, 1]), np.diag([0.5, -0.5, 0.5, 1])])
def test_a_ball_keeps_its_volume_and_faces_outwards(matrix: NDArray[np.float64]) -> None:
    spacing = abs(matrix[0, 0])
    size = int(40 / spacing)
    places = (np.indices((size,) * 3) - size / 2) * spacing
    ball = (places**2).sum(axis=0) < 15.0**2
    mesh = mask_mesh(ball, Grid.from_affine(ball.shape, matrix), triangles=2000)
    assert mesh is not None
    assert len(mesh.faces) <= 2100
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 15.0**3, rel=0.03)
    centre = matrix[:3, :3] @ np.full(3, size / 2)
    assert np.abs(mesh.points_lps.mean(axis=0) - centre).max() < 0.6


def test_an_empty_mask_has_no_surface() -> None:
    empty = np.zeros((5, 5, 5), bool)
    assert mask_mesh(empty, Grid.from_affine(empty.shape, np.eye(4)), triangles=100) is None


def test_a_mask_at_the_border_is_closed() -> None:
    full = np.ones((12, 12, 12), bool)
    mesh = mask_mesh(full, Grid.from_affine(full.shape, np.eye(4)), triangles=4000)
    assert mesh is not None
    assert mesh.volume == pytest.approx(12.0**3, rel=0.1)


def test_the_scene_of_a_run(scene: Scene3D) -> None:
    assert [(bone.name, bone.kind) for bone in scene.bones][:3] == [
        ("L1", "neighbour"),
        ("L2", "target"),
        ("L3", "neighbour"),
    ]
    assert scene.bones[3].kind == "canal"
    assert scene.span_s == (296.0, LAST_S + 5.0)
    (needle,) = scene.needles
    assert (needle.from_s, needle.until_s) == (0.0, LAST_S + 1.0)
    assert np.linalg.norm(needle.outer_lps - needle.tip_lps) == pytest.approx(125.0)
    assert [second for second, _ in scene.captions] == sorted(second for second, _ in scene.captions)
    assert scene.progress[-1] == (LAST_S, 2.5)


def test_cement_lies_on_its_side_and_grows(scene: Scene3D) -> None:
    (cement,) = scene.fillings
    assert filling_mesh(cement, FIRST_S - 1.0) is None
    volumes = []
    for second in (FIRST_S + 40.0, FIRST_S + 50.0, LAST_S):
        mesh = filling_mesh(cement, second)
        assert mesh is not None
        volumes.append(mesh.volume)
        assert mesh.points_lps.mean(axis=0) == pytest.approx([7.0, 0.0, 0.0], abs=0.5)
    assert volumes == sorted(volumes)
    assert volumes[-1] == pytest.approx(float(cement_mask().sum()), rel=0.25)


def test_packing_keeps_places_and_times(scene: Scene3D) -> None:
    packed = json.loads(scene_json(scene))
    bone, kept = scene.bones[1], packed["bones"][1]
    points = unpacked(kept["points"], "<i2").reshape(-1, 3) * STEP_MM + scene.centre_lps
    assert np.abs(points - bone.mesh.points_lps).max() <= STEP_MM
    assert (unpacked(kept["faces"], "<u4" if kept["wide"] else "<u2").reshape(-1, 3) == bone.mesh.faces).all()
    filling, cement = packed["fillings"][0], scene.fillings[0]
    codes = unpacked(filling["arrival"], "u1").reshape(filling["shape"], order="F")
    never = codes == NEVER
    assert (never == ~np.isfinite(cement.arrival_s)).all()
    seconds = filling["first_s"] + codes[~never] * filling["step_s"]
    assert np.abs(seconds - cement.arrival_s[~never]).max() <= filling["step_s"]
    matrix = np.array(filling["matrix"])
    centre = np.argwhere(cement.amount > 0).mean(axis=0)
    assert matrix[:, :3] @ centre + matrix[:, 3] + scene.centre_lps == pytest.approx([7.0, 0.0, 0.0], abs=0.3)


def test_packing_is_the_same_each_time(scene: Scene3D) -> None:
    assert scene_json(scene) == scene_json(scene)


def warm_column(pixels: NDArray[np.uint8]) -> float:
    """Mean column, as a share of the width, of cement's orange."""
    red, green, blue = (pixels[..., k].astype(int) for k in range(3))
    columns = np.nonzero((red > 150) & (red - blue > 90) & (red - green > 50))[1]
    assert len(columns) > 50
    return float(columns.mean() / pixels.shape[1])


def test_stills_show_left_where_it_belongs(scene: Scene3D) -> None:
    looks = (Look("from in front", 0.0, -1.0, 0.0), Look("from behind", 0.0, 1.0, 0.0))
    front, back = scene_pictures(scene, looks, pixels=300)
    assert warm_column(front) > 0.52  # the patient's left is the viewer's right
    assert warm_column(back) < 0.48
    assert (front[0, 0] == 255).all()
    before = scene_pictures(scene, looks[:1], second=FIRST_S - 1.0, pixels=300)[0]
    with pytest.raises(AssertionError):
        warm_column(before)
