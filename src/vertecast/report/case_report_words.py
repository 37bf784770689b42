"""Numbers, units and names as a surgeon reads them; the keys of the JSON files turned into words."""

import math
import re
from collections.abc import Mapping
from typing import Any

_UNITS = {
    "_n_mm": "N/mm",
    "_kn_mm": "kN/mm",
    "_mg_cm3": "mg/cm³",
    "_mm3": "mm³",
    "_mm2": "mm²",
    "_mm": "mm",
    "_ml_s": "mL/s",
    "_ml": "mL",
    "_percent": "%",
    "_degc": "°C",
    "_deg": "°",
    "_bar": "bar",
    "_kpa": "kPa",
    "_mpa": "MPa",
    "_kn": "kN",
    "_nm": "N·m",
    "_n": "N",
    "_hu": "HU",
    "_min": "min",
    "_minutes": "min",
    "_years": "years",
    "_days": "days",
    "_weeks": "weeks",
    "_s": "s",
    "_ms": "ms",
    "_lps": "LPS",
}
_NAMES = {
    "degc": "°C",
    "hu": "HU",
    "ap": "AP",
    "pmma": "PMMA",
    "bmi": "BMI",
    "asa": "ASA",
    "nrs": "NRS",
    "iv": "IV",
    "cem43": "thermal dose (CEM43)",
    "kv": "kV",
    "lps": "LPS",
    "ct": "CT",
    "mises": "Mises",
}
MINUS = "−"


def number(value: float, digits: int = 3) -> str:
    """Return a number to ``digits`` significant ones, whole numbers whole, with a true minus sign.

    >>> number(18.4581), number(2477.6), number(-2.813), number(0.00394)
    ('18.5', '2478', '−2.81', '0.00394')
    """
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "not finite"
    power = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))  # 0.9999 counts as 1
    return fixed(value, max(0, digits - 1 - power))


def is_quantity(value: Any) -> bool:
    """Tell whether a JSON value is DESIGN's Q."""
    return isinstance(value, Mapping) and "value" in value and ("reason" in value or "method" in value)


def with_unit(text: str, unit: str) -> str:
    """Append a unit: a degree sign without a space, all others with a narrow one.

    >>> with_unit("18", "°"), with_unit("18", "%")
    ('18°', '18\u202f%')
    """
    if not unit:
        return text
    return f"{text}°" if unit == "°" else f"{text}\u202f{unit}"


def quantity_text(quantity: Any, unit: str, digits: int = 3) -> str:
    """Return a Q as ``value (low to high) unit``, all three to the same place, or ``unknown: reason``.

    >>> quantity_text({"value": -0.562, "low": -1.05, "high": -0.078, "method": "rim"}, "mm")
    '−0.56 (−1.05 to −0.08)\u202fmm'
    >>> quantity_text({"value": 14800.3, "low": 6387.8, "high": 23212.8, "method": "pressed"}, "N/mm")
    '14800 (6400 to 23200)\u202fN/mm'
    """
    if not isinstance(quantity, Mapping):
        return "unknown" if quantity is None else with_unit(number(float(quantity), digits), unit)
    value = quantity.get("value")
    if value is None:
        return f"unknown: {quantity.get('reason', 'no reason given')}"
    low, high = quantity.get("low"), quantity.get("high")
    if low is None or high is None:
        return with_unit(number(float(value), digits), unit)
    if low == high:
        return with_unit(stated(float(f"{float(value):.{digits}g}")), unit)
    ends = [float(n) for n in (value, low, high)]
    largest = max(abs(n) for n in ends) or 1.0
    places = digits - 1 - math.floor(math.log10(largest))
    text, first, last = (fixed(n, places) for n in ends)
    return with_unit(f"{text} ({first} to {last})", unit)


def fixed(value: float, places: int) -> str:
    """Return a number with so many decimals and a true minus sign, never minus nought; tens and hundreds below none.

    >>> fixed(-2.25, 1), fixed(-0.04, 1), fixed(41.0, 0), fixed(10868.9, -2)
    ('−2.2', '0.0', '41', '10900')
    """
    text = f"{round(abs(value), places) if places < 0 else abs(value):.{max(0, places)}f}"
    return (MINUS if value < 0 and float(text) else "") + text


def stated(value: float) -> str:
    """Return a number that a source states, as it states it.

    >>> stated(60.0), stated(12.7)
    ('60', '12.7')
    """
    return f"{value:.6g}".replace("-", MINUS)


def rounded(value: float, digits: int = 3) -> str:
    """Return a result to ``digits`` significant ones, none of them a nought after the point.

    >>> rounded(10868.9), rounded(0.8), rounded(3.1), rounded(-15.957)
    ('10900', '0.8', '3.1', '−16')
    """
    return stated(float(f"{value:.{digits}g}"))


def setting(value: float) -> str:
    """Return a parameter as it is given, very large and very small ones with a power of ten.

    >>> setting(0.8), setting(67891.0), setting(4e-07), setting(1e99)
    ('0.8', '67891', '4·10⁻⁷', '10⁹⁹')
    """
    if value == 0 or 1e-4 <= abs(value) < 1e7:
        return stated(value)
    front, power = f"{value:.4g}".split("e") if "e" in f"{value:.4g}" else f"{value:.3e}".split("e")
    raised = f"10{int(power)}".translate(str.maketrans("-", "⁻"))
    tens = "10" + raised[2:].translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    front = stated(float(front))
    return tens if front == "1" else f"{front}·{tens}"


def readable(sentence: str) -> str:
    """Return a sentence of the files without what only a program reads: snake case, powers as 1.67e+03.

    >>> readable("2.3 of the 9.0 mm were regained (rated_pressure, target_volume)")
    '2.3 of the 9.0 mm were regained (rated pressure, target volume)'
    >>> readable("over the usual range 200 to 1.67e+03; dented by -0.5 mm")
    'over the usual range 200 to 1670; dented by −0.5 mm'
    """
    text = re.sub(r"\d(?:\.\d+)?e[+-]\d+", lambda found: stated(float(found.group())), sentence)
    text = re.sub(r"(?<![\w`.\-/])[a-z]+(?:_[a-z]+)+(?![\w`.=/])", lambda found: spoken(found.group()), text)
    return re.sub(r"(?<![\w.)\]\-–])-(?=\d)", MINUS, text)


def named(key: str) -> tuple[str, str]:
    """Return a key's words and its unit.

    >>> named("peak_syringe_pressure_bar"), named("leak_onset_s"), named("levels_this_session")
    (('peak syringe pressure', 'bar'), ('leak onset', 's'), ('levels this session', ''))
    """
    for suffix in sorted(_UNITS, key=len, reverse=True):
        if key.endswith(suffix) and len(key) > len(suffix):
            return spoken(key[: -len(suffix)]), _UNITS[suffix]
    return spoken(key), ""


def spoken(key: str) -> str:
    """Return an identifier as words.

    >>> spoken("canal_peak_degc")
    'canal peak °C'
    """
    return " ".join(_NAMES.get(part, part) for part in key.replace("-", " ").replace("_", " ").split())


def capital(text: str) -> str:
    """Return the text with its first letter large, the rest as it is."""
    return text[:1].upper() + text[1:]


def minutes(seconds: float) -> str:
    """Return a time of the procedure as m:ss.

    >>> minutes(399.4), minutes(59.7)
    ('6:39', '1:00')
    """
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def event_sentence(event: Mapping[str, Any]) -> str:
    """Return what an event says, in one line; an unknown kind by its own name."""
    data, kind = event.get("data") or {}, str(event.get("kind"))
    where = " ".join(str(part) for part in (event.get("level"), event.get("side")) if part)
    said = _said(kind, data)
    return f"{where}: {said}" if where else capital(said)


def _said(kind: str, data: Mapping[str, Any]) -> str:
    if kind == "cement_mixed":
        name = spoken(str(data.get("cement", "cement")))
        return f"{name} mixed; used from {minutes(data.get('injected_from_s', 0))} min on"
    if kind == "injection_started":
        return f"injection of {number(data.get('planned_ml', 0))} mL begins"
    if kind == "progress":
        return f"{number(data.get('injected_ml', 0))} mL in"
    if kind == "leak":
        return f"leak, {data.get('route', 'route unknown')}"
    if kind == "stop":
        return f"stopped: {data.get('sentence') or spoken(str(data.get('reason')))}"
    if kind == "injection_ended":
        return f"injection ends, {number(data.get('injected_ml', 0))} mL in"
    if kind == "peak_temperature":
        return f"hottest moment: cement {number(data.get('cement_peak_degc', 0))} °C"
    if kind == "hard":
        return f"{stated(data.get('share_percent', 0))} % of the cement is hard"
    if kind == "warning":
        return readable(str(data.get("sentence", "warning")))
    return {
        "access": "needle in place",
        "balloon_placed": "balloon placed",
        "inflation": _inflated(data),
        "deflation": "balloon deflated",
        "balloon_removed": "balloon taken out",
        "needle_removed": "needle taken out",
        "cure_started": "the cement cures",
        "cured": "cure complete",
        "cancelled": "cancelled",
        "resumed": "resumed",
    }.get(kind, spoken(kind))


def _inflated(data: Mapping[str, Any]) -> str:
    if data.get("what"):
        gained = [f"{fixed(float(data[key]), 1)} mm {key.removesuffix('_mm')}" for key in data if key.endswith("_mm")]
        return f"{data['what']}, {', '.join(gained)}" if gained else str(data["what"])
    told = [key for key in ("injected_ml", "volume_ml", "pressure_bar") if data.get(key) is not None]
    parts = [with_unit(fixed(float(data[key]), 1), named(key)[1]) for key in told]
    return "balloon inflated" + (f" to {', '.join(parts)}" if parts else "")
