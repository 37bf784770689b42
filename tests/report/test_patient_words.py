"""The patient pages' text: plain by a reading formula, strict about placeholders, a source behind every number."""

import re
import warnings
from collections.abc import Iterator
from types import MappingProxyType

import pytest

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import data_file, read_toml
from vertecast.report.patient_words import LONGEST_GLOSSARY, Catalogue, load_catalogue, placeholders
from vertecast.report.walkthrough_frame import ACCENT, INK, PAPER, QUIET

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # textstat's own imports
    import textstat

HARDEST_GRADE = 6.0
WORDS = load_catalogue()
NUMBERS = read_toml("patient/numbers.toml")


def grade(texts: list[str]) -> float:
    """Flesch-Kincaid grade without the glossary's words; placeholders count as a short word."""
    joined = " ".join(text if text.rstrip()[-1:] in ".?!" else f"{text}." for text in texts)
    plain = re.sub(r"\{\w+\}", "five", joined)
    plain = re.sub(r"\b(" + "|".join(WORDS.glossary) + r")\b", "", plain, flags=re.IGNORECASE)
    return float(textstat.flesch_kincaid_grade(plain))


def whole_sentences() -> list[str]:
    return [text for _, text in WORDS.sentences() if len(text.split()) > 3]


def test_the_catalogue_reads_at_sixth_grade_or_below() -> None:
    assert grade(whole_sentences()) <= HARDEST_GRADE


@pytest.mark.parametrize("section", [name for name in WORDS.entries if name not in ("language", "procedure", "level")])
def test_each_section_reads_at_sixth_grade_or_below(section: str) -> None:
    texts = [text for key, text in WORDS.sentences() if key.startswith(f"{section}.") and len(text.split()) > 3]
    assert grade(texts) <= HARDEST_GRADE


def test_the_grade_can_fail() -> None:
    assert (
        grade(["Percutaneous augmentation of osteoporotic compression fractures necessitates fluoroscopic guidance."])
        > 12
    )


def test_only_a_few_words_are_left_out_and_all_are_explained() -> None:
    assert len(WORDS.glossary) <= LONGEST_GLOSSARY
    assert all(len(meaning.split()) > 2 for meaning in WORDS.glossary.values())
    with pytest.raises(ParameterError, match="has 13 words, allowed are 1 to 12"):
        Catalogue(MappingProxyType({"language": "xx", "glossary": {f"word{k}": "a word" for k in range(13)}}))


def test_a_placeholder_is_filled_or_refused() -> None:
    assert WORDS.say("ui.case", case_id="7") == "Case: 7"
    with pytest.raises(ParameterError, match=r"asks for \['case_id'\] and was given \[\]"):
        WORDS.say("ui.case")
    with pytest.raises(ParameterError, match=r"was given \['case_id', 'name'\]"):
        WORDS.say("ui.case", case_id="7", name="x")
    with pytest.raises(ParameterError, match=r"no key ui\.nothing"):
        WORDS.say("ui.nothing")
    with pytest.raises(ParameterError, match=r"has no placeholder \['ml'\]"):
        WORDS.lines("chapter.spine.captions", level="x", ml="5")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("L2", "the second bone of your lower back (L2)"),
        ("T11", "the eleventh bone of your upper back (T11)"),
        ("C7", "the seventh bone of your neck (C7)"),
        ("sacrum", "the bone sacrum"),
    ],
)
def test_a_level_is_said_in_words(name: str, said: str) -> None:
    assert WORDS.level(name) == said


def test_parts_are_joined_and_nothing_is_refused() -> None:
    assert WORDS.joined(("a", "b", "c")) == "a, b and c"
    with pytest.raises(ParameterError, match="nothing to list"):
        WORDS.joined(())


@pytest.mark.parametrize("entry", NUMBERS["risks"], ids=lambda one: one["key"])
def test_every_risk_has_a_source_and_a_number_or_says_that_there_is_none(entry: dict[str, object]) -> None:
    sentence = WORDS.say(f"risks.{entry['key']}") if "per_hundred" not in entry else ""
    assert str(entry["source"]).strip()
    assert entry["status"] in {"measured", "reported", "assumed", "unknown"}
    if "per_hundred" in entry:
        assert "count" in placeholders(WORDS.entries["risks"][entry.get("number", entry["key"])])
        assert entry["status"] != "unknown"
        given = re.search(r"(\d+) of (\d+)", str(entry["source"]))
        if given:  # the share is that of the counts in the source
            assert entry["per_hundred"] == round(100 * int(given[1]) / int(given[2]))
    else:
        assert not re.search(r"\d", sentence)


def numbered() -> Iterator[str]:
    """Keys whose sentence states a number of its own about people or bones."""
    for key, text in WORDS.sentences():
        if key.split(".")[0] in {"benefits", "evidence", "bones", "both", "risks", "after"} and re.search(
            r"\d|five times", re.sub(r"of 100|\{\w+\}", "", text)
        ):
            yield key


def test_every_number_in_the_text_has_a_source() -> None:
    sourced = {one["key"] for one in NUMBERS["facts"]} | {f"evidence.{one['key']}" for one in NUMBERS["evidence"]}
    assert set(numbered()) <= sourced
    assert {"benefits.hold", "bones.again", "evidence.vertos_iv"} <= set(numbered())  # the search finds what it should
    assert all(one["source"].strip() for one in (*NUMBERS["facts"], *NUMBERS["evidence"]))


def test_the_trials_that_dissent_are_there() -> None:
    against = {one["name"] for one in NUMBERS["evidence"] if one["side"] == "against"}
    assert {"Buchbinder", "INVEST", "VERTOS IV", "ASBMR 2019", "AAOS 2010"} <= against


def test_nothing_is_promised_and_no_claim_is_made_on_length_of_life() -> None:
    for key, text in WORDS.sentences():
        if key in {"benefits.not_life", "benefits.pain"}:
            continue
        assert not re.search(
            r"live longer|surviv|mortal|pain[- ]free|will (?:cure|heal|relieve|take away)", text, re.I
        ), key
    assert "do not promise" in WORDS.say("benefits.pain")


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("front", "ground"),
    [
        (INK, PAPER),
        (PAPER, INK),
        (QUIET, INK),
        (ACCENT, PAPER),
        (INK, "#fbf1ea"),
        (INK, "#eef3f5"),
        ("#43606d", "#eef3f5"),
        ("#43606d", PAPER),
        ("#0b5275", PAPER),
    ],
)
def test_colours_are_told_apart(front: str, ground: str) -> None:
    css = data_file("patient/patient.css").read_text(encoding="utf-8")
    assert contrast(front, ground) >= 4.5
    assert all(colour in css for colour in (front, ground) if colour != QUIET)


def test_contrast_is_the_published_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_the_font_ships_with_its_licence() -> None:
    assert data_file("patient/atkinson-hyperlegible-latin-400-normal.woff2").read_bytes()[:4] == b"wOF2"
    assert "SIL OPEN FONT LICENSE" in data_file("patient/atkinson-hyperlegible-LICENSE.txt").read_text(encoding="utf-8")
