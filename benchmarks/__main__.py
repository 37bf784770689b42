"""Run every benchmark and write ``docs/benchmarks.md``: ``python -m benchmarks [name …]`` (no name: all)."""

import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from benchmarks.harness import machine

NAMES = ("measure", "plan", "solver", "strength_curve", "projector", "flow", "heat", "vertebroplasty", "balloon", "run")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


def main(names: list[str]) -> None:
    """Run the named benchmarks; with no name, run all and write the page."""
    sections = [import_module(f"benchmarks.{name}").section() for name in names or NAMES]
    head = f"# Benchmarks\n\nMeasured on {datetime.now(UTC):%Y-%m-%d} on {machine()} by `make bench`.\n"
    page = "\n".join([head, *sections])
    print(page)
    if not names:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
