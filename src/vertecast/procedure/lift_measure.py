"""What is read off a lifted level: rise of the endplates, distances of the walls, pressures of contact."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from vertecast.core.quantities import quantity
from vertecast.kernels.bricks import corners_of
from vertecast.kernels.cavity import CavityState
from vertecast.kernels.cavity_shape import wall_points
from vertecast.procedure.fractured import FracturedLevel, Tissue
from vertecast.procedure.regions import Region
from vertecast.procedure.tools import CavityTool

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Neighbour(Enum):
    """What a cavity's wall must not reach."""

    ENDPLATE = "endplate"
    CORTEX = "cortex"
    CANAL = "canal"


_TISSUES = {
    Neighbour.ENDPLATE: (Tissue.ANNULUS, Tissue.NUCLEUS),
    Neighbour.CORTEX: (Tissue.LIGAMENT, Tissue.SLACK),
    Neighbour.CANAL: (Tissue.EPIDURAL,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """Height gained between the endplates, mean over the front, middle and back third of the body's depth."""

    front: float = quantity("mm", "gained in front")
    middle: float = quantity("mm", "gained in the middle")
    back: float = quantity("mm", "gained behind")
    angle: float = quantity("rad", "by which the endplates' wedge has opened in front")

    @property
    def by_place(self) -> tuple[float, float, float]:
        """In front, in the middle, behind; mm."""
        return self.front, self.middle, self.back


def endplate_nodes(level: FracturedLevel, *, upper: bool) -> Mask:
    """Return the nodes (nx + 1, ny + 1, nz + 1) shared by the body and the disc, or plate, above or below it."""
    body = np.asarray(level.part(level.site.regions)) == Region.BODY
    disc = (level.tissue == Tissue.ANNULUS) | (level.tissue == Tissue.NUCLEUS)
    if not disc.any():
        return level.upper if upper else level.lower
    shared = corners_of(body) & corners_of(disc)
    middle = level.centre[2] / level.site.voxel_mm
    above = np.arange(shared.shape[2]) > middle
    return np.asarray(shared & (above if upper else ~above))


def rise(level: FracturedLevel, state: CavityState, since: CavityState) -> Rise:
    """Return how much height was gained between two moments, by the motion of the endplates' own nodes."""
    move = state.displacement[2] - since.displacement[2]
    h = level.site.voxel_mm
    low, high = (np.flatnonzero(np.asarray(level.part(level.site.body)).any(axis=(0, 2)))[[0, -1]] + [0, 1]) * h
    thirds = np.linspace(low, high, 4)
    gained, lines = np.zeros(3), []
    for upper, sign in ((True, 1.0), (False, -1.0)):
        nodes = np.nonzero(endplate_nodes(level, upper=upper))
        y, z = nodes[1] * h, move[nodes]
        for third in range(3):
            inside = (y >= thirds[third]) & (y <= thirds[third + 1])
            gained[third] += sign * float(z[inside].mean())
        slope = float(np.polyfit(y, z, 1)[0])
        lines.append(sign * slope)
    return Rise(front=gained[0], middle=gained[1], back=gained[2], angle=-float(sum(lines)))


def lift_map(level: FracturedLevel, state: CavityState, since: CavityState, *, upper: bool = True) -> Field:
    """Return the endplate's rise (nx + 1, ny + 1), mm, seen from above; NaN where there is no endplate."""
    nodes = endplate_nodes(level, upper=upper)
    move = np.where(nodes, state.displacement[2] - since.displacement[2], 0.0).sum(axis=2)
    count = nodes.sum(axis=2)
    return np.where(count > 0, move / np.maximum(count, 1), np.nan)


def clearances(level: FracturedLevel, state: CavityState) -> tuple[dict[Neighbour, float], ...]:
    """Return, for each cavity, the least distance (mm) of its wall to each neighbouring tissue as it lies now."""
    points, half = state.points, 0.25 * level.site.voxel_mm
    trees = {}
    for what, tissues in _TISSUES.items():
        there = np.isin(points.label, tissues)
        if there.any():
            trees[what] = cKDTree(points.place[:, there].T)
    found = []
    for cavity in state.cavities:
        wall, _ = wall_points(cavity, level.spacing)
        found.append({what: max(0.0, float(tree.query(wall)[0].min()) - half) for what, tree in trees.items()})
    return tuple(found)


def contact_pressures(
    tools: tuple[CavityTool, ...], level: FracturedLevel, state: CavityState
) -> tuple[tuple[float, float], ...]:
    """Return mean and highest pressure, MPa, of each tool on the bone: its fluid's less what its own skin bears."""
    found = []
    volumes = state.volumes(level.spacing)
    for tool, cavity, pressure, volume in zip(tools, state.cavities, state.pressures, volumes, strict=True):
        wall, _ = wall_points(cavity, level.spacing)
        borne = tool.skin.resting_pressure(volume)
        held = tool.skin.stiffness * np.maximum(tool.skin.outside(wall, volume), 0.0)
        felt = np.maximum(pressure - borne - held, 0.0)
        found.append((float(felt.mean()), float(felt.max())))
    return tuple(found)
