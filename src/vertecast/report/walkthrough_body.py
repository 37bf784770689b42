"""A drawn body around the real spine: a lying person, the table and the C-arm, as surfaces in LPS.

The person is a drawing of average size, not the patient; only the bones inside come from the scan.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.levels import Level
from vertecast.report.view3d_meshes import Mesh, contoured

_STEP = 9.0  # mm
_LOW, _HIGH = np.array([-330.0, -230.0, -1010.0]), np.array([330.0, 200.0, 760.0])
_BLEND = 28.0  # mm over which two parts flow into each other
_TRIANGLES = 9000
_PITCH = {"C": 17.0, "T": 25.0, "L": 36.0}
"""Rough distance of one vertebra to the next, mm: places the drawing, measures nothing."""
_ELLIPSOIDS = (
    ((0, 15, -100), (168, 118, 105)),  # pelvis
    ((0, -5, 25), (140, 104, 160)),  # belly
    ((0, 0, 215), (158, 116, 190)),  # chest
    ((0, -15, 565), (76, 96, 112)),  # head
)
_SIDED = (
    ((88, 20, -130), (92, 10, -520), 84, 54),  # thigh
    ((92, 10, -520), (92, 20, -900), 54, 34),  # shank
    ((92, 15, -905), (92, -70, -960), 34, 24),  # foot
    ((60, 15, 350), (165, 10, 345), 62, 56),  # shoulder
)
_ARMS_UP = (((175, 0, 350), (255, -70, 520), 46, 36), ((255, -70, 520), (150, -85, 690), 36, 26))
_ARMS_DOWN = (((185, 5, 335), (225, 15, 70), 46, 37), ((225, 15, 70), (245, -35, -160), 37, 26))


def body_mesh(level: str, centre_lps: NDArray[np.float64], *, arms_up: bool) -> Mesh:
    """Return the drawn person so that the centre of a level's body lies at ``centre_lps``.

    Parameters
    ----------
    level : name of the vertebra at the centre
    centre_lps : (3,), mm
    arms_up : beside the head, as under fluoroscopy; else hanging down
    """
    shape = np.ceil((_HIGH - _LOW) / _STEP).astype(int) + 1
    x, y, z = (_LOW[k] + _STEP * np.arange(shape[k], dtype=np.float32) for k in range(3))
    place = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).astype(np.float32)
    distance = _capsule(place, ((0, 20, 390), (0, 10, 500)), (56, 54))
    for centre, radii in _ELLIPSOIDS:
        distance = _joined(distance, _ellipsoid(place, centre, radii))
    folded = place.copy()
    folded[..., 0] = np.abs(folded[..., 0])
    for start, end, thick, thin in _SIDED + (_ARMS_UP if arms_up else _ARMS_DOWN):
        distance = _joined(distance, _capsule(folded, (start, end), (thick, thin)))
    field = np.clip(0.5 - distance / (2 * _STEP), 0.0, 1.0)
    points, faces = contoured(np.asarray(field, np.float32), _TRIANGLES)
    return Mesh(centre_lps + _LOW + points * _STEP - np.array([0.0, 0.0, above_l3(level)]), faces)


def above_l3(level: str) -> float:
    """Return roughly how far a level's body lies above that of L3, mm."""
    ranks = {one.value: one.rank for one in Level}
    if level not in ranks:
        return 0.0
    between = [one for one in Level if min(ranks[level], ranks["L3"]) <= one.rank < max(ranks[level], ranks["L3"])]
    usual = [one for one in between if one.value not in ("T13", "L6")]
    return float(sum(_PITCH.get(one.value[0], 0.0) for one in usual) * (1 if ranks[level] < ranks["L3"] else -1))


def table_mesh(centre_lps: NDArray[np.float64]) -> Mesh:
    """Return the table under the belly of a person who lies face down."""
    low, high = np.array([-230.0, -150.0, -1500.0]), np.array([230.0, -122.0, 1200.0])
    return _box(centre_lps + low, centre_lps + high)


def carm_meshes(centre_lps: NDArray[np.float64]) -> tuple[Mesh, ...]:
    """Return the C-arm for a view from below to above: its arc, the tube under the table, the detector on top."""
    turn = np.linspace(0.5 * np.pi, 1.5 * np.pi, 40)
    arc = centre_lps + np.stack([470 * np.cos(turn), 40 + 470 * np.sin(turn), np.zeros_like(turn)], axis=1)
    detector = _box(centre_lps + np.array([-120, 330, -120.0]), centre_lps + np.array([120, 400, 120.0]))
    neck = _box(centre_lps + np.array([-45, 400, -45.0]), centre_lps + np.array([45, 520, 45.0]))
    source = _box(centre_lps + np.array([-75, -470, -75.0]), centre_lps + np.array([75, -330, 75.0]))
    return (_swept(arc, 26.0, 42.0), detector, neck, source)


def _ellipsoid(place: NDArray[np.float32], centre: tuple[int, ...], radii: tuple[int, ...]) -> NDArray[np.float32]:
    away = (place - np.array(centre, np.float32)) / np.array(radii, np.float32)
    return np.asarray((_length(away) - 1.0) * min(radii), np.float32)


def _capsule(
    place: NDArray[np.float32], ends: tuple[tuple[int, ...], tuple[int, ...]], radii: tuple[int, int]
) -> NDArray[np.float32]:
    start, along = np.array(ends[0], np.float32), np.subtract(ends[1], ends[0]).astype(np.float32)
    share = np.clip((place - start) @ along / float(along @ along), 0.0, 1.0)
    away = _length(place - start - share[..., None] * along)
    return np.asarray(away - (radii[0] + share * (radii[1] - radii[0])), np.float32)


def _length(vectors: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", vectors, vectors)), np.float32)


def _joined(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the distance to both together, rounded where they meet (polynomial smooth minimum)."""
    share = np.clip(0.5 + 0.5 * (other - one) / _BLEND, 0.0, 1.0)
    return np.asarray(other + share * (one - other) - _BLEND * share * (1.0 - share), np.float32)


def _box(low: NDArray[np.float64], high: NDArray[np.float64]) -> Mesh:
    corner = np.array([[i, j, k] for k in (0, 1) for j in (0, 1) for i in (0, 1)])
    quads = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))
    # Each side has corners of its own, so that edges are shaded as edges.
    points = np.concatenate([(low + corner * (high - low))[list(quad)] for quad in quads])
    faces = np.array([[4 * k + a for a in part] for k in range(6) for part in ((0, 1, 2), (0, 2, 3))])
    return Mesh(points, faces)


def _swept(path: NDArray[np.float64], thick: float, wide: float) -> Mesh:
    """Sweep a rectangle along a path in a transverse plane."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, [0.0, 0.0, 1.0])
    up = np.array([0.0, 0.0, 1.0])
    rings = [path + a * thick * across + b * wide * up for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    points = np.stack(rings, axis=1).reshape(-1, 3)
    faces = []
    for k in range(len(path) - 1):
        for a in range(4):
            b = (a + 1) % 4
            faces += [[4 * k + a, 4 * k + 4 + b, 4 * k + b], [4 * k + a, 4 * k + 4 + a, 4 * k + 4 + b]]
    return Mesh(points, np.array(faces))
