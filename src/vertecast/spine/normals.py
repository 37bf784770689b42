"""What is normal at a level: its wedge, and how heights rise from level to level. Forms, not absolute heights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.levels import Level, Region
from vertecast.core.quantities import Measured, quantity

_LIKE = {Level.T13: Level.T12, Level.L6: Level.L5}


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelNormals:
    """Normal wedge and growth of height by level; ``data/spine/normals.toml``. Sex is not known here, so not used."""

    wedge_levels: str = quantity("1", "levels of the wedge table, craniocaudal")
    wedge_female: tuple[float, ...] = quantity("deg", "normal wedge of women by level")
    wedge_male: tuple[float, ...] = quantity("deg", "normal wedge of men by level")
    wedge_upper_thoracic: float = quantity("deg", "normal wedge above the table")
    wedge_spread: float = quantity("deg", "standard deviation of the normal wedge between persons")
    growth_t1_t9: float = quantity("mm", "rise of height per level, T1 to T9")
    growth_t9_l1: float = quantity("mm", "rise of height per level, T9 to L1")
    growth_l1_l3: float = quantity("mm", "rise of height per level, L1 to L3")
    growth_l3_l5: float = quantity("mm", "rise of height per level, L3 to L5")
    level_variation: float = quantity("1", "standard deviation of a height about its prediction, share of the height")

    def wedge(self, level: Level) -> Measured:
        """Normal wedge of a level, degrees: the mean of both sexes, with an interval that spans them and persons."""
        level = _LIKE.get(level, level)
        names = self.wedge_levels.split()
        if str(level) in names:
            at = names.index(str(level))
            female, male = self.wedge_female[at], self.wedge_male[at]
            half = 0.5 * abs(female - male) + 1.96 * self.wedge_spread
            return Measured.with_error(0.5 * (female + male), half, "mean of both sexes, clinical.md 2.3 [13]")
        if level.region is Region.THORACIC:
            method = "assumed like T9 and T10, the table begins at T9"
            return Measured.with_error(self.wedge_upper_thoracic, 1.0 + 1.96 * self.wedge_spread, method)
        return Measured.unknown(f"no normal wedge is known for {level}")

    def growth(self, level: Level) -> float | None:
        """Height of a level over that of T1, mm; ``None`` above T1 and for the sacrum."""
        level = _LIKE.get(level, level)
        if level.region in (Region.CERVICAL, Region.SACRAL):
            return None
        ladder = [Level.T1, Level.T9, Level.L1, Level.L3, Level.L5]
        rises = [self.growth_t1_t9, self.growth_t9_l1, self.growth_l1_l3, self.growth_l3_l5]
        total = 0.0
        for low, high, rise in zip(ladder[:-1], ladder[1:], rises, strict=True):
            total += rise * float(np.clip(_steps(level) - _steps(low), 0, _steps(high) - _steps(low)))
        return total

    def profile(self, level: Level, depth: float) -> NDArray[np.float64] | None:
        """(3,), mm: anterior, middle and posterior height over the mean height of T1, for a body of ``depth``."""
        growth, wedge = self.growth(level), self.wedge(level)
        if growth is None or wedge.value is None:
            return None
        half = 0.4 * depth * float(np.tan(np.deg2rad(wedge.value)))  # the points stand 0.8 of the depth apart
        return np.array([growth - half, growth, growth + half])


def _steps(level: Level) -> int:
    """Levels below T1, counting as if T13 and L6 were not there."""
    return level.rank - Level.T1.rank - (1 if level.rank > Level.T13.rank else 0)
