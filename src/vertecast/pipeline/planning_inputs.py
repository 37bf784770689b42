"""What ``indicate`` and ``plan`` are given, read and measured once for both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.observer import Observer
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.pipeline.manifest import Record
from vertecast.planning.indication import Indication, indicate
from vertecast.planning.patient import Patient, load_patient
from vertecast.planning.rules.facts import Session
from vertecast.spine.measure import measure_spine
from vertecast.spine.measurement import MeasuredVertebra, SpineMeasurement


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningCase:
    """The images, the patient and the levels.

    Parameters
    ----------
    labels, ct : segmentation of the whole vertebrae, and the CT it was made on
    patient : ``patient.toml``; without it every question to the patient stays unknown
    levels : one or more, planned together
    stent : whether a stent is planned
    """

    labels: Path
    ct: Path | None = None
    dialect: str = "auto"
    patient: Path | None = None
    levels: tuple[Level, ...] = ()
    stent: bool = False

    def inputs(self) -> dict[str, Path]:
        """Return the files by their role, for the manifest."""
        roles = {"ct": self.ct, "labels": self.labels, "patient": self.patient}
        return {role: path for role, path in roles.items() if path is not None}


@dataclass(frozen=True, slots=True, eq=False)
class PlanningInputs:
    """Everything read and measured."""

    labels: LabelMap
    volume: Volume | None
    patient: Patient
    spine: SpineMeasurement

    def vertebra(self, level: Level) -> MeasuredVertebra:
        """Return a measured level, or say which ones there are."""
        try:
            return self.spine[level]
        except KeyError as exc:
            present = ", ".join(str(v.level) for v in self.spine.vertebrae)
            raise InputError(f"level {level} is not in the labels; present are {present}") from exc


def read_planning(case: PlanningCase, record: Record, observer: Observer) -> PlanningInputs:
    """Read patient and images and measure the spine; the record is read first, since it is quick to be wrong."""
    patient = load_patient(case.patient) if case.patient else Patient()
    if not case.levels:
        raise InputError("no level was given; name one or more with --level, for instance --level L1")
    if len(set(case.levels)) != len(case.levels):
        raise InputError(f"levels {', '.join(map(str, case.levels))} name one twice; give each level once")
    with record.stage("Reading the images"):
        labels = read_labels(case.labels, dialect=case.dialect)
        volume = read_volume(case.ct) if case.ct else None
        if volume is not None:
            labels = matched_labels(labels, volume, name=str(case.labels))
    for sentence in (*labels.warnings, *(volume.warnings if volume else ())):
        record.warn(sentence)
    missing = [level for level in case.levels if level not in labels.values]
    if missing:
        present = ", ".join(str(level) for level in sorted(labels.values, key=lambda level: level.rank))
        raise InputError(f"level {missing[0]} is not in {case.labels.name}; present are {present}")
    with record.stage("Measuring the vertebrae"):
        spine = measure_spine(labels, volume, observer=observer)
    record.uses.extend(spine.uses)
    return PlanningInputs(labels, volume, patient, spine)


def indicate_levels(case: PlanningCase, inputs: PlanningInputs) -> dict[Level, tuple[Indication, dict[str, Any]]]:
    """Judge every level; returns the indication and the level's measured JSON."""
    session = Session(levels=len(case.levels), stent_planned=case.stent)
    found = {}
    for level in case.levels:
        measured = inputs.vertebra(level).as_json()
        found[level] = (indicate(level, inputs.patient, measured, session=session), measured)
    return found


def named_levels(names: list[str]) -> tuple[Level, ...]:
    """Return levels by their names, or say which names there are."""
    for name in names:
        if name.upper() not in Level.__members__:
            raise InputError(f"level {name!r} is not a vertebra; use C1 to C7, T1 to T13, L1 to L6 or S1")
    return tuple(Level[name.upper()] for name in names)
