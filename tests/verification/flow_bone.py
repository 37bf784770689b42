"""A made-up vertebral body for flow: one field in space, sampled on any grid, so that grids can be compared.

Uneven trabecular bone in a thin shell (a layer on the faces), soft tissue around it, an open vein from the middle of
the body out at the back, drained tissue at the edge. Nothing here is a patient's; sizes and contrasts are those of one.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vertecast.kernels.flow import (
    FlowSettings,
    FlowSystem,
    Fluids,
    PoreSpace,
    Source,
    edge_outlet,
    pore_space,
    prepare_flow,
    tip_cells,
)

FINE = 0.25
CLEAR = 6.0
"""mm of soft tissue around the body."""
K_BONE, K_TISSUE, K_SHELL, K_VEIN = 1e-2, 2e-5, 1e-6, 1e-1
SHELL = 0.4
MARROW = 4e-7


@dataclass(frozen=True)
class Body:
    """Half axes of the elliptic body (x left, y back), its height, the vein's radius, all mm; seed of the bone."""

    half_x: float = 22.0
    half_y: float = 16.0
    height: float = 27.0
    vein: float = 1.5
    seed: int = 5


@dataclass(frozen=True)
class Scene:
    """The body on one grid."""

    space: PoreSpace
    body: np.ndarray
    system: FlowSystem
    middle: np.ndarray
    step: int


def cement(speed, carried, cells):
    """Return a shear-thinning viscosity: 0.2 Pa.s at 1 mm/s, index 0.5, bounded."""
    return 2e-4 * np.clip(speed, 1e-3, 1e2) ** -0.5


def scene(body: Body, spacing: float, *, vein_open: bool = True, law=cement, settings=None) -> Scene:
    """Sample the body at ``spacing`` (a multiple of 0.25 mm) and give it its outlets."""
    step = round(spacing / FINE)
    extent = np.array([2 * body.half_x, 2 * body.half_y, body.height]) + 2 * CLEAR
    shape = tuple(int(n) for n in np.round(extent / 1.5) * 6 // step)
    fine = tuple(n * step for n in shape)
    x, y, z = ((np.arange(n) + 0.5) * FINE - 0.5 * n * FINE for n in (round(float(e) / 1.5) * 6 for e in extent))
    x, y, z = x[: fine[0], None, None], y[None, : fine[1], None], z[None, None, : fine[2]]
    inside = ((x / body.half_x) ** 2 + (y / body.half_y) ** 2 <= 1) & (np.abs(z) <= 0.5 * body.height)
    noise = _noise(tuple(round(float(e) / 1.5) for e in extent), body.seed)[: fine[0], : fine[1], : fine[2]]
    k = np.where(inside, K_BONE * np.exp(0.6 * noise), K_TISSUE)
    porosity = np.where(inside, np.clip(0.85 + 0.04 * noise, 0.6, 0.95), 0.3)
    tube = (x**2 + z**2 <= body.vein**2) & (y > 0.25 * body.half_y)
    k, porosity = np.where(tube, K_VEIN, k), np.where(tube, 1.0, porosity)
    k, porosity = _mean(k, step), _mean(porosity, step)
    body_cells = _mean((inside & ~tube).astype(float), step) >= 0.5
    vein_cells = _mean(tube.astype(float), step) >= 0.5
    space = pore_space(porosity, k, (spacing,) * 3, skin=_shell(body_cells, vein_cells, vein_open))
    ends = np.zeros(shape, dtype=bool)
    ends[:, -1] = vein_cells[:, -1]
    drain = edge_outlet(space, "tissue", ~ends, 1e-3)
    outlets = [drain, edge_outlet(space, "vein", ends, 1e-3)]
    system = prepare_flow(space, outlets, Fluids(law, MARROW), settings or FlowSettings())
    return Scene(space, body_cells, system, 0.5 * (np.array(shape) - 1) * spacing, step)


def tip(made: Scene, offset, rate: float, radius: float = 1.5) -> Source:
    """Return a tip at an offset (mm) from the middle."""
    cells, weights = tip_cells(made.space, made.middle + np.asarray(offset), radius)
    return Source(name="tip", cells=cells, weights=weights, rate=rate, radius=radius)


def _shell(body, vein, vein_open):
    """Return the layer on every face between the body and what is not body; the vein passes it."""
    skin = np.zeros((3, *body.shape))
    for axis in range(3):
        low = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        crossing = (body[low] != body[high]) & ~vein[low] & ~vein[high]
        skin[axis][low] = np.where(crossing, SHELL / K_SHELL, 0.0)
        if not vein_open:
            skin[axis][low] = np.where(vein[low] != vein[high], np.inf, skin[axis][low])
    return skin


def _noise(cells, seed):
    """Return a smooth field of unit variance on the finest grid, correlated over about 3 mm."""
    raw = np.random.default_rng(seed).standard_normal(cells)
    smooth = ndimage.gaussian_filter(raw, 1.2, mode="nearest")
    fine = ndimage.zoom(smooth, 6, order=1, grid_mode=True, mode="nearest")
    return fine / fine.std()


def _mean(field, step):
    nx, ny, nz = (n // step for n in field.shape)
    cut = field[: nx * step, : ny * step, : nz * step]
    return cut.reshape(nx, step, ny, step, nz, step).mean(axis=(1, 3, 5))
