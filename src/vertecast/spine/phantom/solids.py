"""Analytic solids by their signed distance: what the phantom's bones are put together from.

Every function takes coordinates along the solid's own axes and returns a distance in mm, negative inside. The zero
set is exact; away from it the
distance is first-order, which is enough for cortex a millimetre thick and for blending.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.floating]
"""Coordinates or distances on any set of points; float32 for pictures, float64 for truths."""

_TINY = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One solid of a bone in the bone's own frame.

    Parameters
    ----------
    distance : of (x, y, z) to the solid's surface, mm
    low, high : (3,), mm
        A box that holds the solid.
    tag : TPTBox number of the subregion
    """

    distance: Callable[[Field, Field, Field], Field]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    tag: int


def unit(vector: ArrayLike) -> NDArray[np.float64]:
    """Return a direction of length one."""
    vector = np.asarray(vector, float)
    return np.asarray(vector / np.linalg.norm(vector))


def along(axes: NDArray[np.float64], centre: NDArray[np.float64], xyz: tuple[Field, Field, Field]) -> list[Field]:
    """Return the coordinates along the rows of ``axes`` from ``centre``, in the precision of the input."""
    x, y, z = xyz
    return [
        x * x.dtype.type(e[0]) + y * y.dtype.type(e[1]) + z * z.dtype.type(e[2]) - x.dtype.type(e @ centre)
        for e in axes
    ]


def smooth_max(a: Field, b: Field, radius: float) -> Field:
    """Intersect two solids with a rounded edge; only where the two distances differ by less than ``radius``."""
    h = np.maximum(radius - np.abs(a - b), 0.0)
    return np.asarray(np.maximum(a, b) + h * h * (0.25 / radius), a.dtype)


def smooth_min(a: Field, b: Field, radius: float) -> Field:
    """Unite two solids with a fillet; only where the two distances differ by less than ``radius``."""
    h = np.maximum(radius - np.abs(a - b), 0.0)
    return np.asarray(np.minimum(a, b) - h * h * (0.25 / radius), a.dtype)


def elliptic(p: Field, q: Field, half_p: float | Field, half_q: float | Field, beyond: Field | None = None) -> Field:
    """Distance to an ellipse of half axes ``half_p`` and ``half_q``; ``beyond`` is the way past the end of a rod."""
    a, b = p / half_p, q / half_q
    square, slope = a * a + b * b, (a / half_p) ** 2 + (b / half_q) ** 2
    if beyond is not None:
        c = beyond / half_q
        square, slope = square + c * c, slope + (c / half_q) ** 2
    radius = np.sqrt(square)
    return np.asarray((radius - 1.0) * radius / np.sqrt(slope + _TINY * _TINY) - _TINY * (radius < _TINY), p.dtype)


def rod(start: ArrayLike, end: ArrayLike, halves: tuple[float, float], up: ArrayLike, tag: int) -> Part:
    """Make a rod with rounded ends and an elliptic cross-section.

    Parameters
    ----------
    start, end : (3,), mm: centres of its ends
    halves : mm: half axes of the section along ``up`` and across it
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    s = unit(end - start)
    q = unit(np.asarray(up, float) - s * (np.asarray(up, float) @ s))
    axes = np.stack([s, np.cross(q, s), q])
    middle, half = 0.5 * (start + end), 0.5 * float(np.linalg.norm(end - start))

    def distance(x: Field, y: Field, z: Field) -> Field:
        along_s, p, up_q = along(axes, middle, (x, y, z))
        return elliptic(p, up_q, halves[1], halves[0], np.maximum(np.abs(along_s) - half, 0.0))

    reach = max(halves)
    return Part(distance, np.minimum(start, end) - reach, np.maximum(start, end) + reach, tag)


def slab(centre: ArrayLike, axes: ArrayLike, halves: ArrayLike, rounding: float, tag: int) -> Part:
    """Make a box with rounded edges; ``halves`` are its half sizes along the rows of ``axes``, rounding included."""
    centre, axes = np.asarray(centre, float), np.asarray(axes, float)
    inner = np.asarray(halves, float) - rounding

    def distance(x: Field, y: Field, z: Field) -> Field:
        outside = [np.abs(c) - x.dtype.type(h) for c, h in zip(along(axes, centre, (x, y, z)), inner, strict=True)]
        corner = np.sqrt(sum(np.maximum(o, 0.0) ** 2 for o in outside))
        return np.asarray(corner + np.minimum(np.maximum.reduce(outside), 0.0) - rounding, x.dtype)

    reach = np.abs(axes.T) @ np.asarray(halves, float)
    return Part(distance, centre - reach, centre + reach, tag)
