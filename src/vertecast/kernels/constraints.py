"""What holds a body: prescribed displacements, and rigid platens that may tilt."""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError
from vertecast.kernels.bricks import BrickMesh

FREE, FIXED, DEAD = 0, 1, -1
"""Kinds of a degree of freedom; 2 + p is tied to platen p."""


class Sides(enum.Enum):
    """How the nodes under a platen may move sideways."""

    BONDED = "bonded"
    """With the platen, as on a rigid body that tilts about its point."""
    FIXED = "fixed"
    """Not at all."""
    FRICTIONLESS = "frictionless"
    """Freely; something else must hold the body sideways."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Platen:
    """A rigid face pressed on the body at a point, free to tilt about it.

    Parameters
    ----------
    nodes : (nx + 1, ny + 1, nz + 1) bool
        Nodes under the face.
    axis : 0, 1 or 2
        Its normal.
    point : (3,), mm in grid coordinates
        Where the force acts; the moment about it is zero.
    sides : Sides
    force : N along +axis, or None
    displacement : mm of ``point`` along +axis, or None
        Exactly one of the two is given.
    tilts : whether it may tilt along each of the face's axes, in rising order

    Notes
    -----
    Motion along the normal n: u_n = w + t_a (x_a - p_a) + t_b (x_b - p_b), a and b the other axes in rising order.
    """

    nodes: NDArray[np.bool_]
    axis: int
    point: tuple[float, float, float]
    sides: Sides
    force: float | None = None
    displacement: float | None = None
    tilts: tuple[bool, bool] = (True, True)

    def __post_init__(self) -> None:
        if self.axis not in (0, 1, 2):
            raise ParameterError(f"platen axis {self.axis} must be 0, 1 or 2")
        if (self.force is None) == (self.displacement is None):
            raise ParameterError("a platen needs either its force or its displacement, exactly one of them")
        given = [*self.point, self.force if self.displacement is None else self.displacement]
        if not np.all(np.isfinite(np.asarray(given, dtype=float))):
            raise ParameterError(f"platen point and load {given} must be finite")

    @property
    def reach(self) -> float:
        """Length that makes a tilt a displacement of like size: half the larger side of the face in nodes."""
        return 0.5 * float(max(self.nodes.shape[axis] for axis in self.across))

    @property
    def across(self) -> tuple[int, int]:
        """The two axes of the face."""
        a, b = (axis for axis in range(3) if axis != self.axis)
        return a, b


@dataclass(frozen=True, eq=False)
class Constraints:
    """Prescribed displacements and platens of one body.

    Parameters
    ----------
    fixed : (3, nx + 1, ny + 1, nz + 1) bool
        Displacement components that are prescribed.
    values : same shape, mm, or None
        The prescribed values; zero when None.
    platens : their nodes may not share a component with each other; where ``fixed`` meets a platen, it wins
    """

    fixed: NDArray[np.bool_]
    values: NDArray[np.float64] | None = None
    platens: tuple[Platen, ...] = ()

    def kinds(self, mesh: BrickMesh) -> NDArray[np.int8]:
        """Return FREE, FIXED, DEAD or 2 + platen for each component of each node; refuses what does not fit."""
        shape = (3, *mesh.node_shape)
        if self.fixed.shape != shape or self.fixed.dtype != np.bool_:
            raise ParameterError(f"fixed {self.fixed.dtype}{self.fixed.shape} must be a bool array of shape {shape}")
        if self.values is not None:
            if self.values.shape != shape:
                raise ParameterError(f"values of shape {self.values.shape} do not fit the nodes {shape}")
            if not np.all(np.isfinite(self.values[self.fixed])):
                raise ParameterError("a prescribed displacement is not finite; give numbers wherever fixed is set")
        kinds = np.full(shape, FREE, dtype=np.int8)
        for number, platen in enumerate(self.platens):
            if platen.nodes.shape != mesh.node_shape:
                raise ParameterError(f"platen {number}: nodes {platen.nodes.shape} do not fit {mesh.node_shape}")
            if not np.any(platen.nodes & mesh.nodes):
                raise ParameterError(f"platen {number} touches no active voxel; its nodes must lie on the body")
            for component in range(3):
                if component != platen.axis and platen.sides is Sides.FRICTIONLESS:
                    continue
                tied = component == platen.axis or platen.sides is Sides.BONDED
                if np.any((kinds[component] != FREE) & platen.nodes & mesh.nodes):
                    raise ParameterError(f"platen {number} shares nodes with another platen; separate their faces")
                kinds[component][platen.nodes] = 2 + number if tied else FIXED
        kinds[self.fixed] = FIXED
        kinds[:, ~mesh.nodes] = DEAD
        return kinds


@dataclass(frozen=True, eq=False)
class Ties:
    """Degrees of freedom that follow platen motions: u[index] = matrix @ motions.

    ``index`` (n,) into the flat displacement, ``matrix`` (n, 3 * platens) for (w, t_a, t_b) of each; tilts are
    multiplied by the platen's ``reach``, so that all motions are alike. ``free`` marks the motions that are solved for.
    """

    index: NDArray[np.int64]
    matrix: NDArray[np.float64]
    free: NDArray[np.bool_]

    def gathered(self, flat: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the forces on all the motions, in a fixed order of summation."""
        return np.asarray((self.matrix * flat[self.index][:, None].astype(float)).sum(axis=0))


def ties_of(
    kinds: NDArray[np.int8],
    spacing: tuple[float, float, float],
    platens: tuple[Platen, ...],
    origin: NDArray[np.float64],
) -> Ties:
    """Return the ties of one grid, fine or coarse, whose nodes are ``spacing`` apart and begin at ``origin``."""
    index = np.flatnonzero(kinds >= 2)
    component, *node = np.unravel_index(index, kinds.shape)
    position = np.stack([n * h for n, h in zip(node, spacing, strict=True)], axis=1) + origin
    matrix = np.zeros((index.size, 3 * len(platens)))
    free = np.ones(3 * len(platens), dtype=bool)
    for number, platen in enumerate(platens):
        mine = kinds.ravel()[index] == 2 + number
        lever = (position - np.asarray(platen.point)) / platen.reach
        for slot, axis in enumerate(platen.across):
            normal, side = mine & (component == platen.axis), mine & (component == axis)
            matrix[normal, 3 * number + 1 + slot] = lever[normal, axis]
            matrix[side, 3 * number + 1 + slot] = -lever[side, platen.axis]
        matrix[mine & (component == platen.axis), 3 * number] = 1.0
        free[3 * number : 3 * number + 3] = (platen.force is not None, *platen.tilts)
    return Ties(index.astype(np.int64), matrix, free)


def coarse_kinds(
    fine: NDArray[np.int8], coarse_nodes: NDArray[np.bool_], steps: tuple[int, int, int]
) -> NDArray[np.int8]:
    """Carry the kinds to a coarser grid.

    A coarse degree of freedom takes the kind of the fine one at its place; where that one is outside the body, the
    kind of any held neighbour: a constrained face off the coarse planes would otherwise be lost, and convergence too.
    """
    widths = [
        (1, 1 + step * (coarse - 1) + 1 - n)
        for step, coarse, n in zip(steps, coarse_nodes.shape, fine.shape[1:], strict=True)
    ]
    padded = np.pad(fine, [(0, 0), *widths], constant_values=DEAD)

    def strided(offset: tuple[int, int, int]) -> NDArray[np.int8]:
        window = tuple(
            slice(1 + o, 1 + o + step * (coarse - 1) + 1, step)
            for o, step, coarse in zip(offset, steps, coarse_nodes.shape, strict=True)
        )
        return padded[(slice(None), *window)]

    result = strided((0, 0, 0)).copy()
    nearby = np.full_like(result, DEAD)
    reaches = [(-1, 0, 1) if step == 2 else (0,) for step in steps]
    for i in reaches[0]:
        for j in reaches[1]:
            for k in reaches[2]:
                np.maximum(nearby, strided((i, j, k)), out=nearby)
    outside = result == DEAD
    result[outside] = np.maximum(nearby[outside], FREE)
    result[:, ~coarse_nodes] = DEAD
    return result
