"""What a strength measurement needs to know besides the patient: supports, definitions, loads, as data."""

from dataclasses import dataclass
from enum import Enum

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.kernels.foam_law import NO_SIDEWAYS


class Support(Enum):
    """What holds the body's endplates."""

    PMMA = "pmma"
    DISC = "disc"


class Loading(Enum):
    """How the upper platen moves: down without tilting, or pushed in front of the centre and free to tilt."""

    AXIAL = "axial"
    FLEXION = "flexion"


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportMaterial:
    """The pads above and below the body."""

    modulus: float = quantity("MPa", "Young's modulus")
    poisson: float = quantity("1", "Poisson's ratio")
    yield_stress: float = quantity("MPa", "yield stress")
    outside: float = quantity("mm", "height beyond the highest point of the endplate")
    intrusion: float = quantity("mm", "how far below the highest point the pad still fills the endplate")
    at_endplates: bool = quantity("1", "whether deformation is read between the endplates instead of the platens")
    travel: float = quantity("1", "platen travel per strain asked of the body")


@dataclass(frozen=True, slots=True, kw_only=True)
class StrengthDefinition:
    """How strength is defined, and what counts as bone."""

    floor_density: float = quantity("mg/mm3", "density at and below which a voxel of the body is marrow")
    marrow_modulus: float = quantity("MPa", "Young's modulus of marrow")
    marrow_poisson: float = quantity("1", "Poisson's ratio of marrow")
    offset_strain: float = quantity("1", "offset of the yield line, share of the body height")
    fixed_strain: float = quantity("1", "strain at which the force is read, share of the body height")
    eccentricity: float = quantity("1", "force in front of the centre, share of the body's depth")
    inner_share: float = quantity("1", "part of the footprint that gives the body height")


@dataclass(frozen=True, slots=True, kw_only=True)
class StrengthOptions:
    """What the caller chooses.

    Parameters
    ----------
    voxel_mm : edge of the cubic elements
    law : name of a density law of ``data/bone``
    alphas : shapes of the yield surface; a bone has only one strength, the shapes span what is not known of it
    post_yield : name of a post-yield behaviour
    strain : largest platen travel as a share of the body height
    increments : steps of the curve
    tolerance : imbalance over present forces at which a step is in equilibrium
    """

    voxel_mm: float = 1.0
    law: str = "kopperdahl_2002"
    alphas: tuple[float, ...] = (0.0, float(NO_SIDEWAYS))
    post_yield: str = "perfect"
    support: Support = Support.PMMA
    loading: Loading = Loading.AXIAL
    strain: float = 0.03
    increments: int = 20
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        if not 0.2 <= self.voxel_mm <= 4.0:
            raise ParameterError(f"voxel_mm = {self.voxel_mm} is outside 0.2-4 mm; 1 mm is usual, 2 mm the coarsest")
        if not 0.0 < self.strain <= 0.1:
            raise ParameterError(f"strain = {self.strain} is outside 0-0.1, where small strains hold; use 0.03")
        if not self.alphas:
            raise ParameterError("alphas is empty; give at least one shape of the yield surface, 0 to 3/sqrt(2)")


def load_support(support: Support) -> Loaded[SupportMaterial]:
    """Load ``data/mechanics/support_<name>.toml``."""
    return load_parameters(f"mechanics/support_{support.value}.toml", SupportMaterial)


def load_definition() -> Loaded[StrengthDefinition]:
    """Load ``data/mechanics/strength.toml``."""
    return load_parameters("mechanics/strength.toml", StrengthDefinition)
