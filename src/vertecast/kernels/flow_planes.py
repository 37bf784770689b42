"""Compiled interface planes of partly filled cells: the part of a cell or of a slab of it that lies behind a plane.

Everything is in cell coordinates (each edge 0..1), so the spacing does not enter. A plane is (n_x, n_y, n_z, alpha)
with sum |n| = 1: the injected fluid is where sum |n_a| x'_a < alpha, x' = x for n_a >= 0 and 1 - x for n_a < 0. A plane
of zeros stands for a drop with no direction (its surroundings are even): it fills its cell before it leaves.
"""

from typing import Any

import numpy as np
from numba import njit

_OPTIONS: Any = {"cache": True, "error_model": "numpy", "nogil": True}
THIN = 1e-4
"""Smallest component of a normal: below it the cut is the same to 1e-4 of a cell, and the formula loses digits."""
MIXED = 1e-9
"""A cell is partly filled when MIXED < S < 1 - MIXED."""
EVEN = 1e-6
"""Below this size of its gradient, a cell's surroundings are even: what is left of a direction is rounding."""
STEPS = 48


@njit(**_OPTIONS)
def cut_cube(m0, m1, m2, alpha):  # type: ignore[no-untyped-def]
    """Return the part of the unit cube with m . x < alpha, all m >= 0 and not all zero."""
    total = m0 + m1 + m2
    a, b, c = max(m0 / total, THIN), max(m1 / total, THIN), max(m2 / total, THIN)
    whole = a + b + c
    at = alpha / total * whole
    if at <= 0:
        return 0.0
    if at >= whole:
        return 1.0
    small = min(at, whole - at)
    cubes = small**3
    cubes -= max(small - a, 0.0) ** 3 + max(small - b, 0.0) ** 3 + max(small - c, 0.0) ** 3
    cubes += max(small - a - b, 0.0) ** 3 + max(small - a - c, 0.0) ** 3 + max(small - b - c, 0.0) ** 3
    part = min(max(cubes / (6 * a * b * c), 0.0), 0.5)
    return part if at < 0.5 * whole else 1 - part


@njit(**_OPTIONS)
def cut_slab(plane, axis, upper, thickness):  # type: ignore[no-untyped-def]
    """Return the part of the slab of ``thickness`` at one face of the cell that lies behind the plane."""
    n = abs(plane[axis])
    alpha = plane[3]
    if upper == (plane[axis] >= 0):
        alpha -= (1 - thickness) * n
    first, second = abs(plane[(axis + 1) % 3]), abs(plane[(axis + 2) % 3])
    if axis == 0:
        return cut_cube(n * thickness, first, second, alpha)
    if axis == 1:
        return cut_cube(second, n * thickness, first, alpha)
    return cut_cube(first, second, n * thickness, alpha)


@njit(**_OPTIONS)
def wet_face(plane, axis, upper, advance):  # type: ignore[no-untyped-def]
    """Return the mean part of a face behind the plane while it moves by ``advance`` (its n . x grows by so much)."""
    alpha = plane[3]
    if upper == (plane[axis] >= 0):
        alpha -= abs(plane[axis])
    first, second = abs(plane[(axis + 1) % 3]), abs(plane[(axis + 2) % 3])
    if axis == 1:
        first, second = second, first
    return cut_cube(abs(advance), first, second, alpha + max(advance, 0.0))


@njit(**_OPTIONS)
def place_plane(normal, share, plane):  # type: ignore[no-untyped-def]
    """Write the plane with this outward normal that leaves ``share`` of the cell behind it."""
    size = abs(normal[0]) + abs(normal[1]) + abs(normal[2])
    if size < EVEN:
        plane[:] = 0
        return
    for a in range(3):
        plane[a] = normal[a] / size
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        if cut_cube(abs(plane[0]), abs(plane[1]), abs(plane[2]), middle) < share:
            low = middle
        else:
            high = middle
    plane[3] = 0.5 * (low + high)


@njit(**_OPTIONS)
def outward_normal(share, live, i, j, k, normal):  # type: ignore[no-untyped-def]
    """Write minus the gradient of the share over the 27 cells around (weights 1, 2, 4 across the direction).

    Beyond the grid lies the mirror image, and a dead cell is taken to hold what the cell itself holds: the front meets
    a wall squarely.
    """
    nx, ny, nz = share.shape
    here = share[i, j, k]
    around = np.empty((3, 3, 3))
    for a in range(-1, 2):
        for b in range(-1, 2):
            for c in range(-1, 2):
                u, v, w = min(max(i + a, 0), nx - 1), min(max(j + b, 0), ny - 1), min(max(k + c, 0), nz - 1)
                around[a + 1, b + 1, c + 1] = share[u, v, w] if live[u, v, w] else here
    for a in range(3):
        total = 0.0
        for b in range(3):
            for c in range(3):
                weight = (2.0 if b == 1 else 1.0) * (2.0 if c == 1 else 1.0)
                if a == 0:
                    total += weight * (around[0, b, c] - around[2, b, c])
                elif a == 1:
                    total += weight * (around[b, 0, c] - around[b, 2, c])
                else:
                    total += weight * (around[b, c, 0] - around[b, c, 2])
        normal[a] = total


@njit(**_OPTIONS)
def interface_planes(share, live):  # type: ignore[no-untyped-def]
    """Return (number of each partly filled cell or -1, (m, 4) planes)."""
    nx, ny, nz = share.shape
    number = np.full((nx, ny, nz), -1, np.int32)
    count = 0
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                if live[i, j, k] and MIXED < share[i, j, k] < 1 - MIXED:
                    number[i, j, k] = count
                    count += 1
    planes = np.zeros((count, 4))
    normal = np.zeros(3)
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                if number[i, j, k] >= 0:
                    outward_normal(share, live, i, j, k, normal)
                    place_plane(normal, share[i, j, k], planes[number[i, j, k]])
    return number, planes
