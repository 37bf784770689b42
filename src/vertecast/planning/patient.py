"""The patient record ``patient.toml``: what the rules ask and no CT can tell. Every entry may be missing."""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.planning.entries import choice, number, read_section, template_lines, truth, unknown_key, words

_TEN = "the scale ends at 10; divide a score out of 100 by 10"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who the patient is, without a name."""

    age_years: float | None = number("a", "age", (0, 120), example=76)
    sex: str | None = choice("sex", "female", "male", "other")
    weight_kg: float | None = number("kg", "body weight, for the load on the spine", (20, 300), example=62)
    height_cm: float | None = number("cm", "body height, for the load on the spine", (80, 230), example=161)
    setting: str | None = choice("where the patient is treated now", "inpatient", "outpatient")
    asa: int | None = number("1", "ASA physical status", (1, 6), example=2)
    mfi5: int | None = number("1", "modified 5-item frailty index", (0, 5), example=1)
    pregnant: bool | None = truth("pregnancy", example=False)
    fragility_fracture: bool | None = truth("low-energy fracture of weak bone")
    high_energy_trauma: bool | None = truth("caused by high-velocity trauma", example=False)

    def __post_init__(self) -> None:
        if self.sex == "male" and self.pregnant:
            raise InputError("pregnant = true cannot be with sex = 'male'; correct one of the two")
        if self.fragility_fracture and self.high_energy_trauma:
            raise InputError(
                "fragility_fracture = true cannot be with high_energy_trauma = true; say which of the two it was"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pain:
    """How much, since when, and whether the fracture is its source."""

    score_0_to_10: float | None = number("1", "pain now, NRS or VAS", (0, 10), example=8, remedy=_TEN)
    under_analgesia_0_to_10: float | None = number(
        "1", "pain while the analgesic works", (0, 10), example=6, remedy=_TEN
    )
    trend: str | None = choice("course of the pain", "worse", "stable", "improved")
    onset_days: float | None = number(
        "d", "days since it began", (0, 36500), example=21, remedy="give days since the onset, not a date"
    )
    from_fracture: bool | None = truth("the pain comes mainly from this fracture, not from another cause")
    kind: str | None = choice("character of the pain", "mechanical", "non_mechanical", "none")
    unresponsive_to_medical_therapy: bool | None = truth("intractable in spite of medical therapy (cancer)")
    mobilised_under_analgesia: bool | None = truth("can be mobilised while the analgesic works")


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """Disability and daily life."""

    rmdq_0_to_24: float | None = number("1", "Roland-Morris Disability Questionnaire", (0, 24), example=18)
    odi_percent: float | None = number("%", "Oswestry Disability Index", (0, 100), example=60)
    bed_days_30d: float | None = number("d", "days in bed in the last 30", (0, 30), example=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One conservative treatment that was tried; no stop means that it goes on."""

    kind: str | None = choice(
        "what was tried", "prescription_analgesic", "other_drug", "bed_rest", "brace", "physiotherapy", "exercise"
    )
    name: str | None = words("drug or kind of brace", "paracetamol")
    dose: str | None = words("dose or frequency", "1 g three times a day")
    start_days_ago: float | None = number("d", "days since it was started", (0, 36500), example=28)
    stop_days_ago: float | None = number("d", "days since it was stopped", (0, 36500), example=0)
    response: str | None = choice("what it did", "none", "partial", "good")

    def __post_init__(self) -> None:
        start, stop = self.start_days_ago, self.stop_days_ago
        if start is not None and stop is not None and stop > start:
            raise InputError(
                f"stop_days_ago = {stop:g} is above start_days_ago = {start:g}: stopped before it began; "
                "both count back from today"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """Conservative care as a whole; each trial stands in [[trials]]."""

    optimal: bool | None = truth("the pain goes on in spite of optimal non-surgical management")
    bmd_referral: bool | None = truth("referred for bone density evaluation")
    osteoporosis_education: bool | None = truth("osteoporosis education or programme arranged")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherCauses:
    """Other sources of the pain, which cement does not help."""

    disc_herniation: bool | None = truth("herniated disc that explains the pain")
    severe_arthritis: bool | None = truth("severe arthritis that explains the pain")
    other: str | None = words("any other source", "none known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neurology:
    """Nerves and cord."""

    ao_grade: str | None = choice("AO Spine neurology", "N0", "N1", "N2", "N3", "N4", "NX")
    cord_compression: bool | None = truth("cord or cauda compressed on imaging")
    unstable_spine: bool | None = truth("unstable spine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Infection:
    """Infections; each of them stops the operation."""

    at_site: bool | None = truth("active infection at the site, osteomyelitis or discitis")
    untreated_blood_borne: bool | None = truth("untreated blood-borne infection")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blood:
    """Coagulation and clots."""

    uncorrected_coagulopathy: bool | None = truth("bleeding disorder or coagulopathy that is not corrected")
    anticoagulated: bool | None = truth("takes an anticoagulant")
    clots: bool | None = truth("thrombosis or embolism now or before")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allergies:
    """Reactions to what is injected."""

    cement: bool | None = truth("allergy to bone cement or a part of it")
    contrast: bool | None = truth("allergy to contrast medium")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancer:
    """Malignancy in the spine."""

    in_spine: bool | None = truth("the fracture is malignant (metastasis or myeloma)")
    primary: str | None = choice("primary", "myeloma", "breast", "lung", "prostate", "kidney", "thyroid", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Lungs, bone and earlier fractures."""

    pulmonary_dysfunction: bool | None = truth("lung function reduced")
    t_score: float | None = number("1", "lowest DXA T-score", (-8, 6), example=-3.2)
    prior_vertebral_fractures: int | None = number("1", "earlier vertebral fractures", (0, 24), example=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fracture:
    """What is known of one level; its section is [levels.L1]."""

    exam_concordant: bool | None = truth("the pain on examination is at this level")
    imaging_concordant: bool | None = truth("imaging shows the painful level to be this one")
    mri_oedema: bool | None = truth("MRI STIR shows oedema (false: MRI done, none seen)")
    bone_scan_positive: bool | None = truth("bone scan or SPECT/CT is positive (false: done, negative)")
    imaging_age_days: float | None = number("d", "age of the newest imaging", (0, 36500), example=14)
    progression: bool | None = truth("height loss has progressed")
    progression_percent: float | None = number("%", "further height loss since the first image", (0, 100), example=10)
    kyphotic_deformity: bool | None = truth("kyphotic deformity, as the examiner judges it")
    scoliosis_deg: float | None = number("deg", "local scoliosis", (0, 90), example=5)
    vertebra_plana: bool | None = truth("vertebra plana")
    burst: bool | None = truth("burst fracture")
    spinal_stenosis: bool | None = truth("the canal is narrowed at this level")
    retropulsion: bool | None = truth("bone pushed back into the canal")
    posterior_wall_intact: bool | None = truth("posterior wall intact")
    cortical_breach: bool | None = truth("cortex broken where cement could leave")
    focal_lesion: bool | None = truth("fracture or lesion confined to a small area")
    tension_band_failure: bool | None = truth("anterior or posterior tension band failed (OF5)")
    lesion: str | None = choice("character of a tumour", "lytic", "mixed", "blastic")
    alignment: str | None = choice("alignment (SINS)", "normal", "deformity", "subluxation")
    posterolateral: str | None = choice("posterolateral involvement (SINS)", "none", "unilateral", "bilateral")
    body_involved_percent: float | None = number("%", "share of the body with tumour", (0, 100), example=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The whole record; ``Patient()`` knows nothing."""

    person: Person = field(default_factory=Person)
    pain: Pain = field(default_factory=Pain)
    function: Function = field(default_factory=Function)
    care: Care = field(default_factory=Care)
    other_causes: OtherCauses = field(default_factory=OtherCauses)
    neurology: Neurology = field(default_factory=Neurology)
    infection: Infection = field(default_factory=Infection)
    blood: Blood = field(default_factory=Blood)
    allergies: Allergies = field(default_factory=Allergies)
    cancer: Cancer = field(default_factory=Cancer)
    health: Health = field(default_factory=Health)
    trials: tuple[Trial, ...] = ()
    levels: Mapping[Level, Fracture] = field(default_factory=lambda: MappingProxyType({}))

    def fracture(self, level: Level) -> Fracture:
        """Return what the record says of one level."""
        return self.levels.get(level, Fracture())


_SECTIONS = {f.name: f.type for f in dataclasses.fields(Patient) if f.name not in ("trials", "levels")}


def load_patient(path: Path) -> Patient:
    """Read and check ``patient.toml``.

    Raises
    ------
    InputError
        When the file is absent, not TOML, or holds an unknown key or an impossible value; it names file, key, value,
        limit and remedy.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InputError(f"{path} cannot be read ({exc.strerror}); `vertecast patient --template` writes one") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path} is not UTF-8 text at byte {exc.start}; save it as UTF-8") from exc
    except tomllib.TOMLDecodeError as exc:
        raise InputError(f"{path} is not valid TOML: {exc}; compare it with `vertecast patient --template`") from exc
    return parse_patient(table, place=str(path))


def parse_patient(table: Mapping[str, Any], *, place: str = "patient.toml") -> Patient:
    """Check a parsed record and build it; see :func:`load_patient`."""
    known = [*_SECTIONS, "trials", "levels"]
    for name in table:
        if name not in known:
            raise InputError(f"{place}: {unknown_key(name, known)}")
    sections: dict[str, Any] = {
        name: read_section(table[name], cls, f"{place}: {name}")
        for name, cls in _SECTIONS.items()
        if name in table and isinstance(cls, type)
    }
    trials = _read_trials(table.get("trials", []), place)
    return Patient(**sections, trials=trials, levels=_read_levels(table.get("levels", {}), place))


def patient_template() -> str:
    """Return a commented ``patient.toml``: it loads as it is, and with the comment signs of any line taken away."""
    lines = [
        "# Patient record for Vertecast. Research and education, not a medical device.",
        "# Take away the first '# ' of a line to say something. What is not known stays out: unknown is not 'no'.",
        "# No names, no dates: ages and durations only.",
    ]
    for name, cls in _SECTIONS.items():
        assert isinstance(cls, type)
        lines += ["", f"# {cls.__doc__}", f"[{name}]", *template_lines(cls)]
    lines += ["", f"# {Trial.__doc__} Repeat the block for each.", "# [[trials]]", *template_lines(Trial)]
    lines += ["", f"# {Fracture.__doc__}", "# [levels.L1]", *template_lines(Fracture)]
    return "\n".join(lines) + "\n"


def _read_trials(entries: Any, place: str) -> tuple[Trial, ...]:
    if not isinstance(entries, list):
        raise InputError(f"{place}: trials is {entries!r}, needs blocks that begin with [[trials]]")
    return tuple(read_section(entry, Trial, f"{place}: trials {i}") for i, entry in enumerate(entries, 1))


def _read_levels(tables: Any, place: str) -> Mapping[Level, Fracture]:
    if not isinstance(tables, Mapping):
        raise InputError(f"{place}: levels is {tables!r}, needs sections such as [levels.L1]")
    read: dict[Level, Fracture] = {}
    for name, table in tables.items():
        if name not in Level.__members__:
            raise InputError(f"{place}: levels.{name} is not a vertebra; use C1 to C7, T1 to T13, L1 to L6 or S1")
        read[Level[name]] = read_section(table, Fracture, f"{place}: levels.{name}")
    return MappingProxyType(read)
