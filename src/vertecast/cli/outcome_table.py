"""What a run came to, on one terminal screen: from the files of its folder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

if TYPE_CHECKING:
    from vertecast.pipeline.run import Ran


def run_parts(ran: "Ran") -> list[RenderableType]:
    """Return the table of all levels, and below it why, what was left out, how long it took and where the report is."""
    documents = {name: _read(ran.folder / f"{name}.json") for name in ("plan", "simulation", "outcome")}
    rows = outcome_rows(documents)
    levels = list(documents["plan"]["levels"])
    table = Table(title=f"{ran.manifest['case_id']}: what came of it", box=SIMPLE_HEAD, caption=ran.manifest["notice"])
    table.add_column("")
    for name in levels:
        table.add_column(name, justify="right")
    for label, values in rows.items():
        table.add_row(label, *values)
    said = [f"{name}: {one['procedure_reason']}" for name, one in documents["plan"]["levels"].items()]
    said += _left_out(ran.manifest["skipped"])
    report = ran.folder / "report.html"
    return [table, *said, _spent(ran), f"Report: {report}" if report.is_file() else f"Results: {ran.folder}"]


def outcome_rows(documents: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Return the rows by their label, a value for each level of the plan; what is not known is a dash."""
    levels = documents["plan"].get("levels", {})
    done = documents["simulation"].get("levels", {})
    rows = {
        "procedure": [str(one["procedure"]).replace("_", " ") for one in levels.values()],
        "needles": [_needles(one) for one in levels.values()],
        "robustness of the path": [
            _share(one["plans"][0]["robustness"]) if one["plans"] else "–" for one in levels.values()
        ],
        "cement planned, mL": [
            _number((one["volumes"].get("cement_ml") or {}).get("value")) for one in levels.values()
        ],
    }
    if done:
        found = [done.get(name, {}) for name in levels]
        rows |= {
            "cement injected, mL": [_number(sum(one.get("injected_ml", {}).values())) for one in found],
            "leaked, mL": [_number(sum(one.get("leaked_ml", {}).values()), 2) for one in found],
            "body filled, %": [_number(one.get("fill_of_body_percent"), 0) for one in found],
            "hottest cement, °C": [_number((one.get("heat") or {}).get("cement_peak_degc"), 0) for one in found],
            "hottest at the canal, °C": [_number((one.get("heat") or {}).get("canal_peak_degc")) for one in found],
        }
        if any("lift" in one for one in found):
            rows["height regained in the middle, mm"] = [
                _number(one.get("lift", {}).get("moments", {}).get("deflated", {}).get("rise_mm", {}).get("middle"))
                for one in found
            ]
    return rows


def _left_out(skipped: list[dict[str, str]]) -> list[str]:
    """Return one sentence for each reason."""
    reasons = dict.fromkeys(one["reason"] for one in skipped)
    return [
        f"Left out: {', '.join(one['artefact'] for one in skipped if one['reason'] == reason)} ({reason})"
        for reason in reasons
    ]


def _spent(ran: "Ran") -> str:
    stages = ran.manifest["run"]["stages"]
    new = [one for one in stages if one["name"] not in ran.reused]
    took = f"{sum(one['seconds'] for one in new):.0f} s"
    peak = max((one["peak_memory_mib"] for one in new), default=0.0)
    again = f"; {', '.join(ran.reused)} kept from before" if ran.reused else ""
    compiled = (
        f", of these {ran.compile_seconds:.0f} s compiling, once on a machine" if ran.compile_seconds >= 1 else ""
    )
    return f"Took {took}{compiled}; at most {peak:.0f} MiB{again}"


def _needles(level: dict[str, Any]) -> str:
    if not level["plans"]:
        return "no safe path"
    return "\n".join(f"{one['side']} {one['approach']}" for one in level["plans"][0]["needles"])


def _share(value: float) -> str:
    return f"{value:.0%}"


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
