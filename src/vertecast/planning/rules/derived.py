"""Statements the record left out, taken from a measurement by a published cut; the examiner's word comes first."""

from vertecast.core.parameters import read_toml
from vertecast.planning.rules.evaluation import evaluate
from vertecast.planning.rules.facts import Facts
from vertecast.planning.rules.grammar import parse
from vertecast.planning.rules.logic import Truth


def with_derived(facts: Facts) -> tuple[Facts, tuple[str, ...]]:
    """Return the facts with what ``data/rules/derived.toml`` adds, and one sentence for each addition."""
    added: dict[str, bool | Truth] = {}
    notes: list[str] = []
    for name, rule in read_toml("rules/derived.toml").items():
        if name in facts.values:
            continue
        truth = evaluate(parse(rule["expr"]), facts, {}).truth
        if truth is Truth.UNKNOWN:
            continue
        added[name] = truth is Truth.TRUE if truth.decided else truth
        notes.append(f"{name} is {truth.value} by {rule['expr']} ({rule['source']}; {rule['status']})")
    return facts.with_values(added), tuple(notes)
