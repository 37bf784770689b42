"""Cell diffusion against closed forms: order two in every axis, layers in series, all axis orders, scale of units."""

import itertools

import numpy as np
import pytest

from vertecast.kernels.diffusion import Faces, harmonic_faces, prepare_diffusion, solve_diffusion
from vertecast.kernels.krylov import Stop

TIGHT = Stop(rtol=1e-12)


def box_error(n, wave, mutant=1.0):
    """Error for u = prod sin(w x + 0.4) in an n x n x n cube whose faces are held through half a cell."""
    h = 1.0 / n
    x = (np.arange(n) + 0.5) * h
    parts = [np.sin(w * x + 0.4) for w in wave]
    exact = parts[0][:, None, None] * parts[1][None, :, None] * parts[2][None, None, :]
    source = mutant * (np.square(wave).sum()) * exact * h**3
    sink = np.zeros((n, n, n))
    for axis, w in enumerate(wave):
        for end, place in ((0, 0.0), (-1, 1.0)):
            window = tuple(end if a == axis else slice(None) for a in range(3))
            others = [parts[a] for a in range(3) if a != axis]
            face = np.sin(w * place + 0.4) * others[0][:, None] * others[1][None, :]
            sink[window] += 2 * h
            source[window] += 2 * h * face
    system = prepare_diffusion(harmonic_faces(np.ones((n, n, n)), (h, h, h)), sink=sink)
    found = solve_diffusion(system, source, stop=TIGHT).u
    return float(np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)))


@pytest.mark.parametrize("wave", [(2.0, 3.0, 2.5), (5.0, 0.0, 0.0), (0.0, 5.0, 0.0), (0.0, 0.0, 5.0)])
def test_order_two(wave):
    errors = [box_error(n, np.array(wave)) for n in (8, 16, 32)]
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.1)


def test_the_order_check_can_fail():
    errors = [box_error(n, np.array([2.0, 3.0, 2.5]), mutant=1.05) for n in (16, 32)]
    assert np.log2(errors[0] / errors[1]) < 1.5


@pytest.mark.parametrize("axis", range(3))
def test_layers_in_series_are_exact_at_contrast_1e6(axis):
    n, h = 24, 0.5
    layers = np.where(np.arange(n) < 9, 1.0, 1e-6)
    shape = [3, 4, 3]
    shape[axis] = n
    turned = layers.reshape([-1 if a == axis else 1 for a in range(3)])
    held = np.zeros(shape, dtype=bool)
    ends = [tuple(end if a == axis else slice(None) for a in range(3)) for end in (0, -1)]
    values = np.zeros(shape)
    for window, value in zip(ends, (3.0, 1.0), strict=True):
        held[window], values[window] = True, value
    system = prepare_diffusion(harmonic_faces(np.broadcast_to(turned, shape), (h, h, h)), held=held)
    found = solve_diffusion(system, values=values, stop=TIGHT)
    resistance = h * (8.5 / 1.0 + 14.5 / 1e-6) / (h * h * np.prod(shape) / n)
    assert found.supply[ends[0]].sum() == pytest.approx(2.0 / resistance, rel=1e-9)


def test_all_48_axis_orders_give_the_same_answer():
    rng = np.random.default_rng(3)
    shape, spacing = (6, 7, 9), np.array([1.0, 0.7, 1.4])
    conductivity, source = 10 ** rng.uniform(-2, 2, shape), rng.standard_normal(shape)
    sink = rng.random(shape)

    def answer(order, flips):
        def turned(field):
            return np.flip(field.transpose(order), flips).copy()

        faces = harmonic_faces(turned(conductivity), spacing[list(order)])
        u = solve_diffusion(prepare_diffusion(faces, sink=turned(sink)), turned(source), stop=TIGHT).u
        return np.flip(u, flips).transpose(np.argsort(order))

    first = answer((0, 1, 2), ())
    flips = [f for count in range(4) for f in itertools.combinations(range(3), count)]
    for order, flip in itertools.product(itertools.permutations(range(3)), flips):
        assert np.abs(answer(order, flip) - first).max() < 1e-10 * np.abs(first).max()
    sink[0, 0, 0] += 1e-3
    assert np.abs(answer((0, 1, 2), ()) - first).max() > 1e-10 * np.abs(first).max(), "this check cannot fail"


def test_units_do_not_matter():
    rng = np.random.default_rng(6)
    faces = harmonic_faces(rng.random((8, 8, 8)), (1, 1, 1))
    source = rng.standard_normal((8, 8, 8))
    first = solve_diffusion(prepare_diffusion(faces, sink=0.1), source, stop=TIGHT).u
    small = Faces(*(1e-12 * f for f in (faces.x, faces.y, faces.z)))
    second = solve_diffusion(prepare_diffusion(small, sink=1e-13), 1e-12 * source, stop=TIGHT).u
    assert np.allclose(first, second, rtol=1e-9, atol=0)
