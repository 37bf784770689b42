"""Fracture one vertebra of a CT with labels, and write down exactly what was done."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level
from vertecast.core.quantities import quantity
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.spine.fracture.lesions import Lesion, add_lesions
from vertecast.spine.fracture.pose import PLANES, STATIONS, Points, Pose, find_pose
from vertecast.spine.fracture.resample import carry
from vertecast.spine.fracture.solve import make_warp
from vertecast.spine.fracture.spec import FractureSpec, load_warp_shape
from vertecast.spine.fracture.warp import Warp

_CHECKED, _ROUND_TRIP_MM = 4000, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Landmarks that do not come from the labels: analytic on a phantom, or body centres on a CT.

    Parameters
    ----------
    centres_lps : (3,) per level, mm: body centres (``centroids.json``); they guide the pose
    points_lps : per plane and station (2, 3), mm: superior and inferior point; the asked loss is taken there
    """

    centres_lps: Mapping[Level, ArrayLike] | None = None
    points_lps: Points | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FractureTruth:
    """What the warp did, taken from the warp itself.

    Parameters
    ----------
    before_lps, after_lps : per plane and station (2, 3), mm: where the landmarks were and where they went
    above_from_before : rigid; how everything above the vertebra moved
    mineral_ratio : sum of HU above marrow's in the bone, after per before; None without a CT
    """

    level: Level
    landmarks: str
    before_lps: Points
    after_lps: Points
    above_from_before: Transform
    mineral_ratio: float | None
    lesions: tuple[Lesion, ...]
    tilt_deg: float = quantity("deg", "how far the superior endplate and all above it turned forward")
    wall_bulge_mm: float = quantity("mm", "displacement of the posterior wall that was asked")
    least_volume_ratio: float = quantity("1", "smallest Jacobian determinant on the lattice")
    greatest_volume_ratio: float = quantity("1", "largest Jacobian determinant on the lattice")
    round_trip_mm: float = quantity("mm", "largest error of going forward and back")

    def height_mm(self, plane: str, station: str, *, after: bool) -> float:
        """Distance of the superior from the inferior landmark."""
        upper, lower = (self.after_lps if after else self.before_lps)[plane][station]
        return float(np.linalg.norm(upper - lower))

    def loss_percent(self, station: str, plane: str = "mid") -> float:
        """Height lost at a station, per cent of the height before."""
        return 100.0 * (1.0 - self.height_mm(plane, station, after=True) / self.height_mm(plane, station, after=False))

    def as_json(self) -> dict[str, Any]:
        """Return the file ``fracture_truth.json``."""
        return {
            "level": self.level.value,
            "landmarks": self.landmarks,
            "definitions": "docs/methods/heights.md",
            "imposed_loss_percent": {p: {s: self.loss_percent(s, p) for s in STATIONS} for p in PLANES},
            "heights_before_mm": {p: {s: self.height_mm(p, s, after=False) for s in STATIONS} for p in PLANES},
            "heights_after_mm": {p: {s: self.height_mm(p, s, after=True) for s in STATIONS} for p in PLANES},
            "landmarks_before_lps": _listed(self.before_lps),
            "landmarks_after_lps": _listed(self.after_lps),
            "tilt_deg": self.tilt_deg,
            "above_from_before": self.above_from_before.matrix.tolist(),
            "wall_bulge_mm": self.wall_bulge_mm,
            "lesions": [lesion.as_json() for lesion in self.lesions],
            "volume_ratio": {"least": self.least_volume_ratio, "greatest": self.greatest_volume_ratio},
            "round_trip_mm": self.round_trip_mm,
            "mineral_ratio": self.mineral_ratio,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Fractured:
    """A CT with a fractured vertebra; ``volume`` is None when labels alone were given."""

    volume: Volume | None
    labels: LabelMap
    truth: FractureTruth
    warp: Warp


def fracture_vertebra(
    volume: Volume | None,
    labels: LabelMap,
    level: Level,
    spec: FractureSpec,
    *,
    landmarks: Landmarks | None = None,
    seed: int = 0,
) -> Fractured:
    """Collapse one vertebra by a smooth, invertible warp.

    Parameters
    ----------
    volume : the CT, or None to warp labels alone (lesions then need a CT and are refused)
    landmarks : where the asked loss is taken and what guides the pose; None: the fracture's own simple reading of the
        labels, with the points
        at 10, 50 and 90 % of each endplate's depth as in docs/methods/heights.md
    seed : of the impaction band's gentle irregularity

    Notes
    -----
    The vertebra below and all under it stay; the vertebra above and all over it move rigidly and tilt with the
    superior endplate; the arch of
    the vertebra keeps its shape. Soft tissue follows smoothly. The warp is checked: positive Jacobian on the lattice,
    and forward then back returns to within 0.1 mm.

    Raises
    ------
    GeometryError
        For a grid that differs, a label without a body and a canal, or a collapse too deep to be invertible.
    """
    if volume is not None and not volume.grid.same_as(labels.grid):
        raise GeometryError("the CT and its labels are on different grids; resample the labels onto the CT")
    if volume is None and (spec.cleft or spec.breach):
        raise GeometryError("a cleft or a breach is drawn into a CT, but only labels were given; give the CT too")
    given = landmarks or Landmarks()
    pose = find_pose(labels, level, given.centres_lps)
    if given.points_lps is not None:
        pose = replace(pose, points=_mapped(given.points_lps, pose.own_from_lps))
    shape = load_warp_shape().values
    warp = make_warp(labels, level, pose, (spec, shape), seed=seed)
    carried = carry(volume, labels, level, warp, marrow_hu=shape.marrow_hu)
    lesions: tuple[Lesion, ...] = ()
    warped = carried.volume
    if warped is not None and (spec.cleft or spec.breach):
        hu, lesions = add_lesions(warped, carried.share, pose, warp, spec)
        warped = replace(warped, hu=hu)
    truth = _truth(labels, level, (pose, warp, spec), (carried.mineral_ratio, lesions))
    how = (
        "given points" if given.points_lps is not None else "given centres" if given.centres_lps else "own, from labels"
    )
    return Fractured(warped, carried.labels, replace(truth, landmarks=how), warp)


def _truth(
    labels: LabelMap,
    level: Level,
    work: tuple[Pose, Warp, FractureSpec],
    outcome: tuple[float | None, tuple[Lesion, ...]],
) -> FractureTruth:
    pose, warp, spec = work
    before = _mapped(pose.points, pose.own_from_lps.inverse)
    after = {p: {s: warp.forward(pair) for s, pair in stations.items()} for p, stations in before.items()}
    m = warp.motion
    own = np.eye(4)
    own[:3, :3] = m.rotation
    own[:3, 3] = m.hinge - m.rotation @ m.hinge - [0.0, 0.0, m.drop]
    name = pose.own_from_lps.target
    above = pose.own_from_lps.inverse @ Transform(own, name, name) @ pose.own_from_lps
    return FractureTruth(
        level=level,
        landmarks="",
        before_lps=before,
        after_lps=after,
        above_from_before=Transform(above.matrix, LPS, LPS),
        mineral_ratio=outcome[0],
        lesions=outcome[1],
        tilt_deg=float(np.degrees(m.turn)),
        wall_bulge_mm=spec.wall_bulge_mm,
        least_volume_ratio=float(warp.determinant.min()),
        greatest_volume_ratio=float(warp.determinant.max()),
        round_trip_mm=_round_trip(labels, level, warp),
    )


def _round_trip(labels: LabelMap, level: Level, warp: Warp) -> float:
    """Largest error of forward then back over places in and round the vertebra; refused when it is not small."""
    voxels = np.argwhere(labels.mask(level))
    places = labels.grid.to_lps(voxels[:: max(1, len(voxels) // _CHECKED)])
    error = float(np.abs(warp.backward(warp.forward(places)) - places).max())
    if error > _ROUND_TRIP_MM:
        raise GeometryError(f"{level}: the warp misses by {error:.2f} mm going forward and back; ask for less loss")
    return error


def _mapped(points: Points, transform: Transform) -> dict[str, dict[str, NDArray[np.float64]]]:
    return {p: {s: transform.apply(pair) for s, pair in stations.items()} for p, stations in points.items()}


def _listed(points: Points) -> dict[str, dict[str, dict[str, list[float]]]]:
    return {
        p: {s: {"superior": pair[0].tolist(), "inferior": pair[1].tolist()} for s, pair in stations.items()}
        for p, stations in points.items()
    }
