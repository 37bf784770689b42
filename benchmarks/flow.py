"""A 4 mL injection into a vertebra-sized body of uneven bone with a shell and an open vein, at 1.5, 1 and 0.75 mm.

Run: python -m benchmarks.flow [spacing …]
"""

import resource
import sys
import time

import numpy as np
from tests.verification.flow_bone import Body, scene, tip

from benchmarks.harness import markdown
from vertecast.kernels.flow import advance_flow, start_flow

VOLUME, RATE = 4000.0, 100.0
SPACINGS = (1.5, 1.0, 0.75)


def injected(spacing: float, body: Body, volume: float) -> tuple[float, float, int, int, int]:
    """Inject ``volume``; return wall and CPU seconds, pressure solves, iterations, cells."""
    made = scene(body, spacing)
    state, source, end = start_flow(made.system), tip(made, (2.0, -2.0, 0.0), RATE), volume / RATE
    wall, cpu, solves, iterations = time.perf_counter(), time.process_time(), 0, 0
    while state.time < end * (1 - 1e-12):
        state = advance_flow(made.system, state, [source], end - state.time)
        assert state.report is not None
        solves, iterations = solves + 1, iterations + state.report.iterations
    return time.perf_counter() - wall, time.process_time() - cpu, solves, iterations, made.body.size


def section(spacings: tuple[float, ...] = SPACINGS) -> str:
    """Return the section of ``docs/benchmarks.md``."""
    injected(1.5, Body(half_x=9, half_y=9, height=12), 100.0)
    rows, cells, seconds = [], [], []
    for spacing in spacings:
        wall, cpu, solves, iterations, size = injected(spacing, Body(), VOLUME)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cells.append(size)
        seconds.append(cpu)
        rows.append(
            (f"{spacing} mm", f"{size}", f"{wall:.1f}", f"{cpu:.1f}", f"{solves}", f"{iterations}", f"{peak:.0f}")
        )
    header = ("spacing", "cells", "wall s", "CPU s", "pressure solves", "iterations", "peak MiB of the process")
    power = ""
    if len(cells) > 1:
        power = f"\nCPU seconds grow as cells to the power {np.polyfit(np.log(cells), np.log(seconds), 1)[0]:.2f}.\n"
    target = "Target: 25 s at 1 mm on two cores, 1.5 GB, power about 4/3."
    return f"## Injecting 4 mL\n\n{target}\n\n{markdown(header, rows)}\n{power}"


if __name__ == "__main__":
    print(section(tuple(float(s) for s in sys.argv[1:]) or SPACINGS))
