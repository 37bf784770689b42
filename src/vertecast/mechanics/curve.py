"""Reading a force-displacement curve: stiffness, offset yield, force at a strain, maximum."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.quantities import Measured

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Force against shortening of a body, both growing from 0.

    Parameters
    ----------
    shortening : (k,), mm; begins with 0
    force : (k,), N; begins with 0
    stiffness : N/mm, of the elastic body
    height : mm
    """

    shortening: Array
    force: Array
    stiffness: float
    height: float

    def offset_strength(self, offset: float) -> Measured:
        """Force where the curve meets the elastic line moved by ``offset`` times the height, N."""
        line = self.stiffness * (self.shortening - offset * self.height)
        gap = self.force - line
        below = np.flatnonzero(gap < 0)
        if below.size == 0:
            return Measured.unknown(
                f"the curve ends at {100 * self.shortening[-1] / self.height:.2f} % strain, before the offset line"
            )
        i = int(below[0])
        share = gap[i - 1] / (gap[i - 1] - gap[i])
        value = self.force[i - 1] + share * (self.force[i] - self.force[i - 1])
        return Measured(float(value), method=f"{100 * offset:g} % offset of the elastic line")

    def strength_at(self, strain: float) -> Measured:
        """Force at a shortening of ``strain`` times the height, N."""
        place = strain * self.height
        if self.shortening[-1] < place:
            reached = 100 * self.shortening[-1] / self.height
            return Measured.unknown(f"the curve ends at {reached:.2f} % strain, before {100 * strain:g} %")
        return Measured(
            float(np.interp(place, self.shortening, self.force)), method=f"force at {100 * strain:g} % strain"
        )

    def maximum(self) -> Measured:
        """Highest force, N; says when the curve was still rising at its end."""
        if len(self.force) < 2:
            return Measured.unknown("no step of the load found equilibrium; see the status")
        top = int(np.argmax(self.force))
        rising = top == len(self.force) - 1
        end = 100 * self.shortening[top] / self.height
        return Measured(
            float(self.force[top]), method=f"highest force, at {end:.2f} % strain{', still rising' if rising else ''}"
        )
