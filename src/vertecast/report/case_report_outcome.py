"""The report's sections on the outcome, from whatever ``outcome.json`` holds: each quantity with its arms side by side.

The document is walked, not spelled out: a leaf is a quantity (DESIGN's Q), a number or a word; a key that names an arm
(before, fractured, after, no operation) becomes a column. So the report shows what an assessment of any version wrote.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from vertecast.report.case_report_blocks import Block, Chart, Heading, Note, Section, Table
from vertecast.report.case_report_charts import Bar, interval_chart
from vertecast.report.case_report_run import RunFolder, absent
from vertecast.report.case_report_words import capital, is_quantity, named, number, quantity_text, spoken, with_unit

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
        made = _blocks(parts)
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


def _blocks(parts: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = []
    rows: dict[Path, Row] = {}
    for path, value in _leaves(parts, ()):
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            blocks.append(_listed(path, value))
            continue
        arm = next((part for part in path if part in ARMS), "")
        rows.setdefault(tuple(part for part in path if part not in ARMS), {})[arm] = value
    arms = [arm for arm in ARMS if any(arm in row for row in rows.values())]
    compared = {path: row for path, row in rows.items() if any(row)}
    single = {path: row[""] for path, row in rows.items() if "" in row}
    front: list[Block] = [*_charts(compared)]
    if compared:
        table = [(_name(path), *(_cell(path, row.get(arm)) for arm in arms)) for path, row in compared.items()]
        front.append(Table(("", *(_ARM_NAMES[arm] for arm in arms)), table, "95 % intervals in brackets.", "compared"))
    if single:
        front.append(Table(("", ""), [(_name(p), _cell(p, v)) for p, v in single.items()], style="facts"))
    return [*front, *blocks]


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
    return Table(heads, [[_cell((key,), one.get(key)) for key in keys] for one in entries], _name(path))


def _charts(rows: Mapping[Path, Row]) -> list[Block]:
    charts: list[Block] = []
    for path, row in rows.items():
        bars = [
            Bar(name=_ARM_NAMES[arm], value=float(v["value"]), low=v.get("low"), high=v.get("high"))
            for arm in ARMS
            if is_quantity(v := row.get(arm, 0)) and v["value"] is not None
        ]
        if len(bars) > 1 and len(charts) < _CHARTS:
            unit = named(path[-1])[1]
            charts.append(Chart(interval_chart(bars, f"{_name(path)}{', ' + unit if unit else ''}")))
    return charts


def _name(path: Path) -> str:
    words = [named(part)[0] for part in path]
    return capital(", ".join(dict.fromkeys(word for word in words if word)))


def _cell(path: Path, value: Any) -> str:
    unit = named(path[-1])[1] if path else ""
    if is_quantity(value):
        return quantity_text(value, str(value.get("unit") or unit))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return with_unit(number(float(value)), unit)
    if isinstance(value, list):
        return "; ".join(_cell((), one) for one in value)
    if isinstance(value, Mapping):
        return "; ".join(f"{spoken(str(key))}: {_cell((str(key),), one)}" for key, one in value.items())
    return "–" if value is None else str(value)
