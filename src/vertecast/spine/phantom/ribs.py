"""Ribs of thoracic vertebrae: head at the body, neck to the transverse process, then round the chest and down."""

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.placement import Placed
from vertecast.spine.phantom.solids import Part, rod

_HALF_WIDTH_MM, _HALF_HEIGHT_MM = 3.6, 5.6
_SHORT = {Level.T11: 0.55, Level.T12: 0.3, Level.T13: 0.18}


def rib_parts(placed: Placed, side: Side) -> list[Part]:
    """Return one rib as a chain of rods in the patient's frame; nothing for a lumbar vertebra."""
    if not placed.shape.thoracic:
        return []
    points = _centre_line(placed, side)
    return [
        rod(start, end, (_HALF_HEIGHT_MM, _HALF_WIDTH_MM), (0.0, 0.0, 1.0), 0)
        for start, end in itertools.pairwise(points)
    ]


def _centre_line(placed: Placed, side: Side) -> NDArray[np.float64]:
    """(n, 3), mm: along the rib from head to where it ends."""
    shape, body = placed.shape, Body(placed.shape)
    floating = shape.level in _SHORT
    half_width, half_depth = 0.5 * shape.width_superior_mm, 0.5 * body.depth
    head_z = 0.12 * body.height if floating else 0.5 * body.height - 1.0
    tip = math.radians(shape.transverse_back_deg)
    tip_x = 0.5 * shape.canal_width_mm + shape.pedicle_width_mm + shape.transverse_length_mm * math.cos(tip)
    tip_y = half_depth + 8.0 + shape.transverse_length_mm * math.sin(tip)
    knots = np.array(
        [
            [half_width + 3.5, 0.72 * half_depth, head_z],
            [half_width + 11.0, 0.5 * (half_depth + tip_y) - 6.0, 0.5 * head_z + 1.0],
            [tip_x + 4.0, tip_y - 9.0, 0.0],
            [tip_x + 24.0, tip_y - 5.0, -7.0],
            [tip_x + 52.0, tip_y - 18.0, -18.0],
            [tip_x + 74.0, tip_y - 50.0, -32.0],
            [tip_x + 80.0, tip_y - 95.0, -50.0],
        ]
    )
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    length = arc[-1] * _SHORT.get(shape.level, 1.0)
    line = CubicSpline(arc, knots)(np.linspace(0.0, length, max(4, math.ceil(length / 9.0))))
    own = np.asarray(line) * [side.sign, 1.0, 1.0]
    return np.asarray(own @ placed.patient_from_own[:3, :3].T + placed.patient_from_own[:3, 3])
