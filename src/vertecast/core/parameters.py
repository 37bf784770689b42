"""Parameters are data: TOML files whose every number has value, unit, source and status; anything else is refused."""

import dataclasses
import tomllib
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Generic, TypeVar

from vertecast.core.errors import ParameterError
from vertecast.core.quantities import known_unit

T = TypeVar("T")


class Status(Enum):
    """How much a number is worth."""

    MEASURED = "measured"
    REPORTED = "reported"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class ParameterUse:
    """One number a result used, for the manifest and the report."""

    name: str
    value: float | str | bool | tuple[float, ...]
    unit: str
    source: str
    status: Status

    def as_json(self) -> dict[str, Any]:
        """Return the manifest's form."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {
            "name": self.name,
            "value": value,
            "unit": self.unit,
            "source": self.source,
            "status": self.status.value,
        }


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """A parameter dataclass with where each of its numbers comes from."""

    values: T
    uses: tuple[ParameterUse, ...]


_ENTRY_KEYS = {"value", "unit", "source", "status"}


def data_file(path: str) -> Traversable:
    """Return a file of the package's ``data`` folder, by its path below that folder."""
    return resources.files("vertecast.data").joinpath(*path.split("/"))


def read_toml(path: str) -> dict[str, Any]:
    """Read a TOML file of the package's ``data`` folder."""
    try:
        return tomllib.loads(data_file(path).read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ParameterError(f"data/{path} does not exist; see `vertecast info` for what is shipped") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ParameterError(f"data/{path} is not valid TOML: {exc}") from exc


def load_parameters(path: str, cls: type[T]) -> Loaded[T]:
    """Load ``data/<path>`` into ``cls``, a frozen dataclass whose fields are declared with :func:`quantity`.

    Raises
    ------
    ParameterError
        For a missing or extra name, an unknown or different unit, an absent source or an unknown status.
    """
    return parse_parameters(read_toml(path), cls, place=f"data/{path}")


def parse_parameters(table: dict[str, Any], cls: type[T], *, place: str) -> Loaded[T]:
    """Check a parsed TOML table against ``cls`` and build it; see :func:`load_parameters`."""
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    missing, extra = sorted(fields.keys() - table.keys()), sorted(table.keys() - fields.keys())
    if missing or extra:
        raise ParameterError(f"{place}: missing names {missing}, names that {cls.__name__} does not have {extra}")
    uses = tuple(_read_entry(name, table[name], fields[name].metadata.get("unit"), place) for name in fields)
    return Loaded(cls(**{use.name: use.value for use in uses}), uses)


def _read_entry(name: str, entry: Any, unit: str | None, place: str) -> ParameterUse:
    where = f"{place}: {name}"
    if not isinstance(entry, dict) or entry.keys() != _ENTRY_KEYS:
        got = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise ParameterError(f"{where}: needs exactly value, unit, source and status, got {got}")
    known_unit(entry["unit"])
    if unit is not None and entry["unit"] != unit:
        raise ParameterError(f"{where}: unit {entry['unit']!r} given, {unit!r} declared; convert the value")
    if not isinstance(entry["source"], str) or not entry["source"].strip():
        raise ParameterError(f"{where}: source is empty; cite the paper with its table or page, or say who assumed it")
    try:
        status = Status(entry["status"])
    except ValueError as exc:
        known = ", ".join(s.value for s in Status)
        raise ParameterError(f"{where}: status {entry['status']!r} is not one of {known}") from exc
    return ParameterUse(name, _read_value(entry["value"], where), entry["unit"], entry["source"], status)


def _read_value(value: Any, where: str) -> float | str | bool | tuple[float, ...]:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list) and value and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        return tuple(float(v) for v in value)
    raise ParameterError(f"{where}: value {value!r} is neither a number, a text, a truth value nor a list of numbers")
