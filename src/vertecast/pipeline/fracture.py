"""Fracture one vertebra of a CT on purpose, and write the CT, its labels and the truth."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeVar

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.write import write_nifti
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.manifest import Record
from vertecast.pipeline.phantom import CT, LABELS, TRUTH
from vertecast.spine.fracture.fracture import Fractured, fracture_vertebra
from vertecast.spine.fracture.spec import BreachSite, CleftFilling, FractureSpec, load_warp_shape

K = TypeVar("K", bound=Enum)


@dataclass(frozen=True, slots=True, kw_only=True)
class FractureCase:
    """What ``vertecast fracture`` is given; ``ct`` may be missing, then the labels alone are fractured."""

    labels: Path
    level: Level
    spec: FractureSpec
    ct: Path | None = None
    dialect: str = "auto"
    seed: int = 0


def fracture_case(case: FractureCase, out: Path, observer: Observer = SILENT) -> Fractured:
    """Read, fracture and write to ``out``."""
    inputs = {"labels": case.labels} | ({"ct": case.ct} if case.ct else {})
    record = Record("fracture", observer, seed=case.seed, inputs=inputs)
    with record.stage("Reading the images"):
        labels = read_labels(case.labels, dialect=case.dialect)
        volume = read_volume(case.ct) if case.ct else None
        if volume is not None:
            labels = matched_labels(labels, volume, name=str(case.labels))
    with record.stage("Fracturing"):
        fractured = fracture_vertebra(volume, labels, case.level, case.spec, seed=case.seed)
    record.uses.extend(load_warp_shape().uses)
    with run_folder(out) as staging:
        outputs = {LABELS: "vertebra labels, moved with the bone", TRUTH: "the imposed loss, from the warp itself"}
        with record.stage("Writing"):
            write_nifti(staging / LABELS, fractured.labels)
            if fractured.volume is not None:
                write_nifti(staging / CT, fractured.volume)
                outputs[CT] = "CT in HU, fractured on purpose"
            write_json(staging / TRUTH, fractured.truth.as_json())
        write_json(staging / MANIFEST, record.manifest(outputs | {MANIFEST: "this file"}))
    return fractured


def fracture_spec(
    losses_percent: tuple[float, float | None, float],
    *,
    cleft: str | None = None,
    breach: str | None = None,
    bulge_mm: float = 0.0,
) -> FractureSpec:
    """Make the specification from what a user types: losses in per cent, lesions by their names."""
    anterior, middle, posterior = losses_percent
    return FractureSpec(
        anterior_loss=anterior / 100.0,
        middle_loss=None if middle is None else middle / 100.0,
        posterior_loss=posterior / 100.0,
        cleft=_named(cleft, CleftFilling, "cleft"),
        breach=_named(breach, BreachSite, "breach"),
        wall_bulge_mm=bulge_mm,
    )


def _named(name: str | None, kinds: type[K], option: str) -> K | None:
    if name is None:
        return None
    try:
        return kinds(name)
    except ValueError as exc:
        known = ", ".join(str(kind.value) for kind in kinds)
        raise InputError(f"--{option} {name!r} is not known; use one of {known}") from exc
