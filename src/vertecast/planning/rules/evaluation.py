"""The truth of an expression on what is known, and what decided it."""

from collections.abc import Mapping
from dataclasses import dataclass

from vertecast.core.errors import ParameterError
from vertecast.core.quantities import Measured
from vertecast.planning.rules.facts import Facts
from vertecast.planning.rules.grammar import (
    And,
    AtLeast,
    Comparison,
    Constant,
    Literal,
    Membership,
    Name,
    Node,
    Not,
    Or,
)
from vertecast.planning.rules.logic import Truth, all_of, any_of, at_least, negation
from vertecast.planning.rules.vocabulary import VOCABULARY, Kind


@dataclass(frozen=True, slots=True)
class Finding:
    """The truth of an expression and its grounds.

    Parameters
    ----------
    clauses : ids of the clauses that decided it, or that keep it undecided
    missing : facts that are unknown and could change it
    borderline : facts whose interval holds the cut and could change it
    """

    truth: Truth
    clauses: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    borderline: frozenset[str] = frozenset()


def evaluate(node: Node, facts: Facts, clauses: Mapping[str, Node]) -> Finding:
    """Judge one expression in Kleene's logic.

    A name is first looked up among the clauses of the pack, then among the facts. Kleene's logic is cautious: where one
    fact stands in several places it may stay undecided although every value would give the same truth; what it decides
    is never wrong.
    """
    match node:
        case Constant(value):
            return Finding(Truth.of(value))
        case Name(name) if name in clauses:
            inner = evaluate(clauses[name], facts, clauses)
            return Finding(inner.truth, inner.clauses | {name}, inner.missing, inner.borderline)
        case Name(name):
            return _leaf(name, _stated(name, facts))
        case Comparison(name, operator, literal):
            return _leaf(name, _compared(name, operator, literal, facts))
        case Membership(name, literals):
            return _leaf(name, any_of(_compared(name, "==", literal, facts) for literal in literals))
        case Not(operand):
            inner = evaluate(operand, facts, clauses)
            return Finding(negation(inner.truth), inner.clauses, inner.missing, inner.borderline)
        case And(operands):
            findings = [evaluate(o, facts, clauses) for o in operands]
            return joined(all_of(f.truth for f in findings), findings)
        case Or(operands):
            findings = [evaluate(o, facts, clauses) for o in operands]
            return joined(any_of(f.truth for f in findings), findings)
        case AtLeast(count, operands):
            findings = [evaluate(o, facts, clauses) for o in operands]
            return joined(at_least(count, (f.truth for f in findings)), findings)


def joined(truth: Truth, findings: list[Finding]) -> Finding:
    """Join parts to a whole: a decided whole rests on the parts of its own truth, an undecided one on the undecided."""
    grounds = [f for f in findings if (f.truth is truth if truth.decided else not f.truth.decided)]
    return Finding(
        truth,
        frozenset[str]().union(*(f.clauses for f in grounds)),
        frozenset[str]().union(*(f.missing for f in grounds)),
        frozenset[str]().union(*(f.borderline for f in grounds)),
    )


def require_sense(node: Node, clauses: Mapping[str, Node], place: str) -> None:
    """Refuse an expression with unknown names, or one that asks a fact what its kind cannot answer."""
    match node:
        case Constant():
            return
        case Name(name):
            if name not in clauses and (name not in VOCABULARY or VOCABULARY[name].kind is not Kind.TRUTH):
                raise ParameterError(f"{place}: {name!r} is neither a clause nor a fact that is true or false")
        case Comparison(name, operator, literal):
            _require_comparable(name, operator, literal, place)
        case Membership(name, literals):
            for literal in literals:
                _require_comparable(name, "==", literal, place)
        case Not(operand):
            require_sense(operand, clauses, place)
        case And(operands) | Or(operands) | AtLeast(operands=operands):
            for operand in operands:
                require_sense(operand, clauses, place)


def _require_comparable(name: str, operator: str, literal: Literal, place: str) -> None:
    spec = VOCABULARY.get(name)
    if spec is None:
        raise ParameterError(f"{place}: {name!r} is not in the vocabulary, so it cannot be compared")
    if spec.kind is Kind.TRUTH:
        raise ParameterError(f"{place}: {name} is true or false; write {name} or not {name}")
    if spec.kind is Kind.WORD and (operator not in ("==", "!=") or literal not in spec.choices):
        raise ParameterError(f"{place}: {name} {operator} {literal!r}; {name} is one of {', '.join(spec.choices)}")
    if spec.kind is Kind.NUMBER and isinstance(literal, str):
        raise ParameterError(f"{place}: {name} is a number in {spec.unit}, it cannot be compared with {literal!r}")


def _leaf(name: str, truth: Truth) -> Finding:
    return Finding(
        truth,
        missing=frozenset({name}) if truth is Truth.UNKNOWN else frozenset(),
        borderline=frozenset({name}) if truth is Truth.BORDERLINE else frozenset(),
    )


def _stated(name: str, facts: Facts) -> Truth:
    value = facts.values.get(name)
    if value is None:
        return Truth.UNKNOWN
    return value if isinstance(value, Truth) else Truth.of(value is True)


def _compared(name: str, operator: str, literal: Literal, facts: Facts) -> Truth:
    value = facts.values.get(name)
    if value is None:
        return Truth.UNKNOWN
    if isinstance(value, str) or isinstance(literal, str):
        return Truth.of((value == literal) == (operator == "=="))
    low, high = _interval(value)
    match operator:
        case "<":
            return _between(high < literal, low >= literal)
        case "<=":
            return _between(high <= literal, low > literal)
        case ">":
            return _between(low > literal, high <= literal)
        case ">=":
            return _between(low >= literal, high < literal)
    equal = _between(low == high == literal, not low <= literal <= high)
    return equal if operator == "==" else negation(equal)


def _between(surely: bool, surely_not: bool) -> Truth:
    if surely:
        return Truth.TRUE
    return Truth.FALSE if surely_not else Truth.BORDERLINE


def _interval(value: object) -> tuple[float, float]:
    if isinstance(value, Measured):
        assert value.value is not None
        return (value.value if value.low is None else value.low, value.value if value.high is None else value.high)
    assert isinstance(value, int | float)
    return float(value), float(value)
