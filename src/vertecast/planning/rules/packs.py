"""Rule packs: TOML files with id, version, source and ``verified``, checked when they are read."""

import csv
import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Status, data_file, read_toml
from vertecast.planning.rules.evaluation import require_sense
from vertecast.planning.rules.grammar import Constant, Node, names, parse

SHIPPED = (
    "cms_lcd_osteoporotic",
    "cms_lcd_malignant",
    "nice_ta279",
    "rand_ucla_2018",
    "rand_ucla_2013",
    "of_score",
    "sins",
    "acr_2018",
    "nass_osteoporotic",
    "nass_neoplastic",
    "evicore_cmm607",
    "contraindications",
    "aaos_2010",
    "asbmr_2019",
)
"""The packs of ``data/rules``, in the order they are shown."""


class Stance(Enum):
    """What an answer means for augmentation, so that packs can be set side by side."""

    FOR = "for"
    AGAINST = "against"
    NEUTRAL = "neutral"


class Role(Enum):
    """What a pack is for."""

    INDICATION = "indication"
    SAFETY = "safety"
    DISSENT = "dissent"
    SELECTION = "selection"


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition of a source, in words and in the grammar; ``assumed`` where the source gives no number."""

    id: str
    text: str
    node: Node
    status: Status
    source: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One of a pack's possible answers."""

    id: str
    text: str
    stance: Stance


@dataclass(frozen=True, slots=True)
class Case:
    """``when`` holds, and no case above it does: then ``answer``."""

    when: Node
    answer: str


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a score: points by condition; ``unknown`` is what the source gives when it is not known."""

    id: str
    text: str
    points: tuple[tuple[Node, int], ...]
    unknown: int | None


@dataclass(frozen=True, slots=True)
class Band:
    """Totals from ``low`` to ``high`` mean ``answer``."""

    low: int
    high: int
    answer: str


@dataclass(frozen=True, slots=True)
class Score:
    """A sum of points and what its bands mean."""

    items: tuple[Item, ...]
    bands: tuple[Band, ...]

    def answer(self, total: int) -> str:
        """Return the answer of a total."""
        return next(band.answer for band in self.bands if band.low <= total <= band.high)


@dataclass(frozen=True, slots=True)
class Table:
    """One answer for each combination of levels; ``columns`` gives each level's condition."""

    columns: Mapping[str, tuple[tuple[str, Node], ...]]
    rows: Mapping[tuple[str, ...], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """One published set of rules. Exactly one of ``score``, ``table`` and a last case that always holds ends it.

    Parameters
    ----------
    inputs : the facts that can change its answer
    inert : facts the source lists but whose published summary gives them no weight
    cautions : ids of clauses that warn without deciding
    """

    id: str
    title: str
    version: str
    verified: bool
    role: Role
    source: tuple[str, ...]
    notes: tuple[str, ...]
    inputs: tuple[str, ...]
    inert: tuple[str, ...]
    applies: Node
    clauses: Mapping[str, Clause]
    cautions: tuple[str, ...]
    cases: tuple[Case, ...]
    answers: Mapping[str, Answer]
    score: Score | None
    table: Table | None

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The expressions of the clauses by id."""
        return {clause.id: clause.node for clause in self.clauses.values()}


@functools.cache
def load_pack(name: str) -> Pack:
    """Load and check ``data/rules/<name>.toml``; packs are immutable, so one reading serves all."""
    return parse_pack(read_toml(f"rules/{name}.toml"), place=f"data/rules/{name}.toml")


def shipped_packs() -> tuple[Pack, ...]:
    """Load every shipped pack."""
    return tuple(load_pack(name) for name in SHIPPED)


_KEYS = {"id", "title", "version", "verified", "role", "source", "inputs", "answers"}
_OPTIONAL = {"notes", "inert", "applies", "clauses", "cautions", "cases", "score", "table"}


def parse_pack(table: Mapping[str, Any], *, place: str) -> Pack:
    """Check a parsed pack and build it.

    Raises
    ------
    ParameterError
        For a missing or unknown key, an expression that does not parse or make sense, an answer nobody defines,
        inputs that are not exactly the facts the rules use, or ``verified`` beside an assumed clause.
    """
    missing, extra = sorted(_KEYS - table.keys()), sorted(table.keys() - _KEYS - _OPTIONAL)
    if missing or extra:
        raise ParameterError(f"{place}: missing keys {missing}, keys that a pack does not have {extra}")
    clauses = {cid: _clause(cid, entry, table["source"], place) for cid, entry in table.get("clauses", {}).items()}
    pack = Pack(
        id=table["id"],
        title=table["title"],
        version=table["version"],
        verified=table["verified"],
        role=Role(table["role"]),
        source=tuple(table["source"]),
        notes=tuple(table.get("notes", ())),
        inputs=tuple(sorted(table["inputs"])),
        inert=tuple(sorted(table.get("inert", ()))),
        applies=_parsed(table.get("applies", "true"), f"{place}: applies"),
        clauses=MappingProxyType(clauses),
        cautions=tuple(table.get("cautions", ())),
        cases=tuple(Case(_parsed(c["when"], f"{place}: cases"), c["answer"]) for c in table.get("cases", ())),
        answers=MappingProxyType({k: Answer(k, a["text"], Stance(a["stance"])) for k, a in table["answers"].items()}),
        score=_score(table["score"], place) if "score" in table else None,
        table=_table(table["table"], place) if "table" in table else None,
    )
    _require_whole(pack, place)
    return pack


def _clause(cid: str, entry: Mapping[str, Any], sources: list[str], place: str) -> Clause:
    extra = entry.keys() - {"text", "expr", "status", "source"}
    if extra or not {"text", "expr"} <= entry.keys():
        raise ParameterError(f"{place}: clause {cid} needs text and expr, and may have status and source")
    node = _parsed(entry["expr"], f"{place}: clause {cid}")
    return Clause(cid, entry["text"], node, Status(entry.get("status", "reported")), entry.get("source", sources[0]))


def _parsed(text: str, place: str) -> Node:
    try:
        return parse(text)
    except ParameterError as exc:
        raise ParameterError(f"{place}: {exc}") from exc


def _score(entry: Mapping[str, Any], place: str) -> Score:
    items = tuple(
        Item(
            iid,
            item["text"],
            tuple((_parsed(p["when"], f"{place}: item {iid}"), int(p["points"])) for p in item["points"]),
            item.get("unknown"),
        )
        for iid, item in entry["items"].items()
    )
    bands = tuple(Band(b["from"], b["to"], b["answer"]) for b in entry["bands"])
    low = sum(min(p for _, p in item.points) for item in items)
    high = sum(max(p for _, p in item.points) for item in items)
    covered = [total for band in bands for total in range(band.low, band.high + 1)]
    if covered != list(range(bands[0].low, bands[-1].high + 1)) or covered[0] > low or covered[-1] < high:
        raise ParameterError(
            f"{place}: bands cover {covered[0]} to {covered[-1]} with gaps or short of {low} to {high}"
        )
    return Score(items, bands)


def _table(entry: Mapping[str, Any], place: str) -> Table:
    columns = {
        name: tuple((level["id"], _parsed(level["when"], f"{place}: column {name}")) for level in levels)
        for name, levels in entry["columns"].items()
    }
    text = data_file(f"rules/{entry['file']}").read_text(encoding="utf-8")
    reader = csv.DictReader(io.StringIO(text))
    if reader.fieldnames != [*columns, "answer"]:
        raise ParameterError(f"{place}: {entry['file']} has columns {reader.fieldnames}, needs {[*columns, 'answer']}")
    lines = list(reader)
    rows = {tuple(line[c] for c in columns): line["answer"] for line in lines}
    expected = functools.reduce(lambda n, levels: n * len(levels), columns.values(), 1)
    known = all(line[c] in {lid for lid, _ in levels} for line in lines for c, levels in columns.items())
    if not known or len(rows) != expected or len(lines) != expected:
        raise ParameterError(f"{place}: {entry['file']} has {len(lines)} rows, {len(rows)} different; needs {expected}")
    return Table(MappingProxyType(columns), MappingProxyType(rows))


def _require_whole(pack: Pack, place: str) -> None:
    nodes = pack.nodes
    expressions = [
        *((f"clause {c.id}", c.node) for c in pack.clauses.values()),
        *((f"case {i}", case.when) for i, case in enumerate(pack.cases, 1)),
        *((f"item {item.id}", node) for item in (pack.score.items if pack.score else ()) for node, _ in item.points),
        *((f"column {name}", n) for name, ls in (pack.table.columns if pack.table else {}).items() for _, n in ls),
        ("applies", pack.applies),
    ]
    for where, node in expressions:
        require_sense(node, nodes, f"{place}: {where}")
    used = frozenset[str]().union(*(names(node) for _, node in expressions)) - nodes.keys()
    if used != {*pack.inputs, *pack.inert}:
        raise ParameterError(f"{place}: the rules use {sorted(used)}, declared are {[*pack.inputs, *pack.inert]}")
    answered = {case.answer for case in pack.cases}
    answered |= {band.answer for band in pack.score.bands} if pack.score else set()
    answered |= set(pack.table.rows.values()) if pack.table else set()
    if answered != pack.answers.keys():
        raise ParameterError(f"{place}: the rules give {sorted(answered)}, answers define {sorted(pack.answers)}")
    ends = [pack.score, pack.table, bool(pack.cases) and pack.cases[-1].when == Constant(True)]
    if sum(map(bool, ends)) != 1:
        raise ParameterError(f"{place}: needs exactly one of score, table and a last case with when = 'true'")
    if pack.verified and any(clause.status is Status.ASSUMED for clause in pack.clauses.values()):
        raise ParameterError(f"{place}: verified = true beside an assumed clause; set verified = false")
    unknown = [c for c in pack.cautions if c not in nodes]
    if unknown:
        raise ParameterError(f"{place}: cautions {unknown} are not clauses of the pack")
