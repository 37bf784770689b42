"""Proves: a uniform column has the stiffness and strength of its material and shape; bad input is refused by name."""

import json

import numpy as np
import pytest
from tests.mechanics.columns import DENSITY, HEIGHT, RADIUS, Line, Uncalibrated, column

from vertecast.core.errors import GeometryError, ParameterError
from vertecast.core.levels import Level
from vertecast.core.quantities import Measured
from vertecast.kernels.foam_law import NO_SIDEWAYS
from vertecast.kernels.newton import PathStatus
from vertecast.mechanics.activities import load_activities, load_to_strength
from vertecast.mechanics.curve import Curve
from vertecast.mechanics.pads import Neighbours
from vertecast.mechanics.settings import Loading, StrengthOptions, Support
from vertecast.mechanics.strength import strength
from vertecast.physics.bone import load_law, modulus, yield_stress
from vertecast.spine.anatomy import Anatomy


def options(**changes):
    return StrengthOptions(**{"voxel_mm": 2.0, "increments": 8, "alphas": (float(NO_SIDEWAYS),)} | changes)


@pytest.fixture(scope="module")
def straight():
    return strength(*column(), Line(), options(alphas=(0.0, float(NO_SIDEWAYS))))


def test_uniform_column_has_its_materials_stiffness_and_strength(straight):
    law = load_law()
    area = float(straight.density[np.isfinite(straight.density)].size * 8.0 / straight.height)
    column_stiffness = float(modulus(DENSITY, law)) * area / straight.height
    flat = straight.results[1]
    assert straight.height == pytest.approx(HEIGHT, abs=2.0)  # whole voxels of 2 mm
    assert area == pytest.approx(np.pi * RADIUS**2, rel=0.05)
    # the pads' 8 mm of 2500 MPa make it softer by 4 %, their grip on the sides stiffer
    assert flat.curve.stiffness == pytest.approx(column_stiffness, rel=0.06)
    assert flat.maximum.value == pytest.approx(float(yield_stress(DENSITY, law)) * area, rel=0.05)
    assert flat.status is PathStatus.COMPLETE


def test_von_mises_gripped_at_its_ends_is_the_stronger_shape(straight):
    mises, flat = straight.results
    assert mises.curve.stiffness == pytest.approx(flat.curve.stiffness)
    assert mises.maximum.value > 1.02 * flat.maximum.value


def test_work_is_stored_or_dissipated(straight):
    assert all(one.energy_gap < 0.02 for one in straight.results)


def test_json_is_json_with_units_in_its_names(straight):
    content = json.loads(json.dumps(straight.as_json(), allow_nan=False))
    assert content["calibrated"] is True
    assert content["mean_density_mg_cm3"] == pytest.approx(100.0, rel=1e-3)
    first = content["results"][0]
    assert first["strength_offset_n"]["method"] == "0.2 % offset of the elastic line"
    assert first["load_to_strength"]["standing"]["value"] == pytest.approx(450 / first["strength_maximum_n"]["value"])


def test_the_frame_is_followed_not_the_voxel_axes(straight):
    turned = strength(*column(0.5), Line(), options())
    assert turned.results[0].maximum.value == pytest.approx(straight.results[1].maximum.value, rel=0.03)
    # one layer of 2 mm more or less is 9 % of the height
    assert turned.results[0].curve.stiffness == pytest.approx(straight.results[1].curve.stiffness, rel=0.06)


def test_eccentric_force_on_a_tilting_platen_is_weaker(straight):
    bent = strength(*column(), Line(), options(loading=Loading.FLEXION))
    assert bent.results[0].maximum.value < 0.9 * straight.results[1].maximum.value
    assert bent.results[0].curve.stiffness < straight.results[1].curve.stiffness


def test_discs_are_read_between_the_endplates():
    soft = strength(*column(), Line(), options(support=Support.DISC, increments=4, strain=0.005))
    one = soft.results[0]
    assert one.curve.shortening[-1] >= 0.005 * soft.height
    law = load_law()
    assert one.curve.stiffness == pytest.approx(float(modulus(DENSITY, law)) * np.pi * RADIUS**2 / HEIGHT, rel=0.25)


def test_own_discs_carry_the_load_from_the_neighbours_endplates():
    anatomy, volume = column()
    x, y, z = np.moveaxis(anatomy.coordinates(), -1, 0)
    inside = x**2 + y**2 < RADIUS**2
    around = Neighbours(inside & (z > HEIGHT / 2 + 3), inside & (z < -HEIGHT / 2 - 3), anatomy.grid)
    few = options(support=Support.DISC, increments=4, strain=0.004)
    own = strength(anatomy, volume, Line(), few, neighbours=around)
    assert not any("is assumed" in sentence for sentence in own.warnings)
    assumed = strength(anatomy, volume, Line(), few)
    assert sum("half a disc of 5 mm is assumed" in sentence for sentence in assumed.warnings) == 2
    # the body between its endplates is the same body, however far its discs reach
    assert own.results[0].curve.stiffness == pytest.approx(assumed.results[0].curve.stiffness, rel=0.1)
    bending = options(support=Support.DISC, loading=Loading.FLEXION, increments=2, strain=0.004)
    bent = strength(anatomy, volume, Line(), bending, neighbours=around)
    assert bent.results[0].status is PathStatus.COMPLETE
    assert 0 < bent.results[0].maximum.value < own.results[0].maximum.value


def test_uncalibrated_is_said():
    found = strength(*column(), Uncalibrated(), options(increments=1, strain=0.001))
    assert not found.calibrated
    assert any("uncalibrated" in sentence for sentence in found.warnings)


def test_empty_body_is_refused():
    anatomy, volume = column()
    nothing = np.zeros_like(anatomy.body)
    with pytest.raises(GeometryError, match="L3: the body has no voxel"):
        strength(Anatomy(Level.L3, anatomy.grid, nothing, nothing, nothing, anatomy.vert_from_lps), volume, Line())


def test_nan_density_is_refused():
    class Broken(Line):
        def density(self, hu):
            return np.full(np.shape(hu), np.nan)

    with pytest.raises(ParameterError, match="densities are NaN"):
        strength(*column(), Broken(), options())


def test_a_body_of_marrow_stays_elastic_and_says_so():
    class Fat(Line):
        def density(self, hu):
            return np.full(np.shape(hu), -0.05)

    found = strength(*column(), Fat(), options(increments=2))
    assert any("100 % of the body's voxels are below the bone floor" in sentence for sentence in found.warnings)
    assert found.results[0].offset.value is None


def test_curve_readings_of_a_known_curve():
    curve = Curve(np.array([0, 0.1, 0.2, 0.4]), np.array([0, 1000.0, 1400.0, 1200.0]), 10000.0, 20.0)
    assert curve.offset_strength(0.002).value == pytest.approx(1000 + 4000 * 0.4 / 6)
    assert curve.strength_at(0.015).value == pytest.approx(1300.0)
    assert curve.maximum().value == 1400.0
    assert curve.strength_at(0.03).reason == "the curve ends at 2.00 % strain, before 3 %"


def test_offset_not_reached_says_why():
    curve = Curve(np.array([0, 0.1]), np.array([0, 1000.0]), 10000.0, 20.0)
    assert "before the offset line" in str(curve.offset_strength(0.002).reason)
    assert "still rising" in str(curve.maximum().method)


def test_standing_load_by_level():
    loads = load_activities().values
    assert loads.forces(Level.T12)["standing"] == 350.0
    assert loads.forces(Level.L3)["standing"] == 450.0
    assert 350.0 < loads.forces(Level.L1)["standing"] < loads.forces(Level.L2)["standing"] < 450.0
    assert loads.forces(Level.T6)["standing"] < 350.0
    unknown = load_to_strength(loads, Level.L1, Measured.unknown("no curve"))
    assert unknown["standing"].reason == "no curve"


@pytest.mark.parametrize("change", [{"voxel_mm": 9.0}, {"strain": 0.5}, {"alphas": ()}])
def test_options_refuse(change):
    with pytest.raises(ParameterError, match=r"outside|empty"):
        StrengthOptions(**change)
