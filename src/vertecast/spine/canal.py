"""The vertebral canal at one level: its lumen, area and diameters at mid-pedicle height."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.frames import read_only
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import Measured, quantity
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.isthmus import posterior_wall_y
from vertecast.spine.solid import Solid

PARAMETERS = "spine/canal.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class CanalParameters:
    """How the canal is searched for, and how far its measures can be trusted."""

    step: float = quantity("mm", "step of the lattice in the transverse planes")
    half_width: float = quantity("mm", "half-width of the transverse planes")
    depth: float = quantity("mm", "how far behind the body centre the transverse planes reach")
    max_slab: float = quantity("mm", "thickest slab whose bone may close the ring that one plane leaves open")
    min_area: float = quantity("mm2", "a smaller hole is no canal")
    max_area: float = quantity("mm2", "a larger hole is no canal: the ring is open")
    wall_gap: float = quantity("mm", "how far behind the posterior wall the lumen is looked for first")
    foraminal_margin: float = quantity("mm", "how far the canal may widen beyond the ring above and below it")
    size_error: float = quantity("1", "half-width of the 95 % interval of a diameter, in voxels")
    area_share: float = quantity("1", "share of the diameters' relative errors that reaches the area")


@dataclass(frozen=True, slots=True, eq=False)
class Canal:
    """The canal of one vertebra; what could not be measured says why.

    Parameters
    ----------
    area_mm2, ap_mm, transverse_mm : at mid-pedicle height, in the plane across z of the vertebral frame
    slab_mm : thickness of the slab whose bone closed the ring; 0 when one plane was a ring by itself, None when open
    centre_lps : (3,), mm; None when the ring is open
    canal_mask : (nx, ny, nz) on the anatomy's grid: the lumen at the body's heights; None when open
    """

    area_mm2: Measured
    ap_mm: Measured
    transverse_mm: Measured
    slab_mm: float | None
    centre_lps: NDArray[np.float64] | None
    canal_mask: NDArray[np.bool_] | None

    @property
    def reason(self) -> str | None:
        """Why the canal could not be measured; None when it was."""
        return self.area_mm2.reason

    @classmethod
    def unknown(cls, reason: str) -> "Canal":
        """Make the canal that could not be measured."""
        nothing = Measured.unknown(reason)
        return cls(nothing, nothing, nothing, None, None, None)


@dataclass(frozen=True, slots=True, eq=False)
class _Lumen:
    """The lumen in one transverse plane: its pixels, the lattice, and how thick a slab closed it."""

    inside: NDArray[np.bool_]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: float
    slab: float


def canal_parameters() -> Loaded[CanalParameters]:
    """Load the search settings and error model shipped with the package."""
    return load_parameters(PARAMETERS, CanalParameters)


def measure_canal(anatomy: Anatomy, pedicle_z: float | None = None, parameters: CanalParameters | None = None) -> Canal:
    """Measure the canal of one vertebra where its bony ring is closed, at mid-pedicle height.

    Parameters
    ----------
    anatomy : split vertebra with its frame
    pedicle_z : mm, height of the pedicles in the vertebral frame; the height with most bone beside the canal when None
    parameters : search settings; the shipped ones when None

    Notes
    -----
    Laminae slope, so a plane at pedicle height often misses them behind: bone of a slab about the plane then closes
    the ring behind, while the plane itself still bounds the lumen in front and at the sides.
    """
    p = parameters or canal_parameters().values
    if not anatomy.arch.any():
        return Canal.unknown("the labels hold the body only, no arch")
    if not anatomy.body.any():
        return Canal.unknown("the labels hold no vertebral body")
    solid = anatomy.solid
    body = anatomy.body_solid
    wall = posterior_wall_y(body)
    if not np.isfinite(wall):
        return Canal.unknown("the vertebral frame does not lie in the body")
    lumen = _find_lumen(solid, wall, pedicle_height(solid, wall) if pedicle_z is None else pedicle_z, p)
    if lumen is None:
        return Canal.unknown(
            f"no bony ring closes behind the body within a slab of {p.max_slab:.0f} mm: the arch is open, cut or merged"
        )
    return _as_canal(anatomy, solid, lumen, p)


def pedicle_height(solid: Solid, wall: float) -> float:
    """Return z, mm, of the pedicles: the middle of the bone just behind the posterior wall, beside the canal."""
    x = np.concatenate([np.arange(-26.0, -6.0), np.arange(7.0, 27.0)])
    z = np.arange(-25.0, 25.5, 0.5)
    points = np.stack(np.meshgrid(x, wall + np.array([3.0, 5.0, 7.0]), z, indexing="ij"), axis=-1)
    amount = (solid.depth_at(points) > 0).sum(axis=(0, 1)).astype(float)
    upper = np.where(amount > 0.5 * amount.max(), amount, 0.0)
    return float(upper @ z / upper.sum()) if upper.any() else 0.0


def _find_lumen(solid: Solid, wall: float, z: float, p: CanalParameters) -> _Lumen | None:
    count = int(np.ceil(p.half_width / p.step))
    x = np.arange(-count, count + 1, dtype=np.float64) * p.step
    y = np.arange(wall - 8.0, wall + p.depth, p.step)
    heights = np.arange(-p.max_slab, 0.5 * p.max_slab + 0.5)
    points = np.stack(np.meshgrid(x, y, z + heights, indexing="ij"), axis=-1)
    bone = solid.depth_at(points) > 0
    here = bone[:, :, int(np.argmin(np.abs(heights)))]
    for slab in np.arange(0.0, p.max_slab + 0.5):
        near = bone[:, :, (heights >= -slab) & (heights <= 0.5 * slab)].any(axis=2)
        seed_y = int(np.searchsorted(y, wall + p.wall_gap))
        # Only bone behind the first millimetres of the canal may come from other heights.
        ring = here | (near & (np.arange(len(y)) >= seed_y)[None, :])
        inside = _hole(ring, seed_y, p)
        if inside is not None:
            return _Lumen(inside, x, y, z, float(slab))
    return None


def _hole(ring: NDArray[np.bool_], seed_y: int, p: CanalParameters) -> NDArray[np.bool_] | None:
    """Return the closed hole around the midline behind the wall, or None when it is open or of no canal's size."""
    labels, _ = ndimage.label(~ring)
    middle = ring.shape[0] // 2
    reach = round(3.0 / p.step)
    seeds = labels[middle - reach : middle + reach + 1, seed_y : seed_y + 2 * reach]
    found, counts = np.unique(seeds[seeds > 0], return_counts=True)
    edge = set(np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])).tolist())
    for label in found[np.argsort(-counts)]:
        if label in edge:
            continue
        inside = labels == label
        if p.min_area <= float(inside.sum()) * p.step**2 <= p.max_area:
            return np.asarray(inside)
    return None


def _as_canal(anatomy: Anatomy, solid: Solid, lumen: _Lumen, p: CanalParameters) -> Canal:
    pixels = lumen.inside.sum()
    area = float(pixels) * p.step**2
    at = np.argwhere(lumen.inside)
    centre = np.array([lumen.x[at[:, 0]].mean(), lumen.y[at[:, 1]].mean(), lumen.z])
    ap = _diameter(lumen.inside, p.step)
    transverse = float(np.ptp(lumen.x[at[:, 0]])) + p.step
    ap_error = p.size_error * solid.spacing_along([0.0, 1.0, 0.0])
    transverse_error = p.size_error * solid.spacing_along([1.0, 0.0, 0.0])
    area_error = area * 0.5 * p.area_share * (ap_error / ap + transverse_error / transverse)
    method = f"transverse plane at mid-pedicle height, ring closed by a slab of {lumen.slab:.0f} mm"
    return Canal(
        area_mm2=Measured.with_error(area, area_error, method),
        ap_mm=Measured.with_error(ap, ap_error, method),
        transverse_mm=Measured.with_error(transverse, transverse_error, method),
        slab_mm=lumen.slab,
        centre_lps=read_only(anatomy.vert_from_lps.inverse.apply(centre)),
        canal_mask=_mask(anatomy, lumen, p),
    )


def _diameter(inside: NDArray[np.bool_], step: float) -> float:
    """Depth, mm, of the lumen in the middle of its width (median of the columns within 2 mm)."""
    columns = np.argwhere(inside)[:, 0]
    middle = float(columns.mean())
    near = np.unique(columns[np.abs(columns - middle) <= 2.0 / step])
    return float(np.median(inside[near].sum(axis=1))) * step


def _mask(anatomy: Anatomy, lumen: _Lumen, p: CanalParameters) -> NDArray[np.bool_]:
    """Mark the lumen on the crop: the ring's hole, a little wider, carried over the body's height, less bone."""
    coordinates = anatomy.coordinates()
    z = coordinates[..., 2]
    low, high = np.percentile(z[anatomy.body], [1.0, 99.0])
    margin = round(p.foraminal_margin / p.step)
    wide = ndimage.binary_dilation(lumen.inside, iterations=margin)
    i = np.rint((coordinates[..., 0] - lumen.x[0]) / p.step).astype(np.intp)
    j = np.rint((coordinates[..., 1] - lumen.y[0]) / p.step).astype(np.intp)
    within = (i >= 0) & (i < wide.shape[0]) & (j >= 0) & (j < wide.shape[1]) & (z >= low) & (z <= high)
    mask = np.zeros(anatomy.grid.shape, bool)
    mask[within] = wide[i[within], j[within]]
    mask &= ~anatomy.mask
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    mask = labels == int(sizes.argmax()) if sizes.any() else mask
    mask.setflags(write=False)
    return mask
