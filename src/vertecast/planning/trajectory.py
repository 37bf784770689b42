"""Straight paths into the body: a tool, a bundle of candidate lines, and what a finished path is."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.sides import Side


class Approach(Enum):
    """How the needle enters the body."""

    TRANSPEDICULAR = "transpedicular"
    EXTRAPEDICULAR = "extrapedicular"


class Gate(Enum):
    """What a path must never do; the first part of each text says where it fails."""

    ISTHMUS = "the pedicle's isthmus is too narrow for the tube and its margins"
    PEDICLE = "the tube with its margin leaves the pedicle (Gertzbein A is asked for)"
    CORTEX = "the tube with its margin leaves the body through its cortex or the opposite wall"
    ANTERIOR = "the tip comes too near to the anterior cortex, before which the great vessels lie"
    ENDPLATE = "the tube comes too near to an endplate or disc"
    CANAL = "the tube comes too near to the canal"
    ROOT = "the tube comes too near to a nerve root's corridor"
    MEDIAL = "the tip passes the medial pedicle wall before it passes the posterior wall"
    NEIGHBOUR = "the tube hits another vertebra"
    LUNG = "the tube comes too near to the lung"
    ENTRY = "the path does not enter the bone where this approach should"
    SKIN = "the skin cannot be reached within the needle's length"


class Target(Enum):
    """Which point of the body the tip should reach."""

    MIDLINE = "midline"
    OWN_HALF = "own half"


@dataclass(frozen=True, slots=True)
class Tool:
    """What goes in: the outer radius, the usable length and the lumen's radius, mm; 0 when it is solid or not known."""

    name: str
    radius: float
    length: float
    lumen_radius: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        return {
            "name": self.name,
            "outer_diameter_mm": 2 * self.radius,
            "inner_diameter_mm": 2 * self.lumen_radius or None,
            "length_mm": self.length,
        }

    def __post_init__(self) -> None:
        if self.radius <= 0 or self.length <= 0:
            raise GeometryError(f"tool {self.name}: radius {self.radius} and length {self.length} mm must be above 0")


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Candidate paths in a side frame.

    Parameters
    ----------
    tip : (n, 3), mm
    forward : (n, 3), unit, from the skin to the tip
    """

    tip: NDArray[np.float64]
    forward: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.tip)

    def points(self, back: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, m, 3), mm: the points ``back`` mm behind the tip."""
        return np.asarray(self.tip[:, None, :] - back[None, :, None] * self.forward[:, None, :])

    def chosen(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> "Lines":
        """Return some of the lines."""
        return Lines(self.tip[which], self.forward[which])

    @classmethod
    def through(cls, point: NDArray[np.float64], tip: NDArray[np.float64]) -> "Lines":
        """Make the lines that pass ``point`` (n, 3) and end at ``tip`` (n, 3)."""
        away = tip - point
        return cls(tip, away / np.linalg.norm(away, axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the score: a length or an angle, its weight, and what it adds."""

    name: str
    value: float
    unit: str
    weight: float

    @property
    def cost(self) -> float:
        """What the term adds to the score, mm."""
        return self.weight * self.value

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        return {"name": self.name, "value": self.value, "unit": self.unit, "weight": self.weight, "cost": self.cost}


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate of one path: room beyond what is asked, mm; negative means refused, ``None`` not checked."""

    gate: Gate
    room: float | None
    reason: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether it holds; ``None`` when it could not be checked."""
        return None if self.room is None else self.room >= 0

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        return {"gate": self.gate.name.lower(), "passed": self.passed, "room_mm": self.room, "note": self.reason}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NeedlePath:
    """One judged path, in LPS mm.

    Parameters
    ----------
    entry_lps, tip_lps : where the tube enters bone, and its tip
    skin_lps : where it passes the skin; ``None`` when the image does not show it
    clearances : mm between the tube and canal, roots, and the nearest outside of the bone; bone left ahead of the tip
    robustness : share of the perturbed paths that pass every gate
    rotation_deg, tilt_deg : the bull's-eye view, see :mod:`vertecast.planning.views`
    """

    side: Side
    approach: Approach
    target: Target
    tool: Tool
    entry_lps: NDArray[np.float64]
    tip_lps: NDArray[np.float64]
    target_lps: NDArray[np.float64]
    skin_lps: NDArray[np.float64] | None
    clearances: dict[str, float]
    gates: tuple[GateResult, ...]
    terms: tuple[Term, ...]
    robustness: float
    rotation_deg: float
    tilt_deg: float

    @property
    def safe(self) -> bool:
        """Whether no gate refuses it; what could not be checked is listed in ``gates``."""
        return all(gate.passed is not False for gate in self.gates)

    @property
    def score(self) -> float:
        """Sum of the terms, mm; less is better."""
        return sum(term.cost for term in self.terms)

    @property
    def forward_lps(self) -> NDArray[np.float64]:
        """(3,), unit, from the entry to the tip."""
        away = self.tip_lps - self.entry_lps
        return np.asarray(away / np.linalg.norm(away))

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        return {
            "side": self.side.value,
            "approach": self.approach.value,
            "target": self.target.value,
            "tool": self.tool.as_json(),
            "entry_lps_mm": self.entry_lps.tolist(),
            "tip_lps_mm": self.tip_lps.tolist(),
            "target_lps_mm": self.target_lps.tolist(),
            "skin_lps_mm": None if self.skin_lps is None else self.skin_lps.tolist(),
            "path_in_bone_mm": float(np.linalg.norm(self.tip_lps - self.entry_lps)),
            "clearances_mm": self.clearances,
            "gates": [gate.as_json() for gate in self.gates],
            "score": {"total": self.score, "terms": [term.as_json() for term in self.terms]},
            "robustness": self.robustness,
            "bulls_eye": {"rotation_deg": self.rotation_deg, "tilt_deg": self.tilt_deg},
        }
