"""When one stops injecting: what a surgeon looks at on the lateral view, what the hand feels, and the clock."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.procedure.bed import Bed
from vertecast.procedure.regions import Route
from vertecast.procedure.state import LevelState


class StopReason(Enum):
    """Why an injection ends."""

    PLANNED_VOLUME = "planned_volume"
    POSTERIOR_QUARTER = "posterior_quarter"
    CANAL_FILLING = "canal_filling"
    VENOUS_FILLING = "venous_filling"
    DISC_FILLING = "disc_filling"
    PRESSURE_LIMIT = "pressure_limit"
    WORKING_TIME = "working_time"
    CUT_OFF = "cut_off"
    CONTAINER_FULL = "container_full"
    CANCELLED = "cancelled"

    @property
    def sentence(self) -> str:
        """The reason in words."""
        return _SENTENCES[self]


_SENTENCES = {
    StopReason.PLANNED_VOLUME: "the planned volume is in",
    StopReason.POSTERIOR_QUARTER: "cement is seen in the posterior quarter of the body on the lateral view",
    StopReason.CANAL_FILLING: "cement is seen in the canal or a foramen",
    StopReason.VENOUS_FILLING: "cement is seen in a vein",
    StopReason.DISC_FILLING: "cement is seen in a disc",
    StopReason.PRESSURE_LIMIT: "the pressure limit allows almost no flow any more",
    StopReason.WORKING_TIME: "the cement's working time is over",
    StopReason.CUT_OFF: "set cement closes every way from the tip",
    StopReason.CONTAINER_FULL: "the mesh container is full",
    StopReason.CANCELLED: "the run was cancelled",
}

NOTICED = frozenset(
    {
        StopReason.POSTERIOR_QUARTER,
        StopReason.CANAL_FILLING,
        StopReason.VENOUS_FILLING,
        StopReason.DISC_FILLING,
        StopReason.PRESSURE_LIMIT,
        StopReason.WORKING_TIME,
    }
)
"""The rules that can be switched off; the planned volume, a full container, cut-off and cancelling always end one."""

_WATCHED = (
    (StopReason.CANAL_FILLING, (Route.CANAL,)),
    (StopReason.VENOUS_FILLING, (Route.BASIVERTEBRAL, Route.SEGMENTAL)),
    (StopReason.DISC_FILLING, (Route.DISC,)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionSettings:
    """How cement is pushed, and from what on its spread is noticed."""

    rate: float = quantity("mm3/s", "injection rate while the pressure allows")
    pressure_limit: float = quantity("MPa", "highest pressure at the syringe")
    least_rate: float = quantity("mm3/s", "a slower flow at the pressure limit is resistance")
    side_change: float = quantity("s", "time to turn to the other needle")
    level_change: float = quantity("s", "time to turn to another level")
    needle_temperature: float = quantity("K", "temperature of the cement that leaves the needle")
    longest_step: float = quantity("s", "longest time between two looks")
    posterior_share: float = quantity("1", "posterior part of the body's depth that stays free")
    visible_thickness: float = quantity("mm", "cement along the beam that is seen")
    visible_area: float = quantity("mm2", "patch of it that is noticed")
    visible_leak: float = quantity("mm3", "leaked cement that is noticed")
    onset_volume: float = quantity("mm3", "leaked cement from which a leak has begun")
    progress_volume: float = quantity("mm3", "cement between two progress events")


def load_injection() -> Loaded[InjectionSettings]:
    """Load ``data/procedure/injection.toml``."""
    return load_parameters("procedure/injection.toml", InjectionSettings)


def lateral_thickness(bed: Bed, fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """(ny, nz), mm: cement along the beam of the lateral view, in the vertebra."""
    return np.asarray(np.where(bed.site.own, fraction, 0.0).sum(axis=0) * bed.site.voxel_mm)


def posterior_area(bed: Bed, fraction: NDArray[np.float64], settings: InjectionSettings) -> float:
    """Area, mm², of the body's posterior part in which cement is seen on the lateral view."""
    site = bed.site
    front, wall = site.box[1]
    behind = site.lines[1] > wall - settings.posterior_share * (wall - front)
    low, high = site.box[2]
    heights = (site.lines[2] >= low) & (site.lines[2] <= high)
    seen = lateral_thickness(bed, fraction) >= settings.visible_thickness
    return float(np.count_nonzero(seen & behind[:, None] & heights[None, :])) * site.voxel_mm**2


def noticed(
    level: LevelState, before: LevelState, rules: frozenset[StopReason], settings: InjectionSettings
) -> StopReason | None:
    """Return the first rule that what is seen now breaks, compared with what was seen when this needle began."""
    if StopReason.POSTERIOR_QUARTER in rules:
        seen = posterior_area(level.bed, level.cement_fraction, settings)
        if seen - posterior_area(level.bed, before.cement_fraction, settings) >= settings.visible_area:
            return StopReason.POSTERIOR_QUARTER
    for reason, routes in _WATCHED:
        grown = sum(level.leaks[route].volume - before.leaks[route].volume for route in routes)
        if reason in rules and grown >= settings.visible_leak:
            return reason
    return None
