"""Take a radiograph of a CT, with a plan's needles in it when asked: PNG, and DICOM XA or a film on request."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from vertecast.core.errors import InputError
from vertecast.core.frames import Transform
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.devices.carm import Lying, Pose, View, bulls_eye, true_ap, true_lateral
from vertecast.fluoro.body import Body
from vertecast.fluoro.marks import marked, patient_orientation
from vertecast.fluoro.radiograph import Options, Radiograph, caption, coned_to, radiograph, shuttered_to
from vertecast.fluoro.scene import Scene
from vertecast.fluoro.settings import Settings, load_settings
from vertecast.imaging.match import matched_labels
from vertecast.imaging.png import write_png
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import Volume
from vertecast.imaging.xa import XaImage, write_xa
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.manifest import Record
from vertecast.pipeline.needles import PlannedNeedle, read_needles
from vertecast.spine.measure import measure_spine

_BONE_HU = 250
_WITHDRAWN_MM = 60.0
_FILM_COLUMNS = 512


class ViewName(Enum):
    """The views a user can name."""

    AP = "ap"
    LATERAL = "lateral"
    BULLSEYE = "bullseye"


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiographCase:
    """What ``vertecast radiograph`` is given.

    Parameters
    ----------
    ct : the CT
    view, lao_deg, cranial_deg : a named view, and the tilt added to it
    lying : prone or supine
    labels, level, dialect : the vertebra to aim at; without it the gantry's own AP and lateral are taken
    isocentre_lps_mm : where to aim instead
    plan : folder with ``plan.json``, whose needles are put in
    field_mm : width and height of the shutters' field at the isocentre; as open as the CT allows when not given
    columns : pixels across the picture
    kvp, bone_bright, seed : operator's choices
    dicom, film : what to write besides the PNG
    """

    ct: Path
    view: ViewName = ViewName.AP
    lao_deg: float = 0.0
    cranial_deg: float = 0.0
    lying: Lying = Lying.PRONE
    labels: Path | None = None
    level: Level | None = None
    dialect: str = "auto"
    isocentre_lps_mm: tuple[float, float, float] | None = None
    plan: Path | None = None
    series: str | None = None
    field_mm: tuple[float, float] | None = None
    columns: int = 1024
    kvp: float | None = None
    bone_bright: bool = False
    seed: int = 0
    dicom: bool = False
    film: bool = False


def radiograph_case(case: RadiographCase, out: Path, observer: Observer = SILENT) -> Radiograph:
    """Take the radiograph and write ``radiograph.png``, its geometry and the manifest to ``out``."""
    inputs = {"ct": case.ct, "labels": case.labels, "plan": case.plan}
    present = {role: path for role, path in inputs.items() if path is not None}
    record = Record("radiograph", observer, seed=case.seed, inputs=present)
    settings = load_settings()
    with record.stage("Reading the images"):
        volume = read_volume(case.ct, series=case.series)
        needles = read_needles(case.plan, case.level.value if case.level else None) if case.plan else ()
    with record.stage("Finding the view"):
        frame = _frame(case, volume)
        view = View(settings.carm.binned(case.columns), _pose(case, volume, frame, needles))
    steel = settings.physics.materials["steel_316l"]
    scene = Scene(tuple(needle.tube(steel) for needle in needles))
    with record.stage("Taking the radiograph"):
        body = Body(volume, settings.physics, settings.tissue)
        shut = shuttered_to(view, *case.field_mm, least=coned_to(body, view)) if case.field_mm else None
        options = Options(
            kvp=case.kvp, collimation=shut, bone_bright=case.bone_bright, marks=False, seed=case.seed, threads=2
        )
        taken = radiograph(body, view, scene=scene, settings=settings, options=options)
    for sentence in taken.warnings:
        record.warn(sentence)
    record.uses.extend(taken.uses)
    with run_folder(out) as staging:
        outputs = _write(case, taken, staging)
        if case.film:
            with record.stage("Filming"):
                outputs |= _film(case, body, frame, needles, settings, staging)
        write_json(staging / MANIFEST, record.manifest(outputs))
    return taken


def _frame(case: RadiographCase, volume: Volume) -> Transform | None:
    """Frame of the level to aim at, measured from the labels."""
    if case.level is None:
        return None
    if case.labels is None:
        raise InputError(f"level {case.level} needs the labels it is in; give them with --labels")
    labels = matched_labels(read_labels(case.labels, dialect=case.dialect), volume, name=str(case.labels))
    labels.mask(case.level)  # an absent level is refused by name
    spine = measure_spine(labels, None)
    found = next(one for one in spine.vertebrae if one.level is case.level)
    if found.geometry is None:
        raise InputError(f"level {case.level} cannot be framed: {found.reason}; aim with --isocentre instead")
    return found.geometry.anatomy.vert_from_lps


def _pose(case: RadiographCase, volume: Volume, frame: Transform | None, needles: tuple[PlannedNeedle, ...]) -> Pose:
    if case.view is ViewName.BULLSEYE:
        if not needles:
            raise InputError("the bull's-eye view looks down a planned needle; give the plan with --plan")
        base = bulls_eye(needles[0].entry_lps, needles[0].tip_lps, case.lying)
    elif frame is not None:
        base = (true_ap if case.view is ViewName.AP else true_lateral)(frame, case.lying)
    else:
        lao = 90.0 if case.view is ViewName.LATERAL else 0.0
        base = Pose.tilted(_middle(volume, needles), lao_deg=lao, lying=case.lying)
    centre = base.isocentre_lps if case.isocentre_lps_mm is None else np.array(case.isocentre_lps_mm)
    return Pose.tilted(
        centre,
        lao_deg=base.lao_deg + case.lao_deg,
        cranial_deg=base.cranial_deg + case.cranial_deg,
        lying=case.lying,
    )


def _middle(volume: Volume, needles: tuple[PlannedNeedle, ...]) -> np.ndarray:
    """Middle of the needles' tips, or of the bone in the middle third of the CT's length."""
    if needles:
        return np.asarray(np.mean([needle.tip_lps for needle in needles], axis=0))
    steps = np.maximum(1, np.floor(4.0 / volume.grid.spacing)).astype(int)
    bone = np.argwhere(volume.hu[:: steps[0], :: steps[1], :: steps[2]] > _BONE_HU) * steps
    if not len(bone):
        return volume.grid.to_lps((np.array(volume.grid.shape) - 1) / 2)
    points = volume.grid.to_lps(bone)
    low, high = np.percentile(points[:, 2], [100 / 3, 200 / 3])
    return np.asarray(np.median(points[(points[:, 2] >= low) & (points[:, 2] <= high)], axis=0))


def _write(case: RadiographCase, taken: Radiograph, staging: Path) -> dict[str, str]:
    outputs = {"radiograph.png": f"{case.view.value} view, {taken.view.angles}", MANIFEST: "this file"}
    shown = marked(taken.pixels, taken.view.pose, caption(taken.view, taken.technique))
    fields = {"Software": "Vertecast", "Description": "Simulated; research and education, not a medical device"}
    if taken.warnings:
        fields["Warning"] = " ".join(taken.warnings)
    write_png(staging / "radiograph.png", shown, fields)
    write_json(staging / "radiograph.json", taken.as_json())
    outputs["radiograph.json"] = "geometry, exposure, dose and warnings"
    if case.dicom:
        write_xa(staging / "radiograph.dcm", xa_image(taken))
        outputs["radiograph.dcm"] = "DICOM XA with the positioner's geometry"
    return outputs


def xa_image(taken: Radiograph, *, case_id: str = "vertecast", study_uid: str | None = None) -> XaImage:
    """Say a radiograph in DICOM's terms; take it without marks."""
    pose, carm = taken.view.pose, taken.view.carm
    rows, columns = taken.view.shape
    window = taken.collimation.window(taken.view.shape)
    edges = (window[1].start, window[1].stop + 1, window[0].start, window[0].stop + 1)
    return XaImage(
        pixels=taken.pixels,
        pixel_mm=(carm.pixel_mm[1], carm.pixel_mm[0]),
        primary_angle_deg=pose.primary_deg,
        secondary_angle_deg=pose.secondary_deg,
        source_detector_mm=carm.source_detector,
        source_patient_mm=carm.source_isocentre,
        patient_orientation=patient_orientation(pose),
        patient_position="HFP" if pose.lying is Lying.PRONE else "HFS",
        kvp=taken.technique.kvp,
        mas=taken.technique.mas,
        dose_area_product=(taken.dose.dap_mgy_cm2.value or 0.0) / 100.0,
        shutters=None if edges == (0, columns + 1, 0, rows + 1) else edges,
        case_id=case_id,
        study_uid=study_uid,
        description=f"Simulated fluoroscopy {taken.view.angles}",
        comments=" ".join(("Simulated from CT.", *taken.warnings)),
    )


def _film(
    case: RadiographCase,
    body: Body,
    frame: Transform | None,
    needles: tuple[PlannedNeedle, ...],
    settings: Settings,
    staging: Path,
) -> dict[str, str]:
    from vertecast.report.fluoro_film import FilmCase, film_frames, write_film

    if not needles:
        raise InputError("the film shows planned needles going in; give the plan with --plan")
    centre = _middle(body.volume, needles)
    poses = (
        (true_ap(frame, case.lying), true_lateral(frame, case.lying))
        if frame is not None
        else tuple(Pose.tilted(centre, lao_deg=lao, lying=case.lying) for lao in (0.0, 90.0))
    )
    carm = settings.carm.binned(_FILM_COLUMNS)
    steel = settings.physics.materials["steel_316l"]

    def scene_at(part: float) -> Scene:
        return Scene(tuple(needle.tube(steel, _WITHDRAWN_MM * (1.0 - part)) for needle in needles))

    film = FilmCase(body=body, views=tuple(View(carm, pose) for pose in poses), scene_at=scene_at)
    write_film(staging / "needles.mp4", film_frames(film, settings), settings.exposure.pulse_rate)
    return {"needles.mp4": "the needles going in, AP and lateral"}
