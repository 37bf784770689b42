"""Two runs of one CT side by side: the figures that differ, and a page with the pictures of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError
from vertecast.core.files import atomic_path
from vertecast.pipeline.extras import missing_extra
from vertecast.pipeline.manifest import NOTICE
from vertecast.pipeline.outcome_rows import Figure, level_figures, read_documents

SCHEMA = "vertecast/comparison/1"
PAGE = "compare.html"


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure of both runs; None where a run does not have it."""

    first: Figure | None
    second: Figure | None

    @property
    def figure(self) -> Figure:
        """The one that is there."""
        found = self.first or self.second
        assert found is not None
        return found

    @property
    def difference(self) -> float | None:
        """Second less first, where both are numbers."""
        values = [one.value if one is not None else None for one in (self.first, self.second)]
        first, second = (value if isinstance(value, float | int) else None for value in values)
        return None if first is None or second is None else float(second) - float(first)

    def as_json(self) -> dict[str, Any]:
        """Return the form of the answer."""
        values = {
            name: None if one is None else one.value for name, one in (("first", self.first), ("second", self.second))
        }
        return {"name": self.figure.name, "unit": self.figure.unit, **values, "difference": self.difference}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs of one CT.

    Parameters
    ----------
    folders : of both runs
    levels : pairs by level
    """

    folders: tuple[Path, Path]
    case_ids: tuple[str, str]
    levels: Mapping[str, tuple[Pair, ...]]

    def as_json(self) -> dict[str, Any]:
        """Return the answer of the command."""
        runs = [
            {"folder": str(folder), "case_id": name} for folder, name in zip(self.folders, self.case_ids, strict=True)
        ]
        levels = {name: [pair.as_json() for pair in pairs] for name, pairs in self.levels.items()}
        return {"schema": SCHEMA, "notice": NOTICE, "runs": runs, "levels": levels}


def compare_case(first: Path, second: Path) -> Comparison:
    """Compare two run folders.

    Raises
    ------
    InputError
        If one is no run folder, they are not of the same CT and labels, or have no level in common.
    """
    documents = [read_documents(folder) for folder in (first, second)]
    for role in ("ct", "labels"):
        digests = [_digest(one["manifest"], role) for one in documents]
        if None in digests or digests[0] != digests[1]:
            what = "CT" if role == "ct" else "labels"
            raise InputError(
                f"{first} and {second} are not of the same {what}, so their figures do not compare; "
                "give two runs of one case"
            )
    planned = [one["plan"]["levels"] for one in documents]
    shared = [name for name in planned[0] if name in planned[1]]
    if not shared:
        raise InputError(
            f"{first} treats {', '.join(planned[0])} and {second} {', '.join(planned[1])}: no level in common; "
            "give two runs that share one"
        )
    levels = {name: _pairs(*(level_figures(one, name) for one in documents)) for name in shared}
    names = [
        str(one["manifest"].get("case_id") or folder.name)
        for one, folder in zip(documents, (first, second), strict=True)
    ]
    return Comparison((first, second), (names[0], names[1]), levels)


def write_comparison(comparison: Comparison, path: Path) -> str | None:
    """Write the page; return the remedy where the [report] extra is missing.

    Raises
    ------
    InputError
        If it cannot be written there.
    """
    if (remedy := missing_extra("report")) is not None:
        return remedy
    from vertecast.report.comparison_page import comparison_html  # the [report] extra, probed above

    rows = {
        name: [(pair.figure.label, _shown(pair.first), _shown(pair.second), shown_difference(pair)) for pair in pairs]
        for name, pairs in comparison.levels.items()
    }
    with atomic_path(path) as temporary:
        temporary.write_text(comparison_html(comparison.folders, comparison.case_ids, rows), encoding="utf-8")
    return None


def shown_difference(pair: Pair) -> str:
    """Return the difference as it is printed: empty where there is none to tell."""
    if pair.difference is None:
        same = pair.first is not None and pair.second is not None and pair.first.value == pair.second.value
        return "" if same or pair.figure.value is None or isinstance(pair.figure.value, float | int) else "other"
    text = f"{pair.difference:+.{pair.figure.digits}f}"
    return "" if float(text) == 0 else text


def _shown(figure: Figure | None) -> str:
    return "–" if figure is None else figure.shown


def _pairs(first: list[Figure], second: list[Figure]) -> tuple[Pair, ...]:
    left, right = ({one.name: one for one in figures} for figures in (first, second))
    order = sorted({*left, *right}, key=lambda name: _place(name, first, second))
    return tuple(Pair(left.get(name), right.get(name)) for name in order)


def _place(name: str, first: list[Figure], second: list[Figure]) -> int:
    """Return where a figure stands in the longer list that has it: what a vertebroplasty lacks keeps its place."""
    names = [[one.name for one in figures] for figures in sorted((first, second), key=len, reverse=True)]
    return names[0].index(name) if name in names[0] else len(names[0]) + names[1].index(name)


def _digest(manifest: Mapping[str, Any], role: str) -> str | None:
    return next((str(one["sha256"]) for one in manifest.get("inputs", []) if one["role"] == role), None)
