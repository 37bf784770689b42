"""Proves the indication: facts from record and spine.json, doubt kept, packs that disagree shown side by side.

A value near a cut is borderline and not yes or no; nothing known leads to "cannot decide" with what is missing.
"""

from typing import Any

import pytest

from vertecast.core.errors import InputError, ParameterError
from vertecast.core.levels import Level
from vertecast.core.parameters import read_toml
from vertecast.core.quantities import Measured
from vertecast.planning.indication import Indication, indicate
from vertecast.planning.patient import Patient, parse_patient
from vertecast.planning.rules.facts import Facts, Session, gather, measured_from_json
from vertecast.planning.rules.packs import load_pack, parse_pack, shipped_packs
from vertecast.planning.rules.verdicts import State, Verdict, judge

SESSION = Session(levels=1, stent_planned=False)


def q(value: float, half: float = 0.0) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "method": "test"}


def vertebra(loss: float = 30, half: float = 2) -> dict[str, Any]:
    return {
        "level": "L1",
        "height_loss_percent": q(loss, half),
        "bisegmental_kyphosis_deg": q(18, 2),
        "height_loss_by_place_percent": {"posterior": q(4, 1)},
        "of_class": "OF2",
        "density": {"mean_hu": q(80, 5)},
        "pedicles": {"left": {"width_mm": q(8.0, 0.4)}, "right": {"width_mm": q(7.0, 0.4)}},
        "heights_mm": {"anterior": q(18, 0.5), "middle": q(17, 0.5), "posterior": q(26, 0.5)},
    }


def patient(**changes: dict[str, Any]) -> Patient:
    table: dict[str, Any] = {
        "person": {"age_years": 76, "setting": "outpatient", "pregnant": False, "fragility_fracture": True,
                   "high_energy_trauma": False, "asa": 2, "mfi5": 1},
        "pain": {"score_0_to_10": 8, "trend": "stable", "onset_days": 20, "from_fracture": True,
                 "under_analgesia_0_to_10": 6, "mobilised_under_analgesia": True},
        "function": {"rmdq_0_to_24": 18},
        "care": {"optimal": True, "bmd_referral": True, "osteoporosis_education": True},
        "infection": {"at_site": False, "untreated_blood_borne": False},
        "neurology": {"ao_grade": "N0", "cord_compression": False, "unstable_spine": False},
        "blood": {"uncorrected_coagulopathy": False, "anticoagulated": False, "clots": False},
        "allergies": {"cement": False, "contrast": False},
        "cancer": {"in_spine": False},
        "health": {"pulmonary_dysfunction": False, "t_score": -2.5},
        "other_causes": {"disc_herniation": False, "severe_arthritis": False},
        "levels": {"L1": {"mri_oedema": True, "exam_concordant": True, "imaging_concordant": True, "progression": False,
                          "imaging_age_days": 10, "vertebra_plana": False, "burst": False, "retropulsion": False,
                          "spinal_stenosis": False, "tension_band_failure": False, "focal_lesion": False,
                          "cortical_breach": False, "scoliosis_deg": 2, "progression_percent": 0}},
    }  # fmt: skip
    for section, entries in changes.items():
        target = table["levels"]["L1"] if section == "L1" else table.setdefault(section, {})
        target.update(entries)
    return parse_patient(table)


def verdict(indication: Indication, pack: str) -> Verdict:
    return next(v for v in (*indication.verdicts, *indication.dissent) if v.pack.id == pack)


def test_a_complete_case_is_decided_by_every_pack_that_applies() -> None:
    found = indicate(Level.L1, patient(), vertebra(), session=SESSION)
    answers = {v.pack.id: v.answer for v in (*found.verdicts, *found.dissent)}
    assert answers == {
        "cms-lcd-osteoporotic": "met",
        "cms-lcd-malignant": None,
        "nice-ta279": "recommended",
        "rand-ucla-2018-approx": "appropriate",
        "rand-ucla-2013": "kyphoplasty",
        "of-score": "conservative",
        "sins": None,
        "acr-2018": "augmentation_usually",
        "nass-osteoporotic": "not_resolved",
        "nass-neoplastic": None,
        "evicore-cmm-607": "met",
        "contraindications": "none",
        "aaos-2010": "against_vertebroplasty",
        "asbmr-2019": "no_benefit",
    }
    assert found.conflict is not None
    assert found.conflict.opposing == ("of-score",)
    assert "nice-ta279" in found.conflict.supporting
    assert not found.cannot_decide


def test_nothing_known_cannot_be_decided_and_lists_what_is_missing() -> None:
    found = indicate(Level.L1, Patient(), None, session=Session(levels=1))
    assert found.cannot_decide
    assert all(v.state is State.CANNOT_DECIDE for v in (*found.verdicts, *found.dissent))
    missing = {m.name: m for m in found.missing}
    assert missing["malignant"].reason == "not given (patient.toml: cancer.in_spine)"
    assert missing["height_loss_percent"].reason == "no CT was measured"
    assert len(missing["malignant"].packs) >= 8
    assert found.missing[0].name == "malignant"
    assert found.as_json()["disagreement"] is None


def test_a_height_loss_near_the_cut_is_borderline_and_not_yes_or_no() -> None:
    record = patient(L1={"kyphotic_deformity": True, "progression": False}, function={"rmdq_0_to_24": 15})
    near = verdict(indicate(Level.L1, record, vertebra(25, 5), session=SESSION), "cms-lcd-osteoporotic")
    assert near.state is State.BORDERLINE
    assert near.borderline == ("height_loss_percent",)
    assert near.missing == ()
    assert "too close to call: height_loss_percent" in near.sentence
    answers = [
        verdict(indicate(Level.L1, record, vertebra(v, 5), session=SESSION), "cms-lcd-osteoporotic").answer
        for v in (19, 31)
    ]
    assert answers == ["not_met", "met"]


def test_borderline_that_does_not_matter_is_not_reported() -> None:
    found = verdict(indicate(Level.L1, patient(), vertebra(25, 5), session=SESSION), "cms-lcd-osteoporotic")
    assert (found.answer, found.borderline) == ("met", ())


def test_examiners_word_on_kyphosis_comes_before_the_measurement() -> None:
    assert gather(Level.L1, patient(), vertebra(), SESSION).values.get("kyphotic_deformity") is None
    measured = indicate(Level.L1, patient(), vertebra(), session=SESSION)
    assert measured.facts.values["kyphotic_deformity"] is True
    assert "local_kyphosis_deg >= 15" in measured.derived[0]
    said = indicate(Level.L1, patient(L1={"kyphotic_deformity": False}), vertebra(), session=SESSION)
    assert said.facts.values["kyphotic_deformity"] is False
    assert said.derived == ()
    near = {**vertebra(), "bisegmental_kyphosis_deg": q(15, 2)}
    doubtful = verdict(
        indicate(Level.L1, patient(function={"rmdq_0_to_24": 10}), near, session=SESSION), "cms-lcd-osteoporotic"
    )
    assert doubtful.borderline == ("kyphotic_deformity",)


@pytest.mark.parametrize(
    ("text", "oedema", "expected"),
    [
        ("OF3", None, (3, 3)),
        ("OF2_or_OF3", None, (2, 3)),
        ("OF0_or_OF1", None, (0, 1)),
        ("OF0_or_OF1", True, (1, 1)),
        ("OF0_or_OF1", False, (0, 0)),
    ],
)
def test_of_class_is_read_with_its_doubt(text: str, oedema: bool | None, expected: tuple[int, int]) -> None:
    record = parse_patient({"levels": {"L1": {} if oedema is None else {"mri_oedema": oedema}}})
    read = gather(Level.L1, record, {"of_class": text}, SESSION).values["of_type"]
    assert isinstance(read, Measured)
    assert (read.low, read.high) == expected


def test_tension_band_failure_is_of5_and_unknown_classes_say_why() -> None:
    failed = parse_patient({"levels": {"L1": {"tension_band_failure": True}}})
    assert gather(Level.L1, failed, {"of_class": "OF2"}, SESSION).values["of_type"] == 5.0
    facts = gather(Level.L1, Patient(), {"of_class": None}, SESSION)
    assert "of_class = None" in facts.why_missing("of_type")


def test_trials_become_weeks_and_bone_scan_stands_in_for_mri() -> None:
    record = parse_patient(
        {
            "trials": [
                {"kind": "prescription_analgesic", "start_days_ago": 35, "stop_days_ago": 7},
                {"kind": "exercise", "start_days_ago": 14},
                {"kind": "brace", "start_days_ago": 70},
            ],
            "levels": {"L1": {"bone_scan_positive": True}, "L2": {"bone_scan_positive": True, "mri_oedema": False}},
        }
    )
    facts = gather(Level.L1, record, None, SESSION)
    assert (facts.values["analgesic_weeks"], facts.values["exercise_weeks"]) == (4.0, 2.0)
    assert facts.values["imaging_positive"] is True
    assert gather(Level.L2, record, None, SESSION).values["imaging_positive"] is False
    assert "imaging_positive" not in gather(Level.L3, record, None, SESSION).values


def test_reasons_of_the_measurement_reach_the_missing_list() -> None:
    cut = {"height_loss_percent": {"value": None, "reason": "no neighbour to compare with"}}
    found = indicate(Level.L1, Patient(), cut, session=SESSION)
    reasons = {m.name: m.reason for m in found.missing}
    assert reasons["height_loss_percent"] == "no neighbour to compare with"
    assert reasons["local_kyphosis_deg"] == "spine.json has no bisegmental_kyphosis_deg here"


def test_bad_spine_entries_and_facts_are_refused() -> None:
    with pytest.raises(InputError, match=r"height_loss_percent in spine.json is 'much', needs value, low, high"):
        measured_from_json("much", "height_loss_percent")
    with pytest.raises(ParameterError, match="fact trend = 'bad' is not a word of worse"):
        Facts.of({"trend": "bad"})
    with pytest.raises(ParameterError, match="'pain' is not in the vocabulary"):
        Facts.of({"pain": 3.0})


def test_a_pack_that_is_not_whole_is_refused() -> None:
    good = read_toml("rules/nice_ta279.toml")

    def refusal(message: str, **changes: Any) -> None:
        with pytest.raises(ParameterError, match=message):
            parse_pack({**good, **changes}, place="test")

    refusal("missing keys \\[\\], keys that a pack does not have \\['colour'\\]", colour=1)
    refusal("verified = true beside an assumed clause", verified=True)
    refusal("the rules use .* declared are", inputs=good["inputs"][1:])
    refusal("answers define", answers={**good["answers"], "other": {"text": "x", "stance": "for"}})
    refusal(
        "needs exactly one of score, table and a last case",
        cases=[*good["cases"][:1], {"when": "not severe", "answer": "not_recommended"}],
    )
    refusal("clause x needs text and expr", clauses={**good["clauses"], "x": {"expr": "true"}})
    refusal("clause x: expression .* position", clauses={**good["clauses"], "x": {"text": "x", "expr": "nrs >"}})
    refusal("clause x: 'nrs' is neither", clauses={**good["clauses"], "x": {"text": "x", "expr": "nrs"}})
    refusal("cautions \\['x'\\] are not clauses", cautions=["x"])
    sins = read_toml("rules/sins.toml")
    bands = [{**sins["score"]["bands"][0], "to": 5}, *sins["score"]["bands"][1:]]
    with pytest.raises(ParameterError, match=r"bands cover .* with gaps"):
        parse_pack({**sins, "score": {**sins["score"], "bands": bands}}, place="test")


def test_every_pack_names_its_source_and_json_is_complete() -> None:
    for pack in shipped_packs():
        assert pack.source
        assert pack.version
        entry = judge(pack, Facts.of({})).as_json()
        assert entry["missing"]
        assert {"pack", "version", "verified", "source", "clauses", "sentence", "possible"} <= entry.keys()


def test_these_checks_can_fail() -> None:
    """The complete case hangs on its inputs: with an infection the determination excludes it."""
    found = indicate(Level.L1, patient(infection={"at_site": True}), vertebra(), session=SESSION)
    excluded = verdict(found, "cms-lcd-osteoporotic")
    assert (excluded.answer, [c.id for c in excluded.clauses]) == ("excluded", ["infected"])
    assert verdict(found, "contraindications").answer == "contraindicated"
    assert load_pack("contraindications") is load_pack("contraindications")
