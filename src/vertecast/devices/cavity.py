"""What makes or holds a cavity: balloon, mesh container, expandable ball, curette, stent, coil, craniocaudal jack."""

import math
from dataclasses import dataclass

from vertecast.core.errors import ParameterError
from vertecast.core.quantities import quantity

FREE_SHAPES = ("prolate",)
FORCES = ("isotropic", "craniocaudal", "cutting")


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ParameterError(f"{sentence}; correct the device file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Balloon:
    """An inflatable bone tamp; removed after use."""

    working_length: float = quantity("mm", "length of the balloon between its markers")
    rated_volume: float = quantity("mm3", "largest fill volume")
    rated_pressure: float = quantity("MPa", "largest pressure")
    deflated_diameter: float = quantity("mm", "diameter folded, which must pass the cannula")
    free_shape: str = quantity("1", "shape when inflated in air")

    def __post_init__(self) -> None:
        numbers = (self.working_length, self.rated_volume, self.rated_pressure, self.deflated_diameter)
        _require(min(numbers) > 0, f"balloon numbers {numbers} must all be above 0")
        _require(self.free_shape in FREE_SHAPES, f"free shape {self.free_shape!r} is not one of {FREE_SHAPES}")

    def free_axes(self, volume: float) -> tuple[float, float]:
        """Return the length and the diameter, mm, of the balloon inflated in air to ``volume`` mm³.

        A prolate spheroid of the working length that grows in diameter until it is a sphere, and a growing sphere after
        that, so V = pi/6 L d² always (physics.md section 4, the lift model).
        """
        if not 0 <= volume <= self.rated_volume:
            raise ParameterError(
                f"volume {volume} mm3 is outside 0 to {self.rated_volume} mm3, the rated volume; "
                "choose a larger balloon or less volume"
            )
        diameter = math.sqrt(6 * volume / (math.pi * self.working_length))
        if diameter <= self.working_length:
            return self.working_length, diameter
        sphere = (6 * volume / math.pi) ** (1 / 3)
        return sphere, sphere


@dataclass(frozen=True, slots=True, kw_only=True)
class CavityTool:
    """Any other cavity tool by what it does: shape, direction of force, whether it stays, whether it holds cement."""

    kind: str = quantity("1", "mesh_container, expandable_ball, curette, stent, coil or jack")
    shape: str = quantity("1", "shape family when expanded")
    force: str = quantity("1", "isotropic, craniocaudal or cutting")
    stays: bool = quantity("1", "whether it stays in the bone")
    contains_cement: bool = quantity("1", "whether it holds the cement back")
    needs_balloon: bool = quantity("1", "whether a balloon expands it")
    both_sides: bool = quantity("1", "whether it is used from both sides")
    collapsed_diameter: float = quantity("mm", "diameter on the way in")
    expanded_diameter: float = quantity("mm", "largest diameter or height after expansion")
    length: float = quantity("mm", "length along the path")
    rated_volume: float = quantity("mm3", "volume of the cavity it makes or fills")
    pedicle_margin: float = quantity("mm", "pedicle width needed beyond the collapsed diameter")

    KINDS = ("mesh_container", "expandable_ball", "curette", "stent", "coil", "jack")

    def __post_init__(self) -> None:
        _require(self.kind in self.KINDS, f"kind {self.kind!r} is not one of {self.KINDS}")
        _require(self.force in FORCES, f"force {self.force!r} is not one of {FORCES}")
        grows = 0 < self.collapsed_diameter <= self.expanded_diameter
        _require(grows, f"diameters {self.collapsed_diameter} to {self.expanded_diameter} mm must be above 0 and grow")
        _require(self.length > 0 and self.rated_volume > 0, f"length {self.length}, volume {self.rated_volume} > 0")

    @property
    def least_pedicle(self) -> float:
        """Pedicle width, mm, below which it does not pass."""
        return self.collapsed_diameter + self.pedicle_margin
