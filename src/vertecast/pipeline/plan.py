"""Plan one or more levels together: needles, volumes, views and the course of care; writes ``plan.json``."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.levels import Level, Region
from vertecast.core.observer import SILENT, Observer
from vertecast.core.parameters import Loaded, read_toml
from vertecast.devices.access import Tube
from vertecast.devices.catalogue import catalogue, find
from vertecast.pipeline.extras import missing_extra
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.indicate import indication_document
from vertecast.pipeline.manifest import Record
from vertecast.pipeline.planning_inputs import PlanningCase, PlanningInputs, read_planning
from vertecast.planning.air import AirMap, find_air
from vertecast.planning.care import course_of_care
from vertecast.planning.markups import plan_markups
from vertecast.planning.selector import Procedure, Selection
from vertecast.planning.site import make_site
from vertecast.planning.trajectory import Tool
from vertecast.planning.trajectory_gates import segment_distance
from vertecast.planning.trajectory_plan import Endplate, LevelAim, LevelPlan, plan_level
from vertecast.planning.trajectory_rules import TrajectoryRules, trajectory_rules
from vertecast.planning.volumes import BodySize, propose_volumes
from vertecast.spine.endplates import Side as EndplateSide
from vertecast.spine.heights import Place
from vertecast.spine.measurement import MeasuredVertebra

SCHEMA = "vertecast/plan/1"
TARGETS = ("auto", "endplate", "cleft")
_OUTER = 100.0  # mm of needle behind the tip within which two levels' needles must not meet


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChoice:
    """What the user decides; ``None`` leaves it to the selector and the usual sizes."""

    procedure: Procedure | None = None
    needle: str | None = None
    target: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise InputError(
                f"target {self.target!r} is not one of {', '.join(TARGETS)}; auto takes a cleft if one is seen"
            )


@dataclass(frozen=True, slots=True, eq=False)
class PlannedLevel:
    """One level of a session."""

    plan: LevelPlan
    procedure: Procedure
    document: dict[str, Any]
    cement_ml: float


def plan_case(
    case: PlanningCase, choice: PlanChoice, out: Path | None = None, observer: Observer = SILENT
) -> dict[str, Any]:
    """Read, measure, judge and plan; return ``plan.json`` and, when ``out`` is given, write the files there."""
    record = Record("plan", observer, seed=choice.seed, inputs=case.inputs())
    inputs = read_planning(case, record)
    indication, selections = indication_document(case, inputs, record)
    planned = plan_levels(inputs, selections, choice, record)
    if out is not None:
        with run_folder(out) as staging:
            write_json(staging / "spine.json", inputs.spine.as_json())
            write_json(staging / "indication.json", indication)
            outputs = {
                "spine.json": "every labelled vertebra, measured",
                "indication.json": "what each rule pack says",
                MANIFEST: "this file",
            } | write_plan(inputs, planned, staging, record)
            write_json(staging / MANIFEST, record.manifest(outputs))
    return session_document(planned)


def plan_levels(
    inputs: PlanningInputs, selections: dict[str, Selection], choice: PlanChoice, record: Record
) -> dict[Level, PlannedLevel]:
    """Plan every level that a procedure was proposed for, as one session."""
    rules = trajectory_rules()
    record.uses.extend(rules.uses)
    with record.stage("Planning the needles"):
        air = find_air(inputs.volume) if inputs.volume else None
        return {
            Level(name): _plan_level(inputs, Level(name), selection, choice, (air, rules.values), record)
            for name, selection in selections.items()
        }


def _plan_level(
    inputs: PlanningInputs,
    level: Level,
    selection: Selection,
    choice: PlanChoice,
    how: tuple[AirMap | None, TrajectoryRules],
    record: Record,
) -> PlannedLevel:
    vertebra = inputs.vertebra(level)
    anatomy, details = vertebra.anatomy, vertebra.details
    if anatomy is None or details.pedicles is None or details.canal is None:
        raise GeometryError(f"{level} cannot be planned: {vertebra.reason or details.reason}; check its label")
    if "cut_by_border" in vertebra.flags:
        raise GeometryError(
            f"{level} is cut by the image border, so no needle path can be called safe; "
            "give an image and labels that hold the whole vertebra"
        )
    if "cemented" in vertebra.flags:
        raise GeometryError(
            f"{level} already holds cement or metal: no bone is left there to be filled or measured; "
            "leave this level out, or give a CT from before that operation"
        )
    if "arch_cut_by_border" in vertebra.flags:
        record.warn(f"{level}: its arch is cut by the image border; what lies beyond is not seen")
    procedure, why = _procedure(level, selection, choice)
    tube = _tube(level, procedure, choice)
    record.uses.extend(tube.uses)
    air, rules = how
    neighbours = [
        v.anatomy for v in inputs.spine.vertebrae if v.anatomy is not None and abs(v.level.rank - level.rank) in (1, 2)
    ]
    try:
        site = make_site(anatomy, details.pedicles, details.canal, rules, neighbours=neighbours, air=air)
        endplate, focus, target = _target(vertebra, choice)
        tool = Tool(
            _name(level, procedure, choice), tube.values.radius, tube.values.length, tube.values.inner_diameter / 2
        )
        aim = LevelAim(tool=tool, endplate=endplate, focus_lps=focus, seed=choice.seed)
        plan = plan_level(site, aim, rules, observer=record.observer)
    except GeometryError as exc:
        exc.add_note(f"while planning {level}")
        raise
    for sentence in (*plan.warnings, *(() if plan.plans else (plan.sentence,))):
        record.warn(sentence)
    volumes = _volumes(vertebra, procedure, plan, tube.values)
    body = {
        "procedure": procedure.value,
        "proposed_procedure": selection.as_json()["procedure"],
        "procedure_reason": why,
        "target": target,
        **plan.as_json(),
        "volumes": volumes,
    }
    return PlannedLevel(plan, procedure, body, volumes["cement_ml"]["value"] if "cement_ml" in volumes else 0.0)


def _procedure(level: Level, selection: Selection, choice: PlanChoice) -> tuple[Procedure, str]:
    """Return the procedure and why it is this one."""
    said = selection.verdict.sentence
    if choice.procedure is not None:
        return choice.procedure, f"asked for; of the indication: {said}"
    if selection.procedure not in (None, Procedure.NO_OPERATION):
        return selection.procedure, f"proposed by the indication: {said}"
    fallback = selection.if_operated
    if fallback is None or fallback is Procedure.NO_OPERATION:
        raise InputError(f"{level}: which procedure fits cannot be decided ({said}); choose one with --procedure")
    absent = f", and none of {', '.join(selection.provided)} holds" if selection.provided else ""
    return fallback, f"what would fit if it is operated{absent}; of the indication: {said}"


def _name(level: Level, procedure: Procedure, choice: PlanChoice) -> str:
    if choice.needle:
        return choice.needle
    usual = read_toml("planning/tools.toml")
    kind = "vertebroplasty" if procedure is Procedure.VERTEBROPLASTY else "kyphoplasty"
    return str(usual[kind]["lumbar" if level.region is Region.LUMBAR else "other"][0])


def _tube(level: Level, procedure: Procedure, choice: PlanChoice) -> Loaded[Tube]:
    devices = catalogue()
    return find({**devices.needles, **devices.cannulas}, _name(level, procedure, choice))


def _target(
    vertebra: MeasuredVertebra, choice: PlanChoice
) -> tuple[Endplate, tuple[float, float, float] | None, dict[str, Any]]:
    """Return the endplate, a cleft's centre if that is aimed at, and both in the form of ``plan.json``."""
    endplate, why = _endplate(vertebra)
    cleft = vertebra.details.cleft
    centre = cleft.centroid_lps
    if choice.target == "cleft" and centre is None:
        raise InputError(f"{vertebra.level}: no cleft to aim at ({cleft.reason}); use --target endplate")
    if centre is None or choice.target == "endplate":
        place = "under" if endplate is Endplate.SUPERIOR else "over"
        said = {"kind": "endplate", "endplate": endplate.value, "focus_lps_mm": None}
        return endplate, None, {**said, "reason": f"{place} the {endplate.value} endplate: {why}"}
    focus = (float(centre[0]), float(centre[1]), float(centre[2]))
    volume = f"{cleft.volume_ml.value:.1f} mL" if cleft.volume_ml.value is not None else "volume unknown"
    reason = f"the {cleft.kind.value} cleft of {volume}: {cleft.reason}"
    return endplate, focus, {"kind": "cleft", "endplate": endplate.value, "focus_lps_mm": list(focus), "reason": reason}


def _endplate(vertebra: MeasuredVertebra) -> tuple[Endplate, str]:
    """Return the endplate that is dented more, and why; the superior one when that is not known."""
    dents = {side: vertebra.dent_excess_mm[side].value for side in vertebra.dent_excess_mm}
    low, high = dents.get(EndplateSide.INFERIOR), dents.get(EndplateSide.SUPERIOR)
    if low is None or high is None:
        return Endplate.SUPERIOR, "which one is depressed was not measured; the superior one is the usual"
    why = f"dented by {high:.1f} mm above and {low:.1f} mm below, beyond the reference levels"
    return (Endplate.INFERIOR if low > high else Endplate.SUPERIOR), why


def _volumes(vertebra: MeasuredVertebra, procedure: Procedure, plan: LevelPlan, cannula: Tube) -> dict[str, Any]:
    if not plan.plans:
        return {"reason": "no safe plan exists"}
    geometry = vertebra.geometry
    assert geometry is not None
    references = (vertebra.loss.reference_mm.get(place) for place in (Place.ANTERIOR, Place.MIDDLE))
    own = (vertebra.heights_mm[place] for place in (Place.ANTERIOR, Place.MIDDLE))
    heights = [
        (wanted.value if wanted is not None and wanted.value is not None else now.value)
        for wanted, now in zip(references, own, strict=True)
    ]
    known = [height for height in heights if height is not None]
    if not known or geometry.volume.value is None:
        return {"reason": "the body's heights or volume were not measured"}
    size = BodySize(volume=geometry.volume.value, depth=geometry.six.depth, target_height=min(known))
    sides = len(plan.plans[0].needles)
    try:
        return propose_volumes(procedure, size, sides, cannula=cannula, devices=catalogue()).as_json()
    except GeometryError as exc:
        return {"reason": str(exc)}


def session_document(planned: dict[Level, PlannedLevel]) -> dict[str, Any]:
    """Return ``plan.json`` of all levels: what adds up over the session, and the course of care."""
    care = course_of_care(tuple(one.procedure for one in planned.values()))
    accesses = sum(len(one.plan.plans[0].needles) for one in planned.values() if one.plan.plans)
    return {
        "schema": SCHEMA,
        "notice": "Research and education; not a medical device.",
        "levels": {level.value: one.document for level, one in planned.items()},
        "session": {
            "levels": [level.value for level in planned],
            "accesses": accesses,
            "cement_ml": sum(one.cement_ml for one in planned.values()),
            "minutes": {"low": care.minutes_low, "high": care.minutes_high},
            "nearest_needles": _nearest(planned),
        },
        "care": care.as_json(),
    }


def _nearest(planned: dict[Level, PlannedLevel]) -> dict[str, Any] | None:
    """Return the least gap, mm, between needles of different levels, tip to 100 mm back; ``None`` for one level."""
    needles = [(level, n) for level, one in planned.items() if one.plan.plans for n in one.plan.plans[0].needles]
    gaps = []
    for (first, a), (second, b) in combinations(needles, 2):
        if first is not second:
            axes = segment_distance(a.tip_lps[None], -_OUTER * a.forward_lps[None], b.tip_lps, -_OUTER * b.forward_lps)
            names = [f"{first} {a.side}", f"{second} {b.side}"]
            gaps.append({"between": names, "gap_mm": float(axes[0]) - a.tool.radius - b.tool.radius})
    return min(gaps, key=lambda gap: float(str(gap["gap_mm"])), default=None)


def write_plan(
    inputs: PlanningInputs, planned: dict[Level, PlannedLevel], staging: Path, record: Record
) -> dict[str, str]:
    """Write ``plan.json``, the markups and, with the [report] extra, the pictures; return what each file holds."""
    write_json(staging / "plan.json", session_document(planned))
    write_json(staging / "plan.mrk.json", plan_markups(one.plan for one in planned.values()))
    outputs = {
        "plan.json": "needles, volumes, views and the course of care",
        "plan.mrk.json": "the needles as 3D Slicer markups, LPS",
    }
    no_pictures = missing_extra("report")
    if no_pictures:
        record.skip("pictures", no_pictures)
        return outputs
    from vertecast.report.plan_pictures import draw_plan  # the [report] extra, probed above

    (staging / "pictures").mkdir(exist_ok=True)
    with record.stage("Drawing the pictures"):
        for level, one in planned.items():
            if one.plan.plans:
                name = f"pictures/plan_{level}.png"
                anatomy = inputs.vertebra(level).anatomy
                assert anatomy is not None
                draw_plan(one.plan, anatomy, inputs.labels, inputs.volume, staging / name)
                outputs[name] = f"{level}: oblique slices along each needle of the best plan, and a 3-D view"
    return outputs
