"""``vertecast patient``: a template of the patient record, or a check of one."""

from pathlib import Path
from typing import Annotated

import typer

from vertecast.cli.answer import JsonFlag, QuietFlag, answering


def patient(
    record: Annotated[Path | None, typer.Argument(help="A patient.toml to check.")] = None,
    template: Annotated[bool, typer.Option("--template", help="Print a commented record to fill in.")] = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Print a commented patient record, or check one.

    Example: vertecast patient --template > patient.toml
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.core.errors import InputError
        from vertecast.planning.patient import load_patient, patient_template

        if template:
            text = patient_template()
            if as_json:
                answer.give({"template": text})
            else:
                typer.echo(text, nl=False)
        elif record is None:
            raise InputError("give --template, or a patient.toml to check")
        else:
            load_patient(record)
            answer.give({"record": str(record), "valid": True}, f"{record} is a valid patient record")
