"""The cure step: the cement of one level gets hot and hard where it lies."""

from dataclasses import dataclass, replace

import numpy as np

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.physics.thermal import necrosis_depth
from vertecast.procedure.cement import Cement
from vertecast.procedure.events import Datum, EventKind
from vertecast.procedure.regions import Region
from vertecast.procedure.state import LevelState, State
from vertecast.procedure.warmth import conducted

_CELSIUS = 273.15
_FILLED = 0.1
"""Volume of cement per volume of cell from which a cell counts as cement when temperatures are told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CureSettings:
    """How long the cure is followed."""

    duration: float = quantity("s", "time after the level's last injection")
    chunk: float = quantity("s", "time between two looks at whether to go on")
    hard_share: float = quantity("1", "share of the cement that must be hard for the level to be")


def load_cure() -> Loaded[CureSettings]:
    """Load ``data/procedure/cure.toml``."""
    return load_parameters("procedure/cure.toml", CureSettings)


def cure(state: State, name: Level, cement: Cement, settings: CureSettings, observer: Observer = SILENT) -> State:
    """Follow the cure of one level from the end of its last injection.

    The clock of the procedure does not move: the next level goes on meanwhile. Events carry their own times.
    """
    level = state.at(name)
    if level.flow is None or level.ended is None:
        raise InputError(f"{name}: no cement to cure; inject before")
    if level.heat_ended is None:
        level = conducted(level, cement)
        assert level.heat is not None
        level = replace(level, heat_ended=level.heat.time)
        state = state.with_event(EventKind.CURE_STARTED, name, at=level.ended)
    begin, hottest = level.heat_ended, (-np.inf, 0.0)
    assert begin is not None
    total = max(1, int(np.ceil(settings.duration / settings.chunk)))
    observer.begin(f"Curing {name}", total)
    for number in range(1, total + 1):
        until = begin + min(number * settings.chunk, settings.duration)
        assert level.heat is not None
        if level.heat.time < until:
            if observer.cancelled():
                state = state.with_level(name, level)
                return state.with_event(EventKind.CANCELLED, name, None, {"cured_s": level.heat.time - begin})
            level = conducted(replace(level, waited=until - level.heat.time), cement)
        hottest = max(hottest, (float(level.temperature.max()), until - begin))
        observer.advance()
    return _told(state, name, replace(level, cured=True), hottest[1], settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """What the heat of one level came to; temperatures in °C, for the edges."""

    cement_peak_degc: float
    bone_peak_degc: float
    canal_peak_degc: float
    disc_peak_degc: float
    canal_cem43_min: float
    necrosis_depth_mm: float
    hard_s: float | None


def heat_of(level: LevelState, settings: CureSettings, mixed_at: float, cement: Cement) -> Heat:
    """Return peaks by place, dose at the canal, depth of dead bone, and when the cement was hard, s since mixing."""
    heat, site = level.heat, level.bed.site
    assert heat is not None
    assert level.ended is not None
    assert level.heat_ended is not None
    filled = level.cement_fraction >= _FILLED
    canal = site.regions == Region.CANAL
    places = (filled, site.own & ~filled, canal, site.regions == Region.DISC)
    peaks = [float(heat.peak[place].max()) - _CELSIUS if place.any() else float("nan") for place in places]
    times = np.sort(heat.time_hard[filled])
    hard = float(times[min(len(times) - 1, int(settings.hard_share * len(times)))]) if len(times) else np.inf
    return Heat(
        cement_peak_degc=peaks[0],
        bone_peak_degc=peaks[1],
        canal_peak_degc=peaks[2],
        disc_peak_degc=peaks[3],
        canal_cem43_min=float(heat.cem43[canal].max()) / 60.0 if canal.any() else 0.0,
        necrosis_depth_mm=necrosis_depth(heat.omega, filled, site.grid.spacing, cement.exotherm.dose),
        hard_s=level.ended - mixed_at + hard - level.heat_ended if np.isfinite(hard) else None,
    )


def _told(state: State, name: Level, level: LevelState, hottest: float, settings: CureSettings) -> State:
    """Add the events of the cure, each at its own time."""
    assert level.ended is not None
    assert level.heat is not None
    assert level.heat_ended is not None
    heat, site = level.heat, level.bed.site
    filled = level.cement_fraction >= _FILLED
    canal = heat.peak[site.regions == Region.CANAL]
    data: dict[str, Datum] = {"cement_peak_degc": float(heat.peak.max()) - _CELSIUS}
    if canal.size:
        data["canal_peak_degc"] = float(canal.max()) - _CELSIUS
    state = state.with_level(name, level).with_event(
        EventKind.PEAK_TEMPERATURE, name, None, data, at=level.ended + hottest
    )
    times = np.sort(heat.time_hard[filled])
    hard = float(times[min(len(times) - 1, int(settings.hard_share * len(times)))]) if len(times) else np.inf
    end = level.ended + settings.duration
    if np.isfinite(hard):
        at = level.ended + max(hard - level.heat_ended, 0.0)
        state = state.with_event(EventKind.HARD, name, None, {"share_percent": 100.0 * settings.hard_share}, at=at)
    else:
        share = float(np.isfinite(times).mean()) if len(times) else 0.0
        state = state.with_event(EventKind.WARNING, name, None, {"hard_percent": 100.0 * share}, at=end)
    return state.with_event(EventKind.CURED, name, at=end)
