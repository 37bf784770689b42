"""What is known of one fracture, under the vocabulary's names, with the reason for everything that is missing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from vertecast.core.errors import InputError, ParameterError
from vertecast.core.levels import Level
from vertecast.core.quantities import Measured
from vertecast.planning.patient import Patient, Trial
from vertecast.planning.rules.logic import Truth
from vertecast.planning.rules.vocabulary import VOCABULARY, FactSpec, Kind, Origin

Value = bool | str | float | Measured | Truth
"""A truth, a word or a number; a statement derived from a measurement may also be ``Truth.BORDERLINE``."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Known values by name; what is not in ``values`` is unknown, ``reasons`` says why where that is known."""

    values: Mapping[str, Value]
    reasons: Mapping[str, str]

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            _require_kind(name, value)

    @classmethod
    def of(cls, values: Mapping[str, Value | None], reasons: Mapping[str, str] | None = None) -> "Facts":
        """Make facts, leaving out what is ``None`` or a measurement without a value."""
        why = dict(reasons or {})
        known: dict[str, Value] = {}
        for name, value in values.items():
            if isinstance(value, Measured) and value.value is None:
                why.setdefault(name, str(value.reason))
            elif value is not None:
                known[name] = value
        return cls(MappingProxyType(known), MappingProxyType(why))

    def with_values(self, values: Mapping[str, Value | None]) -> "Facts":
        """Return these facts with others added or put in their place."""
        merged: dict[str, Value | None] = {**self.values, **values}
        return Facts.of(merged, self.reasons)

    def why_missing(self, name: str) -> str:
        """Say in words why a fact is not known and where it would stand."""
        spec = VOCABULARY[name]
        return self.reasons.get(name) or f"not given ({spec.origin.value}: {spec.where})"

    def as_json(self) -> dict[str, Any]:
        """Return the known facts by name, measurements with their interval."""
        return {n: _as_json(v) for n, v in sorted(self.values.items())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the rules ask of the planned session."""

    levels: int
    stent_planned: bool | None = None


def gather(level: Level, patient: Patient, vertebra: Mapping[str, Any] | None, session: Session) -> Facts:
    """Collect every fact of one level from the record, from its entry in ``spine.json`` and from the session.

    Parameters
    ----------
    vertebra : the level's entry of ``spine.json``, or ``None`` when no CT was measured
    """
    values: dict[str, Value | None] = {}
    reasons: dict[str, str] = {}
    for spec in VOCABULARY.values():
        if spec.origin is Origin.RECORD and spec.name not in _COMPOSED:
            values[spec.name] = _from_record(spec, patient, level)
        elif spec.origin is Origin.SPINE and spec.name in _SPINE_FACTS:
            values[spec.name] = _from_spine(spec, vertebra, reasons)
    fracture = patient.fracture(level)
    grade = patient.neurology.ao_grade
    known_grade = grade is not None and grade != "NX"
    values |= {
        "level": level.value,
        "region": level.region.value,
        "levels_this_session": float(session.levels),
        "stent_planned": session.stent_planned,
        "neuro_deficit": grade != "N0" if known_grade else None,
        "neuro_marked": grade in ("N2", "N3", "N4") if known_grade else None,
        "imaging_positive": fracture.bone_scan_positive if fracture.mri_oedema is None else fracture.mri_oedema,
        "analgesic_weeks": _weeks(patient.trials, ("prescription_analgesic",)),
        "exercise_weeks": _weeks(patient.trials, ("exercise", "physiotherapy")),
    }
    values["of_type"] = _of_type(vertebra, values, reasons)
    return Facts.of(values, reasons)


_COMPOSED = frozenset({"imaging_positive", "analgesic_weeks", "exercise_weeks", "neuro_deficit", "neuro_marked"})
_SPINE_FACTS = frozenset(
    {
        "height_loss_percent",
        "local_kyphosis_deg",
        "posterior_loss_percent",
        "trabecular_hu",
        "acuity",
    }
)


def _from_record(spec: FactSpec, patient: Patient, level: Level) -> Value | None:
    section, key = spec.where.split(".")
    holder = patient.fracture(level) if section == "levels" else getattr(patient, section)
    value = getattr(holder, key)
    if spec.kind is Kind.NUMBER and value is not None:
        return float(value)
    return value  # type: ignore[no-any-return]


def _from_spine(spec: FactSpec, vertebra: Mapping[str, Any] | None, reasons: dict[str, str]) -> Value | None:
    found: Any = vertebra
    for key in spec.where.split("."):
        if isinstance(found, Mapping) and key not in found and found.get("reason"):
            reasons[spec.name] = str(found["reason"])
            return None
        found = found.get(key) if isinstance(found, Mapping) else None
    if found is None:
        reasons[spec.name] = "no CT was measured" if vertebra is None else f"spine.json has no {spec.where} here"
        return None
    if spec.kind is Kind.WORD:
        word = str(found.get("value") if isinstance(found, Mapping) else found).replace("-", "_")
        if word not in spec.choices:
            reasons[spec.name] = f"spine.json says {word!r}"
            return None
        return word
    return measured_from_json(found, spec.name)


def measured_from_json(entry: Any, name: str) -> Measured:
    """Read DESIGN's ``Q`` back; a bare number counts as known without an interval."""
    if isinstance(entry, int | float) and not isinstance(entry, bool):
        return Measured(float(entry), method="given")
    if not isinstance(entry, Mapping) or "value" not in entry:
        raise InputError(f"{name} in spine.json is {entry!r}, needs value, low, high, method; measure the CT again")
    if entry["value"] is None:
        return Measured.unknown(str(entry.get("reason") or "no reason given"))
    return Measured(entry["value"], entry.get("low"), entry.get("high"), entry.get("method") or "given")


def _of_type(
    vertebra: Mapping[str, Any] | None, values: Mapping[str, Value | None], reasons: dict[str, str]
) -> Value | None:
    """Read the OF class; CT cannot tell OF0 from OF1, MRI oedema can, and a failed tension band is OF5."""
    if values.get("tension_band_failure"):
        return 5.0
    entry = (vertebra or {}).get("of_class")
    text = str(entry.get("value") if isinstance(entry, Mapping) else entry)
    classes = [float(n) for n in re.findall(r"OF\s*([0-5])", text)]
    if not classes:
        reasons["of_type"] = "no CT was measured" if vertebra is None else f"spine.json says of_class = {text}"
        return None
    if sorted(classes) == [0.0, 1.0] and values.get("mri_oedema") is not None:
        classes = [1.0 if values["mri_oedema"] else 0.0]
    return Measured(classes[0], min(classes), max(classes), "OF class from CT")


def _weeks(trials: tuple[Trial, ...], kinds: tuple[str, ...]) -> float | None:
    """Return the longest trial of these kinds in weeks; ``None`` when no trial of them has a start."""
    days = [
        t.start_days_ago - (t.stop_days_ago or 0.0) for t in trials if t.kind in kinds and t.start_days_ago is not None
    ]
    return max(days) / 7.0 if days else None


def _require_kind(name: str, value: Value) -> None:
    spec = VOCABULARY.get(name)
    if spec is None:
        raise ParameterError(f"fact {name!r} is not in the vocabulary; see planning/rules/vocabulary.py")
    fits = {
        Kind.TRUTH: isinstance(value, bool) or value is Truth.BORDERLINE,
        Kind.NUMBER: isinstance(value, int | float | Measured) and not isinstance(value, bool),
        Kind.WORD: isinstance(value, str) and value in spec.choices,
    }[spec.kind]
    if not fits:
        wanted = f" of {', '.join(spec.choices)}" if spec.choices else ""
        raise ParameterError(f"fact {name} = {value!r} is not a {spec.kind.value}{wanted}; see {spec.where}")


def _as_json(value: Value) -> Any:
    if isinstance(value, Measured):
        return value.as_json()
    return value.value if isinstance(value, Truth) else value
