"""A lift moves the bones as the displacement fields say: each point where it lies, the bones above as one piece."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from tests.report.small_run import GRID, LEVEL, SHAPE, places_lps

from vertecast.core.errors import InputError
from vertecast.imaging.write import write_nifti
from vertecast.report.case_report_run import RunFolder, read_run_folder
from vertecast.report.lifted import level_lift, motions
from vertecast.report.scene3d import _surfaces
from vertecast.report.view3d import make_scene
from vertecast.report.view3d_meshes import Mesh

FULL_S, LET_GO_S = 120.0, 130.0
TURN = 0.05  # rad


def motion_lps(points: np.ndarray) -> np.ndarray:
    """L2 rises by up to 3 mm towards its upper face; above 12 mm all turns by ``TURN`` about x and rises by 3 mm."""
    _, y, z = np.moveaxis(points, -1, 0)
    up = 3.0 * np.clip((z + 10.0) / 20.0, 0.0, 1.0)
    zero = np.zeros_like(up)
    turned = z > 12.0
    back = np.where(turned, y * (np.cos(TURN) - 1) - (z - 12) * np.sin(TURN), 0.0)
    high = np.where(turned, 3.0 + y * np.sin(TURN) + (z - 12) * (np.cos(TURN) - 1), up)
    return np.stack([zero, back, high], axis=-1)


def lifted_run(small_run: Path, run: Path, *, keyframes: bool) -> RunFolder:
    shutil.copytree(small_run, run)
    fields = run / "fields" / LEVEL
    whole = motion_lps(places_lps())
    # The vertebra's axes are LPS here, while the array's axes run to the right, anterior and superior.
    for moment, share in (("inflated", 1.0), ("deflated", 0.5)):
        for k, axis in enumerate("xyz"):
            write_nifti(fields / f"displacement_{axis}_{moment}_mm.nii.gz", (share * whole[..., k]).astype("f4"), GRID)
    if keyframes:
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ GRID.lps_from_voxel.matrix
        for number, share in enumerate((0.0, 1.0, 0.5)):
            nibabel.save(
                nibabel.Nifti1Image((share * whole).astype("f4"), affine), fields / f"displacement_{number:02d}.nii.gz"
            )
        listed = [
            {"file": f"displacement_{n:02d}.nii.gz", "t_s": t, "moment": m}
            for n, (t, m) in enumerate(((100.0, "prone"), (FULL_S, "inflated"), (LET_GO_S, "deflated")))
        ]
        (fields / "displacement_keyframes.json").write_text(json.dumps(listed), encoding="utf-8")
    events = [
        {"seq": 200 + k, "t_s": t, "level": LEVEL, "side": "left", "kind": kind, "data": {}}
        for k, (t, kind) in enumerate(((100.0, "balloon_placed"), (FULL_S, "inflation"), (LET_GO_S, "deflation")))
    ]
    with (run / "events.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(one) + "\n" for one in events))
    return read_run_folder(run)


@pytest.mark.parametrize("keyframes", [False, True])
def test_points_follow_the_field_in_time(small_run: Path, tmp_path: Path, keyframes: bool) -> None:
    lift = level_lift(lifted_run(small_run, tmp_path / "run", keyframes=keyframes), LEVEL)
    assert lift is not None
    points = np.array([[5.0, 3.0, 9.0], [-6.0, -4.0, 0.0], [0.0, 0.0, -9.0]])
    mesh = Mesh(points, np.array([[0, 1, 2]]))
    motion = motions((lift,), {LEVEL: mesh})[LEVEL]
    expected = motion_lps(points)
    for second, share in ((0.0, 0.0), (100.0, 0.0), (110.0, 0.5), (FULL_S, 1.0), (125.0, 0.75), (1e9, 0.5)):
        np.testing.assert_allclose(motion.moved(mesh, second).points_lps - points, share * expected, atol=2e-3)


def test_the_bones_above_move_as_one_piece_and_those_below_stay(small_run: Path, tmp_path: Path) -> None:
    lift = level_lift(lifted_run(small_run, tmp_path / "run", keyframes=False), LEVEL)
    assert lift is not None
    rng = np.random.default_rng(0)
    near = Mesh(rng.uniform([-14, -11, 20], [14, 11, 40], (200, 3)), np.empty((0, 3), int))
    far = Mesh(np.add(near.points_lps, (0.0, 0.0, 60.0)), near.faces)  # beyond the field
    moved = motions((lift,), {"T12": far, "L1": near, "L3": near, "spinal canal": near})
    assert set(moved) == {"T12", "L1"}
    for name, mesh in (("L1", near), ("T12", far)):
        now = moved[name].moved(mesh, FULL_S).points_lps
        np.testing.assert_allclose(now - mesh.points_lps, motion_lps(mesh.points_lps), atol=0.02)


def test_the_scene_lifts_its_bones_and_without_fields_nothing_moves(small_run: Path, tmp_path: Path) -> None:
    still = make_scene(read_run_folder(small_run))
    moving = make_scene(lifted_run(small_run, tmp_path / "run", keyframes=False))
    assert still is not None
    assert moving is not None
    assert all(bone.motion is None for bone in still.bones)
    tops = {
        second: max(mesh.points_lps[:, 2].max() for mesh, kind in _surfaces(moving, second) if kind == "target")
        for second in (0.0, FULL_S, np.inf)
    }
    assert tops[FULL_S] - tops[0.0] == pytest.approx(3.0, abs=0.2)
    assert tops[np.inf] - tops[0.0] == pytest.approx(1.5, abs=0.1)


def test_damaged_fields_are_refused(small_run: Path, tmp_path: Path) -> None:
    run = lifted_run(small_run, tmp_path / "run", keyframes=True)
    fields = run.path / "fields" / LEVEL
    nibabel.save(nibabel.Nifti1Image(np.zeros((*SHAPE, 2), "f4"), np.eye(4)), fields / "displacement_01.nii.gz")
    with pytest.raises(InputError, match="has 2 components at each voxel, not 3; simulate again"):
        level_lift(run, LEVEL)
    (fields / "displacement_01.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot be read"):
        level_lift(run, LEVEL)
