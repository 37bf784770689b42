"""The stages of a run, in order: what each depends on and which existing command does it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError
from vertecast.core.provenance import merged_uses
from vertecast.pipeline.assess import AssessCase, assess_case
from vertecast.pipeline.export import export_case
from vertecast.pipeline.extras import EXTRAS, missing_extra
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.indicate import indication_document
from vertecast.pipeline.manifest import Record
from vertecast.pipeline.measure import write_measurement
from vertecast.pipeline.patient_pages import missing_for_patient
from vertecast.pipeline.plan import plan_levels, write_plan
from vertecast.pipeline.report import missing_for_report, report_case
from vertecast.pipeline.run_session import Session
from vertecast.pipeline.simulate import STATE, SimulateCase, simulate_case
from vertecast.pipeline.stage_store import STAGES, Part, file_sha, key_of
from vertecast.procedure.cement import DEFAULT_CEMENT

_IMAGES = ("ct", "labels", "subregions", "prior_ct", "prior_labels", "calibration")
_MEASURING = ("dialect", "series", "calibration")
_SIMULATING = ("tool", "balloon_ml", "cement", "cement_ml", "start_age_s", "no_stop", "seal", "voxel_mm", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage.

    Parameters
    ----------
    name : as in the folder and on the terminal
    does : what a progress bar says
    inputs : roles of the input files it reads
    settings : fields of the case that change its result
    reads : earlier stages whose files it reads
    needs : what is not installed here and would change its result, with the remedy
    make : does it and returns its part, without key and cost
    """

    name: str
    does: str
    make: Callable[[Session], Part]
    inputs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    needs: Callable[[], dict[str, str]] = dict

    def key(self, session: Session, software: str) -> str:
        """Return the digest of all that the result depends on."""
        case = session.case.as_json()
        return key_of(
            {
                "stage": self.name,
                "software": software,
                "inputs": {role: session.digests.get(role) for role in self.inputs},
                "settings": {name: case.get(name) for name in self.settings},
                "before": {name: session.parts[name].output for name in self.reads if name in session.parts},
                "missing": self.needs(),
            }
        )


def missing_here() -> dict[str, str]:
    """Return every artefact that cannot be made on this machine, with the remedy: said before a run begins."""
    exports = {
        "export: DICOM objects": missing_extra("dicom"),
        "export: FHIR bundle": missing_extra("fhir"),
        "export: meshes": missing_extra("report"),
    }
    missing = _no_pictures() | missing_for_report() | missing_for_patient()
    return missing | {what: remedy for what, remedy in exports.items() if remedy is not None}


def _no_pictures() -> dict[str, str]:
    remedy = missing_extra("report")
    return {} if remedy is None else {"pictures": remedy}


def _recorded(write: Callable[[Session, Path, Record], dict[str, str]]) -> Callable[[Session], Part]:
    """Return a stage that writes into a staging folder and notes what it used in a record."""

    def make(session: Session) -> Part:
        record = session.record()
        with run_folder(session.folder) as staging:
            holds = write(session, staging, record)
        return Part(
            key="",
            files={name: file_sha(session.folder / name) for name in holds},
            holds=holds,
            parameters=tuple(merged_uses(record.uses)),
            warnings=tuple(record.warnings),
            skipped=tuple(record.skipped),
            steps=tuple(record.steps),
        )

    return make


def _commanded(command: Callable[[Session], object]) -> Callable[[Session], Part]:
    """Return a stage that goes on with the run folder and its manifest, as the command of the same name does."""

    def make(session: Session) -> Part:
        before = session.manifest()
        command(session)
        after = json.loads((session.folder / MANIFEST).read_text(encoding="utf-8"))
        holds = {one["file"]: one["holds"] for one in _new(before["outputs"], after["outputs"])}
        known = {one["name"] for one in before["run"]["stages"]}
        return Part(
            key="",
            files={name: file_sha(session.folder / name) for name in holds},
            holds=holds,
            parameters=tuple(_new(before["parameters"], after["parameters"])),
            warnings=tuple(_new(before["warnings"], after["warnings"])),
            skipped=tuple(_new(before["skipped"], after["skipped"])),
            steps=tuple(one for one in after["run"]["stages"] if one["name"] not in known),
        )

    return make


def _new(before: list[Any], after: list[Any]) -> list[Any]:
    return [one for one in after if one not in before]


def _measure(session: Session, staging: Path, record: Record) -> dict[str, str]:
    for artefact, remedy in _no_pictures().items():
        record.skip(artefact, remedy)
    return write_measurement(session.measured(record), staging, record)


def _indicate(session: Session, staging: Path, record: Record) -> dict[str, str]:
    inputs = session.planning_inputs()
    for sentence in session.neighbours_missing():
        record.warn(sentence)
    if session.case.patient is None:
        record.warn(
            "no patient record was given: the indication cannot be decided; fill in the one of "
            "`vertecast patient --template` and give it with --patient"
        )
    document, _ = indication_document(session.case.planning, inputs, record)
    write_json(staging / "indication.json", document)
    return {"indication.json": "what each rule pack says"}


def _plan(session: Session, staging: Path, record: Record) -> dict[str, str]:
    inputs = session.planning_inputs()
    _, selections = indication_document(session.case.planning, inputs, record)
    planned = plan_levels(inputs, selections, session.case.choice, record)
    return write_plan(inputs, planned, staging, record)


def planned_procedure(folder: Path) -> str:
    """Return the one procedure of a planned session.

    Raises
    ------
    InputError
        If levels were planned for different ones: a session is simulated as one procedure.
    """
    levels = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["levels"]
    procedures = {name: one["procedure"] for name, one in levels.items()}
    if len(set(procedures.values())) > 1:
        chosen = ", ".join(f"{name} for {procedure}" for name, procedure in procedures.items())
        raise InputError(f"levels were planned for different procedures ({chosen}); choose one with --procedure")
    return str(next(iter(procedures.values())))


def _simulate(session: Session) -> None:
    case, folder = session.case, session.folder
    procedure = planned_procedure(folder)
    lifts = procedure != "vertebroplasty"
    key = SIMULATE.key(session, "")
    begun = folder / STAGES / "simulate.begun"
    known = begun.read_text(encoding="utf-8") if begun.is_file() else ""
    if known != key:
        (folder / STATE).unlink(missing_ok=True)
    begun.write_text(key, encoding="utf-8")
    simulate_case(
        SimulateCase(
            folder=folder,
            procedure=procedure,
            ct=case.ct,
            labels=case.labels,
            dialect=case.dialect,
            series=case.series,
            calibration=case.calibration,
            prior_ct=case.prior_ct,
            prior_labels=case.prior_labels,
            cement=case.cement or DEFAULT_CEMENT,
            cement_ml=case.cement_ml,
            start_age_s=case.start_age_s,
            rules_off=case.no_stop,
            sealed=case.seal,
            voxel_mm=case.voxel_mm,
            seed=case.seed,
            resume=session.resume,
            tool=case.tool if lifts else None,
            balloon_ml=case.balloon_ml if lifts else None,
        ),
        session.observer,
        session.measured(),
    )
    session.forget_images()
    begun.unlink(missing_ok=True)


def _assess(session: Session) -> None:
    case = session.case
    assess_case(
        AssessCase(
            folder=session.folder,
            ct=case.ct,
            labels=case.labels,
            patient=case.patient,
            dialect=case.dialect,
            series=case.series,
            calibration=case.calibration,
        ),
        session.observer,
    )


def _exports_missing() -> dict[str, str]:
    return {name: remedy for name in EXTRAS if (remedy := missing_extra(name)) is not None}


MEASURE = Stage(
    name="measure",
    does="Measuring the spine",
    make=_recorded(_measure),
    inputs=_IMAGES,
    settings=_MEASURING,
    needs=_no_pictures,
)
INDICATE = Stage(
    name="indicate",
    does="Judging the indication",
    make=_recorded(_indicate),
    inputs=("patient",),
    settings=("levels",),
    reads=("measure",),
)
PLAN = Stage(
    name="plan",
    does="Planning the needles",
    make=_recorded(_plan),
    inputs=_IMAGES,
    settings=(*_MEASURING, "levels", "procedure", "needle", "target", "seed"),
    reads=("measure", "indicate"),
    needs=_no_pictures,
)
SIMULATE = Stage(
    name="simulate",
    does="Simulating the procedure",
    make=_commanded(_simulate),
    inputs=_IMAGES,
    settings=(*_MEASURING, *_SIMULATING),
    reads=("plan",),
    needs=_no_pictures,
)
ASSESS = Stage(
    name="assess",
    does="Assessing before and after",
    make=_commanded(_assess),
    inputs=(*_IMAGES, "patient"),
    settings=_MEASURING,
    reads=("measure", "simulate"),
)
REPORT = Stage(
    name="report",
    does="Writing the reports",
    make=_commanded(lambda session: report_case(session.folder, session.observer)),
    inputs=(*_IMAGES, "patient"),
    settings=("case_id",),
    reads=("measure", "indicate", "plan", "simulate", "assess"),
    needs=lambda: missing_for_report() | missing_for_patient(),
)
EXPORT = Stage(
    name="export",
    does="Exporting for other systems",
    make=_commanded(lambda session: export_case(session.folder, session.observer)),
    inputs=_IMAGES,
    settings=("case_id", "dialect", "series"),
    reads=("measure", "indicate", "plan", "simulate", "assess", "report"),
    needs=_exports_missing,
)
STAGES_IN_ORDER = (MEASURE, INDICATE, PLAN, SIMULATE, ASSESS, REPORT, EXPORT)
