"""Proves ``run`` as a user types it: refusals in one sentence, a case file, bars and last screen in 80 columns.

What a run writes is proved in ``tests/pipeline/test_run.py``.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from vertecast.cli import app, run_progress
from vertecast.cli.outcome_table import run_parts
from vertecast.cli.run import STAGES
from vertecast.cli.run_progress import RunProgress
from vertecast.pipeline import run as run_module
from vertecast.pipeline.run import CASE, Ran, run_case
from vertecast.pipeline.run_stages import STAGES_IN_ORDER

RUNNER = CliRunner()


def said(*call: str) -> tuple[int, str]:
    """Return exit status and what was said, on one line."""
    answer = RUNNER.invoke(app, ["run", *call])
    return answer.exit_code, " ".join((answer.stdout + answer.stderr).split())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return a file that is there: no image is read before the case is whole."""
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (("{ct}", "--level", "L1", "--out", "{out}"), "segment them first and give the result with --labels"),
        (("--labels", "{ct}", "--level", "L1", "--out", "{out}"), "no CT was given; name it first"),
        (("{ct}", "--labels", "{ct}", "--out", "{out}"), "no level was given; name one or more with --level"),
        (("{ct}", "--labels", "{ct}", "--level", "Q1", "--out", "{out}"), "level 'Q1' is not a vertebra"),
        (("{ct}", "--labels", "{ct}", "--level", "L1"), "no folder for the results was given; name one with --out"),
        (("--out", "{out}", "--resume"), "holds no broken run; leave --resume out to begin one"),
        (("--case", "{out}.toml"), "does not exist; write a case file"),
    ],
)
def test_a_bad_call_is_one_sentence_and_writes_nothing(
    image: Path, tmp_path: Path, call: tuple[str, ...], sentence: str
) -> None:
    out = tmp_path / "run"
    status, text = said(*(part.format(ct=image, out=out) for part in call))
    assert status == 1
    assert sentence in text
    assert "Traceback" not in text
    assert not out.exists()


def test_options_go_before_the_case_file(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "case.toml"
    file.write_text('ct = "ct.nii.gz"\nlabels = "ct.nii.gz"\nlevels = ["L1"]\nseed = 4\ncement_ml = 3\nout = "here"\n')
    given: list[Any] = []

    def kept(case: Any, out: Path, observer: Any, *, resume: bool, clock: Any) -> Ran:
        given.extend((case, out, resume))
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "run_case", kept)
    RUNNER.invoke(app, ["run", "--case", str(file), "--cement-ml", "2.5", "--level", "L2", "--level", "L3"])
    case, out, resume = given
    assert [level.value for level in case.levels] == ["L2", "L3"]
    assert (case.cement_ml, case.seed, out, resume) == (2.5, 4, tmp_path / "here", False)
    assert case.ct == image


def test_a_broken_run_goes_on_with_out_alone(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    (out / CASE).parent.mkdir(parents=True)
    case = {"ct": str(image), "labels": str(image), "levels": ["L1"], "procedure": "kyphoplasty", "voxel_mm": 2.0}
    (out / CASE).write_text(json.dumps(case))
    given: list[Any] = []

    def kept(case: Any, out: Path, observer: Any, *, resume: bool, clock: Any) -> Ran:
        given.extend((case, resume))
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "run_case", kept)
    RUNNER.invoke(app, ["run", "--resume", "--out", str(out)])
    assert given[0].procedure == "kyphoplasty"
    assert given[0].voxel_mm == 2.0
    assert given[1] is True


def test_an_interrupted_run_says_how_it_goes_on(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: Any, **more: Any) -> Ran:
        stop = KeyboardInterrupt()
        stop.add_note("go on with: vertecast run --resume --out here")
        raise stop

    monkeypatch.setattr(run_module, "run_case", interrupted)
    status, text = said(str(image), "--labels", str(image), "--level", "L1", "--out", str(tmp_path / "run"))
    assert status == 1
    assert text == "Interrupted go on with: vertecast run --resume --out here"


def on_a_terminal(tell: Callable[[RunProgress], None]) -> str:
    """Return what a terminal of 80 columns was sent."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    with RunProgress(console, STAGES) as progress:
        tell(progress)
        progress._progress.refresh()
    return stream.getvalue()


def test_the_bars_tell_stage_step_and_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: now[0])

    def tell(progress: RunProgress) -> None:
        progress.warn("pip install 'vertecast[report]'")
        progress.leave("Measuring the spine", 9.0, 400.0, reused=True)
        progress.enter("Planning the needles", 2, (5.0, 60.0, 35.0))
        progress.leave("Planning the needles", 10.0, 512.0, reused=False)
        progress.enter("Simulating the procedure", 3, (60.0, 35.0))
        progress.begin("Injecting L1 left", 100)
        now[0] += 20.0
        progress.advance(25)

    text = on_a_terminal(tell)
    assert "Measuring the spine" in text
    assert "as before, not done again" in text
    assert "pip install 'vertecast[report]'" in text
    assert "10.0 s" in text
    assert "512 MiB" in text
    assert f"Stage 4 of {STAGES}: Simulating the procedure" in text
    assert "2:50 left" in text, "twice the usual 95 s, less the 20 that are gone"
    assert "Injecting L1 left" in text
    assert "25 %" in text
    assert all(len(line) <= 80 for line in text.replace("\r", "\n").splitlines() if "\x1b" not in line)


def test_as_many_stages_are_announced_as_there_are() -> None:
    assert len(STAGES_IN_ORDER) == STAGES
    assert run_case.__module__ == "vertecast.pipeline.run"


def test_the_last_screen_fits_80_columns_and_ends_with_the_report(tmp_path: Path) -> None:
    plan = {
        "procedure": "vertebroplasty",
        "procedure_reason": "asked for; of the indication: cannot decide",
        "plans": [{"robustness": 0.7, "needles": [{"side": "left", "approach": "transpedicular"}] * 2}],
        "volumes": {"cement_ml": {"value": 4.0}},
    }
    (tmp_path / "plan.json").write_text(json.dumps({"levels": {"L1": plan, "L2": {**plan, "plans": []}}}))
    (tmp_path / "report.html").write_text("")
    skipped = [{"artefact": name, "reason": "install 'vertecast[report]'"} for name in ("report.pdf", "patient.pdf")]
    stages = [{"name": name, "seconds": 5.0, "peak_memory_mib": 300.0} for name in ("measure", "plan")]
    manifest = {"case_id": "case-1", "notice": "Not a device", "skipped": skipped, "run": {"stages": stages}}
    console = Console(width=80, record=True, file=io.StringIO())
    for part in run_parts(Ran(tmp_path, manifest, ("measure",), 12.0)):
        console.print(part)
    lines = console.export_text().splitlines()
    assert all(len(line) <= 80 for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "Left out: report.pdf, patient.pdf (install 'vertecast[report]')" in text, "no markup is made of it"
    assert "no safe path" in text
    assert "Took 5 s, 12 s of it compiling, once on a machine; at most 300 MiB; measure kept from before" in text
    end = "".join(lines[-4:]).replace(" ", "")
    assert end.endswith(f"Report:{tmp_path}/report.html"), "last, in as many lines as its folder's name needs"
