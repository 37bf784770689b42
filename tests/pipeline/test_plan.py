"""Proves ``indicate``, ``plan`` and ``patient`` from files to files, and that bad input ends in one clear sentence."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

from vertecast.cli import app
from vertecast.cli.info import read_schema
from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.imaging.read import read_labels
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.imaging.write import write_nifti
from vertecast.pipeline.needles import read_needles
from vertecast.pipeline.plan import PlannedLevel, session_document
from vertecast.planning.selector import Procedure
from vertecast.planning.trajectory import Approach, NeedlePath, Target, Tool
from vertecast.planning.trajectory_plan import Layout, LevelPlan, TrajectoryPlan
from vertecast.planning.views import level_views
from vertecast.spine.phantom.arch import arch_parts
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.levels import normal_shape

RUNNER = CliRunner()
VERSE_L2 = 21


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the labels of one analytic L2, number 21 of VerSe, with voxels of 1.2 mm."""
    shape, spacing = normal_shape(Level.L2), 1.2
    counts = (84, 92, 68)
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = (-50.0, -33.0, -40.0)
    grid = Grid.from_affine(counts, matrix)
    x, y, z = np.moveaxis(grid.to_lps(np.moveaxis(np.indices(counts), 0, -1)).astype(np.float32), -1, 0)
    parts = [Body(shape).part(), *arch_parts(shape)]
    bone = np.minimum.reduce([part.distance(x, y, z) for part in parts]) < 0
    path = tmp_path_factory.mktemp("case") / "labels.nii.gz"
    values = (bone * VERSE_L2).astype(np.int16)
    write_nifti(path, LabelMap(values, grid, {Level.L2: VERSE_L2}, "verse"))
    return path


@pytest.fixture(scope="module")
def run(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plan the case once and return its run folder."""
    out = tmp_path_factory.mktemp("run")
    patient = out / "patient.toml"
    patient.write_text('[cancer]\nin_spine = false\n[pain]\nscore_0_to_10 = 8\ntrend = "worse"\n')
    call = ["plan", "--labels", str(labels), "--dialect", "verse", "--level", "L2", "--patient", str(patient)]
    result = RUNNER.invoke(app, [*call, "--procedure", "vertebroplasty", "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    return out


def test_the_run_folder_holds_plan_indication_markups_pictures_and_manifest(run: Path) -> None:
    plan = json.loads((run / "plan.json").read_text())
    level = plan["levels"]["L2"]
    assert level["procedure"] == "vertebroplasty"
    assert level["plans"]
    assert all(gate["passed"] is not False for p in level["plans"] for n in p["needles"] for gate in n["gates"])
    assert level["volumes"]["cement_ml"]["value"] > 2.0
    assert {"true_ap", "true_lateral"} == set(level["views"])
    assert plan["session"]["accesses"] == len(level["plans"][0]["needles"])
    assert plan["care"]["anaesthesia"]["sources_disagree"] is True
    markups = json.loads((run / "plan.mrk.json").read_text())["markups"]
    assert markups[0]["controlPoints"][1]["position"] == level["plans"][0]["needles"][0]["tip_lps_mm"]
    assert (run / "pictures" / "plan_L2.png").stat().st_size > 20_000
    manifest = json.loads((run / "manifest.json").read_text())
    assert {o["file"] for o in manifest["outputs"]} >= {"plan.json", "indication.json", "plan.mrk.json"}
    assert {p["status"] for p in manifest["parameters"]} >= {"assumed", "reported"}
    assert manifest["seed"] == 0


@pytest.mark.parametrize("name", ["plan", "indication"])
def test_the_run_folder_follows_the_published_schemas(run: Path, name: str) -> None:
    schema = read_schema(name)
    content = json.loads((run / f"{name}.json").read_text())
    jsonschema.validate(content, schema)
    level = content["levels"]["L2"]
    for broken in (
        {**content, "extra": 1},
        {**content, "schema": "vertecast/plan/0"},
        {**content, "levels": {"waist": level}},
        {**content, "levels": {"L2": {k: v for k, v in level.items() if k != "level"}}},
        {**content, "levels": {}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


def test_the_schema_of_the_plan_holds_the_course_of_care_and_every_point_in_lps(run: Path) -> None:
    schema, content = read_schema("plan"), json.loads((run / "plan.json").read_text())
    without_stay = {k: v for k, v in content["care"].items() if k != "stay"}
    with pytest.raises(jsonschema.ValidationError, match="'stay' is a required property"):
        jsonschema.validate({**content, "care": without_stay}, schema)
    needle = content["levels"]["L2"]["plans"][0]["needles"][0]
    part = {"$ref": "#/$defs/needle", "$defs": schema["$defs"]}
    jsonschema.validate(needle, part)
    with pytest.raises(jsonschema.ValidationError, match="is too short"):
        jsonschema.validate({**needle, "tip_lps_mm": [1.0, 2.0]}, part)
    with pytest.raises(jsonschema.ValidationError, match="'outer_diameter_mm' is a required property"):
        jsonschema.validate({**needle, "tool": {"name": "11G", "length_mm": 150.0, "inner_diameter_mm": 2.4}}, part)


def needle(side: Side, tip: tuple[float, float, float]) -> NeedlePath:
    """A straight path from behind that ends at ``tip``."""
    end = np.array(tip)
    return NeedlePath(
        side=side, approach=Approach.TRANSPEDICULAR, target=Target.OWN_HALF, tool=Tool("11G", 1.5, 150.0),
        entry_lps=end + _BACK, tip_lps=end, target_lps=end, skin_lps=None, clearances={}, gates=(), terms=(),
        robustness=1.0, rotation_deg=0.0, tilt_deg=0.0,
    )  # fmt: skip


def planned(level: Level, needles: tuple[NeedlePath, ...], cement: float) -> PlannedLevel:
    best = (TrajectoryPlan(Layout.BILATERAL, needles, reaches_midline=True),) if needles else ()
    views = level_views(Transform(np.eye(4), f"vert:{level}", LPS))
    plan = LevelPlan(level=level, plans=best, refusals=(), views=views, tool=Tool("11G", 1.5, 150.0), warnings=())
    return PlannedLevel(plan, Procedure.VERTEBROPLASTY, {}, cement)


def test_several_levels_are_one_session() -> None:
    """Accesses, cement and minutes add up; the least gap is between the outer walls of two levels' needles."""
    left, right = needle(Side.LEFT, (10.0, 0.0, 0.0)), needle(Side.RIGHT, (-10.0, 0.0, 0.0))
    lower = needle(Side.LEFT, (12.0, 0.0, -34.0))
    levels = {
        Level.L1: planned(Level.L1, (left, right), 4.0),
        Level.L2: planned(Level.L2, (lower,), 3.5),
        Level.L3: planned(Level.L3, (), 0.0),
    }
    session = session_document(levels)["session"]
    assert (session["accesses"], session["cement_ml"], session["levels"]) == (3, 7.5, ["L1", "L2", "L3"])
    one = session_document({Level.L1: levels[Level.L1]})["session"]
    assert session["minutes"]["low"] == pytest.approx(3 * one["minutes"]["low"])
    assert one["nearest_needles"] is None
    assert session["nearest_needles"]["between"] == ["L1 left", "L2 left"]
    assert session["nearest_needles"]["gap_mm"] == pytest.approx(np.hypot(2.0, 34.0) - 3.0)


def test_fluoroscopy_reads_the_needles_of_the_plan(run: Path) -> None:
    needles = read_needles(run)
    planned = json.loads((run / "plan.json").read_text())["levels"]["L2"]["plans"][0]["needles"]
    assert [n.tip_lps.tolist() for n in needles] == [n["tip_lps_mm"] for n in planned]
    assert (needles[0].outer_radius, needles[0].inner_radius) == (3.05 / 2, 2.39 / 2)


def test_the_plan_says_what_it_aims_at_and_what_it_does_not_know(run: Path) -> None:
    level = json.loads((run / "plan.json").read_text())["levels"]["L2"]
    assert (level["target"]["kind"], level["target"]["focus_lps_mm"]) == ("endplate", None)
    assert any("great vessels" in limit for limit in level["limits"])
    assert all(n["clearances_mm"]["ahead_of_tip"] >= 4.0 for p in level["plans"] for n in p["needles"])


def test_the_indication_says_what_is_missing_and_uses_the_measurement(run: Path) -> None:
    level = json.loads((run / "indication.json").read_text())["levels"]["L2"]
    assert {v["pack"] for v in level["verdicts"]} >= {"nice-ta279", "of-score", "contraindications"}
    assert level["verdicts"][0]["state"] == "cannot decide"
    assert "mri_oedema" in {m["name"] for m in level["missing"]} | {"mri_oedema"}
    assert level["facts"]["nrs"] == 8.0
    assert level["selection"]["procedure"] is None


def test_patient_template_is_printed_and_checked(tmp_path: Path) -> None:
    text = RUNNER.invoke(app, ["patient", "--template"]).output
    path = tmp_path / "patient.toml"
    path.write_text(text)
    checked = RUNNER.invoke(app, ["patient", str(path), "--json"])
    assert (checked.exit_code, json.loads(checked.output)["valid"]) == (0, True)
    nothing = RUNNER.invoke(app, ["patient", "--json"])
    assert nothing.exit_code == 1
    assert "give --template, or a patient.toml" in json.loads(nothing.output)["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--level", "L9"], "level 'L9' is not a vertebra; use C1 to C7"),
        (["--level", "L4"], "level L4 is not in labels.nii.gz; present are L2"),
        (["--level", "L2", "--level", "L2"], "name one twice"),
        (["--level", "L2", "--needle", "9T", "--procedure", "vertebroplasty"], "device '9T' is not in the catalogue"),
        (["--level", "L2", "--target", "heart"], "target 'heart' is not one of auto, endplate, cleft"),
        (["--level", "L2", "--target", "cleft", "--procedure", "vertebroplasty"], "L2: no cleft to aim at (no CT was"),
        (["--level", "L2", "--procedure", "magic"], "procedure 'magic' is not one of vertebroplasty, kyphoplasty"),
    ],
)
def test_bad_calls_end_in_one_sentence(labels: Path, changes: list[str], message: str) -> None:
    result = RUNNER.invoke(app, ["plan", "--labels", str(labels), "--dialect", "verse", *changes, "--json"])
    assert result.exit_code == 1
    assert message in json.loads(result.output)["error"]["message"]


def test_a_bad_patient_file_is_refused_before_anything_is_measured(labels: Path, tmp_path: Path) -> None:
    patient = tmp_path / "patient.toml"
    patient.write_text("[pain]\nscore_0_to_10 = 80\n")
    call = ["plan", "--labels", str(labels), "--level", "L2", "--patient", str(patient), "--out", str(tmp_path / "run")]
    result = RUNNER.invoke(app, [*call, "--json"])
    assert result.exit_code == 1
    assert "pain.score_0_to_10 = 80 is not a possible value" in json.loads(result.output)["error"]["message"]
    assert not (tmp_path / "run").exists()


_BACK = np.array([0.0, 40.0, 0.0])
CLEFT = np.array([4.0, -5.0, 4.0])


@pytest.fixture(scope="module")
def with_cleft(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Plan the case on a CT that shows gas at a known place in the body."""
    whole = read_labels(labels, dialect="verse")
    points = whole.grid.to_lps(np.moveaxis(np.indices(whole.grid.shape), 0, -1))
    hu = np.where(whole.labels > 0, 160.0, 40.0) + np.random.default_rng(5).normal(0.0, 8.0, whole.grid.shape)
    hu[(((points - CLEFT) / [7.0, 5.0, 2.6]) ** 2).sum(axis=-1) < 1.0] = -500.0
    folder = tmp_path_factory.mktemp("cleft")
    write_nifti(folder / "ct.nii.gz", Volume(hu.astype(np.int16), whole.grid))
    call = ["plan", str(folder / "ct.nii.gz"), "--labels", str(labels), "--dialect", "verse", "--level", "L2"]
    result = RUNNER.invoke(app, [*call, "--procedure", "vertebroplasty", "--json"])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.output))


def test_a_measured_cleft_becomes_the_target(with_cleft: dict[str, Any], run: Path) -> None:
    level = with_cleft["levels"]["L2"]
    assert level["target"]["kind"] == "cleft"
    assert "the gas cleft of" in level["target"]["reason"]
    assert level["target"]["focus_lps_mm"] == pytest.approx(CLEFT, abs=0.7)
    to_midline = [n for p in level["plans"] for n in p["needles"] if n["target"] == "midline"]
    assert all(n["target_lps_mm"] == pytest.approx(CLEFT, abs=0.7) for n in to_midline)
    needles = level["plans"][0]["needles"]
    usual = json.loads((run / "plan.json").read_text())["levels"]["L2"]["plans"][0]["needles"]
    heights = [[n["target_lps_mm"][2] for n in some] for some in (needles, usual)]
    assert heights[0] == pytest.approx([CLEFT[2]] * len(needles), abs=0.7), "both needles aim at the cleft's height"
    assert abs(heights[1][0] - CLEFT[2]) > 0.7, "without it they aim elsewhere"
    jsonschema.validate(with_cleft, read_schema("plan"))


def test_with_a_ct_lung_and_skin_are_checked_or_it_is_said_why_not(with_cleft: dict[str, Any]) -> None:
    gates = {g["gate"]: g for g in with_cleft["levels"]["L2"]["plans"][0]["needles"][0]["gates"]}
    assert gates["lung"]["passed"] is True
    assert (gates["skin"]["passed"], gates["skin"]["note"]) == (None, "not checked: the image ends before the skin")


def test_a_vertebra_cut_by_the_border_is_refused(labels: Path, tmp_path: Path) -> None:
    """The image ends inside the body and the pedicles."""
    whole = read_labels(labels, dialect="verse")
    z = whole.grid.to_lps(np.moveaxis(np.indices(whole.grid.shape), 0, -1))[..., 2]
    kept = [int(np.flatnonzero(np.abs(z[0, 0] - level).argmin() == np.arange(z.shape[2]))[0]) for level in (-40.0, 6.0)]
    part = whole.labels[:, :, min(kept) : max(kept)]
    matrix = whole.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] = whole.grid.to_lps(np.array([[0, 0, min(kept)]]))[0]
    path = tmp_path / "cut.nii.gz"
    write_nifti(path, LabelMap(part, Grid.from_affine(part.shape, matrix), whole.values, "verse"))
    call = ["plan", "--labels", str(path), "--dialect", "verse", "--level", "L2", "--procedure", "vertebroplasty"]
    result = RUNNER.invoke(app, [*call, "--json"])
    assert result.exit_code == 1
    assert "L2 is cut by the image border" in json.loads(result.output)["error"]["message"]


def test_body_only_labels_are_refused(labels: Path, tmp_path: Path) -> None:
    whole = read_labels(labels, dialect="verse")
    points = whole.grid.to_lps(np.moveaxis(np.indices(whole.grid.shape), 0, -1))
    body = np.where(points[..., 1] < 12.0, whole.labels, 0).astype(np.int16)
    path = tmp_path / "body.nii.gz"
    write_nifti(path, LabelMap(body, whole.grid, whole.values, "verse"))
    call = ["plan", "--labels", str(path), "--dialect", "verse", "--level", "L2", "--procedure", "vertebroplasty"]
    result = RUNNER.invoke(app, [*call, "--json"])
    assert result.exit_code == 1
    error = json.loads(result.output)["error"]["message"]
    assert error.startswith("L2"), error
    assert any(
        word in error for word in ("body only", "canal was not found", "no path can be planned", "cannot be planned")
    )
