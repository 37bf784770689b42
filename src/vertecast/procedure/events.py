"""What happens during the procedure, as a stream of small events: one source for films, audit, training and reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from vertecast.core.errors import ParameterError
from vertecast.core.levels import Level
from vertecast.core.quantities import quantity
from vertecast.core.sides import Side

Datum = str | float | int | bool | None
_DIGITS = 6  # significant: what a reader can use, and the same on every run


class EventKind(Enum):
    """What an event is about."""

    ACCESS = "access"
    CEMENT_MIXED = "cement_mixed"
    BALLOON_PLACED = "balloon_placed"
    INFLATION = "inflation"
    DEFLATION = "deflation"
    BALLOON_REMOVED = "balloon_removed"
    INJECTION_STARTED = "injection_started"
    PROGRESS = "progress"
    LEAK = "leak"
    STOP = "stop"
    INJECTION_ENDED = "injection_ended"
    NEEDLE_REMOVED = "needle_removed"
    CURE_STARTED = "cure_started"
    PEAK_TEMPERATURE = "peak_temperature"
    HARD = "hard"
    CURED = "cured"
    CANCELLED = "cancelled"
    RESUMED = "resumed"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. ``data`` holds plain values whose names carry their clinical unit."""

    seq: int
    t_s: float = quantity("s", "since the procedure's start")
    level: Level | None
    side: Side | None
    kind: EventKind
    data: Mapping[str, Datum] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.t_s >= 0:
            raise ParameterError(f"event {self.kind.value} at {self.t_s} s lies before the procedure's start")
        object.__setattr__(self, "data", MappingProxyType({k: _plain(k, v) for k, v in self.data.items()}))

    def as_json(self) -> dict[str, Any]:
        """Return one line of ``events.jsonl``."""
        return {
            "seq": self.seq,
            "t_s": round(self.t_s, 3),
            "level": None if self.level is None else self.level.value,
            "side": None if self.side is None else self.side.value,
            "kind": self.kind.value,
            "data": dict(self.data),
        }

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> "Event":
        """Read an event back."""
        return cls(
            seq=int(line["seq"]),
            t_s=float(line["t_s"]),
            level=None if line["level"] is None else Level(line["level"]),
            side=None if line["side"] is None else Side(line["side"]),
            kind=EventKind(line["kind"]),
            data=line["data"],
        )


def _plain(name: str, value: Any) -> Datum:
    if value is None or isinstance(value, str | bool | int):
        return value
    number = float(value)
    if not abs(number) < float("inf"):
        raise ParameterError(f"event datum {name} = {number} is not finite; leave it out or give None")
    return float(f"{number:.{_DIGITS}g}")
