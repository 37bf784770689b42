"""The progress of a run on a terminal: stage, step and remaining time, and a line for each stage that is done."""

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

_NARROW, _WIDE = 0.25, 8.0
"""A machine is not believed to be more than four times faster or eight times slower than the usual one."""


class RunProgress:
    """Draws two bars, the run and its present step, and prints what each stage took."""

    def __init__(self, console: Console, stages: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=18),
            _Left(),
            console=console,
            transient=True,
        )
        self._run = self._progress.add_task("", total=stages, left="", visible=False)
        self._step: TaskID | None = None
        self._ahead: tuple[float, ...] = ()
        self._begun = 0.0
        self._usual = self._taken = 0.0
        self._stages = stages

    def __enter__(self) -> "RunProgress":
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def enter(self, stage: str, number: int, ahead: tuple[float, ...]) -> None:
        """Name the stage and begin to count its time."""
        self._ahead, self._begun = ahead, time.monotonic()
        label = f"Stage {number + 1} of {self._stages}: {stage}"
        self._progress.update(self._run, description=f"{label:<44}", completed=number, left=self._left(), visible=True)

    def leave(self, stage: str, seconds: float, peak_memory_mib: float, *, reused: bool) -> None:
        """Print what the stage took, and learn how fast this machine is."""
        self._drop_step()
        if reused:
            said = "[dim]as before, not done again[/dim]"
        else:
            self._usual += self._ahead[0] if self._ahead else 0.0
            self._taken += seconds
            said = f"{seconds:6.1f} s  {peak_memory_mib:6.0f} MiB"
        self._progress.console.print(f"[green]✓[/green] {stage:<32} {said}", highlight=False)
        self._progress.advance(self._run)

    def begin(self, stage: str, steps: int | None = None) -> None:
        """Start the bar of a step in place of the last one's."""
        self._drop_step()
        self._step = self._progress.add_task(f"  {stage[:42]:<42}", total=steps, left="")
        self._progress.update(self._run, left=self._left())

    def advance(self, steps: int = 1) -> None:
        """Move the step's bar on."""
        if self._step is not None:
            self._progress.advance(self._step, steps)
        self._progress.update(self._run, left=self._left())

    def warn(self, sentence: str) -> None:
        """Print the sentence above the bars."""
        self._progress.console.print(f"[yellow]Warning:[/yellow] {escape(sentence)}", highlight=False)

    def cancelled(self) -> bool:
        """Return ``False``: Ctrl-C raises instead."""
        return False

    def _drop_step(self) -> None:
        if self._step is not None:
            self._progress.remove_task(self._step)
            self._step = None

    def _left(self) -> str:
        """Return the time that the rest usually takes, scaled by how fast the stages before went."""
        if not self._ahead:
            return ""
        scale = min(_WIDE, max(_NARROW, self._taken / self._usual)) if self._usual else 1.0
        spent = time.monotonic() - self._begun
        seconds = scale * sum(self._ahead[1:]) + max(0.0, scale * self._ahead[0] - spent)
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d} left"


class _Left(ProgressColumn):
    """The remaining time of a run, or the share of a step."""

    def render(self, task: Task) -> Text:
        """Return what stands at the right of a bar."""
        if task.fields.get("left"):
            return Text(str(task.fields["left"]))
        return Text("" if task.total is None else f"{task.percentage:3.0f} %")
