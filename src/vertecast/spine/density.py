"""Trabecular density of a vertebral body: HU always, mg/cm³ only when calibrated, and what published cut-offs say."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.levels import Level
from vertecast.core.parameters import Loaded, ParameterUse, load_parameters
from vertecast.core.quantities import Measured, quantity
from vertecast.imaging.volume import Volume
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.roi import BodyHu, RoiParameters, body_hu, noise_sd, trabecular_roi

ROI_PARAMETERS = "spine/roi.toml"
DENSITY_PARAMETERS = "spine/density.toml"

_MG_CM3 = 1000.0  # mg/cm³ per mg/mm³


class HuCalibration(Protocol):
    """Turns HU into K2HPO4-equivalent density; ``calibrated`` is False for a stated fallback."""

    @property
    def name(self) -> str:
        """What was calibrated with."""

    @property
    def calibrated(self) -> bool:
        """Whether this scan's own HU were calibrated."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences the reader must see."""

    def density(self, hu: Any) -> Any:
        """Return density, mg/mm³ K2HPO4-equivalent, for HU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityParameters:
    """Published cut-offs, and what makes a body cemented or sclerotic."""

    l1_at_risk_below: float = quantity("HU", "L1: at risk of fracture below this")
    l1_osteoporosis_up_to: float = quantity("HU", "L1: osteoporosis is likely up to this")
    l1_normal_from: float = quantity("HU", "L1: osteoporosis is unlikely from this on")
    of_score_up_to: float = quantity("HU", "OF score: one point up to this")
    adjacent_fracture_below: float = quantity("HU", "fracture next to an augmented level is likelier below this")
    qct_osteoporosis_below: float = quantity("mg/cm3", "QCT: osteoporosis below this")
    qct_low_up_to: float = quantity("mg/cm3", "QCT: low bone mass up to this")
    young_mean: float = quantity("HU", "young women's mean L1 trabecular HU")
    young_sd: float = quantity("HU", "its standard deviation")
    roi_shift: float = quantity("1", "how much farther from the cortex the region is tried too, in voxels")
    sclerotic_share: float = quantity("1", "share of sclerotic bone in the deep body from which a body is sclerotic")
    cemented_volume: float = quantity("mL", "volume above the cement threshold from which a body is cemented")


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence that a published cut-off allows, with its source."""

    name: str
    text: str
    holds: bool
    source: str
    status: str

    def as_json(self) -> dict[str, str | bool]:
        """Return the file's form."""
        return {
            "name": self.name,
            "text": self.text,
            "holds": self.holds,
            "source": self.source,
            "status": self.status,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """Density of one body's trabecular region; what could not be measured says why.

    Parameters
    ----------
    mean_hu, median_hu : of the region
    noise_hu : standard deviation of the voxel noise in the region
    t_hu : (mean - young mean) / young SD, for L1 only
    density_mg_cm3 : K2HPO4-equivalent; unknown without a calibration
    calibration : its name, ``"uncalibrated: …"`` for a fallback, None without one
    roi_volume_ml : of the region
    is_cemented, is_sclerotic : None when there is no CT
    contrast : whether the header says contrast medium was given; None when it does not say
    statements : what published cut-offs allow to say; empty for a body whose HU are not trabecular bone's
    warnings : sentences the reader must see
    """

    mean_hu: Measured
    median_hu: Measured
    noise_hu: Measured
    t_hu: Measured
    density_mg_cm3: Measured
    calibration: str | None
    roi_volume_ml: Measured
    is_cemented: bool | None
    is_sclerotic: bool | None
    contrast: bool | None
    statements: tuple[Statement, ...]
    warnings: tuple[str, ...]

    @classmethod
    def unknown(cls, reason: str, *, is_cemented: bool | None = None, is_sclerotic: bool | None = None) -> "Density":
        """Make the density that could not be measured."""
        no = Measured.unknown(reason)
        return cls(no, no, no, no, no, None, no, is_cemented, is_sclerotic, None, (), ())


def density_parameters() -> Loaded[DensityParameters]:
    """Load the cut-offs shipped with the package."""
    return load_parameters(DENSITY_PARAMETERS, DensityParameters)


def roi_parameters() -> Loaded[RoiParameters]:
    """Load what a trabecular region keeps away from."""
    return load_parameters(ROI_PARAMETERS, RoiParameters)


def measure_density(anatomy: Anatomy, volume: Volume | None, calibration: HuCalibration | None = None) -> Density:
    """Measure the trabecular density of one body.

    Parameters
    ----------
    anatomy : split vertebra with its frame
    volume : the CT; without it the density is unknown
    calibration : turns HU into mg/mm³ K2HPO4-equivalent; without it there is no density in mg/cm³

    Notes
    -----
    The interval of the mean joins the noise's standard error and what a body surface half a
    voxel further in would change.
    """
    if volume is None:
        return Density.unknown("no CT was given, labels only")
    if not anatomy.body.any():
        return Density.unknown("the labels hold no vertebral body")
    roi_p, cut_offs = roi_parameters().values, density_parameters()
    try:
        body = body_hu(anatomy, volume, roi_p)
    except GeometryError as exc:
        return Density.unknown(str(exc))
    cemented, sclerotic = is_cemented(body, roi_p, cut_offs.values), is_sclerotic(body, roi_p, cut_offs.values)
    roi = trabecular_roi(body, roi_p)
    volume_ml = float(roi.sum()) * body.grid.voxel_volume / 1000.0
    if volume_ml < roi_p.min_volume:
        return Density.unknown(
            f"trabecular region of {volume_ml:.2f} mL is below {roi_p.min_volume:.2f} mL",
            is_cemented=cemented,
            is_sclerotic=sclerotic,
        )
    mean, median = _mean_and_median(body, roi, roi_p, cut_offs.values)
    trabecular = not (cemented or sclerotic)
    density = _density(mean, calibration)
    return Density(
        mean_hu=mean,
        median_hu=median,
        noise_hu=Measured(noise_sd(body, roi), method="differences of voxels two apart"),
        t_hu=_t_hu(anatomy.level, mean, cut_offs.values, trabecular),
        density_mg_cm3=density,
        calibration=_calibration_name(calibration),
        roi_volume_ml=Measured(volume_ml, method="voxels of the trabecular region"),
        is_cemented=cemented,
        is_sclerotic=sclerotic,
        contrast=volume.scan.contrast,
        statements=_statements(anatomy.level, mean, density, calibration, cut_offs) if trabecular else (),
        warnings=_warnings(volume, cemented, sclerotic) + (calibration.warnings if calibration else ()),
    )


def is_cemented(body: BodyHu, roi: RoiParameters, p: DensityParameters) -> bool:
    """Tell whether the body holds more than a little material as dense as cement or metal."""
    dense = body.filled & (body.smooth > roi.cement_above)
    return float(dense.sum()) * body.grid.voxel_volume / 1000.0 >= p.cemented_volume


def is_sclerotic(body: BodyHu, roi: RoiParameters, p: DensityParameters) -> bool:
    """Tell whether much of the deep body is denser than trabecular bone can be, cement apart."""
    deep = body.depth >= roi.cortex_distance
    if not deep.any():
        return False
    dense = deep & (body.smooth > roi.sclerosis_above) & (body.smooth <= roi.cement_above)
    return float(dense.sum()) / float(deep.sum()) >= p.sclerotic_share


def _mean_and_median(
    body: BodyHu, roi: NDArray[np.bool_], roi_p: RoiParameters, p: DensityParameters
) -> tuple[Measured, Measured]:
    values = body.hu[roi].astype(float)
    step = p.roi_shift * float(body.grid.spacing.max())
    deeper = trabecular_roi(body, roi_p, roi_p.cortex_distance + step)
    other = [body.hu[deeper].astype(float)] if deeper.sum() >= 20 else []
    # Neighbouring voxels share noise over about the smoothing length; that many are one observation.
    independent = max(len(values) * min(1.0, body.grid.voxel_volume / (2.0 * roi_p.smoothing) ** 3), 2.0)
    chance = 1.96 * float(values.std()) / np.sqrt(independent)

    def measured(statistic: Any, spread: float, method: str) -> Measured:
        value = float(statistic(values))
        border = max((abs(float(statistic(one)) - value) for one in other), default=0.0)
        return Measured.with_error(value, float(np.hypot(chance * spread, border)), method)

    # The median's standard error is sqrt(pi/2) times the mean's for normal noise.
    return (
        measured(np.mean, 1.0, "mean of the trabecular region"),
        measured(np.median, np.sqrt(np.pi / 2.0), "median of the trabecular region"),
    )


def _density(mean: Measured, calibration: HuCalibration | None) -> Measured:
    if calibration is None:
        return Measured.unknown("no calibration was given, so HU are not turned into mg/cm3")
    low, value, high = sorted(_MG_CM3 * float(calibration.density(hu)) for hu in (mean.low, mean.value, mean.high))
    return Measured(value, low, high, f"trabecular mean HU by {_calibration_name(calibration)}")


def _calibration_name(calibration: HuCalibration | None) -> str | None:
    if calibration is None:
        return None
    return calibration.name if calibration.calibrated else f"uncalibrated: {calibration.name}"


def _t_hu(level: Level, mean: Measured, p: DensityParameters, trabecular: bool) -> Measured:
    if level is not Level.L1:
        return Measured.unknown(f"the young reference is L1's, not {level}'s")
    if not trabecular or mean.value is None or mean.low is None or mean.high is None:
        return Measured.unknown("L1 is cemented or sclerotic, so its HU are not trabecular bone's")
    value, low, high = ((hu - p.young_mean) / p.young_sd for hu in (mean.value, mean.low, mean.high))
    return Measured(value, low, high, f"(HU - {p.young_mean:.0f}) / {p.young_sd:.0f}")


def _statements(
    level: Level,
    mean: Measured,
    density: Measured,
    calibration: HuCalibration | None,
    loaded: Loaded[DensityParameters],
) -> tuple[Statement, ...]:
    p, uses = loaded.values, {use.name: use for use in loaded.uses}
    hu, made = mean.value, []
    assert hu is not None
    if level is Level.L1:
        made += [
            _statement(uses["l1_at_risk_below"], f"L1 below {p.l1_at_risk_below:.0f} HU", hu < p.l1_at_risk_below),
            _statement(
                uses["l1_osteoporosis_up_to"],
                f"L1 at most {p.l1_osteoporosis_up_to:.0f} HU: osteoporosis likely (specific)",
                hu <= p.l1_osteoporosis_up_to,
            ),
            _statement(
                uses["l1_normal_from"],
                f"L1 at least {p.l1_normal_from:.0f} HU: osteoporosis unlikely (sensitive)",
                hu >= p.l1_normal_from,
            ),
        ]
    made += [
        _statement(uses["of_score_up_to"], f"at most {p.of_score_up_to:.0f} HU: OF score +1", hu <= p.of_score_up_to),
        _statement(
            uses["adjacent_fracture_below"],
            f"below {p.adjacent_fracture_below:.0f} HU: fracture beside an augmented level likelier",
            hu < p.adjacent_fracture_below,
        ),
    ]
    if density.value is not None and calibration is not None and calibration.calibrated:
        made += [
            _statement(
                uses["qct_osteoporosis_below"],
                f"below {p.qct_osteoporosis_below:.0f} mg/cm3: QCT osteoporosis",
                density.value < p.qct_osteoporosis_below,
            ),
            _statement(
                uses["qct_low_up_to"],
                f"{p.qct_osteoporosis_below:.0f} to {p.qct_low_up_to:.0f} mg/cm3: QCT low bone mass",
                p.qct_osteoporosis_below <= density.value <= p.qct_low_up_to,
            ),
        ]
    return tuple(made)


def _statement(use: ParameterUse, text: str, holds: bool) -> Statement:
    return Statement(use.name, text, bool(holds), use.source, use.status.value)


def _warnings(volume: Volume, cemented: bool, sclerotic: bool) -> tuple[str, ...]:
    made = []
    if volume.scan.contrast:
        made.append("contrast medium was given: trabecular HU read higher than without it")
    if cemented:
        made.append("the body holds cement or metal: its HU are not trabecular bone's")
    if sclerotic:
        made.append("the body is sclerotic: its HU are not normal trabecular bone's")
    return tuple(made)
