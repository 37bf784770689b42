"""The run's own inputs, where they still are what the run read."""

from pathlib import Path

from vertecast.core.errors import InputError
from vertecast.report.case_report_run import RunFolder


def run_input(run: RunFolder, role: str) -> Path:
    """Return where the CT (``ct``) or the labels (``labels``) of a run are.

    Raises
    ------
    InputError
        If the run names none, or the file is gone or has changed since.
    """
    path, why = run.input_path(role)
    if path is None:
        raise InputError(f"{why}; run the case again with its {role} in place")
    return path
