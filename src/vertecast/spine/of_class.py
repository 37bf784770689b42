"""The AO Spine-DGOU OF class as far as CT can tell; oedema (OF1) and tension bands (OF5) it does not see."""

from dataclasses import dataclass
from enum import Enum

from vertecast.core.quantities import Measured, quantity
from vertecast.spine.endplates import Side
from vertecast.spine.genant import Genant
from vertecast.spine.heights import Place
from vertecast.spine.reference import HeightLoss


class OfClass(Enum):
    """What CT can name."""

    OF0_OR_OF1 = "OF0_or_OF1"
    OF2 = "OF2"
    OF3 = "OF3"
    OF4 = "OF4"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfLimits:
    """Limits of the classes; ``data/spine/of_class.toml``."""

    wall_share: float = quantity("1", "share of the canal from which a wall fragment is more than minor")
    wall_loss: float = quantity("%", "loss of posterior height from which the posterior wall is broken")
    collapse_from: float = quantity("%", "largest loss from which the frame is lost")


@dataclass(frozen=True, slots=True)
class OfCall:
    """The class and what decided it."""

    of_class: OfClass
    decided_by: str


def classify_of(
    genant: Genant, loss: HeightLoss, dented: tuple[Side, ...], canal_share: Measured, limits: OfLimits
) -> OfCall:
    """Follow the published order: both endplates, then one endplate with or without the posterior wall.

    Parameters
    ----------
    dented : endplates pushed in beyond what the neighbours show
    canal_share : share of the canal's depth that the posterior wall takes
    """
    if genant.grade is None:
        return OfCall(OfClass.UNKNOWN, genant.reason)
    if genant.grade < 1.0:
        if dented and genant.grade > 0:
            return OfCall(OfClass.OF2, f"{dented[0].value} endplate pushed in, loss below 20 %: suspected only")
        return OfCall(OfClass.OF0_OR_OF1, "no deformity; oedema (OF1) needs STIR or dual-energy CT")
    worst = loss.largest.value or 0.0
    if len(dented) == len(Side):
        return OfCall(OfClass.OF4, "both endplates are pushed in")
    if worst >= limits.collapse_from:
        return OfCall(OfClass.OF4, f"collapse: {worst:.0f} % of the height is lost")
    plate = f"{dented[0].value} endplate pushed in" if dented else "one endplate presumed: none is dented by itself"
    posterior = loss.percent[Place.POSTERIOR].value
    if canal_share.value is not None and canal_share.value >= limits.wall_share:
        return OfCall(OfClass.OF3, f"{plate}; the posterior wall takes {100 * canal_share.value:.0f} % of the canal")
    if posterior is not None and posterior >= limits.wall_loss:
        return OfCall(OfClass.OF3, f"{plate}; {posterior:.0f} % of the posterior height is lost")
    wall = "posterior wall not displaced" if canal_share.value is not None else "posterior wall's bulge unknown"
    return OfCall(OfClass.OF2, f"{plate}; {wall}")
