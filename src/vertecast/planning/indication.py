"""Is augmentation indicated at a level: every pack's verdict side by side, with their disagreement."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vertecast.core.levels import Level
from vertecast.planning.patient import Patient
from vertecast.planning.rules.derived import with_derived
from vertecast.planning.rules.facts import Facts, Session, gather
from vertecast.planning.rules.packs import Pack, Role, shipped_packs
from vertecast.planning.rules.verdicts import Disagreement, State, Verdict, disagreement, judge
from vertecast.planning.rules.vocabulary import VOCABULARY

DISCLAIMER = "Research and education; not a medical device, and not advice for a patient."


@dataclass(frozen=True, slots=True)
class Missing:
    """One fact that would help, why it is missing and which packs wait for it."""

    name: str
    doc: str
    unit: str
    reason: str
    packs: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``indication.json``."""
        return {
            "name": self.name,
            "meaning": self.doc,
            "unit": self.unit or None,
            "reason": self.reason,
            "packs": list(self.packs),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Indication:
    """All verdicts on one level.

    Parameters
    ----------
    verdicts : indication and safety packs; dissent : statements shown beside them
    derived : what a measurement stood in for
    conflict : packs that are decided and contradict one another, dissent not counted
    """

    level: Level
    facts: Facts
    verdicts: tuple[Verdict, ...]
    dissent: tuple[Verdict, ...]
    derived: tuple[str, ...]
    conflict: Disagreement | None

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Everything the undecided packs wait for, the most wanted first."""
        wanted: dict[str, list[str]] = {}
        for verdict in (*self.verdicts, *self.dissent):
            for name in verdict.missing:
                wanted.setdefault(name, []).append(verdict.pack.id)
        order = sorted(wanted, key=lambda name: (-len(wanted[name]), name))
        return tuple(
            Missing(n, VOCABULARY[n].doc, VOCABULARY[n].unit, self.facts.why_missing(n), tuple(wanted[n]))
            for n in order
        )

    @property
    def cannot_decide(self) -> bool:
        """Whether not one indication pack could be decided."""
        open_states = (State.CANNOT_DECIDE, State.BORDERLINE)
        judged = [v for v in self.verdicts if v.pack.role is Role.INDICATION and v.state is not State.NOT_APPLICABLE]
        return all(v.state in open_states for v in judged)

    def as_json(self) -> dict[str, Any]:
        """Return one level's entry of ``indication.json``."""
        return {
            "level": self.level.value,
            "verdicts": [v.as_json() for v in self.verdicts],
            "dissent": [v.as_json() for v in self.dissent],
            "disagreement": self.conflict.as_json() if self.conflict else None,
            "missing": [m.as_json() for m in self.missing],
            "derived": list(self.derived),
            "facts": self.facts.as_json(),
            "disclaimer": DISCLAIMER,
        }


def indicate(
    level: Level,
    patient: Patient,
    vertebra: Mapping[str, Any] | None = None,
    *,
    session: Session,
    packs: Iterable[Pack] | None = None,
) -> Indication:
    """Judge one level by every pack.

    Parameters
    ----------
    vertebra : the level's entry of ``spine.json``; ``None`` when no CT was measured
    packs : the shipped ones unless given
    """
    facts, derived = with_derived(gather(level, patient, vertebra, session))
    verdicts = [judge(pack, facts) for pack in (shipped_packs() if packs is None else packs)]
    agreed = tuple(v for v in verdicts if v.pack.role is not Role.DISSENT)
    return Indication(
        level=level,
        facts=facts,
        verdicts=agreed,
        dissent=tuple(v for v in verdicts if v.pack.role is Role.DISSENT),
        derived=derived,
        conflict=disagreement(v for v in agreed if v.pack.role is Role.INDICATION),
    )
