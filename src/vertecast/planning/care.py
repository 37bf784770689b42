"""The course of care around the operation, as the sources state it; where they disagree, every statement is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Status, read_toml
from vertecast.core.quantities import known_unit
from vertecast.planning.selector import Procedure

TOPICS = (
    "position",
    "anaesthesia",
    "incision",
    "time_per_level",
    "cement_hardening",
    "lie_flat",
    "stay",
    "follow_up",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one source says of one topic: a range with its unit, or words to choose from."""

    topic: str
    source: str
    status: Status
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""
    procedure: Procedure | None = None

    def __post_init__(self) -> None:
        ranged = self.low is not None and self.high is not None and self.low <= self.high
        if self.topic not in TOPICS or not self.source or ranged == bool(self.choices):
            raise ParameterError(
                f"statement on {self.topic!r} ({self.source!r}) needs a known topic, a source and either "
                "low <= high or choices; correct data/care/course.toml"
            )
        if ranged:
            known_unit(self.unit)

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        said = (
            {"choices": list(self.choices)} if self.choices else {"low": self.low, "high": self.high, "unit": self.unit}
        )
        return {**said, "source": self.source, "status": self.status.value}


@dataclass(frozen=True, slots=True)
class Topic:
    """Every statement on one topic."""

    name: str
    statements: tuple[Statement, ...]

    @property
    def disagree(self) -> bool:
        """Whether the sources say different things."""
        return len({(s.choices, s.low, s.high, s.unit) for s in self.statements}) > 1

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        return {"sources_disagree": self.disagree, "statements": [s.as_json() for s in self.statements]}


@dataclass(frozen=True, slots=True)
class CourseOfCare:
    """All topics for one session, with the time on the table over its levels."""

    topics: Mapping[str, Topic]
    levels: int
    minutes_low: float
    minutes_high: float

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        return {
            **{name: topic.as_json() for name, topic in self.topics.items()},
            "session_minutes": {"low": self.minutes_low, "high": self.minutes_high, "levels": self.levels},
        }


def course_of_care(procedures: tuple[Procedure, ...]) -> CourseOfCare:
    """Collect the statements that hold for a session with one procedure per level; minutes add up over the levels."""
    everything = _statements()
    chosen = set(procedures)
    topics = {
        name: Topic(name, tuple(s for s in everything if s.topic == name and s.procedure in {None, *chosen}))
        for name in TOPICS
    }
    low = high = 0.0
    for procedure in procedures:
        times = [s for s in everything if s.topic == "time_per_level" and s.procedure in (None, procedure)]
        low += min(s.low or 0.0 for s in times)
        high += max(s.high or 0.0 for s in times)
    return CourseOfCare(topics, len(procedures), low, high)


def _statements() -> tuple[Statement, ...]:
    return tuple(
        Statement(
            topic=entry["topic"],
            source=entry["source"],
            status=Status(entry["status"]),
            choices=tuple(entry.get("choices", ())),
            low=entry.get("low"),
            high=entry.get("high"),
            unit=entry.get("unit", ""),
            procedure=Procedure(entry["for"]) if "for" in entry else None,
        )
        for entry in read_toml("care/course.toml")["statements"]
    )
