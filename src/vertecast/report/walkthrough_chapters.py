"""The chapters of the walk-through: which there are for a case, and what each says."""

from collections.abc import Callable
from dataclasses import dataclass

from vertecast.report.patient_case import PatientCase, quantity
from vertecast.report.patient_words import Catalogue

KEYS = ("spine", "fracture", "face_down", "needle", "balloon", "cement", "hardening", "home")
TRACE_ML = 0.05
"""Up to a drop of this size a leak is called a trace."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One step: its key, title, the captions one after the other, and a sentence more for the page."""

    key: str
    title: str
    captions: tuple[str, ...]
    more: str


def chapters(case: PatientCase, words: Catalogue) -> tuple[Chapter, ...]:
    """Return the steps of a case in order; vertebroplasty has no balloon."""
    keys = [key for key in KEYS if key != "balloon" or case.main_procedure == "kyphoplasty"]
    made = []
    for key in keys:
        text = "tool" if key == "balloon" and case.other_tool else key
        captions = _captions(case, words, key)
        more = "more_whole" if key == "fracture" and whole_by_height(case) else "more"
        made.append(Chapter(key, words.say(f"chapter.{text}.title"), captions, words.say(f"chapter.{text}.{more}")))
    return tuple(made)


def has_balloon_course(case: PatientCase) -> bool:
    """Tell whether the run holds the course of the balloon, or of another tool that makes room."""
    return any(case.run.events_of("inflation"))


def expected_height_known(case: PatientCase) -> bool:
    """Tell whether the height that the bone should have is known at the first level."""
    heights = case.run.vertebra(case.levels[0]).get("reference_heights_mm") or {} if case.levels else {}
    return quantity(heights.get("anterior")) is not None and quantity(heights.get("posterior")) is not None


def whole_by_height(case: PatientCase) -> bool:
    """Tell whether no level that was chosen is fractured by its height; not when a grade is unknown."""
    grades = [(case.run.vertebra(name).get("genant") or {}).get("grade") for name in case.levels]
    return bool(grades) and all(grade == 0 for grade in grades)


def millilitres(value: float) -> str:
    """Return a volume as a patient reads it: one decimal.

    >>> millilitres(4.955)
    '5.0'
    """
    return f"{value:.1f}"


def _captions(case: PatientCase, words: Catalogue, key: str) -> tuple[str, ...]:
    special: dict[str, Callable[[PatientCase, Catalogue], tuple[str, ...]]] = {
        "spine": _spine,
        "fracture": _fracture,
        "needle": _needle,
        "balloon": _balloon,
        "cement": _cement,
        "hardening": _hardening,
        "home": _home,
    }
    return special[key](case, words) if key in special else words.lines(f"chapter.{key}.captions")


def _spine(case: PatientCase, words: Catalogue) -> tuple[str, ...]:
    if not case.levels:
        return words.lines("chapter.spine.captions_no_level")
    named = words.joined(tuple(words.level(name) for name in case.levels))
    return words.lines("chapter.spine.captions" + several(case), level=named)


def several(case: PatientCase) -> str:
    """Return the end of the key where more than one bone is meant."""
    return "_several" if len(case.levels) > 1 else ""


def _fracture(case: PatientCase, words: Catalogue) -> tuple[str, ...]:
    if whole_by_height(case):
        return words.lines("chapter.fracture.captions_whole" + several(case))
    known = "" if expected_height_known(case) else "_no_line"
    return words.lines(f"chapter.fracture.captions{known}{several(case)}")


def _needle(case: PatientCase, words: Catalogue) -> tuple[str, ...]:
    return words.lines("chapter.needle.captions" + ("_two" if case.accesses() > 1 else "") + several(case))


def _balloon(case: PatientCase, words: Catalogue) -> tuple[str, ...]:
    text = "tool" if case.other_tool else "balloon"
    return words.lines(f"chapter.{text}.captions" + ("" if has_balloon_course(case) else "_none"))


def _cement(case: PatientCase, words: Catalogue) -> tuple[str, ...]:
    injected = case.injected_ml()
    if injected is None:
        return words.lines("chapter.cement.captions_none")
    leaked = sum(case.leaks_ml().values())
    variant = "" if not leaked else "_leak" if leaked <= TRACE_ML else "_leak_more"
    return words.lines(f"chapter.cement.captions{variant}{several(case)}", ml=millilitres(injected))


def _hardening(case: PatientCase, words: Catalogue) -> tuple[str, ...]:
    minutes = case.hard_minutes()
    if minutes is None:
        return words.lines("chapter.hardening.captions_unknown")
    return words.lines("chapter.hardening.captions", minutes=minutes)


def _home(case: PatientCase, words: Catalogue) -> tuple[str, ...]:
    weeks = [one for one in case.care("follow_up") if one.get("unit") == "wk"]
    if not weeks:
        return words.lines("chapter.home.captions_unknown")
    low, high = min(one["low"] for one in weeks), max(one["high"] for one in weeks)
    return words.lines("chapter.home.captions", low=f"{low:g}", high=f"{high:g}")
