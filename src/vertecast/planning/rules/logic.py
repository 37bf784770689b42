"""Kleene's strong three-valued logic, with the undetermined value in two kinds: missing, and too close to call."""

from collections.abc import Iterable
from enum import Enum


class Truth(Enum):
    """What is known of a statement.

    ``UNKNOWN``: an input is missing. ``BORDERLINE``: all inputs are there, but the interval of a measured one holds
    the cut. Both are Kleene's third value; where they meet, ``UNKNOWN`` wins, since the missing input must come first.
    """

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"
    BORDERLINE = "borderline"

    @property
    def decided(self) -> bool:
        """Whether it is plainly true or plainly false."""
        return self in (Truth.TRUE, Truth.FALSE)

    @classmethod
    def of(cls, value: bool) -> "Truth":
        """Return the truth of a known statement."""
        return cls.TRUE if value else cls.FALSE


def negation(truth: Truth) -> Truth:
    """Return NOT; what is undetermined stays so."""
    return {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE}.get(truth, truth)


def at_least(count: int, truths: Iterable[Truth]) -> Truth:
    """Tell whether ``count`` or more of the statements are true; AND and OR are its two ends."""
    known = list(truths)
    sure = known.count(Truth.TRUE)
    if sure >= count:
        return Truth.TRUE
    if len(known) - known.count(Truth.FALSE) < count:
        return Truth.FALSE
    return Truth.UNKNOWN if Truth.UNKNOWN in known else Truth.BORDERLINE


def all_of(truths: Iterable[Truth]) -> Truth:
    """Return AND: one false statement decides, whatever is unknown."""
    known = list(truths)
    return at_least(len(known), known)


def any_of(truths: Iterable[Truth]) -> Truth:
    """Return OR: one true statement decides, whatever is unknown."""
    return at_least(1, truths)
