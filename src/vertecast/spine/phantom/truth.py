"""What is exactly so in a phantom, level by level, in the patient's LPS frame; see ``docs/methods/heights.md``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.frames import LPS, Transform
from vertecast.core.levels import Level
from vertecast.core.quantities import quantity
from vertecast.core.sides import Side
from vertecast.imaging.grid import Grid
from vertecast.spine.phantom.arch import arch_parts, pedicle
from vertecast.spine.phantom.body import Body
from vertecast.spine.phantom.morphometry import PLANES, STATIONS, Distance, Morphometry, measure_surface
from vertecast.spine.phantom.placement import Placed
from vertecast.spine.phantom.solids import smooth_min
from vertecast.spine.phantom.spec import PhantomSpec

_CANAL_STEP, _ROI_STEP, _ROI_INSET_MM = 0.2, 1.0, 3.0


@dataclass(frozen=True, slots=True, eq=False)
class PedicleTruth:
    """One pedicle's isthmus; the axis is a unit vector from posterior to anterior."""

    centre_lps: NDArray[np.float64]
    axis_lps: NDArray[np.float64]
    width_mm: float = quantity("mm", "outer width of the isthmus")
    height_mm: float = quantity("mm", "outer height of the isthmus")


@dataclass(frozen=True, slots=True, eq=False)
class LevelTruth:
    """One vertebra.

    Parameters
    ----------
    heights_mm : per plane (``mid``, ``left``, ``right``) and station (``anterior``, ``middle``, ``posterior``)
    points_lps : the same keys, (2, 3), mm: superior and inferior point
    endplates_lps : ``superior`` and ``inferior``, (2, 3): centroid (mm) and upward unit normal of the fitted plane
    canal_area_mm2 : None where the arch does not close round the canal at the pedicles' height
    """

    level: Level
    vert_from_lps: Transform
    heights_mm: Mapping[str, Mapping[str, float]]
    points_lps: Mapping[str, Mapping[str, NDArray[np.float64]]]
    endplates_lps: Mapping[str, NDArray[np.float64]]
    pedicles: Mapping[Side, PedicleTruth]
    canal_area_mm2: float | None
    wedge_deg: float = quantity("deg", "angle of the endplates, mid-sagittal, positive when lower in front")
    lateral_wedge_deg: float = quantity("deg", "angle of the endplates, coronal, positive when lower on the left")
    depth_mm: float = quantity("mm", "depth of the body")
    width_mm: float = quantity("mm", "width of the body")
    volume_mm3: float = quantity("mm3", "volume of the body")
    trabecular_hu: float = quantity("HU", "mean of the trabecular interior before blur and noise")
    density_mg_cm3: float = quantity("mg/cm3", "K2HPO4-equivalent density of the same interior")

    def moved(self, lps_from_lps: Transform) -> "LevelTruth":
        """Return the same vertebra after a rigid motion of the world."""
        lps_from_lps.require_rigid()
        return replace(
            self,
            vert_from_lps=self.vert_from_lps @ lps_from_lps.inverse,
            points_lps={p: {s: lps_from_lps.apply(x) for s, x in one.items()} for p, one in self.points_lps.items()},
            endplates_lps={
                name: np.stack([lps_from_lps.apply(plane[0]), lps_from_lps.apply_directions(plane[1])])
                for name, plane in self.endplates_lps.items()
            },
            pedicles={
                side: replace(
                    one,
                    centre_lps=lps_from_lps.apply(one.centre_lps),
                    axis_lps=lps_from_lps.apply_directions(one.axis_lps),
                )
                for side, one in self.pedicles.items()
            },
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain lists and numbers, volumes in mL."""
        return {
            "level": self.level.value,
            "frame": {
                "vert_from_lps": self.vert_from_lps.matrix.tolist(),
                "origin_lps": self.vert_from_lps.origin.tolist(),
            },
            "heights_mm": {plane: dict(heights) for plane, heights in self.heights_mm.items()},
            "points_lps": {
                plane: {name: {"superior": p[0].tolist(), "inferior": p[1].tolist()} for name, p in points.items()}
                for plane, points in self.points_lps.items()
            },
            "endplates_lps": {
                name: {"centroid": plane[0].tolist(), "normal": plane[1].tolist()}
                for name, plane in self.endplates_lps.items()
            },
            "wedge_angle_deg": self.wedge_deg,
            "lateral_wedge_angle_deg": self.lateral_wedge_deg,
            "body": {"depth_mm": self.depth_mm, "width_mm": self.width_mm, "volume_ml": self.volume_mm3 / 1000.0},
            "pedicles": {
                side.value: {
                    "width_mm": one.width_mm,
                    "height_mm": one.height_mm,
                    "centre_lps": one.centre_lps.tolist(),
                    "axis_lps": one.axis_lps.tolist(),
                }
                for side, one in self.pedicles.items()
            },
            "canal_area_mm2": self.canal_area_mm2,
            "trabecular_hu": self.trabecular_hu,
            "density_mg_cm3": self.density_mg_cm3,
        }


@dataclass(frozen=True, slots=True, eq=False)
class SpineTruth:
    """All vertebrae of a phantom, and the density line of its scanner.

    Parameters
    ----------
    density_slope, density_intercept : density (mg/cm3, K2HPO4-equivalent) = slope times HU + intercept
    """

    levels: Mapping[Level, LevelTruth]
    density_slope: float = quantity("1", "mg/cm3 per HU")
    density_intercept: float = quantity("mg/cm3", "density at 0 HU")

    def as_json(self) -> dict[str, Any]:
        """Return the file ``truth.json``."""
        return {
            "definitions": "docs/methods/heights.md",
            "calibration": {
                "density": "K2HPO4-equivalent",
                "slope_mg_cm3_per_hu": self.density_slope,
                "intercept_mg_cm3": self.density_intercept,
            },
            "vertebrae": [one.as_json() for one in self.levels.values()],
        }


def spine_truth(
    spec: PhantomSpec, placed: tuple[Placed, ...], scene: tuple[NDArray[np.float64], Grid, NDArray[np.float32]]
) -> SpineTruth:
    """Evaluate the truth of every placed vertebra.

    Parameters
    ----------
    scene : ``world_from_patient`` (4, 4), the picture's grid, and the texture field on it
    """
    world, grid, texture = scene
    levels = {}
    for one in placed:
        lps_from_own = Transform(world @ one.patient_from_own, LPS, f"own:{one.shape.level}")
        form = measure_surface(body_distance(one), body_box(one))
        hu = _trabecular_hu(spec, one, form, (lps_from_own, grid, texture))
        levels[one.shape.level] = level_truth(one, form, lps_from_own, (hu, spec))
    return SpineTruth(levels, spec.tissue.density_slope, spec.tissue.density_intercept)


def level_truth(
    placed: Placed, form: Morphometry, lps_from_own: Transform, filling: tuple[float, PhantomSpec]
) -> LevelTruth:
    """Put one vertebra's truth into the world; ``filling`` is the mean trabecular HU and the specification."""
    hu, spec = filling
    vert_from_own = Transform.from_axes(
        form.axes, form.origin, target=f"vert:{placed.shape.level}", source=lps_from_own.source
    )
    plates = {"superior": form.superior, "inferior": form.inferior}
    return LevelTruth(
        level=placed.shape.level,
        vert_from_lps=vert_from_own @ lps_from_own.inverse,
        heights_mm={p: {s: form.height_mm(p, s) for s in STATIONS} for p in PLANES},
        points_lps={p: {s: lps_from_own.apply(form.points[p][s]) for s in STATIONS} for p in PLANES},
        endplates_lps={
            name: np.stack([lps_from_own.apply(e.centroid), lps_from_own.apply_directions(e.normal)])
            for name, e in plates.items()
        },
        pedicles={side: _pedicle_truth(placed, side, lps_from_own) for side in Side},
        canal_area_mm2=_canal_area(placed, form),
        wedge_deg=form.wedge_deg,
        lateral_wedge_deg=form.lateral_wedge_deg,
        depth_mm=form.depth_mm,
        width_mm=form.width_mm,
        volume_mm3=form.volume_mm3,
        trabecular_hu=hu,
        density_mg_cm3=spec.tissue.density_slope * hu + spec.tissue.density_intercept,
    )


def body_distance(placed: Placed) -> Distance:
    """Return the body's surface as a function of points in its own frame."""
    body = Body(placed.shape)
    return lambda points: np.asarray(body.distance(points[:, 0], points[:, 1], points[:, 2]), np.float64)


def body_box(placed: Placed) -> NDArray[np.float64]:
    """Return half sizes of a box about the own origin that holds the body with room to turn, mm."""
    part = Body(placed.shape).part()
    return np.asarray(np.maximum(-part.low, part.high) + np.array([3.0, 3.0, 4.0]))


def _pedicle_truth(placed: Placed, side: Side, lps_from_own: Transform) -> PedicleTruth:
    one = pedicle(placed.shape, side)
    return PedicleTruth(
        lps_from_own.apply(one.centre), lps_from_own.apply_directions(one.axes[0]), one.width, one.height
    )


def _canal_area(placed: Placed, form: Morphometry) -> float | None:
    """Area enclosed by bone in the plane perpendicular to z at the pedicles' height, or None when the ring is open."""
    level = float(form.axes[2] @ (pedicle(placed.shape, Side.LEFT).centre - form.origin))
    body = Body(placed.shape)
    x = np.arange(-24.0, 24.0, _CANAL_STEP)
    y = np.arange(0.3 * body.depth, 0.5 * body.depth + placed.shape.canal_depth_mm + 14.0, _CANAL_STEP)
    gx, gy = np.meshgrid(x, y, indexing="ij")
    own = np.stack([gx, gy, np.full_like(gx, level)], axis=-1) @ form.axes + form.origin
    d = body.distance(own[..., 0], own[..., 1], own[..., 2])
    for part in arch_parts(placed.shape):
        d = smooth_min(d, part.distance(own[..., 0], own[..., 1], own[..., 2]), 2.0)
    regions, _ = ndimage.label(d > 0.0)
    middle = int(np.argmin(np.abs(y - 0.5 * body.depth - 0.5 * placed.shape.canal_depth_mm)))
    inside = regions == regions[len(x) // 2, middle]
    if inside[0].any() or inside[-1].any() or inside[:, 0].any() or inside[:, -1].any() or not inside.any():
        return None
    ring = ndimage.binary_dilation(inside, iterations=2)
    return float(np.clip(0.5 + d[ring] / _CANAL_STEP, 0.0, 1.0).sum() * _CANAL_STEP**2)


def _trabecular_hu(
    spec: PhantomSpec,
    placed: Placed,
    form: Morphometry,
    scene: tuple[Transform, Grid, NDArray[np.float32]],
) -> float:
    """Mean over the interior 3 mm from the surface, anterior two thirds, of the density times its texture."""
    lps_from_own, grid, texture = scene
    steps = [np.arange(-h, h, _ROI_STEP) for h in body_box(placed)]
    own = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    front = form.points["mid"]["anterior"].mean(axis=0)
    along_y = (own - front) @ form.axes[1]
    roi = (body_distance(placed)(own) <= -_ROI_INSET_MM) & (along_y <= (2.0 / 3.0 - 0.1) * form.depth_mm)
    index = np.rint(grid.to_voxel(lps_from_own.apply(own[roi]))).astype(int)
    seen = ((index >= 0) & (index < grid.shape)).all(axis=1)
    field = texture[tuple(index[seen].T)] if seen.any() else np.zeros(1)
    return float(spec.trabecular_hu(placed.shape) * (1.0 + spec.texture * field.mean()))
