"""Every arm in the same test: the body between cement caps, pressed axially in few steps, non-linear in compression."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vertecast.assess.arms import Arm, Materials
from vertecast.assess.settings import AssessSettings
from vertecast.core.observer import SILENT, Observer
from vertecast.core.quantities import Measured
from vertecast.imaging.grid import Grid
from vertecast.kernels.brick_modes import Integration
from vertecast.kernels.bricks import BrickMesh, lame_parameters
from vertecast.kernels.constraints import Constraints
from vertecast.kernels.foam import FoamBody
from vertecast.kernels.foam_law import NO_SIDEWAYS, FoamLaw
from vertecast.kernels.foam_loading import FoamUnderLoad
from vertecast.mechanics.crush import Crush, crush
from vertecast.mechanics.pads import caps
from vertecast.mechanics.settings import Loading, StrengthOptions, Support, SupportMaterial
from vertecast.mechanics.specimen import Specimen, body_height
from vertecast.physics.bone_yield import PostYield, foam_law

ALPHAS = {"von_mises": 0.0, "crushable_foam": float(NO_SIDEWAYS)}
"""Shapes of the yield surface, by the names of the outcome; a bone has one strength, which lies between."""


@dataclass(frozen=True, eq=False)
class Tested:
    """One arm in the test.

    Parameters
    ----------
    stiffness : N/mm, of the elastic body
    strength : N, highest force, by the shape of the yield surface
    """

    stiffness: float
    strength: Mapping[str, Measured]
    height: float

    @property
    def span(self) -> tuple[float, float] | None:
        """Lowest and highest strength over the shapes, N; None where one is unknown."""
        values = [one.value for one in self.strength.values()]
        known = [value for value in values if value is not None]
        return (min(known), max(known)) if len(known) == len(values) else None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The testing machine: caps, steps, laws, what is known of their errors."""

    settings: AssessSettings
    pad: SupportMaterial
    perfect: PostYield
    calibrated: bool


def specimen_of(arm: Arm, grid: Grid, materials: Materials, bench: Bench) -> Specimen:
    """Return an arm between caps."""
    spacing = float(grid.spacing[0])
    pads = caps(arm.body, spacing, bench.pad)
    fields = []
    for own, pad in ((arm.young, bench.pad.modulus), (arm.poisson, bench.pad.poisson)):
        fields.append(np.where(arm.body, own, pad))
    strength = np.where(arm.body, arm.strength, bench.pad.yield_stress)
    places = np.argwhere(arm.body)
    middle = (places[:, :2] + 0.5).mean(axis=0) * spacing
    return Specimen(
        grid,
        arm.body,
        pads,
        fields[0],
        fields[1],
        strength,
        np.full(arm.body.shape, np.nan),
        body_height(arm.body, grid.spacing, materials.definition.inner_share),
        (float(middle[0]), float(middle[1])),
        float(np.ptp(places[:, 1]) + 1) * spacing,
        pads.warnings,
        (),
    )


def load_arm(arm: Arm, grid: Grid, materials: Materials, bench: Bench, observer: Observer = SILENT) -> Tested:
    """Press an arm until the strain asked for, once for each shape of the yield surface."""
    specimen = specimen_of(arm, grid, materials, bench)
    stiffness, strength = 0.0, {}
    for name, alpha in ALPHAS.items():
        found = _pressed(specimen, foam_law(bench.perfect, alpha, specimen.grid.spacing[0]), materials, bench, observer)
        stiffness = found.curve.stiffness
        highest = found.curve.maximum()
        if highest.value is not None:
            method = f"{highest.method}; {name.replace('_', ' ')}; {arm.said}".rstrip("; ")
            settings = bench.settings
            highest = settings.trusted(highest.value, settings.strength_exponent, bench.calibrated, method)
        strength[name] = highest
    return Tested(stiffness, strength, specimen.height)


def elastic_stiffness(arm: Arm, grid: Grid, materials: Materials, bench: Bench) -> float:
    """Return the stiffness of an arm between caps before any yield, N/mm."""
    specimen = specimen_of(arm, grid, materials, bench)
    mesh = BrickMesh.from_mask(specimen.mesh_mask, grid.spacing)
    lame, mu = lame_parameters(mesh.pack(specimen.young), mesh.pack(specimen.poisson))
    body = FoamBody(mesh, lame, mu, np.full(mesh.count, np.inf), FoamLaw(alpha=0.0), Integration.MEAN_DILATATION)
    fixed, values = np.zeros((3, *mesh.node_shape), bool), np.zeros((3, *mesh.node_shape))
    fixed[:, specimen.pads.lower | specimen.pads.upper] = True
    values[2][specimen.pads.upper] = -1.0
    problem = FoamUnderLoad(body, Constraints(fixed, values), grip=specimen.pads.upper)
    return -float(problem.resting_force()[2][specimen.pads.upper].sum())


def _pressed(specimen: Specimen, law: FoamLaw, materials: Materials, bench: Bench, observer: Observer) -> Crush:
    options = StrengthOptions(
        voxel_mm=float(specimen.grid.spacing[0]),
        support=Support.PMMA,
        loading=Loading.AXIAL,
        strain=bench.settings.strain,
        increments=round(bench.settings.increments),
        tolerance=bench.settings.tolerance,
    )
    return crush(specimen, law, (options, materials.definition, bench.pad), observer=observer)
