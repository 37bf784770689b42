"""What is injected: cements as the surgeon handles them, and the contrast medium that fills a balloon."""

from dataclasses import dataclass

from vertecast.core.errors import ParameterError
from vertecast.core.quantities import quantity

VISCOSITIES = ("low", "medium", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class CementCard:
    """A cement by its handling; its rheology, cure and strength are parameters of the physics, not of the card."""

    viscosity_class: str = quantity("1", "low, medium or high viscosity")
    working_start: float = quantity("s", "first moment after mixing at which it may be injected")
    working_end: float = quantity("s", "last moment after mixing at which it may be injected")
    handling_temperature: float = quantity("degC", "room temperature these times hold for")
    hardening: float = quantity("s", "time after mixing at which it is hard in the body")
    opacifier: str = quantity("1", "what makes it visible on X-ray")
    opacifier_fraction: float = quantity("1", "mass fraction of the opacifier in the powder")

    def __post_init__(self) -> None:
        if self.viscosity_class not in VISCOSITIES:
            raise ParameterError(f"viscosity class {self.viscosity_class!r} is not one of {', '.join(VISCOSITIES)}")
        if not 0 <= self.working_start < self.working_end:
            raise ParameterError(
                f"working time from {self.working_start} to {self.working_end} s is empty; correct the device file"
            )
        if not 0 <= self.opacifier_fraction < 1:
            raise ParameterError(f"opacifier fraction {self.opacifier_fraction} is outside 0 to 1; correct the file")

    @property
    def visible(self) -> bool:
        """Whether X-ray shows it: PMMA without an opacifier is invisible."""
        return self.opacifier_fraction > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """The medium in the balloon."""

    iodine: float = quantity("mg/cm3", "iodine concentration")
    iodinated: bool = quantity("1", "whether an allergy to iodinated contrast forbids it")

    def __post_init__(self) -> None:
        if self.iodine < 0 or (self.iodine > 0) != self.iodinated:
            raise ParameterError(f"iodine {self.iodine} mg/cm3 does not agree with iodinated = {self.iodinated}")
