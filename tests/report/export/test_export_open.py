"""FHIR, meshes, segmentations and the table: valid for their own readers, the run's values and places, no name."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
from fhir.resources.R4B.bundle import Bundle
from tests.report.small_run import AFFINE, LEVEL, cement_mask, labels_array
from vtkmodules.vtkFiltersCore import vtkMassProperties
from vtkmodules.vtkIOGeometry import vtkGLTFReader, vtkSTLReader

from vertecast.core.errors import InputError
from vertecast.imaging.grid import Grid
from vertecast.imaging.write import write_mask_seg_nrrd
from vertecast.report.case_report_run import RunFolder, read_run_folder
from vertecast.report.export.fhir import fhir_bundle
from vertecast.report.export.measurements import unit_of
from vertecast.report.export.meshes import Part, at_the_end, needle_mesh, run_parts, write_gltf, write_stl
from vertecast.report.export.table import COLUMNS, table_csv
from vertecast.report.view3d import Needle


@pytest.fixture(scope="module")
def run(small_run: Path) -> RunFolder:
    return read_run_folder(small_run)


@pytest.fixture(scope="module")
def resources(run: RunFolder) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in json.loads(fhir_bundle(run))["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


def _observation(resources: dict[str, list[dict[str, Any]]], name: str) -> dict[str, Any]:
    return next(one for one in resources["Observation"] if one["identifier"][0]["value"] == name)


def test_the_bundle_is_valid_and_every_reference_is_in_it(run: RunFolder) -> None:
    text = fhir_bundle(run)
    Bundle.model_validate_json(text)
    names = {entry["fullUrl"] for entry in json.loads(text)["entry"]}
    assert len(names) == len(json.loads(text)["entry"])
    referred = {part.split('"')[0] for part in text.split('"reference": "')[1:]}
    assert referred <= names
    assert len(referred) > 10
    assert text == fhir_bundle(run)


def test_the_bundle_names_no_patient_but_the_case(exports: Path, resources: dict[str, Any], run: RunFolder) -> None:
    (patient,) = resources["Patient"]
    assert patient["identifier"] == [{"value": run.case_id}]
    assert not {"name", "birthDate", "gender"} & set(patient)
    told = (exports / "bundle.fhir.json").read_text(encoding="utf-8")
    assert not any(name in told for name in ("DOE", "JANE", "PID7", "1950", "ACC9"))


def test_observations_carry_value_unit_interval_and_site(resources: dict[str, Any]) -> None:
    one = _observation(resources, f"spine.{LEVEL}.wedge_angle_deg")
    expected = {"value": -8.04, "unit": "deg", "system": "http://unitsofmeasure.org", "code": "deg"}
    assert one["valueQuantity"] == expected
    assert [part["valueQuantity"]["value"] for part in one["component"]] == [-9.5, -6.6]
    assert one["bodySite"]["coding"] == [{"system": "http://snomed.info/sct", "code": "14293000"}]
    assert one["method"]["text"] == "by hand"
    assert one["meta"]["tag"][0]["code"] == "HTEST"


def test_unknown_is_absent_with_its_reason(resources: dict[str, Any]) -> None:
    one = _observation(resources, f"spine.{LEVEL}.bisegmental_kyphosis_deg")
    assert "valueQuantity" not in one
    assert one["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert one["dataAbsentReason"]["text"] == "L1 is not whole"


def test_the_procedure_is_not_said_to_be_done(resources: dict[str, Any]) -> None:
    (procedure,) = resources["Procedure"]
    assert procedure["status"] == "preparation"
    assert procedure["code"] == {"text": f"vertebroplasty of {LEVEL}, percutaneous"}
    assert "nothing was done to the patient" in procedure["note"][0]["text"]
    (report,) = resources["DiagnosticReport"]
    assert report["conclusion"].endswith("not a medical device.")
    assert len(report["result"]) == len(resources["Observation"])


def _with_facts(run: RunFolder, **facts: Any) -> RunFolder:
    level = run.level("indication", LEVEL) | {"facts": facts}
    indication = {**run.document("indication"), "levels": {LEVEL: level}}
    return RunFolder(run.path, {**run.documents, "indication": indication}, run.events)


def test_pain_has_its_loinc_code_and_only_when_it_was_said(run: RunFolder, resources: dict[str, Any]) -> None:
    assert not any("coding" in one["code"] for one in resources["Observation"])
    made = json.loads(fhir_bundle(_with_facts(run, nrs=7.0)))
    (said,) = [e["resource"] for e in made["entry"] if "coding" in e["resource"].get("code", {})]
    assert said["code"]["coding"] == [{"system": "http://loinc.org", "code": "72514-3"}]
    assert said["valueQuantity"]["value"] == 7.0


def test_a_run_without_a_case_id_is_refused(run: RunFolder) -> None:
    nameless = RunFolder(run.path, {"spine": run.document("spine")}, ())
    with pytest.raises(InputError, match="gives no case id"):
        fhir_bundle(nameless)


def _stl(path: Path) -> Any:
    reader = vtkSTLReader()
    reader.SetFileName(str(path))
    reader.Update()
    return reader.GetOutput()


def _volume(poly: Any) -> float:
    mass = vtkMassProperties()
    mass.SetInputData(poly)
    return float(mass.GetVolume())


def test_stl_is_in_lps_millimetres(exports: Path) -> None:
    bounds = np.array(_stl(exports / "meshes" / "L1.stl").GetBounds()).reshape(3, 2)
    np.testing.assert_allclose(bounds, [[-15, 15], [-12, 12], [18, 38]], atol=0.6)
    cement = _stl(exports / "meshes" / f"cement_{LEVEL}.stl")
    np.testing.assert_allclose(np.mean(np.array(cement.GetBounds()).reshape(3, 2), axis=1), [7, 0, 0], atol=0.3)
    header = (exports / "meshes" / "L1.stl").read_bytes()[:80]
    assert b"SPACE=LPS; UNIT=mm" in header
    assert not header.startswith(b"solid")


def test_stl_keeps_the_volume(exports: Path) -> None:
    box = _volume(_stl(exports / "meshes" / f"{LEVEL}.stl"))
    assert box == pytest.approx(int((labels_array() == 21).sum()), rel=0.03)
    needle = _volume(_stl(exports / "meshes" / f"needle_{LEVEL}_left_11G.stl"))
    assert needle == pytest.approx(np.pi * (3.05 / 2) ** 2 * 125.0, rel=1e-4)


def test_a_needle_is_closed_and_faces_outwards() -> None:
    for tip in ([3.0, -40.0, 7.0], [0.0, 0.0, -9.0], [5.0, 0.0, 0.0]):
        mesh = needle_mesh(Needle("n", np.zeros(3), np.array(tip), 1.5, 0.0, 1.0))
        edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
        there, back = {tuple(one) for one in edges}, {tuple(one) for one in edges[:, ::-1]}
        assert len(there) == len(edges)
        assert there == back
        assert mesh.volume == pytest.approx(np.pi * 1.5**2 * np.linalg.norm(tip), rel=1e-9)


def _gltf(path: Path) -> dict[str, np.ndarray]:
    """Return each mesh's corners in metres, (2, 3), as vtk reads them."""
    reader = vtkGLTFReader()
    reader.SetFileName(str(path))
    reader.Update()
    blocks = []

    def walk(data: Any) -> None:
        for k in range(data.GetNumberOfBlocks()):
            block = data.GetBlock(k)
            if block is not None and hasattr(block, "GetNumberOfBlocks"):
                walk(block)
            elif block is not None:
                blocks.append(np.array(block.GetBounds()).reshape(3, 2).T)

    walk(reader.GetOutput())
    names = [node["name"] for node in _gltf_json(path)["nodes"] if "mesh" in node]
    return dict(zip(names, blocks, strict=True))


def _gltf_json(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return dict(json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")]))


def test_gltf_is_in_metres_with_superior_up(exports: Path, run: RunFolder) -> None:
    path = exports / "meshes" / "scene.glb"
    found, root = _gltf(path), _gltf_json(path)["nodes"][0]
    centre = np.array(root["extras"]["centre_lps_mm"])
    assert root["extras"]["space"] == "LPS"
    parts = {part.name: part.mesh for part in run_parts(run)}
    assert set(found) == set(parts)
    for name, mesh in parts.items():
        left, posterior, superior = ((mesh.points_lps - centre) / 1000).T
        expected = np.stack([left, superior, -posterior], axis=1)
        np.testing.assert_allclose(found[name], [expected.min(axis=0), expected.max(axis=0)], atol=1e-6)
    assert found["L1"][0, 1] > found[LEVEL][1, 1] > found["L3"][1, 1]  # metres along +Y


def test_gltf_normals_are_unit_and_outwards(exports: Path) -> None:
    content = (exports / "meshes" / "scene.glb").read_bytes()
    scene = _gltf_json(exports / "meshes" / "scene.glb")
    start = 20 + int.from_bytes(content[12:16], "little") + 8
    view = scene["bufferViews"]

    def read(accessor: int) -> np.ndarray:
        one = scene["accessors"][accessor]
        first = start + view[one["bufferView"]]["byteOffset"]
        return np.frombuffer(content, "<f4", 3 * one["count"], first).reshape(-1, 3)

    mesh = next(one for one in scene["meshes"] if one["name"] == f"cement, {LEVEL}")
    attributes = mesh["primitives"][0]["attributes"]
    points, normals = read(attributes["POSITION"]), read(attributes["NORMAL"])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-5)
    assert (np.einsum("ij,ij->i", points - points.mean(axis=0), normals) > 0).mean() > 0.99


def test_meshes_refuse_what_is_no_surface(run: RunFolder, tmp_path: Path) -> None:
    part = run_parts(run)[0]
    with pytest.raises(InputError, match=r"ends in \.glb"):
        write_gltf(tmp_path / "scene.gltf", (part,))
    with pytest.raises(InputError, match="0 surfaces"):
        write_gltf(tmp_path / "scene.glb", ())
    empty = type(part)(part.name, part.kind, type(part.mesh)(part.mesh.points_lps, part.mesh.faces[:0]))
    with pytest.raises(InputError, match="has no triangle"):
        write_stl(tmp_path / "none.stl", empty)
    with pytest.raises(InputError, match="holds no labels, needles or fields"):
        run_parts(RunFolder(tmp_path, {"spine": {}}, ()))


def test_the_scene_shows_no_balloon_where_the_cement_is(run: RunFolder) -> None:
    part = run_parts(run)[0]
    balloon, cement = (Part(kind, kind, part.mesh) for kind in ("balloon", "cement"))
    assert at_the_end((part, balloon, cement)) == (part, cement)
    assert at_the_end((part, balloon)) == (part, balloon)


def test_slicer_gets_named_segments_in_place(exports: Path) -> None:
    array, header = nrrd.read(str(exports / "vertebrae.seg.nrrd"))
    assert [header[f"Segment{k}_Name"] for k in range(3)] == ["vertebrae_L1", "vertebrae_L2", "vertebrae_L3"]
    assert header["space"] == "left-posterior-superior"
    np.testing.assert_array_equal(array, labels_array())
    np.testing.assert_allclose(header["space origin"], AFFINE[:3, 3])
    cement, told = nrrd.read(str(exports / f"cement_{LEVEL}.seg.nrrd"))
    np.testing.assert_array_equal(cement > 0, cement_mask())
    assert told["Segment0_Name"] == f"cement_{LEVEL}"


def test_a_mask_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    grid = Grid.from_affine((2, 2, 2), np.eye(4))
    with pytest.raises(InputError, match="0 voxels on a grid"):
        write_mask_seg_nrrd(tmp_path / "a.seg.nrrd", np.zeros((2, 2, 2), bool), grid, "cement")
    with pytest.raises(InputError, match=r"end it with \.seg\.nrrd"):
        write_mask_seg_nrrd(tmp_path / "a.nrrd", np.ones((2, 2, 2), bool), grid, "cement")


def test_the_table_has_one_row_per_number(run: RunFolder) -> None:
    rows = list(csv.DictReader(io.StringIO(table_csv(run), newline="")))
    assert tuple(rows[0]) == COLUMNS
    by_name = {(row["document"], row["level"], row["quantity"]): row for row in rows}
    assert len(by_name) == len(rows)
    height = by_name["spine", LEVEL, "heights_mm.anterior"]
    assert [height[key] for key in ("value", "low", "high", "unit")] == ["20.0", "19.4", "20.6", "mm"]
    unknown = by_name["spine", LEVEL, "bisegmental_kyphosis_deg"]
    assert (unknown["value"], unknown["reason"]) == ("", "L1 is not whole")
    assert by_name["simulation", LEVEL, "injected_ml.left"]["value"] == "2.5"
    stiff = by_name["outcome", LEVEL, "mechanics.stiffness_n_mm.after"]
    assert (stiff["value"], stiff["unit"]) == ("7500.0", "N/mm")
    assert not any("lps" in row["quantity"] for row in rows)


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [
        ("density.t_hu", "1"),
        ("density.mean_hu", "[hnsf'U]"),
        ("heat.canal_cem43_min", "min"),
        ("heat.canal_peak_degc", "Cel"),
        ("heights_mm.anterior", "mm"),
        ("density.density_mg_cm3", "mg/cm3"),
        ("a_n_mm.b", "N/mm"),
        ("symmetry", None),
    ],
)
def test_units_come_from_the_innermost_key(quantity: str, unit: str | None) -> None:
    from vertecast.report.export.measurements import export_codes

    assert unit_of(quantity, export_codes()["ucum"]) == unit


def test_these_checks_can_fail(exports: Path, run: RunFolder) -> None:
    """A mirrored surface and a bundle with a wrong resource do not pass."""
    found = _gltf(exports / "meshes" / "scene.glb")
    mesh = {part.name: part.mesh for part in run_parts(run)}[f"cement, {LEVEL}"]
    mirrored = -mesh.points_lps[:, 0] / 1000
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(found[f"cement, {LEVEL}"][:, 0], [mirrored.min(), mirrored.max()], atol=1e-6)
    bundle = json.loads(fhir_bundle(run))
    bundle["entry"][0]["resource"]["status"] = ["not", "a", "status"]
    with pytest.raises(ValueError, match="status"):
        Bundle.model_validate(bundle)
