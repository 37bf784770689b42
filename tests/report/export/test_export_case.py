"""One call exports a run folder: all that can be made, the rest with its reason, no name outside DICOM."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.report.export.conftest import DicomRun, write_dicom_run
from tests.report.small_run import LEVEL, write_run

from vertecast.core.errors import InputError
from vertecast.pipeline import extras
from vertecast.pipeline.export import export_case

FILES = {
    "measurements.csv",
    "bundle.fhir.json",
    "vertebrae.seg.nrrd",
    f"cement_{LEVEL}.seg.nrrd",
    "dicom/vertebrae_seg.dcm",
    f"dicom/cement_{LEVEL}_seg.dcm",
    "dicom/measurements_sr.dcm",
    "dicom/report_pdf.dcm",
    "meshes/L1.stl",
    f"meshes/{LEVEL}.stl",
    "meshes/L3.stl",
    f"meshes/needle_{LEVEL}_left_11G.stl",
    f"meshes/cement_{LEVEL}.stl",
    f"meshes/spinal_canal_at_{LEVEL}.stl",
    "meshes/scene.glb",
}


def _manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


def test_a_dicom_run_gives_every_file_and_the_manifest_lists_it(dicom_run: DicomRun) -> None:
    written = {str(p.relative_to(dicom_run.folder / "export")) for p in dicom_run.folder.glob("export/**/*.*")}
    assert written == FILES
    assert dicom_run.exported.skipped == ()
    manifest = _manifest(dicom_run.folder)
    assert {f"export/{name}" for name in FILES} <= {one["file"] for one in manifest["outputs"]}
    schema = json.loads((files("vertecast.data") / "schema" / "manifest.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(manifest, schema)
    assert manifest["seed"] == 7
    assert [stage["name"] for stage in manifest["run"]["stages"]] == ["Measuring", "Exporting"]
    answer = dicom_run.exported.as_json()
    assert all(one["bytes"] > 0 for one in answer["files"])


def test_names_stay_in_the_dicom_objects(dicom_run: DicomRun) -> None:
    for file in (dicom_run.folder / "export").rglob("*.*"):
        content = file.read_bytes()
        named = [word for word in (b"DOE", b"JANE", b"PID7", b"ACC9") if word in content]
        assert bool(named) == (file.suffix == ".dcm"), file


def test_without_dicom_the_rest_is_written_and_the_reason_said(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", tmp_path / "DOE_JANE_1950")
    made = export_case(folder)
    assert {name.removeprefix("export/") for name in made.files} == {n for n in FILES if not n.startswith("dicom/")}
    reasons = {one["artefact"]: one["reason"] for one in _manifest(folder)["skipped"]}
    assert len(reasons) == 4
    assert all("the run's CT is not DICOM" in reason for reason in reasons.values())


def test_a_ct_and_labels_that_are_gone_are_said_without_their_path(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", tmp_path / "DOE_JANE_1950")
    (tmp_path / "DOE_JANE_1950" / "labels.nii.gz").write_bytes(b"other")
    (tmp_path / "DOE_JANE_1950" / "ct.nii.gz").unlink()
    made = export_case(folder)
    reasons = {one["artefact"]: one["reason"] for one in made.skipped}
    assert "the run's labels has changed since" in reasons["export/vertebrae.seg.nrrd"]
    assert "the run's CT is not where it was" in reasons["export/dicom/measurements_sr.dcm"]
    assert not any("DOE" in reason for reason in reasons.values())
    assert f"export/meshes/{LEVEL}.stl" in made.files  # from the simulation's regions


def test_a_second_export_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    folder, _ = write_dicom_run(tmp_path)
    export_case(folder)
    (folder / "report.pdf").unlink()
    (folder / "fields" / LEVEL / "cement_fraction.nii.gz").unlink()
    made = export_case(folder)
    assert [one["reason"] for one in made.skipped] == [
        "run/report.pdf does not exist; write it with `vertecast report run`"
    ]
    for gone in ("dicom/report_pdf.dcm", f"cement_{LEVEL}.seg.nrrd", f"dicom/cement_{LEVEL}_seg.dcm"):
        assert not (folder / "export" / gone).exists()
        assert f"export/{gone}" not in {one["file"] for one in _manifest(folder)["outputs"]}


def test_a_missing_extra_is_skipped_with_the_remedy(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "EXTRAS", dict.fromkeys(extras.EXTRAS, ("no_such_module",)))
    folder = write_run(tmp_path / "run", tmp_path / "in")
    made = export_case(folder)
    reasons = {one["artefact"]: one["reason"] for one in made.skipped}
    assert reasons["export/bundle.fhir.json"] == "install the extra with: pip install 'vertecast[fhir]'"
    assert reasons["export/dicom/measurements_sr.dcm"].endswith("'vertecast[dicom]'")
    assert reasons["export/meshes"].endswith("'vertecast[report]'")
    assert "export/measurements.csv" in made.files


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds none of spine\.json"):
        export_case(tmp_path)


def test_the_command_exports_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from vertecast.cli import app
    from vertecast.pipeline import report

    folder = write_run(tmp_path / "run", tmp_path / "in")
    monkeypatch.setattr(report, "report_case", lambda folder, _: report.Written(folder, (), ()))  # has its own tests
    without = CliRunner().invoke(app, ["report", str(folder), "--json"])
    assert "export" not in json.loads(without.stdout)
    assert not (folder / "export").exists()
    told = CliRunner().invoke(app, ["report", str(folder), "--export", "--json", "--quiet"])
    assert told.exit_code == 0, told.output
    assert "export/measurements.csv" in {one["file"] for one in json.loads(told.stdout)["export"]["files"]}


def test_a_damaged_field_costs_only_its_own_files(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", tmp_path / "in")
    (folder / "fields" / LEVEL / "cement_fraction.nii.gz").write_bytes(b"no image")
    made = export_case(folder)
    assert f"export/cement_{LEVEL}.seg.nrrd" in {one["artefact"] for one in made.skipped}
    assert "export/measurements.csv" in made.files
