"""Proves the grammar: what it accepts and means, that refusals name the position, that writing and reading agree.

Three-valued logic is checked against its own definition: the truth of an expression is decided exactly where all ways
of filling the unknown parts agree (for expressions that name each part once), and never wrongly elsewhere.
"""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vertecast.core.errors import ParameterError
from vertecast.core.quantities import Measured
from vertecast.planning.rules.evaluation import evaluate, require_sense
from vertecast.planning.rules.facts import Facts
from vertecast.planning.rules.grammar import And, AtLeast, Comparison, Membership, Name, Node, Not, Or, parse, text_of
from vertecast.planning.rules.logic import Truth, all_of, any_of, at_least, negation
from vertecast.planning.rules.packs import SHIPPED, Clause, load_pack
from vertecast.planning.rules.vocabulary import VOCABULARY, Kind

T, F, U, B = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN, Truth.BORDERLINE
TRUTHS = sorted(name for name, spec in VOCABULARY.items() if spec.kind is Kind.TRUTH)


def test_and_or_not_are_kleenes() -> None:
    table = {(T, T): (T, T), (T, F): (F, T), (F, F): (F, F), (T, U): (U, T), (F, U): (F, U), (U, U): (U, U)}
    table |= {(T, B): (B, T), (F, B): (F, B), (B, B): (B, B), (U, B): (U, U)}
    for (a, b), (conjunction, disjunction) in table.items():
        assert all_of([a, b]) is all_of([b, a]) is conjunction
        assert any_of([a, b]) is any_of([b, a]) is disjunction
    assert [negation(t) for t in (T, F, U, B)] == [F, T, U, B]


@given(st.lists(st.sampled_from([T, F, U]), min_size=1, max_size=6), st.integers(1, 6))
@settings(deadline=None, derandomize=True)
def test_at_least_is_decided_exactly_where_all_fillings_agree(parts: list[Truth], count: int) -> None:
    fillings = itertools.product(*([p] if p is not U else [T, F] for p in parts))
    found = {sum(t is T for t in filling) >= count for filling in fillings}
    assert at_least(count, parts) is (Truth.of(found.pop()) if len(found) == 1 else U)


def test_precedence_and_meaning() -> None:
    assert parse("a or b and not c") == Or((Name("a"), And((Name("b"), Not(Name("c"))))))
    assert parse("(a or b) and c") == And((Or((Name("a"), Name("b"))), Name("c")))
    assert parse("nrs >= 5") == Comparison("nrs", ">=", 5.0)
    assert parse("t_score < -3.5") == Comparison("t_score", "<", -3.5)
    assert parse("trend not in ('worse', 'stable')") == Not(Membership("trend", ("worse", "stable")))
    assert parse("at_least(2, a, not b, c or d)") == AtLeast(2, (Name("a"), Not(Name("b")), Or((Name("c"), Name("d")))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the end at position 1 where a name, 'not', 'at_least' or '\\(' was expected"),
        ("a and", "the end at position 6 where"),
        ("a b", "'b' at position 3 where 'and', 'or' or the end was expected"),
        ("1 < nrs", "'1' at position 1 where a name"),
        ("0 < nrs < 5", "'0' at position 1"),
        ("nrs > 3 < 5", "'<' at position 9 where the end .*not chained"),
        ("nrs > ", "the end at position 7 where a number or a 'text' was expected"),
        ("nrs > -'x'", "'x' at position 8 where a number was expected"),
        ("(a or b", "the end at position 8 where '\\)' was expected"),
        ("a or b)", "'\\)' at position 7"),
        ("at_least(3, a, b)", "counts 3 of 2 statements at position 10"),
        ("at_least(0, a)", "counts 0 of 1"),
        ("at_least(1.5, a)", "'1.5' at position 10 where a whole number"),
        ("a & b", "'&' at position 3 is not understood"),
        ("trend == 'worse", '"\'" at position 10 is not understood; close the text'),
        ("__import__('os').system('x')", "'.' at position 17 is not understood"),
        ("__import__('os')", "'\\(' at position 11 where 'and', 'or' or the end"),
        ("a.b", "'.' at position 2 is not understood"),
        ("(" * 60 + "a" + ")" * 60, "at most 40 nested parentheses"),
        ("not " * 60 + "a", "at most 40 nested negations"),
        ("a or " * 500 + "a", "has 2501 characters, the limit is 2000"),
    ],
)
def test_refusals_name_the_place(text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse(text)


@given(st.text(max_size=80) | st.text("abn ot'()<>=!,-0.19_", max_size=60))
@settings(deadline=None, derandomize=True, max_examples=500)
def test_any_text_parses_or_is_refused_by_our_error(text: str) -> None:
    try:
        node = parse(text)
    except ParameterError:
        return
    assert parse(text_of(node)) == node


LEAVES = st.sampled_from(TRUTHS).map(Name) | st.builds(
    Comparison, st.just("nrs"), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), st.integers(0, 10).map(float)
)


def _grow(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return (
        st.builds(Not, inner)
        | st.builds(And, several)
        | st.builds(Or, several)
        | st.builds(AtLeast, st.just(2), several)
    )


@given(st.recursive(LEAVES, _grow, max_leaves=8))
@settings(deadline=None, derandomize=True)
def test_written_expressions_read_back(node: Node) -> None:
    assert parse(text_of(node)) == node


@given(st.recursive(LEAVES, _grow, max_leaves=7), st.dictionaries(st.sampled_from([*TRUTHS[:6]]), st.booleans()))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_what_is_decided_stays_so_when_more_becomes_known(node: Node, known: dict[str, bool]) -> None:
    few = evaluate(node, Facts.of(known), {})
    complete = Facts.of({**dict.fromkeys(TRUTHS, False), "nrs": 4.0, **known})
    full = evaluate(node, complete, {})
    assert full.truth.decided
    assert not full.missing
    if few.truth.decided:
        assert few.truth is full.truth
    else:
        assert few.missing
        assert not few.missing & known.keys()


@pytest.mark.parametrize(
    ("low", "high", "operator", "truth"),
    [
        (21, 24, ">", F),
        (24, 27, ">", B),
        (25, 27, ">", B),
        (25.1, 27, ">", T),
        (24, 25, ">", F),
        (24, 25, "<=", T),
        (24, 25, "<", B),
        (25, 26, ">=", T),
        (20, 30, "==", B),
        (26, 30, "==", F),
        (25, 25, "==", T),
        (25, 25, "!=", F),
    ],
)
def test_an_interval_that_holds_the_cut_is_borderline(low: float, high: float, operator: str, truth: Truth) -> None:
    facts = Facts.of({"height_loss_percent": Measured((low + high) / 2, low, high, "test")})
    found = evaluate(parse(f"height_loss_percent {operator} 25"), facts, {})
    assert found.truth is truth
    assert found.borderline == (frozenset({"height_loss_percent"}) if truth is B else frozenset())


def test_grounds_are_only_what_decided() -> None:
    clauses = {"a": parse("pregnant"), "b": parse("malignant"), "c": parse("nrs > 5")}
    facts = Facts.of({"pregnant": True, "malignant": False})
    assert evaluate(parse("a or b or c"), facts, clauses).clauses == {"a"}
    assert evaluate(parse("a and b and c"), facts, clauses).clauses == {"b"}
    undecided = evaluate(parse("a and not b and c"), facts, clauses)
    assert (undecided.truth, undecided.clauses, undecided.missing) == (U, {"c"}, {"nrs"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nrs", "'nrs' is neither a clause nor a fact that is true or false"),
        ("nobody_knows", "neither a clause nor a fact"),
        ("nobody_knows > 3", "'nobody_knows' is not in the vocabulary"),
        ("pregnant == 1", "pregnant is true or false; write pregnant or not pregnant"),
        ("trend > 'worse'", "trend is one of worse, stable, improved"),
        ("trend == 'bad'", "trend is one of worse, stable, improved"),
        ("nrs == 'bad'", "nrs is a number in 1"),
        ("trend in ('worse', 'bad')", "trend is one of"),
    ],
)
def test_expressions_without_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        require_sense(parse(text), {}, "pack x: clause y")


def test_every_shipped_expression_reads_back() -> None:
    nodes = [c.node for name in SHIPPED for c in load_pack(name).clauses.values() if isinstance(c, Clause)]
    assert len(nodes) > 80
    assert all(parse(text_of(node)) == node for node in nodes)


def test_these_checks_can_fail() -> None:
    """Two-valued logic, where unknown counts as false, breaks the monotonicity that the test above checks."""
    few, full = Facts.of({}), Facts.of({"pregnant": True})
    node = parse("not pregnant")
    two_valued = {facts: facts.values.get("pregnant") is not True for facts in ()}
    assert two_valued == {}
    assert evaluate(node, few, {}).truth is U
    naive_few, naive_full = (f.values.get("pregnant") is not True for f in (few, full))
    assert naive_few is not naive_full, "the naive answer was decided and then turned around"
