"""The steps before and after the cement: a needle goes in, cement is mixed, the needle comes out."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.procedure.cement import Cement
from vertecast.procedure.events import EventKind
from vertecast.procedure.needle import Needle, require_tip_in_bone
from vertecast.procedure.state import State


def access(state: State, level: Level, needle: Needle) -> State:
    """Place a needle.

    Raises
    ------
    GeometryError
        If its tip does not lie in the vertebra.
    """
    one = state.at(level)
    require_tip_in_bone(needle, one.bed.site)
    placed = MappingProxyType({**one.needles, needle.side: needle})
    tools = MappingProxyType({**one.tools, needle.side: needle})
    state = state.with_level(level, replace(one, needles=placed, tools=tools))
    tip = np.round(needle.tip_lps, 3)
    data = {"tip_x_mm": float(tip[0]), "tip_y_mm": float(tip[1]), "tip_z_mm": float(tip[2])}
    return state.with_event(EventKind.ACCESS, level, needle.side, data)


def withdraw(state: State, level: Level, side: Side) -> State:
    """Take a needle out; the cement in its lumen comes with it."""
    one = state.at(level)
    rest = {other: needle for other, needle in one.needles.items() if other is not side}
    return state.with_level(level, replace(one, needles=MappingProxyType(rest))).with_event(
        EventKind.NEEDLE_REMOVED, level, side
    )


def mix(state: State, cement: Cement, temperature: float, *, start_age: float | None = None) -> State:
    """Mix a batch of cement and wait until it may be injected.

    Parameters
    ----------
    temperature : K, of the room and the syringe
    start_age : s since mixing at which the injection begins; the start of the product's window when None

    Raises
    ------
    InputError
        If that lies outside the product's working window.
    """
    first, last = cement.window
    wait = cement.card.working_start if start_age is None else start_age
    age = cement.age_at(wait, temperature)
    if not first * (1.0 - 1e-9) <= age < last:
        raise InputError(
            f"{cement.name} injected {wait:.0f} s after mixing is outside its working time of "
            f"{cement.card.working_start:.0f} to {cement.card.working_end:.0f} s at "
            f"{cement.card.handling_temperature:.0f} degC; choose a moment inside"
        )
    state = replace(state, mixed_at=state.time).with_event(
        EventKind.CEMENT_MIXED, None, None, {"cement": cement.name, "injected_from_s": state.time + wait}
    )
    return state.with_time(state.time + wait)
