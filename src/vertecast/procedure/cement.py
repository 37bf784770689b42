"""The cement of a procedure: one product's handling, flow and cure together, and what it carries as it goes."""

from dataclasses import dataclass

import numpy as np

from vertecast.core.parameters import ParameterUse
from vertecast.devices.catalogue import catalogue, find
from vertecast.devices.fills import CementCard
from vertecast.physics.cure import advance_cure, reachable
from vertecast.physics.exotherm import ExothermLaws, load_exotherm
from vertecast.physics.rheology import CementRheology, ageing_rate, load_cement

CARRIED = ("age", "temperature", "conversion")
"""What travels with the cement: equivalent age, s; temperature, K; conversion."""
DEFAULT_CEMENT = "pmma-medium-viscosity"


@dataclass(frozen=True, eq=False, kw_only=True)
class Cement:
    """One cement: how it is handled, how it flows, how it cures."""

    name: str
    card: CementCard
    rheology: CementRheology
    exotherm: ExothermLaws
    uses: tuple[ParameterUse, ...] = ()

    def age_at(self, seconds: float, temperature: float) -> float:
        """Equivalent age, s, of cement kept ``seconds`` since mixing at a temperature, K."""
        return float(seconds * ageing_rate(temperature, self.rheology))

    def conversion_at(self, seconds: float, temperature: float) -> float:
        """Conversion of cement kept ``seconds`` since mixing at a temperature, K: its own heat is carried off."""
        law = self.exotherm.cure
        start = np.array([law.kinetics.start])
        kelvin = np.array([temperature])
        reached = reachable(kelvin, law)
        if seconds <= 0.0:
            return float(start[0])
        return float(advance_cure(start, reached, kelvin, seconds, law)[0][0])

    @property
    def window(self) -> tuple[float, float]:
        """Equivalent ages, s, between which it may be injected: the card's times at the card's temperature."""
        kelvin = self.card.handling_temperature + 273.15
        return self.age_at(self.card.working_start, kelvin), self.age_at(self.card.working_end, kelvin)


def choose_cement(name: str = DEFAULT_CEMENT, kinetics: str | None = None) -> Cement:
    """Return a cement of the catalogue with its laws.

    Raises
    ------
    InputError
        When the catalogue has no cement of that name.
    """
    card = find(catalogue().cements, name)
    rheology = load_cement(name)
    exotherm = load_exotherm() if kinetics is None else load_exotherm(kinetics)
    uses = (*card.uses, *rheology.uses, *exotherm.uses)
    return Cement(name=name, card=card.values, rheology=rheology.values, exotherm=exotherm, uses=uses)
