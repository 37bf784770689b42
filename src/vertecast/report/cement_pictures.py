"""The picture of the cement of one level: three planes through it, and the vertebra seen through from two sides."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from vertecast.core.levels import Level
from vertecast.procedure.leaks import in_vein
from vertecast.procedure.needle import Needle
from vertecast.procedure.regions import Region, Route
from vertecast.procedure.site import Site
from vertecast.procedure.state import LevelState, State
from vertecast.report.case_report_words import minutes, spoken
from vertecast.report.relief import RELIEF_EXTENT, camera_along, camera_from_behind, depth_image, shaded

Image = NDArray[np.float64]
NOTICE = "Vertecast · research and education, not a medical device"
_BONE, _DISC, _CANAL, _NEEDLE, _VEIN = "#39c0c8", "#8ab4f8", "#ffd23f", "#d0d0d0", "#7a7aff"
_CEMENT = LinearSegmentedColormap.from_list("cement", ["#7a1f00", "#ff7a1a", "#ffe9a8"])
_SHOWN = 0.05  # volume of cement per voxel from which it is drawn
_NEAR = 3.0  # mm from a plane within which a needle is drawn on it

_PLANES = (
    ("axial", 2, (0, 1), ("R", "L"), ("A", "P")),
    ("coronal", 1, (0, 2), ("R", "L"), ("I", "S")),
    ("sagittal", 0, (1, 2), ("A", "P"), ("I", "S")),
)


def draw_cement(state: State, name: Level, path: Path) -> None:
    """Draw one level after the procedure to a PNG: where the cement is and when it got there, leaks named."""
    level = state.at(name)
    centre = _centre(level)
    figure = Figure(figsize=(13.5, 8.6), dpi=110, facecolor="black", layout="constrained")
    panels = figure.subplots(2, 3)
    image: AxesImage | None = None
    for axes, plane in zip(panels[0], _PLANES, strict=True):
        image = _draw_plane(axes, level, plane, centre) or image
    _draw_relief(panels[1, 0], level, behind=True)
    _draw_relief(panels[1, 1], level, behind=False)
    _draw_text(panels[1, 2], state, name)
    if image is not None:
        bar = figure.colorbar(image, ax=panels[0], shrink=0.75, pad=0.01)
        bar.set_label("cement arrived, s after the first", color="white", fontsize=8)
        bar.ax.tick_params(colors="white", labelsize=7)
    done = "vertebroplasty" if level.lift is None else "kyphoplasty"
    figure.suptitle(f"{name} after {done}", color="white", fontsize=12)
    figure.supxlabel(NOTICE, color="#9e9e9e", fontsize=7)
    figure.savefig(path, facecolor="black")


def _centre(level: LevelState) -> NDArray[np.intp]:
    """Return the cell through which the planes go: the cement's centroid, or the body's."""
    weights = level.cement_fraction
    if not weights.any():
        weights = level.bed.site.body.astype(float)
    places = np.argwhere(weights > 0)
    return np.asarray(np.rint(np.average(places, axis=0, weights=weights[tuple(places.T)])), np.intp)


def _draw_plane(
    axes: Axes,
    level: LevelState,
    plane: tuple[str, int, tuple[int, int], tuple[str, str], tuple[str, str]],
    centre: NDArray[np.intp],
) -> AxesImage | None:
    name, axis, across, sides, ends = plane
    site = level.bed.site
    lines = [site.lines[a] for a in across]
    half = site.voxel_mm / 2
    extent = (lines[0][0] - half, lines[0][-1] + half, lines[1][0] - half, lines[1][-1] + half)
    cut = int(centre[axis])

    def layer(field: NDArray[np.generic]) -> Image:
        return np.asarray(np.take(field, cut, axis=axis).T, float)

    axes.set_facecolor("black")
    axes.imshow(layer(site.density), cmap="gray", vmin=-0.1, vmax=0.6, extent=extent, origin="lower")
    fraction = layer(level.cement_fraction)
    image = None
    if (level.cement_fraction > _SHOWN).any():
        began = float(level.arrival[np.isfinite(level.arrival)].min())
        last = float(level.arrival[np.isfinite(level.arrival)].max()) - began
        when = np.where(fraction > _SHOWN, layer(level.arrival) - began, np.nan)
        image = axes.imshow(
            when, cmap=_CEMENT, vmin=0.0, vmax=max(last, 1.0), extent=extent, origin="lower", alpha=0.85
        )
    for mask, colour in (
        (site.own, _BONE),
        (site.regions == Region.DISC, _DISC),
        ((site.regions == Region.CANAL), _CANAL),
    ):
        if layer(mask).any():
            axes.contour(*lines, layer(mask), levels=[0.5], colors=colour, linewidths=0.8)
    for needle in level.tools.values():
        _draw_needle(axes, site, needle, (axis, across, float(site.lines[axis][cut])))
    _draw_veins(axes, level, across)
    if name == "axial":
        axes.set_ylim(extent[3], extent[2])  # anterior up, as on a CT
    _letters(axes, sides, ends)
    axes.set_title(name, color="white", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    return image


def _draw_needle(axes: Axes, site: Site, needle: Needle, plane: tuple[int, tuple[int, int], float]) -> None:
    """Draw the part of a needle that lies near the plane, and its tip."""
    axis, across, height = plane
    tip, entry = site.vert_from_lps.apply(np.stack([needle.tip_lps, needle.entry_lps]))
    points = tip + np.linspace(0.0, 1.2, 200)[:, None] * (entry - tip)
    near = np.abs(points[:, axis] - height) <= _NEAR
    path = np.where(near[:, None], points[:, across], np.nan)
    axes.plot(path[:, 0], path[:, 1], color=_NEEDLE, linewidth=2.0, alpha=0.8)
    if abs(tip[axis] - height) <= 2.0 * _NEAR:
        axes.plot(*tip[list(across)], marker="x", color="#ff4d4d", markersize=7, markeredgewidth=2)


def _draw_veins(axes: Axes, level: LevelState, across: tuple[int, int]) -> None:
    """Draw the drawn veins as thin lines, and cement in them outside the body as thick ones."""
    for vein in level.bed.veins:
        axes.plot(*vein.course[:, across].T, color=_VEIN, linewidth=0.8, alpha=0.8)
    if level.flow is None:
        return
    for drain in level.bed.drains:
        length, _ = in_vein(drain, level.flow)
        if drain.vein is not None and length > 0.5:
            ends = np.stack([drain.vein.course[0], drain.vein.course[0] + length * drain.vein.outward])
            axes.plot(*ends[:, across].T, color="#ff7a1a", linewidth=3.0)


def _draw_relief(axes: Axes, level: LevelState, *, behind: bool) -> None:
    """Draw the vertebra as glass with the cement in it."""
    site = level.bed.site
    left, posterior, superior = site.vert_from_lps.axes
    camera = (
        camera_from_behind(site.vert_from_lps)
        if behind
        else camera_along(0.75 * posterior - 0.35 * superior - 0.55 * left, superior)
    )
    centre = site.vert_from_lps.origin
    axes.set_facecolor("black")
    bone = shaded(depth_image(site.own, site.grid, centre, camera))
    axes.imshow(bone, cmap="bone", vmin=0.0, vmax=1.3, extent=RELIEF_EXTENT, origin="lower")
    filled = level.cement_fraction > 0.25 * float(level.bed.porosity[site.body].mean())
    if filled.any():
        cement = shaded(depth_image(filled, site.grid, centre, camera))
        shown = np.where(cement > 0.0, cement, np.nan)
        axes.imshow(shown, cmap=_CEMENT, vmin=0.1, vmax=1.0, extent=RELIEF_EXTENT, origin="lower", alpha=0.8)
    axes.set_xlim(-36, 36)
    axes.set_ylim(-30, 30)
    axes.set_xticks([])
    axes.set_yticks([])
    where = "from behind, left and above" if behind else "from in front, left and above"
    axes.set_title(f"{where} (bone as glass)", color="white", fontsize=9)


def _draw_text(axes: Axes, state: State, name: Level) -> None:
    level = state.at(name)
    axes.set_axis_off()
    lines = [f"injected {level.cement_volume / 1000:.2f} mL"]
    lines += [f"  {side}: {volume / 1000:.2f} mL" for side, volume in level.injected.items()]
    lines.append(f"outside the vertebra {level.leaked_volume / 1000:.3f} mL")
    for route in Route:
        leak = level.leaks[route]
        since = f", from {minutes(leak.onset)} min" if leak.onset is not None else ""
        kind = f" ({route.value})" if len(route.value) == 1 else ""
        lines.append(f"  {route}{kind}: {leak.volume / 1000:.3f} mL{since}")
    lines.append(f"highest pressure at the syringe {10 * level.peak_pressure:.1f} bar")
    for event in state.stream():
        if event.level is name and event.kind.value == "stop":
            lines.append(f"{event.side}: stopped at {minutes(event.t_s)} min, {spoken(str(event.data['reason']))}")
    if level.heat is not None and level.cured:
        lines.append(f"hottest cement {float(level.heat.peak.max()) - 273.15:.0f} °C")
    if not level.bed.site.calibrated:
        lines.append("uncalibrated density")
    axes.text(0.0, 1.0, "\n".join(lines), color="white", fontsize=9, va="top", family="monospace")


def _letters(axes: Axes, sides: tuple[str, str], ends: tuple[str, str]) -> None:
    """Write the directions at the edges: low and high end of both axes."""
    style: dict[str, Any] = {
        "color": "white",
        "fontsize": 8,
        "ha": "center",
        "va": "center",
        "transform": axes.transAxes,
    }
    low, high = (1.0, 0.0) if ends == ("A", "P") else (0.0, 1.0)
    axes.text(0.03, 0.5, sides[0], **style)
    axes.text(0.97, 0.5, sides[1], **style)
    axes.text(0.5, 0.03 + 0.94 * low, ends[0], **style)
    axes.text(0.5, 0.03 + 0.94 * high, ends[1], **style)
