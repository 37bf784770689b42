"""The report's section on the plan: needles with their views and clearances, volumes, and the course of care."""

from typing import Any

from vertecast.report.case_report_blocks import Block, Folded, Heading, Note, Prose, Section, Table, file_picture
from vertecast.report.case_report_run import Document, RunFolder, absent
from vertecast.report.case_report_words import (
    MINUS,
    capital,
    number,
    quantity_text,
    readable,
    spoken,
    stated,
    with_unit,
)

_BEYOND_MM = 400.0


def plan_section(run: RunFolder, view: list[Block]) -> Section:
    """Return the chosen plan of each level, its alternatives, and what surrounds the operation.

    Parameters
    ----------
    view : the 3-D view, when the run got no further than the plan
    """
    plan = run.document("plan")
    if not plan:
        return Section("plan", "Plan", [Note(absent("plan", "a plan of the needles")), *view])
    blocks: list[Block] = [*view]
    for level in run.levels:
        one = run.level("plan", level)
        if not one:
            blocks.append(Note(f"{level} was not planned in this run."))
            continue
        if len(run.levels) > 1:
            blocks.append(Heading(level))
        blocks += _level(run, level, one)
    return Section("plan", "Plan", [*blocks, *_session(plan), *_care(plan)])


def _level(run: RunFolder, level: str, one: Document) -> list[Block]:
    said = [f"{capital(spoken(str(one.get('procedure'))))} of {one.get('sentence')}."]
    target = one.get("target") or {}
    if target.get("reason"):
        reason = readable(str(target["reason"]))
        kind = "" if reason.startswith(("over ", "at ", "into ", "towards ")) else f"at {spoken(str(target['kind']))}: "
        said.append(f"Aimed {kind}{reason}.")
    blocks: list[Block] = [Prose(" ".join(said))]
    plans = one.get("plans") or []
    if not plans:
        blocks.append(Note(f"No safe needle path for {level} was found.", "warning"))
    else:
        blocks.append(_needles(plans[0]))
    for path in run.pictures("pictures", f"plan_{level}"):
        words = f"Needle views of {level}: oblique slices along and across each needle, and from behind"
        legend = "blue: the needle, dotted yellow: 1 mm around it, red cross: target, circle: entry into the bone"
        blocks.append(file_picture(path, words, f"{words}; {legend}.", longest=1500))
    if not run.pictures("pictures", f"plan_{level}"):
        blocks.append(Note(f"No needle views of {level}: the run holds no pictures/plan_{level}.png."))
    blocks += _folded(one, plans)
    blocks += [Note(sentence, "warning") for sentence in one.get("warnings", [])]
    blocks += _volumes(one.get("volumes") or {})
    return blocks


def _needles(plan: Document) -> Table:
    """Return a table with one column for each needle."""
    needles = plan.get("needles", [])
    rows: list[tuple[str, ...]] = [
        ("Approach", *(n["approach"] for n in needles)),
        ("Tool", *(f"{n['tool']['name']}, ⌀ {number(n['tool']['outer_diameter_mm'])} mm" for n in needles)),
    ]
    for key, name in (("canal", "canal"), ("nerve_root", "nerve root"), ("bone_wall", "bone wall")):
        rows.append((f"Clearance to the {name}", *(_mm((n.get("clearances_mm") or {}).get(key)) for n in needles)))
    rows += [
        ("Robust against errors of placing", *(f"{100 * n['robustness']:.0f}\u202f%" for n in needles)),
        ("Path in bone", *(_mm(n.get("path_in_bone_mm")) for n in needles)),
        ("C-arm down the barrel", *(_carm(n.get("bulls_eye") or {}) for n in needles)),
    ]
    for key, name in (("skin_lps_mm", "Skin"), ("entry_lps_mm", "Entry into bone"), ("tip_lps_mm", "Tip")):
        rows.append((f"{name}, LPS mm", *(_point(n.get(key)) for n in needles)))
    return Table(("", *(capital(str(n["side"])) for n in needles)), rows, "The chosen plan.", "needles")


def _folded(one: Document, plans: list[Document]) -> list[Block]:
    blocks: list[Block] = []
    others = [
        (
            p["layout"],
            "; ".join(f"{n['side']} {n['approach']}" for n in p["needles"]),
            f"{100 * p['robustness']:.0f}\u202f%",
            "yes" if p.get("reaches_midline") else "no",
            number(p["score"]),
        )
        for p in plans
    ]
    if others:
        table = Table(("Layout", "Needles", "Robustness", "Reaches midline", "Cost (less is better)"), others)
        order = "Usual approaches come first, among them plans that serve the whole body; then the cost decides."
        blocks.append(Folded(f"All {len(others)} plans, best first", [Prose(order), table]))
    gates = [
        (
            str(n["side"]),
            spoken(g["gate"]),
            "passed" if g["passed"] else "failed",
            _room(g.get("room_mm")),
            g.get("note") or "",
        )
        for n in (plans[0]["needles"] if plans else [])
        for g in n.get("gates", [])
    ]
    if gates:
        table = Table(("Side", "Test", "Result", "Room", "Note"), gates)
        blocks.append(Folded("Safety tests of the chosen needles", [table]))
    refused = [
        (str(r.get("side", "")), str(r.get("approach", "")), str(r.get("target", "")), str(r.get("reason", "")))
        for r in one.get("refusals", [])
    ]
    if refused:
        table = Table(("Side", "Approach", "Target", "Why"), refused)
        blocks.append(Folded("Approaches that were refused", [table]))
    return blocks


def _room(value: Any) -> str:
    """Return the room that a test leaves; what lies beyond any body is not in the image at all."""
    return "none near" if value is not None and float(value) > _BEYOND_MM else _mm(value)


def _volumes(volumes: Document) -> list[Block]:
    if not volumes:
        return []
    if volumes.get("reason"):
        return [Note(f"No volume is proposed: {volumes['reason']}.")]
    said = f"Cement proposed: {quantity_text(volumes.get('cement_ml'), 'mL')}."
    balloon = volumes.get("balloon")
    if isinstance(balloon, dict):
        said += f" Balloon: {balloon.get('name', 'unnamed')}"
        each = balloon.get("volume_per_side_ml")
        said += "." if each is None else f", {number(each)} mL on each side."
    reasons = [(reason,) for reason in volumes.get("reasons", [])]
    return [Prose(said), Folded("Why this volume", [Table(("Reason",), reasons)])] if reasons else [Prose(said)]


def _session(plan: Document) -> list[Block]:
    session = plan.get("session") or {}
    if not session:
        return []
    minutes = session.get("minutes") or {}
    said = (
        f"One session: {', '.join(session.get('levels', []))}, {_needle_count(session.get('accesses', 0))}, "
        f"{number(session.get('cement_ml') or 0.0)} mL of cement, {stated(minutes.get('low', 0))} to "
        f"{stated(minutes.get('high', 0))} minutes."
    )
    near = session.get("nearest_needles")
    if near:
        said += f" Nearest needles: {' and '.join(near['between'])}, {number(near['gap_mm'])} mm apart."
    return [Prose(said)]


def _needle_count(count: int) -> str:
    return f"{count} needle" + ("" if count == 1 else "s")


def _care(plan: Document) -> list[Block]:
    rows = []
    for key, topic in (plan.get("care") or {}).items():
        for statement in topic.get("statements", []) if isinstance(topic, dict) else []:
            mark = "\u00a0≠" if topic.get("sources_disagree") else ""
            rows.append((capital(spoken(key)) + mark, _statement(statement), statement.get("source", "")))
    if not rows:
        return []
    caption = "Course of care; ≠ where the sources disagree, all are shown."
    return [Table(("Topic", "Said", "Source"), rows, caption)]


def _statement(statement: Document) -> str:
    if statement.get("choices"):
        return " or ".join(spoken(choice) for choice in statement["choices"])
    low, high, unit = statement.get("low"), statement.get("high"), statement.get("unit") or ""
    if low is None or high is None:
        return "not known"
    return with_unit(stated(low) if low == high else f"{stated(low)} to {stated(high)}", unit)


def _mm(value: Any) -> str:
    return "–" if value is None else with_unit(number(float(value), 2), "mm")


def _carm(angles: Document) -> str:
    rotation, tilt = angles.get("rotation_deg"), angles.get("tilt_deg")
    if rotation is None or tilt is None:
        return "–"
    sideways = "left" if rotation >= 0 else "right"
    along = "cranial" if tilt >= 0 else "caudal"
    return f"ray from the {sideways} {abs(rotation):.0f}°, from {along} {abs(tilt):.0f}°"


def _point(point: Any) -> str:
    return "–" if point is None else ", ".join(f"{MINUS if c < -0.05 else ''}{abs(c):.1f}" for c in point)
