"""What ``indicate`` and ``plan`` are given, read and measured once for both."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.pipeline.manifest import Record
from vertecast.pipeline.measure import MeasureCase, measure_images, read_images
from vertecast.planning.indication import Indication, indicate
from vertecast.planning.patient import Patient, load_patient
from vertecast.planning.rules.facts import Session
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
    series, subregions, calibration, prior_labels, prior_ct : as of ``MeasureCase``
    """

    labels: Path
    ct: Path | None = None
    dialect: str = "auto"
    patient: Path | None = None
    levels: tuple[Level, ...] = ()
    stent: bool = False
    series: str | None = None
    subregions: Path | None = None
    calibration: str | None = None
    prior_labels: Path | None = None
    prior_ct: Path | None = None

    def images(self) -> MeasureCase:
        """Return what is to be measured."""
        return MeasureCase(
            labels=self.labels,
            ct=self.ct,
            dialect=self.dialect,
            series=self.series,
            subregions=self.subregions,
            calibration=self.calibration,
            prior_labels=self.prior_labels,
            prior_ct=self.prior_ct,
        )

    def inputs(self) -> dict[str, Path]:
        """Return the files by their role, for the manifest."""
        return self.images().inputs() | ({"patient": self.patient} if self.patient else {})


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


def read_planning(case: PlanningCase, record: Record) -> PlanningInputs:
    """Read patient and images and measure the spine; the record is read first, since it is quick to be wrong."""
    patient = load_patient(case.patient) if case.patient else Patient()
    require_levels(case.levels)
    images = read_images(case.images(), record)
    labels = images[1]
    require_present(case.levels, labels.values, case.labels.name)
    measured = measure_images(case.images(), images, record)
    return PlanningInputs(labels, measured.volume, patient, measured.spine)


def require_levels(levels: Collection[Level]) -> None:
    """Refuse no level, and a level named twice."""
    if not levels:
        raise InputError("no level was given; name one or more with --level, for instance --level L1")
    if len(set(levels)) != len(levels):
        raise InputError(f"levels {', '.join(map(str, levels))} name one twice; give each level once")


def require_present(levels: Collection[Level], present: Collection[Level], name: str) -> None:
    """Refuse a level that the labels do not hold, and say which they do."""
    missing = [level for level in levels if level not in present]
    if missing:
        there = ", ".join(str(level) for level in sorted(present, key=lambda level: level.rank))
        raise InputError(f"level {missing[0]} is not in {name}; present are {there}")


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
