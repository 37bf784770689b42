"""Published heat and flow of bone cement, value beside band, hits and misses alike: ``docs/validation/cement_heat.md``.

Calibration (chosen to fit, proves nothing): Krebs' pressures through K(t), Belkoff's core temperatures through the
share of cement in the cell. Validation: Li's mantles, Belkoff's canal, setting times, Baroud's falling mobility. What
we miss is asserted as missed, so that a change of the model shows here.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from vertecast.kernels.diffusion import Faces
from vertecast.kernels.heat import Conductor, HeatState, Reaction, advance_heat
from vertecast.physics import augmented, bone, cure, rheology, thermal
from vertecast.physics.exotherm import CementInPlace, advance_exotherm, load_exotherm, start_exotherm, surround_site
from vertecast.physics.pores import accessible_porosity, load_pores
from vertecast.physics.thermal import Medium

BODY = 310.0


@dataclass(frozen=True)
class Mantle:
    """Peaks, degC, and depth of dead bone, mm, of one cement mantle."""

    cement: float
    bone: float
    necrosis: float


def mantle(thickness, kinetics, specific_heat=1.35, dr=0.4):
    """Cure a mantle of cement between a steel stem of 8 mm radius and 8 mm of bone, in rings: as for Li 2003."""
    law, cement = cure.load_kinetics(kinetics), thermal.load_cement_thermal().values
    count = round((16 + thickness) / dr)
    r = (np.arange(count) + 0.5) * dr
    stem, filled = r < 8, (r > 8) & (r < 8 + thickness)
    k = np.where(stem, 20.0, np.where(filled, cement.conductivity, 0.43))
    volume, edge = 2 * np.pi * r * dr, 2 * np.pi * dr * np.arange(1, count)
    capacity = volume * np.where(stem, 6.0 * 0.4, np.where(filled, cement.density * specific_heat, 2.0))
    through, outlet = np.zeros((count, 1, 1)), np.zeros((count, 1, 1))
    through[:-1, 0, 0] = edge / (0.5 * dr / k[:-1] + 0.5 * dr / k[1:])
    outlet[-1] = 2 * np.pi * count * dr * k[-1] / (0.5 * dr)
    none = np.zeros_like(through)
    conductor = Conductor(Faces(through, none, none), capacity.reshape(-1, 1, 1), outlet, BODY)
    cells = np.flatnonzero(filled)
    reaction = Reaction(
        cells,
        cement.density * law.kinetics.enthalpy * volume[filled],
        lambda kelvin, w, top: cure.cure_rate(kelvin, w, top, law),
        lambda kelvin: cure.reachable(kelvin, law),
    )
    start = np.where(stem | filled, 296.0, BODY).reshape(-1, 1, 1)
    state = HeatState(0.0, start, np.full(cells.size, law.kinetics.start), np.zeros(cells.size))
    dose, peak, omega = thermal.load_dose().values, start.copy(), np.zeros_like(start)

    def watch(before, after):
        np.maximum(peak, after.temperature, out=peak)
        span = after.time - before.time
        omega[:] += thermal.dose_of_step(before.temperature, after.temperature, span, dose)[1]

    advance_heat(conductor, reaction, state, 1800.0, watch=watch)
    bone_cells = ~(stem | filled)
    dead = bone_cells & (omega.ravel() >= dose.necrosis)
    depth = r[dead].max() + 0.5 * dr - 8 - thickness if dead.any() else 0.0
    return Mantle(peak.ravel()[filled].max() - 273.15, peak.ravel()[bone_cells].max() - 273.15, depth)


@pytest.mark.parametrize("kinetics", ["li_2003", "borzacchiello_1998_2"])
def test_mantles_of_3_5_and_7_mm_rank_as_li_found(kinetics):
    """Thicker is hotter; 3 and 5 mm do no damage, 7 mm at most little. Windows of the research notes (regression)."""
    three, five, seven = (mantle(t, kinetics) for t in (3, 5, 7))
    assert three.bone < five.bone < seven.bone
    assert three.cement < five.cement < seven.cement
    assert three.necrosis == five.necrosis == 0.0
    assert seven.necrosis <= 1.2
    assert three.bone < 48
    assert 49.5 < five.bone < 54
    assert 51 < seven.bone < 58


def test_li_above_55_degrees_at_7_mm_is_met_by_one_set_and_missed_by_the_default():
    assert mantle(7, "borzacchiello_1998_2", dr=0.2).bone > 55
    missed = mantle(7, "li_2003", dr=0.2)
    assert 52 < missed.bone < 54, "Li's own constants give 53 degC, published > 55: a miss, with the number"
    assert missed.necrosis == 0.0, "published: minimal damage at 7 mm; a miss too"


def test_an_independent_solution_of_one_mantle():
    """See the next test, which does all nine; here the middle one, and a heat capacity that was rejected."""
    assert mantle(5, "li_2003", specific_heat=1.46, dr=0.2).bone == pytest.approx(50.2, abs=0.4)
    assert mantle(7, "li_2003", specific_heat=0.63).bone > 58, "this check cannot fail"


@pytest.mark.slow
def test_an_independent_solution_of_the_same_mantles():
    """Against a separate 1-D program, run before this one was written: interface peaks at 1.46 J/(g K), to 0.4 K."""
    for kinetics, expected in (
        ("li_2003", (45.1, 50.2, 51.8)),
        ("borzacchiello_1998_2", (46.1, 51.8, 54.3)),
        ("borzacchiello_1998_1", (42.8, 46.2, 48.5)),
    ):
        found = [mantle(t, kinetics, specific_heat=1.46, dr=0.2).bone for t in (3, 5, 7)]
        assert found == pytest.approx(expected, abs=0.4)


@dataclass(frozen=True)
class Cured:
    """A cured vertebral body: temperatures in degC, times in s."""

    centre: float
    canal: float
    disc: float
    anterior: float
    hot_min: float
    hard: float
    volume_ml: float


def vertebra(volume_ml, share, kinetics, start, h=2.0):
    """Cure an ellipsoid of cement in a body of 46 x 34 x 27 mm with shell, discs and canal, all in 37 degC."""
    laws = load_exotherm(kinetics)
    shape = tuple(round(side / h) for side in (66, 70, 47))
    axes = [(np.arange(n) + 0.5) * h - o for n, o in zip(shape, (33.0, 27.0, 23.5), strict=True)]
    x, y, z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    oval = np.broadcast_to(np.sqrt((x / 23) ** 2 + (y / 17) ** 2), shape)
    body = (oval < 1) & (np.abs(z) < 13.5)
    medium = np.where(oval < 1, Medium.DISC, Medium.SOFT)
    medium[body] = Medium.TRABECULAR
    medium[body & ((oval > 1 - 0.7 * h / 17) | (np.abs(z) > 13.5 - 0.6 * h))] = Medium.CORTEX
    canal = np.broadcast_to((y > 17 + 0.5 * h) & (y < 32) & (np.abs(x) < 11), shape)
    medium[canal] = Medium.CANAL
    scale = (volume_ml * 1000 / share / (4 / 3 * np.pi * 19.2 * 14.2 * 12.5)) ** (1 / 3)
    radius = np.sqrt((x / 19.2) ** 2 + (y / 14.2) ** 2 + (z / 12.5) ** 2) / scale
    cement = share * np.clip((1 - radius) * 14.2 * scale / h + 0.5, 0, 1) * body
    grid = surround_site(shape, (h, h, h), laws)
    temperature = np.where(cement > share / 2, start, 310.15)
    begin = start_exotherm(grid, laws, temperature=temperature)
    state = advance_exotherm(CementInPlace(grid, medium, cement), begin, 1200.0, laws).state
    anterior = body & np.broadcast_to((y < -15) & (np.abs(x) < 6), shape)
    return Cured(
        state.peak.max() - 273.15,
        state.peak[canal].max() - 273.15,
        state.peak[medium == Medium.DISC].max() - 273.15,
        state.peak[anterior].max() - 273.15,
        state.time_hot.max() / 60,
        state.time_hard[cement > share / 2].max(),
        cement.sum() * h**3 / 1000,
    )


def share_of_cell():
    """Share of cement in the cell that the data give: porosity 0.88 less the marrow that stays."""
    return float(accessible_porosity(0.88, load_pores().values))


CASES = [
    (name, ml, start) for name in ("li_2003", "borzacchiello_1998_2") for ml in (6, 10) for start in (298.15, 310.15)
]


@pytest.mark.parametrize(("kinetics", "volume_ml", "start"), CASES[::3])
def test_belkoff_core_by_calibration_and_canal(kinetics, volume_ml, start):
    """Centre within 49-113 degC is calibration; canal within 39-57 and the minutes above 50 degC are not."""
    found = vertebra(volume_ml, share_of_cell(), kinetics, start)
    assert found.volume_ml == pytest.approx(volume_ml, rel=0.05)
    assert 49 <= found.centre <= 113
    assert 38.5 <= found.canal <= 57
    assert found.hot_min <= 9.0


def test_the_bands_of_belkoff_can_be_missed():
    """Undiluted cement is too hot, as physics.md found; a cement that does not cure warms nothing."""
    assert vertebra(6, 0.999, "borzacchiello_1998_2", 298.15).centre > 113
    assert vertebra(6, 0.05, "li_2003", 310.15).centre < 49


@pytest.mark.slow
@pytest.mark.parametrize(("kinetics", "volume_ml", "start"), CASES)
def test_belkoff_at_one_millimetre(kinetics, volume_ml, start):
    """The table of the validation page: all eight cases at 1 mm."""
    found = vertebra(volume_ml, share_of_cell(), kinetics, start, h=1.0)
    assert 49 <= found.centre <= 113
    assert 39 <= found.canal <= 57
    late = kinetics.startswith("borz") and volume_ml == 10 and start > 300
    assert found.hot_min > 8.0 if late else found.hot_min <= 8.0, "one of eight is missed, at 8.3 min"


def test_setting_time_in_the_body():
    """The catalogue says about 11 min at 37 degC, for another cement; Li gives 10-12 min, Borzacchiello half."""
    assert 540 < vertebra(6, share_of_cell(), "li_2003", 298.15).hard < 780
    assert vertebra(6, share_of_cell(), "borzacchiello_1998_2", 298.15).hard < 420


def test_krebs_pressures_are_a_calibration():
    """Medium class, 11 G, 12 cm, 0.1 mL/s, second half of its window: mean within 1.7 +- 0.65 MPa, none beyond 3.2."""
    cement, needle = rheology.load_cement("pmma-medium-viscosity").values, rheology.Bore(inner_radius=1.2, length=120.0)
    ages = np.linspace(408, 510, 20)
    pressure = rheology.needle_pressure(100.0, rheology.consistency(ages, cement), needle, cement)
    assert np.mean(pressure) == pytest.approx(1.7, abs=0.65)
    assert pressure.max() < 3.215
    thin = rheology.load_cement("pmma-low-viscosity").values
    early = rheology.needle_pressure(100.0, rheology.consistency(240.0, thin), needle, thin)
    assert early < 1.7 - 0.65, "this check cannot fail"


def mobility_after(seconds, temperature, cement):
    """Mobility of a core full of cement at a steady rate, over the one at the start: ageing alone."""
    age = 300.0
    later = age + float(rheology.ageing_rate(temperature, cement)) * seconds
    return float(rheology.consistency(age, cement) / rheology.consistency(later, cement))


def test_baroud_mobility_falls_too_slowly():
    """Published: to 63 % within 18 s. Ours: 73 % at 37 degC, 87 % at 23 degC; missed by 10 and 24 points."""
    cement = rheology.load_cement("pmma-medium-viscosity").values
    assert mobility_after(18.0, 310.15, cement) == pytest.approx(0.732, abs=0.005)
    assert mobility_after(18.0, 296.15, cement) == pytest.approx(0.871, abs=0.005)


def test_first_mobility_of_a_core_has_the_published_order():
    """Published 60.9 mm4/(N s) at first; ours from a needle of 1.2 mm to 10 mm at 0.05 to 0.2 mL/s, within twice."""
    cement, law = rheology.load_cement("pmma-medium-viscosity").values, load_pores().values
    k, phi, r0, far = law.reference_permeability, 0.704, 1.2, 10.0
    found = []
    for rate in (50.0, 100.0, 200.0):
        stiff = rheology.pore_resistance(rheology.consistency(360.0, cement), k, phi, cement)
        drop = float(stiff) * np.sqrt(rate / (4 * np.pi)) * np.log(far / r0)
        found.append(rate / (4 * np.pi * drop) * (1 / r0 - 1 / far))
    assert np.all(np.diff(found) > 0), "shear thinning"
    assert 60.9 / 2 < min(found) < max(found) < 60.9 * 2


def test_filled_bone_against_native_bone():
    """Published: about 8.5 times as stiff. Ours depends on the bone: 8.5 times at 50 mg/cm3, 4 times at 100."""
    filled = augmented.augmented_modulus(share_of_cell(), 1.0, 0.0, 1.0, augmented.load_augmented().values)
    native = bone.modulus(np.array([0.05, 0.1]), bone.load_law())
    assert filled / native == pytest.approx([8.5, 4.1], abs=0.15)
