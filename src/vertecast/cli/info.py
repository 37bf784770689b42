"""``vertecast info``: versions, what is installed, and the published schemas."""

import json
from typing import Annotated

import typer
from rich.table import Table

from vertecast.cli.answer import JsonFlag, QuietFlag, answering
from vertecast.core.errors import InputError
from vertecast.core.parameters import data_file
from vertecast.core.provenance import software_versions
from vertecast.pipeline.extras import EXTRAS, missing_extra


def info(
    schema: Annotated[
        str | None, typer.Option(help="Print the JSON Schema of a run-folder file, such as plan or spine.")
    ] = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show versions, installed extras and the schemas of the run folder.

    Example: vertecast info --schema spine
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        if schema is not None:
            print(json.dumps(read_schema(schema), indent=2))
            return
        versions = software_versions()
        extras = {name: missing_extra(name) is None for name in EXTRAS}
        table = Table("software", "version")
        for name, version in versions.items():
            table.add_row(name, version)
        for name, present in extras.items():
            table.add_row(f"extra [{name}]".replace("[", "\\["), "installed" if present else "not installed")
        notice = "Vertecast: research and education, not a medical device"
        answer.give({"versions": versions, "extras": extras, "schemas": schema_names()}, table, notice)


def schema_names() -> list[str]:
    """Return the names of the published schemas."""
    return sorted(
        f.name.removesuffix(".schema.json") for f in data_file("schema").iterdir() if f.name.endswith(".json")
    )


def read_schema(name: str) -> dict[str, object]:
    """Return one published JSON Schema."""
    if name not in schema_names():
        raise InputError(f"schema {name!r} does not exist; choose one of {', '.join(schema_names())}")
    return dict(json.loads(data_file(f"schema/{name}.schema.json").read_text(encoding="utf-8")))
