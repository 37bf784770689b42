"""A vertebra in closed form for tests: waisted body, concave endplates, canal, pedicles, laminae and processes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import LabelMap

VALUES = {level: 8 + i for i, level in enumerate([Level(f"T{n}") for n in range(1, 13)])} | {
    Level(f"L{n}"): 19 + n for n in range(1, 7)
}


@dataclass(frozen=True)
class SimpleVertebra:
    """Shape in its own frame (x left, y posterior, z superior), mm; the two endplates are mirror images."""

    half_width: float = 23.0
    half_depth: float = 17.0
    posterior: float = 14.0
    height: float = 27.0
    slope: float = 0.03
    concavity: float = 2.0
    waist: float = 0.08
    canal: float = 9.0

    def top(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Superior surface; the inferior one is its negative. Positive slope: higher behind, so a kyphotic wedge."""
        dish = np.clip(1.0 - self._rho(x, y), 0.0, None)
        return np.asarray(0.5 * self.height + self.slope * np.asarray(y) - self.concavity * dish)

    def _rho(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(
            np.abs(np.asarray(x) / self.half_width) ** 2.5 + np.abs(np.asarray(y) / self.half_depth) ** 2.5
        )

    def in_body(self, p: NDArray[np.float64]) -> NDArray[np.bool_]:
        x, y, z = p[..., 0], p[..., 1], p[..., 2]
        t = np.clip(np.abs(z) / (0.5 * self.height + self.slope * y), 0.0, 1.0)
        scale = 1.0 - self.waist * (1.0 - t**2)
        return (self._rho(x / scale, y / scale) <= 1.0) & (np.abs(z) <= self.top(x, y)) & (y <= self.posterior * scale)

    def in_arch(self, p: NDArray[np.float64]) -> NDArray[np.bool_]:
        x, y, z = p[..., 0], p[..., 1], p[..., 2]
        middle = self.posterior + self.canal * 0.8
        inner = (x / (1.25 * self.canal)) ** 2 + ((y - middle) / self.canal) ** 2
        outer = (x / (1.25 * self.canal + 6.0)) ** 2 + ((y - middle) / (self.canal + 6.0)) ** 2
        behind = y > self.posterior * (1 - self.waist)
        pedicle = (np.abs(z - 5.0) < 7.0) & (y < middle)
        lamina = (np.abs(z + 2.0) < 11.0) & (y >= middle)
        ring = (inner > 1.0) & (outer < 1.0) & behind & (pedicle | lamina)
        spinous = (np.abs(x) < 4.0) & (np.abs(z + 6.0) < 9.0) & (y > middle + self.canal) & (y < middle + 34.0)
        process = (np.abs(z - 3.0) < 5.0) & (np.abs(y - middle - 1.0) < 5.0) & (np.abs(x) < 38.0) & (outer >= 1.0)
        return np.asarray((ring | spinous | process) & ~self.in_body(p))

    def heights(self, x: float = 0.0) -> NDArray[np.float64]:
        """True anterior, middle and posterior height at ``x``, by docs/methods/heights.md."""
        front = -self.half_depth * (1.0 - abs(x / self.half_width) ** 2.5) ** 0.4
        y = front + np.array([0.1, 0.5, 0.9]) * (self.posterior - front)
        return np.asarray(2.0 * self.top(np.full(3, x), y))

    def wedge_deg(self) -> float:
        """True wedge angle: of the least-squares planes over the outline shrunk to 80 %."""
        x, y = np.meshgrid(np.arange(-25, 25.1, 0.2), np.arange(-20, 20.1, 0.2), indexing="ij")
        inside = (self._rho(x, y) <= 1.0) & (y <= self.posterior)
        c = y[inside].mean()
        x2, y2 = x / 0.8, c + (y - c) / 0.8
        inner = (self._rho(x2, y2) <= 1.0) & (y2 <= self.posterior)
        design = np.stack([np.ones(int(inner.sum())), y[inner]], axis=1)
        slope = np.linalg.lstsq(design, self.top(x[inner], y[inner]), rcond=None)[0][1]
        return float(2 * np.degrees(np.arctan(slope)))


def rotation(degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    """(3, 3): turns about x, y and z in this order."""
    a, b, c = np.deg2rad(degrees)
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(rz @ ry @ rx)


def column(
    vertebrae: dict[Level, SimpleVertebra],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    *,
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0),
    disc: float = 8.0,
    seed: int = 0,
) -> LabelMap:
    """Stack vertebrae on a straight axis, turned as a whole, and label the voxels whose centre is inside."""
    rng = np.random.default_rng(seed)
    axes = rotation(turn)
    down = 0.0
    origins = []
    for shape in vertebrae.values():
        down -= 0.5 * shape.height
        origins.append(axes @ np.array([0.0, 0.0, down]))
        down -= 0.5 * shape.height + disc
    reach = 62.0
    low = np.min(origins, axis=0) - reach + rng.uniform(0, 1, 3) * spacing
    high = np.max(origins, axis=0) + reach
    shape3 = tuple(int(n) for n in np.ceil((high - low) / spacing))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = low
    labels = np.zeros(shape3, np.int16)
    values = {}
    for (level, shape), origin in zip(vertebrae.items(), origins, strict=True):
        first = np.maximum(((origin - reach - low) / spacing).astype(int), 0)
        last = np.minimum(((origin + reach - low) / spacing).astype(int) + 1, shape3)
        box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        index = np.stack(
            np.meshgrid(*[np.arange(a, b) for a, b in zip(first, last, strict=True)], indexing="ij"), axis=-1
        )
        local = (index * spacing + low - origin) @ axes
        labels[box][shape.in_body(local) | shape.in_arch(local)] = VALUES[level]
        values[level] = VALUES[level]
    return LabelMap(labels, Grid.from_affine(shape3, affine), values, "verse")
