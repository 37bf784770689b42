"""Proves: ``info`` answers in text and JSON, publishes the schemas, and refuses in a sentence with the right status."""

import json

import jsonschema
import pytest
from typer.testing import CliRunner

from vertecast.cli import app
from vertecast.cli.info import schema_names

run = CliRunner().invoke


def test_versions_and_extras() -> None:
    answer = json.loads(run(app, ["info", "--json"]).stdout)
    assert answer["versions"]["vertecast"]
    assert answer["extras"] == {"report": True, "dicom": True, "fhir": True}
    assert "not a medical device" in run(app, ["info"]).stdout


@pytest.mark.parametrize("name", schema_names())
def test_the_schemas_are_published_and_valid(name: str) -> None:
    schema = json.loads(run(app, ["info", "--schema", name]).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)


def test_an_unknown_schema_is_one_sentence_and_status_1() -> None:
    answer = run(app, ["info", "--schema", "brain"])
    assert answer.exit_code == 1
    assert "schema 'brain' does not exist; choose one of " in answer.stderr
    error = json.loads(run(app, ["info", "--schema", "brain", "--json"]).stdout)["error"]
    assert error["kind"] == "InputError"


def test_a_wrong_call_is_status_2() -> None:
    assert run(app, ["info", "--colour", "red"]).exit_code == 2
    assert run(app, ["no-such-command"]).exit_code == 2


def test_every_command_has_an_example_and_the_common_options() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        text = command.callback.__doc__ or ""
        assert f"Example: vertecast {command.callback.__name__}" in text
        shown = run(app, [command.callback.__name__, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
        assert "--json" in shown.stdout
        assert "--quiet" in shown.stdout
