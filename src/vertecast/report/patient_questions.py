"""Questions for the doctor, made from the case: what is borderline, missing, disputed or went wrong in the model."""

from collections.abc import Iterator
from typing import Any

from vertecast.report.case_report_run import Document
from vertecast.report.patient_case import PatientCase
from vertecast.report.patient_words import Catalogue

MOST_MISSING = 9
"""Questions about missing facts that one page can bear; the rules ask for the first ones most often."""


def questions(case: PatientCase, words: Catalogue) -> tuple[str, ...]:
    """Return the questions of a case, each once, those of its own findings first."""
    asked = [
        *_of_findings(case, words),
        *_of_rules(case, words),
        *_of_simulation(case, words),
        *_of_missing(case, words),
        *(words.say(f"questions.{key}") for key in ("wait", "trials", "neighbours", "lying")),
    ]
    return tuple(dict.fromkeys(asked))


def stances(case: PatientCase) -> dict[str, int]:
    """Count the indication's rule packs, over all levels: ``for``, ``against`` and ``open``."""
    count = {"for": 0, "against": 0, "open": 0}
    for verdict in _verdicts(case):
        if verdict.get("role") != "indication":
            continue
        stance = verdict.get("stance") if verdict.get("state") == "decided" else None
        count[stance if stance in ("for", "against") else "open"] += 1
    return count


def route_names(case: PatientCase, words: Catalogue) -> str:
    """Return the routes of leaks in words; empty when the model leaked nowhere."""
    routes = tuple(
        words.say(f"risks.route_{route}") if words.has(f"risks.route_{route}") else route for route in case.leaks_ml()
    )
    return words.joined(routes) if routes else ""


def _of_findings(case: PatientCase, words: Catalogue) -> Iterator[str]:
    if len(case.possible) > 1:
        yield words.say("questions.which")
    for name in case.levels:
        level = words.level(name)
        if any("height_loss_percent" in (one.get("borderline") or ()) for one in _verdicts(case, name)):
            yield words.say("questions.borderline", level=level)
        if case.bulge_mm(name) is not None:
            yield words.say("questions.posterior_wall", level=level)
        vertebra = case.run.vertebra(name)
        if (vertebra.get("genant") or {}).get("grade") == 0:
            yield words.say("questions.whole", level=level)
        if (vertebra.get("acuity") or {}).get("summary") in ("unknown", "indeterminate", "mixed"):
            yield words.say("questions.old_break")
        if (vertebra.get("density") or {}).get("calibration", "none stated") is None:
            yield words.say("questions.uncalibrated")
        plan = case.run.level("plan", name)
        if plan and not plan.get("plans"):
            yield words.say("questions.refused")
    if len(case.levels) > 1:
        yield words.say("questions.several")


def _of_rules(case: PatientCase, words: Catalogue) -> Iterator[str]:
    if not case.run.document("indication"):
        yield words.say("questions.no_rules")
    count = stances(case)
    if count["for"] and count["against"]:
        yield words.say("questions.disagree")
    elif count["against"]:
        yield words.say("questions.against")


def _of_simulation(case: PatientCase, words: Catalogue) -> Iterator[str]:
    if not case.run.document("simulation"):
        yield words.say("questions.no_simulation")
        return
    routes = route_names(case, words)
    if routes:
        yield words.say("questions.leak", routes=routes)
    if case.stopped_early():
        yield words.say("questions.stopped")


def _of_missing(case: PatientCase, words: Catalogue) -> Iterator[str]:
    missing: dict[str, int] = {}
    for name in case.levels:
        for one in case.run.level("indication", name).get("missing") or ():
            key = str(one.get("name"))
            missing[key] = max(missing.get(key, 0), len(one.get("packs") or ()))
    by_weight = sorted(missing, key=lambda key: -missing[key])  # stable: equal weights stay in the rules' order
    found = dict.fromkeys(words.say(f"missing.{key}") for key in by_weight if words.has(f"missing.{key}"))
    yield from list(found)[:MOST_MISSING]


def _verdicts(case: PatientCase, level: str | None = None) -> list[Document]:
    found: list[Any] = []
    for name in case.levels if level is None else (level,):
        found += case.run.level("indication", name).get("verdicts") or ()
    return found
