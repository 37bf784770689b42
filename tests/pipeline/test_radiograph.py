"""The radiograph command: plans are read, views are aimed, files are written, wrong calls are said in a sentence."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from tests.fluoro.bodies import water_block
from typer.testing import CliRunner

from vertecast.cli import app
from vertecast.core.errors import InputError
from vertecast.imaging.write import write_nifti
from vertecast.pipeline.needles import read_needles

TOOL = {"outer_diameter_mm": 3.2, "inner_diameter_mm": 2.6, "length_mm": 90.0}
NEEDLE = {"entry_lps_mm": [18.0, 40.0, 6.0], "tip_lps_mm": [4.0, 0.0, 0.0], "tool": TOOL}
PLAN = {"level": "L1", "plans": [{"needles": [NEEDLE]}, {"needles": [NEEDLE, NEEDLE]}]}


@pytest.fixture
def case(tmp_path: Path) -> tuple[Path, Path]:
    ct = write_nifti(tmp_path / "ct.nii.gz", water_block((48, 44, 48), 2.5))
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "plan.json").write_text(json.dumps(PLAN))
    return ct, tmp_path / "plan"


def call(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["radiograph", *map(str, words)])
    return result.exit_code, result.output


def test_picture_geometry_xa_and_manifest_are_written(case: tuple[Path, Path], tmp_path: Path) -> None:
    ct, plan = case
    out = tmp_path / "out"
    code, answer = call(
        ct, "--plan", plan, "--lao", 20, "--cranial", 10, "--columns", 128, "--dicom", "--json", "--out", out
    )
    assert code == 0, answer
    content = json.loads(answer[answer.index("{") :])
    assert content["console"] == "LAO 20 CRA 10"
    assert content["positioner_primary_angle_deg"] == pytest.approx(160)
    assert content["isocentre_lps_mm"] == pytest.approx([4, 0, 0])
    assert (out / "radiograph.png").read_bytes().startswith(b"\x89PNG")
    assert float(pydicom.dcmread(out / "radiograph.dcm").PositionerSecondaryAngle) == pytest.approx(10)
    manifest = json.loads((out / "manifest.json").read_text())
    assert {one["file"] for one in manifest["outputs"]} == {
        "manifest.json",
        "radiograph.dcm",
        "radiograph.json",
        "radiograph.png",
    }
    assert any(one["name"] == "source_detector" for one in manifest["parameters"])


def test_bulls_eye_looks_down_the_planned_needle(case: tuple[Path, Path], tmp_path: Path) -> None:
    ct, plan = case
    code, answer = call(
        ct, "--plan", plan, "--view", "bullseye", "--columns", 64, "--json", "--quiet", "--out", tmp_path / "eye"
    )
    assert code == 0, answer
    content = json.loads(answer[answer.index("{") :])
    away = np.subtract(NEEDLE["entry_lps_mm"], NEEDLE["tip_lps_mm"])
    lao = 180 - content["positioner_primary_angle_deg"]
    assert lao == pytest.approx(np.degrees(np.arctan2(away[0], away[1])), abs=1e-3)


def test_shutters_close_to_the_field_and_lower_the_dose(case: tuple[Path, Path], tmp_path: Path) -> None:
    from PIL import Image

    products = []
    for words in ((), ("--field", "60x90")):
        out = tmp_path / f"field{len(words)}"
        code, answer = call(case[0], "--columns", 128, *words, "--json", "--quiet", "--out", out)
        assert code == 0, answer
        content = json.loads(answer[answer.index("{") :])
        products.append(content["dap_mgy_cm2"]["value"] / content["air_kerma_mgy"]["value"])
    with Image.open(out / "radiograph.png") as picture:
        grey = np.asarray(picture)
    seen = 60 * 1020 / 620 / 300 * 128  # pixels of the field's width
    lit = np.flatnonzero((grey[50:60] > 0).all(axis=0))
    assert lit[-1] - lit[0] + 1 == pytest.approx(seen, abs=2)
    height = 90 * 1020 / 620 / 300
    assert products[1] / products[0] == pytest.approx(seen / 128 * height, rel=0.03)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--view", "sideways"], "--view is ap, lateral or bullseye"),
        (["--view", "bullseye"], "give the plan with --plan"),
        (["--lao", 170], "is beyond the gantry"),
        (["--isocentre", "1,2"], "give x,y,z in mm"),
        (["--isocentre", "900,0,0"], "is outside the CT"),
        (["--field", "100"], "give width x height in mm"),
        (["--field", "wide"], "--field is width x height in mm"),
        (["--field", "0x100"], "is empty; give a positive width"),
        (["--level", "L1"], "give them with --labels"),
        (["--plan", "nowhere"], "does not exist"),
        (["--kvp", 300], "outside the table"),
    ],
)
def test_wrong_calls_are_said(case: tuple[Path, Path], tmp_path: Path, words: list[object], sentence: str) -> None:
    code, answer = call(case[0], "--columns", 64, "--out", tmp_path / "bad", *words)
    assert code == 1
    assert sentence in answer.replace("\n", " ")


@pytest.mark.parametrize(
    "content",
    [
        PLAN,
        {"levels": [PLAN]},
        {"levels": {"L1": {"plans": PLAN["plans"]}}},
        {"levels": {"L1": {"chosen": {"needles": [NEEDLE]}, "plans": []}}},
    ],
)
def test_needles_are_read_from_each_documented_form(tmp_path: Path, content: dict[str, object]) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(content))
    (needle,) = read_needles(tmp_path, "L1")
    assert (needle.outer_radius, needle.inner_radius, needle.length) == pytest.approx((1.6, 1.3, 90.0))
    assert needle.tip_lps == pytest.approx(NEEDLE["tip_lps_mm"])
    back = needle.entry_lps - needle.tip_lps
    from tests.fluoro.bodies import MATERIALS

    withdrawn = needle.tube(MATERIALS["steel_316l"], 10.0)
    assert withdrawn.start_lps == pytest.approx(needle.tip_lps + 10 * back / np.linalg.norm(back))
    with pytest.raises(InputError, match="no needle for L4"):
        read_needles(tmp_path, "L4")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not valid JSON"),
        ("{}", "holds no needle"),
        (json.dumps({"plans": [{"needles": [{"tool": TOOL}]}]}), "lacks entry_lps_mm"),
        (json.dumps({"plans": [{"needles": [{**NEEDLE, "tip_lps_mm": [18, 40, 6]}]}]}), "are not two points"),
    ],
)
def test_plans_that_hold_nothing_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_needles(tmp_path)


def test_a_film_shows_the_needle_going_in(case: tuple[Path, Path], tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    from tests.fluoro.bodies import MATERIALS, SETTINGS, view_at

    from vertecast.fluoro.body import Body
    from vertecast.fluoro.scene import Scene
    from vertecast.report.fluoro_film import FilmCase, film_frames, write_film

    (needle,) = read_needles(case[1])
    body = Body(water_block(), SETTINGS.physics, SETTINGS.tissue)
    views = (view_at(128), view_at(128, lao_deg=90.0))
    film = FilmCase(
        body=body,
        views=views,
        scene_at=lambda part: Scene((needle.tube(MATERIALS["steel_316l"], 60 * (1 - part)),)),
        seconds=0.8,
    )
    frames = film_frames(film, SETTINGS)
    assert len(frames) == 6
    seen = views[1].to_pixel(0.8 * needle.tip_lps + 0.2 * needle.entry_lps).round().astype(int)
    column = frames[0].shape[1] - 128 + seen[0]  # the lateral stands on the right
    assert int(frames[0][seen[1], column]) > int(frames[-1][seen[1], column]) + 40
    path = write_film(tmp_path / "film.mp4", frames, SETTINGS.exposure.pulse_rate)
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == frames[0].shape[::-1]
    reader.close()
    with pytest.raises(InputError, match="at least one frame"):
        write_film(tmp_path / "empty.mp4", [], 7.5)
