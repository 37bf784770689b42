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

SIZES = ("1.5", "1.0", "0.75")
VOLUME = 2000.0  # mm³ a side
LOST = (8.0, 8.0, 8.0)  # mm of height
LONGEST = 900  # s a size may take


def section() -> str:
    """Run all sizes and return the page's section."""
    rows = []
    _answer("3")  # the kernels are compiled once
    for size in SIZES:
        taken = _answer(size)
        if taken is None:
            rows.append((f"{size} mm", "", f"not done in {LONGEST} s", "", "", "", ""))
            continue
        rows.append(
            (
                f"{size} mm",
                f"{taken['cells'] / 1000:.0f} k",
                f"{taken['inflate_s']:.0f} s",
                f"{taken['deflate_s']:.0f} s",
                f"{taken['cpu_s']:.0f} s",
                f"{taken['increments']:.0f}",
                f"{taken['peak_mib']:.0f} MiB",
            )
        )
    head = ("voxel", "cells", "inflated", "deflated", "CPU, both", "increments", "peak memory")
    return (
        f"## Two balloons in one level with its discs\n\n{markdown(head, rows)}\n\n"
        f"{VOLUME / 1000:g} mL a side under the prone patient's load; asked for at 1 mm: 90 s and 2 GB.\n"
    )


def _answer(size: str) -> dict[str, float] | None:
    command = [sys.executable, "-m", "benchmarks.balloon", size]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return None
    return dict(json.loads(made.stdout))


def timed(voxel_mm: float) -> dict[str, float]:
    """Inflate and deflate in a level of simple shapes; seconds of wall clock, and of the processor for both."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.procedure.simple_site import needle, simple_site

    from vertecast.core.sides import Side
    from vertecast.kernels.cavity import WalkControl
    from vertecast.procedure.balloon import load_balloon
    from vertecast.procedure.deflate import deflate
    from vertecast.procedure.fractured import make_fractured
    from vertecast.procedure.inflate import Inflation, inflate
    from vertecast.procedure.lift import begin_lift, lie_down
    from vertecast.procedure.tools import place_tool

    site = simple_site(voxel_mm, 0.07, fractured=True)
    level = make_fractured(site, LOST, mapped=site.density.astype(float))
    settings, control = load_balloon().values, WalkControl(tolerance=3e-2, iterations=60)
    tools = tuple(place_tool("xpander-15/3", needle(side, tip=(9.0, -5.0, 1.0)), level, settings) for side in Side)
    lift = lie_down(begin_lift(level, tools, settings=settings), control=WalkControl(increments=2, tolerance=3e-2))
    start, work = time.perf_counter(), time.process_time()
    lift = inflate(lift, Inflation(volume=VOLUME, rules=frozenset()), control=control)
    inflated = time.perf_counter() - start
    start = time.perf_counter()
    lift = deflate(lift, control=control)
    return {
        "cells": float((level.tissue != 0).sum()),
        "inflate_s": inflated,
        "deflate_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - work,
        "increments": float(len(lift.curve)),
        "volume": min(lift.moments["inflated"].volumes(level.spacing)),
        "pressure_left": max(lift.state.pressures),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    for one in sys.argv[1:] or SIZES:
        print(json.dumps(timed(float(one))))
