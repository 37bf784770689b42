"""A grid with wider and wider cells around it: far surroundings for few cells."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import ParameterError

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SurroundedGrid:
    """Widths of the cells along each axis, mm, and how many were added on each side (the same on all)."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    layers: tuple[int, int, int]
    widths: tuple[Array, Array, Array]

    @property
    def inner(self) -> tuple[slice, slice, slice]:
        """Where the given grid lies in the surrounded one."""
        x, y, z = (slice(m, m + n) for m, n in zip(self.layers, self.shape, strict=True))
        return x, y, z

    def extended(self, field: ArrayLike, fill: float | None = None) -> Array:
        """Return the field with the added cells: ``fill``, or the nearest value of the grid's edge."""
        values = np.asarray(field)
        if values.shape != self.shape:
            raise ParameterError(f"a field of shape {values.shape} does not fit the grid {self.shape}")
        margins = [(m, m) for m in self.layers]
        if fill is None:
            return np.pad(values, margins, mode="edge")
        return np.pad(values, margins, constant_values=fill)


def surround(shape: tuple[int, int, int], spacing: ArrayLike, depth: float, growth: float) -> SurroundedGrid:
    """Add cells on all six sides until ``depth``, mm, is covered, each ``growth`` times wider than the one inside."""
    h = np.asarray(spacing, float)
    if len(shape) != 3 or min(shape) < 1 or h.shape != (3,) or not np.all(h > 0):
        raise ParameterError(f"grid {shape} with spacing {h} mm is not a grid of three axes")
    if not (depth >= 0 and 1 <= growth <= 2):
        raise ParameterError(f"surroundings {depth} mm deep, growing by {growth}: depth from 0, growth within 1-2")
    widths, layers = [], []
    for count, width in zip(shape, h, strict=True):
        added: list[float] = []
        while sum(added) < depth * (1 - 1e-12):
            added.append((added[-1] if added else width) * growth)
        layers.append(len(added))
        widths.append(np.concatenate([added[::-1], np.full(count, width), added]))
    return SurroundedGrid(
        (int(shape[0]), int(shape[1]), int(shape[2])),
        (float(h[0]), float(h[1]), float(h[2])),
        (layers[0], layers[1], layers[2]),
        (widths[0], widths[1], widths[2]),
    )
