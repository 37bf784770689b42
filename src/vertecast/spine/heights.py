"""The six points and the heights between them, by ``docs/methods/heights.md``."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.quantities import Measured, quantity
from vertecast.spine.endplates import BodySurface, Side


class Place(Enum):
    """Where along the depth of the body."""

    ANTERIOR = "anterior"
    MIDDLE = "middle"
    POSTERIOR = "posterior"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightSettings:
    """Where the six points lie and how their error is reckoned; ``data/spine/heights.toml``."""

    anterior_share: float = quantity("1", "place of the anterior point along the endplate's depth")
    middle_share: float = quantity("1", "place of the middle point along the endplate's depth")
    posterior_share: float = quantity("1", "place of the posterior point along the endplate's depth")
    parasagittal_share: float = quantity("1", "distance of the parasagittal planes in body widths")
    staircase_error: float = quantity("1", "standard deviation of an endplate's height at a point, in voxel steps")
    edge_error: float = quantity("1", "standard deviation of the body's front and back edge, in voxel steps")
    patch: float = quantity("mm", "half length of the patch whose unevenness counts as error")

    @property
    def shares(self) -> dict[Place, float]:
        """Place of each point along the depth."""
        return {
            Place.ANTERIOR: self.anterior_share,
            Place.MIDDLE: self.middle_share,
            Place.POSTERIOR: self.posterior_share,
        }


@dataclass(frozen=True, eq=False)
class SagittalSection:
    """The six points in one sagittal plane.

    Parameters
    ----------
    x : mm, the plane in the vertebral frame
    points : (2, 3, 3), mm
        Superior and inferior; anterior, middle, posterior; (x, y, z) in the vertebral frame.
    heights : (3,), mm
    deviations : (3,), mm, standard deviation of each height
    depths : (2,), mm, depth of the superior and of the inferior endplate
    """

    x: float
    points: NDArray[np.float64]
    heights: NDArray[np.float64]
    deviations: NDArray[np.float64]
    depths: NDArray[np.float64]

    def height(self, place: Place) -> Measured:
        """Height at one place with its 95 % interval."""
        at = list(Place).index(place)
        method = "distance of the endplate surfaces (docs/methods/heights.md)"
        return Measured.with_error(float(self.heights[at]), 1.96 * float(self.deviations[at]), method)


@dataclass(frozen=True, eq=False)
class SixPoints:
    """Heights in the mid-sagittal and the two parasagittal planes, and the size of the body.

    Parameters
    ----------
    right, middle, left : sections at −25 %, 0 and +25 % of the width
    width : mm
    size_deviation : mm, standard deviation of width and depth
    """

    right: SagittalSection
    middle: SagittalSection
    left: SagittalSection
    width: float
    size_deviation: float

    @property
    def depth(self) -> float:
        """Mean depth of the two endplates in the mid-sagittal plane, mm."""
        return float(self.middle.depths.mean())


def measure_heights(surface: BodySurface, settings: HeightSettings) -> SixPoints:
    """Place the six points in three sagittal planes and measure the heights between them."""
    width = float(np.mean([_width(surface, side) for side in Side]))
    offset = settings.parasagittal_share * width
    sections = [_section(surface, x, settings) for x in (-offset, 0.0, offset)]
    edge = settings.edge_error * float(surface.edge_step)
    return SixPoints(sections[0], sections[1], sections[2], width, np.sqrt(2.0) * edge)


def _width(surface: BodySurface, side: Side) -> float:
    band = surface.band(side)
    low, high = _ends(np.moveaxis(band, 0, -1).reshape(-1, band.shape[0]), surface.sample.x)
    return high - low


def _depth_ends(surface: BodySurface, side: Side, x: float) -> tuple[float, float]:
    lines = surface.sample.x
    at = (x - lines[0]) / surface.sample.pitch
    below = int(np.clip(np.floor(at), 0, len(lines) - 2))
    share = np.float32(at - below)
    band = surface.band(side)
    plane = (1 - share) * band[below] + share * band[below + 1]
    return _ends(plane.T, surface.sample.y)


def _ends(rows: NDArray[np.float32], lines: NDArray[np.float64]) -> tuple[float, float]:
    """Outermost half-crossings along the last axis over all rows."""
    solid = rows >= 0.5
    rows, solid = rows[solid.any(axis=1)], solid[solid.any(axis=1)]
    if len(rows) == 0:
        raise GeometryError("a rim of the body does not reach this sagittal plane; the label is cut or misshapen")
    pitch = float(lines[1] - lines[0])

    def first(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
        start = np.maximum(np.argmax(inside, axis=1), 1)
        row = np.arange(len(values))
        here, before = values[row, start], values[row, start - 1]
        return float(np.min(start - np.clip((here - 0.5) / np.maximum(here - before, 1e-6), 0.0, 1.0)))

    low = float(lines[0]) + pitch * first(rows, solid)
    high = float(lines[-1]) - pitch * first(rows[:, ::-1], solid[:, ::-1])
    return low, high


def _section(surface: BodySurface, x: float, settings: HeightSettings) -> SagittalSection:
    points = np.zeros((2, 3, 3))
    variance = np.zeros(3)
    depths = np.zeros(2)
    for row, side in enumerate(Side):
        plate = surface.superior if side is Side.SUPERIOR else surface.inferior
        front, back = _depth_ends(surface, side, x)
        depths[row] = back - front
        y = front + np.array(list(settings.shares.values())) * (back - front)
        z = plate.field.at(np.full(3, x), y)
        points[row] = np.stack([np.full(3, x), y, z], axis=1)
        slope = plate.field.gradient(np.full(3, x), y)[1] - plate.plane[2]
        edge = settings.edge_error * surface.edge_step
        variance += (settings.staircase_error * plate.step) ** 2 + plate.field.deviation(np.full(3, x), y) ** 2
        variance += (slope * edge) ** 2
    variance += _unevenness(surface, points, settings.patch) ** 2
    heights = np.linalg.norm(points[0] - points[1], axis=1)
    return SagittalSection(x, points, heights, np.sqrt(variance), depths)


def _unevenness(surface: BodySurface, points: NDArray[np.float64], patch: float) -> NDArray[np.float64]:
    """Standard deviation of the height between neighbouring sagittal planes, its slope across them taken out."""
    offsets = np.linspace(-patch, patch, 5)
    heights = np.stack(
        [
            surface.superior.field.at(points[0, :, 0] + d, points[0, :, 1])
            - surface.inferior.field.at(points[1, :, 0] + d, points[1, :, 1])
            for d in offsets
        ]
    )
    slope = (offsets[:, None] * heights).sum(axis=0) / (offsets**2).sum()
    rest = heights - heights.mean(axis=0) - offsets[:, None] * slope
    return np.asarray(np.sqrt((rest**2).sum(axis=0) / 3.0))
