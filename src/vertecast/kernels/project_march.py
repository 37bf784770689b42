"""Cone-beam line integrals by marching along every ray: slower than the sum over slices, but for any ray whatever."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from vertecast.kernels.project import Cone, SliceStack

_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": {"contract"}, "nogil": True}


def march_stack(stack: SliceStack, cone: Cone, *, step_mm: float | None = None) -> NDArray[np.float32]:
    """Integrate the trilinear field along every ray with the midpoint rule.

    Parameters
    ----------
    stack : the field, laid out for any axis
    cone : the rays
    step_mm : half the smallest voxel edge unless given

    Returns
    -------
    (rows, columns), field unit times mm
    """
    order = list(stack.axes)
    step = float(cone.spacing.min()) / 2 if step_mm is None else step_mm
    out = np.zeros(cone.shape, np.float32)
    _march(
        stack.values,
        cone.source[order],
        cone.corner[order],
        cone.per_column[order],
        cone.per_row[order],
        cone.spacing[order],
        step,
        out,
    )
    return out


@njit(**_OPTIONS)
def _trilinear(values, x, y, z):  # type: ignore[no-untyped-def]
    """Value at fractional slice, row and column, rows and columns counted with the border; zero outside."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    if i < -1 or i >= values.shape[0] or j < 0 or j >= values.shape[1] - 1 or k < 0 or k >= values.shape[2] - 1:
        return 0.0
    fx, fy, fz = x - i, y - j, z - k
    total = 0.0
    for a in range(2):
        if 0 <= i + a < values.shape[0]:
            plane = values[i + a]
            low = plane[j, k] + fz * (plane[j, k + 1] - plane[j, k])
            high = plane[j + 1, k] + fz * (plane[j + 1, k + 1] - plane[j + 1, k])
            total += (fx if a else 1.0 - fx) * (low + fy * (high - low))
    return total


@njit(**_OPTIONS)
def _march(values, source, corner, per_column, per_row, spacing, step, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` ray by ray; all points along slice, row and column axis."""
    direction = np.empty(3)
    for v in range(out.shape[0]):
        for u in range(out.shape[1]):
            near, far, length = 0.0, 1e30, 0.0
            for a in range(3):
                direction[a] = corner[a] + u * per_column[a] + v * per_row[a] - source[a]
                length += (direction[a] * spacing[a]) ** 2
                high = values.shape[a] - (0.0 if a == 0 else 2.0)
                if abs(direction[a]) < 1e-12:
                    if source[a] <= -1.0 or source[a] >= high:
                        far = -1.0
                    continue
                t0, t1 = (-1.0 - source[a]) / direction[a], (high - source[a]) / direction[a]
                near, far = max(near, min(t0, t1)), min(far, max(t0, t1))
            if far <= near:
                continue
            length = np.sqrt(length)
            count = max(1, int(np.ceil((far - near) * length / step)))
            pitch = (far - near) / count
            total = 0.0
            for i in range(count):
                t = near + (i + 0.5) * pitch
                total += _trilinear(
                    values,
                    source[0] + t * direction[0],
                    source[1] + t * direction[1] + 1.0,
                    source[2] + t * direction[2] + 1.0,
                )
            out[v, u] = total * pitch * length
