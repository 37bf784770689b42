"""Proves the demo: its patient is a whole record, its case is a kyphoplasty of L1 against the intact spine, it ends."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vertecast.cli import app
from vertecast.core.levels import Level
from vertecast.core.parameters import data_file
from vertecast.pipeline import demo
from vertecast.pipeline.phantom import CT, LABELS
from vertecast.planning.patient import load_patient


def test_its_patient_answers_what_the_rules_ask() -> None:
    patient = load_patient(Path(str(data_file("phantom/patient.toml"))))
    assert (patient.person.age_years, patient.person.weight_kg, patient.person.height_cm) == (76, 62, 161)
    assert len(patient.trials) == 2


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return a folder whose images are there already: they are made once."""
    for name in ("phantom", "fractured"):
        (tmp_path / name).mkdir()
        for file in (CT, LABELS, "manifest.json"):
            (tmp_path / name / file).write_bytes(b"")
    return tmp_path


def test_its_case_is_the_fractured_l1_with_the_intact_spine_as_reference(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(demo, "run_case", lambda case, out, observer, *, clock: given.extend((case, out)))
    demo.demo_case(made, voxel_mm=2.0)
    case, out = given
    assert out == made / "run"
    assert (case.levels, case.procedure, case.case_id, case.voxel_mm) == ((Level.L1,), "kyphoplasty", "demo", 2.0)
    assert case.prior_labels == made / "phantom" / LABELS
    assert case.ct == made / "fractured" / CT
    assert case.patient == made / "patient.toml"
    assert case.patient.read_bytes() == data_file("phantom/patient.toml").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["vertebroplasty", "kyphoplasty"])
def test_it_ends_by_printing_where_the_report_is(tmp_path: Path, procedure: str) -> None:
    call = ["demo", "--out", str(tmp_path / "demo"), "--procedure", procedure, "--voxel-mm", "2"]
    answer = CliRunner().invoke(app, call, env={"COLUMNS": "300"})
    assert answer.exit_code == 0, answer.output
    report = tmp_path / "demo" / "run" / "report.html"
    assert answer.stdout.splitlines()[-1] == f"Report: {report}"
    for name in (
        report.name,
        "patient.html",
        "walkthrough.mp4",
        "report.pdf",
        "outcome.json",
        "export/meshes/scene.glb",
    ):
        assert (report.parent / name).is_file()
