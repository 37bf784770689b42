"""The report's sections before the operation: patient and scan, fracture, indication."""

import tomllib
from collections.abc import Mapping
from typing import Any

from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.report.case_report_blocks import Block, Folded, Heading, Note, Prose, Section, Table, png_picture
from vertecast.report.case_report_run import READ_ERRORS, Document, RunFolder, absent
from vertecast.report.case_report_words import (
    capital,
    fixed,
    is_quantity,
    named,
    quantity_text,
    spoken,
    stated,
    with_unit,
)

_TRUTH = {"true": "yes", "false": "no", "unknown": "unknown", "borderline": "borderline"}
_PATIENT = ("age_years", "sex", "weight_kg", "height_cm", "bmi", "asa")
_UNITS = {"1": "", "a": "years", "wk": "weeks", "d": "days", "deg": "°"}
_PERSON = {"weight_kg": ("weight", "kg"), "height_cm": ("height", "cm")}
_PLACES = ("anterior", "middle", "posterior")


def patient_section(run: RunFolder) -> Section:
    """Return who was scanned, as far as the run says, and every vertebra that was measured."""
    spine, manifest = run.document("spine"), run.document("manifest")
    blocks: list[Block] = [Table(("", ""), _patient_rows(run, spine, manifest), style="facts")]
    vertebrae = run.vertebrae()
    if not vertebrae:
        blocks.append(Note(absent("spine", "the measured vertebrae")))
        return Section("patient", "Patient and scan", blocks)
    blocks.append(
        Table(
            ("Level", "Anterior, mm", "Middle, mm", "Posterior, mm", "Wedge", "Height loss", "Genant", "OF", "Mean HU"),
            [_vertebra_row(one, one.get("level") in run.levels) for one in vertebrae],
            "Every labelled vertebra. Height loss is against each level's own reference; treated levels have a ●.",
            "numbers vertebrae",
        )
    )
    unmeasured = [f"{one.get('level')}: {one['reason']}" for one in vertebrae if one.get("reason")]
    warned = dict.fromkeys((*unmeasured, *spine.get("warnings", [])))
    blocks += [Note(capital(sentence), "warning") for sentence in warned]
    note = (spine.get("posture") or {}).get("note")
    if note:
        blocks.append(Prose(note))
    return Section("patient", "Patient and scan", blocks)


def _patient_rows(run: RunFolder, spine: Document, manifest: Document) -> list[tuple[str, str]]:
    facts: Document = next((f for one in run.levels if (f := run.level("indication", one).get("facts"))), {})
    facts = {**_person(run), **facts}
    rows = [("Case", run.case_id)]
    rows += [(capital(_of_person(key)[0]), _fact(key, facts[key])) for key in _PATIENT if facts.get(key) is not None]
    unknown = [_of_person(key)[0] for key in _PATIENT if facts.get(key) is None]
    if unknown:
        rows.append(("Not given", ", ".join(unknown)))
    rows.append(("Posture in the scan", str((spine.get("posture") or {}).get("value", "unknown"))))
    for one in manifest.get("inputs", []):
        rows.append((f"{capital(spoken(one['role']))}, SHA-256", one["sha256"][:16] + "…"))
    return rows


def _person(run: RunFolder) -> Document:
    """Return what the patient's file says of the person and no rule asks for."""
    path, _ = run.input_path("patient")
    if path is None:
        return {}
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8")).get("person", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
    known = {key: said[key] for key in ("age_years", "sex", "asa", "weight_kg", "height_cm") if key in said}
    if "weight_kg" in known and "height_cm" in known:
        known["bmi"] = round(known["weight_kg"] / (known["height_cm"] / 100.0) ** 2, 1)
    return known


def _vertebra_row(one: Document, treated: bool) -> tuple[str, ...]:
    heights = one.get("heights_mm") or {}
    genant = one.get("genant") or {}
    grade = genant.get("grade")
    shape = f" {genant['shape']}" if genant.get("shape") and grade else ""
    return (
        f"{one.get('level')}{' ●' if treated else ''}",
        *(_short(heights.get(place)) for place in _PLACES),
        _short(one.get("wedge_angle_deg"), unit="°"),
        _short(one.get("height_loss_percent"), interval=True, unit="%"),
        "–" if grade is None else f"{grade:g}{shape}{', borderline' if genant.get('borderline') else ''}",
        spoken(str(one.get("of_class") or "–")),
        _short((one.get("density") or {}).get("mean_hu"), places=0),
    )


def _short(quantity: Any, *, interval: bool = False, unit: str = "", places: int = 1) -> str:
    if not isinstance(quantity, Mapping) or quantity.get("value") is None:
        return "–"
    if interval:
        return quantity_text(quantity, unit, 2)
    return with_unit(fixed(float(quantity["value"]), places), unit)


def fracture_section(run: RunFolder) -> Section:
    """Return each treated vertebra: on the CT, in numbers with intervals, and what speaks for its age."""
    blocks: list[Block] = []
    volume, labels, why = _images(run)
    if not run.levels:
        blocks.append(Note("No level was chosen in this run: nothing was judged, planned or simulated."))
    for level in run.levels:
        vertebra = run.vertebra(level)
        if len(run.levels) > 1:
            blocks.append(Heading(level))
        if not vertebra:
            blocks.append(Note(f"{level} is not among the measured vertebrae of this run."))
            continue
        if (vertebra.get("genant") or {}).get("grade") == 0:
            blocks.append(Note(f"{level} is not fractured by its height on this CT.", "warning"))
        picture = fracture_on_ct(vertebra, volume, labels)
        blocks.append(picture or Note(f"No picture of {level} on the CT: {why or 'its frame was not measured'}."))
        blocks.append(
            Table(("Measured", "Value (95 % interval)", "Method"), _fracture_rows(vertebra), style="measured")
        )
        blocks += _age(vertebra)
    return Section("fracture", "Fracture", blocks)


def fracture_on_ct(vertebra: Document, volume: Volume | None, labels: LabelMap | None) -> Block | None:
    """Return the vertebra on its CT in three planes; None without a CT or a frame."""
    if volume is None:
        return None
    from vertecast.report.case_report_planes import fracture_picture

    png = fracture_picture(vertebra, volume, labels)
    if png is None:
        return None
    level = vertebra["level"]
    said = f"{level} in its own planes, heights in mm. Left of the axial and coronal picture is the patient's right."
    return png_picture(png, f"{level} on the CT: mid-sagittal, coronal and axial", said)


def _images(run: RunFolder) -> tuple[Volume | None, LabelMap | None, str]:
    path, why = run.input_path("ct")
    if path is None:
        return None, None, why
    try:
        volume = read_volume(path)
        mask, _ = run.input_path("labels")
        return volume, (read_labels(mask) if mask is not None else None), ""
    except READ_ERRORS as exc:
        return None, None, str(exc)


def _fracture_rows(one: Document) -> list[tuple[str, str, str]]:
    rows = []
    for place in _PLACES:
        rows.append(_row(f"{place} height", (one.get("heights_mm") or {}).get(place), "mm"))
    loss = one.get("height_loss_percent")
    where = f", {loss['place']}" if isinstance(loss, Mapping) and loss.get("place") else ""
    rows.append(_row(f"height loss{where}", loss, "%"))
    for key in ("wedge_angle_deg", "bisegmental_kyphosis_deg", "body_volume_ml"):
        rows.append(_row(named(key)[0], one.get(key), named(key)[1]))
    for side in ("superior", "inferior"):
        rows.append(_row(f"{side} endplate dented by", (one.get("dent_excess_mm") or {}).get(side), "mm"))
    wall = one.get("posterior_wall") or {}
    rows.append(_row("posterior wall bulge", wall.get("bulge_mm"), "mm"))
    for side, pedicle in sorted((one.get("pedicles") or {}).items()):
        if isinstance(pedicle, Mapping):
            rows.append(_row(f"{side} pedicle width", pedicle.get("width_mm"), "mm"))
    density = one.get("density") or {}
    rows.append(_row("density, K2HPO4-equivalent", density.get("density_mg_cm3"), "mg/cm³"))
    genant = one.get("genant") or {}
    if genant:
        grade = (
            "not graded" if genant.get("grade") is None else f"{genant['grade']:g} {genant.get('shape') or ''}".strip()
        )
        rows.append(("Genant grade", grade + (", borderline" if genant.get("borderline") else ""), genant["reason"]))
    rows.append(("OF class", spoken(str(one.get("of_class") or "unknown")), one.get("of_class_decided_by") or ""))
    cleft = one.get("cleft") or {}
    rows.append(("Cleft", str(cleft.get("kind", "unknown")), str(cleft.get("reason") or "")))
    return rows


def _row(name: str, quantity: Any, unit: str) -> tuple[str, str, str]:
    method = str(quantity.get("method") or "") if isinstance(quantity, Mapping) else ""
    said = quantity_text(quantity, unit) if quantity is not None else "not measured"
    return capital(name), said, method


def _age(one: Document) -> list[Block]:
    acuity = one.get("acuity") or {}
    if not acuity:
        return []
    said = f"Age of the fracture: {spoken(str(acuity.get('summary')))}. {capital(str(acuity.get('reason')))}."
    blocks: list[Block] = [Prose(said)]
    rows = [
        (capital(spoken(e["feature"])), spoken(str(e["presence"])), str(e.get("detail") or ""), e["source"])
        for e in acuity.get("evidence", [])
    ]
    if rows:
        blocks.append(Folded("Evidence for its age", [Table(("Sign", "Present", "Detail", "Source"), rows)]))
    return blocks


def indication_section(run: RunFolder) -> Section:
    """Return each rule pack's verdict with the clauses that decided it, what is missing, and the dissent."""
    if not run.document("indication"):
        return Section("indication", "Indication", [Note(absent("indication", "what the rule packs say"))])
    blocks: list[Block] = []
    for level in run.levels:
        one = run.level("indication", level)
        if not one:
            blocks.append(Note(f"{level} was not judged in this run."))
            continue
        if len(run.levels) > 1:
            blocks.append(Heading(level))
        blocks += _judged(one)
    return Section("indication", "Indication", blocks)


def _judged(one: Document) -> list[Block]:
    verdicts = [*one.get("verdicts", []), *one.get("dissent", [])]
    rows = [(v["title"], verdict_answer(v), _in_words(v)) for v in verdicts]
    meanings = {str(m["name"]): str(m["meaning"]) for m in one.get("missing", [])}
    blocks: list[Block] = [
        Table(
            ("Rule pack", "Verdict", "In words"),
            rows,
            "† read from summaries, not compared with its original.",
            "rules",
        )
    ]
    if one.get("disagreement"):
        blocks.append(Note(str(one["disagreement"]), "warning"))
    cautions = {
        c["text"]: c for v in verdicts for c in v.get("cautions", []) if c.get("truth") in ("true", "borderline")
    }
    blocks += [Note(f"Caution: {text}.", "warning") for text in cautions]
    chosen = (one.get("selection") or {}).get("reasons") or {}
    if chosen:
        blocks.append(Prose(f"Which procedure. {_in_words(chosen)}"))
    for verdict in verdicts:
        blocks.append(Folded(f"Clauses of {verdict['title']}", _clauses(verdict, meanings)))
    missing = [
        (
            capital(m["meaning"]),
            _UNITS.get(str(m.get("unit")), str(m.get("unit") or "")),
            m["reason"],
            str(len(m.get("packs", []))),
        )
        for m in one.get("missing", [])
    ]
    if missing:
        heads = ("Not known", "Unit", "Why", "Packs that ask")
        blocks.append(Folded(f"{len(missing)} facts that are missing", [Table(heads, missing)]))
    facts = [(capital(named(key)[0]), _fact(key, value)) for key, value in (one.get("facts") or {}).items()]
    if facts:
        blocks.append(Folded("Facts that were used", [Table(("Fact", "Value"), facts)]))
    return blocks


def verdict_answer(verdict: Document) -> str:
    """Return a rule pack's answer in a few words, marked where the pack was read from summaries."""
    mark = "" if verdict.get("verified") else " †"
    if verdict.get("state") != "decided":
        return f"{verdict.get('state', 'unknown')}{mark}"
    stance = f" ({verdict['stance']})" if verdict.get("stance") else ""
    return f"{spoken(str(verdict.get('answer')))}{stance}{mark}"


def _in_words(verdict: Document) -> str:
    """Return the verdict's sentence; for an open one how many facts are missing and what is still possible."""
    sentence, missing = str(verdict.get("sentence", "")), verdict.get("missing", [])
    if verdict.get("state") == "decided" or not missing or "open: " not in sentence:
        return capital(sentence)
    facts = "1 fact is" if len(missing) == 1 else f"{len(missing)} facts are"
    return f"{facts} missing. Still possible: {sentence.split('open: ', 1)[1].replace(' / ', ' · ')}."


def _clauses(verdict: Document, meanings: Mapping[str, str]) -> list[Block]:
    rows = [
        (
            c["text"],
            _TRUTH.get(str(c["truth"]), str(c["truth"])) + (" (assumed)" if c.get("assumed") else ""),
            c["source"],
        )
        for c in verdict.get("clauses", [])
    ]
    blocks: list[Block] = [Table(("Clause", "Holds", "Source"), rows, style="clauses")] if rows else []
    missing = ", ".join(meanings.get(name, spoken(name)) for name in verdict.get("missing", []))
    said = [f"Version {verdict['version']}."] if verdict.get("version") else []
    said += [f"Missing: {missing}."] if missing else []
    return [*blocks, *(Prose(note) for note in (*said, *verdict.get("notes", [])))]


def _of_person(key: str) -> tuple[str, str]:
    """Return a fact's words and unit; kg and cm are units of a person, in other keys part of a name."""
    return _PERSON.get(key) or named(key)


def _fact(key: str, value: Any) -> str:
    unit = _of_person(key)[1]
    if is_quantity(value):
        return quantity_text(value, unit)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return with_unit(stated(value), unit) if isinstance(value, int | float) else spoken(str(value))
