"""Measure the strength of chosen levels of a case and write ``strength.json``, the fields and the pictures."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vertecast.core.errors import GeometryError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.imaging.calibration import Calibration
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.imaging.write import write_nifti
from vertecast.mechanics.pads import neighbours_of
from vertecast.mechanics.recrush import Recrush, crush_and_reload, require_depth
from vertecast.mechanics.settings import StrengthOptions
from vertecast.mechanics.strength import Strength, strength
from vertecast.pipeline.calibrate import NOT_FILES, chosen_calibration
from vertecast.pipeline.extras import missing_extra
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.manifest import NOTICE, Record
from vertecast.spine.measure import measure_spine

SCHEMA = "vertecast/strength/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrengthCase:
    """What ``vertecast strength`` is given.

    Parameters
    ----------
    ct, labels : the CT and the segmentation of its vertebrae
    levels : which vertebrae
    crush : share of the height by which each body is crushed, unloaded, rested and loaded again; None leaves it out
    calibration : TOML file that turns HU into density, ``"internal"`` (the patient's own tissues), or ``"fallback"``:
        a typical line, and every number ``uncalibrated``
    """

    ct: Path
    labels: Path
    levels: tuple[Level, ...]
    dialect: str = "auto"
    calibration: str = "fallback"
    crush: float | None = None
    options: StrengthOptions = field(default_factory=StrengthOptions)


def strength_case(case: StrengthCase, out: Path | None = None, observer: Observer = SILENT) -> dict[str, Any]:
    """Read, load every level, write the results where ``out`` is given; return what ``strength.json`` holds."""
    if case.crush is not None:
        require_depth(case.crush)
    inputs = {"ct": case.ct, "labels": case.labels}
    if case.calibration not in NOT_FILES:
        inputs["calibration"] = Path(case.calibration)
    record = Record("strength", observer, inputs=inputs)
    no_pictures = missing_extra("report") if out is not None else None
    if no_pictures:
        record.skip("pictures", no_pictures)
    with record.stage("Reading the images"):
        volume = read_volume(case.ct)
        labels = matched_labels(read_labels(case.labels, dialect=case.dialect), volume, name=str(case.labels))
        calibration = chosen_calibration(case.calibration, volume, labels)
    for sentence in calibration.warnings:
        record.warn(sentence)
    found = [_one_level(level, labels, volume, calibration, (case, record)) for level in case.levels]
    content = {"schema": SCHEMA, "notice": NOTICE, "levels": [_level_json(*one) for one in found]}
    if out is not None:
        with run_folder(out) as staging:
            outputs = {"strength.json": "stiffness and strength of each level", MANIFEST: "this file"}
            write_json(staging / "strength.json", content)
            for one, crushed in found:
                outputs |= _write_fields(one, crushed, staging)
                if not no_pictures:
                    outputs |= _draw(one, staging)
            write_json(staging / MANIFEST, record.manifest(outputs))
    return content


def _one_level(
    level: Level, labels: LabelMap, volume: Volume, calibration: Calibration, context: tuple[StrengthCase, Record]
) -> tuple[Strength, Recrush | None]:
    case, record = context
    labels.mask(level)  # an absent level is refused by name
    alone = LabelMap(labels.labels, labels.grid, {level: labels.values[level]}, labels.dialect, labels.subregions)
    with record.stage(f"Measuring {level}"):
        vertebra = measure_spine(alone, observer=SILENT)[level]
        if vertebra.anatomy is None:
            raise GeometryError(f"{level} could not be split and oriented: {vertebra.reason}; check its label")
    around, crushed = neighbours_of(labels, level), None
    given = (vertebra.anatomy, volume, calibration, case.options)
    with record.stage(f"Loading {level}"):
        found = strength(*given, neighbours=around, observer=record.observer)
    if case.crush is not None:
        with record.stage(f"Crushing {level}"):
            crushed = crush_and_reload(*given, depth=case.crush, neighbours=around, observer=record.observer)
    record.warnings.extend(sentence for sentence in found.warnings if sentence not in record.warnings)
    record.uses.extend((*found.uses, *calibration.uses, *(crushed.uses if crushed else ())))
    return found, crushed


def _level_json(found: Strength, crushed: Recrush | None) -> dict[str, Any]:
    return found.as_json() | ({"crushed_again": crushed.as_json()} if crushed else {})


def _write_fields(found: Strength, crushed: Recrush | None, staging: Path) -> dict[str, str]:
    """Write the yield map of each alpha, the damage map where stiffness was lost, and the compaction of a crush."""
    fields = {}
    for one in found.results:
        fields[f"plastic_strain_alpha{one.alpha:.2f}"] = (one.plastic_strain, "equivalent plastic strain at the end")
        damage = 1.0 - np.nan_to_num(one.stiffness_left, nan=1.0)
        if damage.max() > 0:
            fields[f"damage_alpha{one.alpha:.2f}"] = (damage, "share of the stiffness lost at the end")
    if crushed is not None:
        fields["compaction"] = (crushed.compaction, "plastic volume strain after the deep crush")
    folder = staging / "fields" / str(found.level)
    folder.mkdir(parents=True)
    outputs = {}
    for name, (values, holds) in fields.items():
        write_nifti(folder / f"{name}.nii.gz", np.nan_to_num(values), found.grid)
        outputs[f"fields/{found.level}/{name}.nii.gz"] = f"{found.level}: {holds}"
    return outputs


def _draw(found: Strength, staging: Path) -> dict[str, str]:
    from vertecast.report.strength_pictures import draw_strength  # the [report] extra, probed before

    name = f"pictures/strength_{found.level}.png"
    (staging / "pictures").mkdir(exist_ok=True)
    draw_strength(found, staging / name)
    return {name: f"{found.level}: curve, density and where it yields"}
