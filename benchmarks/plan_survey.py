"""Plans every level of the real CTs by the user's own command: gates, robustness and clearances, and the pictures.

``python -m benchmarks.plan_survey OUT [case ...]`` writes a run folder for each case and prints the table of
``docs/validation/planning.md``.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import DATA, markdown
from vertecast.core.levels import Level
from vertecast.pipeline.plan import PlanChoice, plan_case
from vertecast.pipeline.planning_inputs import PlanningCase
from vertecast.planning.selector import Procedure


@dataclass(frozen=True, slots=True)
class Case:
    """One data set and its levels."""

    labels: str
    levels: tuple[str, ...]
    ct: str = ""
    dialect: str = "auto"


CASES = {
    "verse014": Case("verse014/vert.nii.gz", ("L1", "L2", "L3", "L4", "L5"), "verse014/ct.nii.gz", "verse"),
    "ts_example": Case("ts_example/labels.nii.gz", ("L1", "L2", "L3", "L4", "L5"), "ts_example/ct.nii.gz", "totalseg"),
    "vcf_masks": Case("vcf_masks/vert.nii.gz", ("L2",), dialect="verse"),
    "cxr": Case("cxr/labels.nii.gz", ("T4", "T5", "T6", "T7", "T8", "T10", "T12", "L1"), "cxr/ct.nii.gz", "totalseg"),
}
HEADER = (
    "case",
    "level",
    "best plan",
    "gates held",
    "robust",
    "canal",
    "root",
    "wall",
    "ahead",
    "refused (mm missing)",
)


def survey(name: str, out: Path) -> list[tuple[str, ...]]:
    """Plan one case and return its rows."""
    case = CASES[name]
    document = plan_case(
        PlanningCase(
            labels=DATA / case.labels,
            ct=DATA / case.ct if case.ct else None,
            dialect=case.dialect,
            levels=tuple(Level[level] for level in case.levels),
        ),
        PlanChoice(procedure=Procedure.VERTEBROPLASTY),
        out / name,
    )
    return [row(name, level, one) for level, one in document["levels"].items()]


def row(name: str, level: str, planned: dict[str, Any]) -> tuple[str, ...]:
    """Return the row of one level."""
    refused = "; ".join(
        f"{r['side']} {r['approach'][:5]}. {r['target']}: {r['gates'][0]['gate']} {-r['gates'][0]['room_mm']:.1f}"
        for r in planned["refusals"]
    )
    if not planned["plans"]:
        return (name, level, "none", "", "", "", "", "", "", refused)
    best = planned["plans"][0]
    needles = best["needles"]
    gates = [gate for needle in needles for gate in needle["gates"]]
    held = f"{sum(g['passed'] is True for g in gates)} of {sum(g['passed'] is not None for g in gates)}"
    ways = f"{needles[0]['tool']['name']}, {best['layout']}: " + ", ".join(
        f"{n['side']} {n['approach']}" for n in needles
    )
    clear = [" / ".join(f"{n['clearances_mm'][k]:.1f}" for n in needles) for k in CLEARANCES]
    return (name, level, ways, held, f"{best['robustness']:.0%}", *clear, refused or "–")


CLEARANCES = ("canal", "nerve_root", "bone_wall", "ahead_of_tip")


def main() -> None:
    """Survey the cases named on the command line, or all."""
    out, names = Path(sys.argv[1]), sys.argv[2:] or list(CASES)
    print(markdown(HEADER, [line for name in names for line in survey(name, out)]))


if __name__ == "__main__":
    main()
