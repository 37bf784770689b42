"""Measure every labelled vertebra of a case and write the first files of its run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vertecast.core.observer import SILENT, Observer
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.pipeline.calibrate import NOT_FILES, chosen_calibration
from vertecast.pipeline.extras import missing_extra
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.manifest import Record
from vertecast.spine.measure import SpineMeasurement, measure_spine


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureCase:
    """What ``vertecast measure`` is given.

    Parameters
    ----------
    labels : segmentation of the vertebrae
    ct : the CT it was made on; without it the geometry is measured and the density stays unknown
    dialect : numbering of the labels, or ``"auto"``
    series : which DICOM series, when ``ct`` holds several
    subregions : TPTBox subregion labels on the same grid
    calibration : TOML file that turns HU into mg/cm³, ``"internal"`` (the patient's own tissues) or ``"fallback"``
    prior_labels, prior_ct : the patient's own earlier CT, the reference for height loss
    """

    labels: Path
    ct: Path | None = None
    dialect: str = "auto"
    series: str | None = None
    subregions: Path | None = None
    calibration: str | None = None
    prior_labels: Path | None = None
    prior_ct: Path | None = None


def measure_case(case: MeasureCase, out: Path | None = None, observer: Observer = SILENT) -> SpineMeasurement:
    """Read, measure and, when ``out`` is given, write ``spine.json``, the pictures and the manifest there."""
    record = Record("measure", observer, inputs=_inputs(case))
    no_pictures = missing_extra("report") if out is not None else None
    if no_pictures:
        record.skip("pictures", no_pictures)
    volume, labels = _read(case, record)
    prior = _measure_prior(case, record)
    with record.stage("Measuring the vertebrae"):
        calibration = chosen_calibration(case.calibration, volume, labels) if case.calibration else None
        spine = measure_spine(labels, volume, calibration=calibration, prior=prior, observer=observer)
    for sentence in calibration.warnings if calibration else ():
        record.warn(sentence)
    record.warnings.extend(spine.warnings)
    record.uses.extend((*spine.uses, *(calibration.uses if calibration else ())))
    if out is not None:
        with run_folder(out) as staging:
            outputs = {"spine.json": "every labelled vertebra, measured", MANIFEST: "this file"}
            write_json(staging / "spine.json", spine.as_json())
            if not no_pictures:
                outputs |= _draw(spine, labels, volume, staging, record)
            write_json(staging / MANIFEST, record.manifest(outputs))
    return spine


def _read(case: MeasureCase, record: Record) -> tuple[Volume | None, LabelMap]:
    with record.stage("Reading the images"):
        labels = read_labels(case.labels, dialect=case.dialect, subregions=case.subregions)
        volume = read_volume(case.ct, series=case.series) if case.ct else None
        if volume is not None:
            labels = matched_labels(labels, volume, name=str(case.labels))
    for sentence in (*labels.warnings, *(volume.warnings if volume else ())):
        record.warn(sentence)
    return volume, labels


def _measure_prior(case: MeasureCase, record: Record) -> SpineMeasurement | None:
    if case.prior_labels is None:
        return None
    with record.stage("Measuring the earlier CT"):
        labels = read_labels(case.prior_labels, dialect=case.dialect)
        volume = read_volume(case.prior_ct) if case.prior_ct else None
        if volume is None and case.ct is not None:
            record.warn(
                "the earlier heights come from its labels alone, today's from the CT's edge as well: thick voxels may "
                "shift the height loss by several per cent; give the earlier CT with --prior-ct"
            )
        return measure_spine(labels, volume)


def _draw(
    spine: SpineMeasurement, labels: LabelMap, volume: Volume | None, staging: Path, record: Record
) -> dict[str, str]:
    from vertecast.report.spine_pictures import draw_spine, draw_vertebra  # the [report] extra, probed before

    outputs = {}
    with record.stage("Drawing the pictures"):
        folder = staging / "pictures"
        folder.mkdir()
        draw_spine(spine, labels, volume, folder / "spine.png")
        outputs["pictures/spine.png"] = "the whole spine, sagittal"
        for vertebra in spine.vertebrae:
            if vertebra.geometry is not None:
                name = f"pictures/{vertebra.level}.png"
                draw_vertebra(vertebra, vertebra.geometry, labels, volume, staging / name)
                outputs[name] = f"{vertebra.level}, mid-sagittal, with the six points"
    return outputs


def _inputs(case: MeasureCase) -> dict[str, Path]:
    roles: dict[str, Any] = {
        "ct": case.ct,
        "labels": case.labels,
        "subregions": case.subregions,
        "prior_ct": case.prior_ct,
        "prior_labels": case.prior_labels,
    }
    if case.calibration not in NOT_FILES:
        roles["calibration"] = Path(str(case.calibration))
    return {role: path for role, path in roles.items() if path is not None}
