"""The report's opening and closing: the case at a glance, its limits, and every parameter with its source."""

from collections import Counter
from typing import Any

from vertecast.report.case_report_balloon import lift_sentence
from vertecast.report.case_report_blocks import Block, Folded, Note, Prose, Section, Table
from vertecast.report.case_report_findings import verdict_answer
from vertecast.report.case_report_outcome import outcome_sentence
from vertecast.report.case_report_run import RunFolder, absent
from vertecast.report.case_report_words import capital, number, quantity_text, readable, setting, spoken, with_unit

_STATUS = ("measured", "reported", "assumed")
_ALWAYS = (
    "This is research and education, not a medical device: it must not be used to treat a patient.",
    "Needles, cement and heat are simulated; the true ones differ. Veins and fine breaks of the shell are drawn by "
    "chance, since a CT does not show them.",
    "A number in brackets is a 95 % interval. What is unknown is called unknown, with the reason.",
)


def glance_rows(run: RunFolder) -> list[tuple[str, str]]:
    """Return the few lines a surgeon reads first, one group for each treated level."""
    rows = []
    for level in run.levels:
        name = f"{level} " if len(run.levels) > 1 else ""
        vertebra, plan, done = run.vertebra(level), run.level("plan", level), run.level("simulation", level)
        if vertebra:
            rows.append((capital(f"{name}fracture"), _fracture(vertebra)))
        judged = run.level("indication", level)
        if judged:
            rows.append((capital(f"{name}indication"), _indication(judged)))
        if plan:
            rows.append(
                (
                    capital(f"{name}plan"),
                    f"{plan.get('procedure')}, {str(plan.get('sentence')).removeprefix(f'{level}: ')}",
                )
            )
        if done:
            lifted = lift_sentence(done.get("lift"), run.level("outcome", level))
            if lifted:
                rows.append((capital(f"{name}balloon"), lifted))
            rows.append((capital(f"{name}cement"), _cement(done)))
            rows.append((capital(f"{name}leaks"), _leaks(done)))
            rows.append((capital(f"{name}heat"), _heat(done.get("heat"))))
        assessed = outcome_sentence(run.level("outcome", level))
        if assessed:
            rows.append((capital(f"{name}mechanics"), assessed))
    return rows


def _fracture(vertebra: dict[str, Any]) -> str:
    loss = vertebra.get("height_loss_percent") or {}
    parts = [f"height loss {quantity_text(loss, '%', 2)}"]
    grade = (vertebra.get("genant") or {}).get("grade")
    if grade == 0:
        parts.insert(0, "none by its height")
    parts.append(
        "not graded" if grade is None else f"Genant {grade:g} {(vertebra['genant'].get('shape') or '')}".strip()
    )
    if vertebra.get("of_class"):
        parts.append(spoken(str(vertebra["of_class"])))
    age = (vertebra.get("acuity") or {}).get("summary")
    return ", ".join([*parts, f"age {spoken(str(age))}"] if age else parts)


def _indication(judged: dict[str, Any]) -> str:
    verdicts = [*judged.get("verdicts", []), *judged.get("dissent", [])]
    decided = [v for v in verdicts if v.get("state") == "decided"]
    said = "; ".join(f"{str(v['title']).split(' (')[0]}: {verdict_answer(v)}" for v in decided)
    count = f"{len(decided)} of {len(verdicts)} rule packs decided"
    return f"{count}. {said}" if said else f"{count}; the patient's record is missing facts"


def _cement(done: dict[str, Any]) -> str:
    total = sum((done.get("injected_ml") or {}).values())
    said = f"{with_unit(f'{total:.1f}', 'mL')} injected"
    if done.get("fill_of_body_percent") is not None:
        said += f", {done['fill_of_body_percent']:.0f}\u202f% of the body"
    if done.get("peak_syringe_pressure_bar") is not None:
        said += f", up to {with_unit(number(done['peak_syringe_pressure_bar'], 2), 'bar')} at the syringe"
    return said


def _leaks(done: dict[str, Any]) -> str:
    leaks = {route: volume for route, volume in (done.get("leaked_ml") or {}).items() if volume >= 5e-4}
    if not leaks:
        return "none of 0.001 mL or more"
    return ", ".join(f"{spoken(route)} {with_unit(f'{volume:.3f}', 'mL')}" for route, volume in leaks.items())


def _heat(heat: Any) -> str:
    if not isinstance(heat, dict):
        return "not simulated"
    names = (("cement_peak_degc", "cement"), ("bone_peak_degc", "bone"), ("canal_peak_degc", "spinal canal"))
    said = [f"{name} {with_unit(f'{heat[key]:.0f}', '°C')}" for key, name in names if heat.get(key) is not None]
    return "hottest: " + ", ".join(said) if said else "no numbers"


def limits_section(run: RunFolder) -> Section:
    """Return what this run and its methods cannot say."""
    blocks: list[Block] = [Prose(sentence) for sentence in _ALWAYS]
    manifest = run.document("manifest")
    said = [*manifest.get("warnings", [])]
    said += [sentence for level in run.levels for sentence in run.level("plan", level).get("limits", [])]
    paths = [str(path) for path in manifest.get("run", {}).get("paths", {}).values()]
    blocks += [Note(capital(readable(without_paths(sentence, paths))), "warning") for sentence in dict.fromkeys(said)]
    skipped: dict[str, list[str]] = {}
    for one in manifest.get("skipped", []):
        skipped.setdefault(str(one["reason"]), []).append(str(one["artefact"]))
    blocks += [Note(f"Skipped: {', '.join(names)}; {without_paths(why, paths)}.") for why, names in skipped.items()]
    return Section("limits", "Limits", blocks)


def without_paths(sentence: str, paths: list[str]) -> str:
    """Return a sentence in which an input is named by its file alone: a folder's name may be a patient's."""
    for path in sorted(paths, key=len, reverse=True):
        if path in sentence:
            sentence = sentence.replace(path, "the image")
    return sentence


def parameters_section(run: RunFolder) -> Section:
    """Return every parameter the run used, by its status, and what computed it."""
    manifest = run.document("manifest")
    if not manifest:
        return Section("parameters", "Parameters and sources", [Note(absent("manifest", "the parameters used"))])
    used = manifest.get("parameters", [])
    counts = Counter(one.get("status") for one in used)
    said = ", ".join(f"{counts[status]} {status}" for status in _STATUS)
    blocks: list[Block] = [Prose(f"This run used {len(used)} parameters: {said}. Each has its source beside it.")]
    for status in _STATUS:
        rows = [
            (one["name"], _value(one.get("value")), one.get("unit") or "", one.get("source") or "")
            for one in used
            if one.get("status") == status
        ]
        if rows:
            heads = ("Parameter", "Value", "Unit", "Source")
            blocks.append(Folded(f"{len(rows)} {status}", [Table(heads, rows, style="parameters")]))
    versions = sorted(manifest.get("software", {}).items())
    blocks.append(Folded("Versions of the software", [Table(("Software", "Version"), versions, style="facts")]))
    stages = manifest.get("run", {}).get("stages", [])
    spent = [(one["name"], number(one["seconds"]), number(one["peak_memory_mib"])) for one in stages]
    if spent:
        table = Table(("Stage", "Seconds", "Peak memory, MiB"), spent, style="numbers")
        blocks.append(Folded("Time and memory of each stage", [table]))
    if manifest.get("seed") is not None:
        blocks.append(Prose(f"Seed of what is drawn by chance: {manifest['seed']}."))
    return Section("parameters", "Parameters and sources", blocks)


def _value(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ", ".join(_value(one) for one in value) if isinstance(value, list) else str(value)
    return setting(float(value))
