"""Where two fluids flow: the pore space on cells, its outlets, and the tips that feed it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, special

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.kernels.flow_state import frozen

Array = NDArray[Any]
TIP_SAMPLES = 8
"""A cell's share of a tip is counted on this many points along each edge."""


@dataclass(frozen=True, slots=True, eq=False)
class PoreSpace:
    """Pore volume and absolute resistance of every cell, from :func:`pore_space`.

    ``volume`` (nx, ny, nz) mm3, zero in a closed cell; ``half`` (3, nx, ny, nz) 1/mm3, from a cell's centre to its face
    along each axis; ``skin`` (3, nx, ny, nz) 1/mm3, a thin layer on the upper face, infinite where closed.
    """

    spacing: tuple[float, float, float]
    volume: Array
    half: Array
    skin: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along each axis."""
        nx, ny, nz = self.volume.shape
        return nx, ny, nz

    @property
    def open_cells(self) -> NDArray[np.bool_]:
        """Cells with pores."""
        found: NDArray[np.bool_] = self.volume > 0
        return found

    def permeability(self, cells: Array) -> Array:
        """Return the geometric mean permeability of flat cells, mm2."""
        h = np.array(self.spacing)
        along = 0.5 * h**2 / np.prod(h)
        k = along[:, None] / self.half.reshape(3, -1)[:, cells]
        mean: Array = np.prod(k, axis=0) ** (1 / 3)
        return mean


def pore_space(
    porosity: ArrayLike, permeability: ArrayLike, spacing: Sequence[float], *, skin: ArrayLike | None = None
) -> PoreSpace:
    """Return the pore space of a grid of cells.

    Parameters
    ----------
    porosity : (nx, ny, nz), 0..1
        Zero closes a cell.
    permeability : (nx, ny, nz) or (3, nx, ny, nz), mm2
        Along each axis; zero closes a cell. Cap a cavity's at about a thousand times its surroundings'.
    spacing : (3,), mm
    skin : (3, nx, ny, nz), 1/mm, or None
        Thickness over permeability of a thin layer on the upper face of each cell; 0 open, infinite closed.

    Raises
    ------
    ParameterError
        For shapes that do not fit, porosity outside 0..1, a negative or not finite permeability, a negative skin.
    """
    phi = np.asarray(porosity, dtype=float)
    h = np.asarray(spacing, dtype=float)
    if phi.ndim != 3 or h.shape != (3,) or not np.all(np.isfinite(h)) or h.min() <= 0:
        raise ParameterError(f"porosity {phi.shape} must be (nx, ny, nz) and spacing {spacing} three positive mm")
    if not np.all((phi >= 0) & (phi <= 1)):
        raise ParameterError("porosity must lie in 0..1 in every cell")
    k = np.asarray(permeability, dtype=float)
    if k.shape not in (phi.shape, (3, *phi.shape)):
        raise ParameterError(f"permeability {k.shape} does not fit the cells {phi.shape}, alone or once for each axis")
    if not np.all(np.isfinite(k)) or k.min() < 0:
        raise ParameterError("permeability must be finite and not negative in every cell, mm2")
    k = np.broadcast_to(k, (3, *phi.shape))
    layer = np.zeros((3, *phi.shape)) if skin is None else np.array(skin, dtype=float)
    if layer.shape != (3, *phi.shape) or np.any(np.isnan(layer)) or layer.min() < 0:
        raise ParameterError(f"skin {layer.shape} must be (3, nx, ny, nz), not negative, 1/mm")
    open_cells = (phi > 0) & np.all(k > 0, axis=0)
    volume = np.where(open_cells, phi, 0.0) * np.prod(h)
    half = np.full(k.shape, np.inf)
    for axis in range(3):
        area = np.prod(h) / h[axis]
        half[axis][open_cells] = 0.5 * h[axis] / (k[axis][open_cells] * area)
        layer[axis] /= area
        layer[axis][tuple(-1 if a == axis else slice(None) for a in range(3))] = np.inf
    return PoreSpace((float(h[0]), float(h[1]), float(h[2])), *(frozen(a) for a in (volume, half, layer)))


@dataclass(frozen=True, slots=True, eq=False)
class Outlet:
    """A way out: flux = conductance / viscosity * (p of the cell - pressure), of what the cell holds.

    ``cells`` (m,) flat; ``conductance`` (m,) mm3; ``pressure`` MPa. It gives resident fluid when the cell's pressure is
    below its own.
    """

    name: str
    cells: Array
    conductance: Array
    pressure: float

    def __post_init__(self) -> None:
        cells, conductance = np.asarray(self.cells), np.asarray(self.conductance, dtype=float)
        if cells.ndim != 1 or cells.shape != conductance.shape or not np.issubdtype(cells.dtype, np.integer):
            raise ParameterError(f"outlet {self.name}: cells {cells.shape} must be flat integers, one conductance each")
        if not np.all(np.isfinite(conductance)) or np.any(conductance < 0) or not np.isfinite(self.pressure):
            raise ParameterError(f"outlet {self.name}: conductance must be finite and not negative, pressure finite")


def edge_outlet(space: PoreSpace, name: str, mask: ArrayLike, pressure: float) -> Outlet:
    """Return the outlet of the masked cells that lie at the edge of the grid, through their half cell.

    Raises
    ------
    GeometryError
        If no open cell of the mask lies at the edge.
    """
    wanted = np.asarray(mask, dtype=bool) & space.open_cells
    total = np.zeros(space.shape)
    for axis in range(3):
        for end in (0, -1):
            window = tuple(end if a == axis else slice(None) for a in range(3))
            total[window] += np.where(wanted[window], 1 / space.half[axis][window], 0.0)
    cells = np.flatnonzero(total)
    if not cells.size:
        raise GeometryError(f"outlet {name}: no open cell of its mask lies at the edge of the grid {space.shape}")
    return Outlet(name, cells, total.ravel()[cells], pressure)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A tip that feeds the injected fluid, and how it is pushed.

    ``cells``, ``weights`` from :func:`tip_cells`; ``rate`` mm3/s asked for; ``radius`` mm of the tip, at which its
    pressure is meant; tip pressure + ``drop(rate)`` stays below ``pressure_limit`` MPa; ``carried`` are the values of
    what leaves the tip now; ``dead_volume`` mm3 lies in the needle and is filled first.
    """

    name: str
    cells: Array
    weights: Array
    rate: float
    radius: float
    pressure_limit: float = np.inf
    drop: Callable[[float], float] | None = None
    carried: Mapping[str, float] = field(default_factory=dict)
    dead_volume: float = 0.0

    def __post_init__(self) -> None:
        numbers = {"rate": self.rate, "dead volume": self.dead_volume}
        for what, number in numbers.items():
            if not np.isfinite(number) or number < 0:
                raise ParameterError(f"source {self.name}: {what} {number} must be finite and not negative")
        if not np.isfinite(self.radius) or self.radius <= 0 or not self.pressure_limit > 0:
            raise ParameterError(
                f"source {self.name}: radius {self.radius} mm and limit {self.pressure_limit} MPa must be positive"
            )
        weights = np.asarray(self.weights, dtype=float)
        if weights.ndim != 1 or weights.shape != np.shape(self.cells) or np.any(weights <= 0):
            raise ParameterError(f"source {self.name}: one positive weight for each of its flat cells is needed")
        if abs(weights.sum() - 1) > 1e-9:
            raise ParameterError(f"source {self.name}: weights add up to {weights.sum()}, not to 1")


def tip_cells(space: PoreSpace, point: ArrayLike, radius: float) -> tuple[Array, Array]:
    """Return the open cells a round tip touches and the share of its flow each takes.

    Parameters
    ----------
    point : (3,), mm
        Centre of the tip; the centre of cell (i, j, k) lies at (i, j, k) * spacing.
    radius : float, mm

    Returns
    -------
    (m,) flat cells in ascending order, (m,) weights that add up to 1

    Raises
    ------
    GeometryError
        If the tip lies beyond the grid or touches no open cell.
    """
    centre, h = np.asarray(point, dtype=float), np.array(space.spacing)
    if centre.shape != (3,) or not np.all(np.isfinite(centre)) or not radius > 0:
        raise ParameterError(f"tip at {point!r} mm with radius {radius} mm: three finite numbers and a positive radius")
    at = centre / h
    if np.any(at < -0.5) or np.any(at > np.array(space.shape) - 0.5):
        raise GeometryError(f"tip at {point!r} mm lies beyond the grid of {space.shape} cells; move it inside")
    low = np.maximum(np.floor(at - radius / h - 0.5), 0).astype(int)
    high = np.minimum(np.ceil(at + radius / h + 0.5).astype(int) + 1, space.shape)
    square = 0.0
    for axis in range(3):
        edges = (np.arange(TIP_SAMPLES * (high[axis] - low[axis])) + 0.5) / TIP_SAMPLES + low[axis] - 0.5
        away = (edges * h[axis] - centre[axis]) ** 2
        square = square + away.reshape([-1 if a == axis else 1 for a in range(3)])
    counts = high - low
    inside = (np.asarray(square) <= radius**2).reshape(
        counts[0], TIP_SAMPLES, counts[1], TIP_SAMPLES, counts[2], TIP_SAMPLES
    )
    touched = inside.sum(axis=(1, 3, 5)).astype(float)
    nearest = tuple(np.clip(np.rint(at).astype(int), 0, np.array(space.shape) - 1) - low)
    if not touched.any():
        touched[nearest] = 1.0
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    touched[~space.open_cells[window]] = 0
    if not touched.any():
        raise GeometryError(f"tip at {point!r} mm: every cell within {radius} mm is closed; move it into open pores")
    cells = np.ravel_multi_index(tuple(np.nonzero(touched) + low[:, None]), space.shape)
    weights = touched[touched > 0]
    return cells, weights / weights.sum()


def source_radius(space: PoreSpace, cells: Array, weights: Array) -> float:
    """Return the radius (mm) at which a point source has the pressure that the grid finds in these cells.

    One cell gives 1 / (4 pi 0.25273) = 0.3149 of its edge; a spread tip the weighted sum of the lattice's response. The
    mean edge is used where the spacing differs by axis.
    """
    places = np.array(np.unravel_index(cells, space.shape)).T
    apart = np.sort(np.abs(places[:, None] - places[None, :]), axis=-1)
    kinds, which = np.unique(apart.reshape(-1, 3), axis=0, return_inverse=True)
    green = np.array([_lattice_green(*(int(n) for n in kind)) for kind in kinds])[which.ravel()]
    mean = float(weights @ green.reshape(apart.shape[:2]) @ weights)
    return float(np.prod(space.spacing) ** (1 / 3)) / (4 * np.pi * mean)


@lru_cache(maxsize=4096)
def _lattice_green(l: int, m: int, n: int) -> float:  # noqa: E741 - the lattice's own letters
    """Return the seven-point lattice's response to a unit source, this many cells away, edge 1."""
    if l * l + m * m + n * n > 64:
        return 1 / (4 * np.pi * float(np.sqrt(l * l + m * m + n * n)))

    def part(t: float) -> float:
        return float(special.ive(l, 2 * t) * special.ive(m, 2 * t) * special.ive(n, 2 * t))

    near, _ = integrate.quad(part, 0, 10, epsabs=1e-11, limit=200)
    far, _ = integrate.quad(lambda s: 2 * part(1 / s**2) / s**3, 0, 1 / np.sqrt(10), epsabs=1e-11, limit=200)
    return float(near + far)
