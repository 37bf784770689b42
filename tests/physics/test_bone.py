"""Proves: density laws give the published sanity row and refuse what no law holds for; conversions go both ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vertecast.core.errors import ParameterError
from vertecast.physics.bone import bone_voxels, law_names, load_law, modulus, outside_range, yield_stress
from vertecast.physics.bone_density import DensityKind, convert_density, k2hpo4_per_ha, load_conversions

CONVERSIONS = load_conversions().values


def test_default_law_gives_the_published_row():
    law = load_law()
    rho = np.array([0.05, 0.10, 0.15, 0.20])
    np.testing.assert_allclose(modulus(rho, law), [128, 265, 406, 549], atol=1.0)  # printed cut, not rounded
    np.testing.assert_allclose(yield_stress(rho, law), [0.58, 1.52, 2.68, 3.99], atol=0.006)


@pytest.mark.parametrize(
    ("name", "rho", "expected"),
    [
        ("kopperdahl_2002_linear", 0.1, -34.7 + 323.0),
        ("morgan_2003", 0.2, 4730 * 0.2**1.56),
        ("keller_1994", 0.2, 1890 * 0.2**1.92),
        ("keaveny_1997", 0.2, -58 + 308.0),
        ("kopperdahl_keaveny_1998", 0.2, -80 + 420.0),
    ],
)
def test_other_laws(name, rho, expected):
    assert modulus(rho, load_law(name)) == pytest.approx(expected, rel=1e-12)


def test_yield_strain_law_is_the_modulus_times_the_strain():
    law = load_law("keller_1994")
    assert yield_stress(0.2, law) == pytest.approx(0.0084 * modulus(0.2, law))


@pytest.mark.parametrize("name", law_names())
def test_every_law_grows_with_density_inside_its_range(name):
    law = load_law(name)
    rho = np.linspace(law.density.low + 0.01, law.density.high, 50)
    assert (np.diff(modulus(rho, law)) > 0).all()
    assert (np.diff(yield_stress(rho, law)) > 0).all()
    assert all(use.source for use in law.uses)


def test_zero_and_negative_density_are_refused_not_clipped():
    with pytest.raises(ParameterError, match=r"2 of 3 densities are <= 0.*bone_voxels"):
        modulus([0.1, 0.0, -0.02], load_law())
    with pytest.raises(ParameterError, match=r"modulus <= 0 at density 0\.03"):
        modulus([0.1, 0.03], load_law("kopperdahl_keaveny_1998"))
    with pytest.raises(ParameterError, match=r"yield stress <= 0 at density 0\.02"):
        yield_stress(0.02, load_law("kopperdahl_2002_linear"))


def test_nan_density_is_refused():
    for call in (modulus, yield_stress, outside_range):
        with pytest.raises(ParameterError, match="1 of 2 densities are NaN"):
            call([0.1, np.nan], load_law())


def test_bone_is_told_from_the_rest_by_a_stated_floor():
    mask = bone_voxels([-0.1, 0.0, 0.02, 0.2], load_law(), 0.02)
    assert mask.tolist() == [False, False, False, True]
    with pytest.raises(ParameterError, match=r"floor = 0\.01 .* below 0\.0302"):
        bone_voxels(0.1, load_law("kopperdahl_2002_linear"), 0.01)


def test_unknown_law_is_refused_by_name():
    with pytest.raises(ParameterError, match=r"'carter' does not exist; choose one of .*kopperdahl_2002"):
        load_law("carter")


def test_extrapolation_is_counted():
    assert outside_range([0.1, 0.2, 1.5, 2.0], load_law()) == 0.5


def test_goodsitt_ratio_between_its_two_voltages():
    assert k2hpo4_per_ha(80, CONVERSIONS) == pytest.approx(0.86)
    assert k2hpo4_per_ha(140, CONVERSIONS) == pytest.approx(0.81)
    assert k2hpo4_per_ha(120, CONVERSIONS) == pytest.approx(0.8267, abs=1e-4)
    with pytest.raises(ParameterError, match="kvp = None"):
        convert_density(0.1, DensityKind.K2HPO4, DensityKind.HA, CONVERSIONS)


@given(
    st.floats(-0.2, 2.0),
    st.sampled_from(DensityKind),
    st.sampled_from(DensityKind),
    st.floats(80, 140),
)
def test_conversion_there_and_back(rho, source, target, kvp):
    there = convert_density(rho, source, target, CONVERSIONS, kvp=kvp)
    back = convert_density(there, target, source, CONVERSIONS, kvp=kvp)
    assert back == pytest.approx(rho, abs=1e-12)


def test_conversion_by_hand():
    ash = convert_density(0.1, DensityKind.HA, DensityKind.ASH, CONVERSIONS)
    assert ash == pytest.approx(0.0877 + 0.0789)
    assert convert_density(ash, DensityKind.ASH, DensityKind.APPARENT, CONVERSIONS) == pytest.approx(ash / 0.6)
