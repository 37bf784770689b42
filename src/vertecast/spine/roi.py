"""The trabecular region of a body: where its marrow bone can be read without cortex, vein, gas, cement or sclerosis."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.quantities import quantity
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.spine.anatomy import Anatomy

_PAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiParameters:
    """What a trabecular region keeps away from."""

    cortex_distance: float = quantity("mm", "distance kept from the surface of the body")
    vein_depth: float = quantity("1", "posterior share of the body's depth in which the vein is left out")
    vein_half_width: float = quantity("1", "half-width of the vein's region, over the body's half-width")
    vein_half_height: float = quantity("1", "half-height of the vein's region, over the body's half-height")
    gas_below: float = quantity("HU", "a smoothed value below this is gas")
    cement_above: float = quantity("HU", "a smoothed value above this is cement or metal")
    sclerosis_above: float = quantity("HU", "a smoothed value above this, well inside the body, is sclerotic bone")
    smoothing: float = quantity("mm", "standard deviation of the smoothing before a voxel is called one of these")
    min_volume: float = quantity("mL", "a smaller region is not measured")


@dataclass(frozen=True, slots=True, eq=False)
class BodyHu:
    """The body's HU on a crop of the CT's own voxels.

    Parameters
    ----------
    grid : of the crop, in CT voxels
    hu : (nx, ny, nz), HU
    smooth : (nx, ny, nz), HU, after the smoothing that tells gas, cement and sclerosis from noise
    filled : (nx, ny, nz), the body without the holes a segmentation leaves at gas or cement
    depth : (nx, ny, nz), mm below the body's surface, 0 outside
    xyz : (nx, ny, nz, 3), mm, voxel centres in the vertebral frame
    """

    grid: Grid
    hu: NDArray[np.float32]
    smooth: NDArray[np.float32]
    filled: NDArray[np.bool_]
    depth: NDArray[np.float32]
    xyz: NDArray[np.float64]


def body_hu(anatomy: Anatomy, volume: Volume, p: RoiParameters) -> BodyHu:
    """Crop the CT to the body and bring the body's mask to the CT's voxels.

    Raises
    ------
    GeometryError
        If the body lies outside the CT.
    """
    hu, grid = _crop(anatomy, volume)
    filled = _on_grid(_closed(anatomy.body), anatomy.grid, grid)
    if not filled.any():
        raise GeometryError(
            f"the body of {anatomy.level} lies outside the CT; give the CT that the labels were made on"
        )
    sigma = p.smoothing / grid.spacing
    smooth = ndimage.gaussian_filter(hu, sigma, mode="nearest", truncate=3.0)
    depth = ndimage.distance_transform_edt(np.pad(filled, 1), sampling=grid.spacing)[1:-1, 1:-1, 1:-1]
    half = 0.5 * float(grid.spacing.min())
    xyz = (anatomy.vert_from_lps @ grid.lps_from_voxel).apply(np.moveaxis(np.indices(grid.shape), 0, -1))
    return BodyHu(grid, hu, smooth, filled, np.maximum(depth - half, 0.0).astype(np.float32), xyz)


def trabecular_roi(body: BodyHu, p: RoiParameters, cortex_distance: float | None = None) -> NDArray[np.bool_]:
    """Mark the voxels of trabecular bone: deep enough, not about the basivertebral vein, not gas, cement or sclerosis.

    Parameters
    ----------
    cortex_distance : mm; the parameters' own when None
    """
    deep = body.depth >= (p.cortex_distance if cortex_distance is None else cortex_distance)
    other = (body.smooth < p.gas_below) | (body.smooth > p.sclerosis_above)
    # One voxel around what is left out is mixed with it.
    other = ndimage.binary_dilation(other & body.filled & (body.depth >= p.cortex_distance))
    return np.asarray(deep & ~other & ~vein_region(body, p))


def vein_region(body: BodyHu, p: RoiParameters) -> NDArray[np.bool_]:
    """Mark where the basivertebral vein runs: the middle of the posterior part of the body."""
    inside = body.xyz[body.filled]
    (x0, y0, z0), (x1, y1, z1) = np.percentile(inside, 1.0, axis=0), np.percentile(inside, 99.0, axis=0)
    x, y, z = body.xyz[..., 0], body.xyz[..., 1], body.xyz[..., 2]
    return np.asarray(
        (y > y1 - p.vein_depth * (y1 - y0))
        & (np.abs(x - 0.5 * (x0 + x1)) < p.vein_half_width * 0.5 * (x1 - x0))
        & (np.abs(z - 0.5 * (z0 + z1)) < p.vein_half_height * 0.5 * (z1 - z0))
    )


def noise_sd(body: BodyHu, roi: NDArray[np.bool_]) -> float:
    """Standard deviation, HU, of the voxel noise: from differences of neighbours two voxels apart, texture included."""
    squares = []
    for axis in range(3):
        near, far = (
            tuple(part if i == axis else slice(None) for i in range(3)) for part in (slice(None, -2), slice(2, None))
        )
        both = roi[near] & roi[far]
        squares.append((body.hu[near] - body.hu[far])[both].astype(float) ** 2)
    pairs = np.concatenate(squares)
    return float(np.sqrt(pairs.mean() / 2.0)) if len(pairs) else float("nan")


def _closed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill holes and small gaps, so that gas or cement the segmentation left out is looked at too."""
    padded = np.pad(mask, _PAD)
    closed = ndimage.binary_closing(padded, iterations=1)
    return np.asarray(ndimage.binary_fill_holes(closed)[_PAD:-_PAD, _PAD:-_PAD, _PAD:-_PAD] | mask)


def _crop(anatomy: Anatomy, volume: Volume) -> tuple[NDArray[np.float32], Grid]:
    """Crop the CT to the body with a margin, in the CT's own voxels."""
    corners = volume.grid.to_voxel(anatomy.grid.to_lps(np.argwhere(anatomy.body)))
    margin = np.ceil(6.0 / volume.grid.spacing).astype(int)
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + margin + 1, volume.grid.shape)
    if (high - low < 1).any():
        raise GeometryError(
            f"the body of {anatomy.level} lies outside the CT; give the CT that the labels were made on"
        )
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    matrix = volume.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] = volume.grid.to_lps(low)
    hu = np.clip(volume.hu[box].astype(np.float32), -1024.0, None)
    return hu, Grid.from_affine(hu.shape, matrix)


def _on_grid(mask: NDArray[np.bool_], source: Grid, target: Grid) -> NDArray[np.bool_]:
    """Bring a mask to another grid: linear between voxel centres, inside at one half."""
    source_from_target = (source.lps_from_voxel.inverse @ target.lps_from_voxel).matrix
    soft = ndimage.affine_transform(
        mask.astype(np.float32),
        source_from_target[:3, :3],
        offset=source_from_target[:3, 3],
        output_shape=target.shape,
        order=1,
    )
    return np.asarray(soft >= 0.5)
