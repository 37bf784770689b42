"""A case from its images to its report: the stages in order into one run folder, the unchanged ones not done again."""

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vertecast.core.errors import InputError, VertecastError
from vertecast.core.files import atomic_path, disk_errors
from vertecast.core.observer import SILENT_RUN, RunObserver
from vertecast.core.parameters import read_toml
from vertecast.core.provenance import software_versions
from vertecast.kernels.compilation import CompileClock, compile_clock
from vertecast.pipeline.case import Case
from vertecast.pipeline.folder import MANIFEST, write_json
from vertecast.pipeline.memory import forget_peak, peak_mib
from vertecast.pipeline.run_session import Session
from vertecast.pipeline.run_stages import STAGES_IN_ORDER, Stage, missing_here
from vertecast.pipeline.stage_store import STAGES, Part, StageStore, key_of, package_digest, require_mine

CASE = Path(STAGES) / "case.json"
_USUAL = "pipeline/stage_seconds.toml"


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """What a run did.

    Parameters
    ----------
    folder : the run folder
    manifest : as it was written
    reused : stages that an earlier run had done
    compile_seconds : spent on compiling kernels, a machine's first run only
    """

    folder: Path
    manifest: dict[str, Any]
    reused: tuple[str, ...]
    compile_seconds: float


def run_case(
    case: Case,
    out: Path,
    observer: RunObserver = SILENT_RUN,
    *,
    resume: bool = False,
    clock: CompileClock | None = None,
) -> Ran:
    """Do every stage of a case that is not done yet.

    Parameters
    ----------
    resume : go on inside the stage at which an earlier run was broken off
    clock : one that was started before this module was imported, since kernels compile when they are imported

    Raises
    ------
    VertecastError
        Of the stage that failed; those before it are whole, the manifest says which, and the note says what to do.
    """
    with _locked(out), compile_clock() as own:
        clock = clock or own
        session, store = Session(case, out, observer, resume=resume), StageStore(out)
        with atomic_path(out / CASE) as temporary:
            write_json(temporary, case.as_json())
        for artefact, remedy in missing_here().items():
            observer.warn(f"{artefact} will be left out: {remedy}")
        software = key_of([package_digest(), software_versions()])
        for number, stage in enumerate(STAGES_IN_ORDER):
            key = stage.key(session, software)
            found = store.usable(stage.name, key)
            if found is None:
                _make(stage, key, number, (session, store, clock))
            else:
                session.parts[stage.name] = found
                session.reused.add(stage.name)
                observer.leave(stage.does, found.seconds, found.peak_memory_mib, reused=True)
        manifest = _write_manifest(session, clock)
        return Ran(out, manifest, tuple(name for name in session.parts if name in session.reused), clock.seconds)


def _make(stage: Stage, key: str, number: int, how: tuple[Session, StageStore, CompileClock]) -> None:
    """Do one stage, with everything later out of the folder; keep its part."""
    session, store, clock = how
    store.drop(stage.name)
    for later in STAGES_IN_ORDER[number + 1 :]:
        store.park(later.name)
    _write_manifest(session, clock)
    usual = read_toml(_USUAL)
    ahead = tuple(float(usual[one.name]["value"]) for one in STAGES_IN_ORDER[number:])
    session.observer.enter(stage.does, number, ahead)
    forget_peak()
    start = time.perf_counter()
    try:
        part: Part = stage.make(session)
    except (VertecastError, KeyboardInterrupt) as exc:
        exc.add_note(_what_to_do(stage, session))
        raise
    part = session.timed(replace(part, key=key), time.perf_counter() - start, peak_mib())
    store.keep(stage.name, part)
    session.parts[stage.name] = part
    session.observer.leave(stage.does, part.seconds, part.peak_memory_mib, reused=False)


def _what_to_do(stage: Stage, session: Session) -> str:
    done = ", ".join(session.parts) or "nothing"
    said = f"stage {stage.name} was not done; {done} is kept in {session.folder}"
    again = f"put it right and run the same again, or go on with: vertecast run --resume --out {session.folder}"
    report = f"; `vertecast report {session.folder}` shows what there is" if "measure" in session.parts else ""
    return f"{said}; {again}{report}"


def _write_manifest(session: Session, clock: CompileClock) -> dict[str, Any]:
    manifest = session.manifest(clock.seconds)
    with atomic_path(session.folder / MANIFEST) as temporary:
        write_json(temporary, manifest)
    return manifest


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep the folder for this run alone, and clear what a killed one left; the lock dies with the process."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder for the results with --out")
    require_mine(out)
    with disk_errors(out):
        (out / STAGES).mkdir(parents=True, exist_ok=True)
        with (out / STAGES / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise InputError(f"{out} is in use by another run; wait for it, or give another --out") from exc
            for left in out.glob(".partial-*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
