"""``vertecast report``: the surgeon's report of a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from vertecast.cli.answer import JsonFlag, QuietFlag, answering


def report(
    folder: Annotated[Path, typer.Argument(help="Run folder of `vertecast run`, `plan`, `simulate` or `measure`.")],
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write report.html (with an interactive 3-D view, offline) and report.pdf from what a run folder holds.

    Example: vertecast report run
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.pipeline.report import report_case

        made = report_case(folder, answer.observer)
        answer.give(made.as_json(), *(f"Report: {folder / name}" for name in made.files))
