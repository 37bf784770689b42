"""The foam ellipse's constants: shape of the yield surface, hardening and damage."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError

NO_SIDEWAYS = 3.0 / np.sqrt(2.0)
"""The alpha at which uniaxial crush has no lateral plastic strain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoamLaw:
    """What the yield surface looks like and how it changes with ``kappa``.

    Parameters
    ----------
    alpha : 0 to 3/sqrt(2)
    hardening : growth of the yield stress per unit ``kappa``, relative to the first yield stress
    onset : ``kappa`` at which damage begins
    strength_loss, strength_scale : the yield stress falls by this share, over this ``kappa`` (1 - exp)
    stiffness_loss, stiffness_scale : the same for the elastic stiffness
    """

    alpha: float
    hardening: float = 0.0
    onset: float = 0.0
    strength_loss: float = 0.0
    strength_scale: float = 1.0
    stiffness_loss: float = 0.0
    stiffness_scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.alpha <= NO_SIDEWAYS * (1 + 1e-12):
            raise ParameterError(f"alpha = {self.alpha} is outside 0 (von Mises) to {NO_SIDEWAYS:.4f} (no expansion)")
        for name in ("strength_loss", "stiffness_loss"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ParameterError(f"{name} = {getattr(self, name)} is outside 0-1; 1 would leave nothing to solve")
        if min(self.strength_scale, self.stiffness_scale) <= 0 or min(self.onset, self.hardening) < 0:
            raise ParameterError(f"scales must be positive, onset and hardening not negative, got {self}")

    def packed(self) -> NDArray[np.float64]:
        """Return the constants in the order the compiled code reads them."""
        return np.array(
            [
                self.alpha,
                self.hardening,
                self.onset,
                self.strength_loss,
                self.strength_scale,
                self.stiffness_loss,
                self.stiffness_scale,
            ]
        )
