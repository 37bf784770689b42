"""Proves: shapes, leaks, heat and population statements reach the outcome as they are; the unknown stays unknown."""

import copy

import numpy as np
import pytest
from tests.assess.blocks import block, laboratory, layers

from vertecast.assess.cement import cement_outcome, leakage_outcome, thermal_outcome
from vertecast.assess.evidence import (
    checked_evidence,
    evidence_outcome,
    load_evidence,
    progression_outcome,
    risk_outcome,
)
from vertecast.assess.neighbour_outcome import next_level
from vertecast.assess.shape import shape_outcome
from vertecast.core.errors import ParameterError
from vertecast.core.levels import Level
from vertecast.core.parameters import read_toml

LAB = laboratory()


def q(value, half=1.0):
    return {"value": value, "low": value - half, "high": value + half, "method": "given"}


SPINE = {
    "heights_mm": {"anterior": q(18.0), "middle": q(20.0), "posterior": q(25.0)},
    "reference_heights_mm": {"anterior": q(25.0), "middle": q(25.0), "posterior": q(25.0)},
    "height_lost_mm": {"anterior": q(7.0), "middle": q(5.0), "posterior": q(0.0)},
    "wedge_angle_deg": q(14.0),
    "wedge_less_normal_deg": q(12.0, 3.0),
    "bisegmental_kyphosis_deg": q(10.0),
}
LIFT = {
    "measured": {
        "ct": {"heights_mm": {"anterior": 18.1, "middle": 20.0, "posterior": 25.0}, "wedge_angle_deg": 14.2},
        "inflated": {"heights_mm": {"anterior": 22.1, "middle": 23.0, "posterior": 25.1}, "wedge_angle_deg": 8.2},
        "deflated": {"heights_mm": {"anterior": 20.1, "middle": 21.5, "posterior": 25.0}, "wedge_angle_deg": 11.2},
    }
}


def test_cement_alone_lifts_nothing():
    found, tilts = shape_outcome(SPINE, None)
    assert found["heights_mm"]["anterior"]["after"]["value"] == 18.0
    assert found["heights_mm"]["anterior"]["before"]["value"] == 25.0
    assert found["height_kept_mm"]["anterior"]["value"] == 0.0
    assert found["wedge_angle_deg"]["before"]["value"] == 2.0
    assert (tilts.before.value, tilts.fractured.value, tilts.after.value) == (0.0, 12.0, 12.0)


def test_a_lift_is_regained_in_part_kept_and_turns_the_kyphosis():
    found, tilts = shape_outcome(SPINE, LIFT)
    assert found["height_regained_mm"]["anterior"]["value"] == pytest.approx(4.0)
    assert found["height_kept_mm"]["anterior"]["value"] == pytest.approx(2.0)
    assert found["heights_mm"]["anterior"]["after"]["value"] == pytest.approx(20.0)
    assert found["lost_height_kept_percent"]["anterior"]["value"] == pytest.approx(100 * 2 / 7)
    assert found["bisegmental_kyphosis_deg"]["after"]["value"] == pytest.approx(7.0)
    assert tilts.after.value == pytest.approx(9.0)


def test_what_was_not_measured_is_unknown_with_the_reason():
    spine = copy.deepcopy(SPINE)
    spine["wedge_less_normal_deg"] = {"value": None, "reason": "no normal wedge for T4"}
    found, tilts = shape_outcome(spine, {"measured": {"ct": {"reason": "lost"}, "deflated": {"reason": "lost"}}})
    assert tilts.after.value is None
    assert tilts.fractured.reason == "no normal wedge for T4"
    assert "could not be measured: lost" in found["heights_mm"]["middle"]["after"]["reason"]
    assert found["lost_height_kept_percent"]["posterior"]["value"] is None


def test_more_wedge_than_normal_only_counts_as_kyphosis():
    spine = {**SPINE, "wedge_less_normal_deg": q(-4.0, 2.0)}
    assert shape_outcome(spine, None)[1].fractured.value == 0.0


def test_an_intact_level_is_before_what_it_is_on_the_ct():
    found, tilts = shape_outcome(SPINE, None, fractured=False)
    assert found["heights_mm"]["anterior"]["before"]["value"] == 18.0
    assert found["heights_mm"]["anterior"]["fractured"] == {"value": None, "reason": "the level is not fractured"}
    assert found["wedge_angle_deg"]["before"]["value"] == found["wedge_angle_deg"]["after"]["value"] == 14.0
    assert tilts.before.value == tilts.after.value == 12.0
    assert tilts.fractured.value is None


def test_cement_volume_fill_contact_and_symmetry():
    mask = layers(1.0)
    mask[6:] = False
    found = cement_outcome(block(cement=mask), {"injected_ml": {"left": 4.0, "right": 3.0}}, LAB.settings)
    assert found["volume_injected_ml"]["value"] == 7.0
    assert found["volume_in_body_ml"]["value"] == pytest.approx(0.9 * 0.5 * 24.0**3 / 1000.0)
    assert found["fill_of_body_percent"]["value"] == pytest.approx(45.0)
    assert found["endplate_contact_percent"]["superior"]["value"] == pytest.approx(50.0)
    assert found["touches_both_endplates"] is True
    assert found["share_at_left_percent"]["value"] == 0.0
    none = cement_outcome(block(), {}, LAB.settings)
    assert none["symmetry_fraction"]["reason"] == "no cement in the body"
    assert none["touches_both_endplates"] is False


def test_leaks_by_route_and_their_sum():
    found = leakage_outcome(
        {
            "leaked_ml": {"segmental": 0.3, "disc": 0.2, "canal": 0.0},
            "leak_onset_s": {"segmental": 330.0, "disc": None},
            "sealed_routes": ["canal"],
        }
    )
    assert found["leaked_ml"]["all_routes"]["value"] == pytest.approx(0.5)
    assert found["leaked_ml"]["canal"] == {"value": None, "reason": "the route was closed on purpose"}
    assert found["leak_onset_s"]["segmental"]["value"] == 330.0
    assert found["leak_onset_s"]["disc"]["reason"] == "no leak by this route that counts"


def test_heat_and_the_reason_why_there_is_none():
    found = thermal_outcome({"heat": {"cement_peak_degc": 80.0, "canal_peak_degc": None}})
    assert found["cement_peak_degc"]["value"] == 80.0
    assert found["canal_peak_degc"]["reason"] == "the canal is not on the grid"
    assert thermal_outcome({})["bone_peak_degc"]["reason"] == "the simulation followed no cure"


def test_no_operation_is_a_statement_on_populations_with_its_source():
    found = progression_outcome(load_evidence())
    loss = found["patients_with_further_height_loss_percent"]
    assert (loss["after"]["value"], loss["no_operation"]["value"]) == (8.0, 45.0)
    assert all("VERTOS IV" in one["method"] for one in loss.values())
    again = found["patients_with_new_fracture_in_a_year_percent"]["no_operation"]
    assert (again["value"], again["low"], again["high"]) == (19.2, 13.6, 24.8)
    assert found["patients_with_new_fracture_in_a_year_percent"]["after"]["value"] is None


def test_every_asked_risk_is_there_and_unknown_is_a_value():
    found = {one["risk"]: one for one in risk_outcome(load_evidence(), "vertebroplasty", 5.0, True)}
    for word in ("immune reaction", "blood clots", "infection", "nerve injury"):
        one = next(value for key, value in found.items() if word in key)
        assert one["share_of_patients_percent"]["value"] is None
        assert "no number is known" in one["share_of_patients_percent"]["reason"]
    assert found["cement in the lungs, 3.5 to 7 mL of cement"]["case"] == "this case: 5.0 mL"
    assert found["cement in the lungs, more than 7 mL of cement"]["case"] == "not this case: 5.0 mL"
    assert found["cement outside the vertebra on CT, kyphoplasty"]["case"] == "not this case: vertebroplasty"
    assert found["recollapse of the treated level when the cement touches both endplates"]["case"] == "this case"
    assert all(one["source"] for one in found.values())


def test_dissent_stands_beside_benefit_and_nothing_is_promised():
    found = evidence_outcome(load_evidence())
    names = " ".join(one["trial"] for one in found["trials"])
    assert all(name in names for name in ("Buchbinder", "INVEST", "VERTOS IV", "VAPOUR", "FREE", "VERTOS II"))
    against = {one["trial"]: one["against_control"] for one in found["trials"]}
    assert against["Buchbinder 2009"] == against["INVEST 2009"] == "no benefit"
    assert "cannot be promised" in found["not_promised"]
    text = str(found).lower()
    assert "mortality" not in text
    assert "survival" not in text.replace("no statement on survival", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["risks"][0].pop("source"), "needs a source and a status"),
        (lambda t: t["risks"][0].pop("value_percent"), "needs a value, or the reason"),
        (lambda t: t["progression"][0].update(reason="none"), "needs a value, or the reason"),
        (lambda t: t.pop("trials"), "sections"),
    ],
)
def test_a_statement_without_source_or_number_is_refused(change, message):
    table = read_toml("assess/evidence.toml")
    change(table)
    with pytest.raises(ParameterError, match=message):
        checked_evidence(table)


def test_next_levels_pass_over_t13_and_end_at_the_ends():
    assert next_level(Level.L1, "above") is Level.T12
    assert next_level(Level.L5, "below") is Level.S1
    assert next_level(Level.S1, "below") is None
    assert np.all([next_level(one, "above") is not Level.T13 for one in Level])
