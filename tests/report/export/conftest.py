"""The small run with its CT as a DICOM series of a named patient, exported once: the tests read it, none changes it."""

import json
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from tests.report.small_run import write_run

from vertecast.core.provenance import digest
from vertecast.imaging.read import read_volume
from vertecast.imaging.write_dicom import write_dicom_series
from vertecast.pipeline.export import export_case
from vertecast.pipeline.manifest import Written

PDF = b"%PDF-1.4\nan odd number of bytes\n%%EOF"


@dataclass(frozen=True)
class DicomRun:
    folder: Path
    series: Path
    exported: Written

    @property
    def source(self) -> pydicom.Dataset:
        return pydicom.dcmread(sorted(self.series.glob("*.dcm"))[0])


def write_dicom_run(base: Path) -> tuple[Path, Path]:
    """Return a run folder whose CT is a DICOM series of DOE^JANE, and that series."""
    inputs = base / "DOE_JANE_1950"
    folder = write_run(base / "run", inputs)
    series = write_dicom_series(inputs / "ct", read_volume(inputs / "ct.nii.gz"), case_id="PID7")
    for file in series.glob("*.dcm"):
        header = pydicom.dcmread(file)
        header.PatientName, header.PatientBirthDate, header.AccessionNumber = "DOE^JANE", "19500102", "ACC9"
        header.save_as(file)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["run"]["paths"]["ct"] = str(series)
    manifest["inputs"][0]["sha256"] = digest(series).sha256
    manifest["software"]["python"], manifest["notice"] = "3.11", "Research and education; not a medical device."
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "report.pdf").write_bytes(PDF)
    return folder, series


@pytest.fixture(scope="session")
def dicom_run(tmp_path_factory: pytest.TempPathFactory) -> DicomRun:
    folder, series = write_dicom_run(tmp_path_factory.mktemp("export"))
    return DicomRun(folder, series, export_case(folder))


@pytest.fixture(scope="session")
def exports(dicom_run: DicomRun) -> Path:
    return dicom_run.folder / "export"
