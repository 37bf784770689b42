"""Hard gates: how much room every candidate path has beyond what each gate asks, for many paths at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.planning.site import SideView
from vertecast.planning.trajectory import Approach, Gate, Lines, Tool
from vertecast.planning.trajectory_rules import TrajectoryRules

REACH = 66.0
"""mm behind the tip up to which a path is judged; bone ends before."""

STEP = 0.75
"""mm between the points at which a path is judged; one for search, plan and robustness, so that they agree."""

_WIDE = np.float32(1e3)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What was found along every path, all (n,), mm.

    Parameters
    ----------
    rooms : room beyond what each gate asks; negative is refused
    canal, root, wall : clearance of the tube
    in_bone : length from the entry to the tip
    recrossed : length of the vertebra's own bone behind the entry
    """

    rooms: dict[Gate, NDArray[np.float64]]
    canal: NDArray[np.float64]
    root: NDArray[np.float64]
    wall: NDArray[np.float64]
    in_bone: NDArray[np.float64]
    recrossed: NDArray[np.float64]

    @property
    def worst(self) -> NDArray[np.float64]:
        """(n,): the least room of all gates."""
        return np.asarray(np.minimum.reduce(list(self.rooms.values())))

    def short_of(self, spare: float) -> NDArray[np.float64]:
        """(n,): the sum of what is missing to ``spare`` mm of room at every gate; 0 where all hold with it."""
        return np.asarray(sum(np.maximum(spare - room, 0.0) for room in self.rooms.values()))


def judge_lines(lines: Lines, view: SideView, tool: Tool, approach: Approach, rules: TrajectoryRules) -> Judged:
    """Judge paths by every gate; by that of the skin only where the image shows it."""
    assert view.pedicle is not None
    step = STEP
    back = np.arange(0.0, REACH + step / 2, step)
    points = lines.points(back)
    depth = view.bone.at(points).astype(np.float64)
    y = points[..., 1]
    entry, recrossed = _entry(depth, step)
    in_body = y <= view.body.wall
    in_bone = back[None, :] <= entry[:, None]
    wall_room = rules.bone_margin + rules.field_error
    rooms: dict[Gate, NDArray[np.float64]] = {}
    if approach is Approach.TRANSPEDICULAR:
        held, inside = _transpedicular(lines, view, back, rules), in_body & in_bone
        assert view.pedicle.width.value is not None
        isthmus = view.pedicle.width.value - 2 * (tool.radius + rules.bone_margin)
        rooms[Gate.ISTHMUS] = np.full(len(lines), isthmus)
        rooms[Gate.PEDICLE] = _least(depth, held & ~in_body) - tool.radius - wall_room
        rooms[Gate.ENTRY] = entry - held.sum(axis=1) * step
    else:
        lead = rules.lead_in
        inside = back[None, :] <= np.maximum(entry - lead, 2 * step)[:, None]
        rooms[Gate.ENTRY] = _extrapedicular_entry(lines, view, entry, back, rules)
    rooms[Gate.CORTEX] = _least(depth, inside) - tool.radius - wall_room
    ahead = lines.tip + rules.anterior_margin * lines.forward
    rooms[Gate.ANTERIOR] = view.bone.at(ahead).astype(np.float64) - rules.field_error
    rooms[Gate.ENDPLATE] = _least(_endplate_distance(points, view), inside & in_body) - tool.radius - wall_room
    canal = _least(view.canal.at(points).astype(np.float64)) - tool.radius
    root = _root_distance(lines, view) - tool.radius - rules.root_radius
    rooms[Gate.CANAL] = canal - rules.canal_margin - rules.field_error
    rooms[Gate.ROOT] = root - rules.root_margin
    rooms[Gate.MEDIAL] = _least(points[..., 0] - view.pedicle.medial_x, ~in_body)
    rooms[Gate.NEIGHBOUR] = _least(view.others.at(points).astype(np.float64)) - tool.radius - rules.field_error
    if view.lung is not None:
        rooms[Gate.LUNG] = _least(view.lung.at(points).astype(np.float64)) - tool.radius - rules.lung_margin
    if view.skin is not None:
        rooms[Gate.SKIN] = tool.length - view.skin.distance(lines)
    everywhere = inside | held if approach is Approach.TRANSPEDICULAR else inside
    wall = _least(depth, everywhere) - tool.radius
    return Judged(rooms, canal, root, wall, entry, recrossed)


def bone_ahead(line: Lines, view: SideView) -> float:
    """Return how far, mm, the needle of one path may still go before its axis leaves bone."""
    away = np.arange(0.0, REACH, 0.25)
    outside = view.bone.at(line.tip + away[:, None] * line.forward) <= 0
    return float(away[int(outside.argmax())]) if outside.any() else float(away[-1])


def _least(values: NDArray[np.float64], where: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Return the least value along each path; very large where a path has no such point."""
    return np.asarray(values.min(axis=1) if where is None else np.where(where, values, _WIDE).min(axis=1))


def _entry(depth: NDArray[np.float64], step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far behind the tip bone ends, and how much own bone lies behind that, mm."""
    outside = depth <= 0
    first = np.where(outside.any(axis=1), outside.argmax(axis=1), depth.shape[1] - 1)
    rows = np.arange(len(depth))
    before = np.maximum(first - 1, 0)
    a, b = depth[rows, before], depth[rows, first]
    share = np.clip(a / np.maximum(a - b, 1e-9), 0.0, 1.0)
    entry = (before + np.where(first > before, share, 0.0)) * step
    behind = np.arange(depth.shape[1])[None, :] > first[:, None]
    return entry, (np.clip(depth / step + 0.5, 0.0, 1.0) * behind).sum(axis=1) * step


def _transpedicular(
    lines: Lines, view: SideView, back: NDArray[np.float64], rules: TrajectoryRules
) -> NDArray[np.bool_]:
    """Mark the points from the tip to just behind the isthmus, where all of the tube must be in bone."""
    gate = view.pedicle
    assert gate is not None
    along = (lines.tip - gate.centre) @ gate.axis
    crossing = along / np.maximum(lines.forward @ gate.axis, 0.2)
    return np.asarray(back[None, :] <= (crossing + rules.behind_isthmus)[:, None])


def _extrapedicular_entry(
    lines: Lines, view: SideView, entry: NDArray[np.float64], back: NDArray[np.float64], rules: TrajectoryRules
) -> NDArray[np.float64]:
    """Return how far in front of its hindmost place the entry lies, and beside the pedicle's middle, mm."""
    gate = view.pedicle
    assert gate is not None
    at = lines.tip - entry[:, None] * lines.forward
    hindmost = view.body.wall + rules.entry_behind_wall - at[:, 1]
    beside = at[:, 0] - gate.centre[0]
    reached = REACH - 5.0 - entry
    return np.asarray(np.minimum.reduce([hindmost, beside, reached]))


def _endplate_distance(points: NDArray[np.float64], view: SideView) -> NDArray[np.float64]:
    """Distance, mm, along z to the nearer endplate of the body; very large beside the body."""
    lattice = view.bone.lattice
    index = np.rint((points[..., :2] - lattice.first[:2]) / lattice.pitch).astype(np.intp)
    i = np.clip(index[..., 0], 0, lattice.shape[0] - 1)
    j = np.clip(index[..., 1], 0, lattice.shape[1] - 1)
    z = points[..., 2]
    room = np.minimum(view.body.top[i, j] - z, z - view.body.bottom[i, j])
    return np.asarray(np.where(np.isnan(room), _WIDE, room))


def _root_distance(lines: Lines, view: SideView) -> NDArray[np.float64]:
    """Least distance, mm, of each path to the axes of the roots' corridors."""
    least = np.full(len(lines), np.inf)
    for start, end in view.roots:
        least = np.minimum(least, segment_distance(lines.tip, -REACH * lines.forward, start, end - start))
    return least


def segment_distance(
    start: NDArray[np.float64], along: NDArray[np.float64], other: NDArray[np.float64], course: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance, mm, of segments ``start + s along`` (n, 3) from one segment ``other + t course``.

    The nearest points of the two straight lines, then each clipped to its segment in turn (Ericson, Real-Time Collision
    Detection, section 5.1.9).
    """
    away = start - other
    a, e = (along * along).sum(axis=1), float(course @ course)
    b, c, f = along @ course, (along * away).sum(axis=1), away @ course
    apart = a * e - b * b
    s = np.clip(np.where(apart > 1e-9 * a * e, (b * f - c * e) / np.maximum(apart, 1e-12), 0.0), 0.0, 1.0)
    t = np.clip((b * s + f) / e, 0.0, 1.0)
    s = np.clip((b * t - c) / a, 0.0, 1.0)
    t = np.clip((b * s + f) / e, 0.0, 1.0)
    return np.asarray(np.linalg.norm(away + s[:, None] * along - t[:, None] * course, axis=1))
