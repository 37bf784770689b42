"""A procedure's state on disk, so that a cancelled or broken run goes on where it was."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError
from vertecast.core.files import atomic_path
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.kernels.flow import FlowLedger, FlowState
from vertecast.physics.exotherm import ExothermState
from vertecast.procedure.bed import Bed
from vertecast.procedure.events import Event
from vertecast.procedure.needle import Needle
from vertecast.procedure.regions import Route
from vertecast.procedure.state import Leak, LevelState, State

FORMAT = 1
_FLOW = ("saturation", "pressure", "fluxes", "blocked", "sealed")
_HEAT = ("wide", "conversion", "reached", "peak", "cem43", "omega", "time_hot", "time_hard")
_LEDGER = ("injected", "needle", "leaked", "drained")


def save_state(state: State, path: Path, key: str) -> Path:
    """Write a state to one ``.npz`` file, whole or not at all.

    Parameters
    ----------
    key : what the run depends on (inputs, plan, settings, seed); another run's state is refused when it is read
    """
    arrays: dict[str, NDArray[Any]] = {}
    about: dict[str, Any] = {
        "format": FORMAT,
        "key": key,
        "time": state.time,
        "mixed_at": state.mixed_at,
        "done": list(state.done),
        "events": [{**event.as_json(), "t_s": event.t_s} for event in state.events],
        "levels": {name.value: _level_json(level) for name, level in state.levels.items()},
    }
    for name, level in state.levels.items():
        arrays |= {f"{name}/arrival": level.arrival, f"{name}/temperature": level.temperature}
        if level.flow is not None:
            arrays |= {f"{name}/flow/{part}": getattr(level.flow, part) for part in _FLOW}
            arrays |= {f"{name}/carried/{what}": values for what, values in level.flow.carried.items()}
        if level.heat is not None:
            arrays |= {f"{name}/heat/{part}": getattr(level.heat, part) for part in _HEAT}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with atomic_path(path) as temporary:
        save: Any = np.savez_compressed  # its stub takes array names for its own options
        save(temporary, **arrays)
    return path


def load_state(path: Path, beds: Mapping[Level, Bed], key: str) -> State:
    """Read a state back onto beds that were made again from the same inputs.

    Raises
    ------
    InputError
        If the file is no state, of another version, or of another run.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(bytes(arrays["about"]).decode())
    except (OSError, ValueError, KeyError) as exc:
        raise InputError(f"{path} is no saved procedure ({exc}); start again without --resume") from exc
    if about.get("format") != FORMAT or about.get("key") != key:
        raise InputError(
            f"{path} was saved by a run with other inputs, settings or another version; start again without --resume"
        )
    levels = {
        Level(name): _level_back(Level(name), one, beds[Level(name)], arrays) for name, one in about["levels"].items()
    }
    return State(
        MappingProxyType(levels),
        tuple(Event.from_json(line) for line in about["events"]),
        tuple(about["done"]),
        about["mixed_at"],
        about["time"],
    )


def _level_json(level: LevelState) -> dict[str, Any]:
    flow, heat = level.flow, level.heat
    return {
        "ended": level.ended,
        "heat_ended": level.heat_ended,
        "cured": level.cured,
        "peak_pressure": level.peak_pressure,
        "waited": level.waited,
        "injected": {side.value: volume for side, volume in level.injected.items()},
        "leaks": {route.name: [leak.onset, leak.volume] for route, leak in level.leaks.items()},
        "needles": [side.value for side in level.needles],
        "tools": {side.value: _needle_json(needle) for side, needle in level.tools.items()},
        "flow": None
        if flow is None
        else {
            "time": flow.time,
            **{part: dict(getattr(flow.ledger, part)) for part in _LEDGER},
            "leaked_carried": {name: dict(values) for name, values in flow.ledger.leaked_carried.items()},
        },
        "heat": None
        if heat is None
        else {"time": heat.time, "step": heat.step, "inner": [[part.start, part.stop] for part in heat.inner]},
    }


def _level_back(name: Level, one: Mapping[str, Any], bed: Bed, arrays: Mapping[str, NDArray[Any]]) -> LevelState:
    tools = {Side(side): _needle_back(Side(side), needle) for side, needle in one["tools"].items()}
    leaks = {Route[route]: Leak(Route[route], onset, volume) for route, (onset, volume) in one["leaks"].items()}
    return LevelState(
        bed,
        MappingProxyType({Side(side): tools[Side(side)] for side in one["needles"]}),
        _flow_back(name, one["flow"], arrays),
        arrays[f"{name}/arrival"],
        arrays[f"{name}/temperature"],
        MappingProxyType(leaks),
        MappingProxyType({Side(side): volume for side, volume in one["injected"].items()}),
        tools=MappingProxyType(tools),
        ended=one["ended"],
        heat=_heat_back(name, one["heat"], arrays),
        heat_ended=one["heat_ended"],
        cured=one["cured"],
        peak_pressure=one["peak_pressure"],
        waited=one["waited"],
    )


def _flow_back(name: Level, one: Mapping[str, Any] | None, arrays: Mapping[str, NDArray[Any]]) -> FlowState | None:
    if one is None:
        return None
    prefix = f"{name}/carried/"
    carried = {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}
    saturation, pressure, fluxes, blocked, sealed = (arrays[f"{name}/flow/{part}"] for part in _FLOW)
    injected, needle, leaked, drained = (MappingProxyType(dict(one[part])) for part in _LEDGER)
    gone = MappingProxyType({outlet: MappingProxyType(dict(v)) for outlet, v in one["leaked_carried"].items()})
    for values in (saturation, pressure, fluxes, blocked, sealed, *carried.values()):
        values.setflags(write=False)
    ledger = FlowLedger(injected, needle, leaked, drained, gone)
    return FlowState(
        one["time"], saturation, MappingProxyType(carried), pressure, fluxes, blocked, sealed, ledger, None
    )


def _heat_back(name: Level, one: Mapping[str, Any] | None, arrays: Mapping[str, NDArray[Any]]) -> ExothermState | None:
    if one is None:
        return None
    x, y, z = (slice(start, stop) for start, stop in one["inner"])
    parts = {part: arrays[f"{name}/heat/{part}"] for part in _HEAT}
    return ExothermState(time=one["time"], step=one["step"], inner=(x, y, z), **parts)


def _needle_json(needle: Needle) -> dict[str, Any]:
    return {
        "entry_lps": needle.entry_lps.tolist(),
        "tip_lps": needle.tip_lps.tolist(),
        "radii": [needle.outer_radius, needle.inner_radius],
        "length": needle.length,
    }


def _needle_back(side: Side, one: Mapping[str, Any]) -> Needle:
    outer, inner = one["radii"]
    return Needle(side, np.array(one["entry_lps"]), np.array(one["tip_lps"]), outer, inner, one["length"])
