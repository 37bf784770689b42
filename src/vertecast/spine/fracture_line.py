"""Fracture lines and splits of a body: dense or lucent bands across it, and steps of its anterior wall."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.imaging.volume import Volume
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.density import density_parameters, is_cemented, is_sclerotic, roi_parameters
from vertecast.spine.roi import body_hu
from vertecast.spine.solid import Solid

PARAMETERS = "spine/fracture_line.toml"


class LineState(Enum):
    """Whether a fracture line is seen."""

    PRESENT = "present"
    NONE = "none"
    UNKNOWN = "unknown"


class LineSign(Enum):
    """One sign of a fracture line."""

    IMPACTION_BAND = "band of denser bone along an endplate"
    LUCENT_BAND = "lucent band across the body"
    SPLIT = "lucent plane from endplate to endplate"
    CORTICAL_STEP = "step of the anterior wall"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineParameters:
    """What counts as a band, a split or a step, and when a CT cannot tell."""

    max_voxel: float = quantity("mm", "coarsest voxel edge at which the absence of a line may be told")
    step: float = quantity("mm", "step of the lattice in the body")
    side_distance: float = quantity("mm", "distance kept from the side walls")
    near: float = quantity("mm", "bands nearer to an endplate than this are the endplate")
    far: float = quantity("mm", "bands farther from an endplate than this are not an impaction under it")
    half_band: float = quantity("mm", "a band has fallen to both sides within this of its middle")
    prominence: float = quantity("HU", "least height of a band above, or depth below, both its sides")
    certainty: float = quantity("1", "and in standard errors between the sectors of the body")
    sector_share: float = quantity("1", "share of the sectors that must show the band by themselves")
    step_height: float = quantity("mm", "least step of the anterior wall")
    step_voxels: float = quantity("1", "and in voxels")
    step_run: float = quantity("mm", "height over which the step happens")
    rim: float = quantity("mm", "distance from the endplates within which a step is the rim's lip")


@dataclass(frozen=True, slots=True)
class FractureLine:
    """Whether a fracture line or split is seen, by which signs, and in which words."""

    state: LineState
    signs: tuple[LineSign, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _BodyLattice:
    """The body on a lattice of its frame: HU, and depth below its surface."""

    hu: NDArray[np.float32]
    depth: NDArray[np.float32]
    core: NDArray[np.bool_]


def line_parameters() -> Loaded[LineParameters]:
    """Load the thresholds shipped with the package."""
    return load_parameters(PARAMETERS, LineParameters)


def find_fracture_line(
    anatomy: Anatomy, volume: Volume | None, parameters: LineParameters | None = None
) -> FractureLine:
    """Look for a fracture line or a split of the body.

    Notes
    -----
    Conservative: a line is ``present`` only when a band or split and a step of the cortex are seen together, or a
    lucent plane runs from endplate to endplate; one sign alone is ``unknown`` with the sign as evidence. Endplate
    sclerosis, Schmorl's nodes and growth lines give bands; osteophytes give steps; so neither alone is a fracture.
    """
    p = parameters or line_parameters().values
    if not anatomy.body.any():
        return FractureLine(LineState.UNKNOWN, (), ("the labels hold no vertebral body",))
    body = anatomy.body_solid
    signs: list[tuple[LineSign, str]] = []
    found = _cortical_step(anatomy, body, p)
    if found:
        signs.append((LineSign.CORTICAL_STEP, found))
    coarsest = float(max(anatomy.grid.spacing.max(), volume.grid.spacing.max() if volume else 0.0))
    if volume is None:
        return FractureLine(LineState.UNKNOWN, tuple(s for s, _ in signs), (*(t for _, t in signs), "no CT was given"))
    lattice = _sample(anatomy, volume, body, p)
    if lattice is None:
        return FractureLine(LineState.UNKNOWN, tuple(s for s, _ in signs), ("the body is too small or outside the CT",))
    signs += _bands(lattice, p)
    split = _split(lattice, p)
    if split:
        signs.append((LineSign.SPLIT, split))
    return _judged(signs, coarsest, _is_other_bone(anatomy, volume), p)


def _is_other_bone(anatomy: Anatomy, volume: Volume) -> bool:
    roi_p, limits = roi_parameters().values, density_parameters().values
    body = body_hu(anatomy, volume, roi_p)
    return is_cemented(body, roi_p, limits) or is_sclerotic(body, roi_p, limits)


def _judged(signs: list[tuple[LineSign, str]], coarsest: float, is_other_bone: bool, p: LineParameters) -> FractureLine:
    kinds, words = tuple(s for s, _ in signs), tuple(t for _, t in signs)
    if is_other_bone:
        return FractureLine(LineState.UNKNOWN, kinds, (*words, "the body is cemented or sclerotic, which looks alike"))
    inner = any(kind is not LineSign.CORTICAL_STEP for kind in kinds)
    if LineSign.SPLIT in kinds or (inner and LineSign.CORTICAL_STEP in kinds):
        return FractureLine(LineState.PRESENT, kinds, words)
    if kinds:
        return FractureLine(LineState.UNKNOWN, kinds, (*words, "one sign alone is not called a fracture line"))
    if coarsest > p.max_voxel:
        return FractureLine(
            LineState.UNKNOWN,
            (),
            (f"voxels of {coarsest:.1f} mm may hide a fracture line; up to {p.max_voxel:.1f} mm can tell",),
        )
    return FractureLine(LineState.NONE, (), ("no band, split or step of the cortex is seen",))


def _sample(anatomy: Anatomy, volume: Volume, body: Solid, p: LineParameters) -> _BodyLattice | None:
    xyz = anatomy.coordinates()[anatomy.body]
    lines = [np.arange(a, b + p.step, p.step) for a, b in zip(xyz.min(axis=0), xyz.max(axis=0), strict=True)]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
    depth = body.depth_at(points)
    voxels = (anatomy.vert_from_lps @ volume.grid.lps_from_voxel).inverse.apply(points)
    if ((voxels < -1.0) | (voxels > np.array(volume.grid.shape)))[depth > 0].any():
        return None
    last = np.array(volume.grid.shape) - 1
    flat = voxels.reshape(-1, 3)
    low = np.clip(np.floor(flat.min(axis=0)), 0, last).astype(int)
    high = np.clip(np.ceil(flat.max(axis=0)), 0, last).astype(int)
    near = volume.hu[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))].astype(np.float32)
    hu = ndimage.map_coordinates(near, np.moveaxis(voxels - low, -1, 0), order=1, mode="nearest")
    footprint = (depth > 0).sum(axis=2) * p.step > 2.0 * p.near + 2.0
    inner = ndimage.distance_transform_edt(np.pad(footprint, 1))[1:-1, 1:-1] * p.step > p.side_distance
    if inner.sum() * p.step**2 < 50.0:
        return None
    return _BodyLattice(hu, depth, inner)


def _profile(lattice: _BodyLattice, columns: NDArray[np.bool_], upper: bool, count: int) -> NDArray[np.float64]:
    """Mean HU of columns against the steps below the upper, or above the lower, endplate of each column."""
    inside = (lattice.depth > 0)[columns]
    hu = lattice.hu[columns]
    if upper:
        inside, hu = inside[:, ::-1], hu[:, ::-1]
    index = inside.argmax(axis=1)[:, None] + np.arange(count)[None, :]
    valid = index < inside.shape[1]
    index = np.minimum(index, inside.shape[1] - 1)
    valid &= np.take_along_axis(inside, index, axis=1)
    values = np.where(valid, np.take_along_axis(hu, index, axis=1), np.nan)
    return np.asarray([np.nanmean(v) if np.isfinite(v).any() else np.nan for v in values.T])


def _bands(lattice: _BodyLattice, p: LineParameters) -> list[tuple[LineSign, str]]:
    """Look for a dense or lucent band along either endplate, in the whole body and in its anterior half."""
    found: dict[LineSign, str] = {}
    count = int((p.far + p.near + 2.0) / p.step)
    columns = np.argwhere(lattice.core)
    anterior = columns[:, 1] <= np.median(columns[:, 1])
    for part, name in ((np.ones(len(columns), bool), "the body"), (anterior, "its anterior half")):
        for upper in (True, False):
            sectors = _sectors(columns[part], lattice.core.shape)
            profiles = np.array([_profile(lattice, sector, upper, count) for sector in sectors])
            for sign, kind in ((1.0, LineSign.IMPACTION_BAND), (-1.0, LineSign.LUCENT_BAND)):
                hit = _band_in(sign * profiles, p)
                if hit and kind not in found:
                    where = "below the upper" if upper else "above the lower"
                    found[kind] = f"{kind.value}, {hit[0]:.0f} mm {where} endplate of {name}, {sign * hit[1]:+.0f} HU"
    return list(found.items())


def _sectors(columns: NDArray[np.intp], shape: tuple[int, ...]) -> list[NDArray[np.bool_]]:
    """Divide columns into six sectors: thirds from side to side, halves from front to back."""
    thirds = np.searchsorted(np.quantile(columns[:, 0], [1 / 3, 2 / 3]), columns[:, 0])
    halves = (columns[:, 1] > np.median(columns[:, 1])).astype(int)
    made = []
    for code in range(6):
        mask = np.zeros(shape, bool)
        own = columns[(thirds * 2 + halves) == code]
        mask[own[:, 0], own[:, 1]] = True
        if mask.any():
            made.append(mask)
    return made


def _band_in(profiles: NDArray[np.float64], p: LineParameters) -> tuple[float, float] | None:
    """Return place (mm) and prominence (HU) of a narrow peak that the sectors agree on, or None."""
    first, last, reach = int(p.near / p.step), int(p.far / p.step), round(p.half_band / p.step)
    mean = profiles.mean(axis=0)
    usable = np.isfinite(mean)
    stop = int(usable.argmin()) if not usable.all() else len(mean)
    # What lies between an endplate and a dense band is not a lucent band: it is bone as elsewhere.
    usual = float(np.median(mean[first:stop])) if stop > first else 0.0
    best: tuple[float, float] | None = None
    for k in range(first, min(last, stop - 2)):
        if mean[k] - usual < 0.5 * p.prominence:
            continue
        window = slice(max(k - reach, first - 1, 0), min(k + reach + 1, stop))
        own = _prominence(profiles[:, window], k - window.start)
        height = float(_prominence(mean[None, window], k - window.start)[0])
        error = float(own.std(ddof=1) / np.sqrt(len(own)))
        agreed = float(np.mean(own >= 0.5 * p.prominence))
        certain = height >= max(p.prominence, p.certainty * error) and agreed >= p.sector_share
        if certain and (best is None or height > best[1]):
            peak = max(k - 1, 0) + int(mean[max(k - 1, 0) : k + 2].argmax())
            best = ((peak + 0.5) * p.step, height)
    return best


def _prominence(profiles: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Height of each profile at ``k`` above the higher of the lowest places on either side."""
    top = profiles[:, max(k - 1, 0) : k + 2].max(axis=1)
    return np.asarray(top - np.maximum(profiles[:, : k + 1].min(axis=1), profiles[:, k:].min(axis=1)))


def _split(lattice: _BodyLattice, p: LineParameters) -> str | None:
    """Look for a coronal or sagittal plane that is lucent at every height, from endplate to endplate."""
    deep = lattice.depth > 0
    for axis, name in ((1, "coronal"), (0, "sagittal")):
        other = 1 - axis
        values = np.where(deep & lattice.core[..., None], lattice.hu, np.nan)
        turned = np.moveaxis(values, (2, axis, other), (0, 1, 2))
        rows = [row for row in turned if np.isfinite(row).any(axis=1).sum() > 10]
        if len(rows) < 6:
            continue
        profiles = np.array([[np.nanmean(v) if np.isfinite(v).any() else np.nan for v in row] for row in rows])
        wide = np.isfinite(profiles).mean(axis=0) > 0.9
        if wide.sum() < 10:
            continue
        cut = -profiles[:, wide]
        cut = np.where(np.isfinite(cut), cut, np.nanmean(cut))
        thirds = np.array([part.mean(axis=0) for part in np.array_split(cut, 6)])
        hit = _band_in(thirds, p)
        if hit:
            return f"{LineSign.SPLIT.value}: {name} plane, {hit[1]:.0f} HU below both its sides"
    return None


def _cortical_step(anatomy: Anatomy, body: Solid, p: LineParameters) -> str | None:
    """Look for a step of the anterior wall, away from the rims, that neighbouring sagittal planes share."""
    low, high = np.percentile(anatomy.coordinates()[anatomy.body], [1.0, 99.0], axis=0)
    x = np.linspace(0.4 * low[0], 0.4 * high[0], 9)
    z = np.arange(low[2], high[2], 0.5)
    y = np.arange(0.0, low[1] - 6.0, -0.25)
    points = np.stack(np.meshgrid(x, z, y, indexing="ij"), axis=-1)[..., [0, 2, 1]]
    inside = body.depth_at(points) > 0
    # Rows that every plane sees, less the rims.
    seen = np.flatnonzero(inside.any(axis=-1).all(axis=0))
    rim, run = round(p.rim / 0.5), max(1, round(p.step_run / 0.5))
    rows = seen[(seen >= seen[0] + rim) & (seen <= seen[-1] - rim)] if len(seen) else seen
    if len(rows) < 2 * run or np.any(np.diff(rows) > 1):
        return None
    last = inside.shape[-1] - 1 - inside[:, rows, ::-1].argmax(axis=-1)
    # The median over three planes, and over the slope of the wall itself, leaves what is sudden.
    wall = ndimage.median_filter(y[last], size=(3, 1), mode="nearest")
    jump = np.abs(wall[:, run:] - wall[:, :-run])
    slope = np.abs(wall[:, -1:] - wall[:, :1]) / (len(rows) - 1) * run
    height = np.median(np.sort(jump - slope, axis=0)[-3:], axis=0)
    limit = max(p.step_height, p.step_voxels * body.spacing_along([0.0, 1.0, 0.0]))
    k = int(height.argmax())
    if height[k] < limit:
        return None
    above = (rows[k] + run / 2 - seen[0]) * 0.5
    return f"{LineSign.CORTICAL_STEP.value}: {height[k]:.1f} mm, {above:.0f} mm above the lower rim"
