"""The catalogue: reads the device files and finds a device by its name."""

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from vertecast.core.errors import InputError
from vertecast.core.parameters import Loaded, ParameterUse, Status, parse_parameters, read_toml
from vertecast.devices.access import Tube
from vertecast.devices.cavity import Balloon, CavityTool
from vertecast.devices.fills import CementCard, Contrast

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every device by name, each with the source and status of its numbers."""

    needles: Mapping[str, Loaded[Tube]]
    cannulas: Mapping[str, Loaded[Tube]]
    balloons: Mapping[str, Loaded[Balloon]]
    cavity_tools: Mapping[str, Loaded[CavityTool]]
    cements: Mapping[str, Loaded[CementCard]]
    contrasts: Mapping[str, Loaded[Contrast]]

    @property
    def assumed(self) -> tuple[ParameterUse, ...]:
        """Every number nobody measured or reported, by ``device.name``, for the user to see."""
        return tuple(
            use
            for kind in (self.needles, self.cannulas, self.balloons, self.cavity_tools, self.cements, self.contrasts)
            for loaded in kind.values()
            for use in loaded.uses
            if use.status is Status.ASSUMED
        )


@functools.cache
def catalogue() -> Catalogue:
    """Read and check all device files; the result is immutable, so one reading serves all."""
    return Catalogue(
        needles=_section("needles", Tube),
        cannulas=_section("cannulas", Tube),
        balloons=_section("balloons", Balloon),
        cavity_tools=_section("cavity_tools", CavityTool),
        cements=_section("cements", CementCard),
        contrasts=_section("contrasts", Contrast),
    )


def find(kind: Mapping[str, Loaded[T]], name: str) -> Loaded[T]:
    """Return a device by its name, or say which ones there are.

    Raises
    ------
    InputError
        When the catalogue has no device of that name.
    """
    if name not in kind:
        near = difflib.get_close_matches(name, kind, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(kind)}"
        raise InputError(f"device {name!r} is not in the catalogue; {hint}")
    return kind[name]


def fits(tool_diameter: float, cannula: Tube) -> bool:
    """Tell whether a folded tool, diameter in mm, passes the lumen of a cannula."""
    return tool_diameter <= cannula.inner_diameter


def _section(name: str, cls: type[T]) -> Mapping[str, Loaded[T]]:
    path = f"devices/{name}.toml"
    loaded: dict[str, Loaded[T]] = {}
    for device, table in read_toml(path).items():
        parsed = parse_parameters(table, cls, place=f"data/{path}: {device}")
        uses = tuple(
            ParameterUse(f"{device}.{use.name}", use.value, use.unit, use.source, use.status) for use in parsed.uses
        )
        loaded[device] = Loaded(parsed.values, uses)
    return MappingProxyType(loaded)
