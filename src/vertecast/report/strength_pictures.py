"""The picture of a strength test: force against shortening, the bone's density, and where it yields."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from vertecast.kernels.foam_law import NO_SIDEWAYS
from vertecast.mechanics.settings import Support
from vertecast.mechanics.strength import Strength, StrengthResult

_COLOURS = ("#1b5e9b", "#c2571a", "#3c7a3c")
_PADS = {Support.PMMA: "PMMA caps", Support.DISC: "discs"}
_MARGIN = 5.0  # mm around the body
_HIGHEST_STRAIN = 0.06  # end of the colour scale


def draw_strength(found: Strength, path: Path) -> None:
    """Draw the curves, and sagittal and coronal cuts through the body's middle for each alpha, to a PNG."""
    columns = 2 + len(found.results)
    figure = Figure(figsize=(3.4 * columns, 7.0), layout=ConstrainedLayoutEngine(hspace=0.08))
    grid = figure.add_gridspec(2, columns, width_ratios=[1.5] + [1.0] * (columns - 1))
    _draw_curves(figure.add_subplot(grid[:, 0]), found)
    body = np.isfinite(found.density)
    middle = tuple(round(float(places.mean())) for places in np.nonzero(body))
    cuts = (("sagittal", 0, "AP"), ("coronal", 1, "RL"))
    for row, (name, axis, ends) in enumerate(cuts):
        panel = figure.add_subplot(grid[row, 1])
        image = _show(panel, 1000 * found.density, (axis, middle[axis]), found, ("gray", 0.0, 300.0))
        panel.set_title(f"density, {name}")
        _mark_sides(panel, ends)
        if row == 1:
            figure.colorbar(image, ax=panel, label="mg/cm³", location="bottom", shrink=0.8)
        for column, one in enumerate(found.results):
            panel = figure.add_subplot(grid[row, 2 + column])
            scale = ("inferno", 0.0, 100 * _HIGHEST_STRAIN)
            image = _show(panel, 100 * one.plastic_strain, (axis, middle[axis]), found, scale)
            panel.set_title(f"yielded, {name}, {_shape(one)}")
            _mark_sides(panel, ends)
            if row == 1:
                figure.colorbar(image, ax=panel, label="plastic strain, %", location="bottom", shrink=0.8, extend="max")
    mark = "" if found.calibrated else " (uncalibrated)"
    figure.suptitle(
        f"{found.level}: {found.options.loading.value} load between {_PADS[found.options.support]}, "
        f"{found.options.voxel_mm:g} mm voxels{mark}. Research and education, not a medical device."
    )
    figure.savefig(path, dpi=110)


def _shape(one: StrengthResult) -> str:
    """Name a yield surface by what it does."""
    if one.alpha == 0.0:
        return "von Mises"
    return "no widening" if abs(one.alpha - NO_SIDEWAYS) < 1e-9 else f"α = {one.alpha:.2f}"


def _mark_sides(panel: Axes, ends: str) -> None:
    """Write the patient's sides at the edges, up and down too, and count in mm."""
    places = ((0.02, 0.5, ends[0], "left"), (0.98, 0.5, ends[1], "right"), (0.5, 0.97, "S", "center"))
    for x, y, letter, side in places:
        up = "top" if letter == "S" else "center"
        panel.text(x, y, letter, transform=panel.transAxes, ha=side, va=up, weight="bold", color="#333333")
    panel.set_ylabel("mm")


def _draw_curves(panel: Axes, found: Strength) -> None:
    for colour, one in zip(_COLOURS, found.results, strict=False):
        strain = 100 * one.curve.shortening / found.height
        panel.plot(strain, one.curve.force / 1000, ".-", color=colour, label=_shape(one))
        _mark_offset(panel, one, found.height, colour)
    panel.set_xlabel("shortening / body height, %")
    panel.set_ylabel("force, kN")
    panel.set_xlim(left=0)
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
    panel.legend(title="yield surface", loc="lower right")
    panel.set_title(f"stiffness {found.results[0].curve.stiffness / 1000:.1f} kN/mm; ○ 0.2 % offset")


def _mark_offset(panel: Axes, one: StrengthResult, height: float, colour: str) -> None:
    if one.offset.value is not None:
        place = float(np.interp(one.offset.value, one.curve.force, one.curve.shortening))
        panel.plot(100 * place / height, one.offset.value / 1000, "o", color=colour, mfc="none", ms=9)


def _show(
    panel: Axes,
    field: NDArray[np.floating],
    cut: tuple[int, int],
    found: Strength,
    scale: tuple[str, float, float],
) -> AxesImage:
    """Show a cut with superior up; sagittal has anterior on the left, coronal the patient's right on the left."""
    axis, index = cut
    plane = np.take(field, index, axis=axis).T
    h = found.options.voxel_mm
    extent = (0.0, plane.shape[1] * h, 0.0, plane.shape[0] * h)
    panel.set_facecolor("#d9d9d9")
    across, up = np.nonzero(np.isfinite(found.density).any(axis=axis))
    low, high = (h * np.array([edge(across), edge(up)]) for edge in (np.min, np.max))
    image = panel.imshow(
        np.ma.masked_invalid(plane), origin="lower", extent=extent, cmap=scale[0], vmin=scale[1], vmax=scale[2]
    )
    panel.set_xlim(low[0] - _MARGIN, high[0] + h + _MARGIN)
    panel.set_ylim(low[1] - _MARGIN, high[1] + h + _MARGIN)
    return image
