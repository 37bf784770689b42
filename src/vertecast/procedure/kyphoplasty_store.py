"""A kyphoplasty on disk: the procedure's state, and beside it each level's lift as its last step left it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vertecast.core.levels import Level
from vertecast.procedure.bed import Bed
from vertecast.procedure.kyphoplasty import Draw, LiftTask, hung_lift
from vertecast.procedure.lift_outcome import site_after
from vertecast.procedure.lift_store import load_lift, save_lift
from vertecast.procedure.state import State
from vertecast.procedure.store import load_state, save_state

_STEPS = ("place", "inflate", "deflate")
"""Steps that change a lift; the last of them names its file, so that state and lift always belong together."""


class KyphoplastyStore:
    """Keeps a kyphoplasty after every step: a lift only when it has changed.

    Parameters
    ----------
    path : ``.npz`` of the state; the lifts' files lie beside it
    key : what the run depends on; another run's state is refused when it is read
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key

    def keep(self, state: State) -> None:
        """Write the state and what is new of its lifts; older lifts go when the state that needed them has gone."""
        current = []
        for name, level in state.levels.items():
            step = _last_step(state, name)
            if step is None or level.lift is None:
                continue
            file = self._file(name, step)
            current.append(file)
            if not file.exists():
                save_lift(level.lift, file, self.key)
        save_state(state, self.path, self.key)
        for file in self._files():
            if file not in current:
                file.unlink()

    def restored(self, beds: Mapping[Level, Bed], tasks: Sequence[LiftTask], draw: Draw) -> State | None:
        """Return the state that was kept, on beds made again from the same inputs; None where there is none.

        Raises
        ------
        InputError
            If a file is no such state, of another version, or of another run.
        """
        if not self.path.exists():
            return None
        state = load_state(self.path, beds, self.key)
        for task in tasks:
            step = _last_step(state, task.level)
            if step is None:
                continue
            level = state.at(task.level)
            lift = load_lift(self._file(task.level, step), hung_lift(task), self.key)
            bed = draw(site_after(lift, level.bed.site)) if step == _STEPS[-1] else level.bed
            state = state.with_level(task.level, replace(level, lift=lift, bed=bed))
        return state

    def forget(self) -> None:
        """Remove everything that was kept."""
        for file in (self.path, *self._files()):
            file.unlink(missing_ok=True)

    def _file(self, level: Level, step: str) -> Path:
        return self.path.with_name(f"{self.path.stem}_{level}_{step}.npz")

    def _files(self) -> list[Path]:
        return sorted(file for step in _STEPS for file in self.path.parent.glob(f"{self.path.stem}_*_{step}.npz"))


def _last_step(state: State, level: Level) -> str | None:
    done = [step for step in _STEPS if f"{step} {level}" in state.done]
    return done[-1] if done else None
