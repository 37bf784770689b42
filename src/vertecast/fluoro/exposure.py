"""The exposure: voltage and charge by automatic brightness, quanta at the detector, dose read-out, collimation."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.core.quantities import Measured
from vertecast.devices.carm import View
from vertecast.fluoro.body import MATERIALS
from vertecast.fluoro.settings import Exposure, Settings
from vertecast.kernels.project_signal import beer_lambert
from vertecast.physics.attenuation import Material
from vertecast.physics.xray import Beam, Spectrum, detected_beam, tube_spectrum

_REFERENCE_MM = 1000.0


@dataclass(frozen=True, slots=True)
class Collimation:
    """Shutters, as parts of the detector hidden at each side: 0 open, below 0.5 each."""

    left: float = 0.0
    right: float = 0.0
    top: float = 0.0
    bottom: float = 0.0

    def __post_init__(self) -> None:
        sides = (self.left, self.right, self.top, self.bottom)
        if min(sides) < 0 or self.left + self.right >= 1 or self.top + self.bottom >= 1:
            raise GeometryError(f"shutters {sides} leave no field; each is a part of the detector, 0 is open")

    def window(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns that stay open."""
        rows, columns = shape
        return (
            slice(round(self.top * rows), rows - round(self.bottom * rows)),
            slice(round(self.left * columns), columns - round(self.right * columns)),
        )

    @property
    def open_part(self) -> float:
        """Part of the detector's area in the beam."""
        return (1 - self.left - self.right) * (1 - self.top - self.bottom)


@dataclass(frozen=True, slots=True)
class Dose:
    """What one exposure, or a run of them, cost the patient; entrance values, without backscatter."""

    air_kerma_mgy: Measured
    dap_mgy_cm2: Measured
    frames: int = field(metadata={"unit": "1", "doc": "number of exposures"})
    seconds: float = field(metadata={"unit": "s", "doc": "fluoroscopy time"})


@dataclass(frozen=True, eq=False)
class Technique:
    """Voltage and charge of one exposure, with the beam they make.

    Parameters
    ----------
    kvp, mas : kV, mA s
    spectrum : behind tube filters and table
    beam : in the bins of the image, per mA s and mm2 at 1 m
    """

    kvp: float = field(metadata={"unit": "kV", "doc": "tube voltage"})
    mas: float = field(metadata={"unit": "mA.s", "doc": "charge of one exposure"})
    spectrum: Spectrum
    beam: Beam
    limited: bool
    _rows: dict[tuple[Material, bool], NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def weights(self, settings: Settings, pixel_area_mm2: float) -> NDArray[np.float32]:
        """(2, bins): signal and variance of an open pixel, in quanta of the open beam's mean energy."""
        photons = self.mas * pixel_area_mm2 * (_REFERENCE_MM / settings.carm.source_detector) ** 2
        energy = float(self.beam.variance.sum() / self.beam.signal.sum())
        return np.asarray(np.stack([self.beam.signal / energy, self.beam.variance / energy**2]) * photons, np.float32)

    def attenuation(self, settings: Settings, materials: list[Material]) -> NDArray[np.float32]:
        """(2 + materials, bins): mm2/mg for the two tissues, then 1/mm for the others."""
        rows = []
        for name in MATERIALS:
            tissue = settings.physics.materials[name]
            if (tissue, True) not in self._rows:  # by mass
                self._rows[tissue, True] = self.beam.mass_attenuation(settings.physics, tissue)
            rows.append(self._rows[tissue, True])
        for one in materials:
            if (one, False) not in self._rows:  # the same few come back with every live frame
                self._rows[one, False] = self.beam.mu(settings.physics, one)
            rows.append(self._rows[one, False])
        return np.asarray(np.stack(rows), np.float32)


def make_beam(settings: Settings, kvp: float) -> tuple[Spectrum, Beam]:
    """Filter the tube's spectrum and the table, and weigh it by the detector."""
    exposure = settings.exposure
    tube = tube_spectrum(settings.physics, kvp, [("aluminium", exposure.aluminium), ("copper", exposure.copper)])
    spectrum = tube.filtered(settings.physics, "aluminium", settings.carm.table_aluminium)
    return spectrum, detected_beam(settings.physics, spectrum, settings.detector.scintillator)


def automatic_technique(
    settings: Settings, paths: NDArray[np.float32], *, kerma_mgy: float, kvp: float | None = None
) -> Technique:
    """Choose voltage by the patient's thickness and charge by the signal in the central measuring field.

    Parameters
    ----------
    paths : (2, rows, columns), mg/mm2
    kerma_mgy : wanted at the detector, behind the patient
    kvp : kV, when the operator sets it
    """
    exposure = settings.exposure
    centre = _central(paths, exposure)
    water = float(np.mean(centre.sum(axis=0)))
    if kvp is None:
        low, high = exposure.lowest_voltage, exposure.highest_voltage
        kvp = float(np.interp(water, [exposure.thinnest, exposure.thickest], [low, high]))
    spectrum, beam = make_beam(settings, kvp)
    unit = Technique(kvp, 1.0, spectrum, beam, False)
    part = np.ascontiguousarray(centre[:, ::4, ::4])
    signal, variance = np.empty(part.shape[1:], np.float32), np.empty(part.shape[1:], np.float32)
    beer_lambert(part, unit.attenuation(settings, []), unit.weights(settings, 1.0), signal, variance)
    wanted = kerma_mgy * _signal_per_kerma(settings, unit)
    mas = wanted / max(float(signal.mean()), 1e-30)
    limited = mas > exposure.highest_charge
    return Technique(kvp, min(mas, exposure.highest_charge), spectrum, beam, limited)


def fixed_technique(settings: Settings, kvp: float, mas: float) -> Technique:
    """Set voltage and charge by hand."""
    if not mas > 0:
        raise ParameterError(f"charge {mas} mA s must be positive")
    spectrum, beam = make_beam(settings, kvp)
    return Technique(kvp, mas, spectrum, beam, False)


def dose_of(technique: Technique, view: View, settings: Settings, collimation: Collimation, frames: int = 1) -> Dose:
    """Read out air kerma at the entrance reference point and dose-area product of ``frames`` equal exposures."""
    carm = settings.carm
    distance = carm.source_isocentre - carm.reference_point
    tube = tube_spectrum(
        settings.physics,
        technique.kvp,
        [("aluminium", settings.exposure.aluminium), ("copper", settings.exposure.copper)],
    )
    per_frame = tube.kerma_per_mas(settings.physics) * technique.mas * (_REFERENCE_MM / distance) ** 2
    area_cm2 = carm.detector_width * carm.detector_height * (distance / carm.source_detector) ** 2 / 100.0
    kerma = per_frame * frames
    part = settings.exposure.dose_uncertainty / 100.0
    method = "tube output model; patient entrance reference point, no backscatter (IEC 60601-2-43 accuracy)"
    product = kerma * area_cm2 * collimation.open_part
    return Dose(
        Measured.with_error(kerma, part * kerma, method),
        Measured.with_error(product, part * product, method),
        frames,
        frames / settings.exposure.pulse_rate,
    )


def _central(paths: NDArray[np.float32], exposure: Exposure) -> NDArray[np.float32]:
    rows, columns = paths.shape[1:]
    margin = (1 - exposure.measuring_field) / 2
    top, left = round(margin * rows), round(margin * columns)
    return paths[:, top : rows - top, left : columns - left]


def _signal_per_kerma(settings: Settings, technique: Technique) -> float:
    """Quanta/mm2 in the detector for 1 mGy of a beam that has passed the reference thickness of water."""
    water = settings.detector.scatter_thickness
    through = np.exp(-technique.beam.mu(settings.physics, "water") * water)
    energy = float(technique.beam.variance.sum() / technique.beam.signal.sum())
    signal = float((technique.beam.signal * through).sum()) / energy
    return signal / technique.spectrum.filtered(settings.physics, "water", water).kerma_per_mas(settings.physics)
