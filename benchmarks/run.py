"""Time a whole ``vertecast run`` of one level at 1 mm, stage by stage, and again with another cement volume.

Run: python -m benchmarks.run [procedure …]; the case is verse014 with a fracture put into its L2.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import DATA, Cost, cost_of, markdown

TARGET_S = {"vertebroplasty": 180, "kyphoplasty": 300}
TARGET_MIB = 3 * 1024
COMMAND = (sys.executable, "-m", "vertecast")


def section() -> str:
    """Run both procedures and return the page's section."""
    return "## The whole run\n\n" + "\n".join(_procedure(name) for name in TARGET_S)


def _procedure(name: str) -> str:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        images = _fractured(folder)
        call = (*COMMAND, "run", *images, "--level", "L2", "--procedure", name, "--out", str(folder / "run"), "--quiet")
        first = cost_of(call)
        stages = _stages(folder / "run")
        again = cost_of((*call, "--cement-ml", "3"))
        kept = [one["name"] for one in _stages(folder / "run") if one["reused"]]
    rows = [(one["name"], f"{one['seconds']:.1f}", f"{one['peak_memory_mib']:.0f}") for one in stages]
    rows.append(("whole command", f"{first.wall_s:.1f}", f"{first.peak_mib:.0f}"))
    return "\n".join(
        (
            f"### One {name}, verse014 L2 fractured, 1 mm\n",
            markdown(("stage", "wall s", "peak MiB"), rows),
            f"\n{_verdict(name, first)} Again with 3 mL: {again.wall_s:.1f} s, not done again: {', '.join(kept)}.\n",
        )
    )


def _verdict(name: str, cost: Cost) -> str:
    held = cost.wall_s <= TARGET_S[name] and cost.peak_mib <= TARGET_MIB
    asked = f"{TARGET_S[name]} s and {TARGET_MIB} MiB asked"
    return f"{cost.cpu_s:.0f} CPU s; {asked}: {'held' if held else 'missed'}."


def _fractured(folder: Path) -> tuple[str, ...]:
    """Put the fracture into L2 once and return the images' options."""
    home, broken = DATA / "verse014", folder / "fractured"
    labels = str(home / "vert.nii.gz")
    given = ("fracture", str(home / "ct.nii.gz"), "--labels", labels, "--level", "L2", "--anterior", "30")
    cost_of((*COMMAND, *given, "--out", str(broken), "--quiet"))
    return (str(broken / "ct.nii.gz"), "--labels", str(broken / "labels.nii.gz"))


def _stages(run: Path) -> list[dict[str, Any]]:
    return list(json.loads((run / "manifest.json").read_text())["run"]["stages"])


if __name__ == "__main__":
    for procedure in sys.argv[1:] or TARGET_S:
        print(_procedure(procedure))
