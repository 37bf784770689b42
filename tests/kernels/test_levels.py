"""Both backends give one V-cycle under one driver, and the cycle is symmetric, so conjugate gradients may use it."""

import numpy as np

from vertecast.kernels.assembled import AssembledLevel, assembled_stiffness, interpolation
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import FREE, Constraints, Platen, Sides
from vertecast.kernels.elastic import prepare_elastic
from vertecast.kernels.multigrid import chebyshev_weights, v_cycle


def system_of(platens=()):
    rng = np.random.default_rng(9)
    mask = np.ones((13, 10, 12), dtype=bool)
    mask[4:7, 3:8, 5:9] = mask[:2, :, 9:] = False
    mesh = BrickMesh.from_mask(mask, (1.0, 1.1, 0.9))
    fixed = np.zeros((3, *mesh.node_shape), dtype=bool)
    fixed[..., 0] = True
    moduli = lame_parameters(10 ** rng.uniform(0, 2, mesh.count), 0.3)
    return prepare_elastic(mesh, *moduli, Constraints(fixed, None, platens)), rng


def twin_of(level, coarser):
    operator = level.operator
    stiffness = assembled_stiffness(operator.mesh, *operator.material.astype(float), operator.integration)
    transfer = None
    if coarser is not None:
        transfer = interpolation(coarser.operator.mesh.node_shape, operator.mesh.node_shape, level.steps)
    return AssembledLevel(stiffness, level.kinds.ravel() == FREE, transfer, level.weights)


def test_compiled_and_assembled_levels_make_the_same_cycle():
    system, rng = system_of()
    levels = system.levels
    assert len(levels) >= 3
    twins = [twin_of(level, coarser) for level, coarser in zip(levels, [*levels[1:], None], strict=True)]
    right = np.where(levels[0].kinds.ravel() == FREE, rng.standard_normal(levels[0].b.size), 0.0)
    levels[0].b[:] = right
    twins[0].b[:] = right
    v_cycle(levels)
    v_cycle(twins)
    free = levels[0].kinds.ravel() == FREE
    size = np.abs(twins[0].x).max()
    assert np.abs(levels[0].x - twins[0].x)[free].max() < 2e-5 * size
    twins[1].weights = chebyshev_weights(2.0)
    v_cycle(twins)
    assert np.abs(levels[0].x - twins[0].x)[free].max() > 1e-3 * size, "this check cannot fail"


def test_cycle_is_symmetric_and_positive_with_a_platen():
    shape = (14, 11, 13)
    nodes = np.zeros(shape, dtype=bool)
    nodes[..., -1] = True
    platen = Platen(nodes=nodes, axis=2, point=(6.0, 4.0, 10.8), sides=Sides.BONDED, force=-1.0)
    system, rng = system_of((platen,))
    top = system.levels[0]
    free = system.kinds.ravel() == FREE
    pairs = []
    for _ in range(2):
        right = np.where(free, rng.standard_normal(free.size), 0.0).astype(np.float32)
        motions = 100 * rng.standard_normal(3)
        top.b[:], top.b_motions[:] = right, motions
        v_cycle(system.levels)
        pairs.append((right.astype(float), motions, np.where(free, top.x, 0).astype(float), top.x_motions.copy()))
    (b0, m0, x0, q0), (b1, m1, x1, q1) = pairs
    cross = b0 @ x1 + m0 @ q1, b1 @ x0 + m1 @ q0
    own = b0 @ x0 + m0 @ q0
    assert own > 0
    assert abs(cross[0] - cross[1]) < 1e-5 * own
