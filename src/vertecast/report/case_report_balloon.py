"""The report's section on the balloon, or whatever tool makes the cavity: its curve, pictures, the height gained."""

from collections.abc import Mapping
from typing import Any

from vertecast.report.case_report_blocks import Block, Chart, Heading, Note, Prose, Section, Table, file_picture
from vertecast.report.case_report_charts import Line, line_chart
from vertecast.report.case_report_run import Document, RunFolder
from vertecast.report.case_report_words import (
    MINUS,
    capital,
    fixed,
    number,
    quantity_text,
    readable,
    spoken,
    with_unit,
)

_PLACES = ("anterior", "middle", "posterior")
_MOMENTS = {
    "ct": "On the CT",
    "standing": "Standing",
    "prone": "Prone, tools in",
    "inflated": "Tools filled",
    "deflated": "Let go",
    "cemented": "Cemented",
}
_NONE = "–"


def balloon_section(run: RunFolder) -> Section:
    """Return the tools, pressure and height against volume, pictures of each moment, and what was lifted and kept."""
    blocks: list[Block] = []
    for level in run.levels:
        lift = run.level("simulation", level).get("lift")
        one = [*_said(lift), *_curves(run, level), *_pictures(run, level), *_lifted(run, level, lift)]
        if one and len(run.levels) > 1:
            blocks.append(Heading(level))
        blocks += one
    if not blocks:
        procedures = {run.level("plan", level).get("procedure") for level in run.levels}
        said = "vertebroplasty uses none" if procedures == {"vertebroplasty"} else "the run holds no inflation"
        blocks.append(Note(f"No balloon curve: {said}."))
    return Section("balloon", "Balloon", blocks)


def lift_sentence(lift: Any, outcome: Mapping[str, Any]) -> str:
    """Return in one line how far the tools lifted the bone and what of it was left; empty when that is not known.

    The heights are the outcome's; a run that was not assessed has only the endplate's rise.
    """
    if not isinstance(lift, dict):
        return ""
    shape = outcome.get("shape") or {}
    rows = [
        [quantity.get("value") for quantity in ((shape.get(key) or {}).get(place) or {} for place in _PLACES)]
        for key in ("height_regained_mm", "height_kept_mm")
    ]
    known = [[float(value) for value in row if value is not None] for row in rows]
    if all(len(row) == len(_PLACES) for row in known):
        filled, kept = (", ".join(map(_signed, row)) for row in known)
        return f"height gained in front, middle, behind: tools filled {filled} mm; let go {kept} mm"
    moments = lift.get("moments")
    if not moments or "inflated" not in moments:
        return ""
    told = [
        f"{name} {', '.join(_rise(moments[key], place) for place in _PLACES)} mm"
        for key, name in (("inflated", "tools filled"), ("deflated", "let go"))
        if key in moments
    ]
    return f"endplate's rise in front, middle, behind: {'; '.join(told)}"


def _rise(moment: Document, place: str) -> str:
    return _signed(float(moment["rise_mm"][place]))


def _signed(value: float) -> str:
    return ("" if fixed(value, 1).startswith((MINUS, "0.0")) else "+") + fixed(value, 1)


def _said(lift: Any) -> list[Block]:
    """Return which tools were used and how the inflation ended."""
    if not isinstance(lift, dict):
        return []
    ended = {side: spoken(str(why)) for side, why in (lift.get("ended") or {}).items()}
    tools = {
        str(tool["side"]): f"{tool['name']}{', stays in' if tool.get('stays') else ''}"
        for tool in lift.get("tools", [])
    }
    told = [
        f"{side}: " + ", ".join(filter(None, (tools.get(side, ""), f"ended by {ended[side]}" if side in ended else "")))
        for side in dict.fromkeys((*tools, *ended))
    ]
    blocks: list[Block] = [Prose(f"{capital('; '.join(told))}.")] if told else []
    return [*blocks, *(Note(capital(readable(note)), "warning") for note in lift.get("notes", []))]


def _curves(run: RunFolder, level: str) -> list[Block]:
    """Return pressure, both sides together, and the height gained against the volume pushed in."""
    lines: list[Line] = []
    lifted: list[Line] = []
    for side in sorted({str(e.get("side")) for e in run.events_of("inflation", level=level) if e.get("side")}):
        events = [e for e in run.events_of("inflation", level=level) if str(e.get("side")) == side]
        lines.append(Line(name=f"pressure {side}, bar", points=_curve(events, "pressure_bar")))
        lifted = lifted or [Line(name="endplate's rise, mm", points=_curve(events, "lift_mm"), right=True)]
    svg = line_chart([*lines, *lifted], "pushed into each tool, mL")
    said = f"{level}: pressure, and the superior endplate's rise in its middle, while the tools fill."
    return [Chart(svg, said)] if svg else []


def _curve(events: list[Document], key: str) -> list[tuple[float, float]]:
    steps = [event.get("data") or {} for event in events]
    volume = next((name for name in ("injected_ml", "volume_ml") if any(name in step for step in steps)), "")
    return [(float(step[volume]), float(step[key])) for step in steps if volume in step and step.get(key) is not None]


def _pictures(run: RunFolder, level: str) -> list[Block]:
    words = f"{level}: sagittal cuts before, with the tools filled, let go and cemented; curve; rise of the endplate"
    said = f"{words}. Cyan: the bone as it is at that moment; yellow: crushed bone; blue: discs; pink: the cavity."
    return [file_picture(path, words, said, longest=1600) for path in run.pictures("pictures", f"balloon_{level}")]


def _lifted(run: RunFolder, level: str, lift: Any) -> list[Block]:
    """Return what the tools lifted at each moment, and the heights measured then, as ``simulation.json`` has it."""
    if not isinstance(lift, dict):
        return []
    blocks: list[Block] = []
    rows = [_moment_row(name, one) for name, one in (lift.get("moments") or {}).items()]
    if rows:
        heads = ("Moment", *(f"{capital(place)}, mm" for place in _PLACES), "Angle, °", "Cavity, mL", "Pressure, bar")
        heads = (*heads, "Pressure on the bone, bar")
        blocks.append(Table(heads, rows, f"{level}: rise of the superior endplate since lying prone.", "numbers"))
    measured = [_measured_row(name, one) for name, one in (lift.get("measured") or {}).items()]
    if measured:
        measured.append(_expected_row(run.vertebra(level)))
        heads = ("Moment", *(f"{capital(place)} height, mm" for place in _PLACES), "Wedge, °")
        caption = (
            f"{level}: heights between the endplates, measured as on a CT, on the bone as it lies at each moment, "
            "on the grid of the lift. That is coarser than the CT, so only what changes counts."
        )
        blocks.append(Table(heads, measured, caption, "numbers"))
    return [*blocks, *_density(lift)]


def _moment_row(name: str, one: Document) -> tuple[str, ...]:
    contact = one.get("contact_pressure_bar") or []
    tools = {} if name == "standing" else one  # the access comes after
    return (
        _MOMENTS.get(name, capital(spoken(name))),
        *(fixed(float(one["rise_mm"][place]), 1) for place in _PLACES),
        fixed(float(one["angle_deg"]), 1),
        _listed(tools.get("cavity_ml")),
        _listed(tools.get("pressure_bar")),
        _listed([each["mean"] for each in contact if tools]),
    )


def _listed(values: Any) -> str:
    return " · ".join(fixed(float(value), 1) for value in values or ()) or _NONE


def _measured_row(name: str, one: Document) -> tuple[str, ...]:
    heights = one.get("heights_mm") or {}
    values = [heights.get(place) for place in _PLACES]
    return (
        _MOMENTS.get(name, capital(spoken(name))),
        *(_NONE if value is None else fixed(float(value), 1) for value in (*values, one.get("wedge_angle_deg"))),
    )


def _expected_row(vertebra: Document) -> tuple[str, ...]:
    expected = vertebra.get("reference_heights_mm") or {}
    return (
        "Expected, from the reference",
        *(_NONE if expected.get(place) is None else quantity_text(expected[place], "") for place in _PLACES),
        _NONE,
    )


def _density(lift: Document) -> list[Block]:
    density = lift.get("density_mg_cm3") or {}
    mapped = density.get("mapped_from_neighbours")
    if density.get("ct") is None:
        return []
    said = f"Density of the fractured body on the CT: {with_unit(number(density['ct']), 'mg/cm³')}"
    if mapped is not None:
        said += f"; from intact neighbours at the same places {with_unit(number(mapped), 'mg/cm³')}, which is used"
    return [Prose(f"{said}.")]
