"""What trials say of populations: no operation, risks, trials for and against. Nothing here is of this patient."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import ParameterUse, Status, read_toml
from vertecast.core.quantities import Measured

_FILE = "assess/evidence.toml"
NOT_PROMISED = (
    "These are results of groups of patients, not a forecast for this one. Trials against a sham procedure conflict: "
    "pain relief cannot be promised. No statement on survival is made: claims data are biased by who is operated on."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The statements of ``data/assess/evidence.toml``, checked."""

    progression: tuple[Mapping[str, Any], ...]
    risks: tuple[Mapping[str, Any], ...]
    trials: tuple[Mapping[str, Any], ...]
    guidelines: tuple[Mapping[str, Any], ...]

    @property
    def uses(self) -> tuple[ParameterUse, ...]:
        """Each statement with a number, as a parameter with its source."""
        found = []
        for one in self.progression:
            if "value" in one:
                found.append(_use(f"{one['name']}.{one['arm']}", one["value"], one))
        found += [_use(one["risk"], one["value_percent"], one) for one in self.risks if "value_percent" in one]
        return tuple(found)


def load_evidence() -> Evidence:
    """Load ``data/assess/evidence.toml``.

    Raises
    ------
    ParameterError
        For a statement without source or status, or without both a number and a reason why there is none.
    """
    return checked_evidence(read_toml(_FILE))


def checked_evidence(table: Mapping[str, Any]) -> Evidence:
    """Check the statements; see :func:`load_evidence`."""
    kinds = {"progression": "name", "risks": "risk", "trials": "trial", "guidelines": "body"}
    if table.keys() != kinds.keys():
        raise ParameterError(f"data/{_FILE}: sections {sorted(table)} are not {sorted(kinds)}")
    for kind, key in kinds.items():
        for one in table[kind]:
            place = f"data/{_FILE} [[{kind}]] {one.get(key, '?')}"
            if not one.get("source") or one.get("status") not in {status.value for status in Status}:
                raise ParameterError(f"{place}: needs a source and a status (measured, reported, assumed)")
            number = "value" in one or "value_percent" in one
            if kind in ("progression", "risks") and number == ("reason" in one):
                raise ParameterError(f"{place}: needs a value, or the reason why no number is known, not both")
    return Evidence(**{kind: tuple(table[kind]) for kind in kinds})


def progression_outcome(evidence: Evidence) -> dict[str, Any]:
    """Return what is published of the arms without and with an operation, by statement and arm."""
    found: dict[str, Any] = {}
    for one in evidence.progression:
        said = f"of a population: {one['source']}"
        quantity = (
            Measured(float(one["value"]), one.get("low"), one.get("high"), said)
            if "value" in one
            else Measured.unknown(f"{one['reason']} ({one['source']})")
        )
        found.setdefault(one["name"], {})[one["arm"]] = quantity.as_json()
    return found


def risk_outcome(evidence: Evidence, procedure: str, cement_ml: float, touched: bool | None) -> list[dict[str, Any]]:
    """Return the population's risks; those of the other procedure, volume and contact are marked as not this case's.

    Parameters
    ----------
    cement_ml : of the whole session, since volumes add up over levels
    touched : whether the cement of every level touches both endplates; None where not known
    """
    found = []
    for one in evidence.risks:
        value = one.get("value_percent")
        quantity = (
            Measured.unknown(str(one["reason"]))
            if value is None
            else Measured(float(value), one.get("low_percent"), one.get("high_percent"), f"population: {one['source']}")
        )
        found.append(
            {
                "risk": one["risk"],
                "share_of_patients_percent": quantity.as_json(),
                "case": _case(one, procedure, cement_ml, touched),
                "source": one["source"],
                "status": one["status"],
            }
        )
    return found


def evidence_outcome(evidence: Evidence) -> dict[str, Any]:
    """Return trials and guidelines, for and against, each as read."""
    return {
        "trials": [dict(one) for one in evidence.trials],
        "guidelines": [dict(one) for one in evidence.guidelines],
        "not_promised": NOT_PROMISED,
    }


def _case(one: Mapping[str, Any], procedure: str, cement_ml: float, touched: bool | None) -> str:
    """Return whether a risk's condition is that of this case, in words."""
    other = {"kyphoplasty": "vertebroplasty", "vertebroplasty": "kyphoplasty"}.get(procedure)
    if other is not None and other in one["risk"] and procedure not in one["risk"]:
        return f"not this case: {procedure}"
    if "from_ml" in one or "below_ml" in one:
        inside = one.get("from_ml", 0.0) <= cement_ml < one.get("below_ml", float("inf"))
        return f"{'this case' if inside else 'not this case'}: {cement_ml:.1f} mL"
    if "touches_both_endplates" in one:
        if touched is None:
            return "contact not known"
        return "this case" if touched is one["touches_both_endplates"] else "not this case"
    return "any case"


def _use(name: str, value: float, one: Mapping[str, Any]) -> ParameterUse:
    unit = "deg" if name.split(".")[0].endswith("_deg") else "%"
    return ParameterUse(name, float(value), unit, str(one["source"]), Status(one["status"]))
