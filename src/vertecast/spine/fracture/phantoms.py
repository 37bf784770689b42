"""A phantom with a fractured vertebra: warped at analytic landmarks, its truth evaluated anew on the warped surface."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level
from vertecast.spine.fracture.fracture import Fractured, Landmarks, fracture_vertebra
from vertecast.spine.fracture.spec import FractureSpec, load_warp_shape
from vertecast.spine.fracture.warp import Warp
from vertecast.spine.phantom.morphometry import Distance, measure_surface
from vertecast.spine.phantom.phantom import Phantom
from vertecast.spine.phantom.placement import Placed, world_from_patient
from vertecast.spine.phantom.truth import LevelTruth, PedicleTruth, body_box, body_distance, level_truth

_NODE_MM = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class FracturedPhantom:
    """A phantom after a fracture; its truth holds for the fractured spine, ``fractured.truth`` for what was done."""

    phantom: Phantom
    fractured: Fractured


def fracture_phantom(phantom: Phantom, level: Level, spec: FractureSpec, *, seed: int = 0) -> FracturedPhantom:
    """Fracture one vertebra of a phantom.

    Notes
    -----
    The asked loss is taken at the phantom's analytic six points. The vertebra's heights, endplates, frame and volume
    are evaluated anew on
    the warped analytic surface; its density is the mineral-conserving mean, density times volume before per volume
    after; vertebrae above have moved
    rigidly, those below not at all. The canal's area is that before a bulge and None with one.
    """
    before = phantom.truth.levels[level]
    labels = phantom.labels_with_subregions
    landmarks = Landmarks(points_lps=before.points_lps)
    done = fracture_vertebra(phantom.volume, labels, level, spec, landmarks=landmarks, seed=seed)
    assert done.volume is not None
    assert done.labels.subregions is not None
    levels = {}
    for one, truth in phantom.truth.levels.items():
        if one is level:
            levels[one] = _fractured_truth(phantom, level, done)
        else:
            levels[one] = truth.moved(done.truth.above_from_before) if one.rank < level.rank else truth
    after = replace(
        phantom,
        volume=done.volume,
        labels=replace(done.labels, subregions=None),
        subregions=done.labels.subregions,
        truth=replace(phantom.truth, levels=levels),
    )
    return FracturedPhantom(after, done)


def _fractured_truth(phantom: Phantom, level: Level, done: Fractured) -> LevelTruth:
    placed = next(one for one in phantom.placed if one.shape.level is level)
    before, world = phantom.truth.levels[level], world_from_patient(phantom.spec)
    lps_from_own = Transform(world.matrix @ placed.patient_from_own, LPS, f"own:{level}")
    form = measure_surface(_warped(placed, lps_from_own, done.warp), body_box(placed))
    squeezed = before.volume_mm3 / form.volume_mm3
    marrow = load_warp_shape().values.marrow_hu
    hu = marrow + (before.trabecular_hu - marrow) * squeezed
    after = level_truth(placed, form, lps_from_own, (hu, phantom.spec))
    return replace(
        after,
        pedicles={side: _moved(pedicle, done.warp) for side, pedicle in before.pedicles.items()},
        canal_area_mm2=before.canal_area_mm2 if done.truth.wall_bulge_mm == 0.0 else None,
    )


def _warped(placed: Placed, lps_from_own: Transform, warp: Warp) -> Distance:
    """The body's surface after the warp: where a place came from tells whether it is inside.

    The way back is found on nodes and interpolated between them by cubic splines, which costs some micrometres.
    """
    before = body_distance(placed)
    half = body_box(placed)
    nodes = [np.arange(-h, h + _NODE_MM, _NODE_MM) for h in half]
    grid = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1)
    flat = grid.reshape(-1, 3)
    back = lps_from_own.inverse.apply(warp.backward(lps_from_own.apply(flat))) - flat
    fields = [ndimage.spline_filter(back[:, k].reshape(grid.shape[:3]), 3) for k in range(3)]

    def distance(points: NDArray[np.float64]) -> NDArray[np.float64]:
        index = ((points + half) / _NODE_MM).T
        shift = [ndimage.map_coordinates(f, index, order=3, prefilter=False, mode="nearest") for f in fields]
        return before(points + np.stack(shift, axis=-1))

    return distance


def _moved(pedicle: PedicleTruth, warp: Warp) -> PedicleTruth:
    """Carry a pedicle along; the arch keeps its shape, so its sizes stay."""
    ends = np.stack([pedicle.centre_lps, pedicle.centre_lps - pedicle.axis_lps, pedicle.centre_lps + pedicle.axis_lps])
    moved = warp.forward(ends)
    axis = moved[2] - moved[1]
    return replace(pedicle, centre_lps=moved[0], axis_lps=axis / np.linalg.norm(axis))
