"""Measure every labelled vertebra of a case and write the first files of its run folder."""

from dataclasses import dataclass
from pathlib import Path

from vertecast.core.observer import SILENT, Observer
from vertecast.imaging.calibration import Calibration
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

    def inputs(self) -> dict[str, Path]:
        """Return the files by their role, for the manifest."""
        roles: dict[str, Path | None] = {
            "ct": self.ct,
            "labels": self.labels,
            "subregions": self.subregions,
            "prior_ct": self.prior_ct,
            "prior_labels": self.prior_labels,
            "calibration": None if self.calibration in NOT_FILES else Path(str(self.calibration)),
        }
        return {role: path for role, path in roles.items() if path is not None}


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredCase:
    """The images of a case and what was measured on them."""

    labels: LabelMap
    volume: Volume | None
    calibration: Calibration | None
    spine: SpineMeasurement


def measure_case(case: MeasureCase, out: Path | None = None, observer: Observer = SILENT) -> SpineMeasurement:
    """Read, measure and, when ``out`` is given, write ``spine.json``, the pictures and the manifest there."""
    record = Record("measure", observer, inputs=case.inputs())
    no_pictures = missing_extra("report") if out is not None else None
    if no_pictures:
        record.skip("pictures", no_pictures)
    measured = measure_images(case, read_images(case, record), record)
    if out is not None:
        with run_folder(out) as staging:
            outputs = write_measurement(measured, staging, record) | {MANIFEST: "this file"}
            write_json(staging / MANIFEST, record.manifest(outputs))
    return measured.spine


def read_images(case: MeasureCase, record: Record) -> tuple[Volume | None, LabelMap]:
    """Read CT and labels, the labels on the CT's grid."""
    with record.stage("Reading the images"):
        labels = read_labels(case.labels, dialect=case.dialect, subregions=case.subregions)
        volume = read_volume(case.ct, series=case.series) if case.ct else None
        if volume is not None:
            labels = matched_labels(labels, volume, name=str(case.labels))
    for sentence in (*labels.warnings, *(volume.warnings if volume else ())):
        record.warn(sentence)
    return volume, labels


def measure_images(case: MeasureCase, images: tuple[Volume | None, LabelMap], record: Record) -> MeasuredCase:
    """Measure every labelled vertebra of images that were read."""
    volume, labels = images
    prior = measure_prior(case.prior_labels, case.prior_ct, case.dialect, record)
    if prior is not None and case.prior_ct is None and volume is not None:
        record.warn(
            "the earlier heights come from its labels alone, today's from the CT's edge as well: thick voxels may "
            "shift the height loss by several per cent; give the earlier CT with --prior-ct"
        )
    with record.stage("Measuring the vertebrae"):
        calibration = chosen_calibration(case.calibration, volume, labels) if case.calibration else None
        spine = measure_spine(labels, volume, calibration=calibration, prior=prior, observer=record.observer)
    for sentence in calibration.warnings if calibration else ():
        record.warn(sentence)
    record.warnings.extend(spine.warnings)
    record.uses.extend((*spine.uses, *(calibration.uses if calibration else ())))
    return MeasuredCase(labels, volume, calibration, spine)


def write_measurement(measured: MeasuredCase, staging: Path, record: Record) -> dict[str, str]:
    """Write ``spine.json`` and, with the [report] extra, the pictures; return each file with what it holds."""
    outputs = {"spine.json": "every labelled vertebra, measured"}
    write_json(staging / "spine.json", measured.spine.as_json())
    if missing_extra("report") is None:
        outputs |= _draw(measured.spine, measured.labels, measured.volume, staging, record)
    return outputs


def measure_prior(labels: Path | None, ct: Path | None, dialect: str, record: Record) -> SpineMeasurement | None:
    """Measure the patient's own earlier CT, the reference for height loss; None where there is none."""
    if labels is None:
        return None
    with record.stage("Measuring the earlier CT"):
        return measure_spine(read_labels(labels, dialect=dialect), read_volume(ct) if ct else None, details=False)


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
