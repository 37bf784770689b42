"""A mask as a solid with a smooth surface, so that it can be probed between its voxels and cut by any plane."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.frames import Transform
from vertecast.imaging.grid import Grid

_PAD = 1
"""Voxels of background added around the crop: a solid that touches its border still has a surface there."""


@dataclass(frozen=True, eq=False)
class Solid:
    """The signed distance to the surface of a mask, and the frame its points are given in.

    Parameters
    ----------
    depth : (nx, ny, nz), mm
        Positive inside, negative outside; zero half-way between an inner and an outer voxel centre.
    voxel_from_frame : maps points of the chosen frame to indices of ``depth``
    spacing : (3,), mm, of the voxels
    """

    depth: NDArray[np.float32]
    voxel_from_frame: Transform
    spacing: NDArray[np.float64]

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_], grid: Grid, frame_from_lps: Transform) -> "Solid":
        """Make the solid of a mask; points will be given in the target frame of ``frame_from_lps``.

        Parameters
        ----------
        mask : (nx, ny, nz)
        grid : of the mask
        frame_from_lps : rigid, for instance ``vert_from_lps``
        """
        if mask.shape != grid.shape:
            raise GeometryError(f"mask has shape {mask.shape}, its grid {grid.shape}; crop both alike")
        padded = np.pad(mask, _PAD)
        inside = ndimage.distance_transform_edt(padded, sampling=grid.spacing)
        outside = ndimage.distance_transform_edt(~padded, sampling=grid.spacing)
        shift = np.eye(4)
        shift[:3, 3] = _PAD
        voxel_from_frame = grid.lps_from_voxel.inverse @ frame_from_lps.inverse
        padded_from_frame = Transform(shift @ voxel_from_frame.matrix, voxel_from_frame.target, voxel_from_frame.source)
        return cls((inside - outside).astype(np.float32), padded_from_frame, grid.spacing)

    def depth_at(self, points: ArrayLike) -> NDArray[np.float32]:
        """Depth below the surface, mm, at points (..., 3) of the frame; outside the crop it is that of the border."""
        indices = self.voxel_from_frame.apply(points)
        return np.asarray(
            ndimage.map_coordinates(self.depth, np.moveaxis(indices, -1, 0), order=1, mode="nearest"), np.float32
        )

    def spacing_along(self, direction: ArrayLike) -> float:
        """Voxel size, mm, seen along a unit direction of the frame."""
        axes = self.voxel_from_frame.matrix[:3, :3] * self.spacing[:, None]
        return float(np.linalg.norm((axes @ np.asarray(direction, float)) * self.spacing))


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """The piece of a solid that a plane cuts out, by its moments.

    Parameters
    ----------
    area : mm²
    centre : (2,), mm, of the piece, in the plane's own coordinates (u, v)
    covariance : (2, 2), mm², second central moments of the piece
    inside : (n, n), the samples that belong to the piece
    step : float, mm, between samples
    """

    area: float
    centre: NDArray[np.float64]
    covariance: NDArray[np.float64]
    inside: NDArray[np.bool_]
    step: float

    def chord(self, angle: float) -> float:
        """Length, mm, of the central chord at ``angle`` rad from u, of the ellipse with this piece's moments."""
        direction = np.array([np.cos(angle), np.sin(angle)])
        return float(4.0 / np.sqrt(direction @ np.linalg.solve(self.covariance, direction)))

    def inscribed(self) -> float:
        """Diameter, mm, of the largest circle inside the piece."""
        padded = np.pad(self.inside, 1)
        return float((2.0 * ndimage.distance_transform_edt(padded).max() - 1.0) * self.step)


def piece_at(depth: NDArray[np.float32], step: float) -> Section | None:
    """Return the connected piece of a sampled plane that holds, or lies nearest to, its centre.

    Parameters
    ----------
    depth : (n, n), mm, samples of a plane, n odd, the point of interest in the middle
    step : float, mm, between samples

    Notes
    -----
    Each sample counts by the share of its cell that lies inside, so area and moments are smooth in the plane's pose.
    """
    labels, count = ndimage.label(depth > 0)
    if count == 0:
        return None
    half = (depth.shape[0] - 1) // 2
    near = labels[half, half] or _nearest_label(labels, half)
    piece = _grown(labels == near) & ((labels == near) | (labels == 0))
    weight = np.where(piece, np.clip(depth / step + 0.5, 0.0, 1.0), 0.0)
    axis = (np.arange(depth.shape[0]) - half) * step
    total = float(weight.sum())
    in_u, in_v = weight.sum(axis=1), weight.sum(axis=0)
    centre = np.array([in_u @ axis, in_v @ axis]) / total
    du, dv = axis - centre[0], axis - centre[1]
    cross = float(du @ weight @ dv)
    covariance = np.array([[in_u @ du**2, cross], [cross, in_v @ dv**2]]) / total
    return Section(total * step**2, centre, covariance + np.eye(2) * 1e-9, labels == near, step)


def _grown(piece: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Piece and its four neighbours; on a small plane much faster than the general dilation."""
    grown = piece.copy()
    grown[1:] |= piece[:-1]
    grown[:-1] |= piece[1:]
    grown[:, 1:] |= piece[:, :-1]
    grown[:, :-1] |= piece[:, 1:]
    return grown


def _nearest_label(labels: NDArray[np.int32], half: int) -> int:
    found = np.argwhere(labels > 0)
    nearest = found[np.argmin(((found - half) ** 2).sum(axis=1))]
    return int(labels[tuple(nearest)])
