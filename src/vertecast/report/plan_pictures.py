"""Pictures of a needle plan: two oblique slices along each needle, the pedicle's cross-section, and a 3-D view."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from vertecast.imaging.volume import LabelMap, Volume
from vertecast.planning.trajectory import NeedlePath
from vertecast.planning.trajectory_plan import LevelPlan
from vertecast.report.planes import Plane
from vertecast.report.relief import draw_relief
from vertecast.spine.anatomy import Anatomy

BONE_WINDOW = (-200.0, 900.0)
NOTICE = "Vertecast · research and education, not a medical device"
_TUBE, _MARGIN, _BONE, _OTHER, _TARGET = "#39c0c8", "#ffd23f", "#ff8a65", "#9e9e9e", "#ff4d4d"
_OUTLINED = [withStroke(linewidth=2.0, foreground="black")]
_MARGIN_MM = 1.0


def draw_plan(plan: LevelPlan, anatomy: Anatomy, labels: LabelMap, volume: Volume | None, path: Path) -> None:
    """Draw the best plan of a level: one row for each needle, and the 3-D view at the right."""
    needles = plan.plans[0].needles
    figure = Figure(figsize=(12.0, 3.7 * len(needles) + 0.4), dpi=125, facecolor="black", layout="constrained")
    grid = figure.add_gridspec(len(needles), 4, width_ratios=(1.25, 1.25, 0.8, 1.2))
    for row, needle in enumerate(needles):
        cells = [figure.add_subplot(grid[row, column]) for column in range(3)]
        _draw_along(cells[0], needle, anatomy, labels, volume, upwards=False)
        _draw_along(cells[1], needle, anatomy, labels, volume, upwards=True)
        _draw_across(cells[2], needle, anatomy, labels, volume)
    draw_relief(figure.add_subplot(grid[:, 3]), plan.plans[0].needles, anatomy)
    figure.suptitle(f"{plan.sentence}", color="white", fontsize=11)
    figure.supxlabel(f"along the needle, axial and sagittal oblique · {NOTICE}", color="#9e9e9e", fontsize=7)
    figure.savefig(path)


def _draw_along(
    axes: Axes, needle: NeedlePath, anatomy: Anatomy, labels: LabelMap, volume: Volume | None, *, upwards: bool
) -> None:
    """Draw the slice that holds the needle and runs across (axial oblique) or along the spine (sagittal oblique)."""
    forward = needle.forward_lps
    left, _, superior = anatomy.vert_from_lps.axes
    across = _orthogonal(superior if upwards else left, forward)
    # The needle comes from the top in the axial slice and from the right, posterior, in the sagittal one.
    right, up = (-forward, across) if upwards else (across, -forward)
    extent = (-30.0, 60.0, -40.0, 40.0) if upwards else (-45.0, 45.0, -30.0, 60.0)
    plane = Plane.across(needle.tip_lps, right, up, extent)
    _show(axes, plane, labels, volume, anatomy)
    length = float(np.linalg.norm(needle.tip_lps - needle.entry_lps))
    ends = np.array([0.0, 58.0])
    for offset, colour, style in (
        (needle.tool.radius, _TUBE, "-"),
        (needle.tool.radius + _MARGIN_MM, _MARGIN, ":"),
    ):
        for sign in (-1.0, 1.0):
            along, side = ends, np.full(2, sign * offset)
            axes.plot(*((along, side) if upwards else (side, along)), color=colour, linestyle=style, linewidth=1.2)
    entry = (length, 0.0) if upwards else (0.0, length)
    axes.plot(*entry, marker="o", color=_TUBE, markersize=4, markeredgecolor="black")
    away = needle.target_lps - needle.tip_lps
    axes.plot(float(away @ right), float(away @ up), marker="x", color=_TARGET, markersize=8, markeredgewidth=2)
    name = "sagittal oblique" if upwards else "axial oblique"
    clear = needle.clearances
    axes.set_title(
        f"{needle.side} {needle.approach.value}, {name}\n{needle.tool.name}: canal {clear['canal']:.1f}, "
        f"root {clear['nerve_root']:.1f}, wall {clear['bone_wall']:.1f} mm; robust {needle.robustness:.0%}",
        color="white",
        fontsize=8,
    )
    _letters(axes, extent, ("A", "P", "S", "I") if upwards else ("R", "L", "P", "A"))


def _draw_across(axes: Axes, needle: NeedlePath, anatomy: Anatomy, labels: LabelMap, volume: Volume | None) -> None:
    """Draw the section across the needle where it passes closest to the outside of the bone: at the posterior wall."""
    left, _, superior = anatomy.vert_from_lps.axes
    across = _orthogonal(left, needle.forward_lps)
    up = _orthogonal(superior, needle.forward_lps)
    up = _orthogonal(up, across)
    y = anatomy.vert_from_lps.apply(np.stack([needle.tip_lps, needle.entry_lps]))[:, 1]
    wall = float(np.percentile(anatomy.coordinates()[anatomy.body][:, 1], 97.0)) + 4.0
    share = float(np.clip((wall - y[0]) / (y[1] - y[0]), 0.0, 1.0))
    centre = needle.tip_lps + share * (needle.entry_lps - needle.tip_lps)
    extent = (-22.0, 22.0, -22.0, 22.0)
    _show(axes, Plane.across(centre, across, up, extent), labels, volume, anatomy)
    for radius, colour, style in (
        (needle.tool.radius, _TUBE, "-"),
        (needle.tool.radius + _MARGIN_MM, _MARGIN, ":"),
    ):
        axes.add_patch(Circle((0.0, 0.0), radius, fill=False, color=colour, linestyle=style, linewidth=1.4))
    axes.set_title("across the needle,\n4 mm behind the posterior wall", color="white", fontsize=8)
    _letters(axes, extent, ("R", "L", "S", "I"))


def _orthogonal(vector: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    out = vector - to * float(vector @ to)
    return np.asarray(out / np.linalg.norm(out))


def _show(axes: Axes, plane: Plane, labels: LabelMap, volume: Volume | None, anatomy: Anatomy) -> None:
    """Show CT, or a plain ground without one, with this vertebra and the others outlined."""
    axes.set_facecolor("black")
    if volume is not None:
        hu = plane.sampled(volume.hu, volume.grid, order=1, outside=-1000.0)
        low, high = BONE_WINDOW
        axes.imshow(hu, cmap="gray", vmin=low, vmax=high, extent=plane.extent_mm, interpolation="bilinear")
    left, right, bottom, top = plane.extent_mm
    own = plane.sampled(anatomy.mask.astype(np.float32), anatomy.grid, order=1, outside=0.0)
    every = plane.sampled((labels.labels > 0).astype(np.float32), labels.grid, order=1, outside=0.0)
    rows, columns = own.shape
    x = np.linspace(left, right, columns)
    y = np.linspace(top, bottom, rows)
    for mask, colour in ((every, _OTHER), (own, _BONE)):
        if mask.max() > 0.5 > mask.min():
            axes.contour(x, y, mask, levels=[0.5], colors=[colour], linewidths=0.9)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])


def _letters(axes: Axes, extent: tuple[float, float, float, float], names: tuple[str, str, str, str]) -> None:
    """Write the directions at the edges: left, right, top, bottom of the picture."""
    left, right, bottom, top = extent
    at = ((left + 3, 0.5 * (bottom + top)), (right - 3, 0.5 * (bottom + top)), (0.5 * (left + right), top - 3))
    for name, (x, y) in zip(names, (*at, (0.5 * (left + right), bottom + 3)), strict=True):
        axes.text(x, y, name, color="white", fontsize=8, ha="center", va="center", path_effects=_OUTLINED)
