"""Wedge, bisegmental kyphosis and regional Cobb angles, all from fitted endplate planes; kyphosis is positive."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.frames import Transform
from vertecast.core.levels import Level, neighbour
from vertecast.core.quantities import Measured, quantity
from vertecast.spine.endplates import BodySurface, Side
from vertecast.spine.heights import SixPoints

REGIONS: tuple[tuple[str, Level, Level, Side], ...] = (
    ("T4-T12", Level.T4, Level.T12, Side.INFERIOR),
    ("T10-L2", Level.T10, Level.L2, Side.INFERIOR),
    ("L1-S1", Level.L1, Level.S1, Side.SUPERIOR),
)
"""Upper level (its superior endplate), lower level, and which endplate of the lower one (clinical.md 2.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AngleSettings:
    """Error of fitted planes; ``data/spine/angles.toml``."""

    plane_error: float = quantity("1", "standard deviation of a fitted plane at the endplate's rim, in voxel steps")


@dataclass(frozen=True, eq=False)
class PlateTilt:
    """What angles need of one vertebra.

    Parameters
    ----------
    vert_from_lps : its frame
    superior_lps, inferior_lps : (3,), unit superior normals of its endplate planes
    deviation : rad, standard deviation of one plane's tilt in the sagittal plane
    """

    vert_from_lps: Transform
    superior_lps: NDArray[np.float64]
    inferior_lps: NDArray[np.float64]
    deviation: float

    def normal(self, side: Side) -> NDArray[np.float64]:
        """(3,), unit: superior normal of one endplate in LPS."""
        return self.superior_lps if side is Side.SUPERIOR else self.inferior_lps


def plate_tilt(vert_from_lps: Transform, surface: BodySurface, depth: float, settings: AngleSettings) -> PlateTilt:
    """Describe a vertebra's endplate planes in LPS."""
    to_lps = vert_from_lps.inverse
    step = max(surface.superior.step, surface.inferior.step)
    return PlateTilt(
        vert_from_lps,
        to_lps.apply_directions(surface.superior.normal),
        to_lps.apply_directions(surface.inferior.normal),
        settings.plane_error * step / (0.5 * depth),
    )


def wedge_angle(surface: BodySurface, six: SixPoints, settings: AngleSettings) -> tuple[Measured, Measured]:
    """Return the sagittal wedge, positive when lower in front, and the lateral one, positive when lower at the left."""
    sagittal = np.degrees(np.arctan(surface.superior.plane[2]) - np.arctan(surface.inferior.plane[2]))
    lateral = np.degrees(np.arctan(surface.inferior.plane[1]) - np.arctan(surface.superior.plane[1]))
    step = max(surface.superior.step, surface.inferior.step)
    method = "least-squares planes of the inner endplates (docs/methods/heights.md)"

    def half_width(size: float) -> float:
        return float(1.96 * np.sqrt(2.0) * np.degrees(settings.plane_error * step / (0.5 * size)))

    return (
        Measured.with_error(float(sagittal), half_width(six.depth), method),
        Measured.with_error(float(lateral), half_width(six.width), method),
    )


def cobb_angle(upper: PlateTilt, lower: PlateTilt, lower_side: Side, across: NDArray[np.float64]) -> Measured:
    """Angle from the superior endplate of ``upper`` to an endplate of ``lower``, kyphosis positive.

    Parameters
    ----------
    across : (3,), left-like LPS direction; both normals are projected to the plane it is normal to
    """
    across = across / np.linalg.norm(across)
    first, second = (n - across * float(n @ across) for n in (upper.superior_lps, lower.normal(lower_side)))
    # Kyphosis tips the upper normal forward of the lower one: a turn from upper to lower about left is negative.
    turn = np.arctan2(float(np.cross(first, second) @ across), float(first @ second))
    half_width = 1.96 * np.degrees(np.hypot(upper.deviation, lower.deviation))
    method = f"Cobb, superior endplate above to {lower_side.value} endplate below, in the mean sagittal plane"
    return Measured.with_error(float(-np.degrees(turn)), float(half_width), method)


def bisegmental_kyphosis(tilts: Mapping[Level, PlateTilt], level: Level) -> Measured:
    """Angle from the superior endplate of the level above to the inferior endplate of the level below."""
    above, below = neighbour(tilts, level, -1), neighbour(tilts, level, 1)
    if above is None or below is None:
        return Measured.unknown(f"{level} has no measured vertebra right {'above' if above is None else 'below'} it")
    return cobb_angle(tilts[above], tilts[below], Side.INFERIOR, tilts[level].vert_from_lps.axes[0])


def regional_angles(tilts: Mapping[Level, PlateTilt]) -> dict[str, Measured]:
    """Return the regional Cobb angles; one whose ends are not both measured says which is missing."""
    result = {}
    for name, upper, lower, side in REGIONS:
        missing = [str(level) for level in (upper, lower) if level not in tilts]
        if missing:
            result[name] = Measured.unknown(f"{' and '.join(missing)} not measured")
            continue
        across = tilts[upper].vert_from_lps.axes[0] + tilts[lower].vert_from_lps.axes[0]
        result[name] = cobb_angle(tilts[upper], tilts[lower], side, across)
    return result
