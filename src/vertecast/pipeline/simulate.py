"""Continue a planned run folder: lift with the plan's balloon, inject its cement, follow its cure, write it down."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.core.provenance import digest, software_versions
from vertecast.core.sides import Side
from vertecast.devices.access import Tube
from vertecast.devices.catalogue import catalogue, find
from vertecast.imaging.calibration import Calibration
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.pipeline.calibrate import chosen_calibration
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.lifts import PROCEDURES, fractured_level, lift_task, split_rules
from vertecast.pipeline.manifest import Record
from vertecast.pipeline.measure import MeasuredCase, measure_prior
from vertecast.pipeline.simulate_outputs import SIMULATION, write_simulation
from vertecast.procedure.bed import Bed, draw_bed
from vertecast.procedure.cement import DEFAULT_CEMENT, choose_cement
from vertecast.procedure.cure import load_cure
from vertecast.procedure.fractured import load_fractured
from vertecast.procedure.kyphoplasty import LiftTask, kyphoplasty, lift_finished
from vertecast.procedure.kyphoplasty_store import KyphoplastyStore
from vertecast.procedure.needle import Needle
from vertecast.procedure.regions import Route
from vertecast.procedure.site import Site, make_site
from vertecast.procedure.state import State
from vertecast.procedure.stops import NOTICED, StopReason, load_injection
from vertecast.procedure.store import load_state, save_state
from vertecast.procedure.vertebroplasty import LevelTask, Practice, finished, vertebroplasty
from vertecast.spine.measure import measure_spine
from vertecast.spine.measurement import SpineMeasurement

_NEIGHBOURS = 2
"""Levels above and below that are measured too: they bound the discs and serve as the height's reference."""
STATE = Path(".stages") / "procedure.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateCase:
    """What ``vertecast simulate`` is given.

    Parameters
    ----------
    folder : run folder with ``plan.json`` and the manifest of ``plan``
    procedure : by name; the plan's own must agree
    ct, labels : where the plan's images are now; None where the manifest says
    dialect, series, prior_ct, prior_labels : as of ``MeasureCase``
    calibration : TOML file, ``internal`` or ``fallback``; the stated fallback when None
    cement : of the catalogue
    cement_ml : volume for each level; the plan's proposal when None
    start_age_s : seconds after mixing at which the injection begins; the start of the working time when None
    rules_off : stop rules that are switched off
    sealed : routes that are closed on purpose
    seed : of veins and shell
    resume : go on with the state that a broken run left in the folder, if it left one
    tool : cavity tool of the catalogue; the plan's when None
    balloon_ml : volume pushed into each tool; the plan's proposal when None
    """

    folder: Path
    procedure: str = "vertebroplasty"
    ct: Path | None = None
    labels: Path | None = None
    dialect: str = "auto"
    series: str | None = None
    calibration: str | None = None
    prior_ct: Path | None = None
    prior_labels: Path | None = None
    cement: str = DEFAULT_CEMENT
    cement_ml: float | None = None
    start_age_s: float | None = None
    rules_off: tuple[str, ...] = ()
    sealed: tuple[str, ...] = ()
    voxel_mm: float = 1.0
    seed: int = 0
    resume: bool = False
    stills: bool = True
    tool: str | None = None
    balloon_ml: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """What a simulation made, in memory: for the tests and for the next stage."""

    state: State
    tasks: tuple[LevelTask, ...]
    practice: Practice
    document: dict[str, Any] = field(repr=False)


def simulate_case(case: SimulateCase, observer: Observer = SILENT, measured: MeasuredCase | None = None) -> Simulated:
    """Run the procedure of a planned folder and write its events, fields, stills and pictures there.

    Parameters
    ----------
    measured : the images and what was measured on them, where that is at hand; else the levels and their neighbours
        are measured anew

    Raises
    ------
    InputError
        For a folder without a plan, images that are not those of the plan, a plan of another procedure, names that do
        not exist, or a cancelled run: its state is kept, and ``resume`` goes on with it.
    """
    plan, manifest = _read(case.folder, "plan.json"), _read(case.folder, MANIFEST)
    lifts = _lifts(case)
    injection_off, inflation_off = split_rules(case.rules_off) if lifts else (case.rules_off, ())
    rules, sealed = _rules(injection_off), _routes(case.sealed)
    paths = _images(case, manifest)
    record = Record("simulate", observer, seed=case.seed, inputs=paths)
    planned = _planned_levels(plan, case)
    if measured is None or measured.volume is None:
        volume, labels, spine = _measured(case, paths, planned, record)
    else:
        volume, labels, spine = measured.volume, measured.labels, measured.spine
    with record.stage("Making the sites"):
        calibration = chosen_calibration(case.calibration or "fallback", volume, labels)
        beds = {level: _bed(level, spine, volume, case, (sealed, calibration, record)) for level in planned}
    tasks = tuple(_task(level, one, case) for level, one in planned.items())
    practice = Practice(
        cement=choose_cement(case.cement),
        injection=load_injection().values,
        curing=load_cure().values,
        rules=rules,
        start_age=case.start_age_s,
    )
    record.uses.extend((*practice.cement.uses, *load_injection().uses, *load_cure().uses))
    if lifts:
        state = _run_lifts(case, (beds, tasks, planned, inflation_off), practice, (spine, volume, calibration), record)
    else:
        state = _run(case, beds, tasks, practice, record)
    with run_folder(case.folder) as staging:
        outputs = write_simulation(state, practice, (volume, case.stills), staging, record, labels)
        document = json.loads((staging / SIMULATION).read_text(encoding="utf-8"))
        write_json(staging / MANIFEST, continued_manifest(manifest, record.manifest(outputs)))
    KyphoplastyStore(case.folder / STATE, "").forget()
    return Simulated(state, tasks, practice, document)


def _measured(
    case: SimulateCase, paths: dict[str, Path], planned: Collection[Level], record: Record
) -> tuple[Volume, LabelMap, SpineMeasurement]:
    with record.stage("Reading the images"):
        volume = read_volume(paths["ct"], series=case.series)
        labels = matched_labels(read_labels(paths["labels"], dialect=case.dialect), volume, name=str(paths["labels"]))
    prior = measure_prior(case.prior_labels, case.prior_ct, case.dialect, record)
    with record.stage("Measuring the vertebrae"):
        return volume, labels, measure_spine(_near(labels, planned), volume, prior=prior, observer=SILENT)


def continued_manifest(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of a folder that two commands wrote: both commands' outputs, parameters and seconds."""
    outputs = {one["file"]: one for one in (*before["outputs"], *now["outputs"])}
    seen = {json.dumps(one, sort_keys=True): one for one in (*before["parameters"], *now["parameters"])}
    inputs = {one["role"]: one for one in (*before["inputs"], *now["inputs"])}
    earlier = before["command"].split(" + ")
    command = " + ".join([*(name for name in earlier if name != now["command"]), now["command"]])
    merged = {
        **now,
        "command": command,
        "inputs": list(inputs.values()),
        "parameters": [seen[key] for key in sorted(seen)],
        "warnings": list(dict.fromkeys((*before["warnings"], *now["warnings"]))),
        "skipped": [*before["skipped"], *(one for one in now["skipped"] if one not in before["skipped"])],
        "outputs": [outputs[name] for name in sorted(outputs)],
    }
    merged["run"] = {
        "started": before["run"]["started"],
        "paths": {**before["run"]["paths"], **now["run"]["paths"]},
        "stages": [*before["run"]["stages"], *now["run"]["stages"]],
    }
    return merged


def _read(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise InputError(f"{path} does not exist; give the folder that `vertecast plan --out` wrote") from exc
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} is not valid JSON ({exc}); run `vertecast plan` again") from exc
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no object; run `vertecast plan` again")
    return content


def _images(case: SimulateCase, manifest: dict[str, Any]) -> dict[str, Path]:
    """Return where CT and labels are, checked to be the plan's own."""
    known = {one["role"]: one["sha256"] for one in manifest.get("inputs", [])}
    said = manifest.get("run", {}).get("paths", {})
    paths = {}
    for role, given in (("ct", case.ct), ("labels", case.labels)):
        path = given or (Path(said[role]) if role in said else None)
        if path is None:
            raise InputError(
                f"the plan in {case.folder} was made without a {role}; plan again with the CT and its labels"
            )
        if not path.exists():
            raise InputError(f"{path} does not exist any more; say where the plan's {role} is now with --{role}")
        if role in known and digest(path).sha256 != known[role]:
            raise InputError(f"{path} is not the {role} that {case.folder} was planned on; plan again on this one")
        paths[role] = path
    return paths


def _planned_levels(plan: dict[str, Any], case: SimulateCase) -> dict[Level, dict[str, Any]]:
    levels = plan.get("levels")
    if not isinstance(levels, dict) or not levels:
        raise InputError(f"{case.folder}/plan.json holds no level; run `vertecast plan` again")
    found = {}
    for name, one in levels.items():
        if one.get("procedure") != case.procedure:
            raise InputError(
                f"{name} was planned for {one.get('procedure')}, not {case.procedure}; plan again with --procedure"
            )
        if not one.get("plans"):
            raise InputError(f"{name}: the plan holds no safe needle path ({one.get('sentence')}); nothing to simulate")
        found[Level(name)] = one
    return found


def _near(labels: LabelMap, planned: Collection[Level]) -> LabelMap:
    """Return the labels of the planned levels and their neighbours."""
    ranks = [level.rank for level in planned]
    kept = {
        level: number
        for level, number in labels.values.items()
        if any(abs(level.rank - rank) <= _NEIGHBOURS for rank in ranks)
    }
    return LabelMap(labels.labels, labels.grid, kept, labels.dialect, labels.subregions, labels.warnings)


def _bed(
    level: Level,
    spine: SpineMeasurement,
    volume: Volume,
    case: SimulateCase,
    context: tuple[frozenset[Route], Calibration, Record],
) -> Bed:
    sealed, calibration, record = context
    site = _site(level, spine, volume, calibration, case.voxel_mm)
    bed = draw_bed(site, case.seed + 1000 * level.rank, sealed=sealed)
    record.uses.extend((*calibration.uses, *bed.uses))
    for sentence in site.warnings:
        record.warn(sentence)
    return bed


def _site(level: Level, spine: SpineMeasurement, volume: Volume, calibration: Calibration, voxel_mm: float) -> Site:
    neighbours = [v.anatomy for v in spine.vertebrae if v.anatomy is not None and v.level is not level]
    return make_site(spine[level], neighbours, volume, calibration, voxel_mm=voxel_mm)


def _task(level: Level, planned: dict[str, Any], case: SimulateCase) -> LevelTask:
    volume = case.cement_ml
    if volume is None:
        volume = planned.get("volumes", {}).get("cement_ml", {}).get("value")
    if volume is None:
        raise InputError(f"{level}: the plan proposes no volume ({planned.get('volumes')}); give one with --cement-ml")
    devices = catalogue()
    tubes = {**devices.needles, **devices.cannulas}
    needles = []
    for one in planned["plans"][0]["needles"]:
        tube: Tube = find(tubes, one["tool"]["name"]).values
        needles.append(Needle.from_tube(Side(one["side"]), tube, one["entry_lps_mm"], one["tip_lps_mm"]))
    return LevelTask(level=level, needles=tuple(needles), volume=1000.0 * float(volume))


def _run(
    case: SimulateCase, beds: dict[Level, Bed], tasks: tuple[LevelTask, ...], practice: Practice, record: Record
) -> State:
    key, path = _key(case, record), case.folder / STATE
    start = load_state(path, beds, key) if case.resume and path.exists() else None
    with record.stage("Simulating the procedure"):
        state = vertebroplasty(
            beds,
            tasks,
            practice,
            observer=record.observer,
            start=start,
            keep=lambda now: None if finished(now, tasks, practice) else _kept(now, path, key),
        )
    if not finished(state, tasks, practice):
        _kept(state, path, key)
        raise InputError(f"the simulation was cancelled; {path} holds its state, go on with --resume")
    return state


def _lifts(case: SimulateCase) -> bool:
    """Tell whether the procedure has a cavity tool; refuse one where it has none."""
    lifts = case.procedure in PROCEDURES
    if not lifts and (case.tool is not None or case.balloon_ml is not None):
        raise InputError(f"a {case.procedure} uses no cavity tool; leave --tool and --balloon-ml out")
    return lifts


def _run_lifts(
    case: SimulateCase,
    what: tuple[dict[Level, Bed], tuple[LevelTask, ...], dict[Level, dict[str, Any]], tuple[str, ...]],
    practice: Practice,
    images: tuple[SpineMeasurement, Volume, Calibration],
    record: Record,
) -> State:
    (beds, tasks, planned, rules_off), (spine, volume, calibration) = what, images
    lifts: list[LiftTask] = []
    with record.stage("Building the fractured levels"):
        voxel = load_fractured().values.voxel
        for task in tasks:
            site = beds[task.level].site
            if site.voxel_mm < voxel:
                site = _site(task.level, spine, volume, calibration, voxel)
            made = fractured_level(site, spine, (volume, calibration), record)
            lifts.append(lift_task(task, planned[task.level], made, (case.tool, case.balloon_ml), rules_off))

    def draw(site: Site) -> Bed:
        return draw_bed(site, case.seed + 1000 * site.level.rank, sealed=_routes(case.sealed))

    store = KyphoplastyStore(case.folder / STATE, _key(case, record))
    start = store.restored(beds, lifts, draw) if case.resume else None
    if start is None:
        store.forget()
    with record.stage("Simulating the procedure"):
        state = kyphoplasty(beds, lifts, practice, draw, observer=record.observer, going=(start, store.keep))
    if not lift_finished(state, lifts, practice, draw):
        store.keep(state)
        raise InputError(f"the simulation was cancelled; {store.path} holds its state, go on with --resume")
    for level in state.levels.values():
        if level.lift is not None:
            record.uses.extend(level.lift.uses)
            for note in level.lift.notes:
                record.warn(f"{level.bed.site.level}: {note}")
    return state


def _kept(state: State, path: Path, key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_state(state, path, key)


def _key(case: SimulateCase, record: Record) -> str:
    """Return a digest of all the run depends on: a state of another run must not be continued."""
    parts = {
        "inputs": {role: digest(path).sha256 for role, path in record.inputs.items()},
        "plan": digest(case.folder / "plan.json").sha256,
        "prior": [digest(path).sha256 for path in (case.prior_ct, case.prior_labels) if path is not None],
        "software": software_versions()["vertecast"],
        "case": {
            name: str(getattr(case, name))
            for name in sorted(case.__slots__)
            if name not in ("folder", "ct", "labels", "prior_ct", "prior_labels", "resume", "stills")
        },
        "parameters": sorted(str(use.as_json()) for use in record.uses),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _rules(names: tuple[str, ...]) -> frozenset[StopReason]:
    known = {reason.value for reason in NOTICED}
    for name in names:
        if name not in known:
            raise InputError(f"stop rule {name!r} is not one of {', '.join(sorted(known))}")
    return NOTICED - {StopReason(name) for name in names}


def _routes(names: tuple[str, ...]) -> frozenset[Route]:
    known = {route.name.lower(): route for route in Route}
    for name in names:
        if name not in known:
            raise InputError(f"route {name!r} is not one of {', '.join(known)}")
    return frozenset(known[name] for name in names)
