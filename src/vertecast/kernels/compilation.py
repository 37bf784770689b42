"""How long compiling took: once on a machine, and never to be taken for the computation itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from numba.core import event


class CompileClock:
    """Tells the seconds that compiling has taken since it was started."""

    def __init__(self, timer: event.TimingListener) -> None:
        self._timer = timer

    @property
    def seconds(self) -> float:
        """Seconds, 0 when every kernel came from the cache."""
        return float(self._timer.duration) if self._timer.done else 0.0


@contextmanager
def compile_clock() -> Iterator[CompileClock]:
    """Count the compilations inside the block; kernels compile when their module is first imported or called."""
    listener = event.TimingListener()  # type: ignore[no-untyped-call]
    with event.install_listener("numba:compile", listener) as timer:
        yield CompileClock(timer)
