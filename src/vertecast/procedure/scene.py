"""What the fluoroscope sees of a procedure at one moment: needles in place, cement where it has got to."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.devices.fills import CementCard
from vertecast.fluoro.scene import Scene, Shape, Tube, VoxelField
from vertecast.physics.attenuation import Material, opacified
from vertecast.procedure.events import EventKind
from vertecast.procedure.leaks import in_vein
from vertecast.procedure.needle import Needle
from vertecast.procedure.state import LevelState, State

_FILLERS = {"BaSO4": "barium_sulfate", "ZrO2": "zirconia"}
_LIQUID_SHARE = 1.0 / 3.0
"""Mass of liquid in mixed cement: two parts of powder to one of liquid, physics.md 2.2 (about 0.33)."""


def cement_material(card: CementCard, materials: Mapping[str, Material]) -> Material:
    """Return the X-ray material of a cement: PMMA with its opacifier as diluted by the liquid."""
    if not card.visible or card.opacifier not in _FILLERS:
        return materials["pmma"]
    share = card.opacifier_fraction * (1.0 - _LIQUID_SHARE)
    return opacified(materials["pmma"], materials[_FILLERS[card.opacifier]], share)


def scene_at(state: State, time: float, card: CementCard, materials: Mapping[str, Material]) -> Scene:
    """Return the scene at a time of the procedure's clock, s; needles that were in place then, cement that had arrived.

    Arrival says when a cell was first reached; its final amount is shown from then on.
    """
    steel, cement = materials["steel_316l"], cement_material(card, materials)
    shapes: list[Shape] = []
    for name, level in state.levels.items():
        for needle in needles_at(state, name, time):
            back = needle.entry_lps - needle.tip_lps
            away = back / np.linalg.norm(back) * needle.length
            shapes.append(Tube(needle.tip_lps, needle.tip_lps + away, needle.outer_radius, needle.inner_radius, steel))
        fraction = fraction_at(level, time)
        if fraction.any():
            shapes.append(VoxelField(fraction, level.bed.site.grid, cement))
        if level.ended is not None and time >= level.ended:
            shapes += vein_casts(level, cement)
    return Scene(tuple(shapes))


def fraction_at(level: LevelState, time: float) -> NDArray[np.float32]:
    """(nx, ny, nz): volume of cement per cell at a time, s."""
    here = level.arrival <= time
    return np.asarray(np.where(here, np.clip(level.cement_fraction, 0.0, 1.0), 0.0), np.float32)


def vein_casts(level: LevelState, cement: Material) -> list[Shape]:
    """Return the cement in veins outside the body, each as a rod along the vein."""
    if level.flow is None:
        return []
    casts: list[Shape] = []
    site = level.bed.site
    to_lps = site.vert_from_lps.inverse
    for drain in level.bed.drains:
        length, _ = in_vein(drain, level.flow)
        if drain.vein is None or length < 0.5:
            continue
        start = drain.vein.course[0]
        ends = to_lps.apply(np.array([start, start + drain.vein.outward * length]))
        casts.append(Tube(ends[0], ends[1], drain.vein.radius, 0.0, cement))
    return casts


def needles_at(state: State, name: Level, time: float) -> tuple[Needle, ...]:
    """Return the needles of a level that were in place at a time, s, by the events."""
    placed: set[Side] = set()
    for event in state.stream():
        if event.level is not name or event.side is None:
            continue
        if event.kind is EventKind.ACCESS and event.t_s <= time:
            placed.add(event.side)
        elif event.kind is EventKind.NEEDLE_REMOVED and event.t_s < time:  # at that very moment it is still in
            placed.discard(event.side)
    return tuple(needle for side, needle in state.at(name).tools.items() if side in placed)


def filling_time(state: State, name: Level, share: float) -> float:
    """Return when a share of a level's cement was in, s, by its progress events; the first injection's start for 0."""
    done, side_done = 0.0, 0.0
    current: Side | None = None
    times: list[float] = []
    volumes: list[float] = []
    for event in state.stream():
        if event.level is not name:
            continue
        if event.kind is EventKind.INJECTION_STARTED:
            if event.side is not current:
                done, side_done, current = done + side_done, 0.0, event.side
            times.append(event.t_s)
            volumes.append(done + side_done)
        elif event.kind is EventKind.PROGRESS:
            side_done = float(event.data["injected_ml"] or 0.0)
            times.append(event.t_s)
            volumes.append(done + side_done)
    if not times:
        return state.time
    return float(np.interp(share * volumes[-1], volumes, times))
