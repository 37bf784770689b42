"""The report's sections on the procedure: fluoroscopy, balloon, cement, temperatures."""

import math
from collections.abc import Mapping
from typing import Any

from vertecast.report.case_report_blocks import (
    Block,
    Chart,
    Gallery,
    Heading,
    Note,
    Section,
    Table,
    Viewer,
    array_picture,
    file_picture,
    png_picture,
)
from vertecast.report.case_report_charts import Line, Marked, line_chart
from vertecast.report.case_report_run import Document, RunFolder, absent
from vertecast.report.case_report_words import capital, event_sentence, minutes, named, number, spoken, with_unit
from vertecast.report.view3d import Scene3D

_VIEWS = {"ap": "AP", "lateral": "lateral"}
_TOOL_STILLS = {
    "balloon_standing": "standing",
    "balloon_prone": "tools in place, not filled",
    "balloon_inflated": "tools filled",
    "balloon_deflated": "tools let go",
}
_MANY = 5
"""More stills of one view than this stand four in a row."""
_LETTERS = "Letters are the patient's left, right, anterior, posterior, superior and inferior."
_COLOURS = "Blue line: the vertebra, yellow: the spinal canal."
_SHOWS = (
    ("target", "treated vertebra"),
    ("neighbour", "neighbours"),
    ("canal", "spinal canal"),
    ("needle", "needles"),
    ("cement", "cement"),
    ("balloon", "balloon"),
)


def fluoroscopy_section(run: RunFolder) -> Section:
    """Return the simulated radiographs of each step, and the events with their clock."""
    blocks: list[Block] = []
    unseen: list[str] = []
    for level in run.levels:
        stills: dict[str, list[Any]] = {}
        for path in run.pictures("fluoro", f"{level}_"):
            view = path.stem.removeprefix(f"{level}_").split("_")[0]
            stills.setdefault(view, []).append(path)
        if not stills:
            unseen.append(level)
            continue
        for view, paths in stills.items():
            name = _VIEWS.get(view, spoken(view))
            paths = sorted(paths, key=lambda path: ("balloon" not in path.stem, _moment(path.stem, level, view)))
            words = [_step(run, level, path.name, name) for path in paths]
            said = [
                _TOOL_STILLS.get(_moment(path.stem, level, view)[1], _after(w))
                for path, w in zip(paths, words, strict=True)
            ]
            pictures = [
                file_picture(path, w, capital(one), longest=520)
                for path, w, one in zip(paths, words, said, strict=True)
            ]
            columns = 4 if len(pictures) > _MANY else 3
            blocks.append(Gallery(pictures, f"{level}, {name} view, simulated.", columns))
    if unseen:
        blocks.append(Note(f"No fluoroscopy of {', '.join(unseen)}: the run holds no pictures of it in fluoro/."))
    rows = [(minutes(event["t_s"]), event_sentence(event)) for event in run.story()]
    if rows:
        blocks.append(
            Table(("Clock, min:s", "What happened"), rows, "The procedure's clock starts with the access.", "clock")
        )
    else:
        blocks.append(Note("No procedure was simulated in this run (no events.jsonl; `vertecast simulate` writes it)."))
    return Section("fluoroscopy", "Fluoroscopy, step by step", blocks)


def _moment(stem: str, level: str, view: str) -> tuple[int, str]:
    """Return the place in time of a still of the tools, by its file's name; others by their name."""
    name = stem.removeprefix(f"{level}_{view}_")
    known = list(_TOOL_STILLS)
    return (known.index(name) if name in known else len(known), name)


def _step(run: RunFolder, level: str, file: str, view: str) -> str:
    """Return what a still shows, as the manifest says it; by its own name where the manifest is silent."""
    holds = {one["file"]: one["holds"] for one in run.document("manifest").get("outputs", [])}
    return str(holds.get(f"fluoro/{file}", f"{level}: {view} view, {spoken(file.removesuffix('.png'))}"))


def _after(holds: str) -> str:
    """Return only what is particular to one still: ``25 % of the cement in``."""
    return holds.split(" with ")[-1].split(": ")[-1]


def view_blocks(scene: Scene3D | None, stills: list[Any], why: str) -> list[Block]:
    """Return the 3-D view of a scene, or the reason why there is none.

    Parameters
    ----------
    stills : (title, pixels) of the scene
    why : the reason for a scene that is missing
    """
    if scene is None or not stills:
        return [Note(f"No 3-D view: {why}.")]
    return [_viewer(scene, stills), *(Note(sentence, "warning") for sentence in scene.notes)]


def cement_section(run: RunFolder, view: list[Block]) -> Section:
    """Return the 3-D view, the cement in three planes and in numbers, and the course of the injection."""
    blocks: list[Block] = [*view]
    simulation = run.document("simulation")
    if not simulation:
        blocks.append(Note(absent("simulation", "cement and its spread")))
    for level in run.levels:
        one = run.level("simulation", level)
        if not one:
            continue
        if len(run.levels) > 1:
            blocks.append(Heading(level))
        blocks += _cement(run, level, one)
    return Section("cement", "Cement", blocks)


def _viewer(scene: Scene3D, stills: list[Any]) -> Viewer:
    kinds = {bone.kind for bone in scene.bones} | {one.kind for one in scene.fillings}
    kinds |= {"needle"} if scene.needles else set()
    shows = tuple(pair for pair in _SHOWS if pair[0] in kinds)
    pictures = [array_picture(pixels, f"3-D view {title}", capital(title), longest=720) for title, pixels in stills]
    filled = "Orange is cement, yellow the spinal canal." if "cement" in kinds else "Bones and planned needles."
    return Viewer(pictures, scene.span_s is not None, shows, f"{filled} {_LETTERS}")


def _cement(run: RunFolder, level: str, one: Document) -> list[Block]:
    from vertecast.report.case_report_planes import cement_picture

    blocks: list[Block] = []
    png = cement_picture(run, level)
    if png is None:
        blocks.append(Note(f"No planes through the cement of {level}: the run holds no arrival times for it."))
    else:
        said = f"{level}: when the cement arrived. {_COLOURS}"
        blocks.append(png_picture(png, f"Cement of {level} in axial, coronal and sagittal plane", said))
    rows = [("Cement", spoken(str(one.get("cement") or "unknown")))]
    rows += [(f"Injected, {side}", _ml(volume)) for side, volume in (one.get("injected_ml") or {}).items()]
    for key in ("cement_in_body_ml", "fill_of_body_percent", "peak_syringe_pressure_bar", "drained_marrow_ml"):
        if one.get(key) is not None:
            words, unit = named(key)
            rows.append((capital(words), with_unit(number(one[key]), unit)))
    leaks = one.get("leaked_ml") or {}
    onset = one.get("leak_onset_s") or {}
    for route, volume in leaks.items():
        since = onset.get(route)
        rows.append(
            (f"Leak, {spoken(route)}", _leaked(volume) + (f", from {minutes(since)} min" if since is not None else ""))
        )
    if one.get("sealed_routes"):
        rows.append(("Routes closed on purpose", ", ".join(one["sealed_routes"])))
    if one.get("calibrated") is False:
        rows.append(("Density", "uncalibrated, so porosity and flow too"))
    blocks.append(Table(("", ""), rows, style="facts"))
    blocks += _injection(run, level)
    return blocks


def _leaked(volume: float) -> str:
    return "none" if volume < 5e-4 else _ml(volume)


def _ml(volume: float) -> str:
    return with_unit(f"{volume:.2f}" if volume >= 0.095 else f"{volume:.3f}", "mL")


def _injection(run: RunFolder, level: str) -> list[Block]:
    """Return volume and pressure against the clock, with leaks and stops marked."""
    volumes: list[tuple[float, float]] = []
    pressures: list[tuple[float, float]] = []
    given: dict[Any, float] = {}
    for event in run.events_of("injection_started", "progress", level=level):
        data, t = event.get("data") or {}, event["t_s"] / 60.0
        if event.get("side") not in given and pressures:
            pressures.append((t, math.nan))  # between two needles nothing is pushed
        given[event.get("side")] = float(data.get("injected_ml") or given.get(event.get("side"), 0.0))
        volumes.append((t, sum(given.values())))
        if data.get("syringe_pressure_bar") is not None:
            pressures.append((t, float(data["syringe_pressure_bar"])))
    marks = [Marked(x=event["t_s"] / 60.0, text=_mark(event)) for event in run.events_of("leak", "stop", level=level)]
    lines = [
        Line(name="cement in, mL", points=volumes),
        Line(name="pressure at the syringe, bar", points=pressures, right=True),
    ]
    svg = line_chart(lines, "procedure's clock, min", marks)
    return [Chart(svg, f"{level}: the injection; leaks and stops are marked.")] if svg else []


def _mark(event: Mapping[str, Any]) -> str:
    data = event.get("data") or {}
    side = f"{event['side']}: " if event.get("side") else ""
    if event["kind"] == "leak":
        return f"{side}leak, {spoken(str(data.get('route')))}"
    return f"{side}stop, {spoken(str(data.get('reason')))}"


def temperature_section(run: RunFolder) -> Section:
    """Return the peak temperatures in numbers and in three planes."""
    from vertecast.report.case_report_planes import temperature_picture

    blocks: list[Block] = []
    unknown: list[str] = []
    for level in run.levels:
        heat = run.level("simulation", level).get("heat")
        png = temperature_picture(run, level)
        if png is not None:
            said = f"{level}: the highest temperature at each place, with isotherms. {_COLOURS}"
            blocks.append(png_picture(png, f"Peak temperature of {level} in three planes", said))
        if isinstance(heat, dict):
            rows = [_heat_row(key, value) for key, value in heat.items()]
            blocks.append(Table((f"{level}: heat", ""), rows, style="facts"))
        if png is None and not heat:
            unknown.append(level)
    if unknown:
        blocks.append(Note(f"No temperatures of {', '.join(unknown)}: no cure was simulated in this run."))
    if not blocks:
        blocks.append(Note(absent("simulation", "the temperatures")))
    return Section("temperatures", "Temperatures", blocks)


def _heat_row(key: str, value: Any) -> tuple[str, str]:
    words, unit = named(key)
    if unit == "°C":
        words = f"hottest, {words.removesuffix(' peak')}"
    if key == "hard_s":
        return (
            "Cement hard, after mixing",
            "not within the simulated time" if value is None else f"{minutes(value)} min",
        )
    return capital(words), "none" if value is None else with_unit(number(value), unit)
