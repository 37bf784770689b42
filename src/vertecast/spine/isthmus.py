"""The isthmus of a pedicle: the bottleneck of the bone between body and arch, and the least section through it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.quantities import quantity
from vertecast.core.sides import Side
from vertecast.spine.solid import Section, Solid, piece_at

_END = 0.5  # deg, half of the finest step of the search


@dataclass(frozen=True, slots=True, kw_only=True)
class PedicleParameters:
    """How a pedicle is searched for, and how far its measures can be trusted."""

    lattice_step: float = quantity("mm", "step of the lattice on which the bottleneck between body and arch is found")
    arch_reach: tuple[float, ...] = quantity("mm", "where behind the posterior wall the pedicle has ended in the arch")
    isthmus_reach: tuple[float, ...] = quantity("mm", "where behind the posterior wall the isthmus is looked for first")
    lateral_mass: float = quantity("mm", "distance from the midline where the arch's lateral mass begins")
    midline_gap: float = quantity("mm", "half-width of the midline strip that belongs to neither side")
    half_width: float = quantity("mm", "how far sideways of the midline a pedicle is looked for")
    half_height: float = quantity("mm", "how far above and below the body centre a pedicle is looked for")
    section_step: float = quantity("mm", "step of the oblique sections")
    section_radius: float = quantity("mm", "half-width of the oblique sections")
    slide: float = quantity("mm", "how far from the bottleneck the narrowest section is searched along the axis")
    convergence_range: tuple[float, ...] = quantity("deg", "transverse angles that are searched")
    sagittal_range: tuple[float, ...] = quantity("deg", "sagittal angles that are searched")
    most_divergence: float = quantity("deg", "a pedicle's axis may run away from the midline in front by no more")
    max_area_ratio: float = quantity("1", "sections up to this share of the narrowest belong to the pedicle's channel")
    max_area: float = quantity("mm2", "a larger section is no pedicle")
    size_error: float = quantity("1", "half-width of the 95 % interval of width and height, in voxels")
    other_axes_error: float = quantity("1", "what the coarsest voxel edge adds to it, whatever its direction")
    angle_error: float = quantity("1", "half-width of the 95 % interval of the angles, in voxels over the lever")
    lever_length: float = quantity("mm", "length over which the walls give the axis its direction, besides the channel")


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A section of a solid across a pedicle, in the vertebral frame.

    Parameters
    ----------
    section : moments of the piece that belongs to the pedicle
    middle : (3,), mm, of the sampled plane
    across, upwards : (3,), unit axes of the plane: towards the left, and superior
    """

    section: Section
    middle: NDArray[np.float64]
    across: NDArray[np.float64]
    upwards: NDArray[np.float64]

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,), mm: centre of the piece."""
        return np.asarray(self.middle + self.section.centre[0] * self.across + self.section.centre[1] * self.upwards)

    def points(self) -> NDArray[np.float64]:
        """(m, 3), mm: the samples inside the piece."""
        steps = (np.argwhere(self.section.inside) - self.section.inside.shape[0] // 2) * self.section.step
        return np.asarray(self.middle + steps[:, :1] * self.across + steps[:, 1:] * self.upwards)


@dataclass(frozen=True, slots=True, eq=False)
class Isthmus:
    """The narrowest section of one pedicle, the pedicle's forward axis, and how far it runs behind and in front."""

    cut: Cut
    forward: NDArray[np.float64]
    channel: tuple[float, float]


def find_isthmus(solid: Solid, body: Solid, side: Side, p: PedicleParameters) -> Isthmus | str:
    """Find the isthmus of one pedicle, or say why there is none.

    Parameters
    ----------
    solid, body : the whole vertebra and its body, both in the vertebral frame
    """
    start = find_bottleneck(solid, body, side, p)
    if isinstance(start, str):
        return start
    forward, cut = narrowest_cut(solid, start, side, p)
    if cut is None:
        return f"no section across the {side} pedicle could be closed"
    if cut.section.area > p.max_area:
        return (
            f"narrowest section on the {side} is {cut.section.area:.0f} mm2, more than {p.max_area:.0f} mm2: "
            "body and arch are merged in the labels"
        )
    end = _end_of_search(forward, side, p)
    if end is not None:
        return (
            f"the {side} pedicle's direction is not seen: {end}; the section is another part's, or the voxels too large"
        )
    offsets, centres = _channel(solid, cut, forward, p)
    forward = _settled(forward, offsets, centres)
    across = cut_across(solid, cut.centre, forward, p)
    return Isthmus(across or cut, forward, (float(-offsets[0]), float(offsets[-1])))


def posterior_wall_y(body: Solid) -> float:
    """Return y, mm, of the posterior wall of the body near the midline at mid-height (median of a few columns)."""
    x, z = np.meshgrid(np.linspace(-4, 4, 5), np.linspace(-5, 5, 5), indexing="ij")
    y = np.arange(0.0, 40.0, 0.25)
    points = np.stack(np.broadcast_arrays(x[..., None], y, z[..., None]), axis=-1)
    inside = body.depth_at(points) > 0
    outermost = np.where(inside.any(axis=-1), y[inside.shape[-1] - 1 - inside[..., ::-1].argmax(axis=-1)], np.nan)
    return float(np.nanmedian(outermost)) if inside.any() else float("nan")


def find_bottleneck(solid: Solid, body: Solid, side: Side, p: PedicleParameters) -> NDArray[np.float64] | str:
    """Return the narrowest point of the widest way from body to arch on one side, or why there is none."""
    wall = posterior_wall_y(body)
    if not np.isfinite(wall):
        return "the vertebral frame does not lie in the body"
    first, last = p.arch_reach
    z = np.arange(-p.half_height, p.half_height, p.lattice_step)
    x = side.sign * np.arange(p.midline_gap, p.half_width, p.lattice_step)
    y = np.arange(wall - 15.0, wall + last + p.lattice_step, p.lattice_step)
    points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    depth, in_body = solid.depth_at(points), body.depth_at(points)
    front = np.where(points[..., 1] < wall - 2.0, in_body, -np.inf)
    lateral = np.abs(points[..., 0]) >= p.lateral_mass
    back = np.where((points[..., 1] >= wall + first) & lateral, depth, -np.inf)
    from_seed, to_seed = np.unravel_index(front.argmax(), depth.shape), np.unravel_index(back.argmax(), depth.shape)
    if depth[from_seed] <= 0:
        return f"the labels hold no body on the {side}"
    if depth[to_seed] <= 0:
        return f"the labels hold no arch behind the {side} pedicle"
    place = _bottleneck(depth, from_seed, to_seed)
    if place is None:
        return f"body and arch are not joined by bone on the {side} in the labels"
    return np.asarray(points[_narrowest_coronal(depth, place, points[0, :, 0, 1] - wall, p)])


def _narrowest_coronal(
    depth: NDArray[np.float32], place: tuple[int, ...], behind: NDArray[np.float64], p: PedicleParameters
) -> tuple[int, int, int]:
    """Follow the bone from ``place`` through the coronal planes and return the middle of its smallest cross-section.

    The widest way may be limited by where it ends in the arch; the pedicle is then the smallest section before that.
    ``behind`` is how far, mm, each plane lies behind the posterior wall.
    """
    best, least = (place[0], place[1], place[2]), np.inf
    at = (place[0], place[2])
    for j in range(place[1], -1, -1):
        if behind[j] < p.isthmus_reach[0]:
            break
        labels, count = ndimage.label(depth[:, j] > 0)
        if count == 0:
            break
        found = np.argwhere(labels > 0)
        nearest = found[np.argmin(((found - at) ** 2).sum(axis=1))]
        piece = labels == labels[tuple(nearest)]
        deepest = np.unravel_index(np.where(piece, depth[:, j], -np.inf).argmax(), piece.shape)
        at = (int(deepest[0]), int(deepest[1]))
        area = float(piece.sum())
        if area < least and behind[j] <= p.isthmus_reach[1]:
            best, least = (at[0], j, at[1]), area
    return best


def _bottleneck(
    depth: NDArray[np.float32], start: tuple[np.intp, ...], end: tuple[np.intp, ...]
) -> tuple[int, ...] | None:
    """Return the lattice place where the widest way from ``start`` to ``end`` is narrowest; None when there is none."""
    low, high = 0.0, float(min(depth[start], depth[end]))
    if not _joined(depth, start, end, low):
        return None
    while high - low > 0.05:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _joined(depth, start, end, middle) else (low, middle)
    labels, _ = ndimage.label(depth > high)
    here, there = labels[start], labels[end]
    if here == 0 or there == 0 or here == there:
        return tuple(int(i) for i in end)
    passage = ndimage.label(depth > low)[0]
    gap = ndimage.distance_transform_edt(labels != here) + ndimage.distance_transform_edt(labels != there)
    gap[passage != passage[start]] = np.inf
    shortest = np.argwhere(gap <= gap.min() + 1e-6)
    return tuple(int(i) for i in shortest[len(shortest) // 2])


def _joined(depth: NDArray[np.float32], start: tuple[np.intp, ...], end: tuple[np.intp, ...], level: float) -> bool:
    labels, _ = ndimage.label(depth > level)
    return bool(labels[start] != 0 and labels[start] == labels[end])


def direction_of(convergence: float, sagittal: float, side: Side) -> NDArray[np.float64]:
    """Return the unit vector, in the vertebral frame, of a forward axis with these angles (rad).

    Convergence is the angle to the sagittal plane in the transverse projection, sagittal the rise towards the front.
    """
    forward = np.array([-side.sign * np.tan(convergence), -1.0, np.tan(sagittal)])
    return np.asarray(forward / np.linalg.norm(forward))


def angles_of(forward: NDArray[np.float64], side: Side) -> tuple[float, float]:
    """Convergence and sagittal angle, rad, of a forward axis; the inverse of :func:`direction_of`."""
    return float(np.arctan2(-side.sign * forward[0], -forward[1])), float(np.arctan2(forward[2], -forward[1]))


def _end_of_search(forward: NDArray[np.float64], side: Side, p: PedicleParameters) -> str | None:
    """Say which end of the search the least section lies at; a least value at the end of a range is none."""
    names = ("transverse", "sagittal")
    for name, angle, ends in zip(
        names, np.degrees(angles_of(forward, side)), (p.convergence_range, p.sagittal_range), strict=True
    ):
        if not ends[0] + _END < angle < ends[1] - _END:
            return f"the least section lies at {angle:.0f} deg, the end of the {name} angles searched"
    return None


def plane_axes(normal: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the transverse axis u (towards the left) and the axis v (upwards) of the plane across ``normal``."""
    # Written out: thousands of planes are looked at, and np.cross takes longer than all the rest of a plane's axes.
    x, y, z = (float(part) for part in normal)
    scale = np.copysign(1.0, y) / np.hypot(x, y)
    a, b = y * scale, -x * scale
    up = a * y - b * x
    return np.array([a, b, 0.0]), np.array([b * z, -a * z, up]) * np.sign(up)


def cut_across(
    solid: Solid, centre: NDArray[np.float64], normal: NDArray[np.float64], p: PedicleParameters
) -> Cut | None:
    """Cut the solid with the plane through ``centre`` across ``normal``; None where there is no bone."""
    u, v = plane_axes(normal)
    count = int(np.ceil(p.section_radius / p.section_step))
    axis = np.arange(-count, count + 1) * p.section_step
    depth = solid.depth_at(centre + axis[:, None, None] * u + axis[None, :, None] * v)
    section = piece_at(depth, p.section_step)
    return None if section is None else Cut(section, centre, u, v)


def narrowest_cut(
    solid: Solid, start: NDArray[np.float64], side: Side, p: PedicleParameters
) -> tuple[NDArray[np.float64], Cut | None]:
    """Turn and slide a plane to the least section: first its tilt, then its place, then both again, more finely."""
    limits = np.deg2rad([p.convergence_range, p.sagittal_range]).T
    angles, centre = np.deg2rad([10.0, 0.0]), start
    for reach in np.deg2rad([20.0, 8.0, 4.0]):
        angles = _least_tilt(solid, centre, side, angles, (reach, limits), p)
        centre = _least_place(solid, centre, direction_of(angles[0], angles[1], side), p)
    forward = direction_of(angles[0], angles[1], side)
    return forward, cut_across(solid, centre, forward, p)


def _mean_area(solid: Solid, centre: NDArray[np.float64], normal: NDArray[np.float64], p: PedicleParameters) -> float:
    """Mean area of three sections a millimetre apart: one alone would follow the voxels' steps."""
    cuts = [cut_across(solid, centre + offset * normal, normal, p) for offset in (-1.0, 0.0, 1.0)]
    return float(np.mean([cut.section.area if cut else np.inf for cut in cuts]))


def _least_tilt(
    solid: Solid,
    centre: NDArray[np.float64],
    side: Side,
    angles: NDArray[np.float64],
    search: tuple[float, NDArray[np.float64]],
    p: PedicleParameters,
) -> NDArray[np.float64]:
    """Pattern search over the two angles: nine tilts, then half the step around the best."""
    step, limits = search
    known: dict[bytes, float] = {}  # neighbouring rounds try many tilts twice

    def area(tilt: NDArray[np.float64]) -> float:
        key = np.round(tilt, 9).tobytes()
        if key not in known:
            known[key] = _mean_area(solid, centre, direction_of(tilt[0], tilt[1], side), p)
        return known[key]

    best, least = angles, area(angles)
    while step > np.deg2rad(1.0):
        moves = [np.array([i, j]) * step for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
        tried = [np.clip(best + move, limits[0], limits[1]) for move in moves]
        areas = [area(tilt) for tilt in tried]
        if min(areas) < least:
            least, best = min(areas), tried[int(np.argmin(areas))]
        else:
            step *= 0.5
    return best


def _least_place(
    solid: Solid, centre: NDArray[np.float64], normal: NDArray[np.float64], p: PedicleParameters
) -> NDArray[np.float64]:
    """Slide along the normal to the least section (running mean of three) and return that section's centre."""
    offsets = np.arange(-p.slide, p.slide + 0.25, 0.5)
    cuts = [cut_across(solid, centre + offset * normal, normal, p) for offset in offsets]
    areas = np.array([cut.section.area if cut else np.inf for cut in cuts])
    smooth = np.convolve(np.where(np.isfinite(areas), areas, 1e4), np.ones(3) / 3, mode="valid")
    narrowest = cuts[1 + int(np.argmin(smooth))]
    return narrowest.centre if narrowest is not None else centre


def _channel(
    solid: Solid, cut: Cut, forward: NDArray[np.float64], p: PedicleParameters
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return offsets (mm, along the axis) and centres of the sections that are hardly larger than the isthmus."""
    kept = {0.0: cut.centre}
    for direction in (-1.0, 1.0):
        for offset in np.arange(0.5, 2.0 * p.slide, 0.5):
            further = cut_across(solid, cut.centre + direction * offset * forward, forward, p)
            if further is None or further.section.area > p.max_area_ratio * cut.section.area:
                break
            kept[direction * float(offset)] = further.centre
    order = sorted(kept)
    return np.array(order), np.array([kept[offset] for offset in order])


def _settled(
    forward: NDArray[np.float64], offsets: NDArray[np.float64], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of the least section's normal and the line through the channel's centres.

    The two err for different reasons (steps of the walls; flares that are not alike), so their mean errs less.
    """
    if len(offsets) < 3:
        return forward
    away = offsets - offsets.mean()
    line = away @ (centres - centres.mean(axis=0)) / (away @ away)
    mean = forward + line / np.linalg.norm(line)
    return np.asarray(mean / np.linalg.norm(mean))
