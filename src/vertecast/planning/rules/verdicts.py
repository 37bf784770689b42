"""What a pack says of one fracture: its answer or why there is none, what decided it, what is missing."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vertecast.planning.rules.evaluation import Finding, evaluate
from vertecast.planning.rules.facts import Facts
from vertecast.planning.rules.logic import Truth
from vertecast.planning.rules.packs import Item, Pack, Score, Stance, Table


class State(Enum):
    """How far a pack could judge."""

    DECIDED = "decided"
    BORDERLINE = "borderline"
    CANNOT_DECIDE = "cannot decide"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """One clause and its truth here."""

    id: str
    text: str
    truth: Truth
    assumed: bool
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one pack says.

    Parameters
    ----------
    answer : id of the answer, ``None`` unless decided
    possible : answers that what is missing or too close to call leaves open
    clauses : what decided it, or keeps it undecided
    missing : unknown facts that could change it; borderline : facts too close to a cut
    cautions : clauses of the source that warn without deciding
    totals : lowest and highest possible score, when the pack is a score
    """

    pack: Pack
    state: State
    answer: str | None
    possible: tuple[str, ...]
    clauses: tuple[ClauseResult, ...] = ()
    missing: tuple[str, ...] = ()
    borderline: tuple[str, ...] = ()
    cautions: tuple[ClauseResult, ...] = ()
    totals: tuple[int, int] | None = None

    @property
    def stance(self) -> Stance | None:
        """For, against or neutral; ``None`` when undecided or not applicable."""
        return self.pack.answers[self.answer].stance if self.answer else None

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.answer:
            return self.pack.answers[self.answer].text
        if self.state is State.NOT_APPLICABLE:
            return "does not apply to this fracture"
        open_answers = " / ".join(self.pack.answers[a].text for a in self.possible)
        why = (
            f"missing {', '.join(self.missing)}" if self.missing else f"too close to call: {', '.join(self.borderline)}"
        )
        return f"{self.state.value} ({why}); open: {open_answers}"

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``indication.json``."""
        return {
            "pack": self.pack.id,
            "title": self.pack.title,
            "version": self.pack.version,
            "verified": self.pack.verified,
            "role": self.pack.role.value,
            "source": list(self.pack.source),
            "state": self.state.value,
            "answer": self.answer,
            "stance": self.stance.value if self.stance else None,
            "sentence": self.sentence,
            "possible": list(self.possible),
            "clauses": [_clause_json(c) for c in self.clauses],
            "missing": list(self.missing),
            "borderline": list(self.borderline),
            "cautions": [_clause_json(c) for c in self.cautions],
            "score_range": list(self.totals) if self.totals else None,
            "notes": list(self.pack.notes),
        }


@dataclass(frozen=True, slots=True)
class _Open:
    """What a stage leaves open: answers and grounds."""

    answers: tuple[str, ...]
    finding: Finding
    totals: tuple[int, int] | None = None


def judge(pack: Pack, facts: Facts) -> Verdict:
    """Judge one fracture by one pack."""
    nodes = pack.nodes
    applies = evaluate(pack.applies, facts, nodes)
    if applies.truth is Truth.FALSE:
        return Verdict(
            pack=pack,
            state=State.NOT_APPLICABLE,
            answer=None,
            possible=(),
            clauses=_results(pack, facts, applies.clauses),
        )
    outcome = _walk(pack, facts)
    found = outcome.finding
    if not applies.truth.decided:
        found = _merged(Truth.UNKNOWN, [applies, found])
    decided = len(outcome.answers) == 1 and applies.truth.decided
    clauses = _results(pack, facts, found.clauses)
    cautions = tuple(
        result for result in _results(pack, facts, frozenset(pack.cautions)) if result.truth is not Truth.FALSE
    )
    if decided:
        return Verdict(
            pack=pack,
            state=State.DECIDED,
            answer=outcome.answers[0],
            possible=outcome.answers,
            clauses=clauses,
            missing=tuple(sorted(found.missing)),
            cautions=cautions,
            totals=outcome.totals,
        )
    return Verdict(
        pack=pack,
        state=State.CANNOT_DECIDE if found.missing else State.BORDERLINE,
        answer=None,
        possible=outcome.answers,
        clauses=clauses,
        missing=tuple(sorted(found.missing)),
        borderline=tuple(sorted(found.borderline)),
        cautions=cautions,
        totals=outcome.totals,
    )


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Packs that apply, are decided, and say opposite things."""

    supporting: tuple[str, ...]
    opposing: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``indication.json``."""
        return {"for": list(self.supporting), "against": list(self.opposing)}


def disagreement(verdicts: Iterable[Verdict]) -> Disagreement | None:
    """Set the decided packs side by side; ``None`` when none of them contradicts another."""
    judged = list(verdicts)
    supporting = tuple(v.pack.id for v in judged if v.stance is Stance.FOR)
    opposing = tuple(v.pack.id for v in judged if v.stance is Stance.AGAINST)
    return Disagreement(supporting, opposing) if supporting and opposing else None


def _walk(pack: Pack, facts: Facts) -> _Open:
    """Go through the cases in order, then the score or the table; stop at the first that surely holds."""
    stages: list[tuple[str, Finding]] = []
    for case in pack.cases:
        finding = evaluate(case.when, facts, pack.nodes)
        stages.append((case.answer, finding))
        if finding.truth is Truth.TRUE:
            return _open(stages, None)
    end = _scored(pack.score, pack, facts) if pack.score else _looked_up(_table_of(pack), pack, facts)
    return _open(stages, end)


def _open(stages: list[tuple[str, Finding]], end: _Open | None) -> _Open:
    """Join the cases, and what follows them, to what is left open; a case that changes nothing gives no ground."""
    answers = end.answers if end else ()
    grounds = [end.finding] if end else []
    for answer, finding in reversed(stages):
        matters = answers not in ((), (answer,)) or finding.truth is Truth.TRUE
        if finding.truth is not Truth.FALSE:
            answers = (answer, *(a for a in answers if a != answer))
        if finding.truth.decided or matters:
            grounds.append(finding)
    if len(answers) > 1:
        return _Open(answers, _merged(Truth.UNKNOWN, [f for f in grounds if f.missing or f.borderline]), _totals(end))
    return _Open(answers, _merged(Truth.TRUE, [f for f in grounds if f.truth.decided]), _totals(end))


def _totals(end: _Open | None) -> tuple[int, int] | None:
    return end.totals if end else None


def _merged(truth: Truth, findings: list[Finding]) -> Finding:
    return Finding(
        truth,
        frozenset[str]().union(*(f.clauses for f in findings)),
        frozenset[str]().union(*(f.missing for f in findings)),
        frozenset[str]().union(*(f.borderline for f in findings)),
    )


def _scored(score: Score, pack: Pack, facts: Facts) -> _Open:
    """Add up the items; each may have several possible points, and an item may change the answer or not."""
    parts = [_points(item, pack, facts) for item in score.items]
    reachable = [sorted(points) for points, _, _ in parts]
    sums = _sums(reachable)
    answers = tuple(dict.fromkeys(score.answer(total) for total in sorted(sums)))
    could = [sorted(points) for _, _, points in parts]
    matters = [_item_matters(score, _sums([*could[:i], *could[i + 1 :]]), could[i]) for i in range(len(parts))]
    grounds = [
        finding if matter else Finding(finding.truth, finding.clauses)
        for (_, finding, _), matter in zip(parts, matters, strict=True)
    ]
    truth = Truth.TRUE if len(answers) == 1 else Truth.UNKNOWN
    return _Open(answers, _merged(truth, grounds), (min(sums), max(sums)))


def _points(item: Item, pack: Pack, facts: Facts) -> tuple[set[int], Finding, set[int]]:
    """Return the points that count, the grounds, and the points that knowing everything could give."""
    counted: set[int] = set()
    could: set[int] = set()
    grounds: list[Finding] = []
    for node, points in item.points:
        finding = evaluate(node, facts, pack.nodes)
        if finding.truth is Truth.FALSE:
            continue
        could.add(points)
        grounds.append(finding)
        if finding.truth is not Truth.UNKNOWN or item.unknown is None:
            counted.add(points)
        if finding.truth is Truth.TRUE:
            return counted, _merged(Truth.TRUE, grounds), could
    if item.unknown is not None and any(f.truth is Truth.UNKNOWN for f in grounds):
        counted.add(item.unknown)
    return counted, _merged(Truth.UNKNOWN, grounds), could | counted


def _item_matters(score: Score, others: set[int], points: list[int]) -> bool:
    """Tell whether, for some total of the other items, the points of this one make a difference."""
    return any(len({score.answer(total + p) for p in points}) > 1 for total in others)


def _sums(reachable: list[list[int]]) -> set[int]:
    sums = {0}
    for points in reachable:
        sums = {total + p for total, p in itertools.product(sums, points)}
    return sums


def _table_of(pack: Pack) -> Table:
    assert pack.table is not None
    return pack.table


def _looked_up(table: Table, pack: Pack, facts: Facts) -> _Open:
    """Read every row that the known facts leave possible; a column matters if it alone could change the answer."""
    levels: list[list[str]] = []
    grounds: list[Finding] = []
    for column in table.columns.values():
        findings = [(lid, evaluate(node, facts, pack.nodes)) for lid, node in column]
        left = [(lid, f) for lid, f in findings if f.truth is not Truth.FALSE]
        levels.append([lid for lid, _ in left])
        grounds.append(_merged(Truth.TRUE if len(left) == 1 else Truth.UNKNOWN, [f for _, f in left]))
    rows = list(itertools.product(*levels))
    answers = tuple(dict.fromkeys(table.rows[row] for row in rows))
    matters = [_column_matters(table, rows, i) for i in range(len(levels))]
    kept = [f for f, matter in zip(grounds, matters, strict=True) if matter]
    truth = Truth.TRUE if len(answers) == 1 else Truth.UNKNOWN
    return _Open(answers, _merged(truth, kept))


def _column_matters(table: Table, rows: list[tuple[str, ...]], column: int) -> bool:
    answers: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        answers.setdefault(row[:column] + row[column + 1 :], set()).add(table.rows[row])
    return any(len(found) > 1 for found in answers.values())


def _results(pack: Pack, facts: Facts, ids: frozenset[str]) -> tuple[ClauseResult, ...]:
    return tuple(
        ClauseResult(
            clause.id,
            clause.text,
            evaluate(clause.node, facts, pack.nodes).truth,
            clause.status.value == "assumed",
            clause.source,
        )
        for clause in pack.clauses.values()
        if clause.id in ids
    )


def _clause_json(result: ClauseResult) -> dict[str, Any]:
    return {
        "id": result.id,
        "text": result.text,
        "truth": result.truth.value,
        "assumed": result.assumed,
        "source": result.source,
    }
