"""Proves: however one CT and its labels are stored, the measurements are the same to 1e-6."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vertecast.core.levels import Level
from vertecast.imaging.labels import recoded
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.segmentation import write_dicom_seg
from vertecast.imaging.write import write_nifti, write_nrrd, write_seg_nrrd
from vertecast.imaging.write_dicom import write_dicom_series
from vertecast.spine.measure import measure_spine
from vertecast.spine.phantom.phantom import Phantom, make_phantom
from vertecast.spine.phantom.spec import Scan, default_spec

pytestmark = pytest.mark.xdist_group("same measurements")


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    scan = Scan(spacing_mm=(1.5, 1.5, 2.0), axes="PIR", tilt_deg=(4.0, -3.0, 5.0), width_mm=110.0)
    return make_phantom(default_spec(Level.L1, Level.L2, scan=scan), seed=4)


@pytest.fixture(scope="module")
def stored(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    write_dicom_series(folder / "dicom", phantom.volume)
    ct = read_volume(folder / "dicom")  # whole HU, as DICOM keeps them
    write_nifti(folder / "ct.nii.gz", ct)
    write_nrrd(folder / "ct.nrrd", ct)
    write_nrrd(folder / "ct.mha", ct)
    labels = matched_labels(phantom.labels, ct)
    for dialect in ("verse", "totalseg", "tptbox"):
        write_nifti(folder / f"{dialect}.nii.gz", recoded(labels, dialect))
    write_seg_nrrd(folder / "labels.seg.nrrd", labels)
    write_dicom_seg(folder / "seg.dcm", labels, folder / "dicom")
    return folder


def numbers(document: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a JSON document with its path."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from numbers(value, f"{name}/{key}")
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from numbers(value, f"{name}/{index}")
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield name, float(document)


def measured(folder: Path, ct_name: str, labels_name: str) -> dict[str, float]:
    ct = read_volume(folder / ct_name)
    labels = matched_labels(read_labels(folder / labels_name), ct)
    return dict(numbers(measure_spine(labels, ct).as_json()["vertebrae"]))


@pytest.fixture(scope="module")
def reference(stored: Path) -> dict[str, float]:
    return measured(stored, "ct.nii.gz", "verse.nii.gz")


@pytest.mark.parametrize(
    ("ct_name", "labels_name"),
    [
        ("dicom", "verse.nii.gz"),
        ("ct.nrrd", "totalseg.nii.gz"),
        ("ct.mha", "tptbox.nii.gz"),
        ("ct.nii.gz", "seg.dcm"),
        ("dicom", "labels.seg.nrrd"),
    ],
)
def test_every_container_and_dialect_measures_the_same(
    stored: Path, reference: dict[str, float], ct_name: str, labels_name: str
) -> None:
    other = measured(stored, ct_name, labels_name)
    assert other.keys() == reference.keys()
    assert len(reference) > 200
    difference = {name: abs(other[name] - value) / max(1.0, abs(value)) for name, value in reference.items()}
    assert max(difference.values()) <= 1e-6, max(difference, key=lambda name: difference[name])


def test_these_checks_can_fail(stored: Path, phantom: Phantom, reference: dict[str, float], tmp_path: Path) -> None:
    ct = read_volume(stored / "dicom")
    shifted = np.roll(np.asarray(ct.hu), 1, axis=0)
    write_nifti(tmp_path / "ct.nii.gz", shifted, ct.grid)
    write_nifti(tmp_path / "verse.nii.gz", matched_labels(phantom.labels, ct))
    other = measured(tmp_path, "ct.nii.gz", "verse.nii.gz")
    assert any(abs(other[name] - value) > 1e-6 for name, value in reference.items() if name in other)
