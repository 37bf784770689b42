"""Planning one level (both sides, all approaches, robustness) on real labels: seconds and peak memory."""

import resource
import time

import numpy as np

from benchmarks.harness import DATA, markdown
from vertecast.core.levels import Level
from vertecast.devices.catalogue import catalogue
from vertecast.imaging.read import read_labels
from vertecast.imaging.volume import LabelMap
from vertecast.planning.site import make_site
from vertecast.planning.trajectory import Tool
from vertecast.planning.trajectory_plan import LevelAim, plan_level
from vertecast.planning.trajectory_rules import trajectory_rules
from vertecast.spine.measure import measure_spine

CASES = {"verse014/vert.nii.gz": (Level.L3, Level.L5)}


def section() -> str:
    """Return the section of ``docs/benchmarks.md``."""
    rows = []
    for name, levels in CASES.items():
        whole = read_labels(DATA / name)
        kept = np.isin(whole.labels, [whole.values[level] for level in levels])
        labels = LabelMap(
            np.where(kept, whole.labels, 0).astype(np.int16),
            whole.grid,
            {level: whole.values[level] for level in levels},
            whole.dialect,
        )
        spine = measure_spine(labels)
        rows += [_planned(name, level, spine) for level in levels]
    table = markdown(("case", "seconds", "CPU seconds", "peak MiB of the process", "result"), rows)
    return f"## Plan of one level\n\n{table}\n"


def _planned(name: str, level: Level, spine) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
    vertebra, rules = spine[level], trajectory_rules().values
    tube = catalogue().needles["11G"].values
    start, cpu = time.perf_counter(), time.process_time()
    site = make_site(vertebra.anatomy, vertebra.details.pedicles, vertebra.details.canal, rules)
    plan = plan_level(site, LevelAim(tool=Tool("11G", tube.radius, tube.length)), rules)
    seconds, used = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (f"{name} {level}", f"{seconds:.1f}", f"{used:.1f}", f"{peak:.0f}", plan.sentence)
