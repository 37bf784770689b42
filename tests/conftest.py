"""Shared fixtures: where the real CTs are. On a user's machine they are absent and those tests say so and skip."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real CTs, or skip with the reason."""
    if not DATA.is_dir():
        pytest.skip("real CTs (../shared/data) are not on this machine")
    return DATA
