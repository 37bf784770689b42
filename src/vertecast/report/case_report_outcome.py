"""The report's sections on the outcome, from whatever ``outcome.json`` holds: each quantity with its arms side by side.

The document is walked, not spelled out: a leaf is a quantity (DESIGN's Q), a number or a word; a key that names an arm
(before, fractured, after, no operation) becomes a column. So the report shows what an assessment of any version wrote.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vertecast.core.levels import Level
from vertecast.report.case_report_blocks import Block, Chart, Folded, Heading, Note, Prose, Section, Subheading, Table
from vertecast.report.case_report_charts import Bar, interval_chart
from vertecast.report.case_report_run import RunFolder, absent
from vertecast.report.case_report_words import (
    capital,
    fixed,
    is_quantity,
    minutes,
    named,
    number,
    quantity_text,
    readable,
    rounded,
    spoken,
    with_unit,
)

ARMS = ("intact", "before", "fractured", "after", "no_operation", "posture_only")
_ARM_NAMES = {
    "intact": "Intact",
    "before": "Before",
    "fractured": "Fractured",
    "after": "After",
    "no_operation": "No operation",
    "posture_only": "Posture alone",
}
_ADJACENT = ("adjacent", "neighbour")
_POPULATION = ("risk", "population", "trial", "evidence", "dissent", "progression")
_PLAIN = frozenset({"schema", "notice", "levels"})
_CHARTS = 8
_HALF = 420.0
_LEAST_ML = 5e-4
_LONG_S = 100.0
"""Longer times are said in minutes and seconds, as on the procedure's clock."""
_RANGE = re.compile(r"; over the usual range of the population (\S+) to (\S+)$")
_SAME = "range over the population"
_UNKNOWN = "unknown: "
_SENTENCE = 60
"""Longer words of a document are a sentence of their own, not a cell."""
_LEVELS = frozenset(level.value for level in Level)

Path = tuple[str, ...]
Row = dict[str, Any]


def mechanics_section(run: RunFolder) -> Section:
    """Return what is not of the neighbours nor of populations: mechanics, heights, angles, cement, heat."""
    return _section(
        run, "mechanics", "Mechanics and shape, before and after", None, "strength and shape before and after"
    )


def adjacent_section(run: RunFolder) -> Section:
    """Return what changes at the neighbouring levels."""
    return _section(run, "adjacent", "Adjacent levels", _ADJACENT, "what changes at the neighbouring levels")


def population_section(run: RunFolder) -> Section:
    """Return what trials and registries say: of populations, not of this patient."""
    return _section(run, "risks", "Known risks and no operation", _POPULATION, "risks known from populations")


def _section(run: RunFolder, anchor: str, title: str, words: tuple[str, ...] | None, what: str) -> Section:
    if not run.document("outcome"):
        return Section(anchor, title, [Note(absent("outcome", what))])
    blocks: list[Block] = []
    for level in (*run.levels, ""):
        document = run.level("outcome", level) if level else _session(run)
        parts = {key: value for key, value in document.items() if _belongs(key, words)}
        made = _groups(parts)
        if made and level and len(run.levels) > 1:
            blocks.append(Heading(level))
        blocks += made
    return Section(anchor, title, blocks or [Note(f"outcome.json holds nothing on {what}.")])


def _session(run: RunFolder) -> dict[str, Any]:
    return {key: value for key, value in run.document("outcome").items() if key not in _PLAIN}


def _belongs(key: str, words: tuple[str, ...] | None) -> bool:
    special = [any(word in key for word in group) for group in (_ADJACENT, _POPULATION)]
    if words is None:
        return not any(special)
    return any(word in key for word in words) and not (words is _POPULATION and special[0])


def _groups(parts: Mapping[str, Any]) -> list[Block]:
    """Return each group of the document under its own heading; a group of levels gives each level one."""
    blocks: list[Block] = []
    plain = {key: value for key, value in parts.items() if not _is_group(value)}
    if plain:
        blocks += _blocks(plain)
    for key, value in parts.items():
        if not _is_group(value):
            continue
        if value and all(name in _LEVELS for name in value):
            for name, one in value.items():
                where = f", {one['where']}" if isinstance(one, Mapping) and one.get("where") else ""
                blocks += [Subheading(f"{name}{where}"), *_blocks({k: v for k, v in one.items() if k != "where"})]
        elif made := _blocks(value):
            blocks += [Subheading(capital(named(key)[0])), *made]
    return blocks


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping) and not is_quantity(value) and not any(key in ARMS for key in value)


def _blocks(parts: Mapping[str, Any]) -> list[Block]:
    rows: dict[Path, Row] = {}
    lists: list[Block] = []
    said: list[Block] = []
    for path, value in _leaves(parts, ()):
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            lists.append(_listed(path, value))
        elif isinstance(value, str) and len(value) > _SENTENCE:
            said.append(Prose(value))
        else:
            arm = next((part for part in path if part in ARMS), "")
            rows.setdefault(tuple(part for part in path if part not in ARMS), {})[arm] = value
    compared = {path: row for path, row in rows.items() if any(row)}
    single = {path: row[""] for path, row in rows.items() if "" in row}
    front: list[Block] = _charts(compared)
    if compared:
        front += _compared(compared)
    if single:
        how = any(_how((value,)) for value in single.values())
        table = [(_name(p), _cell(p, v), *([_how((v,))] if how else [])) for p, v in single.items()]
        front.append(
            Table(("", "Value", "How it was got") if how else ("", ""), table, style="measured" if how else "facts")
        )
    return [*front, *lists, *said]


def _compared(rows: Mapping[Path, Row]) -> list[Block]:
    """Return the arms side by side, and how the numbers were got; folded away where that differs between the arms."""
    arms = [arm for arm in ARMS if any(arm in row for row in rows.values())]
    table, differ = [], []
    for path, row in rows.items():
        notes = {_ARM_NAMES[arm]: _note(row[arm]) for arm in arms if arm in row and _note(row[arm])}
        how = _one_note(notes)
        one = how is not None
        how = "differs between the columns" if how is None else how
        table.append((_name(path), *(_short(path, row[arm]) if arm in row else "–" for arm in arms), how))
        differ += [] if one else [(_name(path), name, said) for name, said in notes.items()]
    heads = ("", *(_ARM_NAMES[arm] for arm in arms), "How it was got")
    caption = "95 % intervals in brackets, or the interval that the last column names."
    blocks: list[Block] = [Table(heads, table, caption, "compared")]
    if differ:
        blocks.append(Folded("How each column was got", [Table(("", "Column", "How it was got"), differ)]))
    return blocks


def _one_note(notes: Mapping[str, str]) -> str | None:
    """Return one note for all arms, where they agree but for arms that are unknown for one reason; else None."""
    different = list(dict.fromkeys(notes.values()))
    if len(different) <= 1:
        return different[0] if different else ""
    known = [note for note in different if not note.startswith(_UNKNOWN)]
    if len(known) != 1 or len(different) != 2:
        return None
    (why,) = (note for note in different if note.startswith(_UNKNOWN))
    names = ", ".join(name.lower() for name, note in notes.items() if note == why)
    return f"{known[0]}; {names}: {why.removeprefix(_UNKNOWN)}"


def _note(value: Any) -> str:
    """Return how a quantity was got, or why it is unknown: the last column holds it, so that cells stay short."""
    if is_quantity(value) and value["value"] is None:
        reason = _RANGE.sub("", str(value.get("reason", "no reason given")))
        return f"{reason}: {_SAME}" if _population(value) else f"{_UNKNOWN}{reason}"
    return _how((value,)).removesuffix("; type none on CT")


def _short(path: Path, value: Any) -> str:
    if not (is_quantity(value) and value["value"] is None):
        return _cell(path, value)
    found = _population(value)
    return with_unit(f"{rounded(found[0], 2)} to {rounded(found[1], 2)}", _unit(path)) if found else "unknown"


def _population(value: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the range over the population of a quantity that is unknown for this patient; None when it tells none.

    A reason that is of the load alone gives no range of what the load does.
    """
    reason = str(value.get("reason", ""))
    found = _RANGE.search(reason)
    return (float(found[1]), float(found[2])) if found and not reason.startswith("the load") else None


def _how(values: tuple[Any, ...]) -> str:
    """Return the methods of some quantities, each once; why there is no value stands in its own cell."""
    methods = [str(value["method"]) for value in values if is_quantity(value) and value.get("method")]
    return "; ".join(dict.fromkeys(methods)).removesuffix("; type none on CT")


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield every quantity, number, word and list of objects, each with the keys that lead to it."""
    if isinstance(value, Mapping) and not is_quantity(value):
        for key, one in value.items():
            yield from _leaves(one, (*path, str(key)))
    elif value is not None:
        yield path, value


def _listed(path: Path, entries: list[Mapping[str, Any]]) -> Table:
    keys = list(dict.fromkeys(key for one in entries for key in one))
    heads = [capital(", ".join(part for part in named(key) if part)) for key in keys]
    return Table(heads, [[_cell((key,), one.get(key)) for key in keys] for one in entries], _name(path), "listed")


def _charts(rows: Mapping[Path, Row]) -> list[Block]:
    charts: list[Chart] = []
    for path, row in rows.items():
        bars = [
            Bar(name=_ARM_NAMES[arm], value=float(v["value"]), low=v.get("low"), high=v.get("high"))
            for arm in ARMS
            if is_quantity(v := row.get(arm, 0)) and v["value"] is not None
        ]
        if len(bars) > 1 and len(charts) < _CHARTS:
            unit = _unit(path)
            charts.append(
                Chart(interval_chart(bars, f"{_name(path)}{', ' + unit if unit else ''}", width=_HALF), half=True)
            )
    return [*charts]


def _unit(path: Path) -> str:
    """Return the unit that the innermost key with one names: it often stands above the place or the activity."""
    return next((unit for part in reversed(path) if (unit := named(part)[1])), "")


def _name(path: Path) -> str:
    words = [named(part)[0] for part in path]
    return capital(", ".join(dict.fromkeys(word for word in words if word)))


def _cell(path: Path, value: Any) -> str:
    unit = _unit(path)
    if is_quantity(value):
        return _quantity(value, str(value.get("unit") or unit))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if unit == "mL":
            return _millilitres(float(value))
        return with_unit(str(value) if isinstance(value, int) else number(float(value)), unit)
    if isinstance(value, list):
        return "; ".join(_cell((), one) for one in value)
    if isinstance(value, Mapping):
        return "; ".join(f"{spoken(str(key))}: {_cell((str(key),), one)}" for key, one in value.items())
    return "–" if value is None else str(value)


def _quantity(value: Mapping[str, Any], unit: str) -> str:
    """Return a quantity; without an interval to no more places than can be seen."""
    number_ = value.get("value")
    if number_ is None:
        reason = str(value.get("reason", ""))
        return "no leak" if reason.startswith("no leak") else readable(quantity_text(value, unit))
    if value.get("low") is not None:
        return quantity_text(value, unit)
    if unit == "mL":
        return _millilitres(float(number_))
    if unit == "mm":
        return with_unit(fixed(float(number_), 2), unit)
    if unit == "s" and number_ >= _LONG_S:
        return f"{minutes(number_)} min"
    return with_unit(rounded(float(number_)), unit)


def _millilitres(value: float) -> str:
    if 0.0 < value < _LEAST_ML:
        return with_unit(f"under {2 * _LEAST_ML:g}", "mL")
    return with_unit(fixed(value, 0 if value == 0.0 else 2 if value >= 0.095 else 3), "mL")


def outcome_sentence(outcome: Mapping[str, Any]) -> str:
    """Return a level's stiffness and load over strength, each arm, in one line; empty when not assessed."""
    mechanics = outcome.get("mechanics") or {}
    rows = (
        ("stiffness", mechanics.get("stiffness_n_mm"), "N/mm"),
        ("load over strength, standing", (mechanics.get("load_to_strength_ratio") or {}).get("standing"), ""),
    )
    told = []
    for name, row, unit in rows:
        arms: dict[str, Any] = row or {}
        known = [(arm, arms[arm]["value"]) for arm in ARMS if is_quantity(arms.get(arm)) and arms[arm]["value"]]
        if known:
            said = ", ".join(f"{_ARM_NAMES[arm].lower()} {rounded(float(value))}" for arm, value in known)
            told.append(f"{name}: {with_unit(said, unit)}")
    return "; ".join(told)
