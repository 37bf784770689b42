"""Tables for the terminal, made from the same JSON that is written to the run folder."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

_CAPTION = """a / m / p: heights · pedicle widths L / R · ± borderline
Research and education; not a medical device"""


def spine_table(spine: dict[str, Any]) -> Group:
    """Return one row per vertebra of ``spine.json``, and below it what limits each."""
    table = Table(title="Vertebrae, measured on a supine scan", caption=_CAPTION, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("level", "grade", "loss %", "a / m / p mm", "wedge °", "L / R mm", "HU"):
        table.add_column(column, justify="left" if column in ("level", "grade") else "right", no_wrap=True)
    notes = []
    for vertebra in spine["vertebrae"]:
        table.add_row(*_row(vertebra))
        if vertebra["flags"]:
            notes.append(f"{vertebra['level']}: " + ", ".join(flag.replace("_", " ") for flag in vertebra["flags"]))
    return Group(table, *notes)


def _row(vertebra: dict[str, Any]) -> list[str]:
    heights = vertebra["heights_mm"]
    return [
        vertebra["level"],
        _grade(vertebra["genant"]),
        _number(vertebra["height_loss_percent"]),
        " / ".join(_number(heights[name], 1) for name in ("anterior", "middle", "posterior")),
        _number(vertebra["wedge_angle_deg"], 1),
        " / ".join(_number(_part(vertebra, "pedicles", side, "width_mm"), 1) for side in ("left", "right")),
        _number(_part(vertebra, "density", "mean_hu")),
    ]


def _part(vertebra: dict[str, Any], *names: str) -> dict[str, Any] | None:
    part: Any = vertebra
    for name in names:
        if not isinstance(part, dict) or name not in part:
            return None
        part = part[name]
    return dict(part)


def _grade(genant: dict[str, Any]) -> str:
    if genant["grade"] is None:
        return "–"
    shape = f" {genant['shape']}" if genant["shape"] else ""
    return f"{genant['grade']:g}{shape}{' ±' if genant['borderline'] else ''}"


def _number(measured: dict[str, Any] | None, digits: int = 0) -> str:
    if measured is None or measured["value"] is None:
        return "–"
    return f"{measured['value']:.{digits}f}"
