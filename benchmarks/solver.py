"""The voxel solver on the agreed models, and peers in the same run: seconds (wall, CPU), peak memory, stiffness.

Peers that are absent are said as "not installed": parosol-py and PyAMG in the environment whose Python is
``PEERS_PYTHON`` (they need 1.5 GB), CalculiX as ``ccx`` on the path.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

from benchmarks.harness import DATA, cost_of, markdown
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.diffusion import harmonic_faces, prepare_diffusion, solve_diffusion
from vertecast.kernels.elastic import prepare_elastic, solve
from vertecast.kernels.krylov import Stop
from vertecast.kernels.warm import warm

MODELS = {"32": 21328.80153, "64": 24698.895466, "64_contrast1000": 19764.030312, "128": 30936.186}
"""Stiffness agreed by several codes, N/mm."""
REPEATS = 5
PEERS = {
    "parosol-py -np 2": ("32", "64", "64_contrast1000", "128"),
    "CalculiX iterative": ("32", "64"),
    "PyAMG": ("32", "64"),
}


def section() -> str:
    """Return the Markdown section."""
    if not (DATA / "fe_benchmark").is_dir():
        return "## Voxel elasticity\n\nThe models (fe_benchmark) are not on this machine: nothing measured.\n"
    rows = []
    for name in MODELS:
        own = _in_a_process("own", name)
        rows.append(_row("Vertecast", name, own, own))
        rows += [_row(peer, name, _peer(peer, name), own) for peer, models in PEERS.items() if name in models]
    head = (
        "model",
        "solver",
        "wall s",
        "CPU s",
        "peak MiB",
        "stiffness error",
        "iterations",
        "bytes/freedom",
        "times slower",
    )
    table = markdown(head, rows)
    cold, loaded = _compile_seconds()
    return (
        f"## Voxel elasticity\n\n{table}\n\nOurs: residual 1e-8, set-up included, median of {REPEATS}; peers at "
        "their usual tolerance (parosol-py 1e-6, CalculiX's own, PyAMG 1e-8), with their input files or assembly. "
        "Bytes/freedom: highest sum of our arrays per free degree of freedom, asked for at most 150. "
        f"Compiling all kernels once: {cold:.0f} s; loading them from the cache afterwards: {loaded:.1f} s (not in the "
        f"table).\n\n{_scalar_line()}\n"
    )


def _row(solver: str, name: str, found: dict | None, own: dict | None) -> tuple[str, ...]:
    if found is None:
        return (name, solver, "not installed", "", "", "", "", "")
    error = f"{abs(found['stiffness'] / MODELS[name] - 1):.1e}"
    numbers = (f"{found['wall']:.2f}", f"{found['cpu']:.2f}", f"{found['peak']:.0f}", error)
    slower = f"{found['wall'] / own['wall']:.1f}" if own else ""
    per_freedom = f"{found['bytes']:.0f}" if "bytes" in found else ""
    return (name, solver, *numbers, str(found.get("iterations", "")), per_freedom, slower)


def _in_a_process(what: str, name: str) -> dict:
    """Run this module for one model in a process of its own, so that its peak memory is its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        cost = cost_of([sys.executable, "-m", "benchmarks.solver", what, name, str(result)])
        return json.loads(result.read_text()) | {"peak": cost.peak_mib}


def _peer(peer: str, name: str) -> dict | None:
    """Run one peer, or say that it is absent."""
    if peer.startswith("CalculiX"):
        return calculix(name) if shutil.which("ccx") else None
    python = os.environ.get("PEERS_PYTHON")
    if not python:
        return None
    script = Path(__file__).with_name("solver_peers.py")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        cost = cost_of([python, str(script), peer.split()[0], str(_model(name)), str(result)])
        if not result.exists():
            return None
        found = json.loads(result.read_text())
        return {"peak": cost.peak_mib} | found


def _model(name: str) -> Path:
    return DATA / "fe_benchmark" / f"vertebra_{name}.npz"


def modulus_of(name: str) -> np.ndarray:
    """Return the modulus (x, y, z), MPa."""
    with np.load(_model(name)) as archive:
        return np.ascontiguousarray(archive["modulus_mpa"].transpose(2, 1, 0), dtype=float)


def own(name: str) -> dict:
    """Solve one model as a user would, set-up included."""
    modulus = modulus_of(name)
    warm()
    costs = []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        mesh, constraints = _pressed(modulus)
        found = solve(prepare_elastic(mesh, *lame_parameters(mesh.pack(modulus), 0.3), constraints))
        costs.append((time.perf_counter() - wall, time.process_time() - cpu))
    stiffness = -float(found.reaction[2, ..., -1].sum()) / (0.01 * modulus.shape[2])
    wall_s, cpu_s = np.median(costs, axis=0)
    numbers = {"wall": wall_s, "cpu": cpu_s, "stiffness": stiffness, "iterations": found.report.iterations}
    return numbers | {"bytes": bytes_per_freedom(modulus)}


def _pressed(modulus: np.ndarray) -> tuple[BrickMesh, Constraints]:
    """Return the mesh, and its upper face pressed down by 1 % between bonded platens."""
    mesh = BrickMesh.from_mask(modulus > 0, (1, 1, 1))
    fixed = np.zeros((3, *mesh.node_shape), dtype=bool)
    fixed[..., 0] = fixed[..., -1] = True
    values = np.zeros(fixed.shape)
    values[2, ..., -1] = -0.01 * modulus.shape[2]
    return mesh, Constraints(fixed, values)


def bytes_per_freedom(modulus: np.ndarray) -> float:
    """Return the highest number of bytes in arrays per free degree of freedom, from the model to its solution.

    The model itself (mask, moduli, constraints) is there before; everything compiled has run once.
    """
    mesh, constraints = _pressed(modulus)
    moduli = lame_parameters(mesh.pack(modulus), 0.3)
    free = np.count_nonzero(np.broadcast_to(mesh.nodes, constraints.fixed.shape) & ~constraints.fixed)
    tracemalloc.start()
    solve(prepare_elastic(mesh, *moduli, constraints))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / free


def _compile_seconds() -> tuple[float, float]:
    """Seconds of :func:`warm` with an empty cache and again with a full one."""
    code = "from vertecast.kernels.warm import warm; print(warm())"
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        run = [
            subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
            for _ in range(2)
        ]
    return float(run[0].stdout), float(run[1].stdout)


def _scalar_line() -> str:
    """Diffusion on the cells of model 64 with a thousandfold cloud, from a point source to one face."""
    cells = modulus_of("64") > 0
    rng = np.random.default_rng(0)
    x = (np.arange(64) + 0.5) / 64 - 0.5
    cloud = x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2 < 0.2**2
    conductivity = cells * np.exp(rng.standard_normal(cells.shape)) * np.where(cloud, 1e-3, 1.0)
    held = np.zeros(cells.shape, dtype=bool)
    held[..., 0] = cells[..., 0]
    source = np.zeros(cells.shape)
    source[32, 32, 32] = 1.0
    warm()
    costs = []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        system = prepare_diffusion(harmonic_faces(conductivity, (1, 1, 1)), held=held)
        found = solve_diffusion(system, source, stop=Stop(rtol=1e-6))
        costs.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall_s, cpu_s = np.median(costs, axis=0)
    return (
        f"Diffusion on the {np.count_nonzero(cells)} cells of model 64, random conductivity with a cloud a thousand "
        f"times tighter, residual 1e-6: {wall_s:.2f} s wall, {cpu_s:.2f} s CPU, {found.report.iterations} iterations."
    )


def calculix(name: str) -> dict:
    """Write the input, run CalculiX's iterative solver with diagonal scaling, and read the reaction."""
    modulus = modulus_of(name)
    height = modulus.shape[2]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        _calculix_input(modulus, Path(folder) / "model.inp")
        # ccx reads and writes its model beside the given path; its threads come from the environment
        cost = cost_of(["env", "OMP_NUM_THREADS=2", str(shutil.which("ccx")), str(Path(folder) / "model")])
        words = (Path(folder) / "model.dat").read_text().split()
        wall = time.perf_counter() - begun
    return {"wall": wall, "cpu": cost.cpu_s, "peak": cost.peak_mib, "stiffness": -float(words[-1]) / (0.01 * height)}


def _calculix_input(modulus: np.ndarray, path: Path) -> None:
    mesh = BrickMesh.from_mask(modulus > 0, (1, 1, 1))
    number = np.zeros(mesh.node_shape, dtype=int)
    number[mesh.nodes] = np.arange(1, np.count_nonzero(mesh.nodes) + 1)
    i, j, k = np.nonzero(mesh.mask)
    order = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]
    corners = np.stack([number[i + a, j + b, k + c] for a, b, c in order], axis=1)
    values = modulus[mesh.mask]
    with path.open("w", encoding="ascii") as out:
        out.write("*NODE\n")
        for n, place in zip(number[mesh.nodes], np.argwhere(mesh.nodes), strict=True):
            out.write(f"{n},{place[0]},{place[1]},{place[2]}\n")
        for label, value in enumerate(np.unique(values)):
            out.write(f"*ELEMENT,TYPE=C3D8,ELSET=E{label}\n")
            for element in np.flatnonzero(values == value):
                out.write(f"{element + 1},{','.join(map(str, corners[element]))}\n")
            out.write(
                f"*MATERIAL,NAME=M{label}\n*ELASTIC\n{value},0.3\n*SOLID SECTION,ELSET=E{label},MATERIAL=M{label}\n"
            )
        for face, layer in (("BOTTOM", 0), ("TOP", -1)):
            nodes = number[..., layer]
            out.write(f"*NSET,NSET={face}\n" + "\n".join(f"{n}," for n in nodes[nodes > 0]) + "\n")
        out.write("*STEP\n*STATIC,SOLVER=ITERATIVE SCALING\n*BOUNDARY\nBOTTOM,1,3\nTOP,1,2\n")
        out.write(f"TOP,3,3,{-0.01 * modulus.shape[2]}\n*NODE PRINT,NSET=TOP,TOTALS=ONLY\nRF\n*END STEP\n")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        Path(sys.argv[3]).write_text(json.dumps(own(sys.argv[2])), encoding="utf-8")
    else:
        print(section())
