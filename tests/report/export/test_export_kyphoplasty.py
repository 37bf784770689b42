"""A kyphoplasty with its outcome is exported whole: lifted bones, cement, tables and objects read by other programs."""

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from tests.report.export.conftest import write_dicom_run
from tests.report.small_run import LEVEL
from tests.report.test_case_report import OUTCOME, with_balloon
from tests.report.test_lifted import lifted_run
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOGeometry import vtkSTLReader

from vertecast.pipeline.export import export_case
from vertecast.report.case_report_run import read_run_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder of a DICOM case whose L2 was lifted by 3 mm, kept 1.5 and cemented, with an outcome."""
    base = tmp_path_factory.mktemp("kyphoplasty")
    source, _ = write_dicom_run(base)
    lifted = base / "lifted"
    lifted_run(source, lifted, keyframes=False)
    with_balloon(lifted)
    plan = json.loads((lifted / "plan.json").read_text(encoding="utf-8"))
    plan["levels"][LEVEL]["procedure"] = "kyphoplasty"
    (lifted / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    share = {"value": 45.0, "low": None, "high": None, "method": "of a population: VERTOS IV, physics.md 7"}
    session = {"progression": {"patients_percent": {"no_operation": share}}}
    (lifted / "outcome.json").write_text(json.dumps({"levels": {LEVEL: OUTCOME}, **session}), encoding="utf-8")
    written = export_case(lifted)
    assert len(written.files) > 12
    return lifted


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "export" / "measurements.csv").open(encoding="utf-8", newline="") as stream:
        return {row["quantity"]: row for row in csv.DictReader(stream) if row["level"] in (LEVEL, "")}


def test_the_table_has_lift_and_outcome_with_units_and_public_sources(folder: Path) -> None:
    told = rows(folder)
    rise = told["lift.moments.inflated.rise_mm.anterior"]
    assert (rise["document"], rise["value"], rise["unit"]) == ("simulation", "4.0", "mm")
    load = told["mechanics.load_n.standing.after"]
    assert (load["value"], load["low"], load["high"], load["unit"]) == ("529.0", "274.0", "1030.0", "N")
    assert told["adjacent_levels.L1.change_percent.disc_pressure"]["unit"] == "%"
    assert told["leakage.leak_onset_s.disc"]["reason"] == "no leak"
    population = told["progression.patients_percent.no_operation"]
    assert population["method"] == "of a population: VERTOS IV [Firanescu 2018], [working notes]"


def test_fhir_is_valid_and_holds_no_number_of_a_population(folder: Path) -> None:
    from fhir.resources.R4B.bundle import Bundle

    text = (folder / "export" / "bundle.fhir.json").read_text(encoding="utf-8")
    Bundle.model_validate_json(text)
    resources = [entry["resource"] for entry in json.loads(text)["entry"]]
    (procedure,) = (one for one in resources if one["resourceType"] == "Procedure")
    assert procedure["code"]["text"].startswith(f"kyphoplasty of {LEVEL}")
    assert procedure["status"] == "preparation"
    named = {identifier["value"] for one in resources for identifier in one.get("identifier", [])}
    assert any("lift.moments.inflated.rise_mm" in name for name in named)
    assert any("load_to_strength_ratio" in name for name in named)
    assert not any("progression" in name for name in named)


def top(path: Path) -> float:
    reader: Any = vtkSTLReader()
    reader.SetFileName(str(path))
    reader.Update()
    return float(vtk_to_numpy(reader.GetOutput().GetPoints().GetData())[:, 2].max())


def test_the_meshes_are_where_the_procedure_left_them(folder: Path, exports: Path) -> None:
    meshes = folder / "export" / "meshes"
    assert top(meshes / f"{LEVEL}.stl") - top(exports / "meshes" / f"{LEVEL}.stl") == pytest.approx(1.5, abs=0.15)
    assert top(meshes / "L1.stl") > top(exports / "meshes" / "L1.stl") + 1.0
    assert top(meshes / "L3.stl") == pytest.approx(top(exports / "meshes" / "L3.stl"), abs=1e-3)
    assert (meshes / f"balloon_{LEVEL}.stl").stat().st_size > 1000


def test_segmentations_are_of_the_ct_and_of_the_cement(folder: Path) -> None:
    import highdicom

    dicom = folder / "export" / "dicom"
    cement = highdicom.seg.segread(dicom / f"cement_{LEVEL}_seg.dcm")
    assert cement.number_of_segments == 1
    assert np.count_nonzero(cement.pixel_array) > 100
    for name in (f"cement_{LEVEL}_seg.dcm", "vertebrae_seg.dcm", "measurements_sr.dcm", "report_pdf.dcm"):
        assert pydicom.dcmread(dicom / name).PatientName == "DOE^JANE"


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dcmtk is not installed")
def test_dcmtk_reads_every_object(folder: Path) -> None:
    dicom = folder / "export" / "dicom"
    told = subprocess.run(["dsrdump", str(dicom / "measurements_sr.dcm")], capture_output=True, text=True, check=True)
    assert "wedge angle deg" in told.stdout
    assert "lift" not in told.stdout  # simulated, not measured in the images
    for path in dicom.glob("*.dcm"):
        dump = subprocess.run(
            ["dcmdump", "+P", "StudyInstanceUID", str(path)], capture_output=True, text=True, check=True
        )
        assert str(pydicom.dcmread(path).StudyInstanceUID) in dump.stdout


def test_these_checks_can_fail(folder: Path) -> None:
    run = read_run_folder(folder)
    assert "progression.patients_percent.no_operation" in rows(folder)
    assert all(bone.motion is None for bone in _still(run).bones)


def _still(run: Any) -> Any:
    """The scene of the same run had its displacement been lost: nothing is lifted then."""
    from vertecast.report.view3d import make_scene

    hidden = run.path.parent / "hidden"
    shutil.copytree(run.path, hidden)
    for file in (hidden / "fields" / LEVEL).glob("displacement_*"):
        file.unlink()
    return make_scene(read_run_folder(hidden))
