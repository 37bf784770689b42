"""The thin bony shell of the body: measured where the CT can tell, thinner and thicker by chance, broken where it is.

A voxel of 1 mm cannot show a cortex of 0.4 mm, but it keeps its mineral: what the density profile across the surface
has above a plain step from marrow bone to soft tissue, divided by the density of cortical bone, is the thickness.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.procedure.regions import Mask, Region
from vertecast.procedure.site import Site

Field = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellSettings:
    """How the shell is measured, and what of it the CT cannot show."""

    cortical_density: float = quantity("mg/mm3", "K2HPO4-equivalent density of cortical bone")
    reach: float = quantity("mm", "how far to either side of the surface the profile is read")
    shell_within: float = quantity("mm", "how far from the surface mineral still counts as the shell's")
    baseline_from: float = quantity("mm", "from where on the profile tells the bone inside and the tissue outside")
    step: float = quantity("mm", "step along the profile")
    patch: float = quantity("mm", "standard deviation of the smoothing along the surface")
    floor: float = quantity("1", "thinnest reading of a place that is no hole, share of the median")
    hole_share: float = quantity("1", "a reading below this share of the median is none, after smoothing")
    hole_area: float = quantity("mm2", "least area without cortical excess that is a hole")
    hole_voxel: float = quantity("mm", "coarsest voxel of a CT that can show a hole")
    largest: float = quantity("mm", "a thicker shell is an osteophyte or a pedicle's root")
    spread: float = quantity("1", "standard deviation of the logarithm of the thickness below the CT's resolution")
    patch_length: float = quantity("mm", "over which that variation stays alike")
    cracks: float = quantity("1", "mean number of shell cracks of a fractured body that the CT does not show")
    crack_radius: float = quantity("mm", "radius of such a crack's opening")
    cleft_reach: float = quantity("mm", "a shell nearer to a cleft than this is broken")


@dataclass(frozen=True, eq=False)
class Shell:
    """The shell of one body.

    Parameters
    ----------
    thickness : (nx, ny, nz), mm, of the shell over each surface cell of the vertebra; NaN elsewhere
    broken : (nx, ny, nz), surface cells without a shell
    gap : (nx, ny, nz), those of them through which a cleft's gap runs out; None without a cleft
    """

    thickness: Field
    broken: Mask
    gap: Mask | None = None

    def __post_init__(self) -> None:
        self.thickness.setflags(write=False)
        self.broken.setflags(write=False)


def load_shell() -> Loaded[ShellSettings]:
    """Load ``data/procedure/shell.toml``."""
    return load_parameters("procedure/shell.toml", ShellSettings)


def surface_cells(site: Site) -> Mask:
    """Mark the vertebra's cells that have a face in common with something else than bone."""
    outside = ~site.own & (site.regions != Region.NEIGHBOUR)
    return np.asarray(site.own & ndimage.binary_dilation(outside))


def measure_shell(site: Site, settings: ShellSettings, *, usual: float) -> Shell:
    """Measure the shell's pattern from the CT; its median is the usual thickness.

    Parameters
    ----------
    usual : mm
        Thickness of the middle of the distribution, and of the arch's shell.

    Notes
    -----
    Resolution and the labels' error move mineral along the profile but do not take it away, so that thin and thick
    places are told apart; the absolute thickness hangs on calibration and on where the label puts the surface, and is
    not taken from the CT. A place reads no thinner than ``floor`` of the median by itself, since noise is not a hole:
    a hole is a patch of ``hole_area`` or more with almost no cortical excess, in a CT fine enough to show one.
    """
    surface = surface_cells(site)
    cells = surface & site.body
    raw = _reading(site, _signed_depth(site), cells, settings)
    middle = max(float(np.median(raw[cells])) if cells.any() else 0.0, 1e-6)
    thickness = np.where(surface, usual, np.nan)
    thickness[cells] = np.clip(usual * np.maximum(raw[cells] / middle, settings.floor), 0.0, settings.largest)
    broken = np.zeros_like(surface)
    if site.source_voxel <= settings.hole_voxel:
        pieces, count = ndimage.label(cells & (raw <= settings.hole_share * middle), structure=np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1) * site.voxel_mm**2
        sizes[0] = 0.0
        broken = np.asarray(sizes[pieces] >= settings.hole_area)
    return Shell(thickness, broken)


def _reading(site: Site, depth: Field, cells: Mask, settings: ShellSettings) -> Field:
    """(nx, ny, nz), mm: cortical bone beyond a plain step across the surface, averaged along it; zero elsewhere."""
    at = np.argwhere(cells)
    normals = _outward(depth, at)
    away = np.arange(-settings.reach, settings.reach + 0.5 * settings.step, settings.step)
    points = (
        at[:, None, :] + (depth[tuple(at.T)][:, None, None] + away[None, :, None]) * normals[:, None, :] / site.voxel_mm
    )
    profile = ndimage.map_coordinates(
        site.density.astype(np.float64), np.moveaxis(points, -1, 0), order=1, mode="nearest"
    )
    # A quartile, so that the cortex itself, or the neighbour's endplate across a thin disc, does not count as baseline.
    inner = np.percentile(profile[:, away <= -settings.baseline_from], 25.0, axis=1)
    outer = np.percentile(profile[:, away >= settings.baseline_from], 25.0, axis=1)
    plain = np.where(away[None, :] < 0.0, inner[:, None], outer[:, None])
    near = np.abs(away) <= settings.shell_within
    excess = (profile - plain)[:, near].sum(axis=1) * settings.step
    out = np.zeros(site.grid.shape)
    out[tuple(at.T)] = excess / (settings.cortical_density - 0.5 * (inner + outer))
    return _smoothed(out, cells, settings.patch / site.voxel_mm)


def usual_shell(site: Site, usual: float) -> Shell:
    """Return the shell of one thickness everywhere, mm: for a site without a CT of its own."""
    thickness = np.where(surface_cells(site), usual, np.nan)
    return Shell(thickness, np.zeros(site.grid.shape, bool))


def with_cleft_break(shell: Shell, site: Site, settings: ShellSettings) -> Shell:
    """Break the shell where a cleft comes near it: a cleft is an unhealed fracture whose gap runs through cortex."""
    if not site.cleft.any():
        return shell
    near = ndimage.distance_transform_edt(~site.cleft, sampling=site.voxel_mm) <= settings.cleft_reach
    gap = near & np.isfinite(shell.thickness) & site.body
    return Shell(shell.thickness, shell.broken | gap, gap)


def drawn_shell(shell: Shell, site: Site, settings: ShellSettings, rng: np.random.Generator) -> Shell:
    """Vary the shell below the CT's resolution, and crack it where the body is fractured.

    The variation is a log-normal field of mean one; cracks are as many as a Poisson draw says, anywhere on the body.
    """
    noise = ndimage.gaussian_filter(rng.standard_normal(site.grid.shape), settings.patch_length / site.voxel_mm)
    noise *= settings.spread / max(float(noise.std()), 1e-12)
    thickness = shell.thickness * np.exp(noise - 0.5 * settings.spread**2)
    broken = shell.broken.copy()
    cells = np.argwhere(np.isfinite(thickness) & site.body)
    count = int(rng.poisson(settings.cracks)) if site.fractured and len(cells) else 0
    for centre in cells[rng.integers(len(cells), size=count)]:
        near = np.linalg.norm((cells - centre) * site.voxel_mm, axis=1) <= settings.crack_radius
        broken[tuple(cells[near].T)] = True
    return Shell(thickness, broken)


def _signed_depth(site: Site) -> Field:
    inside = ndimage.distance_transform_edt(site.own, sampling=site.voxel_mm)
    outside = ndimage.distance_transform_edt(~site.own, sampling=site.voxel_mm)
    return np.asarray(np.where(site.own, inside - 0.5 * site.voxel_mm, 0.5 * site.voxel_mm - outside))


def _outward(depth: Field, at: NDArray[np.intp]) -> Field:
    smooth = ndimage.gaussian_filter(depth, 1.5)
    normal = -np.stack([g[tuple(at.T)] for g in np.gradient(smooth)], axis=1)
    return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9))


def _smoothed(thickness: Field, cells: Mask, sigma: float) -> Field:
    """Average along the surface: only surface cells count."""
    weight = ndimage.gaussian_filter(cells.astype(float), sigma)
    total = ndimage.gaussian_filter(np.where(cells, thickness, 0.0), sigma)
    out = thickness.copy()
    out[cells] = total[cells] / np.maximum(weight[cells], 1e-12)
    return out
