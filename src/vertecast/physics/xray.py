"""The beam: tube spectra by kV and filter, half-value layer, air kerma, and the few energy bins of images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import data_file
from vertecast.core.quantities import quantity
from vertecast.physics.attenuation import (
    MM2_MG_PER_CM2_G,
    AttenuationTable,
    Material,
    load_attenuation,
    load_materials,
    read_table,
)

MGY_PER_KEV_MM2_MG = 1.602176634e-7
"""1 keV/mm2 times 1 mm2/mg, in mGy: 1 keV/mg is 1.602e-10 Gy, and 1 mg is 1e-6 kg."""


@dataclass(frozen=True, slots=True, eq=False)
class Physics:
    """Tables every image needs; load once with :func:`load_physics` and pass on.

    Parameters
    ----------
    table : element attenuation
    materials : by name
    kilovolts, energies : rows and columns of ``photons``; kV, keV
    photons : (kilovolts, energies), photons/(mm2 mA s keV) at 1 m, no added filter
    air_energies, air_absorption : keV, mm2/mg
    """

    table: AttenuationTable
    materials: Mapping[str, Material]
    kilovolts: NDArray[np.float64]
    energies: NDArray[np.float64]
    photons: NDArray[np.float64]
    air_energies: NDArray[np.float64]
    air_absorption: NDArray[np.float64]

    def mu(self, material: str | Material, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """Linear attenuation, 1/mm, of a material of the data by name, or of a given one."""
        return self.table.linear_attenuation(self.material(material), energies)

    def material(self, name: str | Material) -> Material:
        """Look a material up by name; an unknown one is refused with the list of those known."""
        if isinstance(name, Material):
            return name
        if name not in self.materials:
            raise ParameterError(f"material {name!r} is not known; use one of: {', '.join(sorted(self.materials))}")
        return self.materials[name]


def load_physics() -> Physics:
    """Read the tables of ``data/xray``."""
    with data_file("xray/spectra.npz").open("rb") as stream, np.load(stream) as stored:
        kilovolts, energies = stored["kilovolts"].astype(float), stored["energies_kev"].astype(float)
        photons = stored["photons_mm2_mas_kev"].astype(float)
    _, air = read_table("xray/air_energy_absorption.csv")
    absorption = air[:, 1] * MM2_MG_PER_CM2_G
    return Physics(load_attenuation(), load_materials(), kilovolts, energies, photons, air[:, 0], absorption)


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Photons by energy at 1 m from the focus.

    Parameters
    ----------
    kvp : kV
    energies : (n,), keV, centres of bins of 1 keV
    photons : (n,), photons/(mm2 mA s) in each bin
    """

    kvp: float = field(metadata={"unit": "kV", "doc": "tube voltage"})
    energies: NDArray[np.float64]
    photons: NDArray[np.float64]

    def filtered(self, physics: Physics, material: str | Material, thickness_mm: float) -> "Spectrum":
        """Put a sheet in the beam."""
        if thickness_mm < 0:
            raise ParameterError(f"filter thickness {thickness_mm} mm must not be negative")
        through = np.exp(-physics.mu(material, self.energies) * thickness_mm)
        return Spectrum(self.kvp, self.energies, self.photons * through)

    def kerma_per_mas(self, physics: Physics) -> float:
        """Air kerma at 1 m, mGy/(mA s), without the attenuation of air."""
        absorption = np.exp(
            np.interp(np.log(self.energies), np.log(physics.air_energies), np.log(physics.air_absorption))
        )
        return float(MGY_PER_KEV_MM2_MG * (self.photons * self.energies * absorption).sum())

    def half_value_layer_mm(self, physics: Physics, part: float = 0.5, material: str = "aluminium") -> float:
        """Thickness that leaves ``part`` of the air kerma in narrow-beam geometry; 0.25 gives the first two layers."""
        whole = self.kerma_per_mas(physics)

        def excess(thickness: float) -> float:
            return self.filtered(physics, material, thickness).kerma_per_mas(physics) / whole - part

        return float(brentq(excess, 0.0, 200.0, xtol=1e-6))


def tube_spectrum(physics: Physics, kvp: float, filters: Sequence[tuple[str, float]]) -> Spectrum:
    """Make the spectrum of a tungsten tube behind added filters.

    Parameters
    ----------
    kvp : kV, within the table (40 to 125); between two whole kV the fluence is interpolated
    filters : material name and thickness in mm

    Raises
    ------
    ParameterError
        For a voltage outside the table.
    """
    low, high = physics.kilovolts[[0, -1]]
    if not low <= kvp <= high:
        raise ParameterError(f"tube voltage {kvp:g} kV is outside the table, {low:g} to {high:g} kV; choose one inside")
    position = kvp - low
    row = min(int(position), len(physics.kilovolts) - 2)
    share = position - row
    photons = (1 - share) * physics.photons[row] + share * physics.photons[row + 1]
    spectrum = Spectrum(float(kvp), physics.energies, photons)
    for material, thickness in filters:
        spectrum = spectrum.filtered(physics, material, thickness)
    return spectrum


@dataclass(frozen=True, slots=True, kw_only=True)
class Scintillator:
    """What turns X-rays into signal."""

    thickness: float = quantity("mm", "thickness of the caesium iodide")
    packing: float = quantity("1", "part of the layer's volume that is caesium iodide")


@dataclass(frozen=True, slots=True, eq=False)
class Beam:
    """The spectrum in few bins, as the detector weighs them; per mA s and mm2 at 1 m.

    Parameters
    ----------
    energies : (bins,), keV
    signal : (bins,), keV/(mm2 mA s): energy absorbed in the scintillator with nothing in the beam
    variance : (bins,), keV2/(mm2 mA s): of that energy, by the photons' Poisson statistics
    fine_energies, fine_weights, owners : the bins of 1 keV, their signal, and the bin each belongs to
    """

    energies: NDArray[np.float64]
    signal: NDArray[np.float64]
    variance: NDArray[np.float64]
    fine_energies: NDArray[np.float64]
    fine_weights: NDArray[np.float64]
    owners: NDArray[np.intp]

    def mu(self, physics: Physics, material: str | Material) -> NDArray[np.float64]:
        """(bins,), 1/mm: attenuation of a material averaged over each bin with the weights of a patient's exit beam."""
        fine = physics.mu(material, self.fine_energies)
        weights = np.bincount(self.owners, self.fine_weights, len(self.energies))
        return np.asarray(np.bincount(self.owners, self.fine_weights * fine, len(self.energies)) / weights)

    def mass_attenuation(self, physics: Physics, material: str | Material) -> NDArray[np.float64]:
        """(bins,), mm2/mg: as :meth:`mu`, for a map of mass per area."""
        return self.mu(physics, material) / physics.material(material).density


def detected_beam(
    physics: Physics, spectrum: Spectrum, scintillator: Scintillator, *, bins: int = 16, behind_water_mm: float = 200.0
) -> Beam:
    """Weigh a spectrum by what the detector absorbs, in ``bins`` of about equal signal behind a patient.

    Notes
    -----
    Within a bin attenuation is averaged with the spectrum behind ``behind_water_mm`` of water, where images are made;
    elsewhere the error of the logarithm stays below what the benchmark of the bins states.
    """
    used = spectrum.photons > spectrum.photons.max() * 1e-9
    energies, photons = spectrum.energies[used], spectrum.photons[used]
    absorbed = 1 - np.exp(-physics.mu("caesium_iodide", energies) * scintillator.thickness * scintillator.packing)
    signal = photons * absorbed * energies
    behind = signal * np.exp(-physics.mu("water", energies) * behind_water_mm)
    share = 0.5 * behind / behind.sum() + 0.5 / len(energies)
    owners = np.minimum((np.cumsum(share) - share / 2) * bins, bins - 1).astype(np.intp)
    _, owners = np.unique(owners, return_inverse=True)
    count = int(owners.max()) + 1
    mean = np.bincount(owners, behind * energies, count) / np.bincount(owners, behind, count)
    return Beam(
        mean,
        np.asarray(np.bincount(owners, signal, count), float),
        np.asarray(np.bincount(owners, signal * energies, count), float),
        energies,
        behind,
        owners,
    )
