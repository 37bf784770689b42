"""What a simulation writes: events, summary, fields, fluoroscopy stills and pictures."""

import json
from pathlib import Path
from typing import Any

from vertecast.core.levels import Level
from vertecast.devices.carm import View, true_ap, true_lateral
from vertecast.devices.catalogue import catalogue, find
from vertecast.fluoro.body import Body
from vertecast.fluoro.fluoroscope import Fluoroscope
from vertecast.fluoro.radiograph import Options
from vertecast.fluoro.settings import Settings, load_settings
from vertecast.imaging.png import write_png
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.imaging.write import write_nifti
from vertecast.pipeline.extras import missing_extra
from vertecast.pipeline.folder import MANIFEST, write_json
from vertecast.pipeline.manifest import NOTICE, Record
from vertecast.procedure.fields import level_fields, level_summary
from vertecast.procedure.lift import Lift
from vertecast.procedure.lift_outcome import keyframe_fields, lift_fields, lift_summary, measured_moments
from vertecast.procedure.lift_scene import balloon_scene, displaced_volume
from vertecast.procedure.scene import filling_time, scene_at
from vertecast.procedure.state import LevelState, State
from vertecast.procedure.vertebroplasty import Practice

SCHEMA = "vertecast/simulation/1"
SIMULATION, EVENTS = "simulation.json", "events.jsonl"
KEYFRAMES_FILE = "displacement_keyframes.json"
_SHARES = (0, 25, 50, 75, 100)
_COLUMNS = 768
_CONTRAST = "iodine-300"
_PULSES = 6
"""Pulses with the scene at rest before a still is kept, so that lag and frame averaging have settled."""


def write_simulation(
    state: State,
    practice: Practice,
    seen: tuple[Volume, bool],
    staging: Path,
    record: Record,
    labels: LabelMap | None = None,
) -> dict[str, str]:
    """Write everything to the staging folder; return each file with what it holds.

    Parameters
    ----------
    seen : the CT, and whether fluoroscopy stills are wanted
    labels : of the CT; where a cavity tool was used, heights are measured on them as the bone has moved
    """
    outputs = {
        SIMULATION: "cement, leaks, pressures and heat of each level",
        EVENTS: "the procedure as a stream of events",
        MANIFEST: "this file",
    }
    lines = [json.dumps(event.as_json(), ensure_ascii=False, allow_nan=False) for event in state.stream()]
    (staging / EVENTS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    document = simulation_document(state, practice)
    if labels is not None and any(level.lift is not None for level in state.levels.values()):
        with record.stage("Measuring the lifted levels"):
            _add_lifts(document, state, labels)
    write_json(staging / SIMULATION, document)
    with record.stage("Writing the fields"):
        for name, level in state.levels.items():
            folder = staging / "fields" / name.value
            folder.mkdir(parents=True)
            for stem, (values, holds) in level_fields(level).items():
                write_nifti(folder / f"{stem}.nii.gz", values, level.bed.site.grid)
                outputs[f"fields/{name}/{stem}.nii.gz"] = f"{name}: {holds}"
            if level.lift is not None:
                outputs |= _write_lift(level.lift, name, folder)
    volume, stills = seen
    if stills:
        with record.stage("Taking the fluoroscopy stills"):
            outputs |= _stills(state, practice, volume, staging, record)
    no_pictures = missing_extra("report")
    if no_pictures:
        record.skip("pictures", no_pictures)
        return outputs
    from vertecast.report.balloon_pictures import draw_lift
    from vertecast.report.cement_pictures import draw_cement  # the [report] extra, probed above

    (staging / "pictures").mkdir()
    with record.stage("Drawing the pictures"):
        for name in state.levels:
            file = f"pictures/cement_{name}.png"
            draw_cement(state, name, staging / file)
            outputs[file] = f"{name}: cement in three planes and 3-D"
            if state.at(name).lift is not None:
                file = f"pictures/balloon_{name}.png"
                draw_lift(state, name, staging / file)
                outputs[file] = f"{name}: before, inflated, let go, cemented; pressure against volume; endplate's rise"
    return outputs


def _write_lift(lift: Lift, name: Level, folder: Path) -> dict[str, str]:
    """Write the fields of a lift and its keyframes; return each file with what it holds."""
    grid, outputs = lift.level.site.grid, {}
    for stem, (values, holds) in lift_fields(lift).items():
        write_nifti(folder / f"{stem}.nii.gz", values, grid)
        outputs[f"fields/{name}/{stem}.nii.gz"] = f"{name}: {holds}"
    listed = []
    for number, (seconds, moment, vectors) in enumerate(keyframe_fields(lift)):
        file = f"displacement_{number:02d}.nii.gz"
        write_nifti(folder / file, vectors, grid)
        outputs[f"fields/{name}/{file}"] = f"{name}: motion since the CT, LPS mm, {moment}"
        listed.append({"file": file, "t_s": round(seconds, 3), "moment": moment})
    write_json(folder / KEYFRAMES_FILE, listed)
    outputs[f"fields/{name}/{KEYFRAMES_FILE}"] = f"{name}: the moments of the displacement fields"
    return outputs


def simulation_document(state: State, practice: Practice) -> dict[str, Any]:
    """Return ``simulation.json``."""
    levels = {
        name.value: level_summary(state, level, practice.cement, practice.curing)
        for name, level in state.levels.items()
    }
    return {
        "schema": SCHEMA,
        "notice": NOTICE,
        "procedure": "kyphoplasty" if any(one.lift is not None for one in state.levels.values()) else "vertebroplasty",
        "cement": practice.cement.name,
        "stop_rules": sorted(rule.value for rule in practice.rules),
        "levels": levels,
        "session": {
            "duration_s": state.time,
            "cement_ml": sum(sum(one["injected_ml"].values()) for one in levels.values()),
            "leaked_ml": sum(sum(one["leaked_ml"].values()) for one in levels.values()),
        },
    }


def _add_lifts(document: dict[str, Any], state: State, labels: LabelMap) -> None:
    for name, level in state.levels.items():
        if level.lift is not None:
            document["levels"][name.value]["lift"] = lift_summary(level.lift, measured_moments(level.lift, labels))


def _stills(state: State, practice: Practice, volume: Volume, staging: Path, record: Record) -> dict[str, str]:
    settings = load_settings()
    record.uses.extend(settings.uses)
    body = Body(volume, settings.physics, settings.tissue)
    (staging / "fluoro").mkdir()
    outputs: dict[str, str] = {}
    for name, level in state.levels.items():
        outputs |= _level_stills(state, name, practice, (body, settings), staging)
        if level.lift is not None:
            outputs |= _lift_stills(level, name, (volume, settings), staging)
    return outputs


def _lift_stills(level: LevelState, name: Level, room: tuple[Volume, Settings], staging: Path) -> dict[str, str]:
    """Take AP and lateral stills of the tools before and after they are filled, the bone where it then is."""
    volume, settings = room
    assert level.lift is not None
    carm, frame = settings.carm.binned(_COLUMNS), level.bed.site.vert_from_lps
    contrast = find(catalogue().contrasts, _CONTRAST).values
    outputs = {}
    for moment in ("prone", "inflated"):
        body = Body(displaced_volume(level.lift, moment, volume), settings.physics, settings.tissue)
        scene = balloon_scene(level.lift, moment, tuple(level.tools.values()), contrast, settings.physics.materials)
        for label, pose in (("ap", true_ap(frame)), ("lateral", true_lateral(frame))):
            scope = Fluoroscope(body, View(carm, pose), settings=settings, options=Options(marks=True))
            for _ in range(_PULSES):
                seen = scope.frame(scene)
            file = f"fluoro/{name}_{label}_balloon_{moment}.png"
            write_png(staging / file, seen.pixels, {"Software": "Vertecast", "Description": NOTICE})
            outputs[file] = f"{name}: {label} view of the cavity tools, {moment}"
    return outputs


def _level_stills(
    state: State, name: Level, practice: Practice, room: tuple[Body, Settings], staging: Path
) -> dict[str, str]:
    """Take AP and lateral stills of one level at five moments of its filling."""
    body, settings = room
    carm, frame = settings.carm.binned(_COLUMNS), state.at(name).bed.site.vert_from_lps
    outputs = {}
    for label, pose in (("ap", true_ap(frame)), ("lateral", true_lateral(frame))):
        scope = Fluoroscope(body, View(carm, pose), settings=settings, options=Options(marks=True))
        for share in _SHARES:
            time = filling_time(state, name, share / 100.0)
            scene = scene_at(state, time, practice.cement.card, settings.physics.materials)
            for _ in range(_PULSES):
                frame_seen = scope.frame(scene)
            file = f"fluoro/{name}_{label}_{share:03d}.png"
            fields = {"Software": "Vertecast", "Description": NOTICE}
            write_png(staging / file, frame_seen.pixels, fields)
            outputs[file] = f"{name}: {label} view with {share} % of the cement in"
    return outputs
