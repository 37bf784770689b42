"""What a cavity walk is given and what it returns: problem, state, goal, control, record."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import ParameterError
from vertecast.kernels.cavity_points import MaterialPoints
from vertecast.kernels.cavity_shape import cavity_volume
from vertecast.kernels.cavity_slots import Leftover
from vertecast.kernels.cavity_spring import PlatenSpring
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.foam_law import FoamLaw

Array = NDArray[np.float64]


class CellConstants(Protocol):
    """The material law's constants of cells, from what their material points carry."""

    def __call__(self, density: Array, damage: Array, kappa: Array, label: NDArray[np.int64], torn: Array, /) -> Array:
        """Return (4, n), MPa: lambda, mu, yield stress, tension cut-off (``inf``: none).

        ``torn`` is the largest strain by which a gap has been open so far.
        """


class Membrane(Protocol):
    """A skin between the fluid and the wall with a shape of its own.

    The wall feels ``p - resting_pressure(V) - stiffness * max(0, distance outside the free shape at V)``, never less
    than nothing: it cannot pull.
    """

    @property
    def stiffness(self) -> float:
        """MPa per mm outside the free shape."""

    def resting_pressure(self, volume: float) -> float:
        """Pressure, MPa, that fills it to ``volume`` in the open."""

    def outside(self, places: Array, volume: float) -> Array:
        """Distance, mm, of (n, 3) places outside the free shape at ``volume``; negative inside."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CavityProblem:
    """What does not change along a walk.

    Parameters
    ----------
    spacing : mm
    constraints : supports that do not move; platens under force, at load scale 1
    membranes : one for each cavity, None for the bare fluid
    law : the ellipse; its ``hardening`` acts within an increment only: in the next, ``constants`` has the word
    jam : share of a gap's opening that does not close again
    springs : on the platens, without force at the beginning
    """

    spacing: tuple[float, float, float]
    constraints: Constraints
    law: FoamLaw
    constants: CellConstants
    membranes: tuple[Membrane | None, ...]
    jam: float = 0.0
    springs: tuple[PlatenSpring, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.jam <= 1.0:
            raise ParameterError(f"jam = {self.jam} is a share, 0 to 1")
        if self.constraints.values is not None and np.any(self.constraints.values[self.constraints.fixed]):
            raise ParameterError("supports of a cavity walk stand still; load it by platens under force")
        if self.law.strength_loss > 0 or self.law.stiffness_loss > 0:
            raise ParameterError("what is lost with kappa is said by ``constants`` in a cavity walk, not by the law")
        if any(platen.force is None for platen in self.constraints.platens):
            raise ParameterError("platens of a cavity walk are under force; give Platen(force=...)")
        if any(not 0 <= spring.platen < len(self.constraints.platens) for spring in self.springs):
            raise ParameterError(f"a spring needs one of the {len(self.constraints.platens)} platens to pull on")


@dataclass(frozen=True, eq=False, kw_only=True)
class CavityState:
    """A body with its cavities at rest.

    Parameters
    ----------
    cavities : distance fields on the nodes, negative inside
    outside : distance field, negative where there is neither material nor cavity; None when all is material
    pressures : MPa, one a cavity
    load : scale of the platens' forces
    steered : per cavity, whether its volume was given when this state was found (else its pressure)
    leftover : what the grid's Gauss points know beyond the points
    displacement : (3, *nodes), mm, of the material that began at each node
    platens : (platens, 3): motion of each platen since the beginning, mm at its point, and its two tilts
    work, dissipated : mJ since the beginning
    slack : per cavity, mm³ by which it is larger than the fluid in it: the skin has come off the wall and does not pull
    """

    cavities: tuple[Array, ...]
    outside: Array | None
    points: MaterialPoints
    leftover: Leftover
    displacement: Array
    pressures: tuple[float, ...]
    load: float
    platens: Array
    work: float
    dissipated: float
    steered: tuple[bool, ...] = ()
    slack: tuple[float, ...] = ()

    def volumes(self, spacing: tuple[float, float, float]) -> tuple[float, ...]:
        """Return the cavities' volumes, mm³."""
        return tuple(cavity_volume(cavity, spacing) for cavity in self.cavities)

    def fluids(self, spacing: tuple[float, float, float]) -> tuple[float, ...]:
        """Return the fluid in each cavity, mm³: its volume but for what the skin has come off by."""
        volumes = self.volumes(spacing)
        return tuple(v - s for v, s in zip(volumes, self.slack or (0.0,) * len(volumes), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class CavityRecord:
    """One increment: where it ended and what it cost.

    Parameters
    ----------
    support : N, resultant the fixed nodes exert on the body
    unbalanced : imbalance left by the last move over the forces present, before this increment restored it
    imbalance : the same after it
    wall_step : voxels, the farthest any wall moved
    stored : mJ in the body now; ``work`` and ``dissipated`` since the beginning
    slack : mm³ by which each cavity is larger than its fluid
    """

    volumes: tuple[float, ...]
    pressures: tuple[float, ...]
    load: float
    platens: tuple[tuple[float, float, float], ...]
    support: tuple[float, float, float]
    work: float
    stored: float
    dissipated: float
    unbalanced: float
    imbalance: float
    wall_step: float
    newton: int
    krylov: int
    slack: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Where a walk ends: for each cavity a volume (mm³) or a pressure (MPa), the other None; and the load's scale.

    A volume is that of the fluid: where the wall goes away faster, the skin comes off it (``slack``); nothing pulls.
    """

    volumes: tuple[float | None, ...]
    pressures: tuple[float | None, ...]
    load: float = 1.0

    def __post_init__(self) -> None:
        for number, (volume, pressure) in enumerate(zip(self.volumes, self.pressures, strict=True)):
            if (volume is None) == (pressure is None):
                raise ParameterError(f"cavity {number}: give its volume or its pressure, exactly one of them")
            if (volume is not None and not volume > 0) or (pressure is not None and not pressure >= 0):
                raise ParameterError(f"cavity {number}: volume {volume} must be > 0, pressure {pressure} >= 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkControl:
    """How a walk is stepped.

    Parameters
    ----------
    motion : voxels a wall may move in an increment
    increments : least number of steps for pressures and load
    tolerance : imbalance over present forces
    iterations : Newton corrections before a step is cut
    cuts : times a step may be halved in a row before the walk stalls
    most : increments after which it stalls
    idle : the same in a row without headway: the bone moves, and the goal comes no nearer
    balance : imbalance over present forces that the walk's last state may have, counted anew after its last move
    settling : corrections without change of volume or load that may be spent on that
    """

    motion: float = 0.3
    increments: int = 6
    tolerance: float = 2e-3
    iterations: int = 25
    cuts: int = 5
    most: int = 200
    idle: int = 4
    balance: float = 0.01
    settling: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.motion <= 1 or self.increments < 1 or not 0 < self.tolerance < 1 or self.iterations < 1:
            raise ParameterError(f"motion and tolerance must lie in 0-1, counts be >= 1, got {self}")


class WalkStatus(Enum):
    """How a walk ended."""

    COMPLETE = "complete"
    STOPPED = "stopped by the watcher"
    STALLED = "no equilibrium beyond the last state, or no headway"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """The last good state with its balance restored, every increment's record, and how it ended.

    Parameters
    ----------
    records : pressures are those while the wall moved; at rest (``state.pressures``) they are a little lower
    reason : the watcher's word when STOPPED
    unbalanced : imbalance of ``state`` over the forces present, as its material and walls are now
    settling : corrections spent on restoring it
    """

    status: WalkStatus
    state: CavityState
    records: tuple[CavityRecord, ...]
    reason: str
    cuts: int
    unbalanced: float = 0.0
    settling: int = 0


Watch = Callable[[CavityState, CavityRecord], "str | None"]
