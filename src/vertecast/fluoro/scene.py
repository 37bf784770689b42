"""What the operator brings into the beam, as plain shapes in LPS millimetres: tubes, balls, closed surfaces, fields."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.frames import read_only
from vertecast.imaging.grid import Grid
from vertecast.physics.attenuation import Material


@dataclass(frozen=True, eq=False)
class Tube:
    """A needle, cannula, stylet or catheter: a straight round tube, or a rod when the inner radius is zero.

    Parameters
    ----------
    start_lps, end_lps : (3,), mm
    outer_radius, inner_radius : mm
        The bore of a tube is empty unless another shape with ``displaces`` off lies in it.
    material : what the wall is made of
    displaces : off for what lies inside another shape, which has already pushed the tissue away
    """

    start_lps: NDArray[np.float64]
    end_lps: NDArray[np.float64]
    outer_radius: float
    inner_radius: float
    material: Material
    displaces: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "start_lps", read_only(self.start_lps))
        object.__setattr__(self, "end_lps", read_only(self.end_lps))
        if not 0 <= self.inner_radius < self.outer_radius:
            raise GeometryError(
                f"tube: inner radius {self.inner_radius} mm must be at least 0 and below the outer, "
                f"{self.outer_radius} mm"
            )
        if np.linalg.norm(self.end_lps - self.start_lps) < 1e-6:
            raise GeometryError("tube: both ends are one point, so it has no direction; give two points")


@dataclass(frozen=True, eq=False)
class Ball:
    """A round marker.

    Parameters
    ----------
    centre_lps : (3,), mm
    radius : mm
    material : what it is made of
    displaces : off inside another shape
    """

    centre_lps: NDArray[np.float64]
    radius: float
    material: Material
    displaces: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre_lps", read_only(self.centre_lps))
        if not self.radius > 0:
            raise GeometryError(f"ball: radius {self.radius} mm must be positive")


@dataclass(frozen=True, eq=False)
class ClosedSurface:
    """A balloon, cage or any body bounded by triangles.

    Parameters
    ----------
    vertices_lps : (n, 3), mm
    faces : (m, 3), indices, counter-clockwise from outside
    material : what fills it
    displaces : off inside another shape
    """

    vertices_lps: NDArray[np.float64]
    faces: NDArray[np.int64]
    material: Material
    displaces: bool = True

    def __post_init__(self) -> None:
        faces = np.array(self.faces, np.int64)
        faces.setflags(write=False)
        object.__setattr__(self, "vertices_lps", read_only(self.vertices_lps))
        object.__setattr__(self, "faces", faces)
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        forward = np.sort(edges[:, 0] * len(self.vertices_lps) + edges[:, 1])
        backward = np.sort(edges[:, 1] * len(self.vertices_lps) + edges[:, 0])
        if not np.array_equal(forward, backward) or not np.diff(forward).all():
            raise GeometryError(
                "surface is not closed or its faces are not turned alike: every edge must be used once in each "
                "direction; close the holes and orient the faces outwards"
            )
        if self.volume_mm3 <= 0:
            raise GeometryError(
                f"surface encloses {self.volume_mm3:.3g} mm³: its faces look inwards; reverse the order of vertices"
            )

    @property
    def volume_mm3(self) -> float:
        """Volume enclosed."""
        corners = self.vertices_lps[self.faces] - self.vertices_lps.mean(axis=0)
        return float(np.linalg.det(corners).sum() / 6)

    def interior(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points inside, (k, 3), with volume weights; spread along the rays from the middle, for a star-shaped body."""
        middle = self.vertices_lps.mean(axis=0)
        corners = self.vertices_lps[self.faces] - middle
        volumes = np.abs(np.linalg.det(corners))
        depths = (np.arange(6) + 0.5) / 6
        points = middle + depths[:, None, None] * corners.mean(axis=1)
        return points.reshape(-1, 3), (depths[:, None] ** 2 * volumes).ravel()


@dataclass(frozen=True, eq=False)
class VoxelField:
    """Cement, contrast or an empty cavity on a grid of its own.

    Parameters
    ----------
    fraction : (nx, ny, nz), part of each voxel that the material takes, 0 to 1
    grid : where the voxels are
    material : ``None`` for a void
    displaces : off inside another shape
    """

    fraction: NDArray[np.float32]
    grid: Grid
    material: Material | None
    displaces: bool = True

    def __post_init__(self) -> None:
        fraction = np.array(self.fraction, np.float32)
        fraction.setflags(write=False)
        object.__setattr__(self, "fraction", fraction)
        if fraction.shape != self.grid.shape:
            raise GeometryError(f"field has shape {fraction.shape}, its grid {self.grid.shape}")
        if fraction.size and not (np.isfinite(fraction).all() and fraction.min() >= 0 and fraction.max() <= 1 + 1e-6):
            raise GeometryError(
                f"field of fractions spans {fraction.min():g} to {fraction.max():g}; every value must lie in [0, 1]"
            )

    @cached_property
    def trimmed(self) -> tuple[NDArray[np.float32], Grid]:
        """The box of what is not zero, with one voxel of zeros around it, and its grid.

        All that is projected, so a grid may be as large as the vertebra while the cement in it is still small.
        """
        filled = self.fraction > 0
        along = [np.flatnonzero(filled.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
        low = np.array([places[0] if len(places) else 0 for places in along])
        high = np.array([places[-1] + 1 if len(places) else 1 for places in along])
        part = self.fraction[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        padded = np.pad(part, 1)
        matrix = self.grid.lps_from_voxel.matrix.copy()
        matrix[:3, 3] = self.grid.to_lps(low - 1)
        return padded, Grid.from_affine(padded.shape, matrix)


Shape = Tube | Ball | ClosedSurface | VoxelField


@dataclass(frozen=True, eq=False)
class Scene:
    """All shapes in the beam. A shape object that is the same as in the last frame is not projected again."""

    shapes: tuple[Shape, ...] = ()
