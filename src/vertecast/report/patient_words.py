"""The catalogue of the patient pages: every sentence by its key, filled strictly, ready for translation."""

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vertecast.core.errors import ParameterError
from vertecast.core.levels import Level
from vertecast.core.parameters import read_toml

LONGEST_GLOSSARY = 12
"""Words that a reading grade may leave out."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The sentences of one language; ``entries`` is the parsed file."""

    entries: Mapping[str, Any]

    def __post_init__(self) -> None:
        terms = self.entries.get("glossary", {})
        if not terms or len(terms) > LONGEST_GLOSSARY:
            raise ParameterError(
                f"the glossary of the patient pages has {len(terms)} words, allowed are 1 to {LONGEST_GLOSSARY}; "
                "say the others in plain words in data/patient"
            )

    @property
    def language(self) -> str:
        """The language's code for the page."""
        return str(self.entries["language"])

    @property
    def glossary(self) -> Mapping[str, str]:
        """The words that are explained instead of avoided."""
        found: Mapping[str, str] = self.entries["glossary"]
        return found

    def say(self, key: str, **values: str | int) -> str:
        """Return one sentence, all its placeholders filled.

        Parameters
        ----------
        key : ``section.name``

        Raises
        ------
        ParameterError
            For an unknown key, a placeholder without a value or a value without a placeholder.
        """
        return _filled(key, self._entry(key, str), values)

    def lines(self, key: str, **values: str | int) -> tuple[str, ...]:
        """Return a list of sentences; a value need not occur in each, but in one of them."""
        found = self._entry(key, list)
        asked = set().union(*(placeholders(one) for one in found))
        if set(values) - asked:
            raise ParameterError(f"{key} has no placeholder {sorted(set(values) - asked)}; correct data/patient")
        return tuple(_filled(key, one, {k: v for k, v in values.items() if k in placeholders(one)}) for one in found)

    def has(self, key: str) -> bool:
        """Tell whether there is such a key."""
        try:
            self._entry(key, (str, list))
        except ParameterError:
            return False
        return True

    def level(self, name: str) -> str:
        """Return a level in plain words: ``the second bone of your lower back (L2)``."""
        try:
            level = Level(name)
        except ValueError:
            return self.say("level.other", level=name)
        region, number = {"C": "cervical", "T": "thoracic", "L": "lumbar"}.get(name[0]), level.value[1:]
        ordinals = self.lines("level.ordinals")
        if region is None or not number.isdigit() or not 1 <= int(number) <= len(ordinals):
            return self.say("level.other", level=name)
        return self.say(f"level.{region}", ordinal=ordinals[int(number) - 1], level=name)

    def joined(self, parts: tuple[str, ...], key: str = "level.and") -> str:
        """Return parts as one list in words."""
        if not parts:
            raise ParameterError("nothing to list; give at least one part")
        if len(parts) == 1:
            return parts[0]
        return self.say(key, first=", ".join(parts[:-1]), last=parts[-1])

    def sentences(self) -> Iterator[tuple[str, str]]:
        """Yield every key with its text, lists line by line; placeholders stand as they are."""
        for section, content in self.entries.items():
            yield from _walked(section, content)

    def _entry(self, key: str, kind: type | tuple[type, ...]) -> Any:
        found: Any = self.entries
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if not isinstance(found, kind):
            raise ParameterError(f"the patient pages have no key {key}; add it to data/patient/{self.language}.toml")
        return found


def load_catalogue(language: str = "en") -> Catalogue:
    """Read the sentences of one language.

    Raises
    ------
    ParameterError
        If the language is not shipped.
    """
    return Catalogue(read_toml(f"patient/{language}.toml"))


def placeholders(text: str) -> set[str]:
    """Return the names in braces.

    >>> sorted(placeholders("{low} to {high} mm"))
    ['high', 'low']
    """
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _filled(key: str, text: str, values: Mapping[str, str | int]) -> str:
    asked = placeholders(text)
    if asked != set(values):
        raise ParameterError(
            f"{key} of the patient pages asks for {sorted(asked)} and was given {sorted(values)}; "
            "make the catalogue and the page agree"
        )
    return text.format(**values)


def _walked(key: str, content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield key, content
    elif isinstance(content, list):
        for index, one in enumerate(content):
            yield from _walked(f"{key}[{index}]", one)
    elif isinstance(content, Mapping):
        for name, one in content.items():
            yield from _walked(f"{key}.{name}", one)
