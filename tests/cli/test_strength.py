"""Proves: ``vertecast strength`` writes its files and answers in JSON on a real CT, and refuses an absent level."""

import json

import jsonschema
import pytest
from typer.testing import CliRunner

from vertecast.cli import app
from vertecast.cli.info import read_schema, schema_names

RUNNER = CliRunner()


def call(data_dir, *more):
    folder = data_dir / "ts_example"
    return RUNNER.invoke(app, ["strength", str(folder / "ct.nii.gz"), "--labels", str(folder / "labels.nii.gz"), *more])


@pytest.mark.data
def test_files_and_json(data_dir, tmp_path):
    answer = call(data_dir, "--level", "L3", "--voxel-mm", "4", "--json", "--out", str(tmp_path / "run"))
    assert answer.exit_code == 0, answer.output
    content = json.loads((tmp_path / "run" / "strength.json").read_text())
    jsonschema.validate(content, read_schema("strength"))
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


def test_the_schema_is_published_valid_and_strict():
    assert "strength" in schema_names()
    schema = read_schema("strength")
    jsonschema.Draft202012Validator.check_schema(schema)
    with pytest.raises(jsonschema.ValidationError, match="'levels' is a required property"):
        jsonschema.validate({"schema": "vertecast/strength/1", "notice": ""}, schema)
    with pytest.raises(jsonschema.ValidationError, match="Additional properties are not allowed"):
        jsonschema.validate({"value": 1.0} | {"stiffness": 1.0}, schema["$defs"]["result"] | {"$defs": schema["$defs"]})


@pytest.mark.data
def test_own_discs_and_own_tissues(data_dir):
    answer = call(
        data_dir, "--level", "L3", "--voxel-mm", "4", "--support", "disc", "--calibration", "internal", "--json"
    )
    assert answer.exit_code == 0, answer.output
    content = json.loads(answer.stdout)
    jsonschema.validate(content, read_schema("strength"))
    found = content["levels"][0]
    assert found["calibrated"] is True
    assert found["calibration"].startswith("internal")
    assert not any("is assumed" in sentence for sentence in found["warnings"])  # both neighbours are labelled


@pytest.mark.data
def test_deep_crush_writes_its_ratios_and_maps(data_dir, tmp_path):
    choices = ("--voxel-mm", "2.4", "--post-yield", "crush", "--crush-percent", "4")
    answer = call(data_dir, "--level", "T12", *choices, "--out", str(tmp_path / "run"))
    assert answer.exit_code == 0, answer.output
    assert "4 % and loaded again" in " ".join(answer.output.split())
    content = json.loads((tmp_path / "run" / "strength.json").read_text())
    jsonschema.validate(content, read_schema("strength"))
    again = content["levels"][0]["crushed_again"]
    assert again["pressed_percent"] == pytest.approx(4.0)
    assert again["stiffness_ratio"] < 0.99
    fields = {one.name for one in (tmp_path / "run" / "fields" / "T12").iterdir()}
    assert {"compaction.nii.gz", "damage_alpha0.00.nii.gz", "plastic_strain_alpha0.00.nii.gz"} <= fields


def test_a_crush_too_deep_is_refused(data_dir):
    answer = call(data_dir, "--level", "T12", "--voxel-mm", "4", "--crush-percent", "60")
    assert answer.exit_code == 1
    assert "depth = 0.6 of the height is outside 0-0.4" in answer.output


@pytest.mark.data
def test_absent_level_is_refused_by_name(data_dir):
    answer = call(data_dir, "--level", "T4", "--json")
    assert answer.exit_code == 1
    assert "level T4 is not in the labels" in answer.output


def test_level_is_required():
    assert RUNNER.invoke(app, ["strength", "ct.nii.gz", "--labels", "x.nii.gz"]).exit_code == 2
