"""``vertecast run``: one command from a CT to the report and the walk-through."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vertecast.cli.answer import Answer, JsonFlag, QuietFlag, WarningObserver, answering
from vertecast.cli.outcome_table import run_parts

if TYPE_CHECKING:
    from vertecast.core.observer import RunObserver
    from vertecast.kernels.compilation import CompileClock
    from vertecast.pipeline.case import Case
    from vertecast.pipeline.run import Ran

STAGES = 7

Given = Annotated[Path | None, typer.Option()]


def run(
    ct: Annotated[Path | None, typer.Argument(help="CT: DICOM folder or zip, NIfTI, NRRD or MHA.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Segmentation of the vertebrae (NIfTI, NRRD, DICOM SEG).")] = None,
    level: Annotated[list[str] | None, typer.Option(help="A level such as L1; repeat it for several.")] = None,
    procedure: Annotated[
        str | None, typer.Option(help="auto (as indicated), vertebroplasty, kyphoplasty or other_cavity_tool.")
    ] = None,
    patient: Annotated[Path | None, typer.Option(help="patient.toml; see `vertecast patient`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.")] = None,
    case: Annotated[Path | None, typer.Option(help="A case file; options given beside it go before.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a broken run; --out alone is enough.")] = False,
    dialect: Annotated[str | None, typer.Option(help="Numbering of the labels: auto, verse, totalseg, tptbox.")] = None,
    series: Annotated[str | None, typer.Option(help="Series UID, when the CT folder holds several.")] = None,
    subregions: Annotated[Path | None, typer.Option(help="TPTBox/SPINEPS subregion labels.")] = None,
    calibration: Annotated[
        str | None, typer.Option(help="HU to mg/cm³: a TOML file, internal (own tissues) or fallback.")
    ] = None,
    prior_labels: Annotated[Path | None, typer.Option(help="Labels of the patient's own earlier CT.")] = None,
    prior_ct: Annotated[Path | None, typer.Option(help="The earlier CT itself.")] = None,
    needle: Annotated[str | None, typer.Option(help="Needle or cannula of the catalogue.")] = None,
    target: Annotated[str | None, typer.Option(help="auto, endplate or cleft: where the tip should go.")] = None,
    tool: Annotated[str | None, typer.Option(help="Cavity tool of the catalogue, for instance xpander-15/3.")] = None,
    balloon_ml: Annotated[float | None, typer.Option(help="Volume into each cavity tool, mL.")] = None,
    cement: Annotated[str | None, typer.Option(help="Cement of the catalogue.")] = None,
    cement_ml: Annotated[float | None, typer.Option(help="Cement for each level, mL.")] = None,
    start_age_s: Annotated[float | None, typer.Option(help="Seconds after mixing when the injection begins.")] = None,
    no_stop: Annotated[list[str] | None, typer.Option(help="Stop rule to switch off; may be repeated.")] = None,
    seal: Annotated[list[str] | None, typer.Option(help="Leak route to close on purpose; may be repeated.")] = None,
    voxel_mm: Annotated[float | None, typer.Option(help="Edge of the simulation's voxels, mm; 1 by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all that is drawn by chance; 0 by default.")] = None,
    case_id: Annotated[str | None, typer.Option(help="The only name the results carry; no patient's name.")] = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Measure, judge, plan, simulate, assess and report a case, as the plan of one session.

    Done again with a change, only what depends on it is done again.

    Example: vertecast run ct.nii.gz --labels vertebrae.nii.gz --level L1 --patient patient.toml --out run
    """
    given = {name: value for name, value in locals().items() if name not in _NOT_THE_CASE}
    with answering_run(as_json=as_json, quiet=quiet) as (answer, observer, clock):
        from vertecast.pipeline.run import run_case

        made, folder = _case({**given, "levels": level}, case, out, resume=resume)
        give_run(answer, run_case(made, folder, observer, resume=resume, clock=clock))


_NOT_THE_CASE = ("level", "out", "case", "resume", "as_json", "quiet")


@contextmanager
def answering_run(*, as_json: bool, quiet: bool) -> Iterator[tuple[Answer, "RunObserver", "CompileClock"]]:
    """Give a run its observer, bars on a terminal and warnings alone elsewhere, and the clock of its compiling."""
    from vertecast.cli.run_progress import RunProgress
    from vertecast.kernels.compilation import compile_clock

    console = Console(stderr=True)
    # The bars are drawn inside: an error is said below them, not among them.
    try:
        with answering(as_json=as_json, quiet=True) as quietly, compile_clock() as clock:
            answer = Answer(quietly.observer, as_json=as_json, quiet=quiet)
            if console.is_terminal and not (quiet or as_json):
                with RunProgress(console, STAGES) as observer:
                    observer.begin("Loading; compiling when it is the first run")
                    yield answer, observer, clock
            else:
                yield answer, RunWarnings(), clock
    except KeyboardInterrupt as exc:
        print("\n".join(["Interrupted", *(f"  {note}" for note in getattr(exc, "__notes__", []))]), file=sys.stderr)
        raise typer.Exit(1) from exc


class RunWarnings(WarningObserver):
    """Says a run's warnings only."""

    def enter(self, stage: str, number: int, ahead: tuple[float, ...]) -> None:
        """Say nothing."""

    def leave(self, stage: str, seconds: float, peak_memory_mib: float, *, reused: bool) -> None:
        """Say nothing."""


def give_run(answer: Answer, ran: "Ran") -> None:
    """Say what came out, and where the report is."""
    answer.give(run_answer(ran), *run_parts(ran))


def run_answer(ran: "Ran") -> dict[str, Any]:
    """Return the JSON answer."""
    manifest = ran.manifest
    return {
        "out": str(ran.folder),
        "case_id": manifest["case_id"],
        "files": [one["file"] for one in manifest["outputs"]],
        "skipped": manifest["skipped"],
        "reused": list(ran.reused),
        "stages": [
            {name: one[name] for name in ("name", "seconds", "peak_memory_mib")} for one in manifest["run"]["stages"]
        ],
        "compile_seconds": round(ran.compile_seconds, 2),
    }


def _case(given: dict[str, Any], file: Path | None, out: Path | None, *, resume: bool) -> tuple["Case", Path]:
    """Return the case and its folder: what the file or the broken run says, with what is given put over it."""
    from vertecast.core.errors import InputError
    from vertecast.pipeline.case import made_case, read_case
    from vertecast.pipeline.run import CASE

    settings = read_case(file) if file is not None else {}
    folder = out or settings.get("out")
    if folder is None:
        raise InputError("no folder for the results was given; name one with --out")
    if resume:
        if not (folder / CASE).is_file():
            raise InputError(f"{folder} holds no broken run; leave --resume out to begin one")
        settings = {**read_case(folder / CASE), **settings}
    settings.pop("out", None)
    over = {name: value for name, value in given.items() if value is not None and value != []}
    return made_case({**settings, **over}), folder
