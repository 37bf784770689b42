"""``vertecast measure`` on real CTs: seconds and peak memory, warm compile cache."""

import sys
import tempfile
from pathlib import Path

from benchmarks.harness import DATA, cost_of, markdown

CASES = {
    "verse014, L1–L5, 1×1×2 mm": ("verse014/ct.nii.gz", "verse014/vert.nii.gz", "10 s, 2 GB"),
    "cxr, all levels, 512×512×133": ("cxr/ct.nii.gz", "cxr/labels.nii.gz", "60 s, 2 GB"),
}


def section() -> str:
    """Return the section of ``docs/benchmarks.md``."""
    if not DATA.is_dir():
        return "## Measuring\n\nThe real CTs are not on this machine.\n"
    rows = []
    for name, (ct, labels, target) in CASES.items():
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "vertecast", "measure", str(DATA / ct), "--labels", str(DATA / labels)]
            cost = cost_of([*command, "--out", str(Path(out) / "run"), "--quiet"])
        rows.append((name, f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{cost.peak_mib:.0f}", target))
    table = markdown(("case", "wall s", "CPU s", "peak MiB", "target"), rows)
    return f"## Measuring\n\nWhole command, start-up, reading and pictures included.\n\n{table}\n"
