"""The figures of a run that people compare: one row each, by level, from the documents of its folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError

DOCUMENTS = ("plan", "simulation", "outcome")
_GAINED = ("anterior", "middle")
Documents = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one level.

    Parameters
    ----------
    name, unit : unit as in UCUM's print form; empty for words
    value : a number, words, or None when it is not known
    digits : after the point
    """

    name: str
    unit: str
    value: float | str | None
    digits: int = 1

    @property
    def label(self) -> str:
        """Name and unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    @property
    def shown(self) -> str:
        """The value as it is printed; a dash for what is not known."""
        if self.value is None:
            return "–"
        if isinstance(self.value, str):
            return self.value
        return f"{round(self.value, self.digits) + 0.0:.{self.digits}f}"  # no minus before a zero


def read_documents(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the documents of a run folder; one that is not there is empty.

    Raises
    ------
    InputError
        If the folder holds no plan, or a damaged document.
    """
    if not (folder / "plan.json").is_file():
        raise InputError(f"{folder} holds no plan.json; give a folder of `vertecast run` or `vertecast plan --out`")
    found = {}
    for name in (*DOCUMENTS, "manifest"):
        path = folder / f"{name}.json"
        try:
            found[name] = dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
        except (json.JSONDecodeError, UnicodeDecodeError, ValueError) as exc:
            raise InputError(f"{path} is not valid JSON ({exc}); run the command that wrote it again") from exc
    return found


def level_figures(documents: Documents, level: str) -> list[Figure]:
    """Return what was planned, done and came of one level; a stage that was not done has no figures."""
    plan, done, outcome = ((documents[name].get("levels") or {}).get(level, {}) for name in DOCUMENTS)
    figures = _planned(plan)
    if done:
        figures += _done(done)
    if outcome:
        figures += _came_of_it(outcome)
    elif done:
        figures += _risen(done)
    return figures


def _planned(plan: Mapping[str, Any]) -> list[Figure]:
    best = next(iter(plan.get("plans") or []), None)
    needles = [f"{one['side']} {one['approach']}" for one in best["needles"]] if best else ["no safe path"]
    volumes = plan.get("volumes") or {}
    return [
        Figure("procedure", "", str(plan.get("procedure", "–")).replace("_", " ")),
        Figure("needles", "", "\n".join(needles)),
        Figure("robustness of the path", "%", 100 * best["robustness"] if best else None, 0),
        Figure("cement planned", "mL", _value(volumes.get("cement_ml"))),
    ]


def _done(done: Mapping[str, Any]) -> list[Figure]:
    heat = done.get("heat") or {}
    return [
        Figure("cement injected", "mL", sum(done.get("injected_ml", {}).values())),
        Figure("leaked", "mL", sum(done.get("leaked_ml", {}).values()), 2),
        Figure("body filled", "%", done.get("fill_of_body_percent"), 0),
        Figure("syringe pressure", "bar", done.get("peak_syringe_pressure_bar")),
        Figure("hottest cement", "°C", heat.get("cement_peak_degc"), 0),
        Figure("hottest at the canal", "°C", heat.get("canal_peak_degc")),
    ]


def _risen(done: Mapping[str, Any]) -> list[Figure]:
    """Return how far the endplates came apart, where no assessment tells the heights."""
    figures = []
    moments = (done.get("lift") or {}).get("moments") or {}
    for name, moment in (("inflated", "inflated"), ("let go", "deflated")):
        if moment in moments:
            figures.append(Figure(f"endplates apart, {name}", "mm", moments[moment]["rise_mm"]["middle"]))
    return figures


def _came_of_it(outcome: Mapping[str, Any]) -> list[Figure]:
    mechanics, shape = outcome.get("mechanics") or {}, outcome.get("shape") or {}
    figures = []
    for name, key in (("stiffness", "stiffness_n_mm"), ("strength", "strength_von_mises_n")):
        unit, arms = ("kN/mm" if key.endswith("mm") else "kN"), mechanics.get(key) or {}
        for arm in ("before", "fractured", "after"):
            value = _value(arms.get(arm))
            figures.append(Figure(f"{name} {arm}", unit, None if value is None else value / 1000))
    for arm in ("fractured", "after"):
        figures.append(Figure(f"wedge {arm}", "°", _value((shape.get("wedge_angle_deg") or {}).get(arm))))
    for name in ("regained", "kept"):
        gained = shape.get(f"height_{name}_mm") or {}
        figures += [Figure(f"height {name}, {place}", "mm", _value(gained.get(place))) for place in _GAINED]
    for neighbour, one in (outcome.get("adjacent_levels") or {}).items():
        change = (one.get("change_by_cement_percent") or {}).get("disc_pressure")
        figures.append(Figure(f"disc at {neighbour}, by cement", "%", _value(change)))
    return figures


def _value(quantity: Mapping[str, Any] | None) -> float | None:
    value = (quantity or {}).get("value")
    return None if value is None else float(value)
