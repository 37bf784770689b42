"""Density from the patient's own tissues: HU of air, fat, blood, muscle and cortical bone against their attenuation."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError
from vertecast.core.quantities import quantity
from vertecast.imaging.calibration import Calibration
from vertecast.imaging.tissues import Tissue, TissueHu, TissueSearch, load_search
from vertecast.physics.attenuation import load_attenuation, load_materials

_NEEDED = (Tissue.AIR, Tissue.ADIPOSE, Tissue.MUSCLE, Tissue.CORTICAL_BONE)
_MODEL_ERROR = (
    "internal calibration is a published model that reads K2HPO4 in water 19 to 26 mg/cm3 too high at 0 and 29 to 38 "
    "too low at 100 mg/cm3; give the scanner's own calibration where there is one"
)
_MG_CM3 = 1000.0  # mg/cm³ per mg/mm³


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyFit:
    """The energy at which HU and mass attenuation of the tissues lie best on one line."""

    energy: float = quantity("keV", "effective energy")
    slope: float = quantity("mm2/mg", "mass attenuation per HU")
    intercept: float = quantity("mm2/mg", "mass attenuation at 0 HU")
    fit: float = quantity("1", "coefficient of determination")


def internal_calibration(tissues: TissueHu) -> Calibration:
    """Calibrate a scan by its own tissues.

    HU are set against the tissues' mass attenuation at the energy where the line is straightest, and against their
    densities. A voxel is then a mixture of triglyceride and K2HPO4, whose mass fraction follows from its attenuation:
    ``ρ_K2HPO4 = ρ·(u - u_TG)/(u_K2HPO4 - u_TG)``, both linear in HU, so the density is a parabola in HU.

    Raises
    ------
    InputError
        If air, fat, muscle or cortical bone is missing, or no energy makes a line.

    Notes
    -----
    Must not be used with contrast agent in the bone, nor between scans of different reconstruction. Against QCT such
    calibrations had a root-mean-square deviation of 7.8 % (Kaesmacher 2017, without contrast agent). By our own
    computation the published model does not read a QCT phantom back: for K2HPO4 in water at one energy of 60-80 keV it
    gives 19 to 26 mg/cm3 too much at 0, and 29 to 38 too little at 100. A given calibration is to be preferred.

    References
    ----------
    .. [1] Michalski et al., CT-based internal density calibration for opportunistic skeletal assessment using abdominal
       CT scans, Med Eng Phys 78 (2020) 55-63.
    """
    lacking = [f"{one.value} ({tissues.missing.get(one, 'not given')})" for one in _NEEDED if one not in tissues.hu]
    if lacking:
        raise InputError(
            f"internal calibration lacks {', '.join(lacking)}; give a calibration file, or go on uncalibrated"
        )
    loaded, materials = load_search(), load_materials()
    used = [one for one in Tissue if one in tissues.hu]
    best = fitted_energy(tissues.hu, loaded.values)
    intercept, slope, curvature = _parabola(tissues.hu, used, best)
    said = ", ".join(f"{one.value} {tissues.hu[one]:.0f} HU" for one in used)
    missing = tuple(f"internal calibration, {one.value}: {why}" for one, why in tissues.missing.items())
    return Calibration(
        name="internal (" + ", ".join(one.value for one in used) + ")",
        method=f"internal calibration at {best.energy:.1f} keV (R2 {best.fit:.4f}) from {said}",
        slope=slope,
        intercept=intercept,
        curvature=curvature,
        warnings=(*missing, _MODEL_ERROR),
        uses=loaded.uses + tuple(use for one in used for use in materials[one.value].uses),
    )


def _parabola(hu: Mapping[Tissue, float], used: list[Tissue], best: EnergyFit) -> tuple[float, float, float]:
    """Multiply the line of densities with the line of mass fractions; coefficients of 1, HU and HU², mg/cm3."""
    table, materials = load_attenuation(), load_materials()
    b1, b0 = np.polyfit([hu[one] for one in used], [materials[one.value].density for one in used], 1)
    fat = float(table.mass_attenuation(materials["triglyceride"], best.energy))
    salt = float(table.mass_attenuation(materials["k2hpo4"], best.energy))
    scale, above = _MG_CM3 / (salt - fat), best.intercept - fat
    coefficients = (b0 * above, b0 * best.slope + b1 * above, b1 * best.slope)
    return tuple(float(scale * one) for one in coefficients)  # type: ignore[return-value]


def fitted_energy(hu: Mapping[Tissue, float], search: TissueSearch) -> EnergyFit:
    """Find the energy at which HU and mass attenuation of the tissues lie best on one line.

    Raises
    ------
    InputError
        If the best line is not good enough: one of the regions is not the tissue it is taken for.
    """
    table, materials = load_attenuation(), load_materials()
    used = [one for one in Tissue if one in hu]
    x = np.array([hu[one] for one in used])
    energies = np.arange(search.energy_lowest, search.energy_highest + 1e-9, search.energy_step)
    u = np.stack([table.mass_attenuation(materials[one.value], energies) for one in used])
    slope, intercept, fit = _lines(x, u)
    fit = np.where(slope > 0, fit, -np.inf)
    at = int(np.argmax(fit))
    if not fit[at] >= search.smallest_fit:
        said = ", ".join(f"{one.value} {hu[one]:.0f} HU" for one in used)
        raise InputError(
            f"internal calibration: HU and attenuation lie on no line (R2 {fit[at]:.3f}, needs {search.smallest_fit}) "
            f"for {said}; a region is not the tissue it is taken for, so give a calibration file"
        )
    return EnergyFit(
        energy=float(energies[at]), slope=float(slope[at]), intercept=float(intercept[at]), fit=float(fit[at])
    )


def _lines(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Fit one line per column of ``y``, (tissues, energies): slope, intercept, coefficient of determination."""
    dx, dy = x - x.mean(), y - y.mean(axis=0)
    slope = dx @ dy / (dx @ dx)
    residual = dy - dx[:, None] * slope
    fit = 1.0 - (residual**2).sum(axis=0) / (dy**2).sum(axis=0)
    return slope, y.mean(axis=0) - slope * x.mean(), fit
