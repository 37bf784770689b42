"""The vertebral body as an analytic solid: kidney-shaped waist, wedge, concave endplates, rounded rims, foramen."""

import math
from dataclasses import dataclass

import numpy as np

from vertecast.spine.phantom.levels import LevelShape
from vertecast.spine.phantom.solids import Field, Part, elliptic, smooth_max

RIM_ROUNDING_MM = 1.4
_FRONT_POWER, _BACK_POWER = 2.15, 2.9
_WAIST_FRONT, _WAIST_SIDE, _WAIST_BACK_MM = 0.075, 0.09, 0.9
_PLATEAU = 0.88
CORPUS_BORDER, CORPUS = 49, 50


@dataclass(frozen=True, slots=True)
class Body:
    """One vertebral body in its own frame: x left, y posterior, z superior, rims tilted by half the wedge each."""

    shape: LevelShape

    @property
    def depth(self) -> float:
        """Mean of the two rims' depths, mm."""
        return 0.5 * (self.shape.depth_superior_mm + self.shape.depth_inferior_mm)

    @property
    def half_wedge(self) -> float:
        """Tangent of half the wedge angle."""
        return math.tan(math.radians(0.5 * self.shape.wedge_deg))

    @property
    def height(self) -> float:
        """Distance of the two rims at the body's centre, mm."""
        return self.shape.height_posterior_mm - self.depth * self.half_wedge

    def distance(self, x: Field, y: Field, z: Field) -> Field:
        """Signed distance to the outer surface, mm."""
        wall, plate = self.wall_and_plate(x, y, z)
        return smooth_max(wall, plate, RIM_ROUNDING_MM)

    def wall_and_plate(self, x: Field, y: Field, z: Field) -> tuple[Field, Field]:
        """Signed distances to the side wall and to the nearer endplate, mm."""
        return self._wall(x, y, z), np.maximum(self._superior(x, y, z), self._inferior(x, y, z))

    def _wall(self, x: Field, y: Field, z: Field) -> Field:
        s = self.shape
        level = np.clip(z / (0.5 * self.height), -1.15, 1.15)
        up, waist = 0.5 * (1.0 + level), 1.0 - level * level
        half_width = 0.5 * (s.width_inferior_mm + up * (s.width_superior_mm - s.width_inferior_mm))
        half_width = half_width * (1.0 - _WAIST_SIDE * waist)
        half_depth = 0.5 * (s.depth_inferior_mm + up * (s.depth_superior_mm - s.depth_inferior_mm))
        back = 0.5 * self.depth - _WAIST_BACK_MM * waist
        front = back - 2.0 * half_depth * (1.0 - _WAIST_FRONT * waist) + _WAIST_BACK_MM * waist
        middle, half = 0.5 * (back + front), 0.5 * (back - front)
        u = np.abs(x) / half_width
        rear = np.clip((y - middle) / half, 0.0, 1.0)
        v = (y - middle - s.posterior_notch_mm * np.minimum(u, 1.0) ** 2 * rear * rear * (3.0 - 2.0 * rear)) / half
        power = np.where(v > 0.0, _BACK_POWER, _FRONT_POWER).astype(x.dtype)
        v = np.abs(v)
        gauge = np.maximum(u**power + v**power, 1e-6) ** (1.0 / power)
        across, deep = (u / gauge) ** (power - 1.0) / half_width, (v / gauge) ** (power - 1.0) / half
        return np.asarray((gauge - 1.0) / np.sqrt(across * across + deep * deep), x.dtype)

    def _superior(self, x: Field, y: Field, z: Field) -> Field:
        s = self.shape
        dish = s.concavity_superior_mm * self._dish(x, y, 0.5 * s.width_superior_mm, 0.5 * s.depth_superior_mm, 0.03)
        cosine = 1.0 / math.hypot(1.0, self.half_wedge)
        return np.asarray((z - (0.5 * self.height + y * self.half_wedge - dish)) * cosine, x.dtype)

    def _inferior(self, x: Field, y: Field, z: Field) -> Field:
        s = self.shape
        dish = s.concavity_inferior_mm * self._dish(x, y, 0.5 * s.width_inferior_mm, 0.5 * s.depth_inferior_mm, 0.08)
        cosine = 1.0 / math.hypot(1.0, self.half_wedge)
        return np.asarray((-0.5 * self.height - y * self.half_wedge + dish - z) * cosine, x.dtype)

    def _dish(self, x: Field, y: Field, half_width: float, half_depth: float, backward: float) -> Field:
        """Concavity between 0 at the rim's ring and 1 at the deepest point, which lies a little behind the middle."""
        centre = 2.0 * half_depth * backward
        a, b = _PLATEAU * half_width, _PLATEAU * half_depth - centre
        square = (x / a) ** 2 + ((y - centre) / b) ** 2
        return np.asarray(np.maximum(1.0 - square**1.25, 0.0) ** 1.5, x.dtype)

    def foramen(self, x: Field, y: Field, z: Field) -> Field:
        """Signed distance to the basivertebral vein's channel from the posterior wall, mm: a hole in the bone."""
        wall = 0.5 * self.depth - _WAIST_BACK_MM
        inward = np.clip((wall - y) / (0.32 * self.depth), 0.0, 1.0)
        beyond = np.maximum(np.maximum(wall - 0.32 * self.depth - y, y - wall - 1.5), 0.0)
        return elliptic(x, z, 4.2 - 2.7 * inward, 2.4 - 1.3 * inward, beyond)

    def part(self) -> Part:
        """Return the body as a solid with its box."""
        s = self.shape
        across = 0.5 * max(s.width_superior_mm, s.width_inferior_mm)
        deep = 0.5 * max(s.depth_superior_mm, s.depth_inferior_mm, self.depth) + s.posterior_notch_mm
        front = 0.5 * self.depth - max(s.depth_superior_mm, s.depth_inferior_mm)
        high = 0.5 * self.height + 0.5 * self.depth * abs(self.half_wedge) + 1.0
        return Part(self.distance, np.array([-across, front - 0.5, -high]), np.array([across, deep, high]), CORPUS)
