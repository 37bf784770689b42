"""Exact lengths of rays inside tubes, balls and closed triangle surfaces, compiled; all points in millimetres.

``rays`` is (4, 3): the point source, the centre of the window's first pixel, and the steps to the next column and row.
"""

from typing import Any

import numpy as np
from numba import njit

_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": {"contract"}, "nogil": True}


@njit(**_OPTIONS)
def _cylinder(origin, ray, axis, length, radius):  # type: ignore[no-untyped-def]
    """Enter and leave distance of a unit ray in a capped cylinder that starts at zero; enter > leave when missed."""
    along, start = 0.0, 0.0
    for k in range(3):
        along += ray[k] * axis[k]
        start += origin[k] * axis[k]
    a, b, c = 0.0, 0.0, -radius * radius
    for k in range(3):
        across, offset = ray[k] - along * axis[k], origin[k] - start * axis[k]
        a += across * across
        b += across * offset
        c += offset * offset
    near, far = -1e30, 1e30
    if a < 1e-14:
        if c > 0.0:
            return 1.0, -1.0
    else:
        under = b * b - a * c
        if under <= 0.0:
            return 1.0, -1.0
        root = np.sqrt(under)
        near, far = (-b - root) / a, (-b + root) / a
    if abs(along) < 1e-14:
        if start < 0.0 or start > length:
            return 1.0, -1.0
    else:
        first, second = -start / along, (length - start) / along
        near, far = max(near, min(first, second)), min(far, max(first, second))
    return near, far


@njit(**_OPTIONS)
def tube_paths(rays, start, end, radii, profile, wall, displaced):  # type: ignore[no-untyped-def]
    """Fill the window with the length in a tube's wall, and with what the whole tube displaces.

    Parameters
    ----------
    rays : (4, 3), mm
    start, end : (3,), mm, ends of the axis
    radii : outer and inner radius, mm; inner 0 for a solid rod
    profile : (2, n), density of the two displaced materials at n even places from start to end
    wall : (rows, columns), float32, mm, overwritten
    displaced : (2, rows, columns), float32, overwritten
    """
    axis = end - start
    length = np.sqrt((axis * axis).sum())
    axis = axis / length
    origin = rays[0] - start
    ray = np.empty(3)
    count = profile.shape[1]
    for v in range(wall.shape[0]):
        for u in range(wall.shape[1]):
            for k in range(3):
                ray[k] = rays[1, k] + u * rays[2, k] + v * rays[3, k] - rays[0, k]
            size = np.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2)
            for k in range(3):
                ray[k] /= size
            near, far = _cylinder(origin, ray, axis, length, radii[0])
            wall[v, u] = 0.0
            displaced[0, v, u] = 0.0
            displaced[1, v, u] = 0.0
            if far <= near:
                continue
            outer, middle = far - near, 0.5 * (near + far)
            place = 0.0
            for k in range(3):
                place += (origin[k] + middle * ray[k]) * axis[k]
            i = min(max(int(place / length * count), 0), count - 1)
            displaced[0, v, u] = outer * profile[0, i]
            displaced[1, v, u] = outer * profile[1, i]
            if radii[1] > 0.0:
                near, far = _cylinder(origin, ray, axis, length, radii[1])
                outer -= max(far - near, 0.0)
            wall[v, u] = outer


@njit(**_OPTIONS)
def ball_paths(rays, centre, radius, inside):  # type: ignore[no-untyped-def]
    """Fill the window, (rows, columns) float32, with the length of each ray in a ball, mm."""
    for v in range(inside.shape[0]):
        for u in range(inside.shape[1]):
            size, along, offset = 0.0, 0.0, 0.0
            for k in range(3):
                d = rays[1, k] + u * rays[2, k] + v * rays[3, k] - rays[0, k]
                o = rays[0, k] - centre[k]
                size += d * d
                along += d * o
                offset += o * o
            under = along * along / size - offset + radius * radius
            inside[v, u] = 2.0 * np.sqrt(under) if under > 0.0 else 0.0


@njit(**_OPTIONS)
def _covers(a, b, x, y):  # type: ignore[no-untyped-def]
    """Side of (x, y) from the line a to b; points on a shared edge belong to one of its two triangles only."""
    side = (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
    if side != 0.0:
        return side > 0.0
    return b[1] < a[1] or (b[1] == a[1] and b[0] > a[0])


@njit(**_OPTIONS)
def surface_paths(rays, vertices, pixels, faces, inside):  # type: ignore[no-untyped-def]
    """Add up signed distances of the faces a ray meets: the length inside a closed surface, mm.

    Parameters
    ----------
    rays : (4, 3), mm
    vertices : (n, 3), mm
    pixels : (n, 2)
        Where the vertices are seen, column and row counted in the window.
    faces : (m, 3), indices; seen from outside counter-clockwise
    inside : (rows, columns), float32, zero before
    """
    rows, columns = inside.shape
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        p, q, r = pixels[i], pixels[j], pixels[k]
        area = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
        if area == 0.0:
            continue
        normal = np.cross(vertices[j] - vertices[i], vertices[k] - vertices[i])
        height = 0.0
        for c in range(3):
            height += normal[c] * (vertices[i, c] - rays[0, c])
        if area < 0.0:
            q, r = r, q
        top = max(0, int(np.ceil(min(p[1], q[1], r[1]))))
        bottom = min(rows - 1, int(np.floor(max(p[1], q[1], r[1]))))
        left = max(0, int(np.ceil(min(p[0], q[0], r[0]))))
        right = min(columns - 1, int(np.floor(max(p[0], q[0], r[0]))))
        for v in range(top, bottom + 1):
            for u in range(left, right + 1):
                if not (_covers(p, q, u, v) and _covers(q, r, u, v) and _covers(r, p, u, v)):
                    continue
                size, facing = 0.0, 0.0
                for c in range(3):
                    d = rays[1, c] + u * rays[2, c] + v * rays[3, c] - rays[0, c]
                    size += d * d
                    facing += normal[c] * d
                distance = height / facing * np.sqrt(size)
                inside[v, u] += distance if facing > 0.0 else -distance
