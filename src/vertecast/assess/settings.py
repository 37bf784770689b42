"""How a level is tested and read; ``data/assess/mechanics.toml``."""

from dataclasses import dataclass

from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import Measured, quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessSettings:
    """Tests, readings and errors."""

    increments: float = quantity("1", "steps of the curve")
    strain: float = quantity("1", "largest shortening over the body height")
    tolerance: float = quantity("1", "imbalance over present forces at which a step is in equilibrium")
    strength_voxel: float = quantity("mm", "smallest element of the non-linear test")
    density_error: float = quantity("1", "relative standard deviation of calibrated density")
    density_error_uncalibrated: float = quantity("1", "relative standard deviation of density by a typical line")
    stiffness_exponent: float = quantity("1", "density exponent of stiffness")
    strength_exponent: float = quantity("1", "density exponent of strength")
    model_error: float = quantity("1", "relative standard deviation of the model beside density")
    ratio_error: float = quantity("1", "relative error of the ratio of two strengths, by the grid")
    segment_error: float = quantity("%", "error of a change at the neighbours, by the grid, points")
    endplate_layer: float = quantity("mm", "depth of bone under a neighbour's endplate that is read")
    contact_depth: float = quantity("mm", "distance at which cement touches an endplate")
    touching_share: float = quantity("1", "share of an endplate's columns from which cement touches it")
    filled: float = quantity("1", "saturation from which a cell is cement")
    segment_voxel: float = quantity("mm", "element of the segment, whatever the level's voxel")
    cement_modulus_low: float = quantity("MPa", "lowest modulus of solid cement")
    cement_modulus_high: float = quantity("MPa", "highest modulus of solid cement")
    parallel_exponent: float = quantity("1", "exponent of the stiffest porous cement")

    def trusted(self, value: float, exponent: float, calibrated: bool, method: str) -> Measured:
        """Return a number with the 95 % interval that errors of density and model span."""
        density = self.density_error if calibrated else self.density_error_uncalibrated
        half = 1.96 * float(((exponent * density) ** 2 + self.model_error**2) ** 0.5)
        return Measured(value, value * max(0.0, 1.0 - half), value * (1.0 + half), method)


def load_settings() -> Loaded[AssessSettings]:
    """Load ``data/assess/mechanics.toml``."""
    return load_parameters("assess/mechanics.toml", AssessSettings)
