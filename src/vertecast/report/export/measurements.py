"""Every number of a run as one row: level, quantity, value with interval and UCUM unit, or the reason it is unknown."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from vertecast.core.parameters import read_toml
from vertecast.report.bibliography import load_bibliography
from vertecast.report.case_report_run import RunFolder, level_rank

DOCUMENTS = ("spine", "simulation", "outcome")
_NOT_SAID = "null in the run: it did not happen or was not computed"


@dataclass(frozen=True, slots=True)
class Row:
    """One number of a run.

    Parameters
    ----------
    document : the JSON file it is from, without its ending
    level : empty for the whole spine or session
    quantity : keys that lead to it, joined by dots: ``heights_mm.anterior``
    value, low, high : as text in the shortest form that reads back the same; empty when unknown
    unit : UCUM
    method : how it was got; empty where the document does not say
    reason : why there is no value
    """

    document: str
    level: str
    quantity: str
    value: str
    low: str
    high: str
    unit: str
    method: str
    reason: str

    @property
    def number(self) -> float | None:
        """The value as a number; None when it is unknown."""
        return float(self.value) if self.value else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval; None when the document gives none."""
        return (float(self.low), float(self.high)) if self.low and self.high else None

    @property
    def of_population(self) -> bool:
        """Whether it is a number of trials or registries: true of groups of people, no observation of this one."""
        return self.document == "outcome" and any(
            word in self.quantity.split(".")[0] for word in ("progression", "population", "evidence", "risk", "trial")
        )

    @property
    def words(self) -> str:
        """The quantity in words: ``heights_mm.anterior`` is "heights mm, anterior"."""
        return ", ".join(part.replace("_", " ") for part in self.quantity.split("."))


def run_rows(run: RunFolder, documents: tuple[str, ...] = DOCUMENTS) -> tuple[Row, ...]:
    """Return the rows of a run, documents in order, levels craniocaudally within each.

    Coordinates and weights are no measurements and are left out: a bare number counts only outside ``spine.json`` and
    where a key above it ends in a unit.
    """
    rows: list[Row] = []
    units = export_codes()["ucum"]
    for name in documents:
        document = run.document(name)
        if name == "spine":
            for one in run.vertebrae():
                rows += _rows(name, str(one.get("level", "")), one, (), units)
        levels = document.get("levels")
        if isinstance(levels, dict):
            for level in sorted(levels, key=level_rank):
                rows += _rows(name, level, levels[level], (), units)
        whole = {key: value for key, value in document.items() if key not in ("levels", "vertebrae")}
        rows += _rows(name, "", whole, (), units)
    cited = load_bibliography().cited
    return tuple(replace(row, method=cited(row.method).text, reason=cited(row.reason).text) for row in rows)


def unit_of(quantity: str, units: dict[str, str]) -> str | None:
    """Return the UCUM unit that the innermost key with a known ending names; None when there is none."""
    for part in reversed(quantity.split(".")):
        for ending in sorted(units, key=len, reverse=True):
            if part.endswith(ending):
                return units[ending]
    return None


def export_codes() -> dict[str, Any]:
    """Return the shipped codes and units, ``data/report/export.toml``."""
    return read_toml("report/export.toml")


def _rows(document: str, level: str, node: Any, path: tuple[str, ...], units: dict[str, str]) -> Iterator[Row]:
    if isinstance(node, dict) and "value" in node and ("method" in node or "reason" in node):
        if not isinstance(node["value"], bool | str | list | dict):
            yield _row(document, level, ".".join(path), node, units)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _rows(document, level, value, (*path, key), units)
    elif document != "spine" and path and (node is None or _is_number(node)) and unit_of(".".join(path), units):
        yield _row(document, level, ".".join(path), {"value": node, "reason": _NOT_SAID}, units)


def _row(document: str, level: str, name: str, node: dict[str, Any], units: dict[str, str]) -> Row:
    known = node["value"] is not None
    return Row(
        document=document,
        level=level,
        quantity=name,
        value=_text(node["value"]),
        low=_text(node.get("low")) if known else "",
        high=_text(node.get("high")) if known else "",
        unit=unit_of(name, units) or "1",
        method=str(node.get("method", "")),
        reason="" if known else str(node.get("reason", _NOT_SAID)),
    )


def _is_number(node: Any) -> bool:
    return isinstance(node, int | float) and not isinstance(node, bool)


def _text(value: Any) -> str:
    return repr(float(value)) if _is_number(value) and math.isfinite(value) else ""
