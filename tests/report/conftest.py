"""A small run folder and its report, made once: the report's tests read them, none changes them."""

from pathlib import Path

import pytest
from tests.report.small_run import write_run

from vertecast.report.case_report import CaseReport, make_case_report
from vertecast.report.case_report_run import read_run_folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("report")
    return write_run(base / "run", base / "DOE_JANE_1950")


@pytest.fixture(scope="session")
def small_report(small_run: Path) -> CaseReport:
    return make_case_report(read_run_folder(small_run))
