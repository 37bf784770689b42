"""Body and arch: the body ends at its posterior wall, which is continued sideways through the pedicle roots."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.frames import Transform
from vertecast.spine.foramen import Foramen
from vertecast.spine.integrity import Piece
from vertecast.spine.sampling import FrameSample, sample_mask

CORPUS = (49, 50)
"""TPTBox subregions that make up the body: corpus border and corpus."""

_PITCH = 1.0  # mm
_NECK = 0.45  # radius of the opening disc over that of the largest disc in the plan
_SPARE = 1.5  # mm beyond the opened plan that is kept: its corners, and half a voxel
_INNER = 0.6  # share of the canal's half width in which the wall is seen free of the pedicle roots


@dataclass(frozen=True, eq=False)
class PosteriorWall:
    """The posterior wall of the body as a smooth sheet ``y = wall(x, z)`` in the vertebral frame.

    Parameters
    ----------
    terms : (5,), of 1, z, z², x and x², mm
    reach : mm, |x| beyond which the sheet goes straight sideways
    z_low, z_high : mm, where the wall was seen; beyond them it is held
    residual : mm, robust standard deviation of the seen wall about the sheet
    canal : (2, 2), middle of the canal ``x, y = canal[0] + canal[1] z``
    """

    terms: NDArray[np.float64]
    reach: float
    z_low: float
    z_high: float
    residual: float
    canal: NDArray[np.float64]

    def at(self, x: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Posterior coordinate of the wall, mm, at points (...,) of the frame."""
        z = np.clip(z, self.z_low, self.z_high)
        x = np.clip(x - self.canal[0, 0], -self.reach, self.reach)
        t = self.terms
        return np.asarray(t[0] + t[1] * z + t[2] * z**2 + t[3] * x + t[4] * x**2)


def first_frame(piece: Piece, foramen: Foramen) -> Transform:
    """Make the first vertebral frame from canal and body alone; the endplates set it right later."""
    z = foramen.axis_lps
    back = foramen.centre_lps - foramen.body_lps
    y = back - z * float(back @ z)
    y /= np.linalg.norm(y)
    axes = np.array([np.cross(y, z), y, z])
    return Transform.from_axes(axes, foramen.body_lps, target=f"vert:{piece.level}", source="lps")


def find_wall(piece: Piece, foramen: Foramen, vert_from_lps: Transform) -> PosteriorWall:
    """Fit the posterior wall that bounds the canal in front.

    Raises
    ------
    GeometryError
        If the wall is seen in fewer than ten columns.
    """
    sample = sample_mask(piece.mask, piece.grid, vert_from_lps, _PITCH)
    canal = _canal_line(foramen, vert_from_lps)
    z_low, z_high = _body_reach(sample, vert_from_lps.apply(foramen.body_lps))
    x, y, z = _wall_points(sample, canal, foramen.half_width, (z_low, z_high))
    if len(x) < 10:
        raise GeometryError(
            f"the posterior wall of {piece.level} is seen in {len(x)} columns, 10 are needed; "
            "check its label, or give subregion labels"
        )
    design = np.stack([np.ones_like(z), z, z**2, x, x**2], axis=1)
    terms, spread = _robust_fit(design, y)
    reach = foramen.half_width * _INNER
    return PosteriorWall(terms, reach, float(z.min()), float(z.max()), spread, canal)


def _canal_line(foramen: Foramen, vert_from_lps: Transform) -> NDArray[np.float64]:
    start = vert_from_lps.apply(foramen.centre_lps)
    along = vert_from_lps.apply_directions(foramen.axis_lps)
    slope = along[:2] / along[2]
    return np.array([start[:2] - slope * start[2], slope])


def _body_reach(sample: FrameSample, body: NDArray[np.float64]) -> tuple[float, float]:
    """How far up and down the bone reaches through the middle of the body."""
    near = (np.hypot(sample.x[:, None] - body[0], sample.y[None, :] - body[1]) < 5.0)[:, :, None]
    share = (sample.occupancy * near).sum(axis=(0, 1)) / near.sum()
    inside = np.flatnonzero(share > 0.5)
    if len(inside) == 0:
        raise GeometryError("nothing solid was found where the body should be")
    runs = np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)
    longest = max(runs, key=len)
    return float(sample.z[longest[0]]), float(sample.z[longest[-1]])


def _wall_points(
    sample: FrameSample, canal: NDArray[np.float64], half_width: float, reach: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return x (from the canal's middle), y and z of the last bone before the canal, with sub-voxel crossing."""
    middle_x, middle_y = canal[0][:, None] + canal[1][:, None] * sample.z
    x = sample.x[:, None] - middle_x[None, :]
    seen = (np.abs(x) <= _INNER * half_width) & (sample.z >= reach[0]) & (sample.z <= reach[1])
    i, k = np.nonzero(seen)
    inside = sample.occupancy[i, :, k] >= 0.5
    inside &= sample.y[None, :] < middle_y[k][:, None]
    found = inside.any(axis=1)
    i, k, inside = i[found], k[found], inside[found]
    last = inside.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)
    following = np.minimum(last + 1, inside.shape[1] - 1)
    here, after = sample.occupancy[i, last, k], sample.occupancy[i, following, k]
    share = np.clip((here - 0.5) / np.maximum(here - after, 1e-6), 0.0, 1.0)
    return x[i, k], sample.y[last] + share * sample.pitch, sample.z[k]


def _robust_fit(design: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Least squares with Tukey weights: the basivertebral foramen and a bulging fragment do not bend the sheet."""
    weight = np.ones_like(y)
    terms: NDArray[np.float64] = np.zeros(design.shape[1])
    spread = 1.0
    # Curvature is given away only for evidence: at three columns of 3 mm voxels a parabola across x means nothing.
    ridge = np.diag([0.0, 0.0, 1e-3, 1.0, 100.0])
    for _ in range(8):
        weighted = design * weight[:, None]
        terms = np.asarray(np.linalg.solve(weighted.T @ design + ridge, weighted.T @ y), np.float64)
        rest = y - design @ terms
        spread = max(1.4826 * float(np.median(np.abs(rest))), 0.3)
        weight = np.clip(1.0 - (rest / (4.0 * spread)) ** 2, 0.0, None) ** 2
    return terms, spread


def split_body(piece: Piece, foramen: Foramen, wall: PosteriorWall, vert_from_lps: Transform) -> NDArray[np.bool_]:
    """Return the body's voxels.

    Returns
    -------
    (nx, ny, nz)
        One component. In front of the canal everything up to the canal's middle is body, so that a
        fragment driven into the canal stays with it; beside the canal the body ends at the continued wall.
    """
    where = np.argwhere(piece.mask)
    x, y, z = (vert_from_lps @ piece.grid.lps_from_voxel).apply(where).T
    middle_x, middle_y = wall.canal[0][:, None] + wall.canal[1][:, None] * z
    before_canal = (np.abs(x - middle_x) <= _INNER * foramen.half_width) & (y < middle_y)
    chosen = before_canal | (y <= wall.at(x, z))
    body = np.zeros_like(piece.mask)
    body[tuple(where[chosen].T)] = True
    return _without_processes(largest_part(body), piece, vert_from_lps)


def _without_processes(body: NDArray[np.bool_], piece: Piece, vert_from_lps: Transform) -> NDArray[np.bool_]:
    """Leave out what stands out of the body's plan: the roots of transverse processes before the wall, as of L5.

    The plan, seen along z, is opened by a disc: necks narrower than the disc are no body. A plan, and not slices, since
    the uppermost slices of a dished endplate are a thin ring.
    """
    sample = sample_mask(body, piece.grid, vert_from_lps, _PITCH)
    thickness = sample.occupancy.sum(axis=2)
    plan = thickness > 0.25 * thickness.max()
    inner = ndimage.distance_transform_edt(plan) * _PITCH
    radius = _NECK * float(inner.max())
    away = ndimage.distance_transform_edt(inner <= radius) * _PITCH
    where = np.argwhere(body)
    x, y, _ = (vert_from_lps @ piece.grid.lps_from_voxel).apply(where).T
    place = np.stack([(x - sample.x[0]) / _PITCH, (y - sample.y[0]) / _PITCH])
    keep = ndimage.map_coordinates(away, place, order=1, mode="nearest") <= radius + _SPARE
    kept = np.zeros_like(body)
    kept[tuple(where[keep].T)] = True
    return largest_part(kept) & piece.mask  # a pore of the label stays one


def corpus_from_subregions(piece: Piece) -> NDArray[np.bool_] | None:
    """Return the body from given subregion labels, or ``None`` if they hold no corpus."""
    if piece.subregions is None:
        return None
    body = np.isin(piece.subregions, CORPUS) & piece.mask
    if body.sum() * piece.grid.voxel_volume < 1000.0:
        return None
    return largest_part(body)


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest face-connected component with its holes filled."""
    parts, count = ndimage.label(mask)
    if count == 0:
        raise GeometryError("the vertebra has no voxel in front of its canal")
    main = parts == int(np.argmax(np.bincount(parts.ravel())[1:])) + 1
    return np.asarray(ndimage.binary_fill_holes(main))
