"""``vertecast report``: the surgeon's report, the patient's pages and the film of a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from vertecast.cli.answer import JsonFlag, QuietFlag, answering


def report(
    folder: Annotated[Path, typer.Argument(help="Run folder of `vertecast run`, `plan`, `simulate` or `measure`.")],
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write the surgeon's report (HTML with a 3-D view, PDF) and the patient's pages and film of a run folder.

    Example: vertecast report run
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.pipeline.report import report_case

        made = report_case(folder, answer.observer)
        answer.give(made.as_json(), *(f"Report: {folder / name}" for name in made.files))
