"""How every command answers: a progress bar while it works, then a table, one JSON object or one sentence of error."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from vertecast.core.errors import VertecastError
from vertecast.core.observer import SILENT, Observer

JsonFlag = Annotated[bool, typer.Option("--json", help="Answer with one JSON object on standard output.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", help="No progress bar and no table; warnings and errors stay.")]


class ProgressObserver:
    """Draws the current stage as a progress bar and keeps the warnings for the end."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, stage: str, steps: int | None = None) -> None:
        """Start a new bar."""
        self._finish()
        self._task = self._progress.add_task(stage, total=steps)

    def advance(self, steps: int = 1) -> None:
        """Move the current bar on."""
        if self._task is not None:
            self._progress.advance(self._task, steps)

    def warn(self, sentence: str) -> None:
        """Print the sentence above the bars."""
        self._progress.console.print(f"[yellow]Warning:[/yellow] {escape(sentence)}", highlight=False)

    def cancelled(self) -> bool:
        """Return ``False``: Ctrl-C raises instead."""
        return False

    def _finish(self) -> None:
        if self._task is not None:
            done = self._progress.tasks[self._task].completed or 1
            self._progress.update(self._task, total=done, completed=done)


class WarningObserver:
    """Says warnings only: for pipes, ``--quiet`` and ``--json``."""

    begin = staticmethod(SILENT.begin)
    advance = staticmethod(SILENT.advance)
    cancelled = staticmethod(SILENT.cancelled)

    def warn(self, sentence: str) -> None:
        """Print the sentence on standard error."""
        print(f"Warning: {sentence}", file=sys.stderr)


class Answer:
    """What a command says at its end."""

    def __init__(self, observer: Observer, *, as_json: bool, quiet: bool) -> None:
        self.observer = observer
        self._as_json = as_json
        self._quiet = quiet

    def give(self, payload: dict[str, Any], *shown: RenderableType) -> None:
        """Print ``payload`` as JSON, or what is ``shown`` to a person."""
        if self._as_json:
            print(json.dumps(payload, indent=2, ensure_ascii=False))
        elif not self._quiet:
            console = Console(highlight=False)
            for one in shown:
                console.print(one)


@contextmanager
def answering(*, as_json: bool, quiet: bool) -> Iterator[Answer]:
    """Give a command its observer, and turn our own errors into one sentence and exit status 1."""
    console = Console(stderr=True)
    try:
        if console.is_terminal and not (quiet or as_json):
            with _progress(console) as progress:
                answer = Answer(ProgressObserver(progress), as_json=as_json, quiet=quiet)
                yield answer
        else:
            yield Answer(WarningObserver(), as_json=as_json, quiet=quiet)
    except VertecastError as exc:
        _say(exc, as_json=as_json)
        raise typer.Exit(1) from exc


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _say(error: VertecastError, *, as_json: bool) -> None:
    notes = list(getattr(error, "__notes__", []))
    if as_json:
        print(json.dumps({"error": {"kind": type(error).__name__, "message": str(error), "notes": notes}}, indent=2))
    else:
        print("\n".join([f"Error: {error}", *(f"  {note}" for note in notes)]), file=sys.stderr)
