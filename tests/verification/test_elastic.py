"""Elasticity against closed forms: patch test, order two, Lame's sphere, locking; all axis orders; agreed stiffness."""

import itertools

import numpy as np
import pytest

from vertecast.kernels.brick_modes import Integration, corner_signs
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.elastic import prepare_elastic, solve
from vertecast.kernels.elastic_grid import element_nodes
from vertecast.kernels.gauss import GaussPasses
from vertecast.kernels.krylov import Stop

TIGHT = Stop(rtol=1e-12)
POINTS = corner_signs() / np.sqrt(3)


def positions(mesh, origin=(0.0, 0.0, 0.0)):
    """Node coordinates, (3, nodes)."""
    axes = [mesh.node_coordinates(axis) + origin[axis] for axis in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def surface(mesh):
    """Nodes on the outside of a full box."""
    outside = np.ones(mesh.node_shape, dtype=bool)
    outside[1:-1, 1:-1, 1:-1] = False
    return outside


def body_load(mesh, force, origin=(0.0, 0.0, 0.0)):
    """Integrate N . force(x) over a full box with the eight Gauss points; (3, nodes)."""
    h = np.asarray(mesh.spacing)
    low = np.argwhere(mesh.mask) * h + origin
    element = np.zeros((mesh.count, 8, 3))
    for point in POINTS:
        shape = np.prod(1 + point * corner_signs(), axis=1) / 8
        values = force((low + 0.5 * h * (1 + point)).T)
        element += np.prod(h) / 8 * shape[None, :, None] * values.T[:, None, :]
    total = np.zeros((3, int(np.prod(mesh.node_shape))))
    for component in range(3):
        np.add.at(total[component], element_nodes(mesh), element[:, :, component])
    return total.reshape(3, *mesh.node_shape)


def dirichlet_error(n, exact, force=None, *, integration=Integration.FULL, poisson=0.3, origin=0.0, size=1.0):
    """Relative root-mean-square error at the Gauss points of a cube with the exact field on its surface.

    At the nodes a field of one axis is superconvergent (order 4); inside the bricks nothing flatters.
    """
    mesh = BrickMesh.from_mask(np.ones((n, n, n), dtype=bool), np.full(3, size / n))
    places = positions(mesh, (origin,) * 3)
    truth = exact(places)
    fixed = np.broadcast_to(surface(mesh), truth.shape).copy()
    moduli = lame_parameters(np.full(mesh.count, 1.0), poisson)
    load = None if force is None else body_load(mesh, force, (origin,) * 3)
    system = prepare_elastic(mesh, *moduli, Constraints(fixed, truth), integration=integration)
    found = solve(system, load, stop=Stop(rtol=1e-10)).displacement
    corners = found.reshape(3, -1)[:, element_nodes(mesh)]
    low = np.argwhere(mesh.mask) * mesh.spacing[0] + origin
    square = norm = 0.0
    for point in POINTS:
        shape = np.prod(1 + point * corner_signs(), axis=1) / 8
        there = exact((low + 0.5 * mesh.spacing[0] * (1 + point)).T)
        square += float(((corners @ shape - there) ** 2).sum())
        norm += float((there**2).sum())
    return float(np.sqrt(square / norm))


@pytest.mark.parametrize("integration", Integration)
@pytest.mark.parametrize("poisson", [0.0, 0.3, 0.499])
def test_patch(integration, poisson):
    rng = np.random.default_rng(0)
    mask = np.ones((9, 8, 10), dtype=bool)
    mask[:3, :2] = mask[6:, 5:, 7:] = False
    mesh = BrickMesh.from_mask(mask, (1.0, 1.7, 0.6))
    gradient = rng.standard_normal((3, 3))
    truth = np.einsum("ij,j...->i...", gradient, positions(mesh))
    inner = np.zeros(mesh.node_shape, dtype=bool)
    windows = [mask[i : i + 8, j : j + 7, k : k + 9] for i, j, k in itertools.product((0, 1), repeat=3)]
    inner[1:-1, 1:-1, 1:-1] = np.all(windows, axis=0)
    fixed = np.broadcast_to(mesh.nodes & ~inner, truth.shape).copy()
    moduli = lame_parameters(np.full(mesh.count, 7.0), poisson)
    system = prepare_elastic(mesh, *moduli, Constraints(fixed, truth), integration=integration)
    found = solve(system, stop=Stop(rtol=1e-13)).displacement
    error = np.abs(np.where(mesh.nodes, found - truth, 0)).max() / np.abs(truth).max()
    assert error < 1e-10
    bent = np.where(fixed, truth + 1e-6 * positions(mesh)[0] ** 2, truth)
    system = prepare_elastic(mesh, *moduli, Constraints(fixed, bent), integration=integration)
    other = solve(system, stop=Stop(rtol=1e-13)).displacement
    assert np.abs(np.where(mesh.nodes, other - truth, 0)).max() / np.abs(truth).max() > 1e-9, "cannot fail"


def manufactured(waves, poisson, mutant=1.0):
    """u_c = sin(k_c . x + c) and the body force that holds it; ``mutant`` spoils the force."""
    lame, mu = (float(p) for p in lame_parameters(1.0, poisson))
    phases = np.array([0.3, 0.7, 1.1])

    def exact(x):
        return np.sin(np.einsum("cj,j...->c...", waves, x) + phases.reshape(3, *([1] * (x.ndim - 1))))

    def force(x):
        u = exact(x)
        gradient = np.einsum("ci,c,c...->i...", waves, np.diag(waves), u)
        own = (waves**2).sum(axis=1).reshape(3, *([1] * (x.ndim - 1))) * u
        return (lame + mu) * gradient + mutant * mu * own

    return exact, force


WAVES = {
    "general": np.array([[2.0, 1.0, 1.5], [1.0, 2.5, 0.5], [0.5, 1.5, 2.0]]),
    "x": np.diag([3.0, 3.0, 3.0])[[0, 0, 0]],
    "y": np.diag([3.0, 3.0, 3.0])[[1, 1, 1]],
    "z": np.diag([3.0, 3.0, 3.0])[[2, 2, 2]],
}


@pytest.mark.parametrize("integration", Integration)
@pytest.mark.parametrize("name", WAVES)
def test_order_two_with_a_manufactured_field(name, integration):
    exact, force = manufactured(WAVES[name], 0.3)
    errors = [dirichlet_error(n, exact, force, integration=integration) for n in (8, 16, 32)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.1)


def test_the_order_check_can_fail():
    exact, force = manufactured(WAVES["general"], 0.3, mutant=1.1)
    errors = [dirichlet_error(n, exact, force) for n in (8, 16)]
    assert np.log2(errors[0] / errors[1]) < 1


def lame_field(x):
    """Displacement of a pressurised cavity in an infinite body: x / r^3 (no volume strain)."""
    return x / np.sqrt((x**2).sum(axis=0)) ** 3


@pytest.mark.parametrize("integration", Integration)
def test_order_two_with_lames_field_on_an_octant_box(integration):
    errors = [dirichlet_error(n, lame_field, integration=integration, origin=1.0) for n in (8, 16, 32)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.1)


def face_load(mesh, mu):
    """Integrate Lame's traction (field x / r^3) over the three outer faces of the octant box; (3, nodes)."""
    h = np.asarray(mesh.spacing)
    total = np.zeros((3, *mesh.node_shape))
    for axis in range(3):
        a, b = (other for other in range(3) if other != axis)
        cells = np.argwhere(np.take(mesh.mask, -1, axis=axis))
        for s, t in itertools.product((-1, 1), repeat=2):
            place = np.zeros((3, len(cells)))
            place[axis] = mesh.shape[axis] * h[axis]
            place[a] = (cells[:, 0] + 0.5 + 0.5 * s / np.sqrt(3)) * h[a]
            place[b] = (cells[:, 1] + 0.5 + 0.5 * t / np.sqrt(3)) * h[b]
            r = np.sqrt((place**2).sum(axis=0))
            unit = np.zeros((3, 1))
            unit[axis] = 1
            traction = 2 * mu * (unit / r**3 - 3 * place * place[axis] / r**5)
            for p, q in itertools.product((0, 1), repeat=2):
                weight = 0.25 * (1 + (2 * p - 1) * s / np.sqrt(3)) * (1 + (2 * q - 1) * t / np.sqrt(3))
                index = [None, None, None]
                index[axis] = np.full(len(cells), mesh.shape[axis])
                index[a], index[b] = cells[:, 0] + p, cells[:, 1] + q
                for component in range(3):
                    np.add.at(total[component], tuple(index), 0.25 * h[a] * h[b] * weight * traction[component])
    return total


def cavity_error(radius, poisson=0.3, integration=Integration.FULL):
    """Error of the mean wall displacement of a pressurised staircase cavity, all tractions exact, in an octant."""
    n = round(2.5 * radius)
    centres = (np.arange(n) + 0.5) / radius
    distance = np.sqrt(sum(c**2 for c in np.meshgrid(centres, centres, centres, indexing="ij")))
    solid = BrickMesh.from_mask(distance > 1, np.full(3, 1 / radius))
    hole = BrickMesh.from_mask(distance <= 1, solid.spacing)
    moduli = lame_parameters(np.full(solid.count, 1.0), poisson)
    mu = float(moduli[1][0])
    pressure = np.zeros((8, 6, hole.count))
    pressure[:, :3] = 4 * mu  # radial stress of x / r^3 at r = 1 is -4 mu
    load = GaussPasses(hole, Integration.FULL).force(pressure) + face_load(solid, mu)
    fixed = np.zeros(load.shape, dtype=bool)
    for axis in range(3):
        fixed[(axis, *(0 if a == axis else slice(None) for a in range(3)))] = True
    load[fixed] = 0
    load[:, ~solid.nodes] = 0
    found = solve(prepare_elastic(solid, *moduli, Constraints(fixed), integration=integration), load).displacement
    wall = solid.nodes & hole.nodes
    places = positions(solid)[:, wall]
    r = np.sqrt((places**2).sum(axis=0))
    radial = (found[:, wall] * places).sum(axis=0) / r
    return float(radial.mean() / (1 / r**2).mean() - 1)


def test_pressurised_staircase_cavity_converges():
    errors = [abs(cavity_error(radius)) for radius in (5, 10, 20)]
    assert errors[1] < 0.02
    assert errors[2] < 0.01
    assert errors[2] < errors[1] < errors[0]


@pytest.mark.parametrize("poisson", [0.49, 0.499])
def test_mean_dilatation_does_not_lock_and_plain_bricks_do(poisson):
    free = cavity_error(6, poisson, Integration.MEAN_DILATATION)
    plain = cavity_error(6, poisson, Integration.FULL)
    compressible = cavity_error(6, 0.3, Integration.FULL)
    assert abs(free) < abs(compressible) + 0.02
    assert plain < free - (0.05 if poisson == 0.49 else 0.2)


def test_all_48_axis_orders_give_the_same_answer():
    rng = np.random.default_rng(7)
    shape, spacing = (5, 6, 7), np.array([1.0, 0.8, 1.3])
    young = 10 ** rng.uniform(1, 3, shape)
    mask = np.ones(shape, dtype=bool)
    mask[:2, :2, 3:] = False
    load = rng.standard_normal((3, *[n + 1 for n in shape]))
    fixed = np.zeros(load.shape, dtype=bool)
    fixed[:, :, :, 0] = True

    def answer(order, flips):
        def turned(field):
            return np.flip(field.transpose(order), flips).copy()

        mesh = BrickMesh.from_mask(turned(mask), spacing[list(order)])
        signs = np.array([-1.0 if axis in flips else 1.0 for axis in range(3)])
        forces = np.stack([signs[a] * turned(load[order[a]]) for a in range(3)])
        held = np.stack([turned(fixed[order[a]]) for a in range(3)])
        forces[:, ~mesh.nodes] = 0
        moduli = lame_parameters(mesh.pack(turned(young)), 0.3)
        u = solve(prepare_elastic(mesh, *moduli, Constraints(held)), forces, stop=TIGHT).displacement
        back = np.empty_like(load)
        for a in range(3):
            back[order[a]] = np.flip(signs[a] * u[a], flips).transpose(np.argsort(order))
        return back

    first = answer((0, 1, 2), ())
    flips = [f for n in range(4) for f in itertools.combinations(range(3), n)]
    for order, flip in itertools.product(itertools.permutations(range(3)), flips):
        assert np.abs(answer(order, flip) - first).max() < 1e-9 * np.abs(first).max()
    young[0, 0, 0] *= 1.01
    assert np.abs(answer((0, 1, 2), ()) - first).max() > 1e-9 * np.abs(first).max(), "this check cannot fail"


STIFFNESS = {"32": 21328.80153, "64": 24698.895466, "64_contrast1000": 19764.030312, "128": 30936.186}
"""Agreed by several codes, N/mm; data/README.md."""


def compressed(modulus):
    """Stiffness and report of the benchmark column between bonded platens."""
    mesh = BrickMesh.from_mask(modulus > 0, (1, 1, 1))
    fixed = np.zeros((3, *mesh.node_shape), dtype=bool)
    fixed[..., 0] = fixed[..., -1] = True
    values = np.zeros(fixed.shape)
    values[2, ..., -1] = -0.01 * mesh.shape[2]
    found = solve(prepare_elastic(mesh, *lame_parameters(mesh.pack(modulus), 0.3), Constraints(fixed, values)))
    return -found.reaction[2, ..., -1].sum() / (0.01 * mesh.shape[2]), found.report


def benchmark(data_dir, name):
    with np.load(data_dir / "fe_benchmark" / f"vertebra_{name}.npz") as archive:
        return np.ascontiguousarray(archive["modulus_mpa"].transpose(2, 1, 0), dtype=float)


@pytest.mark.data
def test_benchmark_stiffness_and_iterations(data_dir):
    iterations = {}
    for name, expected in STIFFNESS.items():
        stiffness, report = compressed(benchmark(data_dir, name))
        assert stiffness == pytest.approx(expected, rel=1e-6)
        iterations[name] = report.iterations
    assert iterations["128"] <= 1.3 * iterations["32"]
    assert iterations["64_contrast1000"] <= 45
    modulus = benchmark(data_dir, "64_contrast1000")
    modulus[(modulus > 0) & (modulus < 1000)] *= 0.1
    assert compressed(modulus)[1].iterations <= 80
