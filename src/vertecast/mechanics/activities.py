"""Compressive force on a vertebra by activity, and its ratio to the strength."""

from dataclasses import dataclass

from vertecast.core.levels import Level
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import Measured, quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityLoads:
    """Compressive forces of activities."""

    standing_t12: float = quantity("N", "quiet standing, at T12")
    standing_l3: float = quantity("N", "quiet standing, at L3")
    daily_peak: float = quantity("N", "highest of daily activities")
    flexion_10kg: float = quantity("N", "bending forward with 10 kg")
    lift_10kg: float = quantity("N", "lifting 10 kg")

    def forces(self, level: Level) -> dict[str, float]:
        """Return N by activity; standing by straight line between T12 and L3 and beyond, never below zero."""
        step = (self.standing_l3 - self.standing_t12) / (Level.L3.rank - Level.T12.rank + _SKIPPED)
        ranks = level.rank - Level.T12.rank
        if level.rank > Level.T13.rank:
            ranks += _SKIPPED
        return {
            "standing": max(0.0, self.standing_t12 + step * ranks),
            "daily peak": self.daily_peak,
            "flexion with 10 kg": self.flexion_10kg,
            "lifting 10 kg": self.lift_10kg,
        }


_SKIPPED = Level.T12.rank - Level.T13.rank  # T13 is between T12 and L1 in rank but not in most spines


def load_activities() -> Loaded[ActivityLoads]:
    """Load ``data/mechanics/activities.toml``."""
    return load_parameters("mechanics/activities.toml", ActivityLoads)


def load_to_strength(loads: ActivityLoads, level: Level, strength: Measured) -> dict[str, Measured]:
    """Return force over strength by activity; 1 and above means more than the bone holds."""
    if strength.value is None:
        return {name: Measured.unknown(str(strength.reason)) for name in loads.forces(level)}
    return {
        name: Measured(force / strength.value, method=f"{force:.0f} N over the {strength.method}")
        for name, force in loads.forces(level).items()
    }
