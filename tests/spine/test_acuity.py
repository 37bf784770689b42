"""Acuity: every feature is listed with its source; the summary follows the weights and is never certain."""

import itertools

import pytest

from vertecast.core.quantities import Measured
from vertecast.spine.acuity import (
    AcuityFindings,
    AcuitySummary,
    Presence,
    PriorComparison,
    Speaks,
    acuity_evidence,
    acuity_parameters,
)
from vertecast.spine.cleft import Cleft, CleftKind
from vertecast.spine.fracture_line import FractureLine, LineSign, LineState


def cleft(kind: CleftKind) -> Cleft:
    return Cleft(kind, Measured(1.0, method="given"), None, None, None, f"{kind.value} was given")


def line(state: LineState, *signs: LineSign) -> FractureLine:
    return FractureLine(state, signs, tuple(f"{sign.value}, given" for sign in signs) or ("given",))


LINE = line(LineState.PRESENT, LineSign.IMPACTION_BAND, LineSign.CORTICAL_STEP)
NO_LINE = line(LineState.NONE)


@pytest.mark.parametrize(
    ("findings", "summary"),
    [
        (AcuityFindings(is_fractured=True, line=LINE, cleft=cleft(CleftKind.NONE)), AcuitySummary.ACUTE_LIKELY),
        (AcuityFindings(is_fractured=True, line=NO_LINE, cleft=cleft(CleftKind.FLUID)), AcuitySummary.ACUTE_LIKELY),
        (AcuityFindings(is_fractured=True, line=NO_LINE, is_sclerotic=True), AcuitySummary.CHRONIC_LIKELY),
        (AcuityFindings(is_fractured=True, line=LINE, is_sclerotic=True), AcuitySummary.INDETERMINATE),
        (AcuityFindings(is_fractured=True, line=NO_LINE, cleft=cleft(CleftKind.GAS)), AcuitySummary.INDETERMINATE),
        (AcuityFindings(is_fractured=True, line=NO_LINE, cleft=cleft(CleftKind.NONE)), AcuitySummary.INDETERMINATE),
        (AcuityFindings(is_fractured=True), AcuitySummary.UNKNOWN),
        (AcuityFindings(line=LINE), AcuitySummary.UNKNOWN),
        (AcuityFindings(is_fractured=False, line=LINE), AcuitySummary.UNKNOWN),
    ],
)
def test_summary(findings: AcuityFindings, summary: AcuitySummary) -> None:
    acuity = acuity_evidence(findings)
    assert acuity.summary is summary
    assert acuity.reason


@pytest.mark.parametrize(
    ("prior", "new", "unchanged", "summary"),
    [
        (PriorComparison(months_before=1.0, was_fractured=False, is_lower=None), "present", "absent", "acute-likely"),
        (PriorComparison(months_before=2.0, was_fractured=True, is_lower=True), "present", "absent", "acute-likely"),
        (PriorComparison(months_before=2.0, was_fractured=True, is_lower=False), "absent", "present", "chronic-likely"),
        (PriorComparison(months_before=24.0, was_fractured=False, is_lower=None), "unknown", "absent", "indeterminate"),
        (
            PriorComparison(months_before=24.0, was_fractured=True, is_lower=False),
            "absent",
            "present",
            "chronic-likely",
        ),
        (PriorComparison(months_before=2.0, was_fractured=True, is_lower=None), "unknown", "unknown", "unknown"),
    ],
)
def test_an_earlier_ct(prior: PriorComparison, new: str, unchanged: str, summary: str) -> None:
    acuity = acuity_evidence(AcuityFindings(is_fractured=True, prior=prior))
    by_name = {one.feature: one for one in acuity.evidence}
    assert by_name["new_since_prior"].presence.value == new
    assert by_name["unchanged_since_prior"].presence.value == unchanged
    assert acuity.summary.value == summary


def test_every_feature_is_listed_with_source_and_weight() -> None:
    acuity = acuity_evidence(AcuityFindings(is_fractured=True))
    names = [one.feature for one in acuity.evidence]
    assert len(names) == len(set(names)) == 9
    weights = acuity_parameters().values
    for one in acuity.evidence:
        assert one.source
        assert one.weight == getattr(weights, one.feature) > 0.0
        assert one.presence is Presence.UNKNOWN
        assert set(one.as_json()) == {"feature", "acute", "presence", "detail", "weight", "source", "status"}


def test_an_unknown_cleft_is_evidence_of_nothing() -> None:
    acuity = acuity_evidence(AcuityFindings(is_fractured=True, cleft=Cleft.unknown("thick voxels"), line=NO_LINE))
    by_name = {one.feature: one for one in acuity.evidence}
    assert by_name["fluid_cleft"].presence is Presence.UNKNOWN
    assert by_name["gas_cleft"].presence is Presence.UNKNOWN
    assert by_name["fluid_cleft"].detail == "thick voxels"


def test_nothing_is_ever_confirmed() -> None:
    """All combinations of what a reader may tell: four words are all that come out."""
    told = (None, False, True)
    seen = set()
    for fractured, haematoma, spurs, sclerotic, lines in itertools.product(
        told, told, told, told, (None, LINE, NO_LINE)
    ):
        findings = AcuityFindings(
            is_fractured=fractured,
            haematoma=haematoma,
            bridging_osteophytes=spurs,
            is_sclerotic=sclerotic,
            line=lines,
        )
        acuity = acuity_evidence(findings)
        seen.add(acuity.summary.value)
        assert "confirmed" not in acuity.summary.value
    assert seen == {"acute-likely", "indeterminate", "chronic-likely", "unknown"}


def test_more_evidence_for_never_makes_it_older() -> None:
    order = [AcuitySummary.CHRONIC_LIKELY, AcuitySummary.INDETERMINATE, AcuitySummary.ACUTE_LIKELY]
    for sclerotic, spurs in itertools.product((False, True), repeat=2):
        without = AcuityFindings(
            is_fractured=True, line=NO_LINE, is_sclerotic=sclerotic, bridging_osteophytes=spurs, haematoma=False
        )
        with_more = AcuityFindings(
            is_fractured=True, line=LINE, is_sclerotic=sclerotic, bridging_osteophytes=spurs, haematoma=True
        )
        places = [order.index(acuity_evidence(one).summary) for one in (without, with_more)]
        assert places[0] <= places[1]


def test_these_checks_can_fail() -> None:
    """Which way a feature speaks decides: the same weight on the other side gives the other answer."""
    acuity = acuity_evidence(AcuityFindings(is_fractured=True, line=NO_LINE, is_sclerotic=True))
    (sclerosis,) = [one for one in acuity.evidence if one.feature == "sclerotic_margins"]
    assert sclerosis.speaks is Speaks.AGAINST
    assert acuity.summary is not AcuitySummary.ACUTE_LIKELY
