"""The definitions of ``docs/methods/heights.md`` on an analytic surface: the truth that measurements are held against.

Nothing here is used by the measuring code, and nothing of the measuring code is used here: a surface is a function of
any point in space, and
every number is found by root finding and quadrature on it, with no voxels in between.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.quantities import quantity

Distance = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From points (n, 3), mm, to a value that is negative inside the body, zero on its surface."""

INSET, INNER, BAND, PARASAGITTAL = 0.10, 0.80, 0.75, 0.25
"""Fractions of docs/methods/heights.md: of the depth, the endplate's outline, the relative height, the width."""
STATIONS: Mapping[str, float] = {"anterior": INSET, "middle": 0.5, "posterior": 1.0 - INSET}
PLANES: Mapping[str, float] = {"right": -PARASAGITTAL, "mid": 0.0, "left": PARASAGITTAL}
_COLUMN, _SEARCH, _FINE, _CELL = 0.4, 1.6, 0.25, 0.8
_ROUNDS, _HALVINGS = 2, 12
"""Steps in mm: between columns, along a column while searching, along rims, of volume cells; roots are refined."""


@dataclass(frozen=True, slots=True, eq=False)
class Endplate:
    """One endplate plane in the surface's own frame.

    Parameters
    ----------
    centroid, normal : (3,), mm and 1: of the inner endplate; the normal points up on both endplates
    """

    centroid: NDArray[np.float64]
    normal: NDArray[np.float64]

    def height(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return z of the plane over (x, y), all along the surface's own axes."""
        c, n = self.centroid, self.normal
        return np.asarray(c[2] - (n[0] * (x - c[0]) + n[1] * (y - c[1])) / n[2])


@dataclass(frozen=True, slots=True, eq=False)
class Morphometry:
    """One body by definition.

    Parameters
    ----------
    axes, origin : (3, 3) and (3,): rows are x, y, z of the vertebral frame, and its origin, in the surface's own frame
    points : per sagittal plane (``right``, ``mid``, ``left``) and station, (2, 3), mm: superior and inferior point,
        own frame
    """

    axes: NDArray[np.float64]
    origin: NDArray[np.float64]
    superior: Endplate
    inferior: Endplate
    points: Mapping[str, Mapping[str, NDArray[np.float64]]]
    depth_mm: float = quantity("mm", "mean depth of the two endplates, mid-sagittal")
    width_mm: float = quantity("mm", "mean width of the two endplates")
    volume_mm3: float = quantity("mm3", "volume of the body, cortex included")

    def height_mm(self, plane: str, station: str) -> float:
        """Distance between the superior and the inferior point of a name."""
        upper, lower = self.points[plane][station]
        return float(np.linalg.norm(upper - lower))

    @property
    def wedge_deg(self) -> float:
        """Angle between the endplates in the mid-sagittal plane, positive when lower in front."""
        return _tilt(self.superior, self.axes, 1) - _tilt(self.inferior, self.axes, 1)

    @property
    def lateral_wedge_deg(self) -> float:
        """The same in the coronal plane, positive when lower on the left."""
        return _tilt(self.inferior, self.axes, 0) - _tilt(self.superior, self.axes, 0)


def measure_surface(distance: Distance, half_size: NDArray[np.float64]) -> Morphometry:
    """Evaluate the definitions on one body.

    Parameters
    ----------
    half_size : (3,), mm
        A box about the own frame's origin that holds the body; the own frame is within some 20 degrees of the
        vertebral one and its x axis is
        the normal of the symmetry plane.

    Raises
    ------
    GeometryError
        When the box does not hold the body.
    """
    axes, origin = np.eye(3), np.zeros(3)
    whole = _Local(distance, axes, origin, half_size)
    top, bottom = (float(whole.surface(np.zeros(1), np.zeros(1), sign)[0]) for sign in (1.0, -1.0))
    # A crushed body may end below where an intact one's first planes are laid; NaN leaves the first of the two.
    band = (min(0.4 * half_size[2], top), max(-0.4 * half_size[2], bottom))
    superior, inferior = (Endplate(np.array([0.0, 0.0, z]), np.array([0.0, 0.0, 1.0])) for z in band)
    for _ in range(_ROUNDS):
        local = _Local(distance, axes, origin, half_size)
        superior, inferior = (local.endplate(sign, (superior, inferior)) for sign in (1.0, -1.0))
        axes = _axes(superior.normal, inferior.normal)
        origin = 0.5 * (superior.centroid + inferior.centroid)
    return _Local(distance, axes, origin, half_size).finished(superior, inferior)


def _axes(up: NDArray[np.float64], low: NDArray[np.float64]) -> NDArray[np.float64]:
    z = (up + low) / np.linalg.norm(up + low)
    x = np.array([1.0, 0.0, 0.0]) - z * z[0]
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def _tilt(plate: Endplate, axes: NDArray[np.float64], axis: int) -> float:
    """Slope of a plane along one axis of the frame, degrees."""
    normal = axes @ plate.normal
    return float(np.degrees(np.arctan2(-normal[axis], normal[2])))


@dataclass(frozen=True, slots=True, eq=False)
class _Local:
    """A surface seen from one trial frame; all coordinates below are along that frame."""

    distance: Distance
    axes: NDArray[np.float64]
    origin: NDArray[np.float64]
    half: NDArray[np.float64]

    def value(self, *xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        grid = np.stack(np.broadcast_arrays(*xyz), axis=-1)
        own = grid.reshape(-1, 3) @ self.axes + self.origin
        return np.asarray(self.distance(own).reshape(grid.shape[:-1]))

    def surface(self, x: NDArray[np.float64], y: NDArray[np.float64], sign: float) -> NDArray[np.float64]:
        """Outermost z of the body over (x, y) upward (+1) or downward (-1); NaN where there is no body."""
        z = sign * np.arange(self.half[2], -0.25 * self.half[2], -_SEARCH)
        inside = self.value(x[..., None], y[..., None], z) <= 0.0
        hit = inside.any(axis=-1)
        first = inside.argmax(axis=-1)[hit]
        if (first == 0).any():
            raise GeometryError(f"the body leaves its box of half size {self.half.tolist()} mm; enlarge the box")
        inner, outer = z[first], z[first - 1]
        for _ in range(_HALVINGS):
            middle = 0.5 * (inner + outer)
            within = self.value(x[hit], y[hit], middle) <= 0.0
            inner, outer = np.where(within, middle, inner), np.where(within, outer, middle)
        out = np.full(x.shape, np.nan)
        out[hit] = 0.5 * (inner + outer)
        return out

    def relative(self, plates: tuple[Endplate, Endplate], *xyz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Relative height between the endplate planes: 0 on the inferior, 1 on the superior."""
        own = np.stack(np.broadcast_arrays(*xyz), axis=-1) @ self.axes + self.origin
        top = plates[0].height(own[..., 0], own[..., 1])
        bottom = plates[1].height(own[..., 0], own[..., 1])
        return np.asarray((own[..., 2] - bottom) / (top - bottom))

    def endplate(self, sign: float, plates: tuple[Endplate, Endplate]) -> Endplate:
        """Fit the plane through the inner endplate."""
        x, y = (_COLUMN * np.arange(-int(h / _COLUMN), int(h / _COLUMN) + 1) for h in self.half[:2])
        gx, gy = np.meshgrid(x, y, indexing="ij")
        z = self.surface(gx, gy, sign)
        t = self.relative(plates, gx, gy, np.nan_to_num(z))
        outline = np.isfinite(z) & ((t if sign > 0 else 1.0 - t) >= BAND)
        centre = np.array([gx[outline].mean(), gy[outline].mean()])
        outer = [(c + (g - c) / INNER - g0) / _COLUMN for c, g, g0 in zip(centre, (gx, gy), (x[0], y[0]), strict=True)]
        weight = np.where(outline, ndimage.map_coordinates(outline.astype(float), outer, order=1), 0.0)
        chosen = weight > 0.0
        points, weight = np.stack([gx[chosen], gy[chosen], z[chosen]], axis=-1), weight[chosen]
        middle = np.average(points, axis=0, weights=weight)
        root = np.sqrt(weight)
        away = (points - middle) * root[:, None]
        slope = np.linalg.lstsq(away[:, :2], away[:, 2], rcond=None)[0]
        normal = np.array([-slope[0], -slope[1], 1.0])
        return Endplate(middle @ self.axes + self.origin, (normal / np.linalg.norm(normal)) @ self.axes)

    def extent(self, x: float, sign: float, plates: tuple[Endplate, Endplate]) -> tuple[float, float]:
        """Most anterior and most posterior y of the body in a rim band, in the plane at ``x``."""
        y, z = np.arange(-self.half[1], self.half[1], _FINE), np.arange(-self.half[2], self.half[2], 2.0 * _FINE)
        gz, gy = np.meshgrid(z, y, indexing="ij")
        gx = np.full_like(gy, x)
        return self._ends(self.value(gx, gy, gz), y, self._in_band((gx, gy, gz), sign, plates))

    def across(self, sign: float, plates: tuple[Endplate, Endplate]) -> float:
        """Left-right extent of the body in a rim band."""
        x = np.arange(-self.half[0], self.half[0], 2.0 * _FINE)
        y, z = np.arange(-self.half[1], self.half[1], 1.5), np.arange(-self.half[2], self.half[2], 3.0 * _FINE)
        gz, gy, gx = np.meshgrid(z, y, x, indexing="ij")
        low, high = self._ends(self.value(gx, gy, gz), x, self._in_band((gx, gy, gz), sign, plates))
        return high - low

    def _in_band(
        self, xyz: tuple[NDArray[np.float64], ...], sign: float, plates: tuple[Endplate, Endplate]
    ) -> NDArray[np.bool_]:
        t = self.relative(plates, *xyz)
        return np.asarray((t if sign > 0 else 1.0 - t) >= BAND)

    @staticmethod
    def _ends(d: NDArray[np.float64], at: NDArray[np.float64], band: NDArray[np.bool_]) -> tuple[float, float]:
        """Outermost zero crossings along the last axis, by straight line between samples."""
        inside = (d <= 0.0) & band
        cross_in = ~(d[..., :-1] <= 0.0) & inside[..., 1:]
        cross_out = inside[..., :-1] & ~(d[..., 1:] <= 0.0)
        share = d[..., :-1] / np.where(d[..., :-1] == d[..., 1:], 1.0, d[..., :-1] - d[..., 1:])
        places = at[:-1] + share * (at[1] - at[0])
        if not (cross_in.any() and cross_out.any()):
            raise GeometryError(
                "the body has no rim in its band; it is crushed beyond what the six points can describe"
            )
        return float(places[cross_in].min()), float(places[cross_out].max())

    def finished(self, superior: Endplate, inferior: Endplate) -> Morphometry:
        """Place the six points in the three planes and add depth, width and volume."""
        plates = (superior, inferior)
        width = 0.5 * (self.across(1.0, plates) + self.across(-1.0, plates))
        points: dict[str, dict[str, NDArray[np.float64]]] = {}
        depths = []
        for name, share in PLANES.items():
            ends = [self.extent(share * width, sign, plates) for sign in (1.0, -1.0)]
            depths.append(float(np.mean([b - a for a, b in ends])))
            points[name] = {
                station: np.stack([self._point(share * width, e, f, s) for e, s in zip(ends, (1.0, -1.0), strict=True)])
                for station, f in STATIONS.items()
            }
        depth = depths[list(PLANES).index("mid")]
        return Morphometry(self.axes, self.origin, superior, inferior, points, depth, width, self._volume())

    def _point(self, x: float, ends: tuple[float, float], share: float, sign: float) -> NDArray[np.float64]:
        y = ends[0] + share * (ends[1] - ends[0])
        z = self.surface(np.array([x]), np.array([y]), sign)[0]
        return np.asarray(np.array([x, y, z]) @ self.axes + self.origin)

    def _volume(self) -> float:
        steps = [np.arange(-h, h, _CELL) for h in self.half]
        d = self.value(*np.meshgrid(*steps, indexing="ij"))
        return float(np.clip(0.5 - d / _CELL, 0.0, 1.0).sum() * _CELL**3)
