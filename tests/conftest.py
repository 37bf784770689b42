"""Shared fixtures: where the real CTs are. On a user's machine they are absent and those tests say so and skip."""

import os
from collections.abc import Generator
from pathlib import Path

# Before numba and BLAS are loaded: threads that spin while they wait starve the tests beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real CTs, or skip with the reason."""
    if not DATA.is_dir():
        pytest.skip("real CTs (../shared/data) are not on this machine")
    return DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses the real CTs, so that it can be counted."""
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.data)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped data test into a failure where the data is there: a skip would hide it."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and DATA.is_dir() and item.get_closest_marker("data"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped although the data is here: {report.longrepr}"
    return report
