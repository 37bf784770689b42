"""A fractured level with its cavity tools in equilibrium: what inflating, letting go and measuring act on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.observer import SILENT, Observer
from vertecast.core.parameters import ParameterUse
from vertecast.core.quantities import quantity
from vertecast.core.sides import Side
from vertecast.kernels.cavity import (
    CavityProblem,
    CavityRecord,
    CavityState,
    Goal,
    PlatenSpring,
    WalkControl,
    WalkStatus,
    begun,
    walk,
)
from vertecast.kernels.cavity_shape import capsule
from vertecast.kernels.constraints import Constraints, Platen, Sides
from vertecast.kernels.foam_law import NO_SIDEWAYS, FoamLaw
from vertecast.physics.bone import load_law
from vertecast.physics.bone_density import DensityKind
from vertecast.physics.bone_yield import load_deep_crush, load_post_yield
from vertecast.procedure.balloon import BalloonSettings, load_balloon
from vertecast.procedure.fractured import FracturedLevel, Tissue
from vertecast.procedure.lift_material import BoneConstants
from vertecast.procedure.lift_trail import Trail
from vertecast.procedure.tools import CavityTool, Force

Field = NDArray[np.float64]

STEPS = WalkControl(tolerance=5e-2, iterations=60)
"""How a lift is walked: bone that crushes and tears at once finds equilibrium slowly; a walk ends at rest."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Lift:
    """A level with tools in place.

    Parameters
    ----------
    tools : one a cavity, in order
    problem : of the kernel
    state : now
    curve : of every increment since inflation began: injected volumes (mm³) and pressures (MPa) by tool
    ended : why each side's inflation ended; sides that have not ended are missing
    stopped : s since the inflation began when it did
    pauses : what was done at the rated pressure on the way
    moments : kept by name: standing, prone, inflated, deflated
    trail : the way there; None before the inflation
    began : s on the procedure's clock when the inflation began
    """

    level: FracturedLevel
    tools: tuple[CavityTool, ...]
    settings: BalloonSettings
    problem: CavityProblem
    state: CavityState
    curve: tuple["CurvePoint", ...] = ()
    ended: Mapping[Side, str] = field(default_factory=dict)
    stopped: Mapping[Side, float] = field(default_factory=dict)
    pauses: tuple["Pause", ...] = ()
    moments: Mapping[str, CavityState] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    uses: tuple[ParameterUse, ...] = ()
    trail: Trail | None = None
    began: float = quantity("s", "on the procedure's clock, when the inflation began", default=0.0)

    def keeping(self, name: str) -> "Lift":
        """Return the lift with the present state kept under a name."""
        return replace(self, moments=MappingProxyType({**self.moments, name: self.state}))

    @property
    def volumes(self) -> tuple[float, ...]:
        """Volumes of the cavities, mm³."""
        return self.state.volumes(self.level.spacing)

    @property
    def fluids(self) -> tuple[float, ...]:
        """Fluid in the tools, mm³: less than the cavity where the skin has come off the bone."""
        return self.state.fluids(self.level.spacing)

    @property
    def seconds(self) -> float:
        """Since the inflation began, s."""
        return self.curve[-1].seconds if self.curve else 0.0

    def injected(self, record: CavityRecord) -> tuple[float, ...]:
        """Return what has been pushed into each tool, mm³: the fluid in its cavity and what the line took up."""
        slack = record.slack or (0.0,) * len(record.volumes)
        return tuple(
            volume - off + self.settings.line_compliance * pressure
            for volume, off, pressure in zip(record.volumes, slack, record.pressures, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One increment of the pressure-volume curve; a number a tool, and s since the inflation began."""

    injected: tuple[float, ...]
    volumes: tuple[float, ...]
    pressures: tuple[float, ...]
    lift: float = quantity("mm", "motion of the upper endplate's middle since the patient lay prone")
    seconds: float = quantity("s", "since the inflation began", default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A tool that stopped at its rated pressure with its valve closed, or went on when the pressure had fallen."""

    side: Side
    goes_on: bool
    seconds: float = quantity("s", "since the inflation began")
    pressure: float = quantity("MPa", "at the gauge")


def begin_lift(
    level: FracturedLevel,
    tools: tuple[CavityTool, ...],
    *,
    settings: BalloonSettings | None = None,
    strength: float = 1.0,
    alpha: float = NO_SIDEWAYS,
    load: float | None = None,
) -> Lift:
    """Cut the first cavities and hang the level between its neighbours, still without load.

    Parameters
    ----------
    strength : factor on the bone's yield stress
    alpha : shape of its yield surface
    load : N on the free platen; the prone patient's when None
    """
    loaded, law, crush, post = load_balloon(), load_law(), load_deep_crush(), load_post_yield("crush")
    force = level.settings.prone_load if load is None else load
    if law.kind is not DensityKind.K2HPO4:
        raise AssertionError("the default bone law takes the CT's own density")
    nodes = tuple(n + 1 for n in level.tissue.shape)
    cavities = tuple(capsule(nodes, level.spacing, _listed(tool), tool.start_radius) for tool in tools)
    problem = CavityProblem(
        spacing=level.spacing,
        constraints=_held(level, force),
        law=FoamLaw(alpha=alpha, hardening=level.settings.hardening),
        constants=BoneConstants(
            level=level, law=law, post=post.values, crush=crush.values, kvp=level.site.tube_voltage, strength=strength
        ),
        membranes=tuple(tool.skin if tool.force is not Force.CUTTING else None for tool in tools),
        jam=level.settings.jam,
        springs=_posterior(level),
    )
    tissue, whole = _out_to_the_surface(level)
    present = np.asarray(whole * level.crushed(tissue))
    state = begun(
        problem, cavities=cavities, density=present, damage=whole,
        label=tissue,
        outside=_outside(level),
    )  # fmt: skip
    crushed = np.where(state.points.label == Tissue.BAND, level.settings.crush_strain, 0.0)
    state = replace(state, points=replace(state.points, kappa=crushed))
    return Lift(
        level=level, tools=tools, settings=settings or loaded.values, problem=problem, state=state,
        uses=(*level.uses, *loaded.uses, *law.uses, *crush.uses, *post.uses),
    )  # fmt: skip


def lie_down(lift: Lift, *, observer: Observer = SILENT, control: WalkControl | None = None) -> Lift:
    """Let the patient stand, then lie prone: what lying down alone regains is the fracture's mobility.

    Keeps the moments ``standing`` and ``prone``.
    """
    settings = lift.level.settings
    force = lift.problem.constraints.platens[0].force
    assert force is not None
    scales = [("prone", 1.0)] if force == 0 else [("standing", -settings.standing_load / force), ("prone", 1.0)]
    steps = control or replace(STEPS, increments=2)
    for name, scale in scales:
        empty = (0.0,) * len(lift.tools)
        done = walk(
            lift.problem,
            lift.state,
            Goal(volumes=(None,) * len(empty), pressures=empty, load=scale),
            control=steps,
            observer=observer,
        )
        notes = lift.notes
        if done.status is WalkStatus.STALLED:
            notes = (*notes, f"{name}: no equilibrium beyond load scale {done.state.load:.2f} of {scale:.2f}")
        lift = replace(lift, state=done.state, notes=notes).keeping(name)
    return lift


def _listed(tool: CavityTool) -> tuple[list[float], list[float]]:
    first, last = tool.ends
    return first.tolist(), last.tolist()


def _held(level: FracturedLevel, force: float) -> Constraints:
    fixed = np.zeros((3, *level.lower.shape), bool)
    fixed[:, level.lower] = True
    x, y, _ = level.centre
    height = float(np.argwhere(level.upper)[:, 2].mean() * level.site.voxel_mm)
    platen = Platen(nodes=level.upper, axis=2, point=(x, y, height), sides=Sides.BONDED, force=-force)
    return Constraints(fixed, None, (platen,))


def _out_to_the_surface(level: FracturedLevel) -> tuple[NDArray[np.int16], Field]:
    """Return tissue and density of every cell, outside the nearest one's: the smoothed surface reaches a little out.

    As tissue of their own these points were a taut skin all round.
    """
    void = level.tissue == Tissue.VOID
    if not void.any():
        return level.tissue, level.density
    nearest = tuple(ndimage.distance_transform_edt(void, return_distances=False, return_indices=True))
    return np.asarray(level.tissue[nearest]), np.asarray(level.density[nearest])


def _posterior(level: FracturedLevel) -> tuple[PlatenSpring, ...]:
    """Return the posterior column: half of the facets' and posterior ligaments' stiffness at each facet joint."""
    height = float(np.argwhere(level.upper)[:, 2].mean() * level.site.voxel_mm)
    stiffness = 0.5 * level.settings.posterior_stiffness
    return tuple(PlatenSpring(platen=0, point=(x, y, height), stiffness=stiffness) for x, y in level.facets)


def _outside(level: FracturedLevel) -> Field:
    """Return the distance to what is material, on the nodes: negative outside."""
    material, h = level.tissue != Tissue.VOID, level.site.voxel_mm
    wide = np.pad(material, 1, mode="edge")
    inner = ndimage.distance_transform_edt(wide, sampling=h) - 0.5 * h
    outer = ndimage.distance_transform_edt(~wide, sampling=h) - 0.5 * h
    cells = np.where(wide, inner, -outer)
    total = np.zeros(tuple(n + 1 for n in material.shape))
    for i in (0, 1):
        for j in (0, 1):
            for k in (0, 1):
                total += cells[tuple(slice(o, o + n) for o, n in zip((i, j, k), total.shape, strict=True))]
    return total / 8.0
