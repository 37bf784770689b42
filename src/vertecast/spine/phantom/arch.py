"""Pedicles, laminae and processes as analytic solids; the pedicle's isthmus is exact by construction."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.sides import Side
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.levels import LevelShape
from vertecast.spine.phantom.solids import Field, Part, along, elliptic, rod, slab, unit

ARCH, SPINOUS = 41, 42
TRANSVERSE = {Side.LEFT: 43, Side.RIGHT: 44}
SUPERIOR = {Side.LEFT: 45, Side.RIGHT: 46}
INFERIOR = {Side.LEFT: 47, Side.RIGHT: 48}
_UP = (0.0, 0.0, 1.0)
_FLARE, _FLARE_MM, _BELOW_RIM_MM = 0.4, 8.0, 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Pedicle:
    """One pedicle: a straight elliptic tube, narrowest at its isthmus.

    Parameters
    ----------
    centre : (3,), mm: centre of the isthmus
    axes : (3, 3): rows are the axis from posterior to anterior, the width's and the height's direction
    width, height : mm: full outer sizes of the isthmus
    """

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    width: float
    height: float
    reach: tuple[float, float]

    def distance(self, x: Field, y: Field, z: Field) -> Field:
        """Signed distance to the tube, mm."""
        s, p, q = along(self.axes, self.centre, (x, y, z))
        wide = 1.0 + _FLARE * np.minimum(np.abs(s) / _FLARE_MM, 1.2) ** 2
        # Towards the body it hardly grows taller: no pedicle stands above the superior endplate.
        tall = np.where(s > 0.0, 1.0 + 0.2 * (wide - 1.0), wide)
        beyond = np.maximum(np.maximum(s - self.reach[1], -self.reach[0] - s), 0.0)
        return elliptic(p, q, 0.5 * self.width * wide, 0.5 * self.height * tall, beyond)

    def part(self) -> Part:
        """Return the pedicle as a solid with its box."""
        ends = [self.centre + t * self.axes[0] for t in (-self.reach[0], self.reach[1])]
        size = 0.5 * max(self.width, self.height) * (1.0 + _FLARE * 1.44)
        return Part(self.distance, np.minimum(*ends) - size, np.maximum(*ends) + size, ARCH)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """Key places of one side of an arch, in mm."""

    wall: float
    isthmus: NDArray[np.float64]
    pars: NDArray[np.float64]
    midline: NDArray[np.float64]
    lamina_top: float
    thickness: float


def pedicle(shape: LevelShape, side: Side) -> Pedicle:
    """Place a pedicle so that the canal is as wide as asked between the two isthmuses."""
    plan = _plan(shape)
    angle = math.radians(shape.pedicle_medial_deg)
    sign = side.sign
    forward = np.array([-sign * math.sin(angle), -math.cos(angle), 0.0])
    across = np.array([math.cos(angle), -sign * math.sin(angle), 0.0])
    centre = plan.isthmus * [sign, 1.0, 1.0]
    axes = np.stack([forward, across, np.array(_UP)])
    return Pedicle(centre, axes, shape.pedicle_width_mm, shape.pedicle_height_mm, (6.5, 9.0))


def arch_parts(shape: LevelShape) -> list[Part]:
    """Return the solids of the arch, both sides and the spinous process."""
    plan = _plan(shape)
    parts = [_spinous(shape, plan)]
    for side in Side:
        parts += [
            pedicle(shape, side).part(),
            _lamina(shape, plan, side),
            *_articular(shape, plan, side),
            _transverse(shape, plan, side),
        ]
    return parts


def _plan(shape: LevelShape) -> _Plan:
    body = Body(shape)
    wall = 0.5 * body.depth - 0.5
    angle = math.radians(shape.pedicle_medial_deg)
    highest = 0.5 * (body.height - shape.pedicle_height_mm) - _BELOW_RIM_MM
    rise = min(shape.pedicle_rise * body.height, highest)
    isthmus = np.array(
        [
            0.5 * shape.canal_width_mm + 0.5 * shape.pedicle_width_mm / math.cos(angle),
            wall + 0.28 * shape.canal_depth_mm + 1.0,
            rise,
        ]
    )
    thickness = 5.4 if shape.thoracic else 6.4
    pars = isthmus + np.array([6.0 * math.sin(angle), 6.5 * math.cos(angle), 0.0])
    midline = np.array([0.0, wall + shape.canal_depth_mm + 0.5 * thickness, rise])
    return _Plan(wall, isthmus, pars, midline, rise + 0.42 * shape.pedicle_height_mm, thickness)


def _lamina(shape: LevelShape, plan: _Plan, side: Side) -> Part:
    flip = np.array([side.sign, 1.0, 1.0])
    outer, inner = plan.pars * flip, plan.midline * flip
    length = unit(outer - inner)
    lean = math.radians(16.0 if shape.thoracic else 12.0)
    backward = np.cross(length, _UP) if side is Side.RIGHT else np.cross(_UP, length)
    down = unit(-np.array(_UP) * math.cos(lean) + unit(backward) * math.sin(lean))
    half_height = 0.5 * shape.lamina_height_mm
    centre = 0.5 * (outer + inner)
    centre = np.array([centre[0], centre[1], plan.lamina_top]) + down * half_height
    axes = np.stack([length, np.cross(down, length), down])
    halves = (0.5 * float(np.linalg.norm(outer - inner)) + 2.0, 0.5 * plan.thickness, half_height)
    return slab(centre, axes, halves, 2.2, ARCH)


def _articular(shape: LevelShape, plan: _Plan, side: Side) -> list[Part]:
    body = Body(shape)
    half = 0.5 * body.height
    flip = np.array([side.sign, 1.0, 1.0])
    if shape.thoracic:
        x = 0.85 * plan.pars[0]
        up = ([x, plan.pars[1], plan.isthmus[2]], [x, plan.pars[1] + 1.5, half + 0.45 * shape.disc_height_mm + 3.0])
        foot = -half - 0.5 * shape.disc_height_mm - 5.0
        down = ([x, plan.midline[1] - 3.0, 0.0], [x, plan.pars[1] + 5.5, foot])
        halves = (5.0, 2.6)
    else:
        top = half + 0.35 * shape.disc_height_mm + 3.0
        up = ([plan.pars[0] + 0.5, plan.pars[1], plan.isthmus[2]], [plan.pars[0] + 1.5, plan.pars[1] + 1.5, top])
        foot = -half - 0.8 * shape.disc_height_mm - 4.0
        down = (
            [0.66 * plan.pars[0], plan.midline[1] - 3.0, 0.0],
            [0.68 * plan.pars[0], plan.midline[1] + 0.5, foot],
        )
        halves = (4.6, 5.0)
    across = (1.0, 0.0, 0.0)
    return [
        rod(np.array(up[0]) * flip, np.array(up[1]) * flip, halves, across, SUPERIOR[side]),
        rod(np.array(down[0]) * flip, np.array(down[1]) * flip, halves, across, INFERIOR[side]),
    ]


def _spinous(shape: LevelShape, plan: _Plan) -> Part:
    drop = math.radians(shape.spinous_drop_deg)
    out = np.array([0.0, math.cos(drop), -math.sin(drop)])
    up = np.array([0.0, math.sin(drop), math.cos(drop)])
    fall = plan.lamina_top - plan.midline[2] - 0.58 * shape.lamina_height_mm
    start = plan.midline + np.array([0.0, 0.0, fall])
    axes = np.stack([out, np.array([1.0, 0.0, 0.0]), up])
    halves = (0.5 * shape.spinous_length_mm + 1.0, 3.0 if shape.thoracic else 3.6, 0.5 * shape.spinous_height_mm)
    return slab(start + out * 0.5 * shape.spinous_length_mm, axes, halves, 2.4, SPINOUS)


def _transverse(shape: LevelShape, plan: _Plan, side: Side) -> Part:
    flip = np.array([side.sign, 1.0, 1.0])
    back = math.radians(shape.transverse_back_deg)
    rise = 0.12 if shape.thoracic else 0.02
    out = unit([math.cos(back), math.sin(back), rise])
    start = plan.pars + ([0.0, -1.0, 0.0] if shape.thoracic else [1.0, -2.5, -2.0])
    halves = (5.2, 4.6) if shape.thoracic else (5.0, 3.2)
    return rod(start * flip, (start + out * shape.transverse_length_mm) * flip, halves, _UP, TRANSVERSE[side])
