"""Everything round the bones: skin, fat, muscles, vessels, lungs, kidneys, bowel, canal and discs."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.levels import Level
from vertecast.core.sides import Side
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.placement import Placed
from vertecast.spine.phantom.solids import Field, elliptic
from vertecast.spine.phantom.spec import Tissue

_CONE_LEVEL, _DIAPHRAGM_LEVEL = Level.L1, Level.T12
_KIDNEY_LEVEL, _FORK_LEVEL = Level.L2, Level.L4


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """How the spine runs through the patient: places and sizes interpolated along z.

    Parameters
    ----------
    z : (n,), mm, ascending: heights of the bodies' centres
    columns : (n,) each, mm: body centre x and y, body half width and half depth, canal centre y, half width and half
        depth
        and the level number, so that organs find their place (T12 is 0, L1 is 1), and y of the skin of the back
    """

    z: NDArray[np.float64]
    columns: dict[str, NDArray[np.float64]]

    def at(self, name: str, z: Field) -> Field:
        """Interpolate a column, straight on beyond the ends; float32."""
        values = self.columns[name]
        out = np.interp(z, self.z, values)
        if len(self.z) > 1:
            for end, inner, side in ((0, 1, z < self.z[0]), (-1, -2, z > self.z[-1])):
                slope = (values[end] - values[inner]) / (self.z[end] - self.z[inner])
                out = np.where(side, values[end] + slope * (z - self.z[end]), out)
        return np.asarray(out, np.float32)


def course_of(placed: tuple[Placed, ...]) -> Course:
    """Make the course from placed vertebrae, unlabelled neighbours included."""
    rows = sorted((_row(one) for one in placed), key=lambda row: row["z"])
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    z = columns.pop("z")
    columns["back"] = _back(z, columns)
    return Course(z, columns)


def _row(placed: Placed) -> dict[str, float]:
    shape, body = placed.shape, Body(placed.shape)
    canal = np.array([0.0, 0.5 * body.depth - 0.5 + 0.5 * shape.canal_depth_mm, 0.0, 1.0])
    number = {Level.T13: 0.5, Level.L6: 5.5}.get(shape.level, float(shape.level.rank - Level.T12.rank))
    if number > 0.5 and shape.level is not Level.L6:
        number -= 1.0  # T13 stands between T12 and L1 in the enum
    drop = math.radians(shape.spinous_drop_deg)
    tip = 0.5 * body.depth + shape.canal_depth_mm + 6.0 + shape.spinous_length_mm * math.cos(drop)
    return {
        "x": float(placed.centre[0]),
        "y": float(placed.centre[1]),
        "z": float(placed.centre[2]),
        "half_width": 0.5 * shape.width_inferior_mm,
        "half_depth": 0.5 * body.depth,
        "canal_x": float((placed.patient_from_own @ canal)[0]),
        "canal_y": float((placed.patient_from_own @ canal)[1]),
        "canal_half_width": 0.5 * shape.canal_width_mm,
        "canal_half_depth": 0.5 * shape.canal_depth_mm,
        "number": number,
        "tip": float(placed.centre[1]) + tip,
    }


def _back(z: NDArray[np.float64], columns: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Lay the skin of the back smoothly over the tips of the spinous processes."""
    degree = min(2, len(z) - 1)
    smooth = np.polynomial.Polynomial.fit(z, columns["tip"], degree)(z) if degree else columns["tip"]
    return np.asarray(smooth + max(0.0, float((columns["tip"] - smooth).max())) + 12.0)


@dataclass(frozen=True, slots=True, eq=False)
class Slab:
    """A few planes of the picture while they are painted.

    Parameters
    ----------
    x, y, z : mm in the patient
    edge : mm, over which a boundary is smeared: about a voxel
    mottle, lumps : unit-variance random fields of fine and of coarse grain on the same planes
    """

    x: Field
    y: Field
    z: Field
    edge: float
    mottle: Field
    lumps: Field


def paint(slab: Slab, course: Course, tissue: Tissue) -> NDArray[np.float32]:
    """Return the CT numbers of everything but bone and discs."""
    dx = slab.x - course.at("x", slab.z)
    dy = slab.y - course.at("y", slab.z)
    number = course.at("number", slab.z)
    hu = np.full(slab.x.shape, np.float32(tissue.air))
    trunk = _trunk(slab, course)
    _over(hu, slab, trunk, tissue.skin)
    _over(hu, slab, trunk + 2.2, tissue.fat + 6.0 * slab.mottle)
    _cavity(hu, slab, (dx, dy, number), trunk, tissue)
    _muscles(hu, slab, (dx, dy, number), course, tissue)
    _vessels(hu, slab, (dx, dy, number), course, tissue)
    _canal(hu, slab, course, number, tissue)
    return hu


def _over(hu: Field, slab: Slab, distance: Field, value: float | Field) -> None:
    """Paint a solid over what is there, in place; its boundary shares voxels by volume."""
    share = np.clip(0.5 - distance / np.float32(slab.edge), 0.0, 1.0)
    hu += share * (np.asarray(value, np.float32) - hu)


def _trunk(slab: Slab, course: Course) -> Field:
    back = course.at("back", slab.z) - 4.0 * np.exp(-((slab.x / 14.0) ** 2)).astype(np.float32)
    u, v = np.abs(slab.x) / 168.0, np.abs(slab.y - back + 112.0) / 112.0
    gauge = np.maximum(u**2.6 + v**2.6, 1e-6) ** (1.0 / 2.6)
    return np.asarray((gauge - 1.0) * 112.0, np.float32)


def _cavity(hu: Field, slab: Slab, where: tuple[Field, Field, Field], trunk: Field, tissue: Tissue) -> None:
    dx, dy, number = where
    wall = trunk + 30.0
    muscle = tissue.muscle + 7.0 * slab.mottle
    _over(hu, slab, trunk + np.float32(16.0), muscle)
    _over(hu, slab, wall, tissue.fat + 6.0 * slab.mottle)
    bowel = np.maximum(np.maximum(wall + 6.0, dy + 24.0), 5.0 * (0.1 - slab.lumps))
    _over(hu, slab, bowel, tissue.organ + 5.0 * slab.mottle)
    for side in Side:
        kidney = np.sqrt(((dx - side.sign * 62.0) / 26.0) ** 2 + ((dy - 4.0) / 22.0) ** 2 + ((number - 1.6) / 1.5) ** 2)
        _over(hu, slab, (kidney - 1.0) * 22.0, tissue.organ - 8.0 + 4.0 * slab.mottle)
    chest = (number + 0.15 + 0.004 * np.abs(dx)) * 30.0
    organ = np.maximum(np.maximum(wall + 3.0, (number - 1.2) * 30.0), 36.0 - np.abs(dx))
    _over(hu, slab, np.maximum(organ, dy - 18.0), tissue.organ + 14.0 + 4.0 * slab.mottle)
    _over(hu, slab, np.maximum(wall, chest), tissue.fat + 90.0 + 12.0 * slab.mottle)
    for side in Side:
        lung = elliptic(dx - side.sign * 78.0, dy + 28.0, 58.0, 66.0)
        texture = tissue.lung + 30.0 * slab.mottle + 420.0 * np.clip(slab.lumps * slab.mottle - 2.2, 0.0, 1.0)
        _over(hu, slab, np.maximum(np.maximum(lung, chest), wall - 4.0), texture)


def _muscles(hu: Field, slab: Slab, where: tuple[Field, Field, Field], course: Course, tissue: Tissue) -> None:
    dx, dy, number = where
    half_width, half_depth = course.at("half_width", slab.z), course.at("half_depth", slab.z)
    streak = np.clip(np.abs(slab.lumps) * 9.0 - 0.5, 0.0, 1.0)
    muscle = tissue.muscle + 7.0 * slab.mottle - 45.0 * (1.0 - streak)
    low = np.clip((number + 0.5) / 3.0, 0.0, 1.0)
    back = course.at("back", slab.z) - course.at("y", slab.z) - 11.0
    behind = half_depth + 11.0
    for side in Side:
        x = side.sign * dx
        depth = np.maximum(0.5 * (back - behind), 6.0)
        erector = elliptic(x - 33.0, dy - behind - depth, 27.0 + 6.0 * low, depth)
        _over(hu, slab, erector, muscle)
        multifidus = elliptic(x - 12.0 - 2.0 * low, dy - behind - depth, 10.0 + 3.0 * low, 0.92 * depth)
        _over(hu, slab, multifidus, muscle + 4.0)
        size = np.clip(4.0 + 5.0 * number, 1.0, 23.0)
        psoas = elliptic(x - half_width - 0.75 * size, dy - 0.25 * half_depth, size, 1.15 * size)
        _over(hu, slab, np.maximum(psoas, (0.2 - number) * 30.0), muscle)
        square = elliptic(x - half_width - 36.0, dy - half_depth - 6.0, 21.0, 7.5)
        _over(hu, slab, np.maximum(square, (0.6 - number) * 30.0), muscle)
    sheath = elliptic(dx, dy - 1.0, half_width + 2.5, half_depth + 2.5)
    _over(hu, slab, sheath, tissue.muscle)


def _vessels(hu: Field, slab: Slab, where: tuple[Field, Field, Field], course: Course, tissue: Tissue) -> None:
    dx, dy, number = where
    half_width, half_depth = course.at("half_width", slab.z), course.at("half_depth", slab.z)
    blood = tissue.blood + 3.0 * slab.mottle
    chest = np.clip(-0.35 * number, 0.0, 1.0)
    x, y = 8.0 + chest * (0.75 * half_width), -half_depth - 13.0 + 11.0 * chest
    end = (number - 4.4) * 34.0
    _over(hu, slab, np.maximum(elliptic(dx - x, dy - y, 10.5, 10.5), end), blood)
    cava = elliptic(dx + 17.0, dy + half_depth + 12.0, 12.0, 9.5)
    _over(hu, slab, np.maximum(np.maximum(cava, end), (-0.5 - number) * 30.0), blood)
    for side in Side:
        iliac = elliptic(
            dx - side.sign * (8.0 + 14.0 * np.clip(number - 4.2, 0.0, 2.0)), dy + half_depth + 10.0, 9.0, 8.0
        )
        _over(hu, slab, np.maximum(iliac, -end), blood)


def _canal(hu: Field, slab: Slab, course: Course, number: Field, tissue: Tissue) -> None:
    dx = slab.x - course.at("canal_x", slab.z)
    dy = slab.y - course.at("canal_y", slab.z)
    a, b = course.at("canal_half_width", slab.z), course.at("canal_half_depth", slab.z)
    _over(hu, slab, elliptic(dx, dy, a + 2.5, b + 2.0), tissue.muscle)
    _over(hu, slab, elliptic(dx, dy, a, b), tissue.epidural_fat)
    _over(hu, slab, elliptic(dx, dy + 1.0, 0.68 * a, 0.72 * b), tissue.cerebrospinal_fluid)
    cord = np.maximum(elliptic(dx, dy + 0.5, 4.8, 3.6), (number - 1.3) * 30.0)
    _over(hu, slab, cord, tissue.cord)
    cauda = np.maximum(elliptic(dx, dy - 1.5, 0.5 * a, 0.4 * b), (1.3 - number) * 30.0)
    _over(hu, slab, cauda, 0.5 * (tissue.cord + tissue.cerebrospinal_fluid))


def disc_share(upper: Placed, lower: Placed, xyz: tuple[Field, Field, Field], edge: float) -> tuple[Field, Field]:
    """Return the volume share of the disc between two vertebrae, and how near its rim a place is (0 centre, 1 rim).

    Parameters
    ----------
    xyz : mm in the patient
    """
    above, below = _to_own(upper, xyz), _to_own(lower, xyz)
    top, bottom = Body(upper.shape), Body(lower.shape)
    half_width = 0.5 * (upper.shape.width_inferior_mm + lower.shape.width_superior_mm) / 2.0 + 0.4
    half_depth = 0.5 * (upper.shape.depth_inferior_mm + lower.shape.depth_superior_mm) / 2.0 + 0.4
    x, y = 0.5 * (above[0] + below[0]), 0.5 * (above[1] + below[1])
    offset = 0.5 * (top.depth - upper.shape.depth_inferior_mm + bottom.depth - lower.shape.depth_superior_mm) / 2.0
    u, v = x / half_width, (y - offset) / half_depth
    radius = np.sqrt(np.sqrt(u**4 + v**4 + 1.2 * (u * v) ** 2))
    between = np.maximum(
        above[2] + 0.5 * top.height + above[1] * top.half_wedge - upper.shape.concavity_inferior_mm - 1.0,
        0.5 * bottom.height + below[1] * bottom.half_wedge - lower.shape.concavity_superior_mm - 1.0 - below[2],
    )
    distance = np.maximum((radius - 1.0) * half_depth, between)
    return np.clip(0.5 - distance / np.float32(edge), 0.0, 1.0), radius


def _to_own(placed: Placed, xyz: tuple[Field, Field, Field]) -> list[Field]:
    m = np.linalg.inv(placed.patient_from_own).astype(np.float32)
    return [m[r, 0] * xyz[0] + m[r, 1] * xyz[1] + m[r, 2] * xyz[2] + m[r, 3] for r in range(3)]
