"""Clefts inside a vertebral body: gas, fluid, none, or unknown where the CT does not allow to tell."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.frames import read_only
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import Measured, quantity
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.density import density_parameters, is_cemented, is_sclerotic, roi_parameters
from vertecast.spine.roi import BodyHu, RoiParameters, body_hu, noise_sd, trabecular_roi, vein_region

PARAMETERS = "spine/cleft.toml"


class CleftKind(Enum):
    """What fills a cleft."""

    GAS = "gas"
    FLUID = "fluid"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleftParameters:
    """What counts as a cleft, and when a CT cannot tell."""

    max_voxel: float = quantity("mm", "coarsest voxel edge at which the absence of a cleft may be told")
    gas_hu: float = quantity("HU", "gas")
    gas_seed: float = quantity("HU", "a voxel below this holds gas")
    gas_seed_noise: float = quantity("1", "and lies this many noise SD below the trabecular bone")
    gas_seed_floor: float = quantity("HU", "a threshold below this cannot be reached by thin gas: the CT cannot tell")
    gas_min_volume: float = quantity("mL", "a smaller region is noise")
    inside_share: float = quantity("1", "share of the gas that lies inside the body; less is a vacuum disc's")
    deep_share: float = quantity("1", "share of the gas that lies deeper than the endplate; less is a vacuum disc's")
    deep: float = quantity("mm", "depth below the body's surface that is deeper than the endplate")
    fluid_low: float = quantity("HU", "fluid lies above this")
    fluid_high: float = quantity("HU", "fluid lies below this")
    fluid_smoothing: tuple[float, ...] = quantity(
        "mm", "standard deviations of smoothing; the least that suffices is used"
    )
    fluid_contrast: float = quantity("HU", "trabecular bone must exceed the fluid band by this to tell them apart")
    fluid_noise: float = quantity("HU", "largest noise SD after smoothing at which fluid can be told")
    fluid_core: float = quantity(
        "1", "share of the region that lies in the fluid band; less is partial volume or marrow"
    )
    fluid_min_volume: float = quantity("mL", "a smaller region is noise or marrow")
    fluid_edge: float = quantity("1", "share of the contrast that is regained within the edge's width around fluid")
    fluid_edge_width: float = quantity("mm", "width around the region in which fluid ends and marrow fades")
    fluid_texture: float = quantity("1", "largest SD inside fluid, over the voxel noise")


@dataclass(frozen=True, slots=True, eq=False)
class Cleft:
    """A cleft of one body.

    Parameters
    ----------
    kind : gas, fluid, none, or unknown
    volume_ml : partial volume counted; zero when there is none
    centroid_lps : (3,), mm; None without a cleft
    mask, grid : (nx, ny, nz) and where it is: the cleft's voxels on a crop of the CT; None without a cleft
    reason : why it is unknown, or what decided
    """

    kind: CleftKind
    volume_ml: Measured
    centroid_lps: NDArray[np.float64] | None
    mask: NDArray[np.bool_] | None
    grid: Grid | None
    reason: str

    @classmethod
    def unknown(cls, reason: str) -> "Cleft":
        """Make the answer of a CT that cannot tell."""
        return cls(CleftKind.UNKNOWN, Measured.unknown(reason), None, None, None, reason)

    @classmethod
    def none(cls, reason: str) -> "Cleft":
        """Make the answer of a CT that shows no cleft."""
        return cls(CleftKind.NONE, Measured(0.0, method=reason), None, None, None, reason)


def cleft_parameters() -> Loaded[CleftParameters]:
    """Load the thresholds shipped with the package."""
    return load_parameters(PARAMETERS, CleftParameters)


def find_cleft(anatomy: Anatomy, volume: Volume | None, parameters: CleftParameters | None = None) -> Cleft:
    """Look for a gas or fluid cleft inside the body.

    Parameters
    ----------
    anatomy : split vertebra with its frame
    volume : the CT; without it the answer is unknown
    parameters : thresholds; the shipped ones when None

    Notes
    -----
    Gas is looked for first and seen in almost any CT. Fluid is told only where trabecular bone is clearly denser than
    water and the noise is low; fatty marrow and fluid look alike in osteoporotic bone, and then the answer is unknown.
    """
    p = parameters or cleft_parameters().values
    if volume is None:
        return Cleft.unknown("no CT was given, labels only")
    if not anatomy.body.any():
        return Cleft.unknown("the labels hold no vertebral body")
    roi_p = roi_parameters().values
    try:
        body = body_hu(anatomy, volume, roi_p)
    except GeometryError as exc:
        return Cleft.unknown(str(exc))
    roi = trabecular_roi(body, roi_p)
    if float(roi.sum()) * body.grid.voxel_volume / 1000.0 < roi_p.min_volume:
        return Cleft.unknown("the body holds too little trabecular bone to compare with")
    trabecular, noise = float(np.median(body.hu[roi])), noise_sd(body, roi)
    gas = _find_gas(body, trabecular, noise, p)
    if gas is not None:
        return gas
    limits = density_parameters().values
    if is_cemented(body, roi_p, limits) or is_sclerotic(body, roi_p, limits):
        return Cleft.unknown("the body is cemented or sclerotic")
    coarsest = float(body.grid.spacing.max())
    if coarsest > p.max_voxel:
        return Cleft.unknown(f"voxels of {coarsest:.1f} mm may hide a cleft; up to {p.max_voxel:.1f} mm can tell")
    return _find_fluid(body, roi, (trabecular, noise), p, roi_p)


def _find_gas(body: BodyHu, trabecular: float, noise: float, p: CleftParameters) -> Cleft | None:
    seed = min(p.gas_seed, trabecular - p.gas_seed_noise * noise)
    if seed < p.gas_seed_floor:
        return Cleft.unknown(
            f"noise of {noise:.0f} HU in bone of {trabecular:.0f} HU hides thin gas: it would have to lie below "
            f"{seed:.0f} HU, {p.gas_seed_floor:.0f} HU is the limit"
        )
    labels, count = ndimage.label(body.hu < seed)
    if count == 0:
        return None
    one = body.grid.voxel_volume / 1000.0
    index = np.arange(1, count + 1)
    whole = ndimage.sum_labels(np.ones_like(labels), labels, index)
    inside = ndimage.sum_labels(body.filled, labels, index)
    deep = ndimage.sum_labels(body.depth >= p.deep, labels, index)
    is_cleft = (inside >= p.inside_share * whole) & (deep >= p.deep_share * whole) & (whole * one >= p.gas_min_volume)
    if not is_cleft.any():
        return None
    mask = np.isin(labels, index[is_cleft])
    around = ndimage.binary_dilation(mask) & body.filled
    share = (trabecular - body.hu[around].astype(float)) / (trabecular - p.gas_hu)
    volume = float(np.clip(share, -1.0, 1.0).sum()) * one
    # Half of the outer shell may belong to either side; noise adds its own part.
    shell = 0.25 * float((around & ~mask).sum()) * one
    error = float(np.hypot(shell, 1.96 * noise / (trabecular - p.gas_hu) * np.sqrt(around.sum()) * one))
    measured = Measured(
        max(volume, 0.0),
        max(volume - error, 0.0),
        max(volume, 0.0) + error,
        f"partial volume of voxels below {seed:.0f} HU",
    )
    return _cleft(CleftKind.GAS, measured, mask, body, f"connected voxels below {seed:.0f} HU inside the body")


def _find_fluid(
    body: BodyHu, roi: NDArray[np.bool_], levels: tuple[float, float], p: CleftParameters, roi_p: RoiParameters
) -> Cleft:
    trabecular, noise = levels
    if trabecular < p.fluid_high + p.fluid_contrast:
        return Cleft.unknown(
            f"no gas; trabecular bone of {trabecular:.0f} HU is too near to fluid "
            f"(needs {p.fluid_high + p.fluid_contrast:.0f} HU) to tell fluid from fatty marrow"
        )
    smooth, left = _smoothed(body, roi, p)
    if left > p.fluid_noise:
        return Cleft.unknown(
            f"no gas; noise and texture of {left:.0f} HU after smoothing exceed "
            f"{p.fluid_noise:.0f} HU, too much for fluid"
        )
    inside = (body.depth >= p.deep) & ~vein_region(body, roi_p)
    half = 0.5 * (trabecular + 0.5 * (p.fluid_low + p.fluid_high))
    labels, count = ndimage.label(inside & (smooth < half))
    one = body.grid.voxel_volume / 1000.0
    doubtful = False
    for label in range(1, count + 1):
        mask = labels == label
        if float(mask.sum()) * one < p.fluid_min_volume:
            doubtful = doubtful or float(mask.sum()) * one >= 0.3 * p.fluid_min_volume
            continue
        core = mask & (smooth > p.fluid_low) & (smooth < p.fluid_high)
        edged = _has_edge((smooth, mask, inside), trabecular, body.grid.spacing, p)
        if core.sum() >= p.fluid_core * mask.sum() and edged and _is_even(body.hu[core], noise, p):
            return _cleft(CleftKind.FLUID, _fluid_volume(mask, one), mask, body, "even near-water region with an edge")
        doubtful = True
    if doubtful:
        return Cleft.unknown("no gas; a darker region is not clearly fluid, so it may be fatty marrow or a thin cleft")
    return Cleft.none("no gas and no region of near-water HU inside the body")


def _smoothed(body: BodyHu, roi: NDArray[np.bool_], p: CleftParameters) -> tuple[NDArray[np.float32], float]:
    """Smooth by as little as brings noise and texture below the limit; return the image and what is left."""
    smooth, left = body.hu, float("inf")
    for sigma in p.fluid_smoothing:
        smooth = ndimage.gaussian_filter(body.hu, sigma / body.grid.spacing, mode="nearest")
        left = _texture(smooth, roi, body.grid.spacing, 4.0 * sigma)
        if left <= p.fluid_noise:
            break
    return smooth, left


def _fluid_volume(mask: NDArray[np.bool_], voxel_ml: float) -> Measured:
    volume = float(mask.sum()) * voxel_ml
    # Half of the voxels on either side of the half-way surface may belong to the other side.
    edge = 0.25 * float((ndimage.binary_dilation(mask) ^ ndimage.binary_erosion(mask)).sum()) * voxel_ml
    return Measured(volume, max(volume - edge, 0.0), volume + edge, "voxels darker than half-way from bone to fluid")


def _texture(
    smooth: NDArray[np.float32], roi: NDArray[np.bool_], spacing: NDArray[np.float64], distance: float
) -> float:
    """Robust standard deviation, HU, of the noise and texture that are left, from pairs ``distance`` mm apart."""
    pairs = []
    for axis in range(3):
        shift = max(1, round(distance / float(spacing[axis])))
        near, far = (
            tuple(part if i == axis else slice(None) for i in range(3))
            for part in (slice(None, -shift), slice(shift, None))
        )
        both = roi[near] & roi[far]
        pairs.append((smooth[near] - smooth[far])[both])
    differences = np.concatenate(pairs)
    # 1.4826 makes the median of absolute values a standard deviation for normal noise; a pair holds it twice.
    return float(1.4826 * np.median(np.abs(differences)) / np.sqrt(2.0)) if len(differences) else float("inf")


def _has_edge(
    fields: tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]],
    trabecular: float,
    spacing: NDArray[np.float64],
    p: CleftParameters,
) -> bool:
    """Tell whether the HU rise towards those of the trabecular bone right beside the region."""
    smooth, mask, inside = fields
    away = ndimage.distance_transform_edt(~mask, sampling=spacing)
    ring = (away > 0) & (away <= p.fluid_edge_width) & inside
    if ring.sum() < 10:
        return False
    within = float(smooth[mask].mean())
    return float(smooth[ring].mean()) - within >= p.fluid_edge * (trabecular - within)


def _is_even(values: NDArray[np.float32], noise: float, p: CleftParameters) -> bool:
    return float(values.std()) <= p.fluid_texture * max(noise, 1.0)


def _cleft(kind: CleftKind, volume: Measured, mask: NDArray[np.bool_], body: BodyHu, reason: str) -> Cleft:
    frozen = mask.copy()
    frozen.setflags(write=False)
    centroid = read_only(body.grid.to_lps(np.argwhere(mask).mean(axis=0)))
    return Cleft(kind, volume, centroid, frozen, body.grid, reason)
