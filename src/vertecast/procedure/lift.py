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
from vertecast.kernels.bricks import lame_parameters
from vertecast.kernels.cavity import (
    CavityProblem,
    CavityRecord,
    CavityState,
    Goal,
    WalkControl,
    WalkStatus,
    begun,
    walk,
)
from vertecast.kernels.cavity_shape import capsule
from vertecast.kernels.constraints import Constraints, Platen, Sides
from vertecast.kernels.foam_law import NO_SIDEWAYS, FoamLaw
from vertecast.physics.bone import BoneLaw, load_law, modulus, yield_stress
from vertecast.physics.bone_density import DensityKind, convert_density, load_conversions
from vertecast.physics.bone_yield import DeepCrush, PostYield, densification, load_deep_crush, load_post_yield
from vertecast.procedure.balloon import BalloonSettings, load_balloon
from vertecast.procedure.fractured import FracturedLevel, Tissue
from vertecast.procedure.tools import CavityTool, Force

Field = NDArray[np.float64]

_ROOM = 0.02
"""Porosity that is left where the yield stress is taken as locked: closer, and the factor has no bound."""
ELASTIC = 1e3
"""MPa: yield stress of what does not yield here (discs, ligaments)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BoneConstants:
    """The law's constants of the kernel's cells.

    The number the material points carry as ``damage`` is the density before the balloon, so that compaction is known.

    Parameters
    ----------
    strength : factor on the yield stress; 1 but for sensitivity studies
    """

    level: FracturedLevel
    law: BoneLaw
    post: PostYield
    crush: DeepCrush
    kvp: float
    strength: float = 1.0

    def __call__(self, density: Field, damage: Field, kappa: Field, label: NDArray[np.int64]) -> Field:
        """Return (4, n), MPa: lambda, mu, yield stress, tension cut-off."""
        settings, discs, virgin = self.level.settings, self.level.discs, np.asarray(damage, float)
        young = np.full(virgin.shape, settings.ligament_modulus)
        poisson = np.full(virgin.shape, settings.ligament_poisson)
        strength, cutoff = np.full(virgin.shape, ELASTIC), np.full(virgin.shape, np.inf)
        for tissue, e, nu in (
            (Tissue.ANNULUS, discs.annulus_modulus, discs.annulus_poisson),
            (Tissue.NUCLEUS, discs.nucleus_modulus, discs.nucleus_poisson),
        ):
            young[label == tissue], poisson[label == tissue] = e, nu
        own = (label == Tissue.BONE) | (label == Tissue.BAND)
        bone = own & (virgin > settings.floor_density)
        young[own], poisson[own] = settings.marrow_modulus, settings.ligament_poisson
        young[bone], poisson[bone] = modulus(virgin[bone], self.law), self.law.modulus.poisson
        strength[own] = self.strength * yield_stress(np.maximum(virgin[own], settings.floor_density), self.law)
        strength[own] *= self._hardened(density[own], virgin[own])
        young[own] *= 1.0 - self.post.stiffness_loss * self._lost(kappa[own], self.post.stiffness_scale)
        strength[own] *= 1.0 - self.post.strength_loss * self._lost(kappa[own], self.post.strength_scale)
        band = label == Tissue.BAND
        if np.isfinite(settings.cutoff_share):
            cutoff[band] = settings.cutoff_share * strength[band]
        lame, shear = lame_parameters(young, poisson)
        return np.stack([lame, shear, strength, cutoff])

    def _lost(self, kappa: Field, scale: float) -> Field:
        """Return the share of the loss that crush has brought; not scaled to the voxel, for nothing localises here."""
        return np.asarray(1.0 - np.exp(-np.maximum(kappa - self.post.onset, 0.0) / scale))

    def _hardened(self, density: Field, virgin: Field) -> Field:
        """Return the factor by which compaction has raised the yield stress."""
        apparent = convert_density(
            virgin, DensityKind.K2HPO4, DensityKind.APPARENT, load_conversions().values, kvp=self.kvp
        )
        lock = 1.0 - apparent / self.crush.tissue_density - _ROOM
        compaction = np.clip(1.0 - virgin / np.maximum(density, 1e-9), 0.0, np.maximum(lock, 0.0))
        return densification(compaction, np.minimum(apparent, 0.9 * self.crush.tissue_density), self.crush)


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
    moments : kept by name: standing, prone, inflated, deflated
    """

    level: FracturedLevel
    tools: tuple[CavityTool, ...]
    settings: BalloonSettings
    problem: CavityProblem
    state: CavityState
    curve: tuple["CurvePoint", ...] = ()
    ended: Mapping[Side, str] = field(default_factory=dict)
    moments: Mapping[str, CavityState] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    uses: tuple[ParameterUse, ...] = ()

    def keeping(self, name: str) -> "Lift":
        """Return the lift with the present state kept under a name."""
        return replace(self, moments=MappingProxyType({**self.moments, name: self.state}))

    @property
    def volumes(self) -> tuple[float, ...]:
        """Volumes of the cavities, mm³."""
        return self.state.volumes(self.level.spacing)

    def injected(self, record: CavityRecord) -> tuple[float, ...]:
        """Return what has been pushed into each tool, mm³: its cavity and what the line took up."""
        return tuple(
            volume + self.settings.line_compliance * pressure
            for volume, pressure in zip(record.volumes, record.pressures, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One increment of the pressure-volume curve; a number a tool."""

    injected: tuple[float, ...]
    volumes: tuple[float, ...]
    pressures: tuple[float, ...]
    lift: float = quantity("mm", "motion of the upper endplate's middle since the patient lay prone")


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
    )
    state = begun(
        problem, cavities=cavities, density=level.density, damage=level.density, label=level.tissue,
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
    steps = control or WalkControl(increments=2)
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
