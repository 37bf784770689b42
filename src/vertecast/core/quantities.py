"""Units declared once: dataclass fields that carry their unit, and measured values with their interval."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from vertecast.core.errors import ParameterError

# Internal units (consistent: mm, s, N, MPa, mJ, mW, K, rad) with their UCUM codes, and the clinical ones of the edges.
UNITS: dict[str, str] = {
    "1": "1",
    "mm": "mm",
    "mm2": "mm2",
    "mm3": "mm3",
    "s": "s",
    "1/s": "/s",
    "N": "N",
    "N.mm": "N.mm",
    "N/mm": "N/mm",
    "MPa": "MPa",
    "MPa.s": "MPa.s",
    "1/MPa": "/MPa",
    "mJ": "mJ",
    "mW": "mW",
    "K": "K",
    "1/K": "/K",
    "rad": "rad",
    "mg/mm3": "mg/mm3",
    "mm/s": "mm/s",
    "mm2/s": "mm2/s",
    "mm3/s": "mm3/s",
    "1/mm": "/mm",
    "keV": "keV",
    "kV": "kV",
    "mA": "mA",
    "mA.s": "mA.s",
    "mJ/mm3": "mJ/mm3",
    "mJ/mg": "mJ/mg",
    "mJ/(mm3.K)": "mJ/(mm3.K)",
    "mJ/(mg.K)": "mJ/(mg.K)",
    "mW/(mm.K)": "mW/(mm.K)",
    "mm2/mg": "mm2/mg",
    "J/mol": "J/mol",
    "g/mol": "g/mol",
    "kg": "kg",
    "cm": "cm",
    "N/kg": "N/kg",
    "mGy": "mGy",
    "Gy": "Gy",
    "HU": "[hnsf'U]",
    "mL": "mL",
    "mL/s": "mL/s",
    "degC": "Cel",
    "deg": "deg",
    "mg/cm3": "mg/cm3",
    "g/cm3": "g/cm3",
    "mg/(cm3.HU)": "mg/cm3/[hnsf'U]",
    "cm2/g": "cm2/g",
    "bar": "bar",
    "psi": "[psi]",
    "%": "%",
    "min": "min",
    "h": "h",
    "d": "d",
    "wk": "wk",
    "mo": "mo",
    "a": "a",
    "gauge": "{gauge}",
}

_CLINICAL = {
    "kg",
    "cm",
    "mL",
    "mL/s",
    "degC",
    "deg",
    "mg/cm3",
    "mg/(cm3.HU)",
    "g/cm3",
    "cm2/g",
    "bar",
    "psi",
    "%",
    "min",
    "h",
    "d",
    "wk",
    "mo",
    "a",
    "HU",
    "gauge",
}


def known_unit(unit: str) -> str:
    """Return ``unit`` if it is one of :data:`UNITS`; refuse it otherwise."""
    if unit not in UNITS:
        raise ParameterError(f"unit {unit!r} is not known; use one of: {', '.join(sorted(UNITS))}")
    return unit


def is_clinical(unit: str) -> bool:
    """Tell whether a unit belongs to the edges (files, CLI) and not to the inside."""
    return known_unit(unit) in _CLINICAL


def quantity(unit: str, doc: str, **field_options: Any) -> Any:
    """Declare a dataclass field that is a number with a unit.

    Parameters
    ----------
    unit : one of :data:`UNITS`
    doc : what the number is, in the field's words
    field_options : passed to :func:`dataclasses.field` (``default`` where a default is not an assumption)
    """
    return dataclasses.field(metadata={"unit": known_unit(unit), "doc": doc}, **field_options)


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured number with its 95 % interval, or nothing and the reason.

    ``value``, ``low`` and ``high`` are in the unit that the name of the holder carries (``heights_mm``).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.value is None:
            if not self.reason:
                raise ParameterError("a missing value needs a reason; give reason='…'")
            if self.low is not None or self.high is not None:
                raise ParameterError(f"a missing value has no interval, got [{self.low}, {self.high}]")
            return
        if self.reason is not None:
            raise ParameterError(f"value {self.value} is present, so it takes a method, not a reason ({self.reason!r})")
        if not self.method:
            raise ParameterError(f"value {self.value} needs the name of its method")
        numbers = [n for n in (self.value, self.low, self.high) if n is not None]
        if not all(math.isfinite(n) for n in numbers):
            raise ParameterError(
                f"measured numbers must be finite, got {numbers}; say value=None with a reason instead"
            )
        if (self.low is None) != (self.high is None):
            raise ParameterError(f"an interval has both ends or none, got [{self.low}, {self.high}]")
        if self.low is not None and self.high is not None and not self.low <= self.value <= self.high:
            raise ParameterError(f"value {self.value} lies outside its own interval [{self.low}, {self.high}]")

    @classmethod
    def unknown(cls, reason: str) -> "Measured":
        """Make the value that is not there, with the reason."""
        return cls(None, reason=reason)

    @classmethod
    def with_error(cls, value: float, half_width: float, method: str) -> "Measured":
        """Make a value with a symmetric 95 % interval of ``half_width`` on each side."""
        return cls(value, value - half_width, value + half_width, method)

    def as_json(self) -> dict[str, float | str | None]:
        """Return DESIGN's ``Q``: value, low, high and method, or null and the reason."""
        if self.value is None:
            return {"value": None, "reason": self.reason}
        return {"value": self.value, "low": self.low, "high": self.high, "method": self.method}
