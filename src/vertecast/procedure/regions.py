"""What surrounds the treated body, cell by cell: its own bone, discs, canal, foramina, neighbours, soft tissue."""

from dataclasses import dataclass
from enum import Enum, IntEnum

import numpy as np
from numpy.typing import NDArray

from vertecast.core.quantities import quantity

Mask = NDArray[np.bool_]
Codes = NDArray[np.uint8]


class Region(IntEnum):
    """Where a cell of the site lies; the number is stored in the array."""

    SOFT = 0
    BODY = 1
    ARCH = 2
    DISC = 3
    CANAL = 4
    FORAMEN = 5
    NEIGHBOUR = 6


class Route(Enum):
    """The ways by which cement leaves the vertebra, with the letters of the CT classification where it has one."""

    BASIVERTEBRAL = "B"
    SEGMENTAL = "S"
    CORTICAL = "C"
    DISC = "D"
    CANAL = "canal"

    @property
    def is_venous(self) -> bool:
        """Whether it is a vein."""
        return self in (Route.BASIVERTEBRAL, Route.SEGMENTAL)

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForamenSize:
    """Where the foramina are looked for, and the canal where the labels do not show it."""

    width: float = quantity("mm", "width of the foramen beside the canal")
    depth: float = quantity("mm", "depth of the foramen behind the posterior wall")
    canal_half_width: float = quantity("mm", "half-width of a canal that the labels do not show")
    canal_depth: float = quantity("mm", "depth of a canal that the labels do not show")


OWN_BONE = (Region.BODY, Region.ARCH)
"""The treated vertebra: cement in it has not leaked."""

ROUTE_OF = {
    Region.SOFT: Route.CORTICAL,
    Region.DISC: Route.DISC,
    Region.CANAL: Route.CANAL,
    Region.FORAMEN: Route.CANAL,
}
"""The route of cement that lies in a region outside the vertebra: compartments do not communicate with each other."""


def own_bone(regions: Codes) -> Mask:
    """Mark the cells of the treated vertebra."""
    return np.asarray((regions == Region.BODY) | (regions == Region.ARCH))


def disc_cells(body: Mask, neighbour: Mask | None, reach: int, *, above: bool) -> Mask:
    """Mark the disc above or below a body: what lies between its endplate and the neighbour's, column by column.

    Parameters
    ----------
    body, neighbour : (nx, ny, nz), z superior; without a neighbour the disc is ``reach`` cells thick
    reach : cells; thickness of a disc whose other endplate is not in the labels, and half the largest thickness of one
        whose endplate is
    """
    solid = body if above else body[:, :, ::-1]
    other = None if neighbour is None else (neighbour if above else neighbour[:, :, ::-1])
    nz = body.shape[2]
    level = np.arange(nz)
    column: Mask = np.any(solid, axis=2)
    top = np.where(column, nz - 1 - np.argmax(solid[:, :, ::-1], axis=2), nz)
    if other is None:
        end = np.where(column, top + reach + 1, 0)
    else:
        past = other & (level > top[..., None])
        met: Mask = np.any(past, axis=2)
        end = np.where(column & met, np.argmax(past, axis=2), 0)
        end = np.where(end - top <= 2 * reach + 1, end, 0)
    found = (level > top[..., None]) & (level < end[..., None])
    return np.asarray(found if above else found[:, :, ::-1])


def canal_cells(lumen: Mask, bone: Mask) -> Mask:
    """Carry the canal's lumen over the whole height of the grid, less what is bone."""
    footprint: Mask = np.any(lumen, axis=2)
    return np.asarray((footprint[:, :, None] & ~bone) | lumen)


def foramen_cells(
    lines: tuple[NDArray[np.float64], NDArray[np.float64]], canal: Mask, wall: float, size: ForamenSize
) -> Mask:
    """Mark the nerve roots' foramina: beside the canal, just behind the posterior wall, as far as its own height.

    Parameters
    ----------
    lines : x and y of the grid in the vertebral frame, mm
    canal : (nx, ny, nz)
    wall : y of the posterior wall, mm
    """
    x, y = lines
    across: Mask = np.any(canal, axis=(1, 2))
    half = float(np.abs(x[across]).max()) if across.any() else size.canal_half_width
    beside = (np.abs(x) > half) & (np.abs(x) <= half + size.width)
    behind = (y > wall) & (y <= wall + size.depth)
    return np.broadcast_to(beside[:, None, None] & behind[None, :, None], canal.shape) & ~canal
