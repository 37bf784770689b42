"""The grammar of rules: a tokenizer and a recursive-descent parser, so that no text of a pack is ever executed.

::

    expression = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation   = "not" negation | statement
    statement  = "(" expression ")" | "true" | "false"
               | "at_least" "(" whole "," expression { "," expression } ")"
               | name [ comparison literal | [ "not" ] "in" "(" literal { "," literal } ")" ]
    comparison = "<" | "<=" | ">" | ">=" | "==" | "!="
    literal    = [ "-" ] number | "'" text "'"

Names stand left and literals right, so a rule reads as in the source; there is no arithmetic and no chaining.
"""

import re
from dataclasses import dataclass

from vertecast.core.errors import ParameterError

KEYWORDS = frozenset({"and", "or", "not", "in", "true", "false", "at_least"})
MAX_LENGTH = 2000
MAX_DEPTH = 40

Literal = float | str


@dataclass(frozen=True, slots=True)
class Constant:
    """``true`` or ``false``."""

    value: bool


@dataclass(frozen=True, slots=True)
class Name:
    """A fact that is true or false by itself, or a clause of the pack."""

    name: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """``name operator literal``."""

    name: str
    operator: str
    literal: Literal


@dataclass(frozen=True, slots=True)
class Membership:
    """``name in ('a', 'b')``."""

    name: str
    literals: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """``not operand``."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class And:
    """All operands hold."""

    operands: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one operand holds."""

    operands: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """``at_least(count, a, b, c)``."""

    count: int
    operands: tuple["Node", ...]


Node = Constant | Name | Comparison | Membership | Not | And | Or | AtLeast


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


_PATTERN = re.compile(
    r"(?P<space>[ \t\r\n]+)|(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<text>'[^']*')|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<operator><=|>=|==|!=|<|>)|(?P<mark>[(),\-])"
)


def parse(text: str) -> Node:
    """Parse one expression.

    Raises
    ------
    ParameterError
        With the position (from 1), what stands there and what was expected; also for texts longer than
        :data:`MAX_LENGTH` or nested deeper than :data:`MAX_DEPTH`.
    """
    if len(text) > MAX_LENGTH:
        raise ParameterError(f"expression has {len(text)} characters, the limit is {MAX_LENGTH}; split it into clauses")
    parser = _Parser(text, _tokens(text))
    node = parser.expression(0)
    parser.end()
    return node


def names(node: Node) -> frozenset[str]:
    """Return every name an expression mentions."""
    match node:
        case Constant():
            return frozenset()
        case Name(name) | Comparison(name=name) | Membership(name=name):
            return frozenset({name})
        case Not(operand):
            return names(operand)
        case And(operands) | Or(operands) | AtLeast(operands=operands):
            return frozenset[str]().union(*(names(operand) for operand in operands))


def text_of(node: Node) -> str:
    """Write an expression in the grammar; parsing it gives the same tree."""
    match node:
        case Constant(value):
            return "true" if value else "false"
        case Name(name):
            return name
        case Comparison(name, operator, literal):
            return f"{name} {operator} {_literal_text(literal)}"
        case Membership(name, literals):
            return f"{name} in ({', '.join(map(_literal_text, literals))})"
        case Not(operand):
            return f"not ({text_of(operand)})"
        case And(operands):
            return " and ".join(f"({text_of(o)})" for o in operands)
        case Or(operands):
            return " or ".join(f"({text_of(o)})" for o in operands)
        case AtLeast(count, operands):
            return f"at_least({count}, {', '.join(map(text_of, operands))})"


def _literal_text(literal: Literal) -> str:
    return f"'{literal}'" if isinstance(literal, str) else f"{literal:f}".rstrip("0").rstrip(".")


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _PATTERN.match(text, at)
        if match is None:
            hint = "close the text with '" if text[at] == "'" else "use names, numbers, 'texts', and, or, not, in"
            raise ParameterError(f'expression "{text}": {text[at]!r} at position {at + 1} is not understood; {hint}')
        kind = str(match.lastgroup)
        if kind == "name" and match.group() in KEYWORDS:
            kind = "keyword"
        if kind != "space":
            found.append(_Token(kind, match.group(), at + 1))
        at = match.end()
    found.append(_Token("end", "the end", len(text) + 1))
    return found


class _Parser:
    """Reads tokens from left to right; one method for each line of the grammar."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0

    def expression(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._refusal(f"at most {MAX_DEPTH} nested parentheses")
        operands = [self._conjunction(depth)]
        while self._take("keyword", "or"):
            operands.append(self._conjunction(depth))
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def end(self) -> None:
        if self._now.kind == "operator":
            raise self._refusal("the end ('and' or 'or' joins statements; comparisons are not chained)")
        if self._now.kind != "end":
            raise self._refusal("'and', 'or' or the end")

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _conjunction(self, depth: int) -> Node:
        operands = [self._negation(depth)]
        while self._take("keyword", "and"):
            operands.append(self._negation(depth))
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _negation(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._refusal(f"at most {MAX_DEPTH} nested negations")
        if self._take("keyword", "not"):
            return Not(self._negation(depth + 1))
        return self._statement(depth)

    def _statement(self, depth: int) -> Node:
        if self._take("mark", "("):
            inner = self.expression(depth + 1)
            self._need("mark", ")")
            return inner
        if self._take("keyword", "at_least"):
            return self._threshold(depth)
        for word, value in (("true", True), ("false", False)):
            if self._take("keyword", word):
                return Constant(value)
        if self._now.kind != "name":
            raise self._refusal("a name, 'not', 'at_least' or '('")
        return self._about(self._step().text)

    def _threshold(self, depth: int) -> Node:
        self._need("mark", "(")
        if self._now.kind != "number" or "." in self._now.text:
            raise self._refusal("a whole number")
        place = self._step()
        operands = []
        while self._take("mark", ","):
            operands.append(self.expression(depth + 1))
        self._need("mark", ")")
        count = int(place.text)
        if not 1 <= count <= len(operands):
            raise ParameterError(
                f'expression "{self._text}": at_least counts {count} of {len(operands)} statements at position '
                f"{place.position}; give a number from 1 to the number of statements"
            )
        return AtLeast(count, tuple(operands))

    def _about(self, name: str) -> Node:
        if self._now.kind == "operator":
            operator = self._step().text
            return Comparison(name, operator, self._literal())
        if self._take("keyword", "in"):
            return self._membership(name)
        if self._now == _Token("keyword", "not", self._now.position):
            self._step()
            self._need("keyword", "in")
            return Not(self._membership(name))
        return Name(name)

    def _membership(self, name: str) -> Membership:
        self._need("mark", "(")
        literals = [self._literal()]
        while self._take("mark", ","):
            literals.append(self._literal())
        self._need("mark", ")")
        return Membership(name, tuple(literals))

    def _literal(self) -> Literal:
        sign = -1.0 if self._take("mark", "-") else 1.0
        if self._now.kind == "number":
            return sign * float(self._step().text)
        if self._now.kind == "text" and sign > 0:
            return self._step().text[1:-1]
        raise self._refusal("a number" if sign < 0 else "a number or a 'text'")

    def _step(self) -> _Token:
        token = self._now
        self._at += 1
        return token

    def _take(self, kind: str, text: str) -> bool:
        if (self._now.kind, self._now.text) == (kind, text):
            self._at += 1
            return True
        return False

    def _need(self, kind: str, text: str) -> None:
        if not self._take(kind, text):
            raise self._refusal(f"'{text}'")

    def _refusal(self, expected: str) -> ParameterError:
        token = self._now
        found = token.text if token.kind == "end" else f"'{token.text.strip(chr(39))}'"
        return ParameterError(
            f'expression "{self._text}": {found} at position {token.position} where {expected} was expected'
        )
