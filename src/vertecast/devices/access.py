"""What opens the way into the body: access needles and working cannulas."""

from dataclasses import dataclass

from vertecast.core.errors import ParameterError
from vertecast.core.quantities import quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Tube:
    """A rigid straight hollow instrument: an access needle, or the working cannula of a cavity tool."""

    gauge: float = quantity("gauge", "needle gauge of its outer diameter")
    outer_diameter: float = quantity("mm", "outer diameter")
    inner_diameter: float = quantity("mm", "lumen")
    length: float = quantity("mm", "usable length from hub to tip")
    use: str = quantity("1", "what it is commonly used for")

    def __post_init__(self) -> None:
        if not 0 < self.inner_diameter < self.outer_diameter:
            raise ParameterError(
                f"inner diameter {self.inner_diameter} mm does not fit an outer one of {self.outer_diameter} mm; "
                "correct the device file"
            )
        if self.length <= 0:
            raise ParameterError(f"length {self.length} mm must be above 0; correct the device file")

    @property
    def radius(self) -> float:
        """Outer radius, mm."""
        return self.outer_diameter / 2

    @property
    def dead_volume(self) -> float:
        """Volume of the lumen, mm³: what is pushed before the first cement leaves the tip."""
        return 3.141592653589793 * self.inner_diameter**2 / 4 * self.length
