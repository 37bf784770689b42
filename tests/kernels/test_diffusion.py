"""Cell diffusion: agrees with a sparse direct solve, conserves flux at any contrast, refuses what is undetermined."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from vertecast.core.errors import ConvergenceError, GeometryError, ParameterError
from vertecast.kernels.diffusion import Faces, harmonic_faces, prepare_diffusion, solve_diffusion
from vertecast.kernels.krylov import Stop

SHAPE = (12, 9, 15)


def random_case(seed=0, decades=6):
    rng = np.random.default_rng(seed)
    conductivity = 10 ** rng.uniform(-decades / 2, decades / 2, SHAPE)
    conductivity[3:5, 2:4, 4:9] = 0.0
    sink = np.zeros(SHAPE)
    sink[-1] = rng.random(SHAPE[1:])
    held = np.zeros(SHAPE, dtype=bool)
    held[0] = True
    source = np.where(conductivity > 0, rng.standard_normal(SHAPE), 0.0)
    return harmonic_faces(conductivity, (1.0, 0.8, 1.3)), sink, held, source, rng


def direct(faces, sink, held, source, values):
    """Solve the same balance with a sparse matrix written out cell by cell."""
    number = np.arange(sink.size).reshape(sink.shape)
    matrix = sparse.lil_matrix((sink.size, sink.size))
    matrix.setdiag(sink.ravel())
    for axis, face in enumerate((faces.x, faces.y, faces.z)):
        for cell in np.argwhere(face > 0):
            other = cell.copy()
            other[axis] += 1
            a, b, t = number[tuple(cell)], number[tuple(other)], face[tuple(cell)]
            matrix[a, a] += t
            matrix[b, b] += t
            matrix[a, b] -= t
            matrix[b, a] -= t
    matrix = matrix.tocsr()
    free = np.flatnonzero(~held.ravel() & (matrix.diagonal() > 0))
    u = np.where(held, values, 0.0).ravel()
    u[free] = spsolve(matrix[free][:, free].tocsc(), (source.ravel() - matrix @ u)[free])
    return u.reshape(sink.shape)


def test_agrees_with_the_sparse_direct_solve_at_contrast_1e6():
    faces, sink, held, source, rng = random_case()
    values = rng.standard_normal(SHAPE)
    found = solve_diffusion(
        prepare_diffusion(faces, sink=sink, held=held), source, values=values, stop=Stop(rtol=1e-12)
    )
    expected = direct(faces, sink, held, source, values)
    assert np.abs(found.u - expected).max() < 1e-8 * np.abs(expected).max()
    assert np.abs(direct(faces, 1.01 * sink, held, source, values) - expected).max() > 1e-8 * np.abs(expected).max()


def test_flux_is_conserved():
    faces, sink, held, source, _ = random_case(decades=3)
    found = solve_diffusion(prepare_diffusion(faces, sink=sink, held=held), source, values=2.0, stop=Stop(rtol=1e-12))
    balance = source[~held].sum() + (found.supply + source)[held].sum() - (sink * found.u).sum()
    assert abs(balance) < 1e-8 * np.abs(source).sum()


@pytest.mark.parametrize("contrast", [1e3, 1e6])
def test_iterations_stay_few_with_a_thousandfold_and_millionfold_cloud(contrast):
    n = 32
    x = (np.arange(n) + 0.5) / n - 0.5
    radius = np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2)
    conductivity = np.where(radius < 0.27, 1 / contrast, 1.0) * np.exp(
        np.random.default_rng(1).standard_normal((n, n, n))
    )
    held = np.zeros((n, n, n), dtype=bool)
    held[0] = True
    source = np.zeros((n, n, n))
    source[n // 2, n // 2, n // 2] = 1.0
    found = solve_diffusion(prepare_diffusion(harmonic_faces(conductivity, (1, 1, 1)), held=held), source)
    assert found.report.iterations <= 60
    assert found.supply.sum() == pytest.approx(-1.0, rel=1e-6)


def test_long_cells_and_flat_grids_converge():
    rng = np.random.default_rng(4)
    for shape, spacing in (((20, 20, 8), (1, 1, 3)), ((30, 30, 1), (1, 1, 1)), ((1, 1, 40), (1, 1, 1))):
        held = np.zeros(shape, dtype=bool)
        held[0, 0, 0] = True
        system = prepare_diffusion(harmonic_faces(1 + rng.random(shape), spacing), held=held)
        found = solve_diffusion(system, np.where(held, 0.0, 1.0))
        assert found.report.iterations <= 40
        assert found.supply.sum() == pytest.approx(-(np.prod(shape) - 1), rel=1e-6)


def test_start_and_failure():
    faces, sink, held, source, _ = random_case(decades=3)
    system = prepare_diffusion(faces, sink=sink, held=held)
    found = solve_diffusion(system, source)
    assert solve_diffusion(system, source, start=found.u).report.iterations <= 1
    with pytest.raises(ConvergenceError, match="after 1 iterations"):
        solve_diffusion(system, source, stop=Stop(max_iterations=1))


def test_refusals():
    ones = np.ones((4, 4, 4))
    faces = harmonic_faces(ones, (1, 1, 1))
    with pytest.raises(GeometryError, match=r"region of 64 cells from .* has no sink and no held cell"):
        prepare_diffusion(faces)
    split = ones.copy()
    split[2] = 0
    held = np.zeros(ones.shape, dtype=bool)
    held[0] = True
    with pytest.raises(GeometryError, match=r"region of 16 cells from \(3, 0, 0\)"):
        prepare_diffusion(harmonic_faces(split, (1, 1, 1)), held=held)
    for bad in (-1.0, np.nan):
        with pytest.raises(ParameterError, match="finite and not negative"):
            harmonic_faces(np.full((3, 3, 3), bad), (1, 1, 1))
        with pytest.raises(ParameterError, match="sink must be finite and not negative"):
            prepare_diffusion(faces, sink=bad)
        with pytest.raises(ParameterError, match="must be finite and not negative"):
            Faces(bad * ones, ones, ones)
    with pytest.raises(ParameterError, match="the last plane has no neighbour"):
        Faces(ones, ones, ones)
    with pytest.raises(ParameterError, match="does not fit the cells"):
        prepare_diffusion(faces, held=np.zeros((2, 2, 2)))
    system = prepare_diffusion(harmonic_faces(split, (1, 1, 1)), sink=np.where(split > 0, 1.0, 0.0))
    closed = np.zeros(ones.shape)
    closed[2, 1, 1] = 1.0
    with pytest.raises(ParameterError, match="closed on all sides"):
        solve_diffusion(system, closed)
    with pytest.raises(ParameterError, match="must be finite"):
        solve_diffusion(system, np.full(ones.shape, np.nan))
