"""Tube spectra have the half-value layers of IEC 61267, published kerma and transmission; few bins suffice."""

import numpy as np
import pytest

from vertecast.core.errors import ParameterError
from vertecast.core.parameters import load_parameters
from vertecast.physics.xray import Scintillator, detected_beam, load_physics, tube_spectrum
from vertecast.physics.xray_tissue import TissueLaw, split_hounsfield

PHYSICS = load_physics()
CSI = Scintillator(thickness=0.6, packing=1.0)

# IEC 61267 RQR 4 to 9: kV, aluminium that SpekPy needs, first half-value layer (mm Al), homogeneity coefficient.
RQR = [
    (60, 2.72, 2.19, 0.74),
    (70, 2.84, 2.58, 0.71),
    (80, 2.96, 3.01, 0.69),
    (90, 3.09, 3.48, 0.68),
    (100, 3.23, 3.97, 0.68),
    (120, 3.53, 5.00, 0.68),
]


@pytest.mark.parametrize(("kvp", "filter_mm", "layer", "homogeneity"), RQR)
def test_half_value_layers_are_those_of_the_iec(kvp: float, filter_mm: float, layer: float, homogeneity: float) -> None:
    spectrum = tube_spectrum(PHYSICS, kvp, [("aluminium", filter_mm)])
    first = spectrum.half_value_layer_mm(PHYSICS)
    second = spectrum.half_value_layer_mm(PHYSICS, 0.25) - first
    assert first == pytest.approx(layer, rel=0.05)
    assert first / second == pytest.approx(homogeneity, rel=0.05)


def test_rqa5_has_its_layer_and_its_quanta() -> None:
    spectrum = tube_spectrum(PHYSICS, 70.0, [("aluminium", 2.84), ("aluminium", 21.0)])
    assert spectrum.half_value_layer_mm(PHYSICS) == pytest.approx(6.8, rel=0.05)
    per_ugy = spectrum.photons.sum() / spectrum.kerma_per_mas(PHYSICS) / 1000
    assert per_ugy == pytest.approx(30174, rel=0.05)


@pytest.mark.parametrize(("kvp", "kerma", "thin", "thick"), [(60, 17.0, 0.0065, 0.00061), (100, 61.5, 0.0141, 0.00188)])
def test_output_and_transmission_are_those_of_independent_tools(
    kvp: float, kerma: float, thin: float, thick: float
) -> None:
    spectrum = tube_spectrum(PHYSICS, kvp, [("aluminium", 3.0), ("copper", 0.1)])
    assert 1000 * spectrum.kerma_per_mas(PHYSICS) == pytest.approx(kerma, rel=0.05)
    beam = detected_beam(PHYSICS, spectrum, CSI)
    for water, expected in ((200.0, thin), (300.0, thick)):
        through = (beam.signal * np.exp(-beam.mu(PHYSICS, "water") * water)).sum() / beam.signal.sum()
        assert through == pytest.approx(expected, rel=0.02)


def log_error(bins: int) -> float:
    """Root mean square error of the logarithm over water, bone and steel paths, few bins against 1 keV."""
    spectrum = tube_spectrum(PHYSICS, 80.0, [("aluminium", 3.8), ("copper", 0.1)])
    few, many = (detected_beam(PHYSICS, spectrum, CSI, bins=n) for n in (bins, 10_000))
    errors = []
    for water in (120.0, 200.0, 320.0):
        for bone in (0.0, 20.0, 40.0):
            for steel in (0.0, 2.0, 4.0):
                logs = []
                for beam in (few, many):
                    depth = beam.mu(PHYSICS, "water") * water + beam.mu(PHYSICS, "cortical_bone") * bone
                    depth = depth + beam.mu(PHYSICS, "steel_316l") * steel
                    logs.append(np.log((beam.signal * np.exp(-depth)).sum() / beam.signal.sum()))
                errors.append(logs[0] - logs[1])
    return float(np.sqrt(np.mean(np.square(errors))))


def test_sixteen_bins_are_enough_and_one_is_not() -> None:
    assert log_error(16) < 0.01
    assert log_error(1) > 0.1


def test_beam_hardens_and_more_voltage_gets_through() -> None:
    layers = []
    for kvp in (60.0, 80.0, 110.0):
        bare = tube_spectrum(PHYSICS, kvp, [("aluminium", 2.5)])
        layers.append(bare.half_value_layer_mm(PHYSICS))
        assert bare.filtered(PHYSICS, "copper", 0.2).half_value_layer_mm(PHYSICS) > layers[-1]
    assert layers == sorted(layers)


def test_tissue_split_gives_back_the_hounsfield_unit_and_is_continuous() -> None:
    law = load_parameters("xray/tissue.toml", TissueLaw).values
    hu = np.arange(-940.0, 3000.0, 10.0)
    water, bone = split_hounsfield(hu, law, PHYSICS)
    mu = water * PHYSICS.table.mass_attenuation(PHYSICS.materials["water"], law.ct_energy)
    mu = mu + bone * PHYSICS.table.mass_attenuation(PHYSICS.materials["cortical_bone"], law.ct_energy)
    expected = 0.1 * 0.1928 * (1 + hu / 1000)
    assert mu / PHYSICS.table.mass_attenuation(PHYSICS.materials["water"], law.ct_energy) == pytest.approx(
        1 + hu / 1000, abs=1e-5
    )
    assert mu == pytest.approx(expected, rel=0.01)
    assert (bone[hu <= law.soft_limit] == 0).all()
    assert np.abs(np.diff(bone)).max() < 0.03
    air = split_hounsfield(np.array([-1024.0, -2048.0]), law, PHYSICS)
    assert not np.any(air)


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="outside the table, 40 to 125 kV"):
        tube_spectrum(PHYSICS, 150.0, [])
    with pytest.raises(ParameterError, match=r"filter thickness -1\.0"):
        tube_spectrum(PHYSICS, 80.0, [("copper", -1.0)])
    with pytest.raises(ParameterError, match="'kryptonite' is not known"):
        PHYSICS.mu("kryptonite", np.array([60.0]))


def test_these_checks_can_fail() -> None:
    spectrum = tube_spectrum(PHYSICS, 80.0, [("aluminium", 2.0)])
    assert spectrum.half_value_layer_mm(PHYSICS) != pytest.approx(3.01, rel=0.05)
