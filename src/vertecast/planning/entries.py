"""One entry of the patient record declared once: kind, unit, limits and words serve the check and the template."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from vertecast.core.errors import InputError
from vertecast.core.quantities import known_unit

T = TypeVar("T")

_KINDS = {bool: "true or false", str: "a text in quotes", int: "a whole number", float: "a number"}


def number(unit: str, doc: str, limits: tuple[float, float], *, example: float, remedy: str = "") -> Any:
    """Declare a number that may be missing: unit, possible range, an example for the template, a remedy."""
    return dataclasses.field(
        default=None,
        metadata={"unit": known_unit(unit), "doc": doc, "limits": limits, "example": example, "remedy": remedy},
    )


def truth(doc: str, *, example: bool = True) -> Any:
    """Declare a statement that is true, false or missing."""
    return dataclasses.field(default=None, metadata={"doc": doc, "example": example})


def choice(doc: str, *choices: str) -> Any:
    """Declare one word out of a list, or missing."""
    return dataclasses.field(default=None, metadata={"doc": doc, "choices": choices, "example": choices[0]})


def words(doc: str, example: str) -> Any:
    """Declare a free text, or missing."""
    return dataclasses.field(default=None, metadata={"doc": doc, "example": example})


def read_section(table: Any, cls: type[T], place: str) -> T:
    """Check one table of the record against ``cls`` and build it; ``place`` is the file and the section.

    Raises
    ------
    InputError
        For a key that ``cls`` does not have, a value of another kind, outside its limits or not among its words.
    """
    if not isinstance(table, Mapping):
        raise InputError(f"{place} is {table!r}, needs a table; see `vertecast patient --template`")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise InputError(f"{place}: {unknown_key(key, fields)}")
    kinds = typing.get_type_hints(cls)
    values = {key: _checked(value, kinds[key], fields[key].metadata, f"{place}.{key}") for key, value in table.items()}
    try:
        return cls(**values)
    except InputError as exc:
        raise InputError(f"{place}: {exc}") from exc


def unknown_key(key: str, known: Mapping[str, Any] | typing.Iterable[str]) -> str:
    """Say that a key is not known, which ones are, and the nearest of them."""
    names = list(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5) or [n for n in names if n[:5] == key[:5]][:1]
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
    return f"key {key!r} is not known; {hint}"


def template_lines(cls: type[Any]) -> list[str]:
    """Return one commented line for each entry of a section: key, an example, what it is, its unit and limits."""
    return [f"# {f.name} = {_toml(f.metadata['example'])}  # {_explained(f)}" for f in dataclasses.fields(cls)]


def _explained(field: "dataclasses.Field[Any]") -> str:
    meta = field.metadata
    parts = [meta["doc"]]
    if "choices" in meta:
        parts.append(" | ".join(meta["choices"]))
    if "limits" in meta:
        unit = "" if meta["unit"] == "1" else f" {meta['unit']}"
        parts.append(f"{meta['limits'][0]:g} to {meta['limits'][1]:g}{unit}")
    return "; ".join(parts)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


def _checked(value: Any, hint: Any, meta: Mapping[str, Any], place: str) -> Any:
    kind = next(a for a in typing.get_args(hint) if a is not types.NoneType)
    exact = isinstance(value, bool) == (kind is bool)
    if not exact or not isinstance(value, (int, float) if kind is float else kind):
        raise InputError(f"{place} = {value!r} is not {_KINDS[kind]}{_wanted(meta)}")
    if "choices" in meta and value not in meta["choices"]:
        raise InputError(f"{place} = {value!r} is not one of {', '.join(meta['choices'])}; write one of them")
    if "limits" in meta:
        low, high = meta["limits"]
        if not low <= value <= high:
            side, limit = ("above", high) if value > high else ("below", low)
            unit = "" if meta["unit"] == "1" else f" {meta['unit']}"
            remedy = meta["remedy"] or "check the value and its unit, or leave the line out if it is not known"
            raise InputError(
                f"{place} = {value!r} is not a possible value, {side} the limit of {limit:g}{unit}; {remedy}"
            )
    return float(value) if kind is float else value


def _wanted(meta: Mapping[str, Any]) -> str:
    if "choices" in meta:
        return f"; write one of {', '.join(meta['choices'])}"
    if "limits" in meta:
        low, high = meta["limits"]
        return f" from {low:g} to {high:g}; write it without quotes and unit"
    return "; leave the line out if it is not known"
