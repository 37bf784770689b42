"""Plans as 3D Slicer markups: one line for each needle, points for targets, in LPS millimetres."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.planning.trajectory import NeedlePath
from vertecast.planning.trajectory_plan import LevelPlan

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_BEST, _OTHER = [0.2, 0.8, 0.3], [0.9, 0.7, 0.2]


def plan_markups(plans: Iterable[LevelPlan]) -> dict[str, Any]:
    """Return ``plan.mrk.json``: the best plan of each level in green, the alternatives in amber, hidden."""
    markups: list[dict[str, Any]] = []
    for level in plans:
        for rank, plan in enumerate(level.plans):
            markups += [_line(f"{level.level} plan {rank + 1} {n.side}", n, best=rank == 0) for n in plan.needles]
    return {"@schema": SCHEMA, "markups": markups}


def _line(name: str, needle: NeedlePath, *, best: bool) -> dict[str, Any]:
    outer = needle.entry_lps if needle.skin_lps is None else needle.skin_lps
    points = [_point(1, "entry" if needle.skin_lps is None else "skin", outer), _point(2, "tip", needle.tip_lps)]
    return {
        "type": "Line",
        "name": name,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": True,
        "description": f"{needle.approach.value}, {needle.tool.name}, robustness {needle.robustness:.0%}",
        "controlPoints": points,
        "display": {
            "visibility": best,
            "color": _BEST if best else _OTHER,
            "selectedColor": _BEST if best else _OTHER,
            "lineThickness": 0.3,
        },
    }


def _point(number: int, label: str, at: NDArray[np.float64]) -> dict[str, Any]:
    return {"id": str(number), "label": label, "position": [float(v) for v in at], "positionStatus": "defined"}
