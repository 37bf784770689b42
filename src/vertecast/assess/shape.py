"""Heights, wedge and kyphosis before the fracture, fractured, and after; what was regained and what was kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vertecast.core.quantities import Measured

PLACES = ("anterior", "middle", "posterior")
_NORMAL, _LESS = "the level's normal wedge, clinical.md 2.3", "that of the CT less the wedge beyond normal"
_INTACT = Measured.unknown("the level is not fractured")
_CEMENT_ALONE = "as measured on the CT: cement alone lifts nothing"
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tilts:
    """Kyphosis of the level beyond its normal, degrees, by arm; what the load balance needs."""

    before: Measured
    fractured: Measured
    after: Measured


def shape_outcome(level: Json, lift: Json | None, fractured: bool | None = True) -> tuple[dict[str, Any], Tilts]:
    """Return heights and angles by arm, and the level's kyphosis beyond the normal.

    Parameters
    ----------
    level : of ``spine.json``
    lift : of ``simulation.json``; None without a cavity tool
    fractured : an intact level is before what it is on the CT, and has no fractured state; None counts as fractured
    """
    intact = fractured is False
    now = level.get("heights_mm", {})
    reference = now if intact else level.get("reference_heights_mm", {})
    gained = {place: _gain(lift, place, "deflated") for place in PLACES}
    best = {place: _gain(lift, place, "inflated") for place in PLACES}
    heights = {
        place: {
            "before": read(reference.get(place), "no reference height").as_json(),
            "fractured": (_INTACT if intact else read(now.get(place), "not measured")).as_json(),
            "after": shifted(read(now.get(place), "not measured"), gained[place], lift is not None).as_json(),
        }
        for place in PLACES
    }
    wedge = read(level.get("wedge_angle_deg"), "not measured")
    beyond = read(level.get("wedge_less_normal_deg"), "no normal wedge for this level")
    kyphosis = read(level.get("bisegmental_kyphosis_deg"), "not measured")
    turned = _turn(lift, "deflated")
    after = shifted(wedge, turned, lift is not None)
    own = _kyphotic(beyond)
    later = _kyphotic(shifted(beyond, turned, lift is not None))
    tilts = Tilts(own, _INTACT, later) if intact else Tilts(_nothing(beyond), own, later)
    found: dict[str, Any] = {
        "heights_mm": heights,
        "wedge_angle_deg": {
            "before": (wedge if intact else _difference(wedge, beyond, _NORMAL)).as_json(),
            "fractured": (_INTACT if intact else wedge).as_json(),
            "after": after.as_json(),
        },
        "bisegmental_kyphosis_deg": {
            "before": (kyphosis if intact else _difference(kyphosis, beyond, _LESS)).as_json(),
            "fractured": (_INTACT if intact else kyphosis).as_json(),
            "after": shifted(kyphosis, turned, lift is not None).as_json(),
        },
        "height_regained_mm": {place: best[place].as_json() for place in PLACES},
        "height_kept_mm": {place: gained[place].as_json() for place in PLACES},
        "lost_height_kept_percent": {
            place: _of_loss(gained[place], read(level.get("height_lost_mm", {}).get(place), "loss not known")).as_json()
            for place in PLACES
        },
        "posture": "CT lying down; the same fracture is about 5 degrees more wedged sitting (clinical.md 2.1 [8])",
    }
    return found, tilts


def read(quantity: Any, reason: str) -> Measured:
    """Return a Q of a JSON file as a measured value."""
    if not isinstance(quantity, Mapping) or quantity.get("value") is None:
        said = quantity.get("reason") if isinstance(quantity, Mapping) else None
        return Measured.unknown(str(said or reason))
    low, high = quantity.get("low"), quantity.get("high")
    return Measured(float(quantity["value"]), low, high, str(quantity.get("method") or "as in spine.json"))


def shifted(quantity: Measured, by: Measured, moved: bool) -> Measured:
    """Return a quantity plus a change, with its own interval moved along; unchanged where nothing was moved."""
    if quantity.value is None:
        return quantity
    if not moved:
        return Measured(quantity.value, quantity.low, quantity.high, _CEMENT_ALONE)
    if by.value is None:
        return Measured.unknown(str(by.reason))
    ends = [None if end is None else end + by.value for end in (quantity.low, quantity.high)]
    return Measured(quantity.value + by.value, ends[0], ends[1], f"measured on the CT, moved as simulated: {by.method}")


def _gain(lift: Json | None, place: str, moment: str) -> Measured:
    """Return what a moment of the lift has more than the CT, measured by the same code on the moved label, mm."""
    if lift is None:
        return Measured(0.0, method="no cavity tool: cement alone lifts nothing")
    values = [_moment(lift, name).get("heights_mm", {}).get(place) for name in ("ct", moment)]
    if values[0] is None or values[1] is None:
        return Measured.unknown(f"the {moment} level could not be measured: {_moment(lift, moment).get('reason')}")
    return Measured(float(values[1]) - float(values[0]), method=f"simulated, {moment}, on the label as it moved")


def _turn(lift: Json | None, moment: str) -> Measured:
    if lift is None:
        return Measured(0.0, method="no cavity tool")
    values = [_moment(lift, name).get("wedge_angle_deg") for name in ("ct", moment)]
    if values[0] is None or values[1] is None:
        return Measured.unknown(f"the {moment} level could not be measured: {_moment(lift, moment).get('reason')}")
    return Measured(float(values[1]) - float(values[0]), method=f"simulated, {moment}, on the label as it moved")


def _moment(lift: Json, name: str) -> Json:
    found = lift.get("measured", {}).get(name, {})
    return found if isinstance(found, Mapping) else {}


def _difference(whole: Measured, part: Measured, method: str) -> Measured:
    if whole.value is None or part.value is None:
        return whole if whole.value is None else part
    value = whole.value - part.value
    if part.low is None or part.high is None:
        return Measured(value, method=method)
    half = 0.5 * (part.high - part.low)
    return Measured(value, value - half, value + half, method)


def _of_loss(gained: Measured, lost: Measured) -> Measured:
    if gained.value is None:
        return gained
    if lost.value is None or lost.value <= 0 or (lost.low is not None and lost.low <= 0):
        return Measured.unknown("no height was lost there that the CT can tell")
    low, high = (None if end is None else 100.0 * gained.value / end for end in (lost.high, lost.low))
    if low is not None and high is not None and low > high:
        low, high = high, low
    return Measured(100.0 * gained.value / lost.value, low, high, "kept height over lost height")


def _nothing(beyond: Measured) -> Measured:
    if beyond.value is None:
        return beyond
    return Measured(0.0, method="before the fracture the level is taken to have its normal wedge")


def _kyphotic(beyond: Measured) -> Measured:
    """Return the kyphosis, never below zero: less wedge than normal is no deformity of a fracture."""
    if beyond.value is None:
        return beyond
    ends = [None if end is None else max(end, 0.0) for end in (beyond.low, beyond.high)]
    return Measured(max(beyond.value, 0.0), ends[0], ends[1], beyond.method)
