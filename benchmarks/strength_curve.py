"""Time a strength curve on the shared voxel model: 20 increments to 2 % strain, J2 with 5 % hardening."""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import DATA, cost_of
from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.foam import FoamBody
from vertecast.kernels.foam_law import FoamLaw
from vertecast.kernels.foam_loading import FoamRecord, FoamUnderLoad
from vertecast.kernels.newton import Path as Curve
from vertecast.kernels.newton import StepControl, follow

YIELD_STRAIN, HARDENING = 0.007, 0.05


def curve(modulus: np.ndarray, increments: int) -> Curve[FoamRecord]:
    """Press a model (x, y, z; 0 = void) between bonded platens to 2 % strain."""
    mesh = BrickMesh.from_mask(modulus > 0, (1.0, 1.0, 1.0))
    young = mesh.pack(modulus)
    lame, mu = lame_parameters(young, 0.3)
    law = FoamLaw(alpha=0.0, hardening=HARDENING / YIELD_STRAIN)
    body = FoamBody(mesh, lame, mu, YIELD_STRAIN * young, law, Integration.FULL)
    fixed, values = np.zeros((3, *mesh.node_shape), bool), np.zeros((3, *mesh.node_shape))
    fixed[..., 0] = fixed[..., -1] = True
    fixed &= mesh.nodes
    values[2, :, :, -1] = -0.02 * mesh.shape[2]
    top = mesh.nodes.copy()
    top[:, :, :-1] = False
    return follow(FoamUnderLoad(body, Constraints(fixed, values), grip=top), StepControl(increments=increments))


def section() -> str:
    """Return the Markdown section; the curve runs in a process of its own, so that its peak memory is its own."""
    model = DATA / "fe_benchmark" / "vertebra_64.npz"
    if not model.is_file():
        return "## Strength curve\n\nThe model (fe_benchmark) is not on this machine: nothing measured.\n"
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        cost = cost_of([sys.executable, "-m", "benchmarks.strength_curve", str(model), str(result)])
        found = json.loads(result.read_text())
    return (
        "## Strength curve\n\n{elements} elements, 20 increments to 2 % strain, von Mises with 5 % hardening: "
        "{wall:.1f} s wall, {cpu:.1f} s CPU, ".format(**found)
        + f"{cost.peak_mib:.0f} MiB, "
        + "Newton {newton}, Krylov {krylov}, cuts {cuts}, energy gap {gap:.2f} % (asked: 25 s).\n".format(**found)
    )


def timed(model: Path) -> dict:
    """Compile on blocks, small and large enough for the threads, then time the whole."""
    with np.load(model) as archive:
        modulus = archive["modulus_mpa"].transpose(2, 1, 0).astype(float)
    for edge in (18, 40):
        curve(np.full((edge, edge, 18), 100.0), 3)
    wall, cpu = time.perf_counter(), time.process_time()
    path = curve(modulus, 20)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    last = path.increments[-1].record
    return {
        "elements": int(np.count_nonzero(modulus)),
        "wall": wall,
        "cpu": cpu,
        "newton": sum(one.newton for one in path.increments),
        "krylov": sum(one.krylov for one in path.increments),
        "cuts": path.cuts,
        "gap": 100 * abs(last.work - last.stored - last.dissipated) / last.work,
        "force": -float(last.force[2]),
    }


if __name__ == "__main__":
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(json.dumps(timed(Path(sys.argv[1]))), encoding="utf-8")
    else:
        print(section())
