"""Multigrid's promise: iterations that hardly grow with grid or contrast, void outside, long voxels; little memory."""

import tracemalloc

import numpy as np
import pytest

from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.elastic import prepare_elastic, solve


def column(n, contrast, spacing=(1.0, 1.0, 1.0)):
    """Mesh, moduli and constraints of an elliptic column in a stiff shell, void outside, between bonded faces."""
    rng = np.random.default_rng(n)
    x = (np.arange(n) + 0.5) / n - 0.5
    inside = (x[:, None] / 0.47) ** 2 + (x[None, :] / 0.36) ** 2
    mask = np.broadcast_to((inside < 1)[:, :, None], (n, n, n))
    core = np.broadcast_to((inside < (1 - 2.5 / n) ** 2)[:, :, None], mask.shape)
    young = np.where(core, 8000 / contrast * rng.uniform(1, 10, mask.shape), 8000.0)  # contrast: largest over least
    mesh = BrickMesh.from_mask(mask, spacing)
    fixed = np.zeros((3, *mesh.node_shape), dtype=bool)
    fixed[..., 0] = fixed[..., -1] = True
    values = np.zeros(fixed.shape)
    values[2, ..., -1] = -0.01
    return mesh, lame_parameters(mesh.pack(young), 0.3), Constraints(fixed, values)


def column_iterations(n, contrast, spacing=(1.0, 1.0, 1.0)):
    mesh, moduli, constraints = column(n, contrast, spacing)
    return solve(prepare_elastic(mesh, *moduli, constraints)).report.iterations


def test_iterations_hardly_grow_with_the_grid():
    counts = [column_iterations(n, 100) for n in (16, 32, 48)]
    assert max(counts) <= 1.3 * counts[0] + 1


@pytest.mark.parametrize(("contrast", "limit"), [(1e3, 45), (1e4, 80)])
def test_iterations_stay_few_at_high_contrast(contrast, limit):
    assert column_iterations(32, contrast) <= limit


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 3.0), (3.0, 1.0, 1.0), (1.0, 4.0, 2.0)])
def test_long_voxels_cost_few_iterations(spacing):
    assert column_iterations(24, 100, spacing) <= 35


def test_arrays_take_at_most_150_bytes_for_each_free_degree_of_freedom():
    mesh, moduli, constraints = column(40, 100)
    free = np.count_nonzero(mesh.nodes & ~constraints.fixed)
    solve(prepare_elastic(mesh, *moduli, constraints))  # what compiling and importing take is not counted
    tracemalloc.start()
    try:
        found = solve(prepare_elastic(mesh, *moduli, constraints))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.displacement.nbytes / free > 8  # the answer alone is counted, so the check can fail
    assert peak / free < 150
