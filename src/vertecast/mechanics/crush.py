"""Loading a specimen between rigid platens, step by step, and what was seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.observer import SILENT, Observer
from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh, corners_of, lame_parameters
from vertecast.kernels.constraints import Constraints, Platen, Sides
from vertecast.kernels.foam import FoamBody
from vertecast.kernels.foam_law import FoamLaw
from vertecast.kernels.foam_loading import FoamRecord, FoamUnderLoad
from vertecast.kernels.foam_reference import integrity
from vertecast.kernels.newton import Path, PathStatus, StepControl, follow
from vertecast.mechanics.curve import Curve
from vertecast.mechanics.settings import Loading, StrengthDefinition, StrengthOptions, SupportMaterial
from vertecast.mechanics.specimen import Specimen

Nodes = NDArray[np.bool_]
_PATIENCE = 4  # corrections; a step too long for the crushing foam shows it by then, and half of it is found in a few


@dataclass(frozen=True, slots=True, eq=False)
class Crush:
    """A specimen loaded to the end.

    Parameters
    ----------
    plastic_strain : (nx, ny, nz), equivalent plastic strain, mean of each voxel's points; 0 outside the mesh
    stiffness_left : (nx, ny, nz), 0-1; 1 outside
    energy_gap : share of the work that is neither stored nor dissipated
    """

    curve: Curve
    status: PathStatus
    plastic_strain: NDArray[np.float32]
    stiffness_left: NDArray[np.float32]
    energy_gap: float
    newton: int
    krylov: int


Gauge = Callable[[NDArray[np.float64], float], float]
"""Reads the shortening, mm, from a displacement and the scale of the load."""


class _Gauged(FoamUnderLoad):
    """Reads the shortening with every record."""

    def __init__(self, body: FoamBody, constraints: Constraints, grip: Nodes, gauge: Gauge) -> None:
        super().__init__(body, constraints, grip=grip)
        self.gauge = gauge
        self.shortenings: list[float] = []

    def accept(self, u: NDArray[np.float64], scale: float) -> FoamRecord:
        """Accept the state and read the gauge."""
        self.shortenings.append(self.gauge(u, scale))
        return super().accept(u, scale)


def crush(
    specimen: Specimen,
    law: FoamLaw,
    settings: tuple[StrengthOptions, StrengthDefinition, SupportMaterial],
    *,
    observer: Observer = SILENT,
) -> Crush:
    """Press the upper platen down until the body is shortened by the strain asked for.

    The platens are the pads' outer faces, or the neighbours' endplates where those bound the discs; the lower one is
    fixed. Axial: the upper one only moves down. Flexion: it is pushed in front of the centre, free to tilt about that
    point, and held sideways. The shortening is that of the point where the force acts, or of the endplates, as the
    support's data says.
    """
    options, definition, pad = settings
    mesh = BrickMesh.from_mask(specimen.mesh_mask, specimen.grid.spacing)
    lame, mu = lame_parameters(mesh.pack(specimen.young), mesh.pack(specimen.poisson))
    body = FoamBody(mesh, lame, mu, mesh.pack(specimen.strength), law, Integration.MEAN_DILATATION)
    aim = options.strain * specimen.height
    travel = aim * pad.travel
    constraints = _constraints(mesh, specimen, (options.loading, definition.eccentricity), -travel)
    gauge = _between_endplates(specimen) if pad.at_endplates else lambda _, scale: scale * travel
    problem = _Gauged(body, constraints, specimen.pads.upper, gauge)
    control = StepControl(
        increments=round(options.increments * pad.travel), tolerance=options.tolerance, patience=_PATIENCE
    )
    path = follow(problem, control, stop=lambda _: problem.shortenings[-1] >= aim, observer=observer)
    return _seen(path, problem, specimen, law)


def _seen(path: Path[FoamRecord], problem: _Gauged, specimen: Specimen, law: FoamLaw) -> Crush:
    force = [-float(one.record.force[2]) for one in path.increments]
    curve = Curve(np.r_[0.0, problem.shortenings], np.r_[0.0, force], elastic_stiffness(problem), specimen.height)
    mesh, kappa = problem.body.mesh, problem.state.kappa
    last = path.increments[-1].record if path.increments else None
    gap = 0.0 if last is None else abs(last.work - last.stored - last.dissipated) / max(last.work, 1e-300)
    whole = integrity(kappa.mean(axis=0, dtype=np.float64), law)[1]
    return Crush(
        curve,
        path.status,
        mesh.unpack(kappa.mean(axis=0)).astype(np.float32),
        mesh.unpack(whole, fill=1.0).astype(np.float32),
        gap,
        sum(one.newton for one in path.increments),
        sum(one.krylov for one in path.increments),
    )


def elastic_stiffness(problem: _Gauged) -> float:
    """Return force over shortening before any yield, N/mm."""
    from_rest = problem.resting_force()
    return -float(from_rest[2][problem.grip].sum()) / problem.gauge(problem.elastic(), 1.0)


def _between_endplates(specimen: Specimen) -> Gauge:
    """Return the gauge that reads how much nearer the endplates came, mean over each, along the third axis."""
    upper, lower = _endplate(specimen, upper=True), _endplate(specimen, upper=False)
    return lambda u, _: float(u[2][lower].mean() - u[2][upper].mean())


def _endplate(specimen: Specimen, *, upper: bool) -> Nodes:
    """Nodes shared by the body and one pad."""
    nz = specimen.body.shape[2]
    middle = int(np.flatnonzero(specimen.body.any(axis=(0, 1))).mean())
    half = np.zeros(nz, bool)
    half[middle:] = True
    return np.asarray(corners_of(specimen.body) & corners_of(specimen.pads.mask & (half if upper else ~half)))


def _constraints(mesh: BrickMesh, specimen: Specimen, how: tuple[Loading, float], travel: float) -> Constraints:
    loading, eccentricity = how
    bottom, top = specimen.pads.lower, specimen.pads.upper
    fixed = np.zeros((3, *mesh.node_shape), bool)
    fixed[:, bottom] = True
    if loading is Loading.AXIAL:
        values = np.zeros((3, *mesh.node_shape))
        fixed[:, top] = True
        values[2][top] = travel
        return Constraints(fixed, values)
    height = float(np.argwhere(top)[:, 2].mean() * mesh.spacing[2])
    front = specimen.centre[1] - eccentricity * specimen.depth  # the second axis points backwards
    point = (specimen.centre[0], front, height)
    platen = Platen(nodes=top, axis=2, point=point, sides=Sides.FIXED, force=None, displacement=travel)
    return Constraints(fixed, None, (platen,))
