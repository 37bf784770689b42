"""Proves the course of care: every topic is stated with its source, disagreement is shown, time adds up over levels."""

import pytest

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Status
from vertecast.planning.care import TOPICS, Statement, course_of_care
from vertecast.planning.selector import Procedure

KP, VP = Procedure.KYPHOPLASTY, Procedure.VERTEBROPLASTY


def test_every_topic_is_there_with_sources() -> None:
    course = course_of_care((KP,))
    assert tuple(course.topics) == TOPICS
    assert all(topic.statements and all(s.source for s in topic.statements) for topic in course.topics.values())


def test_sources_that_disagree_are_both_shown() -> None:
    topics = course_of_care((KP,)).topics
    assert [t for t in TOPICS if topics[t].disagree] == [
        "anaesthesia", "incision", "time_per_level", "cement_hardening", "stay",
    ]  # fmt: skip
    assert {(s.low, s.high) for s in topics["incision"].statements} == {(10.0, 10.0), (12.7, 12.7)}
    choices = {c for s in topics["anaesthesia"].statements for c in s.choices}
    assert choices == {"local", "general", "iv_sedation"}


def test_time_adds_up_over_levels_and_follows_the_procedure() -> None:
    assert (course_of_care((KP,)).minutes_low, course_of_care((VP,)).minutes_low) == (40.0, 31.8)
    both = course_of_care((KP, VP))
    assert (both.minutes_low, both.minutes_high) == pytest.approx((71.8, 120.0))
    entry = both.as_json()
    assert entry["session_minutes"] == {"low": pytest.approx(71.8), "high": 120.0, "levels": 2}
    assert len(entry["time_per_level"]["statements"]) == 3
    assert len(course_of_care((VP,)).topics["time_per_level"].statements) == 2


@pytest.mark.parametrize(
    "bad",
    [
        {"topic": "mood", "choices": ("good",)},
        {"topic": "stay"},
        {"topic": "incision", "low": 3.0, "high": 2.0, "unit": "mm"},
        {"topic": "incision", "low": 1.0, "high": 2.0, "unit": "furlong"},
        {"topic": "incision", "low": 1.0, "high": 2.0, "unit": "mm", "choices": ("a",)},
    ],
)
def test_statements_that_say_nothing_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=r"needs a known topic|is not known"):
        Statement(source="x", status=Status.REPORTED, **bad)  # type: ignore[arg-type]


def test_these_checks_can_fail() -> None:
    """One source alone does not disagree with itself."""
    topic = course_of_care((KP,)).topics["lie_flat"]
    assert not topic.disagree
