"""Genant's grade and shape from continuous losses; a label beside the number, never instead of it."""

from dataclasses import dataclass
from enum import Enum

from vertecast.core.quantities import quantity
from vertecast.spine.heights import Place
from vertecast.spine.reference import HeightLoss


class FractureShape(Enum):
    """Genant's shapes."""

    WEDGE = "wedge"
    BICONCAVE = "biconcave"
    CRUSH = "crush"


@dataclass(frozen=True, slots=True, kw_only=True)
class GenantCuts:
    """Cuts of the grades; ``data/spine/genant.toml``."""

    mild_from: float = quantity("%", "grade 1 from this loss")
    moderate_from: float = quantity("%", "grade 2 from this loss")
    severe_from: float = quantity("%", "grade 3 from this loss")
    suspected_from: float = quantity("%", "grade 0.5 from this loss, if an endplate is pushed in as well")
    borderline_margin: float = quantity("%", "distance from a cut within which a grade is borderline")
    dent_from: float = quantity("mm", "excess depth of an endplate that counts as pushed in")
    crush_share: float = quantity("1", "posterior over largest loss from which the shape is crush")


@dataclass(frozen=True, slots=True)
class Genant:
    """Grade, shape and how sure.

    Parameters
    ----------
    grade : 0, 0.5, 1, 2 or 3; ``None`` when unknown
    shape : ``None`` for grade 0 and when unknown
    borderline : whether a cut lies within the margin or within the interval of the loss
    reason : why the grade is unknown, or what decided it
    """

    grade: float | None
    shape: FractureShape | None
    borderline: bool
    reason: str


def grade_loss(loss: HeightLoss, dented: bool, cuts: GenantCuts) -> Genant:
    """Grade a loss that is already counted against the level's normal shape.

    Parameters
    ----------
    dented : whether an endplate is pushed in beyond what its neighbours show
    """
    largest = loss.largest
    if largest.value is None or loss.worst is None:
        return Genant(None, None, False, largest.reason or "no reference")
    value = largest.value
    limits = (cuts.mild_from, cuts.moderate_from, cuts.severe_from)
    grade = float(sum(value >= limit for limit in limits))
    if grade == 0.0 and dented and value >= cuts.suspected_from:
        grade = 0.5
    low, high = largest.low, largest.high
    borderline = any(
        abs(value - limit) <= cuts.borderline_margin or (low is not None and high is not None and low < limit < high)
        for limit in limits
    )
    reason = f"{loss.worst.value} height {value:.1f} % below {loss.formula}"
    return Genant(grade, _shape(loss, cuts) if grade > 0 else None, borderline, reason)


def _shape(loss: HeightLoss, cuts: GenantCuts) -> FractureShape:
    anterior, middle, posterior = (loss.percent[place].value or 0.0 for place in Place)
    if posterior >= cuts.crush_share * max(anterior, middle, posterior):
        return FractureShape.CRUSH
    return FractureShape.BICONCAVE if middle > anterior else FractureShape.WEDGE
