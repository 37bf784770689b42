"""Cuts for the report, on white: the fracture on the CT, and the simulation's fields in three planes."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from vertecast.imaging.volume import LabelMap, Volume
from vertecast.report.case_report_run import Document, RunFolder
from vertecast.report.planes import Plane

_BONE_WINDOW = (-200.0, 900.0)
_OUTLINED: list[Any] = [withStroke(linewidth=2.2, foreground="black")]
_OWN, _OTHER, _HEIGHT = "#39c0c8", "#b9c2c9", "#ffd23f"
_CEMENT = LinearSegmentedColormap.from_list("cement", ["#7a1f00", "#ff7a1a", "#ffe9a8"])
_SHOWN = 0.05  # volume of cement per voxel from which it is drawn
_BODY, _CANAL = 1, 4  # numbers of regions.nii.gz
_MARGIN_MM = 9.0
_WARM_DEGC = 39.0
"""Below this the bone is shown instead of its temperature: a drawing choice, no limit of harm."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One of the three planes of the vertebral frame: its axis, the two across, and the letters of their ends."""

    name: str
    axis: int
    across: tuple[int, int]
    low_high: tuple[tuple[str, str], tuple[str, str]]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What is drawn over the bone in three planes.

    Parameters
    ----------
    values : (nx, ny, nz) along left, posterior and superior; NaN where the bone is shown instead
    spacing : (3,), mm
    centre : (3,), the cell through which the planes go
    limits : of the colours
    contours : lines at these values
    """

    values: NDArray[np.floating]
    spacing: NDArray[np.float64]
    centre: NDArray[np.intp]
    label: str
    colours: Any
    limits: tuple[float, float]
    contours: tuple[float, ...] = ()


CUTS = (
    Cut("axial", 2, (0, 1), (("R", "L"), ("A", "P"))),
    Cut("coronal", 1, (0, 2), (("R", "L"), ("I", "S"))),
    Cut("sagittal", 0, (1, 2), (("A", "P"), ("I", "S"))),
)


def fracture_picture(vertebra: Document, volume: Volume, labels: LabelMap | None) -> bytes | None:
    """Draw a measured vertebra on its CT, mid-sagittal with heights, coronal, axial; PNG, None without a frame."""
    frame = vertebra.get("frame")
    if not frame:
        return None
    axes_lps = np.array([frame["left_lps"], frame["posterior_lps"], frame["superior_lps"]], float)
    origin = np.array(frame["origin_lps_mm"], float)
    figure = Figure(figsize=(11.0, 4.1), dpi=110, facecolor="white", layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(1.25, 1.0, 1.0))
    sides = (
        ("mid-sagittal", 1, 2, (-38.0, 62.0, -40.0, 40.0), ("A", "P", "I", "S")),
        ("coronal", 0, 2, (-40.0, 40.0, -40.0, 40.0), ("R", "L", "I", "S")),
        ("axial", 0, 1, (-40.0, 40.0, -60.0, 32.0), ("R", "L", "P", "A")),
    )
    for panel, (name, right, up, extent, letters) in zip(panels, sides, strict=True):
        upwards = -axes_lps[up] if name == "axial" else axes_lps[up]
        plane = Plane.across(origin, axes_lps[right], upwards, extent)
        hu = plane.sampled(volume.hu, volume.grid, order=1, outside=-1000.0)
        panel.imshow(hu, cmap="gray", vmin=_BONE_WINDOW[0], vmax=_BONE_WINDOW[1], extent=extent)
        if labels is not None:
            _outline(panel, plane, labels, str(vertebra["level"]))
        if name == "mid-sagittal":
            _heights(panel, vertebra, origin, axes_lps)
        _finish(panel, name, letters, extent)
    return _png(figure)


def _outline(panel: Axes, plane: Plane, labels: LabelMap, own: str) -> None:
    for level, number in labels.values.items():
        mask = plane.sampled((labels.labels == number).astype(np.float32), labels.grid, order=1, outside=0.0)
        if mask.max() > 0.5:
            mine = level.value == own
            panel.contour(
                mask,
                levels=[0.5],
                colors=[_OWN if mine else _OTHER],
                linewidths=1.2 if mine else 0.6,
                extent=plane.extent_mm,
                origin="upper",
            )


def _heights(panel: Axes, vertebra: Document, origin: NDArray[np.float64], axes_lps: NDArray[np.float64]) -> None:
    points, heights = (vertebra.get("six_points_lps_mm") or {}).get("middle"), vertebra.get("heights_mm") or {}
    if not points:
        return
    for place in ("anterior", "middle", "posterior"):
        ends = np.array([points["superior"][place], points["inferior"][place]], float) - origin
        y, z = ends @ axes_lps[1], ends @ axes_lps[2]
        panel.plot(y, z, color=_HEIGHT, linewidth=1.0, linestyle=":", marker="o", markersize=3)
        value = (heights.get(place) or {}).get("value")
        if value is not None:
            panel.text(
                y.mean(), z.mean(), f"{value:.1f}", color="white", fontsize=8, ha="center", path_effects=_OUTLINED
            )


def cement_picture(run: RunFolder, level: str) -> bytes | None:
    """Draw when the cement arrived, in the three planes that hold the most of it; PNG, None without the fields."""
    arrival, amount = _field(run, level, "cement_arrival_s"), _field(run, level, "cement_fraction")
    if arrival is None or amount is None or not np.isfinite(arrival[0]).any():
        return None
    began = float(np.nanmin(arrival[0]))
    when = np.where(amount[0] > _SHOWN, arrival[0] - began, np.nan)
    centre = _fullest(np.nan_to_num(amount[0]))
    last = max(1.0, float(np.nanmax(when, initial=1.0)))
    shown = Shown(when, arrival[1], centre, "cement arrived, s after the first", _CEMENT, (0.0, last))
    return _three_planes(run, level, shown)


def temperature_picture(run: RunFolder, level: str, isotherms: Sequence[float] = (45.0, 50.0, 60.0)) -> bytes | None:
    """Draw the highest temperature of each voxel, in three planes through the hottest; PNG, None without the field."""
    found = _field(run, level, "peak_temperature_degc")
    if found is None:
        return None
    hottest = np.array(np.unravel_index(int(np.nanargmax(found[0])), found[0].shape))
    amount = _field(run, level, "cement_fraction")
    centre = _fullest(np.nan_to_num(amount[0])) if amount is not None and np.nansum(amount[0]) > 0 else hottest
    warm = np.where(found[0] > _WARM_DEGC, found[0], np.nan)
    limits = (37.0, float(np.nanmax(found[0])))
    shown = Shown(warm, found[1], centre, "peak temperature, °C", "inferno", limits, tuple(isotherms))
    return _three_planes(run, level, shown)


def _field(run: RunFolder, level: str, stem: str) -> tuple[NDArray[np.float32], NDArray[np.float64]] | None:
    """Return a field turned so that its axes run to the patient's left, posterior and superior, and its voxel edges."""
    found = run.field(level, stem)
    if found is None:
        return None
    array, grid = found
    order = np.argmax(np.abs(grid.directions), axis=1)
    turned = np.transpose(array, order)
    back = tuple(k for k in range(3) if grid.directions[k, order[k]] < 0)
    return np.flip(turned, back), grid.spacing[order]


def _fullest(weights: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the cell whose three planes each hold the most: between two needles' cement a centroid lies in none."""
    if not weights.any():
        return np.array(weights.shape, np.intp) // 2
    sums = (weights.sum(axis=tuple(k for k in range(3) if k != axis)) for axis in range(3))
    return np.array([int(np.argmax(one)) for one in sums], np.intp)


def _three_planes(run: RunFolder, level: str, over: Shown) -> bytes:
    shown, centre = over.values, over.centre
    density, regions = _field(run, level, "density_k2hpo4_mg_cm3"), _field(run, level, "regions")
    figure = Figure(figsize=(11.0, 3.9), dpi=110, facecolor="white", layout="constrained")
    panels = figure.subplots(1, 3)
    lines = [edge * np.arange(size) for edge, size in zip(over.spacing, shown.shape, strict=True)]
    image = None
    for panel, cut in zip(panels, CUTS, strict=True):
        box = _box(regions[0] if regions is not None else shown, cut, lines)
        first, second = (lines[a] for a in cut.across)
        half = float(over.spacing[0]) / 2
        extent = (first[0] - half, first[-1] + half, second[0] - half, second[-1] + half)

        def layer(field: NDArray[Any], cut: Cut = cut) -> NDArray[np.float64]:
            return np.asarray(np.take(field, int(centre[cut.axis]), axis=cut.axis).T, float)

        if density is not None:
            panel.imshow(layer(density[0]), cmap="gray", vmin=-100.0, vmax=600.0, extent=extent, origin="lower")
        image = panel.imshow(
            layer(shown),
            cmap=over.colours,
            vmin=over.limits[0],
            vmax=over.limits[1],
            extent=extent,
            origin="lower",
            alpha=0.85,
        )
        if regions is not None:
            for numbers, colour in (((_BODY, 2), _OWN), ((_CANAL,), _HEIGHT)):
                mask = layer(np.isin(regions[0], numbers))
                if mask.any():
                    panel.contour(first, second, mask, levels=[0.5], colors=colour, linewidths=0.9)
        _isotherms(panel, (first, second), layer(np.nan_to_num(shown, nan=0.0)), over.contours)
        (a, b), (c, d) = cut.low_high
        flip = cut.name == "axial"
        _finish(panel, cut.name, (a, b, d if flip else c, c if flip else d), box, flip=flip)
    assert image is not None
    bar = figure.colorbar(image, ax=panels, shrink=0.85, pad=0.01)
    bar.set_label(over.label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return _png(figure)


def _isotherms(panel: Axes, lines: tuple[Any, Any], field: NDArray[np.float64], levels: Sequence[float]) -> None:
    inside = [one for one in levels if field.min() < one < field.max()]
    if inside:
        drawn = panel.contour(*lines, field, levels=inside, colors="white", linewidths=0.8)
        panel.clabel(drawn, fmt="%g °C", fontsize=6)


def _box(
    regions: NDArray[np.floating], cut: Cut, lines: list[NDArray[np.float64]]
) -> tuple[float, float, float, float]:
    """Return the limits of a picture: the body with a margin and the canal behind it."""
    body = np.argwhere(regions == _BODY)
    if not len(body):
        ends = [(float(line[0]), float(line[-1])) for line in lines]
    else:
        ends = [
            (
                max(float(line[body[:, k].min()]) - _MARGIN_MM, float(line[0])),
                min(float(line[body[:, k].max()]) + (2.6 if k == 1 else 1.0) * _MARGIN_MM, float(line[-1])),
            )
            for k, line in enumerate(lines)
        ]
    (a, b), (c, d) = (ends[k] for k in cut.across)
    return a, b, c, d


def _finish(
    panel: Axes,
    name: str,
    letters: tuple[str, str, str, str],
    extent: tuple[float, float, float, float],
    *,
    flip: bool = False,
) -> None:
    """Write the directions at left, right, bottom and top, and a scale of 10 mm."""
    left, right, bottom, top = extent
    style: dict[str, Any] = {
        "color": "white",
        "fontsize": 9,
        "ha": "center",
        "va": "center",
        "transform": panel.transAxes,
        "path_effects": _OUTLINED,
        "weight": "bold",
    }
    places = ((0.035, 0.5), (0.965, 0.5), (0.5, 0.04), (0.5, 0.96))
    for letter, (x, y) in zip(letters, places, strict=True):
        panel.text(x, y, letter, **style)
    panel.set_facecolor("black")
    panel.set_xlim(left, right)
    panel.set_ylim(*((top, bottom) if flip else (bottom, top)))
    panel.set_aspect("equal")
    share = 10.0 / (right - left)
    panel.plot([0.05, 0.05 + share], [0.05, 0.05], color="white", linewidth=2, transform=panel.transAxes)
    panel.text(0.05 + share / 2, 0.085, "10 mm", **{**style, "fontsize": 6, "weight": "normal"})
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_title(name, fontsize=9)


def _png(figure: Figure) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png", bbox_inches="tight", pad_inches=0.05, metadata={"Software": "Vertecast"})
    return stream.getvalue()
