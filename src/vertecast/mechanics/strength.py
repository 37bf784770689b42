"""The strength of a vertebra: its body loaded between pads until 3 % strain, for each shape of the yield surface."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.levels import Level
from vertecast.core.observer import SILENT, Observer
from vertecast.core.parameters import ParameterUse
from vertecast.core.quantities import Measured
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.kernels.newton import PathStatus
from vertecast.mechanics.activities import load_activities, load_to_strength
from vertecast.mechanics.crush import Crush, crush
from vertecast.mechanics.curve import Curve
from vertecast.mechanics.pads import Neighbours
from vertecast.mechanics.settings import StrengthDefinition, StrengthOptions, load_definition, load_support
from vertecast.mechanics.specimen import Specimen, make_specimen
from vertecast.physics.bone import load_law
from vertecast.physics.bone_yield import foam_law, load_post_yield
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.density import HuCalibration


@dataclass(frozen=True, slots=True, eq=False)
class StrengthResult:
    """One loading to the end, for one shape of the yield surface.

    Parameters
    ----------
    offset, at_strain, maximum : N
    ratios : load over the ``maximum``, by activity
    plastic_strain : (nx, ny, nz), equivalent plastic strain of each voxel at the end, mean of its points; NaN outside
    stiffness_left : (nx, ny, nz), 0-1, NaN outside
    energy_gap : share of the work that is neither stored nor dissipated: the audit of the solution
    """

    alpha: float
    curve: Curve
    status: PathStatus
    offset: Measured
    at_strain: Measured
    maximum: Measured
    ratios: dict[str, Measured]
    plastic_strain: NDArray[np.float32]
    stiffness_left: NDArray[np.float32]
    energy_gap: float
    newton: int
    krylov: int

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form: clinical units, in the names."""
        return {
            "alpha": self.alpha,
            "status": self.status.value,
            "stiffness_n_per_mm": self.curve.stiffness,
            "strength_offset_n": self.offset.as_json(),
            "strength_fixed_strain_n": self.at_strain.as_json(),
            "strength_maximum_n": self.maximum.as_json(),
            "load_to_strength": {name: ratio.as_json() for name, ratio in self.ratios.items()},
            "curve": {"shortening_mm": self.curve.shortening.tolist(), "force_n": self.curve.force.tolist()},
            "yielded_percent": 100 * float(np.nanmean(self.plastic_strain > 0)),
            "energy_gap_percent": 100 * self.energy_gap,
            "newton_iterations": self.newton,
            "krylov_iterations": self.krylov,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Strength:
    """The strength of one vertebral body, one result for each alpha; it has one strength, and which is not known."""

    level: Level
    grid: Grid
    options: StrengthOptions
    height: float
    mean_density: float
    calibration: str
    calibrated: bool
    elements: int
    density: NDArray[np.float64]
    results: tuple[StrengthResult, ...]
    warnings: tuple[str, ...]
    uses: tuple[ParameterUse, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "level": str(self.level),
            "support": self.options.support.value,
            "loading": self.options.loading.value,
            "law": self.options.law,
            "post_yield": self.options.post_yield,
            "voxel_mm": self.options.voxel_mm,
            "elements": self.elements,
            "body_height_mm": self.height,
            "mean_density_mg_cm3": 1000 * self.mean_density,
            "calibration": self.calibration,
            "calibrated": self.calibrated,
            "results": [one.as_json() for one in self.results],
            "warnings": list(self.warnings),
        }


def strength(
    anatomy: Anatomy,
    volume: Volume,
    calibration: HuCalibration,
    options: StrengthOptions | None = None,
    *,
    neighbours: Neighbours | None = None,
    observer: Observer = SILENT,
) -> Strength:
    """Measure the stiffness and strength of a vertebral body.

    Parameters
    ----------
    anatomy : of the level; the arch is left out, as in the experiments
    volume : the CT, on any grid that covers the body
    calibration : HU to K2HPO4-equivalent density; an uncalibrated one marks every number
    neighbours : the next vertebrae, whose endplates bound the discs; used with ``Support.DISC`` only

    Notes
    -----
    Small strains: the curve is not to be used beyond a few percent, nor for the fractured shape after it.
    """
    options = options or StrengthOptions()
    definition, pad, law = load_definition(), load_support(options.support), load_law(options.law)
    settings = (options, definition.values, pad.values)
    specimen = make_specimen(anatomy, volume, calibration, law, settings, neighbours=neighbours)
    for sentence in specimen.warnings:
        observer.warn(sentence)
    post = load_post_yield(options.post_yield)
    activities = load_activities()
    results = []
    for alpha in options.alphas:
        observer.begin(f"{anatomy.level}: loading, alpha = {alpha:.2f}", options.increments)
        law_here = foam_law(post.values, alpha, options.voxel_mm)
        found = crush(specimen, law_here, settings, observer=observer)
        results.append(_result(found, alpha, anatomy.level, definition.values, specimen))
    return Strength(
        anatomy.level,
        specimen.grid,
        options,
        specimen.height,
        float(specimen.density[specimen.body].mean()),
        calibration.name,
        calibration.calibrated,
        int(specimen.mesh_mask.sum()),
        specimen.density,
        tuple(results),
        specimen.warnings,
        (*specimen.uses, *definition.uses, *pad.uses, *post.uses, *activities.uses),
    )


def _result(
    found: Crush, alpha: float, level: Level, definition: StrengthDefinition, specimen: Specimen
) -> StrengthResult:
    highest = found.curve.maximum()
    outside = ~specimen.body
    plastic, left = found.plastic_strain.copy(), found.stiffness_left.copy()
    plastic[outside], left[outside] = np.nan, np.nan
    return StrengthResult(
        alpha,
        found.curve,
        found.status,
        found.curve.offset_strength(definition.offset_strain),
        found.curve.strength_at(definition.fixed_strain),
        highest,
        load_to_strength(load_activities().values, level, highest),
        plastic,
        left,
        found.energy_gap,
        found.newton,
        found.krylov,
    )
