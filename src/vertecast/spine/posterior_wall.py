"""The posterior wall of the body: how far it bulges into the canal, and what share of the canal that takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.frames import read_only
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import Measured, quantity
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.solid import Solid

PARAMETERS = "spine/posterior_wall.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class WallParameters:
    """Where the wall is looked at, and how far its measures can be trusted."""

    step: float = quantity("mm", "step of the lattice on the wall")
    strip_share: float = quantity("1", "half-width of the strip between the pedicle roots, over the body's half-width")
    corner_inset: float = quantity("mm", "how far from the endplate's rim a corner is taken, inside lips and blur")
    patch: float = quantity("mm", "width of the patch whose mean counts as the bulge, so that no single voxel does")
    canal_reach: float = quantity("mm", "how far behind the wall the back of the canal is looked for")
    size_error: float = quantity("1", "half-width of the 95 % interval of the bulge, in voxels")
    minor_share: float = quantity("1", "share of the canal below which a wall fragment is minor")


@dataclass(frozen=True, slots=True, eq=False)
class Bulge:
    """The bulge of one posterior wall; what could not be measured says why.

    Parameters
    ----------
    bulge_mm : farthest the wall lies behind the line between its superior and inferior corner; negative when concave
    excess_mm : the same beyond the references' own walls; unknown without a reference
    canal_share : share of the canal's depth that the bulge takes, at its height
    canal_narrowing : one minus the least canal depth over the references' mean depth; unknown without a reference
    at_lps : (3,), mm, the middle of the bulge; None when unknown
    """

    bulge_mm: Measured
    excess_mm: Measured
    canal_share: Measured
    canal_narrowing: Measured
    at_lps: NDArray[np.float64] | None

    @classmethod
    def unknown(cls, reason: str) -> "Bulge":
        """Make the bulge that could not be measured."""
        nothing = Measured.unknown(reason)
        return cls(nothing, nothing, nothing, nothing, None)


@dataclass(frozen=True, slots=True, eq=False)
class _Wall:
    """A wall in its vertebral frame: y of the wall and of the back of the canal on a lattice of x and z."""

    x: NDArray[np.float64]
    z: NDArray[np.float64]
    wall: NDArray[np.float64]
    behind: NDArray[np.float64]
    solid: Solid

    @property
    def beyond_line(self) -> NDArray[np.float64]:
        """(nx, nz), mm: how far the wall lies behind the corners' line, in each sagittal plane."""
        share = (self.z - self.z[0]) / (self.z[-1] - self.z[0])
        return np.asarray(self.wall - (self.wall[:, :1] * (1.0 - share) + self.wall[:, -1:] * share))


def wall_parameters() -> Loaded[WallParameters]:
    """Load the settings and error model shipped with the package."""
    return load_parameters(PARAMETERS, WallParameters)


def measure_bulge(
    anatomy: Anatomy, reference: Sequence[Anatomy] | None = None, parameters: WallParameters | None = None
) -> Bulge:
    """Measure how far the posterior wall bulges into the canal.

    Parameters
    ----------
    anatomy : split vertebra with its frame
    reference : intact vertebrae to compare with (own prior CT, or nearest neighbours above and below)
    parameters : settings; the shipped ones when None

    Notes
    -----
    The line joins the corners of the same vertebra, and a normal wall is slightly concave, so its bulge is negative.
    A fragment that carries a corner with it moves the line too and is under-called by it: ``canal_narrowing``, which
    compares the canal's depth with the references', is the measure for that case.
    """
    p = parameters or wall_parameters().values
    wall = _trace(anatomy, p)
    if isinstance(wall, str):
        return Bulge.unknown(wall)
    error = p.size_error * wall.solid.spacing_along([0.0, 1.0, 0.0])
    size = max(1, round(p.patch / p.step))
    beyond = ndimage.uniform_filter(wall.beyond_line, size, mode="nearest")
    i, k = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
    value = float(beyond[i, k])
    at = np.array([wall.x[i], wall.wall[i, k], wall.z[k]])
    traced = [one for one in (_trace(a, p) for a in reference or ()) if not isinstance(one, str)]
    return Bulge(
        bulge_mm=Measured.with_error(value, error, "behind the line of the wall's own corners"),
        excess_mm=_excess(beyond, traced, error, size),
        canal_share=_share(value, wall, (int(i), int(k)), error),
        canal_narrowing=_narrowing(wall, traced, error),
        at_lps=read_only(anatomy.vert_from_lps.inverse.apply(at)),
    )


def _trace(anatomy: Anatomy, p: WallParameters) -> _Wall | str:
    """Return the wall between its corners, or why it cannot be traced."""
    if not anatomy.body.any():
        return "the labels hold no vertebral body"
    body = anatomy.body_solid
    whole = anatomy.solid
    x_low, x_high = np.percentile(anatomy.coordinates()[anatomy.body][:, 0], [1.0, 99.0])
    count = int(np.ceil(p.strip_share * 0.5 * (x_high - x_low) / p.step))
    x = np.arange(-count, count + 1, dtype=np.float64) * p.step
    z = np.arange(-30.0, 30.0 + p.step / 2, p.step)
    y = np.arange(0.0, 35.0, 0.5)
    points = np.stack(np.meshgrid(x, z, y, indexing="ij"), axis=-1)[..., [0, 2, 1]]
    depth = body.depth_at(points)
    seen = (depth > 0).any(axis=-1).mean(axis=0) > 0.5
    rows = np.flatnonzero(seen)
    if len(rows) == 0:
        return "the vertebral frame does not lie in the body"
    inset = round(p.corner_inset / p.step)
    rows = rows[(rows >= rows[0] + inset) & (rows <= rows[-1] - inset)]
    if len(rows) < 3:
        return f"the body is less than {2 * p.corner_inset + 3 * p.step:.0f} mm high at its posterior wall"
    wall = _last_crossing(depth[:, rows], y)
    if np.isnan(wall).mean() > 0.25:
        return "the posterior wall has gaps in the labels"
    wall = _filled(wall)
    return _Wall(x, z[rows], wall, _back_of_canal(whole, (x, z[rows]), wall, p), body)


def _last_crossing(depth: NDArray[np.float32], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return y, mm, where each line leaves the body for the last time, linearly between samples; NaN when never in."""
    inside = depth > 0
    last = depth.shape[-1] - 1 - inside[..., ::-1].argmax(axis=-1)
    after = np.minimum(last + 1, depth.shape[-1] - 1)
    first_depth = np.take_along_axis(depth, last[..., None], -1)[..., 0]
    next_depth = np.take_along_axis(depth, after[..., None], -1)[..., 0]
    share = np.where(after > last, first_depth / np.maximum(first_depth - next_depth, 1e-6), 0.0)
    return np.where(inside.any(axis=-1), y[last] + share * (y[1] - y[0]), np.nan)


def _filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill the few missing lines with their nearest neighbour's value."""
    missing = np.isnan(values)
    nearest = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)])


def _back_of_canal(
    whole: Solid, lines: tuple[NDArray[np.float64], NDArray[np.float64]], wall: NDArray[np.float64], p: WallParameters
) -> NDArray[np.float64]:
    """Return y, mm, of the first bone behind the wall on each line; NaN where none lies within reach."""
    away = np.arange(1.0, p.canal_reach, 0.5)
    y = wall[..., None] + away
    x, z = np.broadcast_to(lines[0][:, None, None], y.shape), np.broadcast_to(lines[1][None, :, None], y.shape)
    bone = whole.depth_at(np.stack([x, y, z], axis=-1)) > 0
    free = np.maximum.accumulate(~bone, axis=-1)
    back = bone & free
    first = np.take_along_axis(y, back.argmax(axis=-1)[..., None], -1)[..., 0]
    return np.where(back.any(axis=-1), first, np.nan)


def _share(value: float, wall: _Wall, at: tuple[int, int], error: float) -> Measured:
    near = wall.behind[:, max(at[1] - 2, 0) : at[1] + 3] - wall.wall[:, max(at[1] - 2, 0) : at[1] + 3]
    if np.isnan(near).all():
        known = wall.behind - wall.wall
        if np.isnan(known).all():
            return Measured.unknown("no arch closes the canal behind the wall in the labels")
        near = known
    depth = float(np.nanmedian(near)) + max(value, 0.0)
    share = max(value, 0.0) / depth
    return Measured(
        share, max(share - error / depth, 0.0), share + error / depth, "bulge over canal depth before the bulge"
    )


def _excess(beyond: NDArray[np.float64], references: list[_Wall], error: float, size: int) -> Measured:
    if not references:
        return Measured.unknown("no intact reference wall was given")
    normal = np.mean(
        [_stretched(ndimage.uniform_filter(one.beyond_line, size), beyond.shape) for one in references], axis=0
    )
    value = float((beyond - normal).max())
    return Measured.with_error(
        value, error * np.sqrt(2.0), f"beyond the mean wall of {len(references)} intact vertebrae"
    )


def _stretched(values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Stretch a wall to another wall's width and height, since no two vertebrae have the same."""
    i, k = (np.linspace(0.0, have - 1.0, want) for have, want in zip(values.shape, shape, strict=True))
    lattice = np.stack(np.meshgrid(i, k, indexing="ij"))
    return np.asarray(ndimage.map_coordinates(values, lattice, order=1, mode="nearest"))


def _narrowing(wall: _Wall, references: list[_Wall], error: float) -> Measured:
    depths = [_canal_depth(one) for one in references]
    normal = [d for d in depths if np.isfinite(d)]
    if not normal:
        return Measured.unknown("no intact reference canal was given")
    least = _canal_depth(wall)
    if not np.isfinite(least):
        return Measured.unknown("no arch closes the canal behind the wall in the labels")
    mean = float(np.mean(normal))
    value, half = 1.0 - least / mean, np.sqrt(2.0) * error / mean
    return Measured.with_error(value, half, f"least canal depth against {len(normal)} intact canals")


def _canal_depth(wall: _Wall) -> float:
    """Least depth, mm, of the canal near the midline where an arch lies behind the wall; NaN where none does."""
    middle = np.abs(wall.x) <= 3.0
    depth = (wall.behind - wall.wall)[middle]
    seen = np.isfinite(depth).mean(axis=0) > 0.5
    return float(np.nanmedian(depth[:, seen], axis=0).min()) if seen.any() else float("nan")
