"""The picture of a lift: before, inflated, let go and cemented; pressure against volume; where the endplate rose."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.levels import Level
from vertecast.kernels.cavity import CavityState
from vertecast.procedure.fractured import Tissue
from vertecast.procedure.lift import Lift
from vertecast.procedure.lift_measure import lift_map, rise
from vertecast.procedure.lift_outcome import Displacement
from vertecast.procedure.state import LevelState, State
from vertecast.report.case_report_words import readable, spoken
from vertecast.report.cement_pictures import NOTICE

Image = NDArray[np.float64]
_BEFORE, _NOW, _BALLOON, _BAND, _DISC = "#8a8a8a", "#39c0c8", "#ff5fa2", "#ffd23f", "#8ab4f8"
_FINE = 0.4  # mm, pixels of the sagittal pictures
_SIDES = ("#ff9f43", "#4aa3ff")


def draw_lift(state: State, name: Level, path: Path) -> None:
    """Draw one level's lift to a PNG; the planes go through the first tool.

    Raises
    ------
    ValueError
        For a level without a cavity tool.
    """
    level = state.at(name)
    if level.lift is None:
        raise ValueError(f"{name} has no cavity tool, so there is no lift to draw")
    lift = level.lift
    figure = Figure(figsize=(15.0, 8.4), dpi=110, facecolor="black", layout="constrained")
    panels = figure.subplots(2, 4)
    prone = lift.moments["prone"]
    shown = (("prone, tools in", "prone"), ("inflated", "inflated"), ("let go", "deflated"), ("cemented", "deflated"))
    for axes, (title, moment) in zip(panels[0], shown, strict=True):
        _draw_sagittal(axes, lift, lift.moments[moment], level if title == "cemented" else None)
        gained = rise(lift.level, lift.moments[moment], prone)
        axes.set_title(
            f"{title}: {gained.front:+.1f} / {gained.middle:+.1f} / {gained.back:+.1f} mm", color="w", fontsize=9
        )
    _draw_curve(panels[1, 0], lift)
    _draw_map(panels[1, 1], lift, "inflated")
    _draw_map(panels[1, 2], lift, "deflated")
    _draw_text(panels[1, 3], lift)
    tools = ", ".join(sorted({tool.name for tool in lift.tools}))
    figure.suptitle(
        f"{name}: lift with {tools}; endplate's rise in front / middle / behind since lying prone", color="w"
    )
    figure.supxlabel(NOTICE, color="#9e9e9e", fontsize=7)
    figure.savefig(path, facecolor="black")


def _draw_sagittal(axes: Axes, lift: Lift, state: CavityState, cemented: LevelState | None) -> None:
    """Draw the sagittal plane through the first tool: the bone's outline before and now, cavity, band, discs."""
    level, h = lift.level, lift.level.site.voxel_mm
    x = float(lift.tools[0].skin.centre[0])
    depth, height = (n * h for n in level.tissue.shape[1:])
    y, z = np.meshgrid(np.arange(0, depth, _FINE), np.arange(0, height, _FINE), indexing="ij")
    here = np.stack([np.full(y.size, x), y.ravel(), z.ravel()])
    source = Displacement.of(level, state).before(here)

    def seen(cells: NDArray[np.generic], places: Image) -> Image:
        index = places / h - 0.5
        found = ndimage.map_coordinates(np.asarray(cells, float), index, order=1, mode="nearest")
        return np.asarray(found.reshape(y.shape))

    axes.set_facecolor("black")
    extent = (0.0, depth, 0.0, height)
    axes.imshow(
        seen(level.density, source).T * (seen(level.body, source) > 0.5).T,
        cmap="gray", vmin=0.0, vmax=0.35, extent=extent, origin="lower",
    )  # fmt: skip
    lines = (y[:, 0], z[0])
    disc = np.isin(level.tissue, (Tissue.ANNULUS, Tissue.NUCLEUS))
    for cells, colour, where in (
        (level.body, _BEFORE, here),
        (level.body, _NOW, source),
        (disc, _DISC, source),
        (level.tissue == Tissue.BAND, _BAND, source),
    ):
        field = seen(cells, where)
        if field.max() > 0.5 > field.min():
            axes.contour(*lines, field.T, levels=[0.5], colors=colour, linewidths=1.0)
    cavity = np.min([_nodal(one, here, h) for one in state.cavities], axis=0).reshape(y.shape)
    if cavity.min() < 0:
        axes.contourf(*lines, cavity.T, levels=[-99.0, 0.0], colors=[_BALLOON], alpha=0.15 if cemented else 0.6)
    if cemented is not None:
        index = cemented.bed.site.grid.to_voxel(level.lps(here)).T
        fraction = ndimage.map_coordinates(cemented.cement_fraction, index, order=1, cval=0.0).reshape(y.shape)
        axes.imshow(
            np.where(fraction > 0.1, fraction, np.nan).T,
            cmap="autumn", vmin=0.0, vmax=1.0, extent=extent, origin="lower", alpha=0.8,
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    for text, place in (("A", (0.03, 0.5)), ("P", (0.97, 0.5)), ("S", (0.5, 0.97)), ("I", (0.5, 0.03))):
        axes.text(*place, text, color="w", fontsize=8, ha="center", va="center", transform=axes.transAxes)


def _nodal(distance: Image, places: Image, spacing: float) -> Image:
    return np.asarray(ndimage.map_coordinates(distance, places / spacing, order=1, mode="nearest"))


def _draw_curve(axes: Axes, lift: Lift) -> None:
    axes.set_facecolor("black")
    for k, tool in enumerate(lift.tools):
        volume = [point.injected[k] / 1000.0 for point in lift.curve]
        pressure = [10.0 * point.pressures[k] for point in lift.curve]
        axes.plot(volume, pressure, "-o", markersize=3, color=_SIDES[k % 2], label=tool.side.value)
    rated = lift.tools[0].rated_pressure
    highest = max((10.0 * p for point in lift.curve for p in point.pressures), default=0.0)
    if rated is not None and 10.0 * rated < 1.6 * highest:
        axes.axhline(10.0 * rated, color="#ff4d4d", linewidth=0.8)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("pushed in, mL", color="w", fontsize=8)
    axes.set_ylabel("pressure, bar", color="w", fontsize=8)
    axes.tick_params(colors="w", labelsize=7)
    axes.grid(color="#444444", linewidth=0.5)
    axes.legend(fontsize=7, facecolor="black", labelcolor="w")
    axes.set_title("pressure against volume", color="w", fontsize=9)


def _draw_map(axes: Axes, lift: Lift, moment: str) -> None:
    """Draw the superior endplate's rise, seen from above, anterior up."""
    level, h = lift.level, lift.level.site.voxel_mm
    field = lift_map(level, lift.moments[moment], lift.moments["prone"])
    largest = max(float(np.nanmax(np.abs(lift_map(level, lift.moments["inflated"], lift.moments["prone"])))), 0.1)
    extent = (-h / 2, (field.shape[0] - 0.5) * h, (field.shape[1] - 0.5) * h, -h / 2)
    image = axes.imshow(field.T, cmap="RdBu_r", vmin=-largest, vmax=largest, extent=extent, origin="upper")
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.97, "A", color="w", fontsize=8, ha="center", va="center", transform=axes.transAxes)
    axes.text(0.03, 0.5, "R", color="w", fontsize=8, ha="center", va="center", transform=axes.transAxes)
    axes.text(0.97, 0.5, "L", color="w", fontsize=8, ha="center", va="center", transform=axes.transAxes)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7)
    bar.ax.tick_params(colors="w", labelsize=7)
    axes.set_title(f"superior endplate's rise, {moment}, mm", color="w", fontsize=9)


def _draw_text(axes: Axes, lift: Lift) -> None:
    axes.set_axis_off()
    level = lift.level
    lines = [
        f"{tool.side.value}: {tool.name}, {spoken(lift.ended.get(tool.side, 'not inflated'))}" for tool in lift.tools
    ]
    for name in ("inflated", "deflated"):
        state = lift.moments[name]
        volumes = " + ".join(f"{v / 1000:.2f}" for v in state.volumes(level.spacing))
        pressures = " / ".join(f"{10 * p:.1f}" for p in state.pressures)
        lines.append(f"{name}: cavities {volumes} mL at {pressures} bar")
    if "standing" in lift.moments:
        gained = rise(level, lift.moments["prone"], lift.moments["standing"])
        lines.append(f"by lying prone alone: {gained.front:.2f} / {gained.middle:.2f} / {gained.back:.2f} mm")
    lines.append(f"density: CT {1000 * level.density_ct:.0f} mg/cm³")
    if level.density_mapped is not None:
        lines.append(f"  from intact neighbours {1000 * level.density_mapped:.0f} mg/cm³ (used)")
    if not level.site.calibrated:
        lines.append("uncalibrated density")
    lines += ["", "grey: body on the CT", "cyan: now; blue: discs", "yellow: crushed band", "pink: cavity"]
    lines += [f"! {readable(note)}" for note in lift.notes]
    axes.text(0.0, 1.0, "\n".join(lines), color="w", fontsize=8, va="top", family="monospace", wrap=True)
