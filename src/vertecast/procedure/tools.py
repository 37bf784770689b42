"""Cavity tools as one step: shape family, direction of force, and whether the tool stays in the bone."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.sides import Side
from vertecast.devices.catalogue import catalogue, find
from vertecast.procedure.balloon import BalloonSettings, Family, Skin, tool_axes
from vertecast.procedure.fractured import FracturedLevel, Tissue
from vertecast.procedure.needle import Needle

Field = NDArray[np.float64]

_FAMILY = {
    "prolate": Family.PROLATE,
    "ellipsoid": Family.PROLATE,
    "ball": Family.BALL,
    "arc": Family.BALL,
    "cylinder": Family.CYLINDER,
    "ring_stack": Family.PLATES,
    "plates": Family.PLATES,
}


class Force(Enum):
    """What the tool does to the bone."""

    ISOTROPIC = "isotropic"
    CRANIOCAUDAL = "craniocaudal"
    CUTTING = "cutting"


@dataclass(frozen=True, eq=False, kw_only=True)
class CavityTool:
    """A tool of the catalogue, on its side, in its place.

    Parameters
    ----------
    name : in the catalogue
    rated_pressure : MPa; None for tools that no fluid expands
    stays : whether it stays in the bone and holds what it has lifted
    recoil : share of the diameter that is lost when it is let go
    contains : whether it keeps the cement inside
    start_radius : mm, of the first cavity
    """

    name: str
    side: Side
    force: Force
    stays: bool
    contains: bool
    skin: Skin
    rated_pressure: float | None
    recoil: float
    start_radius: float

    @property
    def ends(self) -> tuple[Field, Field]:
        """Return the ends of the axis of the first cavity, mm in the kernel's coordinates."""
        half = max(0.5 * self.skin.length - self.start_radius, 0.0)
        if self.skin.family is Family.BALL:
            half = 0.0
        along = self.skin.axes[0]
        return self.skin.centre - half * along, self.skin.centre + half * along


def tool_names() -> list[str]:
    """Return the names of all cavity tools: balloons first."""
    devices = catalogue()
    return [*devices.balloons, *devices.cavity_tools]


def contains_cement(name: str) -> bool:
    """Tell whether a tool of the catalogue keeps the cement inside."""
    tools = catalogue().cavity_tools
    return name in tools and tools[name].values.contains_cement


def place_tool(name: str, needle: Needle, level: FracturedLevel, settings: BalloonSettings) -> CavityTool:
    """Put a tool of the catalogue where a needle's path leads: its far end at the needle's tip.

    Raises
    ------
    InputError
        For a name that the catalogue does not have.
    GeometryError
        For a tool that is larger than the body, or does not lie in bone at rest.
    """
    devices = catalogue()
    tip, entry = level.places(needle.tip_lps), level.places(needle.entry_lps)
    axes = tool_axes(tip - entry)
    radius = settings.start_voxels * level.site.voxel_mm
    if name in devices.balloons:
        balloon = devices.balloons[name].values
        family, length, width = Family.PROLATE, balloon.working_length, balloon.working_length
        skin = Skin(
            family=family, centre=tip - 0.5 * length * axes[0], axes=axes, length=length, width=width,
            rated_volume=balloon.rated_volume, resting=settings.resting_pressure, stiffness=settings.wall_stiffness,
        )  # fmt: skip
        tool = CavityTool(
            name=name, side=needle.side, force=Force.ISOTROPIC, stays=False, contains=False, skin=skin,
            rated_pressure=balloon.rated_pressure, recoil=0.0,
            start_radius=max(radius, 0.5 * balloon.deflated_diameter),
        )  # fmt: skip
    elif name in devices.cavity_tools:
        card = find(devices.cavity_tools, name).values
        family = _FAMILY[card.shape]
        volume = card.rated_volume
        width = volume / (card.length * card.expanded_diameter) if family is Family.PLATES else card.expanded_diameter
        length = card.expanded_diameter if family is Family.BALL else card.length
        if family is Family.CYLINDER:
            volume = min(volume, 0.25 * np.pi * card.expanded_diameter**2 * length)
        skin = Skin(
            family=family, centre=tip - 0.5 * length * axes[0], axes=axes, length=length, width=width,
            rated_volume=float(volume), resting=0.0, stiffness=10.0 * settings.wall_stiffness,
        )  # fmt: skip
        tool = CavityTool(
            name=name, side=needle.side, force=Force(card.force), stays=card.stays, contains=card.contains_cement,
            skin=skin, rated_pressure=None, recoil=settings.stent_recoil if card.stays else 0.0,
            start_radius=max(radius, 0.5 * card.collapsed_diameter),
        )  # fmt: skip
    else:
        raise InputError(f"tool {name!r} is not in the catalogue; there are {', '.join(tool_names())}")
    _require_inside(tool, level, settings)
    return tool


def _require_inside(tool: CavityTool, level: FracturedLevel, settings: BalloonSettings) -> None:
    """Refuse a tool that does not fit: longer than the body is deep, or not in bone at rest."""
    box = level.site.box
    deep, wide = float(box[1, 1] - box[1, 0]), float(box[0, 1] - box[0, 0])
    where = f"{level.site.level} {tool.side}: {tool.name}"
    reach = abs(tool.skin.axes[0]) @ np.array([tool.skin.length, tool.skin.length, 0.0])
    if tool.skin.length > max(deep, wide) or reach > deep + wide:
        raise GeometryError(
            f"{where} is {tool.skin.length:g} mm long in a body of {wide:.0f} x {deep:.0f} mm; choose a smaller size"
        )
    first, last = tool.ends
    axis = first + np.linspace(0.0, 1.0, 9)[:, None] * (last - first)
    h = level.site.voxel_mm
    for place in axis:
        cell = np.floor(place / h).astype(int)
        inside = (cell >= 0).all() and (cell < level.tissue.shape).all()
        tissue = Tissue(int(level.tissue[tuple(cell)])) if inside else Tissue.VOID
        if tissue not in (Tissue.BONE, Tissue.BAND):
            raise GeometryError(
                f"{where} lies in {tissue.name.lower()} at rest, not in bone, at {np.round(place, 1).tolist()} mm of "
                "the site; choose a smaller size or another needle path"
            )
    canal = np.argwhere(level.tissue == Tissue.EPIDURAL)
    if len(canal):
        away = np.linalg.norm((canal[:, None, :] + 0.5) * h - axis[None], axis=2).min() - tool.start_radius - 0.5 * h
        if away < 0.0:
            raise GeometryError(
                f"{where} touches the canal at rest; its far end must lie further in front, plan the tip anew"
            )
