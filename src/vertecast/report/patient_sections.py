"""The sections of the patient page for one case: which sentences stand where, and with what numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vertecast.core.parameters import read_toml
from vertecast.report.bibliography import Work, load_bibliography
from vertecast.report.case_report_run import Document
from vertecast.report.patient_case import PROCEDURES, PatientCase, quantity
from vertecast.report.patient_drawings import dots, timeline
from vertecast.report.patient_questions import questions, route_names, stances
from vertecast.report.patient_words import Catalogue
from vertecast.report.walkthrough_chapters import TRACE_ML, several
from vertecast.spine.reference import ReferenceKind

_SPOON_ML = 5.0
_SLIGHT_LOSS_PERCENT = 10.0
_REFERENCES = {
    ReferenceKind.PRIOR.value: "prior",
    ReferenceKind.NEIGHBOURS.value: "neighbours",
    ReferenceKind.REGRESSION.value: "regression",
}
_WARM_DEGC = 38.0
"""Below this the nerves' side is as warm as the body, and nothing is said."""


@dataclass(frozen=True, slots=True)
class Item:
    """A paragraph, or a line of a list, with its sources' numbers and perhaps a drawing (SVG)."""

    text: str
    sources: tuple[int, ...] = ()
    name: str = ""
    drawing: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Paragraphs (``kind`` is p), a list (ul, ol), risks, or a drawing (figure); with a heading and a note to it."""

    kind: str
    items: tuple[Item, ...]
    heading: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the page."""

    key: str
    heading: str
    blocks: tuple[Block, ...]


class Sources:
    """Numbers the sources in the order in which the page cites them, and keeps the works they name."""

    def __init__(self) -> None:
        self.listed: list[str] = []
        self.works: list[Work] = []
        self._bibliography = load_bibliography()

    def cite(self, source: str) -> tuple[int, ...]:
        """Return the number of a source, a new one if it was not cited before."""
        cited = self._bibliography.cited(source)
        if cited.text not in self.listed:
            self.listed.append(cited.text)
            self.works += [work for work in cited.works if work not in self.works]
        return (self.listed.index(cited.text) + 1,)


@dataclass(frozen=True, slots=True)
class Told:
    """What the sections are made of."""

    case: PatientCase
    words: Catalogue
    sources: Sources
    numbers: Document

    def fact(self, key: str) -> tuple[int, ...]:
        """Cite the source of a fact of the catalogue."""
        return self.sources.cite(next(one["source"] for one in self.numbers["facts"] if one["key"] == key))

    def p(self, *keys: str) -> Block:
        """Return paragraphs that need no numbers."""
        return Block("p", tuple(Item(self.words.say(key)) for key in keys))


def sections(case: PatientCase, words: Catalogue) -> tuple[tuple[Section, ...], Sources]:
    """Return the page's sections, and the sources by number with the works they name."""
    told = Told(case, words, Sources(), read_toml("patient/numbers.toml"))
    makers = {
        "about": _about,
        "fracture": _fracture,
        "before": _before,
        "during": _during,
        "after": _after,
        "recovery": _recovery,
        "benefits": _benefits,
        "risks": _risks,
        "both": _both,
        "evidence": _evidence,
        "bones": _bones,
        "questions": _questions,
    }
    made = []
    for key, maker in makers.items():
        blocks = tuple(block for block in maker(told) if block.items)
        if blocks:
            made.append(Section(key, words.say(f"heading.{key}"), blocks))
    return tuple(made), told.sources


def _about(told: Told) -> Iterator[Block]:
    shown = told.case.possible if len(told.case.possible) > 1 else (told.case.main_procedure,)
    yield told.p("about.what_is", *(f"about.{one}" for one in reversed(shown)))
    yield told.p("about.when", "about.other_ways", "about.not_for")


def _fracture(told: Told) -> Iterator[Block]:
    case, words = told.case, told.words
    if not case.levels:
        yield Block("p", (Item(words.say("fracture.no_level")),))
        return
    for name in case.levels:
        lines = [words.say("fracture.which", level=words.level(name)), _loss(told, name)]
        shape = (case.run.vertebra(name).get("genant") or {}).get("shape")
        if shape and words.has(f"fracture.{shape}"):
            lines.append(words.say(f"fracture.{shape}"))
        bulge = case.bulge_mm(name)
        if bulge is not None:
            lines.append(words.say("fracture.posterior_wall", mm=f"{bulge:.0f}"))
        yield Block("p", tuple(Item(line) for line in lines))
    stature = quantity(case.run.document("spine").get("stature_lost_mm"))
    if stature is not None and stature.low > 0:
        said = {"mm": stature.value, "low": stature.low, "high": stature.high}
        text = words.say("fracture.stature", **{name: f"{value:.0f}" for name, value in said.items()})
        yield Block("p", (Item(text),))
    yield told.p("fracture.lying", "fracture.common")


def _loss(told: Told, level: str) -> str:
    loss = told.case.loss(level)
    if loss is None:
        return told.words.say("fracture.loss_unknown")
    low, high = f"{max(loss.low, 0):.0f}", f"{max(loss.high, 0):.0f}"
    if loss.value < _SLIGHT_LOSS_PERCENT:
        return told.words.say("fracture.loss_close_to_none", percent=f"{max(loss.value, 0):.0f}", low=low, high=high)
    where = (told.case.run.vertebra(level).get("height_loss_percent") or {}).get("place")
    place = {"anterior": "front", "middle": "middle", "posterior": "back"}.get(str(where), "front")
    reference = (told.case.run.vertebra(level).get("height_loss_percent") or {}).get("reference") or {}
    from_what = told.words.say(f"fracture.from_{_REFERENCES.get(str(reference.get('kind')), 'neighbours')}")
    placed = told.words.say(f"fracture.{place}")
    return told.words.say(
        "fracture.loss", place=placed, percent=f"{loss.value:.0f}", low=low, high=high, from_what=from_what
    )


def _before(told: Told) -> Iterator[Block]:
    keys = ("cause", "scans", "tried", "tell", "infection")
    yield Block("ul", tuple(Item(told.words.say(f"before.{key}")) for key in keys))
    count = stances(told.case)
    if not sum(count.values()):
        yield told.p("before.no_check")
        return
    told_of = {f"{key}_count": str(number or told.words.say("before.none")) for key, number in count.items()}
    first = told_of["for_count"]
    told_of["for_count"] = first[:1].upper() + first[1:]
    text = told.words.say("before.check", count=sum(count.values()), **told_of)
    yield Block("p", (Item(text),))


def _during(told: Told) -> Iterator[Block]:
    case, words = told.case, told.words
    lines = [words.say(f"during.{key}") for key in ("lie", "asleep", "xray")]
    if case.accesses():
        lines.append(words.say(f"during.needles_{'two' if case.accesses() > 1 else 'one'}{several(case)}"))
    if case.main_procedure == "kyphoplasty":
        lines.append(words.say("during.tool" if case.other_tool else "during.balloon"))
    injected = case.injected_ml()
    if injected is not None:
        lines.append(words.say("during.cement", ml=f"{injected:.1f}", spoons=_spoons(words, injected)))
    minutes = case.hard_minutes()
    if minutes is not None:
        lines.append(words.say("during.hard", minutes=minutes))
    session = (case.run.document("plan").get("care") or {}).get("session_minutes")
    if session:
        low, high = f"{session['low']:.0f}", f"{session['high']:.0f}"
        lines.append(words.say("during.time", low=low, high=high))
    yield Block("ul", tuple(Item(line) for line in lines))
    if injected is None:
        yield Block("p", (Item(words.lines("chapter.cement.captions_none")[1]),))


def _spoons(words: Catalogue, volume_ml: float) -> str:
    halves = round(2 * volume_ml / _SPOON_ML)
    if halves <= 1:
        return words.say("during.half_spoon")
    if halves == 2:
        return words.say("during.one_spoon")
    return words.say("during.more_spoons", count=f"{halves / 2:g}")


def _after(told: Told) -> Iterator[Block]:
    yield told.p("after.rest", "after.pain", "recovery.scans")
    signs = told.words.lines("recovery.call_signs")
    yield Block("ul", tuple(Item(sign) for sign in signs), told.words.say("recovery.call"))


def _recovery(told: Told) -> Iterator[Block]:
    case, words = told.case, told.words
    yield told.p("recovery.intro")
    if not case.run.document("plan").get("care"):
        yield Block("p", (Item(words.say("ui.absent", what=words.say("heading.recovery"))),))
        return
    for topic in ("anaesthesia", "incision", "time_per_level", "cement_hardening", "lie_flat", "stay", "follow_up"):
        statements = case.care(topic)
        items = tuple(Item(_statement(words, topic, one), told.sources.cite(one["source"])) for one in statements)
        heading = words.say(f"recovery.{topic}_topic")
        differ = len({item.text for item in items}) > 1
        yield Block("ul", items, heading, words.say("ui.two_sources") if differ else "")
    yield Block("figure", (Item("", drawing=_timeline(told)),))


def _statement(words: Catalogue, topic: str, said: Document) -> str:
    if "choices" in said:
        named = tuple(words.say(f"recovery.{choice}") for choice in said["choices"])
        text = words.joined(named, "recovery.one_of")
        return text if text.endswith(".") else f"{text[:1].upper()}{text[1:]}."
    low, high = f"{said['low']:.0f}", f"{said['high']:.0f}"
    if topic == "follow_up":
        return words.say("recovery.follow_up", low=low, high=high)
    key = "incision_value" if topic == "incision" else "minutes_value"
    return words.say(f"recovery.{key}", low=low)


def _timeline(told: Told) -> str:
    words = told.words
    steps = [tuple(line.split("|")) for line in words.lines("recovery.timeline")]
    return timeline(tuple((when, what) for when, what in steps), words.say("recovery.intro"))


def _benefits(told: Told) -> Iterator[Block]:
    words = told.words
    items = [Item(words.say("benefits.hold"), told.fact("benefits.hold"))]
    if "kyphoplasty" in (*told.case.procedures, *told.case.possible):
        items.append(Item(words.say("benefits.lift"), told.fact("benefits.lift")))
    lifted = told.case.lifted_mm()
    if lifted is not None:
        items.append(Item(words.say("benefits.lift_model", gained=f"{lifted[0]:.1f}", kept=f"{lifted[1]:.1f}")))
    items += [Item(words.say(f"benefits.{key}")) for key in ("pain", "move", "not_life")]
    yield Block("ul", tuple(items))


def _risks(told: Told) -> Iterator[Block]:
    yield told.p("risks.intro")
    yield Block("risks", tuple(_population_risks(told)))
    yield Block("ul", tuple(_model_risks(told)), told.words.say("ui.model_note"))


def _population_risks(told: Told) -> Iterator[Item]:
    words = told.words
    wanted = {*told.case.procedures, *told.case.possible}
    leak_told = False
    for risk in told.numbers["risks"]:
        if "for" in risk and risk["for"] not in wanted:
            continue
        sources = told.sources.cite(risk["source"])
        count = risk.get("per_hundred")
        if risk["key"] == "leak" and not leak_told:
            leak_told = True
            yield Item(words.say("risks.leak"))
        yield Item(_risk_text(words, risk), sources, drawing=_risk_dots(words, count))


def _risk_text(words: Catalogue, risk: Document) -> str:
    key = f"risks.{risk.get('number', risk['key'])}"
    values: dict[str, Any] = {"count": risk["per_hundred"]} if "per_hundred" in risk else {}
    if "for" in risk:
        values["procedure"] = words.say(f"procedure.{risk['for']}")
    text = words.say(key, **values)
    return f"{text} {words.say('ui.unknown_number')}" if risk["status"] == "unknown" else text


def _risk_dots(words: Catalogue, count: int | None) -> str:
    return "" if count is None else dots(count, words.say("ui.per_hundred_alt", count=count))


def _model_risks(told: Told) -> Iterator[Item]:
    case, words = told.case, told.words
    if not case.run.document("simulation"):
        yield Item(words.lines("chapter.cement.captions_none")[1])
        return
    leaks = case.leaks_ml()
    if leaks:
        total = sum(leaks.values())
        drops = words.say("risks.amount_trace") if total <= TRACE_ML else None
        amount = drops or words.say("risks.amount_drops", ml=f"{total:.1f}")
        yield Item(words.say("risks.model_leak", amount=amount, routes=route_names(case, words)))
    else:
        yield Item(words.say("risks.model_no_leak"))
    heat = case.canal_degc()
    if heat is not None and heat >= _WARM_DEGC:
        yield Item(words.say("risks.model_heat", degrees=f"{heat:.0f}"))


def _both(told: Told) -> Iterator[Block]:
    if len(told.case.possible) < 2:
        return
    words = told.words
    yield told.p("both.intro")
    minutes = next(one["minutes"] for one in told.numbers["facts"] if one["key"] == "both.balloon_time")
    time = words.say("both.balloon_time", **{name: str(value) for name, value in minutes.items()})
    shares = {
        one["for"]: str(one["per_hundred"]) for one in told.numbers["risks"] if one["key"] == "leak" and "for" in one
    }
    items = (
        Item(words.say("both.same")),
        Item(words.say("both.balloon")),
        Item(time, told.fact("both.balloon_time")),
        *(Item(words.say(f"both.choose_{one}")) for one in PROCEDURES),
        Item(words.say("both.leak", **shares), told.fact("both.leak")),
    )
    yield Block("ul", items)


def _evidence(told: Told) -> Iterator[Block]:
    yield told.p("evidence.intro")
    for side in ("for", "against", "both"):
        trials = [one for one in told.numbers["evidence"] if one["side"] == side]
        items = tuple(
            Item(told.words.say(f"evidence.{one['key']}"), told.sources.cite(one["source"]), name=one["name"])
            for one in trials
        )
        yield Block("ul", items, told.words.say(f"evidence.{side}"))


def _bones(told: Told) -> Iterator[Block]:
    words = told.words
    items = [Item(words.say("bones.again"), told.fact("bones.again"))]
    items += [Item(words.say(f"bones.{key}")) for key in ("test", "drugs", "food", "move", "falls", "habits")]
    densities = [told.case.run.vertebra(name).get("density") or {} for name in told.case.levels]
    if densities and all(one.get("calibration") is None for one in densities):
        items.append(Item(words.say("bones.density")))
    yield Block("ul", tuple(items))


def _questions(told: Told) -> Iterator[Block]:
    yield told.p("questions.intro")
    yield Block("ol", tuple(Item(text) for text in questions(told.case, told.words)))
