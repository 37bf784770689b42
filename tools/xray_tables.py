"""Generate the X-ray tables of ``src/vertecast/data/xray`` once; neither package is needed to run Vertecast.

    python -m venv ENV && ENV/bin/pip install xraydb==4.5.8 spekpy==2.5.4 numpy
    ENV/bin/python tools/xray_tables.py src/vertecast/data/xray

``elements.csv``: total mass attenuation coefficient of each element, cm2/g, from xraydb (Elam, Ravel, Sieber 2002).
Energies are 24 per octave from 1 to 200 keV; at every absorption edge there are two rows, 4 eV below and above it.
``air_energy_absorption.csv``: mass energy-absorption coefficient of dry air, cm2/g, the NIST table carried by SpekPy.
``spectra.npz``: unfiltered tungsten spectra, photons/(mm2 mA s keV) at 1 m, bins of 1 keV, one row for each kV.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import spekpy
import xraydb
from spekpy.DataTables import MuEnAirData

TISSUE = ("H", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca")
IMPLANT = ("Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Sr", "Zr", "Mo")
HEAVY = ("Ag", "Sn", "I", "Cs", "Ba", "Gd", "Ta", "W", "Pt", "Au", "Pb")
ELEMENTS = (*TISSUE, *IMPLANT, *HEAVY)
LOWEST_KEV, HIGHEST_KEV = 1.0, 200.0
EDGE_OFFSET_KEV = 4e-3  # the listed edge energies and those inside the Elam table differ by some eV
KILOVOLTS = np.arange(40, 126)
ANODE_DEG = 12.0


def energy_grid() -> np.ndarray:
    """Return the common energies, keV: a logarithmic grid and both sides of every edge."""
    octaves = np.log2(HIGHEST_KEV / LOWEST_KEV)
    plain = LOWEST_KEV * 2 ** np.linspace(0, octaves, int(24 * octaves) + 2)
    edges = [e.energy / 1000 for name in ELEMENTS for e in xraydb.xray_edges(name).values()]
    sides = [e + s for e in edges if LOWEST_KEV < e < HIGHEST_KEV for s in (-EDGE_OFFSET_KEV, EDGE_OFFSET_KEV)]
    return np.unique(np.round(np.concatenate([plain, sides, np.arange(10, 201, 10.0)]), 5))


def write_elements(folder: Path) -> None:
    """Write elements.csv."""
    energies = energy_grid()
    columns = [xraydb.mu_elam(name, energies * 1000) for name in ELEMENTS]
    with (folder / "elements.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["energy_kev", *ELEMENTS])
        for i, energy in enumerate(energies):
            writer.writerow([f"{energy:.9g}", *(f"{column[i]:.6g}" for column in columns)])


def write_air(folder: Path) -> None:
    """Write air_energy_absorption.csv."""
    air = MuEnAirData("nist_muen_air.dat")
    energies = np.array(air.muen_over_rho_air_coefficients_energies)
    keep = energies <= 300.0 if energies.max() > 100 else energies * 1000 <= 300.0
    scale = 1.0 if energies.max() > 100 else 1000.0
    with (folder / "air_energy_absorption.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["energy_kev", "mass_energy_absorption_cm2_g"])
        for energy, value in zip(
            energies[keep] * scale, np.array(air.muen_over_rho_air_coefficients)[keep], strict=True
        ):
            writer.writerow([f"{energy:.9g}", f"{value:.6g}"])


def write_spectra(folder: Path) -> None:
    """Write spectra.npz."""
    energies = np.arange(1.5, KILOVOLTS[-1], 1.0)
    fluence = np.zeros((len(KILOVOLTS), len(energies)), np.float32)
    for row, kilovolt in enumerate(KILOVOLTS):
        tube = spekpy.Spek(kvp=float(kilovolt), th=ANODE_DEG, dk=1.0, physics="kqp", z=100.0, mas=1.0)
        k, per_cm2 = tube.get_spectrum(edges=False)
        fluence[row, : len(k)] = np.asarray(per_cm2) / 100.0
        assert np.allclose(k, energies[: len(k)])
    np.savez_compressed(folder / "spectra.npz", kilovolts=KILOVOLTS, energies_kev=energies, photons_mm2_mas_kev=fluence)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_elements(target)
    write_air(target)
    write_spectra(target)
