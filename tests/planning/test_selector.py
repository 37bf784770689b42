"""Proves the selector: each procedure is reached by its own reason, and doubt about a measurement stays doubt.

Tools are ranked by whether they pass the pedicle and by what they do.
"""

from typing import Any

import pytest

from vertecast.core.levels import Level
from vertecast.devices.catalogue import catalogue
from vertecast.planning.indication import indicate
from vertecast.planning.patient import Patient, parse_patient
from vertecast.planning.rules.facts import Session
from vertecast.planning.rules.logic import Truth
from vertecast.planning.selector import COMPLICATIONS, Procedure, Selection, lowest_height, select, widest_pedicle

DEVICES = catalogue()


def q(value: float, half: float = 0.2) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "method": "test"}


def vertebra(width: float = 8.0, loss: float = 30.0, height: float = 17.0, half: float = 0.2) -> dict[str, Any]:
    return {
        "height_loss_percent": q(loss, 1),
        "bisegmental_kyphosis_deg": q(8, 1),
        "pedicles": {"left": {"width_mm": q(width, half)}, "right": {"width_mm": q(width - 0.5, half)}},
        "heights_mm": {"anterior": q(height), "middle": q(height), "posterior": q(26)},
    }


def record(infection: bool = False, **fracture: bool) -> Patient:
    """A record in which no safety pack and no rule pack is left undecided, with one indication pack for it."""
    table: dict[str, Any] = {
        "person": {"pregnant": False, "fragility_fracture": True, "high_energy_trauma": False, "age_years": 70},
        "pain": {"score_0_to_10": 8, "from_fracture": True, "trend": "worse", "onset_days": 10},
        "infection": {"at_site": infection, "untreated_blood_borne": False},
        "blood": {"uncorrected_coagulopathy": False, "anticoagulated": False, "clots": False},
        "allergies": {"cement": False, "contrast": fracture.pop("contrast", False)},
        "neurology": {"ao_grade": "N0", "cord_compression": False, "unstable_spine": False},
        "cancer": {"in_spine": False},
        "levels": {"L1": dict.fromkeys(("tension_band_failure", "focal_lesion", "vertebra_plana", "cortical_breach",
                                        "retropulsion", "spinal_stenosis"), False) | {"mri_oedema": True} | fracture},
    }  # fmt: skip
    table["levels"]["T6"] = table["levels"]["L1"]
    return parse_patient(table)


def chosen(patient: Patient, measured: dict[str, Any] | None, level: Level = Level.L1) -> Selection:
    indication = indicate(level, patient, measured, session=Session(levels=1, stent_planned=False))
    return select(
        indication,
        measured,
        cannula=DEVICES.cannulas["cannula-8G"].values,
        balloon=DEVICES.balloons["xpander-15/3"].values,
        devices=DEVICES,
    )


@pytest.mark.parametrize(
    ("patient", "measured", "procedure", "clause"),
    [
        (record(), vertebra(), Procedure.KYPHOPLASTY, "deformed"),
        (record(), vertebra(loss=10), Procedure.VERTEBROPLASTY, "deformed"),
        (record(focal_lesion=True), vertebra(), Procedure.VERTEBROPLASTY, "focal"),
        (record(), vertebra(width=5.0), Procedure.VERTEBROPLASTY, "path"),
        (record(), vertebra(height=4.0), Procedure.VERTEBROPLASTY, "room"),
        (record(vertebra_plana=True), vertebra(), Procedure.VERTEBROPLASTY, "room"),
        (record(cortical_breach=True), vertebra(), Procedure.OTHER_CAVITY_TOOL, "sound"),
        (record(contrast=True), vertebra(), Procedure.OTHER_CAVITY_TOOL, "dye"),
        (record(infection=True), vertebra(), Procedure.NO_OPERATION, "forbidden"),
        (record(tension_band_failure=True), vertebra(), Procedure.NO_OPERATION, "band_failed"),
    ],
)
def test_each_procedure_is_reached_by_its_reason(
    patient: Patient, measured: dict[str, Any], procedure: Procedure, clause: str
) -> None:
    found = chosen(patient, measured)
    assert found.procedure is procedure
    assert clause in {c.id for c in found.verdict.clauses}


def test_a_thoracic_level_with_a_narrow_pedicle_still_takes_a_balloon_beside_it() -> None:
    assert chosen(record(), vertebra(width=4.5), Level.T6).procedure is Procedure.KYPHOPLASTY
    assert chosen(record(), vertebra(width=4.5), Level.L1).procedure is Procedure.VERTEBROPLASTY


def test_a_pedicle_too_close_to_call_is_borderline() -> None:
    need = 4.19 + 2 * 1.0
    found = chosen(record(), vertebra(width=need, half=0.5))
    assert found.procedure is None
    assert found.verdict.borderline == ("pedicle_clearance_mm",)


def test_silence_on_complications_is_not_taken_as_no_but_said() -> None:
    silent = parse_patient({"cancer": {"in_spine": False}})
    found = chosen(silent, vertebra())
    assert found.procedure is None
    assert found.if_operated is Procedure.KYPHOPLASTY
    assert set(found.provided) == set(COMPLICATIONS)
    assert found.as_json()["provided_not"] == list(found.provided)
    assert "contraindicated" in found.verdict.missing


def test_nothing_known_leaves_everything_open() -> None:
    found = chosen(Patient(), None)
    assert (found.procedure, found.if_operated) == (None, None)
    assert {t.fits for t in found.tools} == {Truth.UNKNOWN}
    assert "no pedicle was measured" in found.tools[0].reasons[0]


def test_tools_need_their_pedicle_and_are_ranked_by_what_they_do() -> None:
    found = chosen(record(cortical_breach=True), vertebra(width=6.3, half=0.1))
    fits = {t.name: t.fits for t in found.tools}
    assert fits["jack-5.0"] is Truth.TRUE, "needs 5.0 + 0.8 mm"
    assert fits["jack-5.8"] is Truth.FALSE, "needs 5.8 + 0.8 mm"
    assert fits["mesh-container"] is Truth.TRUE
    holds = [t.name for t in found.tools if any("holds the cement" in r for r in t.reasons)]
    assert set(holds) == {"mesh-container", "coil"}
    order = [t.name for t in found.tools]
    assert order.index("mesh-container") < order.index("curette")
    assert order[-1] == "jack-5.8"


def test_measurements_that_are_missing_say_why() -> None:
    cut = {"pedicles": {"left": {"width_mm": {"value": None, "reason": "cut by the border"}}}}
    width, reason = widest_pedicle(cut)
    assert (width.value, reason) == (None, "cut by the border")
    assert lowest_height({"heights_mm": {"anterior": q(20)}}).value == 20
    partly = {"heights_mm": {"anterior": q(20), "middle": {"value": None, "reason": "cut"}}}
    assert lowest_height(partly).reason == "anterior or middle height was not measured"


def test_these_checks_can_fail() -> None:
    """Half a millimetre of pedicle turns kyphoplasty into vertebroplasty: the gate is there and it is this one."""
    need = 4.19 + 2 * 1.0
    outcomes = [chosen(record(), vertebra(width=need + d, half=0.1)).procedure for d in (-0.25, 0.25)]
    assert outcomes == [Procedure.VERTEBROPLASTY, Procedure.KYPHOPLASTY]
