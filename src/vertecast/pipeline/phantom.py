"""Make a phantom spine CT with its labels and its exact truth, as a run folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.imaging.write import write_nifti
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.manifest import Record
from vertecast.spine.phantom.phantom import Phantom, make_phantom
from vertecast.spine.phantom.spec import PhantomSpec, Scan, default_spec, load_tissue
from vertecast.spine.phantom.variation import random_spec

CT, LABELS, SUBREGIONS, TRUTH = "ct.nii.gz", "labels.nii.gz", "subregions.nii.gz", "truth.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomCase:
    """What ``vertecast phantom`` is given.

    Parameters
    ----------
    first, last : uppermost and lowermost level
    spacing_mm, slice_mm : voxel edge in the axial plane and along the patient
    random : a random shape, pose and density instead of the normal one
    seed : of texture and noise, and of the random shape
    """

    first: Level = Level.T10
    last: Level = Level.L5
    spacing_mm: float = 1.0
    slice_mm: float = 1.0
    random: bool = False
    seed: int = 0


def phantom_case(case: PhantomCase, out: Path, observer: Observer = SILENT) -> Phantom:
    """Make the phantom and write CT, labels, subregions and truth to ``out``."""
    record = Record("phantom", observer, seed=case.seed)
    with record.stage("Making the phantom"):
        phantom = make_phantom(_spec(case), seed=case.seed)
    record.uses.extend(load_tissue().uses)
    with run_folder(out) as staging:
        with record.stage("Writing"):
            write_nifti(staging / CT, phantom.volume)
            write_nifti(staging / LABELS, phantom.labels)
            write_nifti(staging / SUBREGIONS, phantom.subregions, phantom.labels.grid)
            write_json(staging / TRUTH, phantom.truth.as_json())
        outputs = {
            CT: "CT in HU",
            LABELS: "vertebra labels, VerSe numbers",
            SUBREGIONS: "TPTBox subregions",
            TRUTH: "exact heights, angles, pedicles and densities",
            MANIFEST: "this file",
        }
        write_json(staging / MANIFEST, record.manifest(outputs))
    return phantom


def _spec(case: PhantomCase) -> PhantomSpec:
    scan = Scan(spacing_mm=(case.spacing_mm, case.spacing_mm, case.slice_mm))
    if not case.random:
        return default_spec(case.first, case.last, scan=scan)
    return random_spec(np.random.default_rng(case.seed), case.first, case.last, scan=scan)


def named_level(name: str) -> Level:
    """Return the level a user named, ``L1`` or ``l1``."""
    try:
        return Level(name.upper())
    except ValueError as exc:
        raise InputError(f"level {name!r} does not exist; write it like T12 or L1") from exc
