"""Proves: a kyphoplasty broken off after any of its steps, or cancelled within one, goes on to the very same end."""

from pathlib import Path

import numpy as np
import pytest
from tests.procedure.simple_site import simple_bed
from tests.procedure.test_kyphoplasty_steps import HOLES, lift_of, practice, task

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.procedure.bed import Bed
from vertecast.procedure.events import EventKind
from vertecast.procedure.kyphoplasty import hung_lift, kyphoplasty
from vertecast.procedure.kyphoplasty_store import KyphoplastyStore
from vertecast.procedure.lift_outcome import lift_fields, lift_summary
from vertecast.procedure.lift_store import load_lift, save_lift
from vertecast.procedure.site import Site
from vertecast.procedure.state import State

ONE = task()


class BrokenOffError(Exception):
    """The run ends here."""


def draw(site: Site) -> Bed:
    return simple_bed(site, holes=HOLES)


def run(store: KyphoplastyStore, after: str = "", observer: Observer = SILENT, *, resume: bool = False) -> State:
    """Run, or go on; break off once the state after a step has been kept."""
    beds = {Level.L1: draw(ONE.fractured.site)}
    start = store.restored(beds, [ONE], draw) if resume else None

    def keep(state: State) -> None:
        store.keep(state)
        if state.done[-1] == after:
            raise BrokenOffError

    return kyphoplasty(beds, [ONE], practice(), draw, observer=observer, going=(start, keep))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> State:
    return run(KyphoplastyStore(tmp_path_factory.mktemp("whole") / "state.npz", "key"))


def same(one: State, other: State, *, events: bool = True) -> None:
    if events:
        assert [event.as_json() for event in one.stream()] == [event.as_json() for event in other.stream()]
    left, right = lift_of(one), lift_of(other)
    assert lift_summary(left, {}) == lift_summary(right, {})
    for stem, (values, _) in lift_fields(left).items():
        np.testing.assert_array_equal(values, lift_fields(right)[stem][0], err_msg=stem)
    np.testing.assert_array_equal(one.at(Level.L1).cement_fraction, other.at(Level.L1).cement_fraction)
    np.testing.assert_array_equal(one.at(Level.L1).bed.porosity, other.at(Level.L1).bed.porosity)


@pytest.mark.parametrize("after", ["inflate L1", "deflate L1", "inject L1 left"])
def test_a_broken_run_goes_on_to_the_same_end(whole: State, tmp_path: Path, after: str) -> None:
    store = KyphoplastyStore(tmp_path / "state.npz", "key")
    with pytest.raises(BrokenOffError):
        run(store, after)
    assert len(list(tmp_path.glob("state_L1_*.npz"))) == 1  # the lift of the last step alone
    state = run(KyphoplastyStore(tmp_path / "state.npz", "key"), resume=True)
    assert state.done == whole.done
    same(state, whole)
    store.forget()
    assert not list(tmp_path.iterdir())


class _CancelsWhileInflating:
    """Cancels some increments after an inflation has begun."""

    def __init__(self) -> None:
        self.left: int | None = None

    def begin(self, stage: str, steps: int | None = None) -> None:
        if "inflating" in stage:
            self.left = 3

    def advance(self, steps: int = 1) -> None:
        if self.left is not None:
            self.left -= 1

    def warn(self, sentence: str) -> None: ...

    def cancelled(self) -> bool:
        return self.left is not None and self.left <= 0


def test_a_cancelled_inflation_leaves_nothing_and_is_done_again(whole: State, tmp_path: Path) -> None:
    store = KyphoplastyStore(tmp_path / "state.npz", "key")
    part = run(store, observer=_CancelsWhileInflating())
    assert part.done[-1] == "place L1"
    assert part.events[-1].kind is EventKind.CANCELLED
    assert not lift_of(part).curve
    state = run(store, resume=True)
    kinds = [event.kind for event in state.events]
    assert EventKind.RESUMED in kinds
    same(state, whole, events=False)


def test_another_runs_lift_is_refused(whole: State, tmp_path: Path) -> None:
    path = save_lift(lift_of(whole), tmp_path / "lift.npz", "key")
    with pytest.raises(InputError, match="saved by a run with other inputs"):
        load_lift(path, hung_lift(ONE), "another")
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="is no saved lift"):
        load_lift(path, hung_lift(ONE), "key")


def test_these_checks_can_fail(whole: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lift that forgets its plastic strain and gaps ends elsewhere."""
    store = KyphoplastyStore(tmp_path / "state.npz", "key")
    with pytest.raises(BrokenOffError):
        run(store, "inflate L1")
    file = tmp_path / "state_L1_inflate.npz"
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored.files}
    gap = max(  # the largest of the material's fields of six
        (name for name, one in arrays.items() if one.shape[:1] == (6,)),
        key=lambda name: float(np.abs(arrays[name]).sum()),
    )
    arrays[gap] = 0.0 * arrays[gap]
    np.savez(file, **arrays)
    with pytest.raises(AssertionError):
        same(run(store, resume=True), whole)
