"""Proves: ``simulate --procedure kyphoplasty`` continues a plan, writes lift, fields and pictures, and refuses.

One analytic L2 without neighbours at 3 mm: nothing is lost, so there is no band, and the run says so.
"""

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

from vertecast.cli import app
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.imaging.write import write_nifti
from vertecast.pipeline.simulate import SimulateCase, simulate_case
from vertecast.spine.phantom.arch import arch_parts
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.levels import normal_shape

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plan a kyphoplasty of one analytic L2 and return its run folder."""
    folder = tmp_path_factory.mktemp("case")
    shape, spacing = normal_shape(Level.L2), 1.5
    counts = (68, 74, 56)
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = (-50.5, -33.0, -41.0)
    grid = Grid.from_affine(counts, matrix)
    x, y, z = np.moveaxis(grid.to_lps(np.moveaxis(np.indices(counts), 0, -1)).astype(np.float32), -1, 0)
    parts = [Body(shape).part(), *arch_parts(shape)]
    depth = np.minimum.reduce([part.distance(x, y, z) for part in parts])
    hu = np.where(depth < 0, np.where(depth > -1.5, 500.0, 90.0), 40.0)
    hu = ndimage.gaussian_filter(hu, 0.5) + np.random.default_rng(1).normal(0.0, 15.0, counts)
    labels = LabelMap(((depth < 0) * 21).astype(np.int16), grid, {Level.L2: 21}, "verse")
    write_nifti(folder / "labels.nii.gz", labels)
    write_nifti(folder / "ct.nii.gz", Volume(hu.astype(np.float32), grid))
    call = ["plan", str(folder / "ct.nii.gz"), "--labels", str(folder / "labels.nii.gz"), "--dialect", "verse"]
    call += ["--level", "L2", "--procedure", "kyphoplasty", "--out", str(folder / "run"), "--json"]
    result = RUNNER.invoke(app, call)
    assert result.exit_code == 0, result.output
    return folder / "run"


def command(folder: Path, *more: str) -> Any:
    call = ["simulate", str(folder), "--dialect", "verse", "--voxel-mm", "3", "--cement-ml", "0.8", *more]
    return RUNNER.invoke(app, call)


@pytest.mark.slow
def test_a_lift_is_simulated_and_written(planned: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(planned, tmp_path / "run"))
    case = SimulateCase(
        folder=folder, procedure="kyphoplasty", dialect="verse", voxel_mm=3.0, cement_ml=0.8, balloon_ml=1.2,
        rules_off=("cortex_distance", "canal_distance", "endplate_distance"), stills=False,
    )  # fmt: skip
    document = simulate_case(case).document
    schema = json.loads(resources.files("vertecast.data").joinpath("schema/simulation.schema.json").read_text("utf-8"))
    jsonschema.validate(document, schema)
    assert document["procedure"] == "kyphoplasty"
    lift = document["levels"]["L2"]["lift"]
    assert lift["curve"]
    assert set(lift["moments"]) == {"standing", "prone", "inflated", "deflated"}
    assert lift["measured"]["inflated"]["heights_mm"]["middle"] > 20.0
    assert lift["density_mg_cm3"]["mapped_from_neighbours"] is None
    for file in ("pictures/balloon_L2.png", "fields/L2/cavity_inflated.nii.gz", "fields/L2/compaction.nii.gz"):
        assert (folder / file).stat().st_size > 1000
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert any("no intact neighbour" in sentence for sentence in manifest["warnings"])


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--procedure", "kyphoplasty", "--tool", "nothing"), "is not in the catalogue"),
        (("--procedure", "kyphoplasty", "--no-stop", "nothing"), "stop rule 'nothing'"),
        (("--procedure", "vertebroplasty"), "was planned for kyphoplasty"),
        (("--procedure", "vertebroplasty", "--balloon-ml", "2"), "uses no cavity tool"),
        (("--procedure", "surgery"), "cannot be simulated"),
    ],
)
def test_a_wrong_option_ends_in_one_sentence(planned: Path, tmp_path: Path, more: Any, sentence: str) -> None:
    folder = Path(shutil.copytree(planned, tmp_path / "run"))
    result = command(folder, *more)
    assert result.exit_code != 0
    assert sentence in " ".join(result.output.split())
