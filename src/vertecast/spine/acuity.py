"""Evidence for or against a recent fracture that CT alone can give: a list with sources, and never a verdict."""

from dataclasses import dataclass
from enum import Enum

from vertecast.core.parameters import Loaded, ParameterUse, load_parameters
from vertecast.core.quantities import quantity
from vertecast.spine.cleft import Cleft, CleftKind
from vertecast.spine.fracture_line import FractureLine, LineSign, LineState

PARAMETERS = "spine/acuity.toml"


class AcuitySummary(Enum):
    """What the evidence adds up to; magnetic resonance imaging decides, so nothing here is confirmed."""

    ACUTE_LIKELY = "acute-likely"
    INDETERMINATE = "indeterminate"
    CHRONIC_LIKELY = "chronic-likely"
    UNKNOWN = "unknown"


class Speaks(Enum):
    """Which way a feature speaks when it is present."""

    FOR = "for"
    AGAINST = "against"


class Presence(Enum):
    """Whether a feature was seen."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcuityParameters:
    """Weights of the features, and the sums from which the summary is drawn."""

    fracture_line: float = quantity("1", "weight of a visible fracture line or step of the cortex")
    impaction_band: float = quantity("1", "weight of a band of trabecular impaction")
    fluid_cleft: float = quantity("1", "weight of a fluid cleft")
    haematoma: float = quantity("1", "weight of a paravertebral haematoma")
    new_since_prior: float = quantity("1", "weight of a fracture that a recent earlier CT does not show")
    sclerotic_margins: float = quantity("1", "weight of smooth sclerotic margins")
    bridging_osteophytes: float = quantity("1", "weight of bridging osteophytes")
    unchanged_since_prior: float = quantity("1", "weight of a fracture that an earlier CT shows alike")
    gas_cleft: float = quantity("1", "weight of a gas cleft: non-union, months old or more")
    recent_prior: float = quantity("mo", "an earlier CT this recent makes a new fracture a recent one")
    acute_from: float = quantity("1", "sum of weights from which a fracture is likely acute")
    chronic_from: float = quantity("1", "sum of weights against from which a fracture is likely chronic")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorComparison:
    """What an earlier CT of the same vertebra shows.

    Parameters
    ----------
    months_before : between the two CTs
    was_fractured : whether the vertebra was fractured then
    is_lower : whether it has lost height since, beyond the measurement's error; None when that is not known
    """

    months_before: float
    was_fractured: bool
    is_lower: bool | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One feature: which way it speaks, whether it was seen, and where that comes from."""

    feature: str
    speaks: Speaks
    presence: Presence
    detail: str
    weight: float
    source: str
    status: str

    def as_json(self) -> dict[str, str | float]:
        """Return the file's form."""
        return {
            "feature": self.feature,
            "acute": self.speaks.value,
            "presence": self.presence.value,
            "detail": self.detail,
            "weight": self.weight,
            "source": self.source,
            "status": self.status,
        }


@dataclass(frozen=True, slots=True)
class Acuity:
    """The evidence and what it adds up to."""

    evidence: tuple[Evidence, ...]
    summary: AcuitySummary
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcuityFindings:
    """What is known of one vertebra; ``None`` is not looked for or not known.

    Parameters
    ----------
    is_fractured : whether its shape is a fracture's
    line, cleft : what :func:`find_fracture_line` and :func:`find_cleft` returned
    is_sclerotic : whether the body is sclerotic
    haematoma, bridging_osteophytes : as read by a person
    prior : the comparison with an earlier CT
    """

    is_fractured: bool | None = None
    line: FractureLine | None = None
    cleft: Cleft | None = None
    is_sclerotic: bool | None = None
    haematoma: bool | None = None
    bridging_osteophytes: bool | None = None
    prior: PriorComparison | None = None


def acuity_parameters() -> Loaded[AcuityParameters]:
    """Load the weights shipped with the package."""
    return load_parameters(PARAMETERS, AcuityParameters)


def acuity_evidence(findings: AcuityFindings) -> Acuity:
    """List the evidence for and against a recent fracture, and add it up.

    Notes
    -----
    Oedema on magnetic resonance imaging is the reference; CT alone gives evidence. Weights are assumed, the summary is
    not validated and must not be used as an indication by itself.
    """
    loaded = acuity_parameters()
    uses = {use.name: use for use in loaded.uses}
    evidence = tuple(
        _evidence(uses[name], speaks, *seen)
        for name, speaks, seen in (
            ("fracture_line", Speaks.FOR, _line(findings.line)),
            ("impaction_band", Speaks.FOR, _band(findings.line)),
            ("fluid_cleft", Speaks.FOR, _cleft(findings.cleft, CleftKind.FLUID)),
            ("haematoma", Speaks.FOR, _told(findings.haematoma, "read by a person")),
            ("new_since_prior", Speaks.FOR, _new(findings, loaded.values.recent_prior)),
            ("sclerotic_margins", Speaks.AGAINST, _told(findings.is_sclerotic, "share of sclerotic bone in the body")),
            ("bridging_osteophytes", Speaks.AGAINST, _told(findings.bridging_osteophytes, "read by a person")),
            ("unchanged_since_prior", Speaks.AGAINST, _unchanged(findings)),
            ("gas_cleft", Speaks.AGAINST, _cleft(findings.cleft, CleftKind.GAS)),
        )
    )
    return Acuity(evidence, *_summary(findings, evidence, loaded.values))


def _summary(
    findings: AcuityFindings, evidence: tuple[Evidence, ...], p: AcuityParameters
) -> tuple[AcuitySummary, str]:
    if findings.is_fractured is None:
        return AcuitySummary.UNKNOWN, "it is not known whether the vertebra is fractured"
    if not findings.is_fractured:
        return (
            AcuitySummary.UNKNOWN,
            "no fracture is measured, so there is no age to tell; oedema alone is not seen on CT",
        )
    if all(one.presence is Presence.UNKNOWN for one in evidence):
        return AcuitySummary.UNKNOWN, "none of the features could be judged"
    seen = [one for one in evidence if one.presence is Presence.PRESENT]
    for_acute = sum(one.weight for one in seen if one.speaks is Speaks.FOR)
    against = sum(one.weight for one in seen if one.speaks is Speaks.AGAINST)
    words = f"weights for {for_acute:g}, against {against:g}; CT alone does not confirm, MRI (STIR) does"
    if for_acute - against >= p.acute_from:
        return AcuitySummary.ACUTE_LIKELY, words
    if against - for_acute >= p.chronic_from:
        return AcuitySummary.CHRONIC_LIKELY, words
    return AcuitySummary.INDETERMINATE, words


def _evidence(use: ParameterUse, speaks: Speaks, presence: Presence, detail: str) -> Evidence:
    assert isinstance(use.value, float)
    return Evidence(use.name, speaks, presence, detail, use.value, use.source, use.status.value)


def _told(value: bool | None, detail: str) -> tuple[Presence, str]:
    if value is None:
        return Presence.UNKNOWN, "not looked for"
    return (Presence.PRESENT if value else Presence.ABSENT), detail


def _line(line: FractureLine | None) -> tuple[Presence, str]:
    if line is None:
        return Presence.UNKNOWN, "not looked for"
    presence = {
        LineState.PRESENT: Presence.PRESENT,
        LineState.NONE: Presence.ABSENT,
        LineState.UNKNOWN: Presence.UNKNOWN,
    }
    return presence[line.state], "; ".join(line.evidence)


def _band(line: FractureLine | None) -> tuple[Presence, str]:
    if line is None:
        return Presence.UNKNOWN, "not looked for"
    if LineSign.IMPACTION_BAND in line.signs:
        return Presence.PRESENT, "; ".join(text for text in line.evidence if LineSign.IMPACTION_BAND.value in text)
    if line.state is LineState.NONE:
        return Presence.ABSENT, "no band of denser bone"
    return Presence.UNKNOWN, "; ".join(line.evidence)


def _cleft(cleft: Cleft | None, kind: CleftKind) -> tuple[Presence, str]:
    if cleft is None:
        return Presence.UNKNOWN, "not looked for"
    if cleft.kind is kind:
        return Presence.PRESENT, cleft.reason
    # Gas that is seen does not tell whether there is fluid beside it; what is unknown is no evidence of either.
    if cleft.kind is CleftKind.NONE or (cleft.kind is CleftKind.FLUID and kind is CleftKind.GAS):
        return Presence.ABSENT, cleft.reason
    return Presence.UNKNOWN, cleft.reason


def _new(findings: AcuityFindings, recent_months: float) -> tuple[Presence, str]:
    prior = findings.prior
    if prior is None:
        return Presence.UNKNOWN, "no earlier CT with its date was given"
    recent = prior.months_before <= recent_months
    detail = f"earlier CT {prior.months_before:.1f} months before"
    if prior.was_fractured and prior.is_lower is None:
        return Presence.UNKNOWN, f"{detail} shows a fracture; whether it progressed is not known"
    changed = not prior.was_fractured or bool(prior.is_lower)
    if changed and not recent:
        return Presence.UNKNOWN, f"{detail}, too long ago for a new fracture to be a recent one"
    return (Presence.PRESENT if changed else Presence.ABSENT), detail


def _unchanged(findings: AcuityFindings) -> tuple[Presence, str]:
    prior = findings.prior
    if prior is None:
        return Presence.UNKNOWN, "no earlier CT with its date was given"
    detail = f"earlier CT {prior.months_before:.1f} months before"
    if not prior.was_fractured:
        return Presence.ABSENT, f"{detail} shows no fracture"
    if prior.is_lower is None:
        return Presence.UNKNOWN, f"{detail} shows a fracture; whether it progressed is not known"
    return (Presence.ABSENT if prior.is_lower else Presence.PRESENT), detail
