"""Proves: ``vertecast strength`` writes its files and answers in JSON on a real CT, and refuses an absent level."""

import json

import pytest
from typer.testing import CliRunner

from vertecast.cli import app

RUNNER = CliRunner()


def call(data_dir, *more):
    folder = data_dir / "ts_example"
    return RUNNER.invoke(app, ["strength", str(folder / "ct.nii.gz"), "--labels", str(folder / "labels.nii.gz"), *more])


@pytest.mark.data
def test_files_and_json(data_dir, tmp_path):
    answer = call(data_dir, "--level", "L3", "--voxel-mm", "4", "--json", "--out", str(tmp_path / "run"))
    assert answer.exit_code == 0, answer.output
    content = json.loads((tmp_path / "run" / "strength.json").read_text())
    found = content["levels"][0]
    assert found["level"] == "L3"
    assert found["calibrated"] is False
    for one in found["results"]:
        assert 500 < one["strength_maximum_n"]["value"] < 10000
        assert one["energy_gap_percent"] < 2
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    written = {one["file"] for one in manifest["outputs"]}
    assert {"strength.json", "pictures/strength_L3.png", "fields/L3/plastic_strain_alpha0.00.nii.gz"} <= written
    assert all((tmp_path / "run" / name).is_file() for name in written)
    assert any("uncalibrated" in sentence for sentence in manifest["warnings"])


@pytest.mark.data
def test_absent_level_is_refused_by_name(data_dir):
    answer = call(data_dir, "--level", "T4", "--json")
    assert answer.exit_code == 1
    assert "level T4 is not in the labels" in answer.output


def test_level_is_required():
    assert RUNNER.invoke(app, ["strength", "ct.nii.gz", "--labels", "x.nii.gz"]).exit_code == 2
