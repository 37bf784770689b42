"""The references: a source as the data files cite it, turned into what a reader can look up.

The data files name their sources briefly: a number ("[30]"), a fact of a patient page ("S44"), a paper's or a trial's
name ("VAPOUR"). A reader sees the work's label in brackets and finds it in the list of references.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import read_toml

NOTES = re.compile(  # where the developers' notes are named
    r"(?:research/)?(?:clinical|physics|xray|schemes|numerics)\.md"
    r"(?:,?\s+section)?(?:\s+[C§]?\d[\d.]*\d|\s+[C§]?\d)?(?:\s+and\s+\d(?:[\d.]*\d)?)?"
)
_NUMBERS = re.compile(r"\[(\d{1,3}[a-z]?)\]")
_FACTS = re.compile(r"\(?\bS(\d{2,3})\b\)?")
_NOTES_LABEL = "working notes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One work that is cited.

    Parameters
    ----------
    label : what stands in brackets where it is cited
    where : journal, year, volume and first page; or the publisher
    not_public : why it cannot be looked up; empty for all that can
    numbers, names, facts : how the data files cite it; facts is a range of facts of a patient page
    """

    label: str
    title: str
    where: str
    authors: str = ""
    doi: str = ""
    url: str = ""
    not_public: str = ""
    numbers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    facts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.doi or self.url) == bool(self.not_public):
            raise ParameterError(
                f"the work {self.label!r} has {'both an address and' if self.not_public else 'neither an address nor'} "
                "a reason why it is not public; give doi or url, or not_public, in data/report/bibliography.toml"
            )

    @property
    def anchor(self) -> str:
        """Its label as an HTML id."""
        return "ref-" + re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")

    @property
    def address(self) -> str:
        """Where it can be opened; empty when it is not public."""
        return f"https://doi.org/{self.doi}" if self.doi else self.url

    @property
    def text(self) -> str:
        """Authors, title and journal in one line; the reason for a work that is not public."""
        parts = [part for part in (self.authors.removesuffix("."), self.title, self.where) if part]
        said = ". ".join(parts)
        return f"{said}; {self.not_public}." if self.not_public else f"{said}."


@dataclass(frozen=True, slots=True)
class Cited:
    """A source as a reader sees it, and the works it names, in order."""

    text: str
    works: tuple[Work, ...]


@dataclass(frozen=True)
class Bibliography:
    """All works, and how they are found in a source."""

    works: tuple[Work, ...]

    def __post_init__(self) -> None:
        labels = [work.label for work in self.works]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ParameterError(
                f"the label {twice[0]!r} names two works; every label in bibliography.toml must differ"
            )

    @cached_property
    def by_number(self) -> Mapping[str, Work]:
        """The works by the numbers of the data files."""
        return {number: work for work in self.works for number in work.numbers}

    @cached_property
    def _named(self) -> tuple[tuple[re.Pattern[str], Work], ...]:
        return tuple(
            (re.compile(rf"(?<![\w\[]){re.escape(name)}(?![\w\]])"), work) for work in self.works for name in work.names
        )

    def cited(self, source: str) -> Cited:
        """Return a source with labels in brackets instead of the data files' own codes.

        >>> load_bibliography().cited("KAVIAR trial [30]: mean 40.0 minutes").text
        'KAVIAR trial [Dohm 2014]: mean 40.0 minutes'
        """
        text = NOTES.sub(self._note, source)
        text = _NUMBERS.sub(self._numbered, text)
        text = self._with_facts(text)
        for pattern, work in self._named:
            if f"[{work.label}]" not in text:
                text = _labelled(pattern, work.label, text)
        places = [(text.find(f"[{work.label}]"), work) for work in self.works if f"[{work.label}]" in text]
        return Cited(text, tuple(work for _, work in sorted(places, key=lambda one: one[0])))

    def _note(self, found: re.Match[str]) -> str:
        # A paper named beside the notes is the reference; the notes are only where it was read.
        rest = found.string[found.end() :].lstrip()
        named = _NUMBERS.match(rest)
        return "" if named and named.group(1) in self.by_number else f"[{_NOTES_LABEL}]"

    def _numbered(self, found: re.Match[str]) -> str:
        work = self.by_number.get(found.group(1))
        return found.group() if work is None else f"[{work.label}]"

    def _with_facts(self, text: str) -> str:
        def page(found: re.Match[str]) -> str:
            number = int(found.group(1))
            label = next((w.label for w in self.works if w.facts and w.facts[0] <= number <= w.facts[1]), None)
            return found.group() if label is None else f"[{label}]"

        text = _FACTS.sub(page, text) if "page" in text or "portal" in text else text
        text = re.sub(r"(\[[^\]]+\])(?:,?(?: and)? \1)+", r"\1", text)
        text = " ".join(text.split()).replace("( [", "([").replace(" degC", " °C")
        return re.sub(r"\((\[[^\]()]+\])\)", r"\1", text)


def load_bibliography() -> Bibliography:
    """Read ``data/report/bibliography.toml``.

    Raises
    ------
    ParameterError
        For an entry with an unknown or missing key, without an address, or with a label that occurs twice.
    """
    return Bibliography(tuple(_work(entry) for entry in read_toml("report/bibliography.toml")["works"]))


def _work(entry: Mapping[str, Any]) -> Work:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    try:
        return Work(**values)
    except TypeError as exc:
        raise ParameterError(f"bibliography.toml, {entry.get('label')!r}: {exc}; correct the entry") from exc


def _labelled(pattern: re.Pattern[str], label: str, text: str) -> str:
    """Put a work's label behind its name; only the label where they are the same words."""
    found = pattern.search(text)
    if found is None:
        return text
    name = "" if found.group() == label else f"{found.group()} "
    return f"{text[: found.start()]}{name}[{label}]{text[found.end() :]}"
