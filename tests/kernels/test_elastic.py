"""The elastic solver gives the assembled twin's answer, says how it went, and refuses what has no answer."""

import numpy as np
import pytest

from vertecast.core.errors import ConvergenceError, GeometryError, ParameterError
from vertecast.kernels.assembled import assembled_solve, assembled_stiffness
from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import FREE, Constraints, Platen, Sides, coarse_kinds
from vertecast.kernels.elastic import prepare_elastic, solve
from vertecast.kernels.elastic_grid import ElasticOperator
from vertecast.kernels.krylov import Status, Stop
from vertecast.kernels.supports import held_voxels

TIGHT = Stop(rtol=1e-12)


def porous(shape=(11, 9, 14), seed=3):
    """A connected body with holes, a random modulus over three decades and a random Poisson's ratio."""
    rng = np.random.default_rng(seed)
    mask = np.ones(shape, dtype=bool)
    mask[2:5, 3:6, 4:9] = False
    mask[:, :2, 5:] &= rng.random((shape[0], 2, shape[2] - 5)) < 0.7
    mesh = BrickMesh.from_mask(mask, (1.0, 1.3, 0.8))
    moduli = lame_parameters(10 ** rng.uniform(0, 3, mesh.count), rng.uniform(0.0, 0.45, mesh.count))
    return mesh, moduli, rng


def clamped(mesh, value=-0.1):
    """Both z faces bonded, the upper one moved."""
    fixed = np.zeros((3, *mesh.node_shape), dtype=bool)
    fixed[..., 0] = fixed[..., -1] = True
    values = np.zeros(fixed.shape)
    values[2, ..., -1] = value
    return Constraints(fixed, values)


def base_only(mesh, platens=()):
    fixed = np.zeros((3, *mesh.node_shape), dtype=bool)
    fixed[..., 0] = True
    return Constraints(fixed, None, platens)


def held(mesh, constraints):
    """Leave out the pieces that the constraints do not hold."""
    return BrickMesh.from_mask(held_voxels(mesh, constraints), mesh.spacing)


@pytest.mark.parametrize("integration", Integration)
def test_agrees_with_the_assembled_twin(integration):
    mesh, moduli, rng = porous()
    keep = held_voxels(mesh, clamped(mesh))[mesh.mask]
    mesh, moduli = held(mesh, clamped(mesh)), [m[keep] for m in moduli]
    constraints = clamped(mesh)
    load = np.where(mesh.nodes, rng.standard_normal((3, *mesh.node_shape)), 0.0)
    stiffness = assembled_stiffness(mesh, *moduli, integration)
    expected = assembled_solve(stiffness, mesh, constraints, load)
    found = solve(prepare_elastic(mesh, *moduli, constraints, integration=integration), load, stop=TIGHT)
    assert np.abs(found.displacement - expected).max() < 1e-8 * np.abs(expected).max()
    reaction = (stiffness @ expected.ravel()).reshape(expected.shape) - load
    assert np.abs(found.reaction - reaction).max() < 1e-8 * np.abs(reaction).max()
    other = assembled_solve(
        assembled_stiffness(mesh, moduli[0] * 1.001, moduli[1], integration), mesh, constraints, load
    )
    assert np.abs(other - expected).max() > 1e-6 * np.abs(expected).max(), "this check cannot fail"


def test_operator_is_the_assembled_matrix_in_both_precisions_and_on_long_rows():
    rng = np.random.default_rng(0)
    mask = rng.random((4, 3, 170)) < 0.6
    mask[2, 1] = False
    mask[0, 0] = False
    mesh = BrickMesh.from_mask(mask, (1.0, 1.5, 0.7))
    material = rng.random((2, mesh.count)) + 0.5
    u = np.where(mesh.nodes, rng.standard_normal((3, *mesh.node_shape)), 0.0).ravel()
    for integration in Integration:
        expected = assembled_stiffness(mesh, material[0], material[1], integration) @ u
        for dtype, limit in ((np.float64, 1e-14), (np.float32, 2e-6)):
            found = np.zeros(u.size, dtype)
            ElasticOperator(mesh, material.astype(dtype), integration).apply(u.astype(dtype), found)
            assert np.abs(found - expected).max() < limit * np.abs(expected).max()


def test_answer_does_not_depend_on_the_number_of_threads():
    numba = pytest.importorskip("numba")
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only on this machine")
    mesh = BrickMesh.from_mask(np.ones((33, 20, 20), dtype=bool), (1.0, 1.0, 1.0))
    moduli = lame_parameters(np.linspace(10, 900, mesh.count), 0.3)
    fields = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        fields.append(solve(prepare_elastic(mesh, *moduli, clamped(mesh))).displacement)
    assert np.array_equal(fields[0], fields[1])


def test_report_start_and_failure():
    mesh, moduli, _ = porous(shape=(12, 12, 12), seed=1)
    keep = held_voxels(mesh, clamped(mesh))[mesh.mask]
    mesh, moduli = held(mesh, clamped(mesh)), [m[keep] for m in moduli]
    system = prepare_elastic(mesh, *moduli, clamped(mesh))
    found = solve(system)
    assert found.report.status is Status.CONVERGED
    assert found.report.residuals[-1] <= 1e-8 < found.report.residuals[-2]
    assert len(found.report.residuals) == found.report.iterations + 1
    again = solve(system, start=found.displacement)
    assert again.report.iterations <= 1
    with pytest.raises(ConvergenceError, match=r"relative residual .* after 2 iterations") as caught:
        solve(system, stop=Stop(max_iterations=2))
    assert caught.value.report.status is Status.ITERATION_LIMIT
    lenient = solve(system, stop=Stop(max_iterations=2, throw=False))
    assert lenient.report.status is Status.ITERATION_LIMIT
    nothing = solve(prepare_elastic(mesh, *moduli, clamped(mesh, 0.0)))
    assert nothing.report.iterations == 0
    assert not nothing.displacement.any()


def cylinder_iterations(n):
    """Iterations for a cylinder whose bonded faces lie off the coarse planes."""
    x = np.arange(n)
    disc = (x[:, None] - n / 2) ** 2 + (x - n / 2) ** 2 < (0.45 * n) ** 2
    mesh = BrickMesh.from_mask(np.pad(disc[:, :, None] & np.ones(n, dtype=bool), ((0, 0), (0, 0), (1, 2))), (1, 1, 1))
    fixed = np.zeros((3, *mesh.node_shape), dtype=bool)
    fixed[..., 1] = fixed[..., -3] = True
    values = np.where(np.arange(mesh.node_shape[2]) > 2, -0.1, 0.0) * np.ones(fixed.shape)
    moduli = lame_parameters(np.full(mesh.count, 100.0), 0.3)
    return solve(prepare_elastic(mesh, *moduli, Constraints(fixed, values))).report.iterations


def test_dirichlet_face_off_the_coarse_planes_costs_few_iterations(monkeypatch):
    counts = [cylinder_iterations(n) for n in (31, 32, 33, 35)]
    assert max(counts) <= 14

    def forgetful(fine, coarse_nodes, steps):
        kinds = coarse_kinds(fine, coarse_nodes, steps)
        lost = np.zeros(coarse_nodes.shape, dtype=bool)
        lost[..., -1] = True  # the upper face, whose fine plane has no coarse one
        kinds[:, lost & coarse_nodes] = FREE
        return kinds

    monkeypatch.setattr("vertecast.kernels.elastic.coarse_kinds", forgetful)
    assert cylinder_iterations(33) > 1.3 * counts[2], "without the rule the count must rise, or this check cannot fail"


@pytest.mark.parametrize("sides", Sides)
@pytest.mark.parametrize("control", ["force", "displacement"])
def test_platen_agrees_with_the_assembled_twin_and_has_no_moment_at_its_point(sides, control):
    mesh = BrickMesh.from_mask(np.ones((8, 10, 12), dtype=bool), (1.0, 0.9, 1.1))
    rng = np.random.default_rng(5)
    moduli = lame_parameters(10 ** rng.uniform(1, 3, mesh.count), 0.3)
    nodes = np.zeros(mesh.node_shape, dtype=bool)
    nodes[..., -1] = True
    point = (2.5, 6.0, 14.0)
    given = {"force": -300.0} if control == "force" else {"displacement": -0.2}
    constraints = base_only(mesh, (Platen(nodes=nodes, axis=2, point=point, sides=sides, **given),))
    found = solve(prepare_elastic(mesh, *moduli, constraints), stop=TIGHT)
    expected = assembled_solve(assembled_stiffness(mesh, *moduli, Integration.FULL), mesh, constraints)
    assert np.abs(found.displacement - expected).max() < 1e-8 * np.abs(expected).max()
    platen = found.platens[0]
    top = found.reaction[2, ..., -1]
    x, y = mesh.node_coordinates(0)[:, None], mesh.node_coordinates(1)[None, :]
    plane = platen.displacement + platen.tilt[0] * (x - point[0]) + platen.tilt[1] * (y - point[1])
    assert np.allclose(found.displacement[2, ..., -1], plane, atol=1e-12)
    assert top.sum() == pytest.approx(platen.force, rel=1e-9)
    if sides is not Sides.BONDED:  # bonded sides carry part of the moment, through the lever along the axis
        moments = [abs((top * (x - point[0])).sum()), abs((top * (y - point[1])).sum())]
        assert max(moments) < 1e-8 * abs(platen.force)
    assert getattr(platen, control) == pytest.approx(next(iter(given.values())), rel=1e-9)
    assert np.hypot(*platen.tilt) > 1e-4, "the tilt is not exercised"


def test_platen_keeps_multigrid_efficient():
    mesh = BrickMesh.from_mask(np.ones((24, 24, 24), dtype=bool), (1.0, 1.0, 1.0))
    moduli = lame_parameters(np.full(mesh.count, 500.0), 0.3)
    nodes = np.zeros(mesh.node_shape, dtype=bool)
    nodes[..., -1] = True
    free = Platen(nodes=nodes, axis=2, point=(8.0, 13.0, 24.0), sides=Sides.BONDED, force=-100.0)
    tilting = solve(prepare_elastic(mesh, *moduli, base_only(mesh, (free,)))).report.iterations
    stiff = solve(prepare_elastic(mesh, *moduli, clamped(mesh))).report.iterations
    assert tilting <= stiff + 4


def test_refusals_of_material_and_mask():
    with pytest.raises(GeometryError, match=r"no active voxel in the mask of shape \(3, 3, 3\)"):
        BrickMesh.from_mask(np.zeros((3, 3, 3)), (1, 1, 1))
    with pytest.raises(GeometryError, match="must be three positive numbers"):
        BrickMesh.from_mask(np.ones((3, 3, 3)), (1, 0, 1))
    with pytest.raises(GeometryError, match="mask has 2 axes"):
        BrickMesh.from_mask(np.ones((3, 3)), (1, 1, 1))
    for bad in (0.0, -5.0, np.nan):
        with pytest.raises(ParameterError, match="must be positive and finite in every active voxel"):
            lame_parameters([100.0, bad], 0.3)
    with pytest.raises(ParameterError, match=r"leaves \(-1, 0.5\)"):
        lame_parameters(1.0, 0.5)
    mesh = BrickMesh.from_mask(np.ones((3, 3, 3)), (1, 1, 1))
    lame, mu = lame_parameters(np.full(27, 10.0), 0.3)
    for bad in (0.0, -1.0, np.nan, np.inf):
        broken = mu.copy()
        broken[5] = bad
        with pytest.raises(ParameterError, match=r"at voxel \(0, 1, 2\)"):
            prepare_elastic(mesh, lame, broken, clamped(mesh))
    with pytest.raises(ParameterError, match="one value for each of 27 voxels"):
        prepare_elastic(mesh, lame[:5], mu, clamped(mesh))
    with pytest.raises(ParameterError, match="does not fit the grid"):
        mesh.pack(np.ones((2, 3, 3)))
    with pytest.raises(ParameterError, match="entries that are not finite"):
        solve(prepare_elastic(mesh, lame, mu, clamped(mesh)), np.full((3, 4, 4, 4), np.nan))
    with pytest.raises(ParameterError, match="does not fit the nodes"):
        solve(prepare_elastic(mesh, lame, mu, clamped(mesh)), np.zeros((3, 3, 3, 3)))


def test_refusals_of_constraints():
    mesh = BrickMesh.from_mask(np.ones((3, 3, 3)), (1, 1, 1))
    moduli = lame_parameters(np.full(27, 10.0), 0.3)
    good = np.zeros((3, 4, 4, 4), dtype=bool)
    good[..., 0] = True
    with pytest.raises(ParameterError, match="must be a bool array of shape"):
        prepare_elastic(mesh, *moduli, Constraints(good[:, :2]))
    with pytest.raises(ParameterError, match="a prescribed displacement is not finite"):
        prepare_elastic(mesh, *moduli, Constraints(good, np.full(good.shape, np.nan)))
    nodes = np.zeros((4, 4, 4), dtype=bool)
    nodes[..., 3] = True
    with pytest.raises(ParameterError, match="exactly one of them"):
        Platen(nodes=nodes, axis=2, point=(0, 0, 3), sides=Sides.BONDED)
    with pytest.raises(ParameterError, match="must be finite"):
        Platen(nodes=nodes, axis=2, point=(0, 0, np.nan), sides=Sides.BONDED, force=1.0)
    one = Platen(nodes=nodes, axis=2, point=(1.5, 1.5, 3), sides=Sides.BONDED, force=1.0)
    with pytest.raises(ParameterError, match="shares nodes with another platen"):
        prepare_elastic(mesh, *moduli, Constraints(good, None, (one, one)))
    nowhere = Platen(nodes=np.zeros((4, 4, 4), dtype=bool), axis=2, point=(0, 0, 3), sides=Sides.BONDED, force=1.0)
    with pytest.raises(ParameterError, match="touches no active voxel"):
        prepare_elastic(mesh, *moduli, Constraints(good, None, (nowhere,)))


def test_loose_bodies_are_refused_by_name():
    mesh = BrickMesh.from_mask(np.ones((4, 4, 4)), (1, 1, 1))
    moduli = lame_parameters(np.full(64, 10.0), 0.3)
    nothing = np.zeros((3, 5, 5, 5), dtype=bool)
    with pytest.raises(GeometryError, match="not held against all six rigid motions"):
        prepare_elastic(mesh, *moduli, Constraints(nothing))
    slides = nothing.copy()
    slides[2, ..., 0] = True  # frictionless base: slides and spins
    with pytest.raises(GeometryError, match="not held against all six rigid motions"):
        prepare_elastic(mesh, *moduli, Constraints(slides))
    pinned = slides.copy()
    pinned[:2, 0, 0, 0] = True
    pinned[0, 0, 4, 0] = True  # the least that holds a body
    assert solve(prepare_elastic(mesh, *moduli, Constraints(pinned))).report.status is Status.CONVERGED
    apart = np.ones((9, 4, 4), dtype=bool)
    apart[4] = False
    split = BrickMesh.from_mask(apart, (1, 1, 1))
    half = np.zeros((3, 10, 5, 5), dtype=bool)
    half[:, 0] = True
    moduli = lame_parameters(np.full(split.count, 10.0), 0.3)
    with pytest.raises(GeometryError, match=r"1 of 2 disconnected pieces are not held; the first has 64 voxels"):
        prepare_elastic(split, *moduli, Constraints(half))
    both = half.copy()
    both[:, -1] = True
    assert solve(prepare_elastic(split, *moduli, Constraints(both))).report.status is Status.CONVERGED
    hinge = np.zeros((4, 4, 2), dtype=bool)
    hinge[:2, :2] = hinge[2:, 2:] = True  # meets at an edge only
    edge = np.zeros((3, 5, 5, 3), dtype=bool)
    edge[:, 0] = True
    hinged = BrickMesh.from_mask(hinge, (1, 1, 1))
    with pytest.raises(GeometryError, match="1 of 2 disconnected pieces"):
        prepare_elastic(hinged, *lame_parameters(np.full(hinged.count, 1.0), 0.3), Constraints(edge))
    assert held_voxels(hinged, Constraints(edge)).sum() == 8


def test_free_platen_on_sliding_body_is_refused():
    mesh = BrickMesh.from_mask(np.ones((4, 4, 4)), (1, 1, 1))
    moduli = lame_parameters(np.full(64, 10.0), 0.3)
    nodes = np.zeros(mesh.node_shape, dtype=bool)
    nodes[..., 4] = True
    slides = np.zeros((3, 5, 5, 5), dtype=bool)
    slides[2, ..., 0] = True
    platen = Platen(nodes=nodes, axis=2, point=(2, 2, 4), sides=Sides.FRICTIONLESS, force=-1.0)
    with pytest.raises(GeometryError, match="not held against all six rigid motions"):
        prepare_elastic(mesh, *moduli, Constraints(slides, None, (platen,)))
