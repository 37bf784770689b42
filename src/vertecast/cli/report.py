"""``vertecast report``: the surgeon's report, the patient's pages and the film of a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from vertecast.cli.answer import JsonFlag, QuietFlag, answering


def report(
    folder: Annotated[Path, typer.Argument(help="Run folder of `vertecast run`, `plan`, `simulate` or `measure`.")],
    export: Annotated[
        bool,
        typer.Option("--export", help="Also write DIR/export: DICOM SEG, SR and PDF, FHIR, STL, glTF, Slicer, CSV."),
    ] = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write the surgeon's report (HTML with a 3-D view, PDF) and the patient's pages and film of a run folder.

    Example: vertecast report run
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.pipeline.report import report_case

        made = report_case(folder, answer.observer)
        said, lines = made.as_json(), [f"Report: {folder / name}" for name in made.files]
        if export:
            from vertecast.pipeline.export import export_case

            exported = export_case(folder, answer.observer)
            said["export"] = exported.as_json()
            lines += [f"Export: {folder / name}" for name in exported.files]
        answer.give(said, *lines)
