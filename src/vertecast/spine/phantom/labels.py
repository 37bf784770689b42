"""VerSe numbers of the levels a phantom can have."""

from collections.abc import Mapping
from types import MappingProxyType

from vertecast.core.levels import Level

VERSE: Mapping[Level, int] = MappingProxyType(
    {Level(f"T{n}"): 7 + n for n in range(1, 13)} | {Level(f"L{n}"): 19 + n for n in range(1, 7)} | {Level.T13: 28}
)
"""T1-T12 are 8-19, L1-L6 are 20-25, T13 is 28 (Sekuboyina et al. 2021)."""
