"""Proves ``simulate`` from a planned run folder to its files: whole, checked, resumable; bad input is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import nibabel
import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

from vertecast.cli import app
from vertecast.cli.info import read_schema
from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.imaging.write import write_nifti
from vertecast.pipeline.simulate import STATE, SimulateCase, simulate_case
from vertecast.spine.phantom.arch import arch_parts
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.levels import normal_shape

RUNNER = CliRunner()
VERSE_L2 = 21
ML = 0.8


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plan one analytic L2 in water-like tissue, with a cortex, and return its run folder."""
    folder = tmp_path_factory.mktemp("case")
    shape, spacing = normal_shape(Level.L2), 1.5
    counts = (68, 74, 56)
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = (-50.5, -33.0, -41.0)
    grid = Grid.from_affine(counts, matrix)
    x, y, z = np.moveaxis(grid.to_lps(np.moveaxis(np.indices(counts), 0, -1)).astype(np.float32), -1, 0)
    parts = [Body(shape).part(), *arch_parts(shape)]
    depth = np.minimum.reduce([part.distance(x, y, z) for part in parts])
    hu = np.where(depth < 0, np.where(depth > -1.5, 500.0, 120.0), 40.0)
    hu = ndimage.gaussian_filter(hu, 0.5) + np.random.default_rng(1).normal(0.0, 15.0, counts)
    write_nifti(
        folder / "labels.nii.gz",
        LabelMap(((depth < 0) * VERSE_L2).astype(np.int16), grid, {Level.L2: VERSE_L2}, "verse"),
    )
    write_nifti(folder / "ct.nii.gz", Volume(hu.astype(np.float32), grid))
    call = ["plan", str(folder / "ct.nii.gz"), "--labels", str(folder / "labels.nii.gz"), "--dialect", "verse"]
    call += ["--level", "L2", "--procedure", "vertebroplasty", "--out", str(folder / "run"), "--json"]
    result = RUNNER.invoke(app, call)
    assert result.exit_code == 0, result.output
    return folder / "run"


def copied(planned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(planned, tmp_path / "run"))


def command(folder: Path, *more: str) -> Any:
    call = ["simulate", str(folder), "--dialect", "verse", "--voxel-mm", "2.5", "--cement-ml", str(ML), *more]
    return RUNNER.invoke(app, call)


@pytest.fixture(scope="module")
def simulated(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copied(planned, tmp_path_factory.mktemp("simulated"))
    result = command(folder, "--procedure", "vertebroplasty", "--quiet")
    assert result.exit_code == 0, result.output
    return folder


def test_the_folder_keeps_the_plan_and_gains_what_happened(simulated: Path) -> None:
    manifest = json.loads((simulated / "manifest.json").read_text())
    jsonschema.validate(manifest, read_schema("manifest"))
    assert manifest["command"] == "plan + simulate"
    names = {one["file"] for one in manifest["outputs"]}
    assert {"plan.json", "spine.json", "events.jsonl", "simulation.json", "pictures/cement_L2.png"} <= names
    assert {
        f"fluoro/L2_{view}_{share:03d}.png" for view in ("ap", "lateral") for share in (0, 25, 50, 75, 100)
    } <= names
    assert all((simulated / name).is_file() for name in names)
    assert not (simulated / STATE).exists()
    assert not list(simulated.glob(".partial-*"))
    used = {one["name"] for one in manifest["parameters"]}
    assert {"trunk_radius", "rate", "viscosity", "reference_permeability"} <= used


def test_events_and_summary_keep_their_schemas_and_agree(simulated: Path) -> None:
    document = json.loads((simulated / "simulation.json").read_text())
    jsonschema.validate(document, read_schema("simulation"))
    validator = jsonschema.Draft202012Validator(read_schema("events"))
    lines = [json.loads(line) for line in (simulated / "events.jsonl").read_text().splitlines()]
    for line in lines:
        validator.validate(line)
    level = document["levels"]["L2"]
    ended = [line["data"] for line in lines if line["kind"] == "injection_ended"]
    assert sum(one["injected_ml"] for one in ended) == pytest.approx(sum(level["injected_ml"].values()), rel=1e-4)
    assert sum(level["injected_ml"].values()) == pytest.approx(ML, rel=1e-6)
    assert level["heat"]["cement_peak_degc"] > 37.0
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "schema": "another"}, read_schema("simulation"))


def test_fields_have_their_own_place_in_the_patient(simulated: Path) -> None:
    image: Any = nibabel.load(simulated / "fields" / "L2" / "cement_fraction.nii.gz")
    fraction = np.asarray(image.dataobj)
    step = np.linalg.norm(image.affine[:3, :3], axis=0)
    assert np.allclose(step, 2.5, atol=1e-5)
    document = json.loads((simulated / "simulation.json").read_text())["levels"]["L2"]
    volume = float(fraction.sum()) * 2.5**3 / 1000.0
    assert volume == pytest.approx(ML - sum(document["leaked_ml"].values()), abs=0.02)
    places = np.argwhere(fraction > 0)
    middle = np.average(places, axis=0, weights=fraction[tuple(places.T)])
    ras = image.affine @ np.append(middle, 1.0)
    assert np.allclose(ras[:3] * [-1, -1, 1], document["centroid_lps_mm"], atol=0.5)


def test_the_same_seed_gives_the_same_files(planned: Path, simulated: Path, tmp_path: Path) -> None:
    again = copied(planned, tmp_path)
    case = SimulateCase(folder=again, dialect="verse", voxel_mm=2.5, cement_ml=ML, stills=False)
    simulate_case(case)
    for name in ("events.jsonl", "simulation.json"):
        assert (again / name).read_bytes() == (simulated / name).read_bytes()


class _Cancels:
    def __init__(self, looks: int) -> None:
        self.left = looks

    def begin(self, stage: str, steps: int | None = None) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def warn(self, sentence: str) -> None: ...

    def cancelled(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_cancelled_run_leaves_the_plan_as_it_was_and_can_be_resumed(planned: Path, tmp_path: Path) -> None:
    folder = copied(planned, tmp_path)
    before = (folder / "manifest.json").read_bytes()
    case = SimulateCase(folder=folder, dialect="verse", voxel_mm=2.5, cement_ml=ML, stills=False)
    with pytest.raises(InputError, match="go on with --resume"):
        simulate_case(case, _Cancels(12))
    assert (folder / "manifest.json").read_bytes() == before
    assert not (folder / "events.jsonl").exists()
    with pytest.raises(InputError, match="run with other inputs, settings or another version"):
        simulate_case(
            SimulateCase(folder=folder, dialect="verse", voxel_mm=2.5, cement_ml=0.7, resume=True, stills=False)
        )
    done = simulate_case(
        SimulateCase(folder=folder, dialect="verse", voxel_mm=2.5, cement_ml=ML, resume=True, stills=False)
    )
    kinds = [event.kind.value for event in done.state.stream()]
    assert "resumed" in kinds
    assert kinds[-1] == "cured"
    assert not (folder / STATE).exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--no-stop", "boredom"), "stop rule 'boredom' is not one of canal_filling"),
        (("--seal", "window"), "route 'window' is not one of basivertebral"),
        (("--cement", "pmma-medium-viscosty"), "did you mean 'pmma-medium-viscosity'"),
        (("--procedure", "kyphoplast"), "cannot be simulated"),
        (("--start-age-s", "5"), "outside its working time"),
        (("--voxel-mm", "7"), "outside 0.4-3.0 mm"),
    ],
)
def test_a_wrong_option_ends_in_one_sentence(
    planned: Path, tmp_path: Path, more: tuple[str, ...], sentence: str
) -> None:
    folder = copied(planned, tmp_path)
    result = command(folder, *more)
    assert result.exit_code == 1
    assert sentence in " ".join(result.output.split())
    assert not (folder / "events.jsonl").exists()


def test_a_folder_without_a_plan_or_with_other_images_is_refused(planned: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; give the folder that `vertecast plan --out` wrote"):
        simulate_case(SimulateCase(folder=tmp_path))
    folder = copied(planned, tmp_path)
    with pytest.raises(InputError, match="is not the ct that"):
        simulate_case(SimulateCase(folder=folder, ct=planned.parent / "labels.nii.gz"))
    with pytest.raises(InputError, match="does not exist any more"):
        simulate_case(SimulateCase(folder=folder, labels=tmp_path / "gone.nii.gz"))
    plan = json.loads((folder / "plan.json").read_text())
    plan["levels"]["L2"]["procedure"] = "kyphoplasty"
    (folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(InputError, match="was planned for kyphoplasty, not vertebroplasty"):
        simulate_case(SimulateCase(folder=folder, dialect="verse"))
    plan["levels"]["L2"] |= {"procedure": "vertebroplasty", "plans": []}
    (folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(InputError, match="holds no safe needle path"):
        simulate_case(SimulateCase(folder=folder, dialect="verse"))
    (folder / "plan.json").write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        simulate_case(SimulateCase(folder=folder, dialect="verse"))
