"""The geometry of one vertebra from its label alone: frame, endplates, heights, wedge, size."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.levels import Level
from vertecast.core.parameters import Loaded, ParameterUse, load_parameters
from vertecast.core.quantities import Measured, quantity
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.angles import AngleSettings, PlateTilt, plate_tilt, wedge_angle
from vertecast.spine.depth_map import DepthMap, map_depth
from vertecast.spine.endplate_edge import CtEdge
from vertecast.spine.endplate_profile import EdgeSettings
from vertecast.spine.endplates import BodySurface, Side, SurfaceSettings
from vertecast.spine.foramen import find_foramen
from vertecast.spine.frame import FramedBody, frame_body
from vertecast.spine.heights import HeightSettings, SixPoints, measure_heights
from vertecast.spine.integrity import IntegrityLimits, Piece
from vertecast.spine.orientation import index_between, straightened
from vertecast.spine.split import corpus_from_subregions

_AXIS_DECIMALS = 9  # of the first guess, so that rounding in the affine does not reach the search

WITHOUT_BODY = {
    Level.C1: "C1 is a ring without a body",
    Level.C2: "C2 carries the dens, so it has no superior endplate to measure to",
}
"""Levels that have no six points, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeLimits:
    """What a measurable body looks like; ``data/spine/size.toml``."""

    thick_from: float = quantity("mm", "voxel step along the vertebra's z from which heights are flagged thick")
    least_height: float = quantity("mm", "a body lower than this is a fragment of a label")
    least_depth: float = quantity("mm", "a body less deep than this is a fragment of a label")
    wall_error: float = quantity("1", "standard deviation of the body's outer surface, in voxel steps, for its volume")


@dataclass(frozen=True, eq=False)
class Settings:
    """All settings of the geometry, with where they come from."""

    integrity: IntegrityLimits
    surface: SurfaceSettings
    edge: EdgeSettings
    heights: HeightSettings
    angles: AngleSettings
    size: SizeLimits
    uses: tuple[ParameterUse, ...]

    @classmethod
    def shipped(cls) -> "Settings":
        """Load the settings of ``data/spine``."""
        integrity: Loaded[IntegrityLimits] = load_parameters("spine/integrity.toml", IntegrityLimits)
        surface: Loaded[SurfaceSettings] = load_parameters("spine/surface.toml", SurfaceSettings)
        edge: Loaded[EdgeSettings] = load_parameters("spine/endplate_edge.toml", EdgeSettings)
        heights: Loaded[HeightSettings] = load_parameters("spine/heights.toml", HeightSettings)
        angles: Loaded[AngleSettings] = load_parameters("spine/angles.toml", AngleSettings)
        size: Loaded[SizeLimits] = load_parameters("spine/size.toml", SizeLimits)
        uses = integrity.uses + surface.uses + edge.uses + heights.uses + angles.uses + size.uses
        return cls(integrity.values, surface.values, edge.values, heights.values, angles.values, size.values, uses)


@dataclass(frozen=True, eq=False)
class VertebraGeometry:
    """What the label of one vertebra tells.

    Parameters
    ----------
    anatomy : split and frame
    surface : endplate surfaces in the frame
    six : heights in three sagittal planes
    wedge, lateral_wedge : degrees
    depth_maps : of both endplates
    tilt : endplate planes in LPS
    volume : mm³, of the body
    symmetry : share of the bone round the canal that finds its mirror image
    cut_faces : image borders that cut the body
    flags : short names of what limits the measurement
    """

    anatomy: Anatomy
    surface: BodySurface
    six: SixPoints
    wedge: Measured
    lateral_wedge: Measured
    depth_maps: dict[Side, DepthMap]
    tilt: PlateTilt
    volume: Measured
    symmetry: float
    cut_faces: tuple[str, ...]
    flags: tuple[str, ...]


def measure_geometry(
    piece: Piece, axis_lps: NDArray[np.float64], settings: Settings, volume: Volume | None = None
) -> VertebraGeometry:
    """Measure one vertebra from its label, and its endplates from the CT where there is one.

    Parameters
    ----------
    axis_lps : (3,), unit, superior; a first guess within some 40 degrees
    volume : the CT on the labels' grid, in the same canonical order

    Raises
    ------
    GeometryError
        If the label is no vertebra with a body: a fragment, an arch alone, or too few voxels.
    """
    if piece.mask.sum() < settings.integrity.least_voxels:
        raise GeometryError(
            f"{piece.level} has {int(piece.mask.sum())} voxels, {settings.integrity.least_voxels:.0f} are needed"
        )
    framed, closed = _framed(piece, axis_lps, settings, volume)
    surface = framed.surface
    six = measure_heights(surface, settings.heights)
    _require_body(piece.level, six, settings.size)
    wedge, lateral = wedge_angle(surface, six, settings.angles)
    anatomy = Anatomy(piece.level, piece.grid, piece.mask, framed.body, piece.mask & ~framed.body, framed.vert_from_lps)
    step = max(surface.superior.step, surface.inferior.step)
    flags = ["thick"] if step >= settings.size.thick_from else []
    if not closed:
        flags.append("open_arch")
    if framed.vert_from_lps.axes[0] @ piece.grid.directions[:, 0] < 0:
        flags.append("left_right_against_image")
    cut = _cut_faces(piece, framed.body)
    return VertebraGeometry(
        anatomy,
        surface,
        six,
        wedge,
        lateral,
        {
            Side.SUPERIOR: map_depth(surface.superior, settings.heights.staircase_error),
            Side.INFERIOR: map_depth(surface.inferior, settings.heights.staircase_error),
        },
        plate_tilt(framed.vert_from_lps, surface, six.depth, settings.angles),
        _body_volume(piece, framed.body, settings.size),
        framed.symmetry,
        cut,
        tuple(flags + (["cut_by_border"] if cut else [])),
    )


def _framed(
    piece: Piece, axis_lps: NDArray[np.float64], settings: Settings, volume: Volume | None
) -> tuple[FramedBody, bool]:
    """Split and frame a vertebra in the image's own axes; return its frame in LPS, and whether its arch is closed."""
    grid, straight_from_lps = straightened(piece.grid)
    straight = replace(piece, grid=grid)
    edge = None
    if volume is not None:
        matrix = grid.lps_from_voxel.matrix.copy()
        matrix[:3, 3] = grid.to_lps(-index_between(volume.grid, piece.grid))
        placed = replace(volume, grid=Grid.from_affine(volume.grid.shape, matrix))
        edge = CtEdge(placed, settings.edge, settings.surface.inner_share)
    axis = np.round(straight_from_lps.apply_directions(axis_lps), _AXIS_DECIMALS) + 0.0
    foramen = find_foramen(straight, axis / np.linalg.norm(axis))
    framed = frame_body(straight, foramen, settings.surface, corpus_from_subregions(piece), edge)
    return replace(framed, vert_from_lps=framed.vert_from_lps @ straight_from_lps), foramen.closed


def _require_body(level: Level, six: SixPoints, limits: SizeLimits) -> None:
    height, depth = float(six.middle.heights.max()), six.depth
    if height < limits.least_height or depth < limits.least_depth:
        raise GeometryError(
            f"the body of {level} measures {height:.1f} mm in height and {depth:.1f} mm in depth, at least "
            f"{limits.least_height:.0f} and {limits.least_depth:.0f} mm are needed; its label is a fragment"
        )


def _cut_faces(piece: Piece, body: NDArray[np.bool_]) -> tuple[str, ...]:
    where = np.argwhere(piece.mask)
    low, high = where.min(axis=0), where.max(axis=0)
    names = (("right", "left"), ("anterior", "posterior"), ("inferior", "superior"))
    cut = []
    for axis in range(3):
        ends = (np.take(body, low[axis], axis=axis), np.take(body, high[axis], axis=axis))
        cut += [name for name, end in zip(names[axis], ends, strict=True) if name in piece.open_faces and end.any()]
    return tuple(cut)


def _body_volume(piece: Piece, body: NDArray[np.bool_], limits: SizeLimits) -> Measured:
    volume = float(body.sum()) * piece.grid.voxel_volume
    slack = 0.0
    for axis in range(3):
        faces = float(np.abs(np.diff(body.astype(np.int8), axis=axis)).sum())
        slack += faces * piece.grid.voxel_volume * limits.wall_error
    method = "voxels of the body; interval = its surface shifted"
    return Measured(volume, max(volume - 1.96 * slack, 0.0), volume + 1.96 * slack, method)
