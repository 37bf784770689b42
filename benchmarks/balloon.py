"""Time two balloons inflated and let go in one level with its discs at 1.5, 1 and 0.75 mm, each in its own process.

Run: python -m benchmarks.balloon [voxel_mm …]
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import markdown
from vertecast.core.observer import SilentObserver

SIZES = ("1.5", "1.0", "0.75")
VOLUME = 2000.0  # mm³ a side
LOST = (8.0, 8.0, 8.0)  # mm of height
LONGEST = 600.0  # s of the processor that the inflation of a size may take: then it ends where it is, and that is said


def section() -> str:
    """Run all sizes and return the page's section."""
    _answer("3")  # the kernels are compiled once
    rows = [_row(size, _answer(size)) for size in SIZES]
    head = ("voxel", "cells", "inflated", "to", "deflated", "CPU, both", "increments", "peak memory")
    return (
        f"## Two balloons in one level with its discs\n\n{markdown(head, rows)}\n\n"
        f"{VOLUME / 1000:g} mL a side under the prone patient's load; asked for at 1 mm: 90 s and 2 GB. "
        f"An inflation that has taken {LONGEST:g} s of the processor ends where it is and is not let go.\n"
    )


def _row(size: str, taken: dict[str, float]) -> tuple[str, ...]:
    whole = taken["deflate_s"] > 0
    return (
        f"{size} mm",
        f"{taken['cells'] / 1000:.0f} k",
        f"{taken['inflate_s']:.0f} s",
        f"{taken['volume'] / 1000:.2f} mL",
        f"{taken['deflate_s']:.0f} s" if whole else "not done",
        f"{taken['cpu_s']:.0f} s",
        f"{taken['increments']:.0f}",
        f"{taken['peak_mib']:.0f} MiB",
    )


def _answer(size: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.balloon", size]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(made.stdout))


class _Deadline(SilentObserver):
    """Cancels when the processor has worked long enough."""

    def __init__(self) -> None:
        self.end = time.process_time() + LONGEST

    def cancelled(self) -> bool:
        return time.process_time() > self.end


def timed(voxel_mm: float) -> dict[str, float]:
    """Inflate and deflate in a level of simple shapes; seconds of wall clock, and of the processor for both."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.procedure.simple_site import needle, simple_site

    from vertecast.core.sides import Side
    from vertecast.procedure.balloon import load_balloon
    from vertecast.procedure.deflate import deflate
    from vertecast.procedure.fractured import make_fractured
    from vertecast.procedure.inflate import Inflation, inflate
    from vertecast.procedure.lift import begin_lift, lie_down
    from vertecast.procedure.tools import place_tool

    site = simple_site(voxel_mm, 0.07, fractured=True)
    level = make_fractured(site, LOST, mapped=site.density.astype(float))
    settings = load_balloon().values
    tools = tuple(place_tool("xpander-15/3", needle(side, tip=(9.0, -5.0, 1.0)), level, settings) for side in Side)
    lift = lie_down(begin_lift(level, tools, settings=settings))
    start, work, deadline = time.perf_counter(), time.process_time(), _Deadline()
    lift = inflate(lift, Inflation(volume=VOLUME, rules=frozenset()), observer=deadline)
    inflated, deflated = time.perf_counter() - start, 0.0
    if not deadline.cancelled():
        start = time.perf_counter()
        lift = deflate(lift)
        deflated = time.perf_counter() - start
    return {
        "cells": float((level.tissue != 0).sum()),
        "inflate_s": inflated,
        "deflate_s": deflated,
        "cpu_s": time.process_time() - work,
        "increments": float(len(lift.curve)),
        "volume": min(lift.moments["inflated"].volumes(level.spacing)),
        "pressure_left": max(lift.state.pressures),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    for one in sys.argv[1:] or SIZES:
        print(json.dumps(timed(float(one))))
