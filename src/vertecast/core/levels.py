"""The vertebral levels by their names; every label dialect is translated to these and back."""

from collections.abc import Container
from enum import Enum


class Region(Enum):
    """The part of the spine a level belongs to."""

    CERVICAL = "cervical"
    THORACIC = "thoracic"
    LUMBAR = "lumbar"
    SACRAL = "sacral"


class Level(Enum):
    """One vertebra. T13 and L6 are named, never renumbered; the order is craniocaudal."""

    C1 = "C1"
    C2 = "C2"
    C3 = "C3"
    C4 = "C4"
    C5 = "C5"
    C6 = "C6"
    C7 = "C7"
    T1 = "T1"
    T2 = "T2"
    T3 = "T3"
    T4 = "T4"
    T5 = "T5"
    T6 = "T6"
    T7 = "T7"
    T8 = "T8"
    T9 = "T9"
    T10 = "T10"
    T11 = "T11"
    T12 = "T12"
    T13 = "T13"
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"
    L4 = "L4"
    L5 = "L5"
    L6 = "L6"
    S1 = "S1"

    @property
    def rank(self) -> int:
        """Craniocaudal order: C1 is 0, larger is lower."""
        return _RANK[self]

    @property
    def region(self) -> Region:
        """Cervical, thoracic, lumbar or sacral."""
        return _REGION[self.value[0]]

    def __str__(self) -> str:
        return self.value


NOT_EVERYONE_HAS = (Level.T13, Level.L6)
"""Levels whose absence between two others is no gap."""
_RANK = {level: rank for rank, level in enumerate(Level)}
_REGION = {"C": Region.CERVICAL, "T": Region.THORACIC, "L": Region.LUMBAR, "S": Region.SACRAL}


def neighbour(levels: Container[Level], level: Level, step: int) -> Level | None:
    """Return the next level above (-1) or below (+1) if it is present; T13 and L6 are passed over where absent."""
    order = list(Level)
    at = level.rank + step
    while 0 <= at < len(order):
        if order[at] in levels:
            return order[at]
        if order[at] not in NOT_EVERYONE_HAS:
            return None
        at += step
    return None
