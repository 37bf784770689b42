"""The skin of a cavity tool: its free shape by volume, what holds it back outside, what it takes to fill it."""

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity

Field = NDArray[np.float64]


class Family(Enum):
    """Free shapes; each grows with the volume in its own directions."""

    PROLATE = "prolate"
    """Spheroid of fixed length until it is a ball."""
    CYLINDER = "cylinder"
    """Of fixed length; the diameter grows."""
    PLATES = "plates"
    """Two plates of fixed length and width that part along the body's axis."""
    BALL = "ball"


@dataclass(frozen=True, slots=True, kw_only=True)
class BalloonSettings:
    """What the catalogue does not say of a balloon; ``data/procedure/balloon.toml``."""

    resting_pressure: float = quantity("MPa", "that fills it to the rated volume in the open")
    wall_stiffness: float = quantity("MPa", "that holds the wall back 1 mm outside the free shape")
    line_compliance: float = quantity("mm3", "taken up by tube and syringe at 1 MPa")
    rate: float = quantity("mm3/s", "of inflation")
    cortex_distance: float = quantity("mm", "from the cortex at which inflation stops")
    endplate_distance: float = quantity("mm", "from the endplate at which inflation stops")
    canal_distance: float = quantity("mm", "from the canal at which inflation stops")
    pressure_fall: float = quantity("1", "share of the highest pressure lost when something gives way")
    resume_share: float = quantity("1", "of the rated pressure, below which a stopped balloon is filled on")
    tries: float = quantity("1", "times that one is filled on")
    pressure_noticed: float = quantity("MPa", "from which a fall is noticed")
    start_voxels: float = quantity("1", "least radius of the first cavity, voxels")
    stent_recoil: float = quantity("1", "share of the diameter that a stent loses when its balloon goes")


def load_balloon() -> Loaded[BalloonSettings]:
    """Load ``data/procedure/balloon.toml``."""
    return load_parameters("procedure/balloon.toml", BalloonSettings)


@dataclass(frozen=True, eq=False, kw_only=True)
class Skin:
    """A tool's skin at its place: the membrane of the cavity kernel.

    Parameters
    ----------
    family : free shape
    centre : (3,), mm in the kernel's coordinates
    axes : (3, 3), unit rows: along the tool, across, and craniocaudal
    length, width : mm; the width is that of plates
    rated_volume : mm³
    resting : MPa at the rated volume
    stiffness : MPa per mm outside the free shape
    """

    family: Family
    centre: Field
    axes: Field
    length: float
    width: float
    rated_volume: float
    resting: float
    stiffness: float

    def __post_init__(self) -> None:
        if min(self.length, self.width, self.rated_volume) <= 0 or min(self.resting, self.stiffness) < 0:
            raise ParameterError(
                f"tool of length {self.length}, width {self.width} mm, volume {self.rated_volume} mm3, resting "
                f"pressure {self.resting}, stiffness {self.stiffness} MPa/mm: sizes must be > 0, pressures >= 0"
            )

    def resting_pressure(self, volume: float) -> float:
        """Return the pressure, MPa, that fills it to ``volume`` mm³ in the open; it rises with the volume."""
        return self.resting * volume / self.rated_volume

    def size(self, volume: float) -> tuple[float, float]:
        """Return length and craniocaudal diameter, mm, of the free shape."""
        ball = (6.0 * volume / math.pi) ** (1 / 3)
        if self.family is Family.BALL or (self.family is Family.PROLATE and ball > self.length):
            return ball, ball
        if self.family is Family.PROLATE:
            return self.length, math.sqrt(6.0 * volume / (math.pi * self.length))
        if self.family is Family.CYLINDER:
            return self.length, math.sqrt(4.0 * volume / (math.pi * self.length))
        return self.length, volume / (self.length * self.width)

    def outside(self, places: Field, volume: float) -> Field:
        """Return the distance (n,), mm, of (n, 3) places outside the free shape at ``volume``; negative inside."""
        length, height = self.size(volume)
        along, across, up = (np.asarray(places, float) - self.centre).dot(self.axes.T).T
        if self.family is Family.PLATES:
            return _outside_box(np.stack([along, across, up]), (length, self.width, height))
        radial = np.hypot(across, up)
        if self.family is Family.CYLINDER:
            return _outside_box(np.stack([along, radial]), (length, height))
        half = np.array([0.5 * length, 0.5 * height])
        scaled = np.stack([along / half[0], radial / half[1]])
        first = np.sqrt((scaled**2).sum(axis=0))
        second = np.sqrt(((scaled / half[:, None]) ** 2).sum(axis=0))
        return np.asarray(first * (first - 1.0) / np.maximum(second, 1e-12))

    def largest(self) -> tuple[float, float]:
        """Return length and diameter, mm, at the rated volume."""
        return self.size(self.rated_volume)


def _outside_box(offset: Field, sides: tuple[float, ...]) -> Field:
    beyond = np.abs(offset) - 0.5 * np.reshape(sides, (-1, 1))
    out = np.sqrt((np.maximum(beyond, 0.0) ** 2).sum(axis=0))
    return np.asarray(out + np.minimum(beyond.max(axis=0), 0.0))


def tool_axes(direction: Field) -> Field:
    """Return the unit rows along, across and craniocaudal of a tool that points along ``direction`` (grid axes)."""
    along = np.asarray(direction, float) / np.linalg.norm(direction)
    across = np.cross(np.array([0.0, 0.0, 1.0]), along)
    length = float(np.linalg.norm(across))
    if length < 0.1:
        raise ParameterError("a cavity tool cannot lie along the axis of the body; choose another needle path")
    across /= length
    return np.stack([along, across, np.cross(along, across)])
