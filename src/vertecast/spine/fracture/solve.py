"""Find the motion that takes the asked share of height away at the landmarks."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from vertecast.core.errors import GeometryError
from vertecast.core.levels import Level
from vertecast.imaging.volume import LabelMap
from vertecast.spine.fracture.pose import Pose
from vertecast.spine.fracture.spec import FractureSpec, WarpShape
from vertecast.spine.fracture.warp import Motion, Warp
from vertecast.spine.fracture.weights import greatest_strain, make_weights

_LEAST_DETERMINANT, _TRIES = 0.05, 8


def make_warp(labels: LabelMap, level: Level, pose: Pose, task: tuple[FractureSpec, WarpShape], *, seed: int) -> Warp:
    """Build the warp; it is smoothed more until it is invertible everywhere.

    Raises
    ------
    GeometryError
        When the asked collapse folds space whatever the smoothing.
    """
    spec, shape = task
    shape = _eased(pose, spec, shape)
    smoothing = shape.smoothing
    for _ in range(_TRIES):
        weights = make_weights(labels, level, pose, shape, smoothing=smoothing, rng=np.random.default_rng(seed))
        motion = _solved(pose, spec, Warp.build(pose.own_from_lps, weights, _rest(pose, spec)))
        warp = Warp.build(pose.own_from_lps, weights, motion)
        least = float(warp.determinant.min())
        if least > _LEAST_DETERMINANT:
            return warp
        smoothing *= 1.3
    raise GeometryError(
        f"{level}: the collapse folds space (volume ratio {least:.2f}, needs {_LEAST_DETERMINANT}); ask for less loss"
    )


def _eased(pose: Pose, spec: FractureSpec, shape: WarpShape) -> WarpShape:
    """Flatten the impaction band where the collapse is too deep for it."""
    lost = [loss * height for loss, height in zip(_losses(pose, spec), _heights(pose), strict=True)]
    beyond = (lost[0] - lost[2]) / 8.0
    at_walls = [lost[0] + beyond, lost[1], lost[2] - beyond]
    need = (1.0 + 2.0 * shape.undulation) * max(
        drop / max(height - 2.0 * shape.plate_thickness, 1.0)
        for drop, height in zip(at_walls, _heights(pose), strict=True)
    )
    while need * greatest_strain(shape) > shape.greatest_compression:
        if shape.band_excess < 0.02:
            raise GeometryError(
                f"a collapse of {100 * need:.0f} % of what lies between the endplates leaves less than "
                f"{100 * (1 - shape.greatest_compression):.0f} % of the bone's height; ask for less loss"
            )
        shape = replace(shape, band_excess=0.8 * shape.band_excess)
    return shape


def _heights(pose: Pose) -> list[float]:
    points = pose.points["mid"]
    return [float(np.linalg.norm(points[s][0] - points[s][1])) for s in ("anterior", "middle", "posterior")]


def _losses(pose: Pose, spec: FractureSpec) -> tuple[float, float, float]:
    """Loss at the three stations; the middle's own is the straight line's when nothing is asked."""
    front, middle, back = _heights(pose)
    line = 0.5 * (spec.anterior_loss * front + spec.posterior_loss * back) / middle
    return spec.anterior_loss, line if spec.middle_loss is None else spec.middle_loss, spec.posterior_loss


def _rest(pose: Pose, spec: FractureSpec) -> Motion:
    return Motion(pose.points["mid"]["posterior"][0], 0.0, 0.0, 0.0, spec.wall_bulge_mm)


def _solved(pose: Pose, spec: FractureSpec, rest: Warp) -> Motion:
    """Solve for turn, drop and dent so that the landmarks lose what is asked."""
    names = ["anterior", "posterior"] + ([] if spec.middle_loss is None else ["middle"])
    asked = dict(zip(("anterior", "middle", "posterior"), _losses(pose, spec), strict=True))
    points = np.concatenate([pose.points["mid"][name] for name in names])
    before = np.linalg.norm(points[0::2] - points[1::2], axis=1)
    wanted = before * (1.0 - np.array([asked[name] for name in names]))

    def motion(v: NDArray[np.float64]) -> Motion:
        return replace(rest.motion, turn=float(v[0]), drop=float(v[1]), dent=float(v[2]) if len(v) > 2 else 0.0)

    def miss(v: NDArray[np.float64]) -> NDArray[np.float64]:
        trial = Warp(rest.own_from_lps, rest.weights, motion(v), rest._stretch, rest.determinant)
        after = trial._forward(points)
        return np.asarray(np.linalg.norm(after[0::2] - after[1::2], axis=1) - wanted)

    first = np.zeros(len(names))
    first[1] = before[1] - wanted[1]
    first[0] = (before[0] - wanted[0] - first[1]) / (0.8 * pose.depth)
    answer = optimize.root(miss, first, method="hybr", options={"xtol": 1e-9})
    if not answer.success and float(np.abs(miss(answer.x)).max()) > 0.02:
        raise GeometryError("the asked losses at front, middle and back do not go together; change one of them")
    return motion(np.asarray(answer.x))
