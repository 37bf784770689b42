"""Tables for the terminal, made from the same JSON that is written to the run folder."""

from typing import Any

from rich.table import Table

_CAPTION = """heights anterior / middle / posterior · pedicle widths left / right
Research and education; not a medical device"""


def spine_table(spine: dict[str, Any]) -> Table:
    """Return one row per vertebra of ``spine.json``."""
    table = Table(title="Vertebrae, measured on a supine scan", caption=_CAPTION)
    for column in ("level", "grade", "loss %", "a / m / p mm", "wedge °", "L / R mm", "HU"):
        table.add_column(column, justify="left" if column in ("level", "grade") else "right", no_wrap=column != "grade")
    table.add_column("notes")
    for vertebra in spine["vertebrae"]:
        table.add_row(*_row(vertebra))
    return table


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
        ", ".join(flag.replace("_", " ") for flag in vertebra["flags"]),
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
    return f"{genant['grade']:g}{shape}{' (borderline)' if genant['borderline'] else ''}"


def _number(measured: dict[str, Any] | None, digits: int = 0) -> str:
    if measured is None or measured["value"] is None:
        return "–"
    return f"{measured['value']:.{digits}f}"
