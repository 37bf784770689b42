"""Assess a simulated run folder: ``outcome.json`` from its fields, its CT and its documents."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.assess.evidence import evidence_outcome, load_evidence, progression_outcome, risk_outcome
from vertecast.assess.level import Laboratory, load_laboratory, load_level
from vertecast.assess.loads import Person
from vertecast.assess.neighbours import anatomy_of, measured, neighbour_of
from vertecast.assess.outcome import LevelRun, level_outcome
from vertecast.assess.treated import Treated, make_treated
from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.core.provenance import digest
from vertecast.imaging.calibration import Calibration
from vertecast.imaging.grid import Grid
from vertecast.imaging.limits import load_limits
from vertecast.imaging.match import matched_labels
from vertecast.imaging.nifti import read_nifti
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.resample import resampled, sampled
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.pipeline.calibrate import chosen_calibration
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.manifest import NOTICE, Record, Written
from vertecast.planning.patient import load_patient
from vertecast.procedure.fractured import Lost
from vertecast.spine.anatomy import Anatomy

SCHEMA = "vertecast/outcome/1"
OUTCOME = "outcome.json"
_STAGES = ("Reading the run", "Building the levels", "Testing the levels", "Collecting the evidence")
_MADE_BY = {"spine": "plan", "simulation": "simulate", "manifest": "plan"}
_FINEST, _COARSEST = 0.5, 4.0
_FAR = 2
"""Levels at most between a fractured vertebra and one that tells its density: it falls off along the spine."""
_DIFFERENT = 0.02  # relative difference of mean density from which it is another calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessCase:
    """What an assessment is given beside the run folder.

    Parameters
    ----------
    ct, labels, patient : where they are now; where the manifest says when None
    dialect, series : as of ``MeasureCase``
    calibration : as ``simulate`` was given it; the typical line when None
    voxel_mm : edge of the elements; that of the simulation when None
    """

    folder: Path
    ct: Path | None = None
    labels: Path | None = None
    patient: Path | None = None
    dialect: str = "auto"
    series: str | None = None
    calibration: str | None = None
    voxel_mm: float | None = None

    def __post_init__(self) -> None:
        if self.voxel_mm is not None and not _FINEST <= self.voxel_mm <= _COARSEST:
            raise InputError(
                f"voxel_mm = {self.voxel_mm} is outside {_FINEST:g} to {_COARSEST:g} mm; leave it out for the run's own"
            )


@dataclass(frozen=True, eq=False)
class _Run:
    """The folder's documents and images, read."""

    documents: dict[str, dict[str, Any]]
    volume: Volume
    labels: LabelMap
    calibration: Calibration
    person: Person
    fields: dict[str, tuple[dict[str, NDArray[np.float32]], Grid]] = field(repr=False)


def assess_case(case: AssessCase | Path, observer: Observer = SILENT) -> Written:
    """Write ``outcome.json`` of a run folder that was measured, planned and simulated.

    Raises
    ------
    InputError
        If the folder lacks a document or field, its images are not those of the run, or the calibration is not the
        simulation's.
    """
    if isinstance(case, Path):
        case = AssessCase(folder=case)
    record = Record("assess", observer)
    with record.stage(_STAGES[0]):
        run = _read_run(case, record)
    laboratory = load_laboratory()
    record.uses.extend((*laboratory.uses, *run.calibration.uses))
    levels = {}
    for name, simulated in run.documents["simulation"]["levels"].items():
        levels[name] = _assess_level(Level(name), simulated, (case, run), laboratory, record)
    with record.stage(_STAGES[3]):
        document = _document(levels, run, record)
    outputs = {OUTCOME: "before, fractured, after and no operation, level by level", MANIFEST: "this file"}
    with run_folder(case.folder) as staging:
        write_json(staging / OUTCOME, document)
        write_json(staging / MANIFEST, assessed_manifest(run.documents["manifest"], record.manifest(outputs)))
    return Written(case.folder, (OUTCOME, MANIFEST), tuple(record.skipped))


def assessed_manifest(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return a run's manifest with the assessment's files, parameters, warnings and seconds in place of old ones."""
    outputs = {one["file"]: one for one in (*before["outputs"], *now["outputs"])}
    seen = {json.dumps(one, sort_keys=True): one for one in (*before["parameters"], *now["parameters"])}
    names = {stage["name"] for stage in now["run"]["stages"]}
    kept = [one for one in before["run"]["stages"] if one["name"] not in names]
    return {
        **before,
        "parameters": [seen[key] for key in sorted(seen)],
        "warnings": list(dict.fromkeys((*before["warnings"], *now["warnings"]))),
        "outputs": [outputs[name] for name in sorted(outputs)],
        "run": {**before["run"], "stages": [*kept, *now["run"]["stages"]]},
    }


def _read_run(case: AssessCase, record: Record) -> _Run:
    documents = {name: _document_of(case.folder, name) for name in _MADE_BY}
    paths = _images(case, documents["manifest"])
    volume = read_volume(paths["ct"], series=case.series)
    labels = matched_labels(read_labels(paths["labels"], dialect=case.dialect), volume, name=str(paths["labels"]))
    calibration = chosen_calibration(case.calibration or "fallback", volume, labels)
    person = _person(case, documents["manifest"])
    if person.missing:
        record.warn(f"body {person.missing} not in the patient file; loads are told for the population's range only")
    fields = {name: _fields(case.folder, name) for name in documents["simulation"]["levels"]}
    return _Run(documents, volume, labels, calibration, person, fields)


def _assess_level(
    level: Level, simulated: dict[str, Any], given: tuple[AssessCase, _Run], laboratory: Laboratory, record: Record
) -> dict[str, Any]:
    case, run = given
    spine = run.documents["spine"]
    own = measured(level, spine)
    with record.stage(f"Building {level}"):
        treated = make_treated(level, *run.fields[str(level)], _known(own, simulated))
        _require_calibration(treated, run)
        if case.voxel_mm is not None:
            treated = treated.at_voxel(case.voxel_mm)
        sides = {side: _neighbour(level, run, side) for side in ("above", "below")}
        for side, one in sides.items():
            if isinstance(one, str):
                record.warn(f"{level}: the level {side} is not assessed: {one}")
        intact = _intact(level, own, run)
    with record.stage(f"Testing {level}"):
        loaded = load_level(
            treated, (intact, sides), (run.volume, run.calibration), laboratory, observer=record.observer
        )
    return level_outcome(treated, loaded, LevelRun(spine=own, simulated=simulated, person=run.person), laboratory)


def _document(levels: dict[str, Any], run: _Run, record: Record) -> dict[str, Any]:
    evidence = load_evidence()
    record.uses.extend(evidence.uses)
    simulation = run.documents["simulation"]
    cement = float(simulation.get("session", {}).get("cement_ml", 0.0))
    touched = [one["cement"]["touches_both_endplates"] for one in levels.values()]
    return {
        "schema": SCHEMA,
        "notice": NOTICE,
        "levels": levels,
        "session": {"cement_ml": cement, "leaked_ml": float(simulation.get("session", {}).get("leaked_ml", 0.0))},
        "progression": progression_outcome(evidence),
        "population_risks": risk_outcome(
            evidence, str(simulation.get("procedure")), cement, all(touched) if touched else None
        ),
        "evidence": evidence_outcome(evidence),
    }


def _document_of(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise InputError(f"{path} does not exist; `vertecast {_MADE_BY[name]}` writes it, run that first") from exc
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} is not valid JSON ({exc}); run `vertecast {_MADE_BY[name]}` again") from exc
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no object; run `vertecast {_MADE_BY[name]}` again")
    return content


def _images(case: AssessCase, manifest: dict[str, Any]) -> dict[str, Path]:
    known = {one["role"]: one["sha256"] for one in manifest.get("inputs", [])}
    said = manifest.get("run", {}).get("paths", {})
    paths = {}
    for role, given in (("ct", case.ct), ("labels", case.labels)):
        path = given or (Path(said[role]) if role in said else None)
        if path is None or not path.exists():
            raise InputError(f"the run's {role} is not at {path} any more; say where it is now")
        if role in known and digest(path).sha256 != known[role]:
            raise InputError(f"{path} is not the {role} of {case.folder}; give the run's own")
        paths[role] = path
    return paths


def _person(case: AssessCase, manifest: dict[str, Any]) -> Person:
    said = manifest.get("run", {}).get("paths", {}).get("patient")
    path = case.patient or (Path(said) if said else None)
    if path is None or (case.patient is None and not path.exists()):
        return Person()
    one = load_patient(path).person
    return Person(mass=one.weight_kg, height=None if one.height_cm is None else 10.0 * one.height_cm)


def _fields(folder: Path, level: str) -> tuple[dict[str, NDArray[np.float32]], Grid]:
    found: dict[str, NDArray[np.float32]] = {}
    grid: Grid | None = None
    for stem in _WANTED:
        path = folder / "fields" / level / f"{stem}.nii.gz"
        if path.is_file():
            raster = read_nifti(path, load_limits())
            grid = raster.grid if grid is None else grid
            found[stem] = np.asarray(raster.array, np.float32)
            if not raster.grid.same_as(grid):  # a lift has its own, coarser grid
                matrix = (raster.grid.lps_from_voxel.inverse @ grid.lps_from_voxel).matrix
                found[stem] = sampled(found[stem], matrix, grid.shape, fill=_UNMOVED.get(stem, 0.0))
    if grid is None:
        raise InputError(f"{folder}/fields/{level} holds no field; run `vertecast simulate` again")
    return found, grid


_UNMOVED = {"compaction": 1.0}
"""What a field of a lift is beyond its grid; 0 for the others."""
_WANTED = (
    "regions",
    "density_k2hpo4_mg_cm3",
    "cement_fraction",
    "pore_fraction",
    "compaction",
    "cavity_deflated",
    *(f"displacement_{axis}_deflated_mm" for axis in "xyz"),
)


def _known(own: dict[str, Any], simulated: dict[str, Any]) -> tuple[Lost | None, bool | None, bool]:
    """Return height lost, whether the level is fractured, and whether its density is calibrated."""
    values = [(own.get("height_lost_mm", {}).get(place) or {}).get("value") for place in _PLACES]
    known = [max(0.0, float(v)) for v in values if v is not None]
    grade = (own.get("genant") or {}).get("grade")
    lost = (known[0], known[1], known[2]) if len(known) == len(_PLACES) else None
    return lost, None if grade is None else float(grade) > 0, bool(simulated.get("calibrated"))


_PLACES = ("anterior", "middle", "posterior")


def _intact(level: Level, own: dict[str, Any], run: _Run) -> list[Anatomy]:
    """Return the vertebrae that tell the density before the break: those that height loss was measured against.

    Where that was the patient's own earlier CT, or nothing: the nearest on either side without loss and not treated.
    """
    names = (own.get("height_loss_percent") or {}).get("reference", {}).get("levels", [])
    levels = [Level(name) for name in names if name != str(level)] or _without_loss(level, run)
    found = [anatomy_of(one, run.labels, run.documents["spine"]) for one in levels if one in run.labels.values]
    return [one for one in found if isinstance(one, Anatomy)]


def _without_loss(level: Level, run: _Run) -> list[Level]:
    """Return the nearest level above and below, at most two away, that is of grade 0 and not treated."""
    found: list[Level] = []
    for step in (-1, 1):
        for away in range(1, _FAR + 1):
            rank = level.rank + step * away
            if not 0 <= rank < len(Level):
                break
            other = list(Level)[rank]
            grade = (measured(other, run.documents["spine"]).get("genant") or {}).get("grade")
            if grade == 0 and str(other) not in run.fields and other in run.labels.values:
                found.append(other)
                break
    return found


def _neighbour(level: Level, run: _Run, side: str) -> Anatomy | str:
    """Return a neighbour, or why it is not assessed; one that is treated itself has its own entry."""
    found = neighbour_of(level, run.labels, run.documents["spine"], above=side == "above")
    if isinstance(found, Anatomy) and str(found.level) in run.fields:
        return f"{found.level} is treated in the same session; its own entry tells its state"
    return found


def _require_calibration(treated: Treated, run: _Run) -> None:
    """Refuse a calibration that gives another density than the simulation's; where a tool moved bone it cannot tell."""
    if treated.came_from is not None:
        return
    density = run.calibration.density(resampled(run.volume, treated.grid).hu[treated.body])
    here, then = float(np.mean(density)), float(treated.density[treated.body].mean())
    if abs(here - then) > _DIFFERENT * max(then, 1e-3):
        raise InputError(
            f"{treated.level}: mean density {1000 * here:.1f} mg/cm3 by {run.calibration.name}, but the simulation had "
            f"{1000 * then:.1f}; give the calibration that it was run with"
        )
