"""HU to bone mineral density: a given line or a stated fallback; the internal one is in ``internal_calibration``."""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import InputError, ParameterError
from vertecast.core.parameters import Loaded, ParameterUse, load_parameters, parse_parameters
from vertecast.core.quantities import quantity
from vertecast.physics.bone_density import DensityKind, k2hpo4_per_ha, load_conversions

_MG_MM3 = 1e-3  # mg/mm³ per mg/cm³


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How this scan's HU become density: ``intercept + slope·HU + curvature·HU²``.

    Parameters
    ----------
    name : what was calibrated with
    method : how, in a sentence
    slope, intercept, curvature : K2HPO4-equivalent; the curvature is 0 but for the internal calibration
    calibrated : ``False`` for the stated fallback, and then every number that comes from it says so
    uses : the numbers that it stands on, with their sources
    """

    name: str
    method: str
    slope: float = quantity("mg/(cm3.HU)", "K2HPO4-equivalent density per HU at 0 HU")
    intercept: float = quantity("mg/cm3", "K2HPO4-equivalent density at 0 HU")
    curvature: float = quantity("1", "mg/(cm3.HU2): change of the slope, halved", default=0.0)
    calibrated: bool = True
    warnings: tuple[str, ...] = ()
    uses: tuple[ParameterUse, ...] = ()

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) for number in (self.slope, self.intercept, self.curvature)):
            raise ParameterError(f"calibration {self.name!r} holds a number that is not finite; give it again")
        if self.slope <= 0:
            raise ParameterError(
                f"calibration {self.name!r}: slope {self.slope:g} mg/cm3 per HU must be positive; check its unit"
            )

    def density(self, hu: ArrayLike) -> NDArray[np.float64]:
        """Return K2HPO4-equivalent density, mg/mm³, in the shape of ``hu``; below 0 for fat, as on a QCT report."""
        values = np.asarray(hu, float)
        return np.asarray(_MG_MM3 * (self.intercept + values * (self.slope + values * self.curvature)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A straight calibration line as a file gives it."""

    name: str = quantity("1", "what was calibrated with: phantom, scanner, date")
    slope: float = quantity("mg/(cm3.HU)", "density per HU, not HU per density")
    intercept: float = quantity("mg/cm3", "density at 0 HU")
    equivalent: str = quantity("1", "what the density is the density of: k2hpo4 or ha")
    tube_voltage: float = quantity("kV", "of the calibration; K2HPO4 and HA differ by it")


def read_calibration(path: Path) -> Calibration:
    """Read a calibration line from a TOML file.

    The file holds ``name``, ``slope``, ``intercept``, ``equivalent`` (``"k2hpo4"`` or ``"ha"``) and ``tube_voltage``,
    each as a table of value, unit, source and status. HA is turned into K2HPO4 by Goodsitt's ratio at that voltage.

    Raises
    ------
    InputError
        If the file cannot be read or is not TOML.
    ParameterError
        If a name, unit, source or status is missing or wrong.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise InputError(f"{path} does not exist; check the path of the calibration") from exc
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise InputError(f"{path} is no calibration that can be read ({exc}); give a TOML file") from exc
    return _from_line(parse_parameters(table, _Line, place=str(path)), calibrated=True)


def fallback_calibration() -> Calibration:
    """Return the stated fallback: a typical line of 120 kVp scans, which marks every number ``uncalibrated``."""
    return _from_line(load_parameters("imaging/fallback_calibration.toml", _Line), calibrated=False)


def _from_line(loaded: Loaded[_Line], *, calibrated: bool) -> Calibration:
    line, uses = loaded.values, loaded.uses
    try:
        kind = DensityKind(line.equivalent)
    except ValueError as exc:
        raise ParameterError(f"equivalent {line.equivalent!r} is not known; use k2hpo4 or ha") from exc
    if kind is DensityKind.K2HPO4:
        factor, said = 1.0, ""
    elif kind is DensityKind.HA:
        conversions = load_conversions()
        factor = k2hpo4_per_ha(line.tube_voltage, conversions.values)
        said = f", HA turned into K2HPO4 by {factor:.3f}"
        uses += tuple(use for use in conversions.uses if use.name.startswith("k2hpo4_per_ha"))
    else:
        raise ParameterError(f"equivalent {line.equivalent!r} is no calibration phantom's; use k2hpo4 or ha")
    return Calibration(
        name=line.name,
        method=f"{'given' if calibrated else 'assumed'} line at {line.tube_voltage:.0f} kVp{said}",
        slope=line.slope * factor,
        intercept=line.intercept * factor,
        calibrated=calibrated,
        warnings=() if calibrated else ("density is uncalibrated: a typical line stands in for this scanner's",),
        uses=uses,
    )
