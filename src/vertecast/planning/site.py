"""One level as a needle meets it: bone, canal, roots, neighbours and lung as distances, seen from either side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.frames import Transform
from vertecast.core.levels import Level, Region
from vertecast.core.quantities import Measured
from vertecast.core.sides import Side
from vertecast.planning.air import AirMap
from vertecast.planning.fields import DistanceField, Lattice, distance_from, signed_depth, soft_sample
from vertecast.planning.skin import SkinMap, skin_map
from vertecast.planning.trajectory_rules import TrajectoryRules
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.canal import Canal
from vertecast.spine.isthmus import posterior_wall_y
from vertecast.spine.pedicles import Pedicle
from vertecast.spine.solid import Solid

LATTICE = Lattice(half_x=48.0, y=(-33.0, 66.0), z=(-36.0, 36.0), pitch=0.75)
"""Covers a lumbar vertebra with its processes; a path is judged inside it."""

_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class PedicleGate:
    """A pedicle in the side frame (x lateral, y posterior, z superior), mm.

    Parameters
    ----------
    centre : (3,), of the isthmus
    axis : (3,), unit, forwards into the body
    width, height : of the isthmus; medial_x : x of its medial wall
    """

    centre: NDArray[np.float64]
    axis: NDArray[np.float64]
    width: Measured
    height: Measured

    @property
    def lateral(self) -> NDArray[np.float64]:
        """(3,), unit, in the isthmus' plane, away from the midline."""
        out = np.array([1.0, 0.0, 0.0]) - self.axis * self.axis[0]
        return np.asarray(out / np.linalg.norm(out))

    @property
    def upward(self) -> NDArray[np.float64]:
        """(3,), unit, in the isthmus' plane, superior."""
        out = np.cross(self.lateral, self.axis)
        return np.asarray(out if out[2] > 0 else -out)

    @property
    def medial_x(self) -> float:
        """x, mm, of the medial wall at the isthmus."""
        assert self.width.value is not None
        return float((self.centre - 0.5 * self.width.value * self.lateral)[0])


@dataclass(frozen=True, slots=True, eq=False)
class BodyBox:
    """The vertebral body in its frame: endplates as height maps over the lattice's x and y, mm."""

    front: float
    wall: float
    half_width: float
    top: NDArray[np.float64]
    bottom: NDArray[np.float64]

    @property
    def depth(self) -> float:
        """Mid-sagittal depth, mm."""
        return self.wall - self.front


@dataclass(frozen=True, slots=True, eq=False)
class SideView:
    """The level from one side, mirrored so that x is lateral: the right is planned just as the left is.

    Parameters
    ----------
    bone : depth in the vertebra's own bone; canal, others, lung : distance from them
    roots : ((3,) start, (3,) end) of the nerve roots' corridors on this side
    lps_from_side : (3, 3), directions of the side frame in LPS; contains the mirror on the right
    skin : behind the level; ``None`` without a CT, or when it does not show the skin
    """

    side: Side
    bone: DistanceField
    canal: DistanceField
    others: DistanceField
    lung: DistanceField | None
    body: BodyBox
    pedicle: PedicleGate | None
    no_pedicle: str
    roots: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]
    lps_from_side: NDArray[np.float64]
    skin: SkinMap | None = None


@dataclass(frozen=True, eq=False)
class Site:
    """One level ready for planning."""

    level: Level
    vert_from_lps: Transform
    views: Mapping[Side, SideView]
    body_volume: float
    air: AirMap | None
    warnings: tuple[str, ...]

    def to_lps(self, points: ArrayLike, side: Side) -> NDArray[np.float64]:
        """Map points (..., 3) of a side frame to LPS, mm."""
        flip = _MIRROR if side is Side.RIGHT else 1.0
        return self.vert_from_lps.inverse.apply(np.asarray(points, float) * flip)


def make_site(
    anatomy: Anatomy,
    pedicles: Mapping[Side, Pedicle],
    canal: Canal,
    rules: TrajectoryRules,
    *,
    neighbours: Sequence[Anatomy] = (),
    air: AirMap | None = None,
) -> Site:
    """Sample one level's distance fields.

    Parameters
    ----------
    anatomy, pedicles, canal : of the level
    neighbours : the other vertebrae near it, which a needle must not cross
    air : lung and skin, when a CT was given

    Raises
    ------
    GeometryError
        When the labels hold no arch, or the canal cannot be found: no path can then be called safe.
    """
    if not anatomy.arch.any():
        raise GeometryError(
            f"{anatomy.level}: the labels hold the body only, no pedicles; give labels of the whole vertebra"
        )
    if canal.canal_mask is None:
        raise GeometryError(
            f"{anatomy.level}: the canal was not found ({canal.reason}); no needle path can be called safe, "
            "correct the label's arch"
        )
    frame, grid = anatomy.vert_from_lps, anatomy.grid
    bone_soft = soft_sample(anatomy.mask, grid, frame, LATTICE)
    body_soft = soft_sample(anatomy.body, grid, frame, LATTICE)
    bone = signed_depth(bone_soft, LATTICE)
    lumen = distance_from(soft_sample(canal.canal_mask, grid, frame, LATTICE), LATTICE)
    others = np.zeros(LATTICE.shape, np.float32)
    for one in neighbours:
        np.maximum(others, soft_sample(one.mask, one.grid, frame, LATTICE), out=others)
    lung = None if air is None else distance_from(soft_sample(air.inner, air.grid, frame, LATTICE), LATTICE)
    body = _body_box(anatomy, body_soft, bone_soft)
    away = distance_from(others, LATTICE)
    skin = None if air is None else skin_map(air, frame, body.wall + 20.0)
    lps_from_left = frame.inverse.matrix[:3, :3]
    left = SideView(Side.LEFT, bone, lumen, away, lung, body, None, "", (), lps_from_left, skin)
    lumbar = anatomy.level.region is Region.LUMBAR
    course = np.asarray(rules.root_course_lumbar if lumbar else rules.root_course_thoracic)
    views = {side: _seen_from(left, frame, pedicles[side], neighbours, (course, rules)) for side in Side}
    return Site(
        anatomy.level,
        frame,
        views,
        float(anatomy.body.sum()) * grid.voxel_volume,
        air,
        tuple(f"{anatomy.level} {side}: {v.no_pedicle}" for side, v in views.items() if v.no_pedicle),
    )


def _seen_from(
    left: SideView,
    frame: Transform,
    pedicle: Pedicle,
    neighbours: Sequence[Anatomy],
    roots: tuple[NDArray[np.float64], TrajectoryRules],
) -> SideView:
    side, (course, rules) = pedicle.side, roots
    mirror = _MIRROR if side is Side.RIGHT else np.ones(3)
    gate, reason = _pedicle_gate(frame, pedicle, mirror)
    above = [a for a in neighbours if frame.apply(a.vert_from_lps.origin)[2] > 0]
    step = frame.apply(above[0].vert_from_lps.origin) * mirror if above else np.array([0.0, 0.0, _spacing(left.body)])
    view = replace(
        left,
        side=side,
        pedicle=gate,
        no_pedicle=reason,
        roots=_roots(gate, step, course, rules) if gate else (),
        lps_from_side=left.lps_from_side * mirror,
    )
    if side is Side.LEFT:
        return view
    body = replace(left.body, top=left.body.top[::-1], bottom=left.body.bottom[::-1])
    return replace(
        view,
        bone=left.bone.mirrored(),
        canal=left.canal.mirrored(),
        others=left.others.mirrored(),
        lung=left.lung.mirrored() if left.lung else None,
        skin=left.skin.mirrored() if left.skin else None,
        body=body,
    )


def _pedicle_gate(frame: Transform, pedicle: Pedicle, mirror: NDArray[np.float64]) -> tuple[PedicleGate | None, str]:
    if pedicle.isthmus_lps is None or pedicle.axis_lps is None:
        return None, f"no pedicle: {pedicle.reason}"
    centre = frame.apply(pedicle.isthmus_lps) * mirror
    axis = frame.apply_directions(pedicle.axis_lps) * mirror
    return PedicleGate(centre, axis, pedicle.width_mm, pedicle.height_mm), ""


def _spacing(body: BodyBox) -> float:
    """Distance to the level above when it is not labelled: the body's height and a quarter for the disc."""
    return 1.25 * float(np.nanmedian(body.top - body.bottom))


def _roots(
    gate: PedicleGate, step_up: NDArray[np.float64], course: NDArray[np.float64], rules: TrajectoryRules
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]:
    """Lay the corridors of the root under this pedicle and of the one under the pedicle above."""
    assert gate.height.value is not None
    drop = 0.5 * gate.height.value + rules.root_gap + rules.root_radius
    start = np.array([gate.medial_x, gate.centre[1], gate.centre[2] - drop])
    return ((start, start + course), (start + step_up, start + step_up + course))


def _body_box(anatomy: Anatomy, body_soft: NDArray[np.float32], bone_soft: NDArray[np.float32]) -> BodyBox:
    wall = posterior_wall_y(Solid.from_mask(anatomy.body, anatomy.grid, anatomy.vert_from_lps))
    inside = body_soft >= 0.5
    x, y, z = (LATTICE.first[a] + LATTICE.pitch * np.arange(LATTICE.shape[a]) for a in range(3))
    columns = np.asarray(inside.any(axis=2), bool)
    top, bottom = _endplates(inside, bone_soft >= 0.5, z)
    # The waist counts as the front, not an osteophyte's tip: a path lies between the endplates.
    waist = inside[np.abs(x) <= 4.0][:, :, np.abs(z) <= 5.0]
    share: NDArray[np.float64] = waist.astype(np.float64).mean(axis=(0, 2))
    solid = np.flatnonzero(share >= 0.5)
    if not solid.size or not np.isfinite(wall):
        raise GeometryError(f"{anatomy.level}: the vertebral frame does not lie in the body; check the label")
    deep = columns[:, (y > -4.0) & (y < 4.0)].any(axis=1)
    return BodyBox(float(y[solid[0]]), float(wall), float(np.abs(x[deep]).max()), top, bottom)


def _endplates(
    body: NDArray[np.bool_], bone: NDArray[np.bool_], z: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the heights of the superior and the inferior endplate over x and y, mm; NaN where there is none.

    Where own bone goes on above or below the body, as at the pedicles' roots, the body's end is no endplate.
    """
    found = []
    for flip in (slice(None, None, -1), slice(None)):
        first = body[:, :, flip].argmax(axis=2)
        outermost = bone[:, :, flip].argmax(axis=2)
        ends = body.any(axis=2) & (np.abs(first - outermost) <= 2)
        found.append(np.where(ends, z[flip][first], np.nan))
    return found[0], found[1]
