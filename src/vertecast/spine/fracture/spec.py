"""What a virtual fracture is asked to be: how much height is lost where, and what else breaks."""

from dataclasses import dataclass
from enum import Enum

from vertecast.core.errors import InputError
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity

LARGEST_LOSS = 0.75


class CleftFilling(Enum):
    """What an intraosseous cleft holds."""

    GAS = "gas"
    FLUID = "fluid"


class BreachSite(Enum):
    """Where the cortex is broken through."""

    ANTERIOR = "anterior"
    SUPERIOR = "superior"
    POSTERIOR = "posterior"


@dataclass(frozen=True, slots=True, kw_only=True)
class FractureSpec:
    """Loss of height at the three stations as fractions of the height before, and the lesions beside it.

    Parameters
    ----------
    middle_loss : None lets the middle follow the straight line between front and back; more than that dents the
        endplates
    cleft : a lens-shaped gap below the superior endplate, in front
    breach : a hole through cortex or endplate
    """

    anterior_loss: float = quantity("1", "fraction of the anterior height lost")
    middle_loss: float | None = quantity("1", "fraction of the middle height lost", default=None)
    posterior_loss: float = quantity("1", "fraction of the posterior height lost", default=0.0)
    cleft: CleftFilling | None = None
    cleft_thickness_mm: float = quantity("mm", "greatest thickness of the cleft", default=4.0)
    breach: BreachSite | None = None
    breach_radius_mm: float = quantity("mm", "radius of the hole", default=3.0)
    wall_bulge_mm: float = quantity("mm", "how far the posterior wall is pushed into the canal", default=0.0)

    def __post_init__(self) -> None:
        for name in ("anterior_loss", "middle_loss", "posterior_loss"):
            loss = getattr(self, name)
            if loss is not None and not 0.0 <= loss <= LARGEST_LOSS:
                raise InputError(
                    f"{name} = {loss} is outside 0 to {LARGEST_LOSS}; give a fraction of the height before"
                )
        if not 0.0 <= self.wall_bulge_mm <= 6.0:
            raise InputError(
                f"wall_bulge_mm = {self.wall_bulge_mm} is outside 0 to 6 mm, the canal would fold; reduce it"
            )
        if not (1.0 <= self.cleft_thickness_mm <= 12.0 and 1.0 <= self.breach_radius_mm <= 8.0):
            raise InputError(
                f"cleft thickness {self.cleft_thickness_mm} mm or breach radius {self.breach_radius_mm} mm is outside "
                "1 to 12 and 1 to 8 mm; choose one inside"
            )

    @classmethod
    def wedge(cls, loss: float) -> "FractureSpec":
        """Collapse in front, the posterior wall standing."""
        return cls(anterior_loss=loss)

    @classmethod
    def biconcave(cls, loss: float) -> "FractureSpec":
        """Both endplates dented in the middle, front and back standing."""
        return cls(anterior_loss=0.0, middle_loss=loss)

    @classmethod
    def crush(cls, loss: float) -> "FractureSpec":
        """The whole body lower by one fraction."""
        return cls(anterior_loss=loss, middle_loss=loss, posterior_loss=loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class WarpShape:
    """How a collapse is spread through the body and its surroundings."""

    lattice_spacing: float = quantity("mm", "spacing of the lattice that carries the warp")
    plate_thickness: float = quantity("mm", "bone that moves with an endplate undeformed")
    band_centre: float = quantity("1", "relative height of the impaction band")
    band_half_width: float = quantity("1", "half width of the band")
    band_excess: float = quantity("1", "extra strain in the band")
    greatest_compression: float = quantity("1", "largest local shortening")
    superior_share: float = quantity("1", "share of a dent that the superior endplate takes")
    soft_fan: float = quantity("1", "opening of the soft-tissue zone per distance")
    smoothing: float = quantity("mm", "Gaussian width of the weights")
    undulation: float = quantity("1", "irregularity of the band")
    marrow_hu: float = quantity("HU", "what flows out when bone is squeezed; the excess over it is mineral and stays")


def load_warp_shape() -> Loaded[WarpShape]:
    """Load ``data/phantom/fracture.toml``."""
    return load_parameters("phantom/fracture.toml", WarpShape)
