"""Time a strength curve on the shared voxel model: 20 increments to 2 % strain, J2 with 5 % hardening.

Run: python benchmarks/strength_curve.py ../shared/data/fe_benchmark/vertebra_64.npz
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

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


def main() -> None:
    """Compile on a corner of the model, then time the whole."""
    modulus = np.load(Path(sys.argv[1]))["modulus_mpa"].transpose(2, 1, 0).astype(float)
    curve(np.full((18, 18, 18), 100.0), 3)
    wall, cpu = time.perf_counter(), time.process_time()
    path = curve(modulus, 20)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    last = path.increments[-1].record
    gap = abs(last.work - last.stored - last.dissipated) / last.work
    print(f"elements {np.count_nonzero(modulus)}, {path.status.value}, force at the end {-last.force[2]:.1f} N")
    newton, krylov = sum(one.newton for one in path.increments), sum(one.krylov for one in path.increments)
    print(f"Newton {newton}, Krylov {krylov}, cuts {path.cuts}, energy gap {100 * gap:.3f} %")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"wall {wall:.1f} s, CPU {cpu:.1f} s, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
