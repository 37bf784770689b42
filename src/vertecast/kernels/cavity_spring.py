"""Springs between a platen and the ground in a cavity walk: what joins it to its neighbour beside the body itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError
from vertecast.kernels.bricks import BrickMesh
from vertecast.kernels.constraints import Constraints, Platen
from vertecast.kernels.elastic import Operator

Array = NDArray[np.float64]
Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class PlatenSpring:
    """A spring between the ground and a point of a platen, along the platen's axis, alike in both directions.

    Parameters
    ----------
    platen : which of the problem's
    point : (3,), mm in grid coordinates; it may lie far from the body
    stiffness : N/mm
    """

    platen: int
    point: Point
    stiffness: float

    def __post_init__(self) -> None:
        if not np.isfinite([self.stiffness, *self.point]).all() or self.stiffness < 0:
            raise ParameterError(
                f"stiffness of a platen's spring = {self.stiffness} N/mm must be finite and >= 0, its point "
                f"{self.point} finite"
            )


@dataclass(frozen=True, eq=False)
class Pull:
    """A spring on one body's nodes.

    Parameters
    ----------
    unit : (3, *nodes), nodal forces that equal a unit force at its point; ``unit . u`` is the point's motion
    stiffness : N/mm
    stretch : mm, its elongation when the increment begins
    """

    unit: Array
    stiffness: float
    stretch: float

    def force(self, u: Array) -> Array:
        """Return the nodal forces (3, *nodes), N, after the increment of displacement ``u``."""
        return np.asarray(-self.stiffness * (self.stretch + float(np.vdot(self.unit, u))) * self.unit)

    def work(self, u: Array) -> float:
        """Return the work, mJ, done on the body along ``u``."""
        motion = float(np.vdot(self.unit, u))
        return -self.stiffness * (self.stretch + 0.5 * motion) * motion


class Sprung:
    """An operator with the springs' stiffness added: one rank each, as flat fields of the operator's mesh."""

    def __init__(self, operator: Operator, springs: list[tuple[Array, float]]) -> None:
        self.operator = operator
        self.springs = [(np.flatnonzero(unit), unit[unit != 0], stiffness) for unit, stiffness in springs]

    @property
    def mesh(self) -> BrickMesh:
        """The bricks."""
        return self.operator.mesh

    def apply(self, x: Any, out: Any) -> None:
        """Write K x into ``out``."""
        self.operator.apply(x, out)
        for index, values, stiffness in self.springs:
            out[index] += stiffness * float(values @ x[index]) * values


def pulls_of(
    springs: tuple[PlatenSpring, ...], constraints: Constraints, mesh: BrickMesh, platens: Array
) -> tuple[Pull, ...]:
    """Return the springs on a body's nodes; ``platens`` (platens, 3) are the motions so far, mm and tilts."""
    out = []
    for spring in springs:
        platen = constraints.platens[spring.platen]
        arms = [spring.point[axis] - platen.point[axis] for axis in platen.across]
        stretch = float(np.dot(platens[spring.platen], [1.0, *arms]))
        out.append(Pull(unit_force(platen, mesh, spring.point), spring.stiffness, stretch))
    return tuple(out)


def unit_force(platen: Platen, mesh: BrickMesh, point: Point) -> Array:
    """Return nodal forces (3, *nodes) under a platen that equal 1 N along its axis at ``point``, spread linearly."""
    out: Array = np.zeros((3, *mesh.node_shape))
    nodes = np.nonzero(platen.nodes & mesh.nodes)
    arms = [nodes[axis] * mesh.spacing[axis] - platen.point[axis] for axis in platen.across]
    rows = np.stack([np.ones(nodes[0].size), *arms])
    wanted = np.array([1.0, *(point[axis] - platen.point[axis] for axis in platen.across)])
    out[platen.axis][nodes] = rows.T @ np.linalg.solve(rows @ rows.T, wanted)
    return out
