"""Sagittal pictures of what was measured: each vertebra with its six points and endplates, and the whole spine."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from vertecast.core.quantities import Measured
from vertecast.imaging.volume import LabelMap, Volume
from vertecast.report.planes import Plane
from vertecast.spine.endplates import Endplate
from vertecast.spine.geometry import VertebraGeometry
from vertecast.spine.measurement import MeasuredVertebra, SpineMeasurement

BONE_WINDOW = (-200.0, 900.0)
NOTICE = "Vertecast · research and education, not a medical device"
_BODY, _ENDPLATE, _POINT, _HEIGHT = "#39c0c8", "#ffd23f", "#ff4d4d", "#ffffff"
_GRADE_COLOUR = {0.0: "#7bd389", 0.5: "#ffd23f", 1.0: "#ffab40", 2.0: "#ff7043", 3.0: "#ff3b3b"}
_UNGRADED = "#b0bec5"
_OUTLINED: list[AbstractPathEffect] = [withStroke(linewidth=2.0, foreground="black")]


def draw_vertebra(
    vertebra: MeasuredVertebra, geometry: VertebraGeometry, labels: LabelMap, volume: Volume | None, path: Path
) -> None:
    """Draw one vertebra in its own mid-sagittal plane, anterior on the left, superior up."""
    half = 0.5 * geometry.six.depth + 14.0
    extent = (-half, half + 34.0, -half, half)
    vert_from_lps = geometry.anatomy.vert_from_lps
    _, posterior, superior = vert_from_lps.axes
    plane = Plane.across(vert_from_lps.origin, posterior, superior, extent)
    figure = Figure(figsize=(7.2, 5.6), dpi=130, facecolor="black", layout="constrained")
    axes = figure.add_subplot()
    _show(axes, plane, labels, volume)
    mask = plane.sampled(labels.mask(vertebra.level), labels.grid, order=1, outside=0.0)
    _contour(axes, mask, plane, _BODY)
    for endplate in (geometry.surface.superior, geometry.surface.inferior):
        _draw_endplate(axes, endplate)
    _draw_points(axes, geometry)
    _letters(axes, extent)
    axes.set_title(_headline(vertebra, geometry), color="white", fontsize=10)
    figure.supxlabel(f"mid-sagittal plane of {vertebra.level} · {NOTICE}", color="#9e9e9e", fontsize=7)
    figure.savefig(path)


def draw_spine(spine: SpineMeasurement, labels: LabelMap, volume: Volume | None, path: Path) -> None:
    """Draw the whole spine in the sagittal plane that follows its lateral curve, each body coloured by its grade."""
    shown = [(vertebra, vertebra.geometry) for vertebra in spine.vertebrae if vertebra.geometry is not None]
    centres = np.array([geometry.anatomy.vert_from_lps.origin for _, geometry in shown])
    plane = _curved_plane(centres, labels)
    left, right, bottom, top = plane.extent_mm
    height = float(np.clip(7.5 * (top - bottom) / (right - left), 4.0, 13.0))
    figure = Figure(figsize=(7.5, height), dpi=120, facecolor="black", layout="constrained")
    axes = figure.add_subplot()
    _show(axes, plane, labels, volume)
    for vertebra, geometry in shown:
        colour = _grade_colour(vertebra)
        mask = plane.sampled(labels.mask(vertebra.level), labels.grid, order=1, outside=0.0)
        _contour(axes, mask, plane, colour)
        _name(axes, geometry, colour)
    _letters(axes, plane.extent_mm)
    figure.supxlabel(f"sagittal, along the spine's lateral curve · {NOTICE}", color="#9e9e9e", fontsize=7)
    figure.savefig(path)


def _curved_plane(centres: NDArray[np.float64], labels: LabelMap) -> Plane:
    order = np.argsort(centres[:, 2])
    corners = labels.grid.corners_lps
    bottom = max(float(centres[:, 2].min()) - 40.0, float(corners[:, 2].min()))
    top = min(float(centres[:, 2].max()) + 40.0, float(corners[:, 2].max()))
    left, right = float(centres[:, 1].min()) - 50.0, float(centres[:, 1].max()) + 80.0
    flat = Plane.across((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (left, right, bottom, top))
    points = flat.points_lps.copy()
    points[..., 0] = np.interp(points[..., 2], centres[order, 2], centres[order, 0])
    return Plane(points, flat.extent_mm)


def _show(axes: Axes, plane: Plane, labels: LabelMap, volume: Volume | None) -> None:
    if volume is not None:
        image = plane.sampled(volume.hu, volume.grid, order=1, outside=-1024.0)
        axes.imshow(image, cmap="gray", vmin=BONE_WINDOW[0], vmax=BONE_WINDOW[1], extent=plane.extent_mm)
    else:
        image = plane.sampled(labels.labels > 0, labels.grid, order=1, outside=0.0)
        axes.imshow(image, cmap="gray", vmin=0.0, vmax=2.5, extent=plane.extent_mm)
    axes.set_axis_off()


def _contour(axes: Axes, mask: NDArray[np.float64], plane: Plane, colour: str) -> None:
    if mask.max() > 0.5:
        axes.contour(mask, levels=[0.5], colors=[colour], linewidths=1.0, extent=plane.extent_mm, origin="upper")


def _draw_endplate(axes: Axes, endplate: Endplate) -> None:
    middle = int(np.argmin(np.abs(endplate.x)))
    y = endplate.y[endplate.inside[middle]]
    if y.size:
        axes.plot(y, endplate.field.at(np.zeros_like(y), y), color=_ENDPLATE, linewidth=1.4)


def _draw_points(axes: Axes, geometry: VertebraGeometry) -> None:
    section = geometry.six.middle
    for index, height in enumerate(section.heights):
        (_, y_top, z_top), (_, y_low, z_low) = section.points[0, index], section.points[1, index]
        axes.plot([y_top, y_low], [z_top, z_low], color=_HEIGHT, linewidth=0.8, linestyle=":")
        axes.plot([y_top, y_low], [z_top, z_low], linestyle="", marker="o", markersize=4, color=_POINT)
        middle = (0.5 * (y_top + y_low), 0.5 * (z_top + z_low))
        text = axes.text(*middle, f"{height:.1f}", color=_HEIGHT, fontsize=8, ha="center", va="center")
        text.set_path_effects(_OUTLINED)


def _headline(vertebra: MeasuredVertebra, geometry: VertebraGeometry) -> str:
    names = ("anterior", "middle", "posterior")
    heights = " · ".join(f"{n} {h:.1f}" for n, h in zip(names, geometry.six.middle.heights, strict=True))
    return f"{vertebra.level}   heights {heights} mm\n{_loss_sentence(vertebra)}"


def _loss_sentence(vertebra: MeasuredVertebra) -> str:
    loss, reference = vertebra.height_loss_percent, vertebra.loss
    if loss.value is None or reference.kind is None or reference.worst is None:
        return f"height loss unknown: {loss.reason}"
    against = reference.kind.value.replace("_", " ")
    levels = " and ".join(str(level) for level in reference.levels)
    grade = "not graded" if vertebra.genant.grade is None else f"Genant {vertebra.genant.grade:g}"
    place = reference.worst.value
    return f"height loss {_with_interval(loss)} % ({place}) against {levels}, {against} · {grade}"


def _with_interval(measured: Measured) -> str:
    if measured.low is None or measured.high is None:
        return f"{measured.value:.0f}"
    return f"{measured.value:.0f} ({measured.low:.0f} to {measured.high:.0f})"


def _name(axes: Axes, geometry: VertebraGeometry, colour: str) -> None:
    _, y, z = geometry.anatomy.vert_from_lps.origin
    name = axes.text(y, z, str(geometry.anatomy.level), color=colour, fontsize=9, ha="center", va="center")
    name.set_path_effects(_OUTLINED)


def _grade_colour(vertebra: MeasuredVertebra) -> str:
    grade = vertebra.genant.grade
    return _UNGRADED if grade is None else _GRADE_COLOUR[float(grade)]


def _letters(axes: Axes, extent: tuple[float, float, float, float]) -> None:
    left, right, bottom, top = extent
    style: dict[str, Any] = {"color": "#80cbc4", "fontsize": 10, "ha": "center", "va": "center"}
    axes.text(left + 3, 0.5 * (bottom + top), "A", **style)
    axes.text(right - 3, 0.5 * (bottom + top), "P", **style)
    axes.text(0.5 * (left + right), top - 3, "S", **style)
    axes.text(0.5 * (left + right), bottom + 3, "I", **style)
    axes.plot([right - 16, right - 6], [bottom + 4, bottom + 4], color="white", linewidth=2.0)
    length = axes.text(right - 11, bottom + 6.5, "10 mm", color="white", fontsize=7, ha="center")
    length.set_path_effects(_OUTLINED)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
