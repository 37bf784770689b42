"""The two endplates of a body as height fields, with their planes, outlines and depth maps."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.frames import Transform
from vertecast.core.quantities import quantity
from vertecast.imaging.grid import Grid
from vertecast.spine.sampling import FrameSample, sample_mask
from vertecast.spine.surface import Faces, HeightField, fit_height_field, mask_faces

_REFITS = 3
_OUTLIER = 0.5  # mm beyond the staircase at which a face is no part of the surface
_RIM = 1.0  # mm from the outline, beyond one voxel, within which only faces along the normal are the endplate's
_LEAST_FACES = 12


class Side(Enum):
    """Which of the two endplates."""

    SUPERIOR = "superior"
    INFERIOR = "inferior"

    @property
    def sign(self) -> float:
        """Direction outward along z."""
        return 1.0 if self is Side.SUPERIOR else -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceSettings:
    """How endplates are fitted; ``data/spine/surface.toml``."""

    pitch: float = quantity("mm", "grid on which outlines are drawn")
    knot_step: float = quantity("mm", "spacing of the spline's knots")
    smoothing_base: float = quantity("mm", "smoothing length for voxels of no size")
    smoothing_per_voxel: float = quantity("1", "smoothing length added per voxel step along the endplate's normal")
    mask_error: float = quantity("1", "error of a mask besides its staircase, in voxel steps along the normal")
    rim_band: float = quantity("1", "relative height that bounds the rim bands, from either end")
    inner_share: float = quantity("1", "linear scale of the inner endplate")
    hump: float = quantity("mm", "height over the rim's plane from which bone is no part of the endplate")


@dataclass(frozen=True, eq=False)
class Endplate:
    """One endplate in the vertebral frame.

    Parameters
    ----------
    side : superior or inferior
    field : outer surface of bone, z over (x, y), mm
    plane : (3,), ``z = plane[0] + plane[1] x + plane[2] y`` of the inner endplate, mm
    x, y : grid lines, mm
    inside : (nx, ny), the outline: where the body's outermost bone lies in the rim band, holes filled
    step : mm, voxel step along the endplate's normal
    """

    side: Side
    field: HeightField
    plane: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    inside: NDArray[np.bool_]
    step: float

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,), unit normal of the plane, superior."""
        normal = np.array([-self.plane[1], -self.plane[2], 1.0])
        return np.asarray(normal / np.linalg.norm(normal))

    def plane_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of the plane, mm."""
        return np.asarray(self.plane[0] + self.plane[1] * np.asarray(x) + self.plane[2] * np.asarray(y))

    def heights(self) -> NDArray[np.float64]:
        """(nx, ny), mm: the surface on the grid lines; NaN outside the outline."""
        z = self.field.at(*np.meshgrid(self.x, self.y, indexing="ij"))
        return np.where(self.inside, z, np.nan)

    def points(self, share: float) -> NDArray[np.float64]:
        """(n, 3), mm: the surface on the grid lines inside the outline shrunk to ``share`` about its centroid."""
        x, y = np.meshgrid(self.x, self.y, indexing="ij")
        keep = shrunk(self.inside, share)
        return np.stack([x[keep], y[keep], self.field.at(x[keep], y[keep])], axis=1)


@dataclass(frozen=True, eq=False)
class BodySurface:
    """A body in its frame: both endplates and the soft mask they were drawn on.

    Parameters
    ----------
    superior, inferior : the endplates
    sample : soft mask of the body on the outline's grid
    rim_band : relative height of the rim bands
    edge_step : mm, voxel step along posterior
    """

    superior: Endplate
    inferior: Endplate
    sample: FrameSample
    rim_band: float
    edge_step: float

    def relative_height(self) -> NDArray[np.float64]:
        """(nx, ny, nz): 0 on the inferior, 1 on the superior endplate plane."""
        x, y = self.sample.x[:, None], self.sample.y[None, :]
        low, high = self.inferior.plane_at(x, y), self.superior.plane_at(x, y)
        gap = np.maximum(high - low, 1.0)
        return np.asarray((self.sample.z - low[:, :, None]) / gap[:, :, None])

    def band(self, side: Side) -> NDArray[np.float32]:
        """(nx, ny, nz): soft occupancy of the body inside one rim band, 0 elsewhere."""
        t = self.relative_height()
        keep = t >= 1.0 - self.rim_band if side is Side.SUPERIOR else t <= self.rim_band
        return np.where(keep, self.sample.occupancy, np.float32(0.0))


def shrunk(inside: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """Return a region scaled about its centroid."""
    where = np.argwhere(inside)
    centre = where.mean(axis=0)
    index = np.moveaxis(np.indices(inside.shape), 0, -1)
    source = centre + (index - centre) / share
    soft = ndimage.map_coordinates(inside.astype(float), np.moveaxis(source, -1, 0), order=1)
    return np.asarray(soft >= 0.5)


def envelope(sample: FrameSample, side: Side) -> NDArray[np.float64]:
    """(nx, ny), mm: outermost half-crossing of every column; NaN where the body is not."""
    solid = sample.occupancy >= 0.5
    flipped = solid[:, :, ::-1] if side is Side.SUPERIOR else solid
    soft = sample.occupancy[:, :, ::-1] if side is Side.SUPERIOR else sample.occupancy
    first = np.argmax(flipped, axis=2)
    present = flipped.any(axis=2) & (first > 0)
    i, j = np.nonzero(present)
    k = first[i, j]
    here, before = soft[i, j, k], soft[i, j, k - 1]
    back = np.clip((here - 0.5) / np.maximum(here - before, 1e-6), 0.0, 1.0)
    lines = sample.z[::-1] if side is Side.SUPERIOR else sample.z
    result = np.full(present.shape, np.nan)
    result[i, j] = lines[k] + side.sign * back * sample.pitch
    return result


def rough_plane(sample: FrameSample, side: Side, share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the plane through the envelope over the middle of the body's shadow, and the centroid of what it fits.

    Meant for the first turns of the frame only: the whole shadow, not the rim band, bounds it.
    """
    top = envelope(sample, side)
    keep = shrunk(largest_region(np.isfinite(top)), share) & np.isfinite(top)
    x, y = np.meshgrid(sample.x, sample.y, indexing="ij")
    points = np.stack([x[keep], y[keep], top[keep]], axis=1)
    return fitted_plane(points), points.mean(axis=0)


def rough_planes(
    sample: FrameSample, settings: SurfaceSettings
) -> tuple[dict[Side, NDArray[np.float64]], NDArray[np.float64]]:
    """Return the planes of both envelopes within their rim bands, and the mean of their centroids.

    In a wedge seen aslant the shadow holds a wall as well as an endplate; the rim bands, redrawn, leave the wall out.
    """
    tops = {side: envelope(sample, side) for side in Side}
    first = {side: rough_plane(sample, side, settings.inner_share) for side in Side}
    planes = {side: plane for side, (plane, _) in first.items()}
    middles = {side: middle for side, (_, middle) in first.items()}
    x, y = np.meshgrid(sample.x, sample.y, indexing="ij")
    for _ in range(_REFITS):
        fitted = {}
        for side, top in tops.items():
            keep = shrunk(_outline(sample, top, side, planes, settings), settings.inner_share) & np.isfinite(top)
            points = np.stack([x[keep], y[keep], top[keep]], axis=1)
            fitted[side], middles[side] = fitted_plane(points), points.mean(axis=0)
        planes = fitted
    return planes, np.asarray(0.5 * (middles[Side.SUPERIOR] + middles[Side.INFERIOR]))


def fitted_plane(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least-squares plane ``z = p0 + p1 x + p2 y`` of points (n, 3)."""
    if len(points) < 12:
        raise GeometryError(f"an endplate of {len(points)} mm² is too small for a plane, 12 mm² are needed")
    design = np.stack([np.ones(len(points)), points[:, 0], points[:, 1]], axis=1)
    return np.asarray(np.linalg.lstsq(design, points[:, 2], rcond=None)[0])


def largest_region(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part of a flat region, holes filled."""
    parts, count = ndimage.label(region)
    if count == 0:
        raise GeometryError("the body has no surface on one side; its label is cut or empty there")
    return np.asarray(ndimage.binary_fill_holes(parts == int(np.argmax(np.bincount(parts.ravel())[1:])) + 1))


def fit_body(
    body: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    grid: Grid,
    vert_from_lps: Transform,
    settings: SurfaceSettings,
    rounds: int = 2,
) -> BodySurface:
    """Fit both endplates of a body in a frame whose z is within some 15 degrees of theirs.

    Parameters
    ----------
    body, mask : (nx, ny, nz), the body and the whole vertebra
    rounds : how often outlines are redrawn with the planes that were fitted last
    """
    sample = sample_mask(body, grid, vert_from_lps, settings.pitch)
    faces = mask_faces(body, mask, (vert_from_lps @ grid.lps_from_voxel).matrix)
    planes, _ = rough_planes(sample, settings)
    edge = float(np.abs(faces.columns[1]).max())
    plates = {}
    for _ in range(rounds):
        plates = {side: _fit_side(sample, faces, side, planes, settings) for side in Side}
        planes = {side: plate.plane for side, plate in plates.items()}
    return BodySurface(plates[Side.SUPERIOR], plates[Side.INFERIOR], sample, settings.rim_band, edge)


def _fit_side(
    sample: FrameSample,
    faces: Faces,
    side: Side,
    planes: dict[Side, NDArray[np.float64]],
    settings: SurfaceSettings,
) -> Endplate:
    top = envelope(sample, side)
    inside = _outline(sample, top, side, planes, settings)
    near, rim_distance = _near_envelope(sample, top, inside, faces, side)
    field: HeightField | None = None
    step = 1.0
    for _ in range(_REFITS):
        field, step = _refit(near, rim_distance, field, planes[side], settings)
    assert field is not None
    x, y = np.meshgrid(sample.x, sample.y, indexing="ij")
    surface = field.at(x, y)
    inner = shrunk(inside, settings.inner_share)
    inside = inside & ~_humps(x, y, surface, inside, side.sign, settings.hump + 0.25 * step)
    inner &= inside
    plane = fitted_plane(np.stack([x[inner], y[inner], surface[inner]], axis=1))
    return Endplate(side, field, plane, sample.x, sample.y, inside, step)


def _humps(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    surface: NDArray[np.float64],
    inside: NDArray[np.bool_],
    sign: float,
    limit: float,
) -> NDArray[np.bool_]:
    """Find what stands out of the rim's plane: a pedicle's root or a process in the label, but never the endplate."""
    rim = shrunk(inside, 0.98) & ~shrunk(inside, 0.75)
    points = np.stack([x[rim], y[rim], surface[rim]], axis=1)
    plane = fitted_plane(points)
    for _ in range(6):
        above = sign * (points[:, 2] - plane[0] - points[:, :2] @ plane[1:])
        spread = max(1.4826 * float(np.median(np.abs(above))), 0.3)
        kept = points[np.abs(above) <= 2.5 * spread]
        if len(kept) < max(12, len(points) // 3):
            break
        plane = fitted_plane(kept)
    return np.asarray(sign * (surface - plane[0] - plane[1] * x - plane[2] * y) > limit)


def _refit(
    near: Faces,
    rim_distance: NDArray[np.float64],
    field: HeightField | None,
    plane: NDArray[np.float64],
    settings: SurfaceSettings,
) -> tuple[HeightField, float]:
    """Fit once more with slopes from the last field; the first time only faces along the plane's normal are used.

    At the rim a face across the normal may be the wall's, which lies half a slice low, and is not used.
    """
    x, y, z = near.points.T
    if field is None:
        slope_x, slope_y = np.full_like(x, plane[1]), np.full_like(x, plane[2])
    else:
        slope_x, slope_y = field.gradient(x, y)
    normals = np.stack([-slope_x, -slope_y, np.ones_like(x)], axis=1)
    along = (near.normals * normals).sum(axis=1)
    stairs = near.staircase(normals)
    across = np.abs(along) * near.steps
    keep = along > 1e-9
    stair = across > 0.9 * stairs
    if field is None:
        keep &= stair
    else:
        keep &= np.abs(z - field.at(x, y)) <= stairs + _OUTLIER
        keep &= stair | (rim_distance > near.steps + _RIM)
    if keep.sum() < _LEAST_FACES:
        raise GeometryError(
            f"an endplate shows {int(keep.sum())} voxel faces, {_LEAST_FACES} are needed; "
            "the voxels are too large or the label is cut there"
        )
    step = float(np.median(stairs))
    deviations = np.hypot(across / np.sqrt(12.0), settings.mask_error * step)
    smoothing = settings.smoothing_base + settings.smoothing_per_voxel * step
    fitted = fit_height_field(
        near.points[keep], deviations[keep], knot_step=max(settings.knot_step, 1.2 * smoothing), smoothing=smoothing
    )
    return fitted, step


def _outline(
    sample: FrameSample,
    top: NDArray[np.float64],
    side: Side,
    planes: dict[Side, NDArray[np.float64]],
    settings: SurfaceSettings,
) -> NDArray[np.bool_]:
    x, y = sample.x[:, None], sample.y[None, :]
    low, high = (planes[s][0] + planes[s][1] * x + planes[s][2] * y for s in (Side.INFERIOR, Side.SUPERIOR))
    t = (top - low) / np.maximum(high - low, 1.0)
    with np.errstate(invalid="ignore"):
        band = t >= 1.0 - settings.rim_band if side is Side.SUPERIOR else t <= settings.rim_band
    return largest_region(band & np.isfinite(top))


def _near_envelope(
    sample: FrameSample, top: NDArray[np.float64], inside: NDArray[np.bool_], faces: Faces, side: Side
) -> tuple[Faces, NDArray[np.float64]]:
    """Keep the faces that look outward and lie on the envelope within the outline: no walls, no inner cavities.

    Returns
    -------
    faces : their normals and points turned so that outward is +z for either side
    rim_distance : (n,), mm from the outline
    """
    first = np.array([sample.x[0], sample.y[0]])
    index = np.rint((faces.points[:, :2] - first) / sample.pitch).astype(int)
    i, j = np.clip(index, 0, np.array(inside.shape) - 1).T
    whole = np.where(np.isfinite(top), top, 1e3)
    depth = ndimage.distance_transform_edt(inside) * sample.pitch
    reach = float(faces.steps.max()) * 0.75 + sample.pitch
    keep = inside[i, j] & (np.abs(faces.points[:, 2] - whole[i, j]) <= reach)
    chosen = faces.chosen(keep)
    outward = Faces(chosen.points, side.sign * chosen.normals, chosen.steps, chosen.columns)
    return outward, depth[i, j][keep]
