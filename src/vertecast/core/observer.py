"""How long work tells what it does: progress, messages, cancellation. Injected, never global."""

from typing import Protocol


class Observer(Protocol):
    """What a long computation calls; the CLI draws a progress bar, a server sends a message, a test counts."""

    def begin(self, stage: str, steps: int | None = None) -> None:
        """Say that a stage starts, with its number of steps when known."""

    def advance(self, steps: int = 1) -> None:
        """Say that so many steps of the current stage are done."""

    def warn(self, sentence: str) -> None:
        """Say what the user must know about the result."""

    def cancelled(self) -> bool:
        """Tell whether the user asked to stop."""


class RunObserver(Observer, Protocol):
    """What a run of several stages calls besides."""

    def enter(self, stage: str, number: int, ahead: tuple[float, ...]) -> None:
        """Say that a stage begins, the how-manieth it is, and the seconds usually taken by it and each later one."""

    def leave(self, stage: str, seconds: float, peak_memory_mib: float, *, reused: bool) -> None:
        """Say that a stage is done, what it took, and whether it was done by an earlier run."""


class SilentObserver:
    """Says nothing and never cancels."""

    def begin(self, stage: str, steps: int | None = None) -> None:
        """Do nothing."""

    def advance(self, steps: int = 1) -> None:
        """Do nothing."""

    def warn(self, sentence: str) -> None:
        """Do nothing."""

    def cancelled(self) -> bool:
        """Return ``False``."""
        return False

    def enter(self, stage: str, number: int, ahead: tuple[float, ...]) -> None:
        """Do nothing."""

    def leave(self, stage: str, seconds: float, peak_memory_mib: float, *, reused: bool) -> None:
        """Do nothing."""


_SILENT = SilentObserver()
SILENT: Observer = _SILENT
SILENT_RUN: RunObserver = _SILENT
