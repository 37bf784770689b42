"""Proves: ``assess_case`` turns a run folder into a checked ``outcome.json``, twice the same; bad input is refused.

A phantom of L1 to L3 at 3 mm with a wedge fracture of L2; in place of the simulated cement a ball of it, left of the
middle, on the site that ``simulate`` would have made.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from vertecast.cli.info import read_schema
from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, SilentObserver
from vertecast.imaging.calibration import fallback_calibration
from vertecast.imaging.match import matched_labels
from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import Volume
from vertecast.imaging.write import write_nifti
from vertecast.pipeline.assess import AssessCase, assess_case
from vertecast.pipeline.folder import write_json
from vertecast.pipeline.manifest import Record
from vertecast.procedure.site import make_site
from vertecast.report.case_report_outcome import adjacent_section, mechanics_section, population_section
from vertecast.report.case_report_run import read_run_folder
from vertecast.spine.fracture.fracture import fracture_vertebra
from vertecast.spine.fracture.spec import FractureSpec
from vertecast.spine.measure import measure_spine
from vertecast.spine.measurement import SpineMeasurement
from vertecast.spine.phantom.phantom import make_phantom
from vertecast.spine.phantom.spec import Scan, default_spec

LEVEL = Level.L2


def put_cement(run: Path, level: Level, spine: SpineMeasurement, volume: Volume) -> dict[str, Any]:
    """Write the fields of a level with a ball of cement left of its middle; return its part of the summary."""
    fields = run / "fields" / str(level)
    fields.mkdir(parents=True)
    around = [one.anatomy for one in spine.vertebrae if one.anatomy is not None and one.level is not level]
    site = make_site(spine[level], around, volume, fallback_calibration(), voxel_mm=3.0)
    x, y, z = np.meshgrid(*site.lines, indexing="ij")
    pores = np.where(site.own, 0.8, 0.0)
    cement = pores * ((x - 3.0) ** 2 + y**2 + z**2 < 10.0**2) * site.body
    for stem, values in {
        "regions": site.regions,
        "density_k2hpo4_mg_cm3": 1000.0 * site.density,
        "cement_fraction": cement.astype(np.float32),
        "pore_fraction": pores.astype(np.float32),
    }.items():
        write_nifti(fields / f"{stem}.nii.gz", np.asarray(values), site.grid)
    return {
        "voxel_mm": 3.0,
        "calibrated": False,
        "injected_ml": {"left": float(cement.sum()) * 0.027},
        "leaked_ml": {"segmental": 0.1},
        "leak_onset_s": {"segmental": 320.0},
        "sealed_routes": [],
    }


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder as measure, plan and simulate leave it, as far as the assessment reads it."""
    folder = tmp_path_factory.mktemp("case")
    phantom = make_phantom(default_spec(Level.L1, Level.L3, scan=Scan(spacing_mm=(3.0, 3.0, 3.0))), seed=5)
    done = fracture_vertebra(phantom.volume, phantom.labels, LEVEL, FractureSpec.wedge(0.35))
    write_nifti(folder / "ct.nii.gz", done.volume)
    write_nifti(folder / "labels.nii.gz", done.labels)
    volume = read_volume(folder / "ct.nii.gz")
    labels = matched_labels(read_labels(folder / "labels.nii.gz"), volume, name="labels")
    spine = measure_spine(labels, volume)
    run = folder / "run"
    run.mkdir()
    write_json(run / "spine.json", spine.as_json())
    found = [put_cement(run, level, spine, volume) for level in (LEVEL, Level.L1)]
    write_json(run / "two_levels.json", dict(zip((str(LEVEL), "L1"), found, strict=True)))
    ml = found[0]["injected_ml"]["left"]
    session = {"duration_s": 900.0, "cement_ml": ml, "leaked_ml": 0.1}
    write_json(
        run / "simulation.json", {"procedure": "vertebroplasty", "levels": {str(LEVEL): found[0]}, "session": session}
    )
    record = Record("plan + simulate", SILENT, inputs={one: folder / f"{one}.nii.gz" for one in ("ct", "labels")})
    write_json(run / "manifest.json", record.manifest({"spine.json": "measured"}))
    (folder / "patient.toml").write_text("[person]\nweight_kg = 62\nheight_cm = 161\n", encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def assessed(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(simulated, tmp_path_factory.mktemp("assessed") / "run"))
    assess_case(AssessCase(folder=folder, patient=simulated.parent / "patient.toml"))
    return folder


def outcome(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    return content


def test_outcome_and_manifest_follow_their_schemas(assessed: Path) -> None:
    jsonschema.validate(outcome(assessed), read_schema("outcome"))
    manifest = json.loads((assessed / "manifest.json").read_text(encoding="utf-8"))
    jsonschema.validate(manifest, read_schema("manifest"))
    assert "outcome.json" in {one["file"] for one in manifest["outputs"]}
    assert {"Reading the run", "Testing L2"} <= {one["name"] for one in manifest["run"]["stages"]}
    sources = {one["name"]: one["source"] for one in manifest["parameters"]}
    assert {"compensation", "cement_modulus", "daily_peak", "nucleus_modulus", "model_error"} <= sources.keys()


def test_fracture_takes_stiffness_and_cement_gives_some_back(assessed: Path) -> None:
    mechanics = outcome(assessed)["levels"]["L2"]["mechanics"]
    stiffness = {arm: one["value"] for arm, one in mechanics["stiffness_n_mm"].items()}
    assert stiffness["fractured"] < 0.95 * stiffness["before"]
    assert stiffness["after"] > 1.05 * stiffness["fractured"]
    for name in ("strength_von_mises_n", "strength_crushable_foam_n"):
        assert mechanics[name]["after"]["value"] > mechanics[name]["fractured"]["value"]
        assert mechanics[name]["after"]["low"] < mechanics[name]["after"]["value"]
    gain = mechanics["after_over_fractured_ratio"]["stiffness"]
    assert gain["low"] <= gain["value"] <= gain["high"]


def test_kyphosis_of_the_fracture_raises_the_load_and_cement_alone_leaves_it(assessed: Path) -> None:
    level = outcome(assessed)["levels"]["L2"]
    load = {arm: one["value"] for arm, one in level["mechanics"]["load_n"]["standing"].items()}
    assert load["before"] < load["fractured"] == load["after"]
    for name, where in (("L1", "above"), ("L3", "below")):
        one = level["adjacent_levels"][name]
        assert one["where"] == where
        pressure = {arm: q["value"] for arm, q in one["disc_pressure_standing_mpa"].items()}
        assert pressure["posture_only"] == pytest.approx(pressure["fractured"])
        assert one["change_by_posture_after_percent"]["value"] == 0.0
        assert one["change_by_fracture_kyphosis_percent"]["value"] > abs(
            3.0 * one["change_by_cement_percent"]["disc_pressure"]["value"]
        )


def test_cement_lies_where_it_was_put(assessed: Path) -> None:
    cement = outcome(assessed)["levels"]["L2"]["cement"]
    assert cement["share_at_left_percent"]["value"] > 60.0
    assert cement["volume_in_body_ml"]["value"] == pytest.approx(cement["volume_injected_ml"]["value"], rel=0.02)


def test_the_report_shows_all_of_it(assessed: Path) -> None:
    run = read_run_folder(assessed)
    texts = [str(section(run).blocks) for section in (mechanics_section, adjacent_section, population_section)]
    assert "stiffness" in texts[0]
    assert "Posture alone" in texts[1]
    assert all(word in texts[2] for word in ("INVEST", "VAPOUR", "no number is known", "No operation"))


def test_two_assessments_are_the_same_and_replace_each_other(assessed: Path, simulated: Path) -> None:
    before = (assessed / "outcome.json").read_bytes()
    stages = [one["name"] for one in json.loads((assessed / "manifest.json").read_text())["run"]["stages"]]
    assess_case(AssessCase(folder=assessed, patient=simulated.parent / "patient.toml"))
    assert (assessed / "outcome.json").read_bytes() == before
    manifest = json.loads((assessed / "manifest.json").read_text())
    assert [one["name"] for one in manifest["run"]["stages"]] == stages


def test_without_the_patient_and_without_a_neighbour_it_says_so(simulated: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(simulated, tmp_path / "run"))
    spine = json.loads((folder / "spine.json").read_text())
    cut = next(one for one in spine["vertebrae"] if one["level"] == "L3")
    cut["flags"].append("cut_by_border")
    own = next(one for one in spine["vertebrae"] if one["level"] == "L2")
    own["height_loss_percent"]["reference"]["levels"] = ["L2"]  # its own earlier CT
    write_json(folder / "spine.json", spine)
    assess_case(folder)
    level = outcome(folder)["levels"]["L2"]
    jsonschema.validate(outcome(folder), read_schema("outcome"))
    standing = level["mechanics"]["load_n"]["standing"]["fractured"]
    assert standing["value"] is None
    assert standing["reason"].startswith("body weight and height not given; over the usual range of the population")
    assert level["mechanics"]["load_to_strength_ratio"]["highest_of_daily_telemetry"]["after"]["value"] > 0
    below = level["adjacent_levels"]["L3"]["disc_pressure_standing_mpa"]["after"]
    assert below == {"value": None, "reason": "the body of L3 is cut by the border of the scan"}
    assert level["adjacent_levels"]["L1"]["change_by_cement_percent"]["disc_pressure"]["value"] is not None
    assert level["mechanics"]["stiffness_n_mm"]["before"]["value"] is not None  # by L1, the nearest without loss


def test_two_levels_in_one_session_point_to_each_other(simulated: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(simulated, tmp_path / "run"))
    simulation = json.loads((folder / "simulation.json").read_text())
    simulation["levels"] = json.loads((folder / "two_levels.json").read_text())
    simulation["session"]["cement_ml"] *= 2
    write_json(folder / "simulation.json", simulation)
    assess_case(folder)
    content = outcome(folder)
    jsonschema.validate(content, read_schema("outcome"))
    assert set(content["levels"]) == {"L1", "L2"}
    above = content["levels"]["L2"]["adjacent_levels"]["L1"]["disc_pressure_standing_mpa"]["after"]
    assert above["reason"] == "L1 is treated in the same session; its own entry tells its state"
    outside = content["levels"]["L1"]["adjacent_levels"]["T12"]["disc_pressure_standing_mpa"]["after"]
    assert "T12, is not labelled or outside the scan" in outside["reason"]
    warnings = json.loads((folder / "manifest.json").read_text())["warnings"]
    assert any("L1: the level above is not assessed" in one for one in warnings)
    assert content["session"]["cement_ml"] == simulation["session"]["cement_ml"]


def test_another_voxel_is_said_and_changes_stiffness_little(simulated: Path, assessed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(simulated, tmp_path / "run"))
    assess_case(AssessCase(folder=folder, voxel_mm=4.0))
    levels = [outcome(one)["levels"]["L2"] for one in (folder, assessed)]
    assert [one["voxel_mm"] for one in levels] == [4.0, 3.0]
    coarse, fine = (one["mechanics"]["stiffness_n_mm"]["before"]["value"] for one in levels)
    assert coarse == pytest.approx(fine, rel=0.2)
    with pytest.raises(InputError, match=r"voxel_mm = 0.1 is outside 0.5 to 4 mm"):
        AssessCase(folder=folder, voxel_mm=0.1)


class Cancels(SilentObserver):
    """Cancels at once."""

    def cancelled(self) -> bool:
        return True


def test_a_cancelled_assessment_writes_nothing(simulated: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(simulated, tmp_path / "run"))
    with pytest.raises(InputError, match="was cancelled and nothing was written"):
        assess_case(folder, Cancels())
    assert not (folder / "outcome.json").exists()


def _drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _other_density(folder: Path) -> None:
    from vertecast.imaging.limits import load_limits
    from vertecast.imaging.nifti import read_nifti

    path = folder / "fields" / "L2" / "density_k2hpo4_mg_cm3.nii.gz"
    raster = read_nifti(path, load_limits())
    write_nifti(path, np.asarray(raster.array) * 1.3, raster.grid)


def _other_ct(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["run"]["paths"]["ct"] = manifest["run"]["paths"]["labels"]
    write_json(folder / "manifest.json", manifest)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop("spine.json"), "`vertecast plan` writes it"),
        (_drop("simulation.json"), "`vertecast simulate` writes it"),
        (_drop("fields/L2/pore_fraction.nii.gz"), "the run has no field pore_fraction"),
        (_other_density, "give the calibration that it was run with"),
        (_other_ct, "is not the ct of"),
        (lambda folder: (folder / "spine.json").write_text("{"), "is not valid JSON"),
    ],
)
def test_bad_input_is_refused(simulated: Path, tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    folder = Path(shutil.copytree(simulated, tmp_path / "run"))
    damage(folder)
    with pytest.raises(InputError, match=message):
        assess_case(folder)
    assert not (folder / "outcome.json").exists()
