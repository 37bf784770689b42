"""Vertebrae stacked to a spine: rim on rim with the disc between, lordosis, kyphosis and scoliosis."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level, Region
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.levels import LevelShape, normal_shape
from vertecast.spine.phantom.spec import PhantomSpec

PATIENT = "patient"
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One vertebra where it stands; ``patient_from_own`` is rigid and its own frame is that of :class:`Body`."""

    shape: LevelShape
    patient_from_own: Matrix

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,), mm: origin of the body's own frame in the patient."""
        return self.patient_from_own[:3, 3]


def rotation(degrees: tuple[float, float, float]) -> Matrix:
    """Return the (3, 3) rotation about x, then y, then z, right-handed."""
    out = np.eye(3)
    for axis, angle in enumerate(degrees):
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        i, j = [k for k in range(3) if k != axis] if axis != 1 else (2, 0)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = c
        turn[i, j], turn[j, i] = -s, s
        out = turn @ out
    return out


def world_from_patient(spec: PhantomSpec) -> Transform:
    """Return where the patient lies in the world."""
    return Transform(_rigid(rotation(spec.pose_deg), spec.position_lps_mm), LPS, PATIENT)


def stack(spec: PhantomSpec) -> tuple[Placed, ...]:
    """Stack the vertebrae; the mean of their long axes is the patient's z, the middle of their centres its origin."""
    own = [np.eye(4)]
    for number, (upper, lower) in enumerate(zip(spec.shapes, spec.shapes[1:], strict=False)):
        side_bend = _side_bend(number, len(spec.shapes) - 1, spec.scoliosis_deg)
        own.append(own[-1] @ _step(upper, lower, side_bend))
    mean = np.mean([m[:3, 2] for m in own], axis=0)
    upright = _upright(mean / np.linalg.norm(mean))
    turned = [_rigid(upright, (0.0, 0.0, 0.0)) @ m for m in own]
    middle = np.mean([m[:3, 3] for m in turned], axis=0)
    for m in turned:
        m[:3, 3] -= middle
    return tuple(Placed(shape, m) for shape, m in zip(spec.shapes, turned, strict=True))


def neighbours(placed: tuple[Placed, ...]) -> tuple[Placed | None, Placed | None]:
    """Return the vertebra above and below a stack, so that the picture does not end in mid-air; T1 has none above."""
    first, last = placed[0], placed[-1]
    above, below = _adjacent(first.shape.level, -1), _adjacent(last.shape.level, +1)
    upper = lower = None
    if above is not None:
        shape = normal_shape(above)
        back = np.linalg.inv(_step(shape, first.shape, 0.0))
        upper = Placed(shape, np.asarray(first.patient_from_own @ back))
    shape = normal_shape(below if below is not None else Level.L6)
    lower = Placed(shape, np.asarray(last.patient_from_own @ _step(last.shape, shape, 0.0)))
    return upper, lower


def _adjacent(level: Level, step: int) -> Level | None:
    usual = [one for one in Level if one not in (Level.T13, Level.L6)]
    here = usual.index(Level.T12 if level is Level.T13 else Level.L5 if level is Level.L6 else level)
    found = usual[here + step] if not (level is Level.T13 and step < 0) else Level.T12
    return found if found.region in (Region.THORACIC, Region.LUMBAR) else None


def superior_rim(shape: LevelShape) -> Matrix:
    """Return the rim's frame in the vertebra's own; its z is the rim's normal, its origin the rim's posterior end."""
    body = Body(shape)
    return _rim(0.5 * body.height, 0.5 * shape.wedge_deg, 0.5 * body.depth, body.half_wedge)


def inferior_rim(shape: LevelShape) -> Matrix:
    """Return the inferior rim's frame, its z upward too."""
    body = Body(shape)
    return _rim(-0.5 * body.height, -0.5 * shape.wedge_deg, 0.5 * body.depth, -body.half_wedge)


def _rim(z: float, tilt_deg: float, back: float, slope: float) -> Matrix:
    return _rigid(rotation((tilt_deg, 0.0, 0.0)), (0.0, back, z + slope * back))


def _step(upper: LevelShape, lower: LevelShape, side_bend_deg: float) -> Matrix:
    """Return lower's own frame in upper's: the disc opens about its middle, the posterior walls stand in line."""
    half = rotation((0.5 * upper.disc_lordosis_deg, 0.5 * side_bend_deg, 0.0))
    depth = 0.5 * (upper.depth_inferior_mm + lower.depth_superior_mm)
    to_middle, back = _rigid(np.eye(3), (0.0, -0.5 * depth, 0.0)), _rigid(np.eye(3), (0.0, 0.5 * depth, 0.0))
    down = _rigid(np.eye(3), (0.0, 0.0, -upper.disc_height_mm))
    turn = _rigid(half, (0.0, 0.0, 0.0))
    return np.asarray(inferior_rim(upper) @ to_middle @ turn @ down @ turn @ back @ np.linalg.inv(superior_rim(lower)))


def _side_bend(number: int, discs: int, cobb_deg: float) -> float:
    """Share the Cobb angle over the discs, most at the apex; the sign bends the curve's apex to the left."""
    weights = np.sin(np.pi * (np.arange(discs) + 0.5) / max(discs, 1))
    return float(-cobb_deg * weights[number] / weights.sum())


def _upright(mean_axis: NDArray[np.float64]) -> Matrix:
    z = np.array([0.0, 0.0, 1.0])
    axis, cosine = np.cross(mean_axis, z), float(mean_axis @ z)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1.0 + cosine))


def _rigid(turn: Matrix, shift: tuple[float, float, float]) -> Matrix:
    out = np.eye(4)
    out[:3, :3] = turn
    out[:3, 3] = shift
    return out
