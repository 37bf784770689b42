"""One increment of a cavity walk: equilibrium on the present shape, then walls and material move; or nothing at all."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vertecast.kernels.cavity_balance import CavityBalance, CutBody, SlotState, cut_body, spread
from vertecast.kernels.cavity_law import GAP, advance, parted
from vertecast.kernels.cavity_move import extended, moved_wall, wall_step
from vertecast.kernels.cavity_points import (
    Homes,
    cell_constants,
    changed,
    homes,
    slot_means,
    travel,
    travelled,
)
from vertecast.kernels.cavity_shape import cavity_share, node_places
from vertecast.kernels.cavity_slots import Carried, Leftover
from vertecast.kernels.cavity_spring import pulls_of
from vertecast.kernels.cavity_state import CavityProblem, CavityRecord, CavityState, Goal, WalkControl
from vertecast.kernels.newton import StepControl, equilibrium

Array = NDArray[np.float64]

_FIRST = 0.05  # share of the full step to begin with: the way from elastic to crushed is then followed
_TIGHTER = 0.1  # of the imbalance that a correction begins with: it leaves about as much as it found by moving
_SLOW = 0.8  # of the imbalance before above which a correction counts as useless
_LOOSE = (
    0.3  # relative residual of the first linear solves: far from balance gaps open and close, tight ones do not pay
)
_USUAL = 0.3  # voxels: the motion to which the gaps' drag of an increment belongs; a shorter one is a faster one
_WHOLE = 0.999  # share of material above which no wall cuts a voxel
_TOUCH = 1e-3  # share of its fluid by which a cavity may be too small before it is steered again


@dataclass(frozen=True, eq=False)
class Target:
    """One increment's end: fluid volumes where they are steered, pressures where not (NaN elsewhere), load.

    ``drag``: share of the stiffness with which open gaps resist change. ``rests``: nothing is to move but what is out
    of balance, and points keep their octants.
    """

    volumes: Array
    pressures: Array
    load: float
    drag: float = GAP
    rests: bool = False


@dataclass(frozen=True, eq=False)
class Step:
    """An increment that succeeded: its state and record, and what the next one may begin with."""

    state: CavityState
    record: CavityRecord
    memory: tuple[Array, Array]


class Stage:
    """The way from a state to a goal: how far the next increment goes.

    ``rate`` is the volume (mm³) by which a cavity's wall moves one voxel at its fastest point; learnt on the way.
    """

    def __init__(
        self,
        *,
        goal: Goal,
        control: WalkControl,
        spacing: tuple[float, float, float],
        steered: NDArray[np.bool_],
        begin: tuple[Array, float],
        rate: Array,
        at: float,
    ) -> None:
        self.goal, self.control, self.spacing = goal, control, spacing
        self.steered, self.begin, self.rate = steered, begin, rate
        self.at, self.step = at, 0.0
        self._last: Array = np.zeros(0)

    def done(self, state: CavityState) -> bool:
        """Tell whether the goal is reached."""
        if self.at < 1.0 - 1e-9:
            return False
        volumes = np.array(state.fluids(self.spacing))
        wanted = np.array([np.nan if v is None else v for v in self.goal.volumes])
        return not np.any(np.abs(volumes - wanted)[self.steered] > 5e-3 * wanted[self.steered])

    def left(self, state: CavityState) -> float:
        """Return what is still to go: shares of the steered volumes, and of the way of pressures and load."""
        volumes = np.array(state.fluids(self.spacing))[self.steered]
        wanted = np.array([v for v in self.goal.volumes if v is not None])
        return float((np.abs(volumes - wanted) / wanted).sum()) + 1.0 - self.at

    def next(self, state: CavityState, share: float) -> Target:
        """Return the end of the next increment; ``share`` below 1 after a cut."""
        volumes = np.array(state.fluids(self.spacing))
        wanted = np.array([np.nan if v is None else v for v in self.goal.volumes])
        step = share / self.control.increments
        for k in np.flatnonzero(self.steered):
            left = wanted[k] - volumes[k]
            most = share * self.control.motion * self.rate[k]
            volumes[k] += np.clip(left, -most, most)
            if self.at >= 1.0 - 1e-9:
                step = 0.0
        loose = np.isin(np.arange(volumes.size), list(loose_of(state)))
        self._last = np.where(loose, 0.0, volumes - np.array(state.fluids(self.spacing)))
        self.step = min(step, 1.0 - self.at)
        at = self.at + self.step
        pressures = np.full(volumes.size, np.nan)
        for k in np.flatnonzero(~self.steered):
            pressures[k] = self.begin[0][k] + at * (float(self.goal.pressures[k] or 0.0) - self.begin[0][k])
        drag = GAP * _USUAL / (share * self.control.motion)
        return Target(volumes, pressures, self.begin[1] + at * (self.goal.load - self.begin[1]), drag)

    def learn(self, record: CavityRecord) -> None:
        """Take the increment's wall step as the measure for the next one."""
        self.at = min(1.0, self.at + self.step)
        self._follow(record.wall_step)

    def slow(self, wall_step: float | None) -> None:
        """Learn from an increment that went too far."""
        if wall_step is not None:
            self._follow(wall_step)

    def _follow(self, wall_step: float) -> None:
        change = np.abs(self._last)
        for k in np.flatnonzero(self.steered & (change > 0)):
            seen = change[k] / max(wall_step, 1e-3)
            self.rate[k] = np.clip(seen, 0.5 * self.rate[k], 1.6 * self.rate[k])


def stage(problem: CavityProblem, state: CavityState, goal: Goal, control: WalkControl) -> Stage:
    """Begin the way to a goal, slowly: the first wall rate is a part of that of a sphere of each cavity's volume."""
    h = _FIRST * min(problem.spacing)
    rates = [h * (36.0 * np.pi * volume**2) ** (1 / 3) for volume in state.volumes(problem.spacing)]
    steered = np.array([volume is not None for volume in goal.volumes])
    begin = (np.array(state.pressures), state.load)
    still = not np.any(~steered) and state.load == goal.load
    return Stage(
        goal=goal,
        control=control,
        spacing=problem.spacing,
        steered=steered,
        begin=begin,
        rate=np.array(rates),
        at=1.0 if still else 0.0,
    )


def body_of(problem: CavityProblem, state: CavityState) -> CutBody:
    """Return the cells that bear in a state."""
    shares = tuple(cavity_share(cavity, problem.spacing) for cavity in state.cavities)
    outside = None if state.outside is None else cavity_share(state.outside, problem.spacing)
    return cut_body(shares, problem.spacing, problem.constraints, outside, state.points.filled(state.cavities[0].shape))


def slots_of(problem: CavityProblem, state: CavityState, body: CutBody) -> tuple[SlotState, Carried, Homes]:
    """Gather what the Gauss points carry from the material points, with the present constants of the law.

    ``kappa`` of the slots starts at zero in each increment: what is past is in the constants. The true one follows.
    """
    mesh, points = body.mesh, state.points
    at = homes(points, mesh)
    material = cell_constants(problem.constants, at, points, mesh, body.weight)
    carried = state.leftover.added(mesh, slot_means(at, points, mesh, body.weight > _WHOLE))
    carried.gap[:, :, np.isinf(material[3])] = 0.0  # what cannot open would pull with the gap of its neighbours
    return SlotState(carried.strain(material), carried.gap, np.zeros_like(carried.kappa), material), carried, at


@dataclass(frozen=True, eq=False)
class Ready:
    """A state made ready for an increment: its cells, what they carry, and the equations."""

    body: CutBody
    slots: SlotState
    past: Carried
    at: Homes
    balance: CavityBalance
    change: Array
    raw: float
    loose: frozenset[int]

    @property
    def steered(self) -> NDArray[np.bool_]:
        """Whether each cavity's volume is found by the balance."""
        return np.isin(np.arange(self.change.size), self.balance.free)


def ready(problem: CavityProblem, state: CavityState, target: Target, loose: frozenset[int]) -> Ready:
    """Cut the cells, gather what they carry and look how far the state is from balance.

    Parameters
    ----------
    loose : cavities that are larger than their fluid: no pressure, whatever volume
    """
    body = body_of(problem, state)
    slots, past, at = slots_of(problem, state, body)
    held = ~np.isnan(target.pressures) | np.isin(np.arange(target.volumes.size), list(loose))
    change = np.where(held, 0.0, target.volumes - np.array(state.volumes(problem.spacing)))
    balance = CavityBalance(
        body, slots, problem.law, problem.constraints,
        load=target.load * spread(problem.constraints, body.mesh),
        change=tuple(None if given else float(one) for given, one in zip(held, change, strict=True)),
        reliefs=_reliefs(problem, state, body),
        pulls=pulls_of(problem.springs, problem.constraints, body.mesh, state.platens),
        drag=target.drag,
    )  # fmt: skip
    rest = np.concatenate([np.zeros(balance.load.size), state.pressures])
    before = balance.imbalance(rest, 1.0)
    raw = balance.free_size(balance.parted(before.residual)[0]) / max(before.reference, 1e-300)
    return Ready(body, slots, past, at, balance, change, raw, loose)


def increment(
    problem: CavityProblem,
    state: CavityState,
    target: Target,
    control: WalkControl,
    memory: tuple[Array, Array] | None,
) -> Step | None:
    """Advance by one increment; None where no equilibrium is found.

    Parameters
    ----------
    memory : displacement of the increment before and the volume changes it made, to begin with

    Notes
    -----
    Fluid cannot pull: pressure >= what the skin bears, fluid <= cavity, one of the two an equality. A cavity whose
    wall would have to be drawn inwards is let loose and the increment done again; one that closes on its fluid is
    steered again.
    """
    return _touching(problem, state, target, control, (ready(problem, state, target, loose_of(state)), memory))


def _touching(
    problem: CavityProblem,
    state: CavityState,
    target: Target,
    control: WalkControl,
    begun: tuple[Ready, tuple[Array, Array] | None],
) -> Step | None:
    """Find the increment in which no cavity pulls and none is smaller than its fluid."""
    (begin, memory), kept, tried = begun, None, set[frozenset[int]]()
    while True:
        loose = begin.loose
        tried.add(loose)
        step, pulling = _solved(problem, state, target, control, (begin, memory))
        other = loose | frozenset(pulling)
        if step is not None and not pulling:
            kept = step
            volumes = step.state.volumes(problem.spacing)
            other = frozenset(k for k in loose if volumes[k] >= (1.0 - _TOUCH) * target.volumes[k])
        if other in tried:
            return kept
        begin = ready(problem, state, target, other)


def loose_of(state: CavityState) -> frozenset[int]:
    """Return the cavities whose skin has come off the wall."""
    return frozenset(k for k, slack in enumerate(state.slack) if slack > 0)


def settled(problem: CavityProblem, state: CavityState, control: WalkControl) -> tuple[CavityState, float, int]:
    """Restore the balance that the last move has upset: volumes (or pressures) and load stay as they are.

    Returns
    -------
    state, its imbalance over the forces present, and the corrections it took
    """
    held = ~np.array(state.steered) if state.steered else np.ones(len(state.cavities), dtype=bool)
    pressures = np.where(held, state.pressures, np.nan)
    best, spent = (state, np.inf), 0
    while True:
        target = Target(np.array(state.fluids(problem.spacing)), pressures, state.load, rests=True)
        begin = ready(problem, state, target, loose_of(state))
        slow = begin.raw > _SLOW * best[1] and spent > 1
        if begin.raw < best[1]:
            best = (state, begin.raw)
        if begin.raw <= control.balance or spent == control.settling or slow:
            return *best, spent
        tight = min(control.tolerance, max(0.5 * control.balance, _TIGHTER * begin.raw))
        step = _touching(problem, state, target, replace(control, tolerance=tight), (begin, None))
        if step is None:
            return *best, spent
        state, spent = step.state, spent + 1


def _solved(
    problem: CavityProblem,
    state: CavityState,
    target: Target,
    control: WalkControl,
    begun: tuple[Ready, tuple[Array, Array] | None],
) -> tuple[Step | None, tuple[int, ...]]:
    """Find the equilibrium of what is ready, then move walls and material; and tell which cavities had to pull."""
    begin, memory = begun
    body, balance = begin.body, begin.balance
    given = ~begin.steered
    x = _beginning(balance, state, begin.change, memory)
    x[balance.load.size :][given] = np.where(np.isnan(target.pressures), 0.0, target.pressures)[given]
    steps = StepControl(tolerance=control.tolerance, iterations=control.iterations, loosest=_LOOSE)
    found = equilibrium(balance, steps, x, 1.0)
    pulling = balance.pulling()
    if found is None or pulling:
        return None, pulling
    x, newton, krylov, miss = found
    u, pressures = balance.parted(x)
    moved, stored, dissipated = _advanced(problem, state, begin, target, u)
    work = _work(problem, state, balance, u, pressures, target)
    step = max(wall_step(cavity, u, body.firm, problem.spacing) for cavity in state.cavities)
    slack = _slack(moved.volumes(problem.spacing), target.volumes, begin.loose)
    new = replace(
        moved,
        pressures=tuple(float(p) for p in np.maximum(pressures, 0.0)),
        load=target.load,
        steered=tuple(bool(one) for one in np.isnan(target.pressures)),
        slack=slack,
        platens=state.platens + _platen_steps(problem, body, u),
        work=state.work + work,
        dissipated=state.dissipated + dissipated,
    )
    record = CavityRecord(
        volumes=new.volumes(problem.spacing), pressures=new.pressures, load=new.load,
        platens=tuple((float(w), float(a), float(b)) for w, a, b in new.platens),
        support=balance.support(x),
        work=new.work, stored=stored, dissipated=new.dissipated, unbalanced=begin.raw,
        imbalance=miss, wall_step=step, newton=newton, krylov=krylov, slack=slack,
    )  # fmt: skip
    return Step(new, record, (u, begin.change)), ()


def _slack(volumes: tuple[float, ...], fluids: Array, loose: frozenset[int]) -> tuple[float, ...]:
    """Return by how much each loose cavity is larger than its fluid, mm³; nothing for the others."""
    return tuple(
        max(volume - float(fluid), 0.0) if k in loose else 0.0
        for k, (volume, fluid) in enumerate(zip(volumes, fluids, strict=True))
    )


def _beginning(balance: CavityBalance, state: CavityState, change: Array, memory: tuple[Array, Array] | None) -> Array:
    """Return a start: the last increment's motion scaled by the volume changes, or rest."""
    free = balance.free
    pressures = np.asarray(state.pressures, dtype=float)
    if not free:
        return np.concatenate([np.zeros(balance.load.size), pressures])
    u = np.zeros_like(balance.load)
    if memory is not None and np.all(memory[1][free] * change[free] > 0):
        share = float(np.mean(change[free] / memory[1][free]))
        u = np.where(balance.body.mesh.nodes, min(share, 2.0) * memory[0], 0.0)
    return np.concatenate([u.ravel(), pressures])


def _reliefs(problem: CavityProblem, state: CavityState, body: CutBody) -> tuple[Array | None, ...]:
    """Return the pressure (*nodes), MPa, that each membrane takes off its fluid's at the wall's nodes."""
    places = node_places(body.mesh.node_shape, problem.spacing)
    reliefs: list[Array | None] = []
    for membrane, cavity, push in zip(problem.membranes, state.cavities, body.pushes, strict=True):
        if membrane is None:
            reliefs.append(None)
            continue
        volume = float(cavity_share(cavity, problem.spacing).sum() * np.prod(problem.spacing) / 8.0)
        touched = np.nonzero(np.any(push != 0, axis=0))
        relief = np.zeros(body.mesh.node_shape)
        outside = membrane.outside(np.stack([axis[touched] for axis in places], axis=1), volume)
        relief[touched] = membrane.resting_pressure(volume) + membrane.stiffness * np.maximum(outside, 0.0)
        reliefs.append(relief)
    return tuple(reliefs)


def _advanced(
    problem: CavityProblem, state: CavityState, begin: Ready, target: Target, u: Array
) -> tuple[CavityState, float, float]:
    """Move history, points, walls and tracers; return the state, the energy stored and what was dissipated, mJ."""
    body, slots, past, at = begin.body, begin.slots, begin.past, begin.at
    strain = body.passes.strain(u)
    strain += slots.strain
    kappa, energy = slots.kappa.copy(), np.zeros((2, body.mesh.count))
    advance(strain, slots.gap, kappa, body.weight, slots.material, begin.balance.law, problem.jam, energy)
    told = Carried(np.empty_like(strain), np.empty_like(strain), past.kappa + kappa)
    parted(strain, slots.material, told.stress, told.gap)
    points = changed(state.points, at, past, told)
    means = slot_means(at, points, body.mesh, body.weight > _WHOLE)
    du = extended(u, body.firm)
    tracers = node_places(body.mesh.node_shape, problem.spacing) + state.displacement
    flat = np.ascontiguousarray(tracers.reshape(3, -1))
    travel(flat, np.zeros((6, 0)), np.zeros((6, 0)), np.zeros(0), du, np.asarray(problem.spacing))
    moved = flat.reshape(tracers.shape) - node_places(body.mesh.node_shape, problem.spacing)
    voxel = float(np.prod(problem.spacing))
    new = replace(
        state,
        points=travelled(points, du, problem.spacing, hop=not target.rests),
        leftover=Leftover.between(body.mesh, told, means),
        displacement=moved,
        cavities=tuple(moved_wall(cavity, du, problem.spacing) for cavity in state.cavities),
        outside=None if state.outside is None else moved_wall(state.outside, du, problem.spacing),
    )
    return new, float(energy[0].sum()) * voxel, float(energy[1].sum()) * voxel


def _work(
    problem: CavityProblem, state: CavityState, balance: CavityBalance, u: Array, pressures: Array, target: Target
) -> float:
    """Return the work done on the material in the increment, mJ, by the trapezoidal rule."""
    after = sum(np.vdot(force, u) for force in balance.wall_forces(pressures))
    before = sum(np.vdot(force, u) for force in balance.wall_forces(np.asarray(state.pressures)))
    platen = float(np.vdot(spread(problem.constraints, balance.body.mesh), u))
    pulled = sum(pull.work(u) for pull in balance.pulls)
    return 0.5 * float(after + before) + 0.5 * (state.load + target.load) * platen + pulled


def _platen_steps(problem: CavityProblem, body: CutBody, u: Array) -> Array:
    """Fit each platen's motion to its nodes: mm at its point and tilts."""
    out = np.zeros((len(problem.constraints.platens), 3))
    for number, platen in enumerate(problem.constraints.platens):
        nodes = np.nonzero(platen.nodes & body.mesh.nodes)
        arms = [nodes[axis] * problem.spacing[axis] - platen.point[axis] for axis in platen.across]
        rows = np.stack([np.ones(nodes[0].size), *arms])
        out[number] = np.linalg.solve(rows @ rows.T, rows @ u[platen.axis][nodes])
    return out
