"""The needles of a run folder's ``plan.json``, as shapes for the fluoroscope.

The least a plan must hold, for one level or for each entry of ``levels`` (a list, or an object by level)::

    {
        "level": "L1",
        "plans": [
            {
                "needles": [
                    {
                        "entry_lps_mm": [x, y, z],
                        "tip_lps_mm": [x, y, z],
                        "tool": {"outer_diameter_mm": 3.2, "inner_diameter_mm": 2.6, "length_mm": 120},
                    }
                ]
            }
        ],
    }

The first plan is the chosen one, or ``chosen`` where that is present. Without an inner diameter the needle is solid,
as a trocar with its stylet; without a length it reaches 100 mm back from its tip.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError
from vertecast.core.frames import read_only
from vertecast.fluoro.scene import Tube
from vertecast.physics.attenuation import Material

_BACK_MM = 100.0


@dataclass(frozen=True, eq=False)
class PlannedNeedle:
    """One straight needle of a plan.

    Parameters
    ----------
    level : as the plan names it
    entry_lps, tip_lps : (3,), mm
    outer_radius, inner_radius, length : mm
    """

    level: str
    entry_lps: NDArray[np.float64]
    tip_lps: NDArray[np.float64]
    outer_radius: float
    inner_radius: float
    length: float

    def tube(self, material: Material, withdrawn_mm: float = 0.0) -> Tube:
        """Return its shape, drawn back along its path by ``withdrawn_mm``."""
        back = (self.entry_lps - self.tip_lps) / np.linalg.norm(self.entry_lps - self.tip_lps)
        tip = self.tip_lps + back * withdrawn_mm
        return Tube(tip, tip + back * self.length, self.outer_radius, self.inner_radius, material)


def read_needles(folder: Path, level: str | None = None) -> tuple[PlannedNeedle, ...]:
    """Read the chosen plan's needles from ``folder/plan.json``, of one level or of all.

    Raises
    ------
    InputError
        If the file is missing, is no JSON, or holds no needle for the level.
    """
    path = folder / "plan.json" if folder.is_dir() else folder
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise InputError(f"{path} does not exist; give the folder that `vertecast plan` wrote") from exc
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} is not valid JSON ({exc}); run `vertecast plan` again") from exc
    needles = tuple(
        _needle(needle, name, path)
        for name, planned in _levels(content)
        for needle in _chosen(planned)
        if level is None or name == level
    )
    if not needles:
        wanted = f"for {level} " if level else ""
        raise InputError(f"{path} holds no needle {wanted}in its chosen plan; choose another level or plan again")
    return needles


def _levels(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(content, dict):
        return
    levels = content.get("levels")
    if isinstance(levels, dict):
        yield from ((str(name), one) for name, one in levels.items() if isinstance(one, dict))
    elif isinstance(levels, list):
        yield from ((str(one.get("level", "")), one) for one in levels if isinstance(one, dict))
    else:
        yield str(content.get("level", "")), content


def _chosen(planned: dict[str, Any]) -> list[Any]:
    plan = planned.get("chosen") or next(iter(planned.get("plans") or []), None)
    needles = plan.get("needles") if isinstance(plan, dict) else None
    return needles if isinstance(needles, list) else []


def _needle(entry: Any, level: str, path: Path) -> PlannedNeedle:
    try:
        tool = entry["tool"]
        outer = float(tool["outer_diameter_mm"]) / 2
        inner = float(tool.get("inner_diameter_mm") or 0.0) / 2
        length = float(tool.get("length_mm") or _BACK_MM)
        ends = [read_only(entry[key]) for key in ("entry_lps_mm", "tip_lps_mm")]
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise InputError(
            f"{path}: a needle of {level or 'the plan'} lacks entry_lps_mm, tip_lps_mm or tool.outer_diameter_mm "
            f"({exc!r}); plan again"
        ) from exc
    if any(end.shape != (3,) or not np.isfinite(end).all() for end in ends) or np.allclose(ends[0], ends[1]):
        raise InputError(f"{path}: entry and tip of a needle of {level} are not two points; plan again")
    return PlannedNeedle(level, ends[0], ends[1], outer, inner, length)
