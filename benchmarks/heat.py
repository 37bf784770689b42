"""Fifteen minutes of cure: cost against cells, with all doses, in a body of trabecular bone."""

import time

import numpy as np

from benchmarks.harness import markdown
from vertecast.physics.exotherm import CementInPlace, advance_exotherm, load_exotherm, start_exotherm, surround_site
from vertecast.physics.thermal import Medium

SIDE_MM, VOLUME_ML, SHARE, MINUTES = 64.0, 6.0, 0.7, 15.0
SPACINGS = (1.5, 1.0, 0.75)


def section() -> str:
    """Return the section of ``docs/benchmarks.md``."""
    rows, costs = [], []
    for h in SPACINGS:
        cure(h, minutes=0.05)
        wall, cpu = time.perf_counter(), time.process_time()
        cells, steps, passes, peak = cure(h, minutes=MINUTES)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        costs.append((cells, cpu))
        rows.append(
            (f"{h:g}", f"{cells / 1e6:.2f}", str(steps), str(passes), f"{cpu:.1f}", f"{wall:.1f}", f"{peak:.1f}")
        )
    (few, little), (many, much) = costs[0], costs[-1]
    power = np.log(much / little) / np.log(many / few)
    header = ("voxel, mm", "cells, million", "steps", "passes", "CPU s", "wall s", "peak, °C")
    return (
        f"## Cure and heat\n\n{VOLUME_ML:g} mL of cement in bone, {MINUTES:g} min, site {SIDE_MM:g} mm wide, 25 mm of "
        f"surroundings, adaptive steps with their error checked; target at 1 mm: 15 s on 2 cores.\n\n"
        f"{markdown(header, rows)}\n\nCost grows as cells to the power {power:.2f}.\n"
    )


def cure(h: float, minutes: float) -> tuple[int, int, int, float]:
    """Cure a ball of cement; return cells, steps, passes over them and the peak in degC."""
    laws = load_exotherm()
    count = round(SIDE_MM / h)
    shape = (count, count, count)
    place = (np.arange(count) - (count - 1) / 2) * h
    distance = np.sqrt(place[:, None, None] ** 2 + place[:, None] ** 2 + place**2)
    radius = (3 * VOLUME_ML * 1000 / SHARE / (4 * np.pi)) ** (1 / 3)
    cement = SHARE * np.clip((radius - distance) / h + 0.5, 0, 1)
    grid = surround_site(shape, (h, h, h), laws)
    start = start_exotherm(grid, laws, temperature=np.where(cement > SHARE / 2, 298.15, 310.15))
    site = CementInPlace(grid, np.full(shape, Medium.TRABECULAR), cement)
    run = advance_exotherm(site, start, 60 * minutes, laws)
    return start.wide.size, run.report.steps, run.report.stages, float(run.state.peak.max()) - 273.15


if __name__ == "__main__":
    print(section())
