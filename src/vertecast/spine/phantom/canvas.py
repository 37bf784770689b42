"""Analytic bones drawn into voxels with true partial volume: voxels are cut into sub-voxels of about 0.5 mm."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.spine.phantom.solids import Field, Part, smooth_min

SUBVOXEL_MM = 0.55
_FAR, _MARGIN_MM, _FILLET_MM = 12.0, 3.0, 2.0
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A block of the picture's voxels, cut into sub-voxels.

    Parameters
    ----------
    voxels : the block in the picture
    factors : sub-voxels per voxel along the three axes
    own_from_sub : (4, 4): from sub-voxel indices of this block to the bone's own frame, mm
    """

    voxels: Slices
    factors: tuple[int, int, int]
    own_from_sub: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of sub-voxels along the three axes."""
        n = [(s.stop - s.start) * f for s, f in zip(self.voxels, self.factors, strict=True)]
        return n[0], n[1], n[2]

    @property
    def edge(self) -> float:
        """Mean edge of a sub-voxel, mm."""
        return float(abs(np.linalg.det(self.own_from_sub[:3, :3])) ** (1.0 / 3.0))

    def coordinates(self, box: Slices) -> tuple[Field, Field, Field]:
        """Return own-frame x, y, z (mm, float32) of the sub-voxels of a box of this window."""
        m = self.own_from_sub
        i, j, k = (np.arange(s.start, s.stop, dtype=np.float64) for s in box)
        x, y, z = (
            ((m[r, 0] * i + m[r, 3]).astype(np.float32)[:, None, None] + (m[r, 1] * j).astype(np.float32)[:, None])
            + (m[r, 2] * k).astype(np.float32)
            for r in range(3)
        )
        return x, y, z

    def box_of(self, part: Part) -> Slices | None:
        """Return the sub-voxels that a part can touch, or None when it lies outside."""
        return _box(_inverse(self.own_from_sub), part.low - _MARGIN_MM, part.high + _MARGIN_MM, self.shape)

    def averaged(self, values: Field) -> NDArray[np.float32]:
        """Average sub-voxels to voxels."""
        f, n = self.factors, self.shape
        cells = values.reshape(n[0] // f[0], f[0], n[1] // f[1], f[1], n[2] // f[2], f[2])
        return np.asarray(cells.sum(axis=(1, 3, 5), dtype=np.float32) / math.prod(f), np.float32)

    def central(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the sub-voxel next to each voxel's centre."""
        a, b, c = (slice(f // 2, None, f) for f in self.factors)
        return values[a, b, c]


def open_window(
    parts: Sequence[Part], own_from_voxel: NDArray[np.float64], shape: tuple[int, int, int]
) -> Window | None:
    """Return the block of voxels that holds a bone, or None when the bone lies outside the picture."""
    low = np.min([part.low for part in parts], axis=0) - _MARGIN_MM
    high = np.max([part.high for part in parts], axis=0) + _MARGIN_MM
    voxels = _box(_inverse(own_from_voxel), low, high, shape)
    if voxels is None:
        return None
    edges = np.linalg.norm(own_from_voxel[:3, :3], axis=0)
    f = [max(1, math.ceil(edge / SUBVOXEL_MM)) for edge in edges]
    voxel_from_sub = np.eye(4)
    voxel_from_sub[:3, :3] = np.diag(1.0 / np.array(f))
    voxel_from_sub[:3, 3] = [s.start + 0.5 / n - 0.5 for s, n in zip(voxels, f, strict=True)]
    return Window(voxels, (f[0], f[1], f[2]), own_from_voxel @ voxel_from_sub)


def unite(window: Window, parts: Sequence[Part]) -> tuple[Field, NDArray[np.int8]]:
    """Unite solids with fillets: signed distance (mm, capped) and the tag of the nearest part, on sub-voxels."""
    distance = np.full(window.shape, _FAR, np.float32)
    tags = np.zeros(window.shape, np.int8)
    for part in parts:
        box = window.box_of(part)
        if box is not None:
            add_part(distance, tags, box, part.distance(*window.coordinates(box)), part.tag)
    return distance, tags


def add_part(distance: Field, tags: NDArray[np.int8], box: Slices, d: Field, tag: int) -> None:
    """Unite one solid's distance, known on a box, into a canvas in place."""
    held = distance[box]
    tags[box][d < held] = tag
    distance[box] = smooth_min(held, d, _FILLET_MM)


def coverage(distance: Field, edge: float) -> Field:
    """Return the share of a sub-voxel inside a surface at signed ``distance``."""
    return np.asarray(np.clip(0.5 - distance / edge, 0.0, 1.0), distance.dtype)


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _box(
    index_from_own: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    shape: tuple[int, int, int],
) -> Slices | None:
    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    index = corners @ index_from_own[:3, :3].T + index_from_own[:3, 3]
    first = np.clip(np.floor(index.min(axis=0)), 0, shape).astype(int)
    last = np.clip(np.ceil(index.max(axis=0)) + 1, 0, shape).astype(int)
    if (first >= last).any():
        return None
    return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])
