"""Compile every solver kernel once, on small cases; the result stays on disk, so later processes load it."""

import time

import numpy as np

from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.diffusion import harmonic_faces, prepare_diffusion, solve_diffusion
from vertecast.kernels.elastic import prepare_elastic, solve, solve_correction
from vertecast.kernels.elastic_grid import SERIAL_NODES
from vertecast.kernels.gauss import GaussPasses, RankOneTangent
from vertecast.kernels.heat import HeatState, advance_heat, make_conductor
from vertecast.kernels.heat_compiled import SERIAL_CELLS


def warm() -> float:
    """Compile or load the elastic, Gauss-point, diffusion and heat kernels; return the seconds it took."""
    began = time.perf_counter()
    edge = round((SERIAL_NODES / 3) ** (1 / 3)) + 1  # the threaded path too
    mesh = BrickMesh.from_mask(np.ones((edge, edge, edge), dtype=bool), (1.0, 1.0, 1.0))
    fixed = np.zeros((3, *mesh.node_shape), dtype=bool)
    fixed[..., 0] = fixed[..., -1] = True
    values = np.zeros(fixed.shape)
    values[2, ..., -1] = -0.1
    system = prepare_elastic(mesh, *lame_parameters(mesh.pack(100.0), 0.3), Constraints(fixed, values))
    solve(system)
    passes = GaussPasses(mesh, Integration.MEAN_DILATATION)
    force = passes.force(passes.strain(system.imposed()))
    tangent = np.zeros((8, 8, mesh.count), np.float32)
    tangent[:, :2] = 100.0
    solve_correction(system, -force, tangent=RankOneTangent(passes, tangent))
    solve_diffusion(prepare_diffusion(harmonic_faces(np.ones((8, 8, 8)), (1, 1, 1)), sink=1.0), 1.0)
    for count in (4, round(SERIAL_CELLS ** (1 / 3)) + 1):
        cube = np.ones((count,) * 3)
        conductor = make_conductor(cube, cube, (np.ones(count),) * 3, 0.0)
        advance_heat(conductor, None, HeatState(0.0, cube, np.zeros(0), np.zeros(0)), 0.1)
    return time.perf_counter() - began
