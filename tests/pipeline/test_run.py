"""Proves ``run``: whole folders, the same twice, unchanged stages kept, a killed run resumed to the same end, refusals.

The whole matrix of kills and the whole of a report are slow; here one kill at a boundary and one inside a stage.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import nibabel
import numpy as np
import pytest

from vertecast.cli.info import read_schema
from vertecast.core.errors import GeometryError, InputError, ParameterError
from vertecast.core.levels import Level
from vertecast.core.parameters import data_file
from vertecast.pipeline import extras, run_stages
from vertecast.pipeline import run as run_module
from vertecast.pipeline.case import Case, made_case, read_case
from vertecast.pipeline.manifest import without_folders
from vertecast.pipeline.phantom import CT, LABELS, PhantomCase, phantom_case
from vertecast.pipeline.run import run_case
from vertecast.pipeline.stage_store import STAGES, package_digest, require_mine

pytestmark = pytest.mark.xdist_group("run")
FIRST_FOUR = ("measure", "indicate", "plan", "simulate")
JSON = ("spine.json", "indication.json", "plan.json", "plan.mrk.json", "simulation.json", "events.jsonl")


class Counts:
    """A run's observer that keeps what it is told."""

    def __init__(self) -> None:
        self.done: list[tuple[str, bool]] = []
        self.said: list[str] = []
        self.ahead: list[tuple[float, ...]] = []

    def enter(self, stage: str, number: int, ahead: tuple[float, ...]) -> None:
        self.ahead.append(ahead)

    def leave(self, stage: str, seconds: float, peak_memory_mib: float, *, reused: bool) -> None:
        self.done.append((stage, reused))

    def begin(self, stage: str, steps: int | None = None) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def warn(self, sentence: str) -> None:
        self.said.append(sentence)

    def cancelled(self) -> bool:
        return False


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the images of the smallest phantom: L2 alone, 3 mm."""
    folder = tmp_path_factory.mktemp("images")
    phantom_case(PhantomCase(first=Level.L2, last=Level.L2, spacing_mm=3.0, slice_mm=3.0), folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _small_and_still() -> Iterator[pytest.MonkeyPatch]:
    """Run without pictures and the report, of a package that nobody edits meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        kept = tuple(one for one in run_stages.STAGES_IN_ORDER if one.name in FIRST_FOUR)
        patch.setattr(run_module, "STAGES_IN_ORDER", kept)
        patch.setattr(run_module, "package_digest", lambda: "this one")
        patch.setitem(extras.EXTRAS, "report", ("no_such_module",))
        yield patch


def small(images_of: Path, **more: Any) -> Case:
    images = {"ct": images_of / CT, "labels": images_of / LABELS, "levels": (Level.L2,)}
    usual = {"procedure": "vertebroplasty", "voxel_mm": 3.0, "cement_ml": 0.8}
    return Case(**{**images, **usual, **more})


@pytest.fixture(scope="module")
def whole(patient: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counts]:
    """Run the case once, without a break."""
    out, seen = tmp_path_factory.mktemp("whole") / "run", Counts()
    run_case(small(patient), out, seen)
    return out, seen


def contents(folder: Path) -> dict[str, Any]:
    """Return what two runs of one case must share: every JSON byte for byte, the manifest but for ``run``."""
    found: dict[str, Any] = {name: (folder / name).read_bytes() for name in JSON}
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("run")
    return {**found, "manifest": manifest}


def copied(whole: tuple[Path, Counts], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole[0], tmp_path / "run"))


def test_the_folder_is_whole_and_keeps_its_schemas(whole: tuple[Path, Counts]) -> None:
    folder, seen = whole
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("manifest", "spine", "indication", "plan", "simulation"):
        jsonschema.validate(json.loads((folder / f"{name}.json").read_text()), read_schema(name))
    assert manifest["command"] == "run"
    assert manifest["case_id"].startswith("case-")
    assert (manifest["dialect"], manifest["series"], manifest["seed"]) == ("auto", None, 0)
    listed = {one["file"] for one in manifest["outputs"]}
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and STAGES not in p.parts}
    assert listed == there
    stages = manifest["run"]["stages"]
    assert [one["name"] for one in stages] == list(FIRST_FOUR)
    assert all(one["seconds"] > 0 and one["peak_memory_mib"] > 100 for one in stages)
    assert [reused for _, reused in seen.done] == [False] * 4
    assert [len(ahead) for ahead in seen.ahead] == [4, 3, 2, 1]
    assert all(one["source"] for one in manifest["parameters"])


def test_neighbours_and_a_patient_that_are_missing_are_said_and_the_indication_cannot_be_decided(
    whole: tuple[Path, Counts],
) -> None:
    folder, seen = whole
    said = " ".join(json.loads((folder / "manifest.json").read_text())["warnings"])
    assert "L2: L1, the vertebra above it, is not in the labels" in said
    assert "L2: L3, the vertebra below it, is not in the labels" in said
    assert "no patient record was given: the indication cannot be decided" in said
    assert all(any(part in one for one in seen.said) for part in ("L1, the vertebra above", "no patient record"))
    selection = json.loads((folder / "indication.json").read_text())["levels"]["L2"]["selection"]
    assert selection["procedure"] is None
    assert "cannot decide" in selection["reasons"]["sentence"]


def test_nothing_is_done_again_when_nothing_changed(whole: tuple[Path, Counts], patient: Path, tmp_path: Path) -> None:
    folder, seen = copied(whole, tmp_path), Counts()
    again = run_case(small(patient), folder, seen)
    assert [reused for _, reused in seen.done] == [True] * 4
    assert set(again.reused) == set(FIRST_FOUR)
    assert contents(folder) == contents(whole[0])
    (folder / "plan.json").write_text("{}")
    seen = Counts()
    run_case(small(patient), folder, seen)
    assert [reused for _, reused in seen.done] == [True, True, False, True], "a damaged file is written again"
    assert contents(folder) == contents(whole[0])


def test_another_cement_volume_leaves_the_earlier_stages_alone(
    whole: tuple[Path, Counts], patient: Path, tmp_path: Path
) -> None:
    folder = copied(whole, tmp_path)
    before = (folder / "plan.json").stat().st_mtime_ns
    again = run_case(small(patient, cement_ml=0.5), folder)
    assert set(again.reused) == {"measure", "indicate", "plan"}
    assert (folder / "plan.json").stat().st_mtime_ns == before
    document = json.loads((folder / "simulation.json").read_text())
    assert document["session"]["cement_ml"] == pytest.approx(0.5, rel=1e-3)
    assert contents(folder) != contents(whole[0]), "what is compared below can differ"


def test_a_stage_that_fails_leaves_the_earlier_ones_and_says_what_to_do(
    whole: tuple[Path, Counts], patient: Path, tmp_path: Path
) -> None:
    folder = copied(whole, tmp_path)
    with pytest.raises(InputError, match="stop rule 'boredom' is not one of") as caught:
        run_case(small(patient, no_stop=("boredom",)), folder)
    note = " ".join(caught.value.__notes__)
    assert "stage simulate was not done; measure, indicate, plan is kept" in note
    assert "vertecast run --resume --out" in note
    assert "vertecast report" in note
    manifest = json.loads((folder / "manifest.json").read_text())
    assert all((folder / one["file"]).is_file() for one in manifest["outputs"])
    assert not (folder / "simulation.json").exists(), "of another case: it must not stand beside this plan"
    assert set(run_case(small(patient), folder).reused) == {"measure", "indicate", "plan"}
    assert contents(folder) == contents(whole[0])


KILLED = """
import os, signal, sys
from pathlib import Path
from vertecast.core.observer import SILENT_RUN
from vertecast.pipeline import extras, folder, run
from vertecast.pipeline.case import made_case, read_case

case, out, when, stages = read_case(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3], sys.argv[4].split(",")
run.STAGES_IN_ORDER = tuple(one for one in run.STAGES_IN_ORDER if one.name in stages)
run.package_digest = lambda: "this one"
if "report" not in stages:
    extras.EXTRAS["report"] = ("no_such_module",)
count = 0

def tick(name):
    global count
    count += name == "call"
    if when == name or when == f"call {count}":
        os.kill(os.getpid(), signal.SIGKILL)

class Deadly(type(SILENT_RUN)):
    def enter(self, stage, number, ahead): tick(f"enter {number}")
    def leave(self, stage, *cost, reused): tick(f"leave {stage}")
    def begin(self, stage, steps=None): tick("call"); tick(f"begin {stage}")
    def advance(self, steps=1): tick("call")

move = folder.Path.replace
def replace(self, target):
    if when == f"publish {Path(target).name}":
        os.kill(os.getpid(), signal.SIGKILL)
    return move(self, target)
folder.Path.replace = replace
run.run_case(made_case(case), out, Deadly(), resume=len(sys.argv) > 5)
print("calls", count)
"""


def ran_until(case: Case, out: Path, when: str, stages: tuple[str, ...] = FIRST_FOUR, *more: str) -> str:
    """Run in a process of its own that kills itself at a moment; return what it printed, empty when it was killed."""
    file = out.parent / "case.json"
    file.write_text(json.dumps(case.as_json()))
    call = [sys.executable, "-c", KILLED, str(file), str(out), when, ",".join(stages), *more]
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "NUMBA_NUM_THREADS": "1"})
    assert done.returncode in (0, -9), done.stderr
    return done.stdout


@pytest.mark.parametrize("when", ["leave Planning the needles", "publish simulation.json"])
def test_killed_and_resumed_ends_the_same(whole: tuple[Path, Counts], patient: Path, tmp_path: Path, when: str) -> None:
    out = tmp_path / "run"
    assert ran_until(small(patient), out, when) == ""
    assert not (out / "events.jsonl").exists() or when.startswith("publish")
    manifest = json.loads((out / "manifest.json").read_text())
    assert all((out / one["file"]).is_file() for one in manifest["outputs"]), "what it lists is there"
    resumed = run_case(made_case(read_case(out / run_module.CASE)), out, resume=True)
    assert {"measure", "indicate"} <= set(resumed.reused)
    assert contents(out) == contents(whole[0])
    assert not list(out.glob(".partial-*"))


@pytest.mark.slow
def test_killed_at_every_boundary_and_at_three_seeded_moments(patient: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole" / "run"
    whole.parent.mkdir()
    case = small(patient)
    stages = tuple(one.name for one in run_stages.STAGES_IN_ORDER)
    calls = int(ran_until(case, whole, "never", stages).split()[1])
    moments = sorted(random.Random(8).sample(range(1, calls + 1), 3))
    boundaries = [f"leave {one.does}" for one in run_stages.STAGES_IN_ORDER]
    for number, when in enumerate([*boundaries, *(f"call {n}" for n in moments)]):
        out = tmp_path / str(number) / "run"
        out.parent.mkdir()
        assert ran_until(case, out, when, stages) == "", when
        assert ran_until(case, out, "never", stages, "--resume") != "", when
        assert contents(out) == contents(whole), when
        for extra in ("outcome.json", "export/bundle.fhir.json", "export/measurements.csv"):
            assert (out / extra).read_bytes() == (whole / extra).read_bytes(), f"{extra} after {when}"
        shutil.rmtree(out)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["begin L2: inflating", "begin L2: letting go", "begin Curing L2"])
def test_a_killed_kyphoplasty_goes_on_to_the_same_end(whole_lift: tuple[Case, Path], tmp_path: Path, when: str) -> None:
    case, folder = whole_lift
    out = tmp_path / "run"
    assert ran_until(case, out, when) == ""
    kept = sorted(file.name for file in (out / STAGES).glob("procedure*.npz"))
    step = {"begin L2: inflating": "place", "begin L2: letting go": "inflate"}.get(when, "deflate")
    assert kept == ["procedure.npz", f"procedure_L2_{step}.npz"]
    assert ran_until(case, out, "never", FIRST_FOUR, "--resume") != ""
    assert contents(out) == contents(folder)
    for file in (folder / "fields" / "L2").glob("*.nii.gz"):
        again = nibabel.load(out / "fields" / "L2" / file.name)
        assert np.array_equal(np.asarray(nibabel.load(file).dataobj), np.asarray(again.dataobj), equal_nan=True), file
    assert not list((out / STAGES).glob("procedure*.npz"))


@pytest.fixture(scope="module")
def whole_lift(patient: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Path]:
    """Run a kyphoplasty without a break."""
    rules = ("cortex_distance", "canal_distance", "endplate_distance")
    case = small(patient, procedure="kyphoplasty", balloon_ml=1.2, no_stop=rules)
    out = tmp_path_factory.mktemp("lift") / "run"
    assert ran_until(case, out, "never") != ""
    return case, out


def test_paths_typed_from_elsewhere_are_kept_whole_and_no_folder_is_in_what_two_runs_share(
    whole: tuple[Path, Counts], patient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder's report, made later and from elsewhere, finds the CT; a warning names a file, not where it lies."""
    from vertecast.report.case_report_run import read_run_folder

    folder = copied(whole, tmp_path)
    monkeypatch.chdir(patient)
    run_case(small(patient, ct=Path(CT), labels=Path(LABELS)), folder)
    monkeypatch.chdir(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["run"]["paths"] == {"ct": str(patient / CT), "labels": str(patient / LABELS)}
    assert read_run_folder(folder).input_path("ct") == (patient / CT, "")
    assert contents(folder) == contents(whole[0])
    assert without_folders([f"{patient / CT}: thick", "L2: thick"], {"ct": patient / CT}) == [
        f"{CT}: thick",
        "L2: thick",
    ]
    monkeypatch.chdir(patient.parent)
    typed = Path(patient.name) / CT
    assert without_folders([f"{typed}: thick", f"{patient / CT}: thick"], {"ct": typed}) == [f"{CT}: thick"]


def test_two_runs_in_one_folder_are_refused(whole: tuple[Path, Counts], patient: Path, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path)

    class Again(Counts):
        def leave(self, stage: str, seconds: float, peak_memory_mib: float, *, reused: bool) -> None:
            with pytest.raises(InputError, match="is in use by another run; wait for it, or give another --out"):
                run_case(small(patient), folder)
            super().leave(stage, seconds, peak_memory_mib, reused=reused)

    seen = Again()
    run_case(small(patient), folder, seen)
    assert len(seen.done) == 4


def test_a_run_without_its_kept_stages_begins_anew(whole: tuple[Path, Counts], tmp_path: Path) -> None:
    folder = copied(whole, tmp_path)
    shutil.rmtree(folder / STAGES)
    (folder / "note.txt").write_text("the user's own")
    require_mine(folder)
    assert [one.name for one in folder.rglob("*") if one.is_file()] == ["note.txt"]


def test_a_folder_of_other_commands_is_refused(patient: Path) -> None:
    with pytest.raises(InputError, match="holds results of other commands; give `vertecast run` a folder of its own"):
        run_case(small(patient), patient)
    with pytest.raises(InputError, match="is a file; give a folder for the results with --out"):
        run_case(small(patient), patient / CT)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": None}, "not labelled; segment them first .* TotalSegmentator .* VerSe .* SPINEPS .* DICOM SEG"),
        ({"labels": Path("gone.nii.gz")}, "labels: gone.nii.gz does not exist. If .* TotalSegmentator"),
        ({"ct": Path("gone.nii.gz")}, "ct: gone.nii.gz does not exist; check the path"),
        ({"patient": Path("gone.toml")}, "patient: gone.toml does not exist"),
        ({"levels": ()}, "no level was given; name one or more with --level"),
        ({"levels": (Level.L2, Level.L2)}, "name one twice; give each level once"),
        ({"procedure": "balloon"}, "procedure 'balloon' is not one of auto, vertebroplasty"),
        ({"cement": "gypsum"}, "device 'gypsum' is not in the catalogue"),
        ({"needle": "99G"}, "device '99G' is not in the catalogue"),
        ({"tool": "xpander-15/3"}, "a vertebroplasty uses no cavity tool; leave --tool"),
    ],
)
def test_a_bad_case_is_refused_before_anything_begins(patient: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises((InputError, ParameterError), match=sentence):
        small(patient, **change)


def test_a_level_that_is_not_labelled_is_named(patient: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"level L4 is not in labels.nii.gz; present are L2"):
        run_case(replace(small(patient), levels=(Level.L4,)), tmp_path / "run")


def test_a_level_that_is_cemented_already_is_refused(patient: Path, tmp_path: Path) -> None:
    image = nibabel.load(patient / CT)
    hu = np.asarray(image.dataobj).copy()
    body = np.argwhere(np.asarray(nibabel.load(patient / "subregions.nii.gz").dataobj) >= 49)
    near = np.linalg.norm((body - body.mean(axis=0)) * 3.0, axis=1) < 11.0
    hu[tuple(body[near].T)] = 2500
    nibabel.Nifti1Image(hu, image.affine, image.header).to_filename(tmp_path / "ct.nii.gz")
    with pytest.raises(GeometryError, match=r"L2 already holds cement or metal.*leave this level out") as caught:
        run_case(small(patient, ct=tmp_path / "ct.nii.gz"), tmp_path / "run")
    assert "measure, indicate is kept" in caught.value.__notes__[-1]
    assert (tmp_path / "run" / "indication.json").is_file()


def test_what_cannot_be_made_here_is_said_at_the_start(
    whole: tuple[Path, Counts], patient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vertecast.pipeline import report

    monkeypatch.setitem(report._LOADED, "report.pdf", ("no_such_library", "install libpango-1.0-0"))
    seen = Counts()
    run_case(small(patient), copied(whole, tmp_path), seen)
    assert seen.said[0].startswith("pictures will be left out: install the extra with: pip install 'vertecast[report]'")
    pdf = next(one for one in seen.said if one.startswith("report.pdf will be left out: a system library is missing"))
    assert "install libpango-1.0-0" in pdf


def test_auto_takes_what_the_indication_proposes_and_says_why(
    whole: tuple[Path, Counts], patient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, record = copied(whole, tmp_path), tmp_path / "patient.toml"
    text = data_file("phantom/patient.toml").read_text(encoding="utf-8")
    record.write_text(text.replace("[levels.L1]", "[levels.L2]"), encoding="utf-8")
    monkeypatch.setattr(run_module, "STAGES_IN_ORDER", run_module.STAGES_IN_ORDER[:3])
    ran = run_case(small(patient, procedure="auto", patient=record), folder)
    assert ran.reused == ("measure",)
    selection = json.loads((folder / "indication.json").read_text())["levels"]["L2"]["selection"]
    planned = json.loads((folder / "plan.json").read_text())["levels"]["L2"]
    assert planned["procedure"] == selection["procedure"] == "kyphoplasty"
    assert planned["procedure_reason"] == f"proposed by the indication: {selection['reasons']['sentence']}"


def test_levels_of_different_procedures_are_one_sentence(tmp_path: Path) -> None:
    levels = {"L1": {"procedure": "kyphoplasty"}, "L3": {"procedure": "vertebroplasty"}}
    (tmp_path / "plan.json").write_text(json.dumps({"levels": levels}))
    with pytest.raises(InputError, match=r"L1 for kyphoplasty, L3 for vertebroplasty\); choose one with --procedure"):
        run_stages.planned_procedure(tmp_path)


def test_another_package_is_another_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from vertecast.pipeline import stage_store

    (tmp_path / "vertecast" / "data").mkdir(parents=True)
    (tmp_path / "vertecast" / "law.py").write_text("RATE = 1")
    monkeypatch.setattr(stage_store, "data_file", lambda name: tmp_path / "vertecast" / "data" / name)
    before = package_digest()
    assert package_digest() == before
    (tmp_path / "vertecast" / "law.py").write_text("RATE = 2")
    assert package_digest() != before


def test_a_case_file_is_read_and_what_is_wrong_in_it_is_named(patient: Path, tmp_path: Path) -> None:
    file = tmp_path / "case.toml"
    file.write_text(f'ct = "{patient / CT}"\nlabels = "{patient / LABELS}"\nlevels = ["l2"]\nout = "run"\nseed = 3\n')
    given = read_case(file)
    assert given.pop("out") == tmp_path / "run"
    case = made_case(given)
    assert (case.levels, case.seed, case.procedure) == ((Level.L2,), 3, "auto")
    (tmp_path / "case.json").write_text(json.dumps(case.as_json()))
    assert made_case(read_case(tmp_path / "case.json")) == replace(
        case, ct=case.ct.resolve(), labels=(patient / LABELS).resolve()
    )
    for text, sentence in (
        ('levls = ["L1"]', "a case has no 'levls'; did you mean 'levels'"),
        ('levels = "L1"', "levels = 'L1' should be a list"),
        ("voxel_mm = true", "voxel_mm = True should be a int or float"),
        ("ct = [", "is not valid TOML"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=sentence):
            read_case(file)
    with pytest.raises(InputError, match="does not exist; write a case file"):
        read_case(tmp_path / "gone.toml")
