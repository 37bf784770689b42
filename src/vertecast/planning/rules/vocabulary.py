"""The names rules may use: what each means, its kind and unit, and where its value comes from. The only such list."""

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from vertecast.core.levels import Level, Region
from vertecast.core.quantities import known_unit


class Kind(Enum):
    """What values a fact can have, and so how a rule may ask for it."""

    TRUTH = "truth"
    NUMBER = "number"
    WORD = "word"


class Origin(Enum):
    """Where a fact comes from."""

    RECORD = "patient.toml"
    SPINE = "spine.json"
    SESSION = "the planned session"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSpec:
    """One name of the vocabulary.

    Parameters
    ----------
    where : ``section.key`` of the record (``levels.key``: of the level), or the path in a vertebra of ``spine.json``
    unit : of a number; empty for truths and words
    choices : of a word
    """

    name: str
    kind: Kind
    origin: Origin
    where: str
    doc: str
    unit: str = ""
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind is Kind.NUMBER:
            known_unit(self.unit)


def _truth(name: str, where: str, doc: str, origin: Origin = Origin.RECORD) -> FactSpec:
    return FactSpec(name=name, kind=Kind.TRUTH, origin=origin, where=where, doc=doc)


def _number(name: str, where: str, unit: str, doc: str, origin: Origin = Origin.RECORD) -> FactSpec:
    return FactSpec(name=name, kind=Kind.NUMBER, origin=origin, where=where, doc=doc, unit=unit)


def _word(name: str, where: str, choices: str, doc: str, origin: Origin = Origin.RECORD) -> FactSpec:
    return FactSpec(name=name, kind=Kind.WORD, origin=origin, where=where, doc=doc, choices=tuple(choices.split()))


_PATIENT = (
    _number("age_years", "person.age_years", "a", "age"),
    _word("setting", "person.setting", "inpatient outpatient", "where the patient is treated"),
    _number("asa", "person.asa", "1", "ASA physical status"),
    _number("mfi5", "person.mfi5", "1", "modified 5-item frailty index"),
    _truth("pregnant", "person.pregnant", "pregnancy"),
    _truth("fragility_fracture", "person.fragility_fracture", "low-energy fracture of weak bone"),
    _truth("high_energy_trauma", "person.high_energy_trauma", "high-velocity trauma"),
    _number("nrs", "pain.score_0_to_10", "1", "pain now, 0 to 10"),
    _number("nrs_under_analgesia", "pain.under_analgesia_0_to_10", "1", "pain under analgesia, 0 to 10"),
    _word("trend", "pain.trend", "worse stable improved", "course of the pain"),
    _number("onset_days", "pain.onset_days", "d", "days since the pain began"),
    _truth("pain_from_fracture", "pain.from_fracture", "the pain comes mainly from this fracture"),
    _word("pain_kind", "pain.kind", "mechanical non_mechanical none", "character of the pain"),
    _truth("pain_unresponsive", "pain.unresponsive_to_medical_therapy", "intractable in spite of medical therapy"),
    _truth("mobilised", "pain.mobilised_under_analgesia", "can be mobilised under analgesia"),
    _number("rmdq", "function.rmdq_0_to_24", "1", "Roland-Morris disability, 0 to 24"),
    _truth("nsm_optimal", "care.optimal", "pain goes on in spite of optimal non-surgical management"),
    _truth("bmd_referral", "care.bmd_referral", "referred for bone density evaluation"),
    _truth("education", "care.osteoporosis_education", "osteoporosis education arranged"),
    _truth("disc_herniation", "other_causes.disc_herniation", "herniated disc explains the pain"),
    _truth("severe_arthritis", "other_causes.severe_arthritis", "severe arthritis explains the pain"),
    _truth("cord_compression", "neurology.cord_compression", "cord or cauda compressed"),
    _truth("unstable_spine", "neurology.unstable_spine", "unstable spine"),
    _truth("infection_at_site", "infection.at_site", "active infection at the site, osteomyelitis, discitis"),
    _truth("infection_blood_borne", "infection.untreated_blood_borne", "untreated blood-borne infection"),
    _truth("coagulopathy", "blood.uncorrected_coagulopathy", "uncorrected coagulopathy or bleeding disorder"),
    _truth("anticoagulated", "blood.anticoagulated", "takes an anticoagulant"),
    _truth("clots", "blood.clots", "thrombosis or embolism now or before"),
    _truth("cement_allergy", "allergies.cement", "allergy to cement"),
    _truth("contrast_allergy", "allergies.contrast", "allergy to contrast medium"),
    _truth("malignant", "cancer.in_spine", "malignant fracture"),
    _word("primary", "cancer.primary", "myeloma breast lung prostate kidney thyroid other", "primary tumour"),
    _truth("pulmonary_dysfunction", "health.pulmonary_dysfunction", "lung function reduced"),
    _number("t_score", "health.t_score", "1", "lowest DXA T-score"),
)

_FRACTURE = (
    _truth("exam_concordant", "levels.exam_concordant", "examination places the pain at this level"),
    _truth("imaging_concordant", "levels.imaging_concordant", "imaging confirms this level"),
    _truth("mri_oedema", "levels.mri_oedema", "MRI shows oedema"),
    _truth("imaging_positive", "levels.mri_oedema", "MRI shows oedema, or without MRI a positive bone scan"),
    _number("imaging_age_days", "levels.imaging_age_days", "d", "age of the newest imaging"),
    _truth("progression", "levels.progression", "height loss progressed"),
    _number("progression_percent", "levels.progression_percent", "%", "further height loss"),
    _truth("kyphotic_deformity", "levels.kyphotic_deformity", "kyphotic deformity as judged by the examiner"),
    _number("scoliosis_deg", "levels.scoliosis_deg", "deg", "local scoliosis"),
    _truth("vertebra_plana", "levels.vertebra_plana", "vertebra plana"),
    _truth("burst", "levels.burst", "burst fracture"),
    _truth("spinal_stenosis", "levels.spinal_stenosis", "canal narrowed at this level"),
    _truth("retropulsion", "levels.retropulsion", "bone pushed back into the canal"),
    _truth("posterior_wall_intact", "levels.posterior_wall_intact", "posterior wall intact"),
    _truth("cortical_breach", "levels.cortical_breach", "cortex broken where cement could leave"),
    _truth("focal_lesion", "levels.focal_lesion", "fracture or lesion confined to a small area"),
    _truth("tension_band_failure", "levels.tension_band_failure", "tension band failed"),
    _word("lesion", "levels.lesion", "lytic mixed blastic", "character of a tumour"),
    _word("alignment", "levels.alignment", "normal deformity subluxation", "alignment"),
    _word("posterolateral", "levels.posterolateral", "none unilateral bilateral", "posterolateral involvement"),
    _number("body_involved_percent", "levels.body_involved_percent", "%", "share of the body with tumour"),
)

_SPINE = (
    _number("height_loss_percent", "height_loss_percent", "%", "height loss against its reference", Origin.SPINE),
    _number("local_kyphosis_deg", "bisegmental_kyphosis_deg", "deg", "bisegmental kyphosis (Cobb)", Origin.SPINE),
    _number(
        "posterior_loss_percent",
        "height_loss_by_place_percent.posterior",
        "%",
        "posterior-wall height loss",
        Origin.SPINE,
    ),
    _number("trabecular_hu", "density.mean_hu", "HU", "trabecular attenuation", Origin.SPINE),
    _word("acuity", "acuity.summary", "acute_likely indeterminate chronic_likely", "CT evidence of age", Origin.SPINE),
    _number("of_type", "of_class", "1", "OF class by its number, 1 to 5", Origin.SPINE),
)

_SESSION = (
    _word("level", "level", " ".join(level.value for level in Level), "the vertebra", Origin.SESSION),
    _word("region", "region", " ".join(r.value for r in Region), "the part of the spine", Origin.SESSION),
    _number("levels_this_session", "levels", "1", "vertebrae treated in this session", Origin.SESSION),
    _truth("stent_planned", "tool", "a stent is planned", Origin.SESSION),
    _number("analgesic_weeks", "trials", "wk", "weeks of prescription analgesic", Origin.RECORD),
    _number("exercise_weeks", "trials", "wk", "weeks of exercise or physiotherapy", Origin.RECORD),
    _truth("neuro_deficit", "neurology.ao_grade", "AO Spine N1 to N4"),
    _truth("neuro_marked", "neurology.ao_grade", "AO Spine N2 to N4"),
)

_SELECTION = (
    _number("pedicle_clearance_mm", "pedicles", "mm", "widest pedicle less the cannula and its margins", Origin.SPINE),
    _number("height_clearance_mm", "heights_mm", "mm", "lowest height less folded balloon and margins", Origin.SPINE),
    _truth("contraindicated", "verdicts", "an absolute contraindication is decided", Origin.SESSION),
    _truth("supported", "verdicts", "at least one rule pack supports augmentation", Origin.SESSION),
    _truth("opposed", "verdicts", "at least one rule pack is against augmentation", Origin.SESSION),
)

VOCABULARY: MappingProxyType[str, FactSpec] = MappingProxyType(
    {spec.name: spec for spec in (*_PATIENT, *_FRACTURE, *_SPINE, *_SESSION, *_SELECTION)}
)
"""Every fact by its name."""
