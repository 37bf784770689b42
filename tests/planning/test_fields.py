"""Proves the distance fields on tilted cylinders of known radius: how deep in bone a point is, to a fifth of a voxel.

The allowance for their error in every hard gate (``field_error``) is what is held here.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vertecast.core.errors import GeometryError
from vertecast.core.frames import LPS, Transform
from vertecast.imaging.grid import Grid
from vertecast.planning.fields import Lattice, distance_from, signed_depth, soft_sample
from vertecast.planning.trajectory_rules import trajectory_rules

LATTICE = Lattice(half_x=12.0, y=(-12.0, 12.0), z=(-12.0, 12.0), pitch=0.75)
FRAME = Transform(np.eye(4), "vert:L1", LPS)
RULES = trajectory_rules().values


def cylinder(radius: float, spacing: float, seed: int) -> tuple[NDArray[np.bool_], Grid, NDArray[np.float64]]:
    """Return a tilted cylinder through the origin as a mask, its grid, and its axes as columns."""
    rng = np.random.default_rng(seed)
    first = 90.0 * (seed % 2)
    turn = Rotation.from_euler("xyz", [first + rng.uniform(-30, 30), rng.uniform(-30, 30), 0], degrees=True).as_matrix()
    count = int(np.ceil(34.0 / spacing))
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = -0.5 * (count - 1) * spacing + rng.uniform(-0.5, 0.5, 3) * spacing
    grid = Grid.from_affine((count, count, count), matrix)
    local = grid.to_lps(np.moveaxis(np.indices(grid.shape), 0, -1)) @ turn
    return np.hypot(local[..., 0], local[..., 1]) < radius, grid, turn


def errors(spacing: float) -> NDArray[np.float64]:
    """Sampled minus true depth, mm, 0.5 to 2.8 mm below the surface: where a gate is decided."""
    found = []
    for seed in range(4):
        for radius in (4.0, 7.0):
            mask, grid, turn = cylinder(radius, spacing, seed)
            rng = np.random.default_rng(100 + seed)
            angle, depth = rng.uniform(0, 2 * np.pi, 1500), rng.uniform(0.5, 2.8, 1500)
            away = radius - depth
            local = np.column_stack([away * np.cos(angle), away * np.sin(angle), rng.uniform(-6, 6, 1500)])
            field = signed_depth(soft_sample(mask, grid, FRAME, LATTICE), LATTICE)
            found.append(field.at(local @ turn.T) - depth)
    return np.concatenate(found)


@pytest.mark.parametrize(("spacing", "spread"), [(0.6, 0.08), (0.8, 0.11), (1.0, 0.14)])
def test_depth_is_unbiased_and_rarely_too_deep(spacing: float, spread: float) -> None:
    away = errors(spacing)
    assert abs(away.mean()) < 0.05
    assert away.std() < spread
    assert np.percentile(away, 95.0) < RULES.field_error


def test_distance_from_a_region_is_that_of_its_surface() -> None:
    mask, grid, turn = cylinder(5.0, 0.8, 3)
    field = distance_from(soft_sample(mask, grid, FRAME, LATTICE), LATTICE)
    angle = np.linspace(0.0, 2 * np.pi, 200)
    local = np.column_stack([8.0 * np.cos(angle), 8.0 * np.sin(angle), np.linspace(-5, 5, 200)])
    assert field.at(local @ turn.T) == pytest.approx(np.full(200, 3.0), abs=0.3)
    assert float(field.at(np.zeros((1, 3)))[0]) == 0.0


def test_nothing_is_very_far() -> None:
    nothing = np.zeros(LATTICE.shape, np.float32)
    assert distance_from(nothing, LATTICE).values.min() > 100.0
    assert signed_depth(nothing, LATTICE).values.max() < -100.0


def test_a_mask_that_is_not_the_grids_is_refused() -> None:
    mask, grid, _ = cylinder(4.0, 1.0, 0)
    with pytest.raises(GeometryError, match=r"mask has shape \(34, 34, 33\), its grid \(34, 34, 34\); crop both alike"):
        soft_sample(mask[..., :-1], grid, FRAME, LATTICE)


def test_these_checks_can_fail() -> None:
    """Lattice distances without the place of the surface between the points are off by a third of the pitch."""
    mask, grid, _ = cylinder(7.0, 0.8, 0)
    field = signed_depth((soft_sample(mask, grid, FRAME, LATTICE) >= 0.5).astype(np.float32), LATTICE)
    exact = signed_depth(soft_sample(mask, grid, FRAME, LATTICE), LATTICE)
    inside = exact.values > 1.0
    assert np.abs(field.values - exact.values)[inside].mean() > 0.1
