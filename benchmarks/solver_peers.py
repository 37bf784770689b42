"""Solve one agreed model with parosol-py or PyAMG; run by the Python of an environment that has them.

    PEERS_PYTHON solver_peers.py PEER MODEL.npz RESULT.json

Nothing is written when the peer is absent. Times hold all that a user waits for: input files or assembly, and solve.
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def seconds(begun: tuple[float, os.times_result]) -> dict:
    """Wall and CPU seconds since ``begun``, children included."""
    now = os.times()
    cpu = sum(now[:4]) - sum(begun[1][:4])
    return {"wall": time.perf_counter() - begun[0], "cpu": cpu}


def parosol(modulus: np.ndarray) -> dict:
    """Constrained axial compression by parosol-py on two processes."""
    from parosol_py import solve

    os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
    os.environ.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter(), os.times()
        found = solve(
            material=modulus.astype(np.float32),
            spacing=(1.0, 1.0, 1.0),
            material_unit="MPa",
            strain=-0.01,
            mpi_processes=2,
            work_dir=folder,
        )
        cost = seconds(begun)
    peak = 2 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    stiffness = found.diagnostics["mechanics"]["stiffness"]["z"]
    return cost | {"stiffness": stiffness, "iterations": found.summary.run.iterations, "peak": peak}


def assembled(modulus: np.ndarray) -> dict:
    """Assembled smoothed-aggregation multigrid with the rigid motions, by PyAMG."""
    import pyamg
    from scipy import sparse

    begun = time.perf_counter(), os.times()
    field = np.ascontiguousarray(modulus.transpose(2, 1, 0))
    shape = tuple(n + 1 for n in field.shape)
    i, j, k = np.nonzero(field)
    corner = [np.ravel_multi_index((i + a, j + b, k + c), shape) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    unknowns = (3 * np.stack(corner, axis=1)[:, :, None] + np.arange(3)).reshape(len(i), 24)
    values = field[i, j, k][:, None, None] * _brick()
    rows, columns = np.repeat(unknowns, 24, axis=1).ravel(), np.tile(unknowns, (1, 24)).ravel()
    size = 3 * int(np.prod(shape))
    matrix = sparse.csr_matrix((values.ravel(), (rows, columns)), shape=(size, size))
    place = np.stack(np.unravel_index(np.arange(size // 3), shape), axis=1)
    known = np.repeat((place[:, 2] == 0) | (place[:, 2] == shape[2] - 1), 3)
    given = np.zeros(size)
    given[2::3] = np.where(place[:, 2] == shape[2] - 1, -0.01 * field.shape[2], 0.0)
    free = np.flatnonzero(~known & (matrix.diagonal() > 0))
    motions = np.zeros((size, 6))
    x = place - place.mean(axis=0)
    for axis in range(3):
        motions[axis::3, axis] = 1
        a, b = (axis + 1) % 3, (axis + 2) % 3
        motions[a::3, 3 + axis], motions[b::3, 3 + axis] = -x[:, b], x[:, a]
    inner = matrix[free][:, free].tobsr((3, 3))
    solver = pyamg.smoothed_aggregation_solver(inner, B=motions[free], max_coarse=300)
    residuals: list[float] = []
    u = given.copy()
    u[free] = solver.solve(-(matrix @ given)[free], tol=1e-8, accel="cg", residuals=residuals)
    reaction = (matrix @ u)[2::3][place[:, 2] == shape[2] - 1].sum()
    return seconds(begun) | {"stiffness": -reaction / (0.01 * field.shape[2]), "iterations": len(residuals) - 1}


def _brick() -> np.ndarray:
    """Stiffness of the unit brick, E = 1, Poisson's ratio 0.3, 2 x 2 x 2 points."""
    signs = np.array([[2 * a - 1, 2 * b - 1, 2 * c - 1] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    lame, mu = 0.3 / (1.3 * 0.4), 0.5 / 1.3
    law = np.diag([2 * mu] * 3 + [mu] * 3)
    law[:3, :3] += lame
    total = np.zeros((24, 24))
    for point in signs / np.sqrt(3):
        slopes = np.stack(
            [signs[:, d] * np.prod(np.delete(1 + point * signs, d, axis=1), axis=1) / 4 for d in range(3)], axis=1
        )
        strain = np.zeros((6, 24))
        for d in range(3):
            strain[d, d::3] = slopes[:, d]
        for row, (d, e) in enumerate(((1, 2), (0, 2), (0, 1)), start=3):
            strain[row, d::3], strain[row, e::3] = slopes[:, e], slopes[:, d]
        total += strain.T @ law @ strain / 8
    return total


def main(peer: str, model: Path, result: Path) -> None:
    """Run the peer if it is there."""
    with np.load(model) as archive:
        modulus = archive["modulus_mpa"].astype(float)
    try:
        found = parosol(modulus) if peer == "parosol-py" else assembled(modulus)
    except ImportError:
        return
    result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
