"""After the balloon: heights measured as on a CT, the site that the cement meets, the numbers of the summary."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import GeometryError
from vertecast.core.quantities import Measured
from vertecast.imaging.grid import Grid
from vertecast.imaging.resample import signed_distance
from vertecast.imaging.volume import LabelMap
from vertecast.kernels.cavity import CavityState
from vertecast.procedure.fractured import FracturedLevel
from vertecast.procedure.lift import Lift
from vertecast.procedure.lift_measure import contact_pressures, rise
from vertecast.procedure.lift_trail import cell_share
from vertecast.procedure.regions import Region
from vertecast.procedure.site import Site
from vertecast.spine.heights import Place
from vertecast.spine.measure import LevelShape, measure_shape

Field = NDArray[np.float64]
_BACKWARDS = 6  # rounds in which the place before is found from the place now
_FINE = 0.6  # mm, about: voxels of a displaced label
_MEASURED = ("inflated", "deflated")
"""Moments worth measuring: lying down moves a bone by less than a label tells."""
_ROOM = 8.0  # mm kept round it
_AT_ONCE = 2  # moments; NumPy and SciPy let go of the interpreter for most of the work


@dataclass(frozen=True, eq=False)
class Displacement:
    """How the material of a level has moved since the CT.

    Parameters
    ----------
    level : whose part of the grid the nodes are on
    nodes : (3, *nodes), mm
    """

    level: FracturedLevel
    nodes: Field

    @classmethod
    def of(cls, level: FracturedLevel, state: CavityState) -> "Displacement":
        """Return it at a state."""
        return cls.between(level, state.displacement, state.platens)

    @classmethod
    def between(cls, level: FracturedLevel, displacement: Field, platens: Field) -> "Displacement":
        """Return it with the vertebra above moving as the rigid body it is taken as."""
        nodes = displacement.copy()
        h = level.site.voxel_mm
        places = np.indices(nodes.shape[1:]) * h
        move, tilt_x, tilt_y = platens[0]
        x, y, _ = level.centre
        rigid = move + tilt_x * (places[0] - x) + tilt_y * (places[1] - y)
        above = np.zeros(nodes.shape[1:], bool)
        cells = np.asarray(level.part(level.site.regions)) == Region.NEIGHBOUR
        cells[:, :, : int(level.centre[2] / h)] = False
        above[1:, 1:, 1:] |= cells
        above[:-1, :-1, :-1] |= cells
        nodes[2] = np.where(above & ~level.upper, rigid, nodes[2])
        return cls(level, nodes)

    def at(self, places: Field) -> Field:
        """Return the motion (3, ...), mm along the grid's axes, of what was at (3, ...) mm from the part's corner."""
        index = places / self.level.site.voxel_mm
        return np.stack([ndimage.map_coordinates(one, index, order=1, mode="nearest") for one in self.nodes])

    def before(self, places: Field) -> Field:
        """Return where what is at ``places`` (3, ...) now was before."""
        source = places.copy()
        for _ in range(_BACKWARDS):
            source = places - self.at(source)
        return source


def displaced_labels(lift: Lift, state: CavityState, labels: LabelMap) -> LabelMap:
    """Return the label of the level alone, carried along by the displacement of a moment, on a finer grid.

    Notes
    -----
    The label's surface is where its signed distance, by cubic splines, is zero; the distance is read where the material
    came from. Voxels are a share of the label's own, so that a motion below their size is not lost.
    """
    level, site = lift.level, lift.level.site
    mask = labels.mask(site.level)
    room = np.ceil(_ROOM / labels.grid.spacing).astype(int)
    ends = np.argwhere(mask)
    low = np.maximum(ends.min(axis=0) - room, 0)
    high = np.minimum(ends.max(axis=0) + 1 + room, mask.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    distance = signed_distance(mask[box], labels.grid.spacing)
    finer = np.maximum(np.round(labels.grid.spacing / _FINE), 1.0)
    scale = np.eye(4)
    scale[:3, :3] = np.diag(1.0 / finer)
    scale[:3, 3] = low + 0.5 / finer - 0.5
    shape = tuple(int(n) for n in (high - low) * finer)
    grid = Grid.from_affine(shape, labels.grid.lps_from_voxel.matrix @ scale)
    moved = Displacement.of(level, state)
    far = float(np.abs(moved.nodes).max()) * np.sqrt(3.0) + float(labels.grid.spacing.max())
    coefficients = ndimage.spline_filter(distance, 3, output=np.float32)
    out = np.zeros(shape, labels.labels.dtype)
    for i in range(shape[0]):
        index = np.indices((1, *shape[1:])).reshape(3, -1).T + np.array([i, 0, 0])
        lps = grid.to_lps(index)
        still = _sampled(coefficients, labels.grid.to_voxel(lps).T - low[:, None])
        near = np.abs(still) < far  # the rest cannot have changed sides
        source = moved.before(level.places(lps[near]).T)
        there = level.lps(source)
        still[near] = _sampled(coefficients, labels.grid.to_voxel(there).T - low[:, None])
        out[i] = np.where(still.reshape(shape[1:]) > 0, labels.values[site.level], 0)
    return LabelMap(out, grid, {site.level: labels.values[site.level]}, labels.dialect)


def _sampled(coefficients: NDArray[np.float32], index: Field) -> NDArray[np.float32]:
    return np.asarray(ndimage.map_coordinates(coefficients, index, order=3, mode="nearest", prefilter=False))


def measured_moments(lift: Lift, labels: LabelMap) -> dict[str, LevelShape | str]:
    """Measure the level inflated and let go with the code that measures a CT; a sentence where it cannot be measured.

    ``ct`` is the label as given, by the same way.
    """
    still = replace(lift.state, displacement=np.zeros_like(lift.state.displacement), platens=0.0 * lift.state.platens)
    states = {"ct": still, **{name: state for name, state in lift.moments.items() if name in _MEASURED}}

    def measured(state: CavityState) -> LevelShape | str:
        try:
            one = measure_shape(displaced_labels(lift, state, labels), lift.level.site.level)
        except GeometryError as exc:
            return str(exc)
        return one if one.reason is None else one.reason

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(states, pool.map(measured, states.values()), strict=True))


def site_after(lift: Lift, site: Site) -> Site:
    """Return a site as the cement meets it: regions moved, bone as dense as it was made, the cavity open.

    Parameters
    ----------
    site : of the same level before the lift, on its own grid
    """
    level, shape = lift.level, site.grid.shape
    here = level.places(site.grid.to_lps(np.indices(shape).reshape(3, -1).T)).T
    source = Displacement.of(level, lift.state).before(here)
    index = np.rint(site.grid.to_voxel(level.lps(source))).astype(int).T
    index = np.clip(index, 0, np.reshape(shape, (3, 1)) - 1)
    regions = site.regions[tuple(index)].reshape(shape)
    denser = ndimage.map_coordinates(compaction(lift), level.cells(here), order=1, mode="nearest")
    density = site.density[tuple(index)].reshape(shape) * denser.reshape(shape)
    open_ = np.any([in_cavity(lift, k, here).reshape(shape) for k in range(len(lift.tools))], axis=0)
    own = np.isin(regions, (Region.BODY, Region.ARCH))
    regions = np.where(open_ & own, Region.BODY, regions).astype(np.uint8)
    cleft = (open_ & own) | (site.cleft[tuple(index)].reshape(shape) & (regions == Region.BODY))
    limit = float(site.density.max())
    return replace(site, regions=regions, density=np.minimum(density, limit).astype(np.float32), cleft=cleft)


def in_cavity(lift: Lift, number: int, places: Field) -> NDArray[np.bool_]:
    """Tell which places (3, n), mm from the part's corner, a cavity holds now."""
    share = cell_share(lift.state.cavities[number], lift.level.spacing)
    return np.asarray(ndimage.map_coordinates(share, lift.level.cells(places), order=1, mode="constant") > 0.5)


def compaction(lift: Lift) -> Field:
    """Return how many times denser than before the bone of each cell is, (nx, ny, nz) of the part; 1 where none is."""
    points, h = lift.state.points, lift.level.site.voxel_mm
    own = np.isin(points.label, (1, 2))
    cell = np.floor(points.place[:, own] / h).astype(int)
    cell = np.clip(cell, 0, np.reshape(lift.level.tissue.shape, (3, 1)) - 1)
    flat = np.ravel_multi_index(tuple(cell), lift.level.tissue.shape)
    size = lift.level.tissue.size
    before = np.bincount(flat, (points.mass / points.damage / lift.level.crushed(points.label))[own], size)
    now = np.bincount(flat, points.volume[own], size)
    ratio = np.divide(before, now, out=np.ones(size), where=now > 0)
    return ratio.reshape(lift.level.tissue.shape)


def lift_fields(lift: Lift) -> dict[str, tuple[NDArray[np.float32], str]]:
    """Return the arrays of the lift on the site's grid by file stem, each with what it holds."""
    level, shape = lift.level, lift.level.site.grid.shape
    box = tuple(slice(c, c + n) for c, n in zip(level.corner, level.tissue.shape, strict=True))

    def whole(part: NDArray[Any], fill: float) -> NDArray[np.float32]:
        out = np.full(shape, fill, np.float32)
        out[box] = part
        return out

    fields = {
        "compaction": (whole(compaction(lift), 1.0), "density after the tool over that before"),
        "tissue": (whole(level.tissue, 0.0), "1 bone, 2 crushed band, 3 annulus, 4 nucleus, 5 ligament, 6 epidural"),
    }
    if lift.trail is not None:
        arrival = np.where(np.isfinite(lift.trail.arrival), lift.began + lift.trail.arrival, np.nan)
        fields["balloon_arrival_s"] = (
            whole(arrival, np.nan), "when each voxel was first inside a cavity, s on the procedure's clock",
        )  # fmt: skip
    for name in ("inflated", "deflated"):
        state = lift.moments[name]
        cavity = np.sum([cell_share(one, level.spacing) for one in state.cavities], axis=0)
        fields[f"cavity_{name}"] = (whole(cavity, 0.0), f"share of each voxel that is cavity, {name}")
        nodes = Displacement.of(level, state).nodes
        for axis, letter in enumerate("xyz"):
            cells = ndimage.uniform_filter(nodes[axis], 2, origin=-1)[:-1, :-1, :-1]
            fields[f"displacement_{letter}_{name}_mm"] = (
                whole(cells, 0.0), f"motion since the CT along the vertebra's {letter}, {name}, mm",
            )  # fmt: skip
    return fields


def keyframe_fields(lift: Lift) -> list[tuple[float, str, NDArray[np.float32]]]:
    """Return at most eight moments: s on the procedure's clock, name, and displacement (nx, ny, nz, 3), LPS mm."""
    if lift.trail is None:
        return []
    level = lift.level
    box = tuple(slice(c, c + n) for c, n in zip(level.corner, level.tissue.shape, strict=True))
    lps_from_site = level.site.grid.directions
    found = []
    for frame in lift.trail.keyframes():
        nodes = Displacement.between(level, frame.displacement.astype(float), frame.platens).nodes
        cells = np.stack([ndimage.uniform_filter(one, 2, origin=-1)[:-1, :-1, :-1] for one in nodes], axis=-1)
        out = np.zeros((*level.site.grid.shape, 3), np.float32)
        out[box] = cells @ lps_from_site.T
        found.append((lift.began + frame.seconds, frame.moment, out))
    return found


def lift_summary(lift: Lift, measured: Mapping[str, LevelShape | str]) -> dict[str, Any]:
    """Return the level's ``lift`` entry of ``simulation.json``."""
    level = lift.level
    prone = lift.moments["prone"]
    standing = lift.moments.get("standing")
    moments = {
        name: {
            "rise_mm": dict(zip(_PLACES, rise(level, state, prone).by_place, strict=True)),
            "angle_deg": float(np.degrees(rise(level, state, prone).angle)),
            "cavity_ml": [volume / 1000.0 for volume in state.volumes(level.spacing)],
            "pressure_bar": [10.0 * pressure for pressure in state.pressures],
            "contact_pressure_bar": [
                {"mean": 10.0 * mean, "highest": 10.0 * most}
                for mean, most in contact_pressures(lift.tools, level, state)
            ],
        }
        for name, state in lift.moments.items()
    }
    return {
        "tools": [{"name": tool.name, "side": tool.side.value, "stays": tool.stays} for tool in lift.tools],
        "ended": {side.value: why for side, why in lift.ended.items()},
        "mobility_mm": None
        if standing is None
        else dict(zip(_PLACES, rise(level, prone, standing).by_place, strict=True)),
        "density_mg_cm3": {
            "ct": 1000.0 * level.density_ct,
            "mapped_from_neighbours": None if level.density_mapped is None else 1000.0 * level.density_mapped,
        },
        "moments": moments,
        "measured": {name: _measured_json(one) for name, one in measured.items()},
        "curve": [
            {
                "injected_ml": [v / 1000.0 for v in point.injected],
                "cavity_ml": [v / 1000.0 for v in point.volumes],
                "pressure_bar": [10.0 * p for p in point.pressures],
                "lift_mm": point.lift,
            }
            for point in lift.curve
        ],
        "dissipated_mj": lift.state.dissipated,
        "notes": list(lift.notes),
    }


_PLACES = tuple(place.value for place in Place)


def _measured_json(one: LevelShape | str) -> dict[str, Any]:
    if isinstance(one, str):
        return {"reason": one}
    return {
        "heights_mm": {place.value: _value(q) for place, q in one.heights_mm.items()},
        "wedge_angle_deg": _value(one.wedge_angle_deg),
    }


def _value(quantity: Measured) -> float | None:
    return None if quantity.value is None else float(quantity.value)
