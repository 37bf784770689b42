"""Time one injection of 4 mL and 15 minutes of its cure at 1.5, 1 and 0.75 mm, each in a process of its own.

Run: python -m benchmarks.vertebroplasty [voxel_mm …]
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import markdown

SIZES = ("1.5", "1.0", "0.75")
VOLUME = 4000.0  # mm³


def section() -> str:
    """Run all sizes and return the page's section."""
    rows = []
    _answer("2.5")  # the kernels are compiled once
    for size in SIZES:
        taken = _answer(size)
        rows.append(
            (
                f"{size} mm",
                f"{taken['cells'] / 1000:.0f} k",
                f"{taken['inject_s']:.1f} s",
                f"{taken['cure_s']:.1f} s",
                f"{taken['peak_mib']:.0f} MiB",
            )
        )
    head = ("voxel", "open cells", "4 mL injected", "15 min cured", "peak memory")
    return f"## Vertebroplasty of one level\n\n{markdown(head, rows)}\n"


def _answer(size: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.vertebroplasty", size]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(made.stdout))


def timed(voxel_mm: float) -> dict[str, float]:
    """Inject and cure one level of simple shapes; seconds of wall clock."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.procedure.simple_site import before, cement, needle, settings, simple_bed, simple_site

    from vertecast.core.levels import Level
    from vertecast.core.sides import Side
    from vertecast.procedure.access import access, mix
    from vertecast.procedure.cure import cure, load_cure
    from vertecast.procedure.inject import Injection, inject

    bed, product = simple_bed(simple_site(voxel_mm)), cement()
    state = mix(access(before(bed), Level.L1, needle()), product, 296.15)
    start, work = time.perf_counter(), time.process_time()
    job = Injection(level=Level.L1, side=Side.LEFT, volume=VOLUME, rules=frozenset())
    state = inject(state, job, product, settings())
    injected, inject_cpu = time.perf_counter() - start, time.process_time() - work
    start, work = time.perf_counter(), time.process_time()
    cure(state, Level.L1, product, load_cure().values)
    return {
        "cells": float((bed.porosity > 0).sum()),
        "inject_s": injected,
        "inject_cpu_s": inject_cpu,
        "cure_s": time.perf_counter() - start,
        "cure_cpu_s": time.process_time() - work,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    for one in sys.argv[1:] or SIZES:
        print(json.dumps(timed(float(one))))
