"""Cavities that grow and shrink in crushable material: volume-controlled increments, the material carried along.

A cavity is a level set under fluid pressure. Each increment solves small-strain equilibrium on the present shape, then
moves walls and material points. It is cut when no equilibrium is found or a wall moves too far; the last good state is
always kept.
"""

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError
from vertecast.core.observer import SILENT, Observer
from vertecast.kernels.cavity_points import cell_means, crowding, homes, seeded
from vertecast.kernels.cavity_shape import cavity_share, octant_values
from vertecast.kernels.cavity_slots import Leftover
from vertecast.kernels.cavity_spring import PlatenSpring
from vertecast.kernels.cavity_state import (
    CavityProblem,
    CavityRecord,
    CavityState,
    CellConstants,
    Goal,
    Membrane,
    Walk,
    WalkControl,
    WalkStatus,
    Watch,
)
from vertecast.kernels.cavity_step import body_of, increment, settled, stage

Array = NDArray[np.float64]

_EASY = 0.75  # share of the motion wanted below which the next increment is made longer again
_PATIENCE = 2  # halvings after which a wall that still moves farther than it should is let go
_FARTHEST = 1.5  # voxels that a wall may move then
_HEADWAY = 2e-3  # share of what is to be done that counts as headway

__all__ = [
    "CavityProblem",
    "CavityRecord",
    "CavityState",
    "CellConstants",
    "Goal",
    "Membrane",
    "PlatenSpring",
    "Walk",
    "WalkControl",
    "WalkStatus",
    "Watch",
    "begun",
    "density_of",
    "escaped",
    "settled",
    "walk",
]


def begun(
    problem: CavityProblem,
    *,
    cavities: tuple[Array, ...],
    density: Array,
    damage: Array,
    label: NDArray[np.integer],
    outside: Array | None = None,
) -> CavityState:
    """Make the first state: unloaded material around the cavities.

    Parameters
    ----------
    cavities : distance fields (nx + 1, ny + 1, nz + 1), mm, negative inside
    density : (nx, ny, nz), mass per mm³, positive wherever there is material
    damage, label : (nx, ny, nz), carried with the material and handed to ``problem.constants``
    outside : distance field, negative where there is nothing
    """
    if len(cavities) != len(problem.membranes) or not cavities:
        raise ParameterError(
            f"{len(cavities)} cavities need as many membranes (None: bare), got {len(problem.membranes)}"
        )
    shape = tuple(n + 1 for n in density.shape)
    if any(field.shape != shape for field in cavities):
        raise ParameterError(f"distance fields must be on the nodes {shape}, got {[f.shape for f in cavities]}")
    voids = [cavity_share(cavity, problem.spacing) for cavity in cavities]
    if outside is not None:
        voids.append(cavity_share(outside, problem.spacing))
    share = np.clip(1.0 - np.sum(voids, axis=0), 0.0, 1.0)
    return CavityState(
        cavities=cavities,
        outside=outside,
        points=seeded(share, problem.spacing, density, damage, label),
        leftover=Leftover.none(),
        displacement=np.zeros((3, *shape)),
        pressures=(0.0,) * len(cavities),
        load=0.0,
        platens=np.zeros((len(problem.constraints.platens), 3)),
        work=0.0,
        dissipated=0.0,
    )


def walk(
    problem: CavityProblem,
    state: CavityState,
    goal: Goal,
    *,
    control: WalkControl = WalkControl(),  # noqa: B008 - frozen
    watch: Watch | None = None,
    observer: Observer = SILENT,
) -> Walk:
    """Go from a state to the goal in increments; never raises for a stall: the last good state is returned.

    Notes
    -----
    Volumes are steered by the level sets' own volume, so nothing drifts. The step is chosen so that the fastest wall
    point moves ``control.motion`` voxels, judged by the increment before.
    """
    records: list[CavityRecord] = []
    cuts = halved = 0
    path = stage(problem, state, goal, control)
    memory, status, reason = None, WalkStatus.COMPLETE, ""
    least, idle = np.inf, 0
    while not path.done(state):
        if observer.cancelled():
            return Walk(WalkStatus.CANCELLED, state, tuple(records), "", cuts, np.nan)
        if len(records) >= control.most or halved > control.cuts or idle > control.idle:
            status = WalkStatus.STALLED
            break
        target = path.next(state, 0.5**halved)
        found = increment(problem, state, target, control, memory)
        if found is None or _too_far(found.record.wall_step, control, halved):
            cuts, halved = cuts + 1, halved + 1
            path.slow(found.record.wall_step if found is not None else None)
            memory = None if found is None else memory
            continue
        state, memory = found.state, found.memory
        if found.record.wall_step < _EASY * control.motion:
            halved = max(0, halved - 1)
        path.learn(found.record)
        least, idle = (left, 0) if (left := path.left(state)) < least - _HEADWAY else (least, idle + 1)
        records.append(found.record)
        observer.advance()
        reason = "" if watch is None else watch(state, found.record) or ""
        if reason:
            status = WalkStatus.STOPPED
            break
    if not records:
        return Walk(status, state, (), reason, cuts)
    state, unbalanced, spent = settled(problem, state, control)
    return Walk(status, state, tuple(records), reason, cuts, unbalanced, spent)


def _too_far(wall_step: float, control: WalkControl, halved: int) -> bool:
    """Tell whether an increment is to be done again with a smaller step; a wall that gives way all the same may."""
    return wall_step > (1.5 * control.motion if halved < _PATIENCE else _FARTHEST)


def density_of(problem: CavityProblem, state: CavityState) -> Array:
    """Return the present density (nx, ny, nz): points' mass over their room; zero where there is no material."""
    body, points = body_of(problem, state), state.points
    at = homes(points, body.mesh)
    (density,) = cell_means(at, points, (points.mass / points.volume,), body.mesh)
    return body.mesh.unpack(density * crowding(at, points, body.mesh, body.weight))


def escaped(state: CavityState, spacing: tuple[float, float, float]) -> Array:
    """Return the mass of points that lie inside each cavity: it should stay at nothing."""
    lost = []
    for cavity in state.cavities:
        inside = octant_values(cavity) < -0.5 * min(spacing)
        at = np.floor(state.points.place / (0.5 * np.reshape(spacing, (3, 1)))).astype(int)
        at = np.clip(at, 0, np.reshape(inside.shape, (3, 1)) - 1)
        lost.append(float(state.points.mass[inside[tuple(at)]].sum()))
    return np.array(lost)
