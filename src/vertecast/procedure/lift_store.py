"""A lift on disk: everything of it that changes on the way, so that a broken run goes on where it was."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError
from vertecast.core.files import atomic_path
from vertecast.core.sides import Side
from vertecast.kernels import cavity_points, cavity_slots, cavity_state
from vertecast.kernels.cavity_points import MaterialPoints
from vertecast.kernels.cavity_slots import Leftover
from vertecast.kernels.cavity_state import CavityState
from vertecast.procedure import lift as lift_module
from vertecast.procedure import lift_trail
from vertecast.procedure.lift import Lift

FORMAT = 1
_MADE_AGAIN = ("level", "tools", "settings", "problem", "uses")
"""Parts of a lift that follow from what is to be done; they are made again, not read."""
_KINDS: dict[str, Any] = {
    name: kind
    for module in (cavity_points, cavity_slots, cavity_state, lift_module, lift_trail)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and is_dataclass(kind)
}
Arrays = dict[str, NDArray[Any]]


def save_lift(lift: Lift, path: Path, key: str) -> Path:
    """Write a lift to one ``.npz`` file, whole or not at all.

    Parameters
    ----------
    key : what the run depends on; another run's lift is refused when it is read

    Notes
    -----
    Not compressed, since it is written while the patient waits. Of the moments that are kept by name only what is read
    of them again: not their material points, which are nine tenths of a state.
    """
    bare = {name: state if state is lift.state else _without_points(state) for name, state in lift.moments.items()}
    lift = replace(lift, moments=MappingProxyType(bare))
    arrays: Arrays = {}
    parts = {one.name: _packed(getattr(lift, one.name), arrays) for one in fields(lift) if one.name not in _MADE_AGAIN}
    same = [name for name, state in lift.moments.items() if state is lift.state]
    about = {"format": FORMAT, "key": key, "same": same, "parts": parts}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with atomic_path(path) as temporary:
        save: Any = np.savez  # its stub takes array names for its own options
        save(temporary, **arrays)
    return path


def load_lift(path: Path, fresh: Lift, key: str) -> Lift:
    """Read a lift back.

    Parameters
    ----------
    fresh : the same tools in the same level, made again

    Raises
    ------
    InputError
        If the file is no lift, of another version, or of another run.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(bytes(arrays["about"]).decode())
    except (OSError, ValueError, KeyError) as exc:
        raise InputError(f"{path} is no saved lift ({exc}); start again without --resume") from exc
    if about.get("format") != FORMAT or about.get("key") != key:
        raise InputError(
            f"{path} was saved by a run with other inputs, settings or another version; start again without --resume"
        )
    lift = replace(fresh, **{name: _unpacked(part, arrays) for name, part in about["parts"].items()})
    return replace(lift, moments=MappingProxyType({**lift.moments, **dict.fromkeys(about["same"], lift.state)}))


def _without_points(state: CavityState) -> CavityState:
    none = {one.name: getattr(state.points, one.name)[..., :0] for one in fields(state.points)}
    return replace(state, points=MaterialPoints(**none), leftover=Leftover.none())


def _packed(value: Any, arrays: Arrays) -> Any:
    """Return a value as JSON, its arrays put aside by number."""
    for kind, pack in _PACKERS:
        if isinstance(value, kind):
            return pack(value, arrays)
    if is_dataclass(value) and type(value).__name__ in _KINDS:
        parts = {one.name: _packed(getattr(value, one.name), arrays) for one in fields(value)}
        return {"kind": type(value).__name__, "parts": parts}
    raise AssertionError(f"a lift holds a {type(value).__name__}, which cannot be kept")


def _put_aside(value: NDArray[Any], arrays: Arrays) -> dict[str, str]:
    name = f"array_{len(arrays)}"
    arrays[name] = value
    return {"array": name}


_PACKERS: tuple[tuple[Any, Callable[[Any, Arrays], Any]], ...] = (
    (np.ndarray, _put_aside),
    (Side, lambda value, _: {"side": value.value}),
    (np.generic, lambda value, _: value.item()),
    ((type(None), bool, int, float, str), lambda value, _: value),
    (tuple, lambda value, arrays: {"tuple": [_packed(one, arrays) for one in value]}),
    (
        Mapping,
        lambda value, arrays: {"map": [[_packed(k, arrays), _packed(v, arrays)] for k, v in value.items()]},
    ),
)


def _unpacked(part: Any, arrays: Arrays) -> Any:
    if not isinstance(part, dict):
        return part
    if "array" in part:
        return arrays[part["array"]]
    if "side" in part:
        return Side(part["side"])
    if "tuple" in part:
        return tuple(_unpacked(one, arrays) for one in part["tuple"])
    if "map" in part:
        return MappingProxyType({_unpacked(k, arrays): _unpacked(v, arrays) for k, v in part["map"]})
    return _KINDS[part["kind"]](**{name: _unpacked(one, arrays) for name, one in part["parts"].items()})
