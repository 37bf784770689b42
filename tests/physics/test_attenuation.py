"""Attenuation coefficients agree with NIST, jump at edges, mix by mass, and refuse what they cannot know."""

import numpy as np
import pytest

from vertecast.core.errors import ParameterError
from vertecast.physics.attenuation import (
    Material,
    iodine_contrast,
    load_attenuation,
    load_materials,
    mixture,
    opacified,
)

TABLE = load_attenuation()
MATERIALS = load_materials()

# cm2/g. NIST SRD 126, tables 3 and 4, at 30, 40, 60, 80 and 100 keV.
NIST_ENERGIES = (30.0, 40.0, 60.0, 80.0, 100.0)
NIST = {
    "water": (0.3756, 0.2683, 0.2059, 0.1837, 0.1707),
    "air": (0.3538, 0.2485, 0.1875, 0.1662, 0.1541),
    "adipose": (0.3063, 0.2396, 0.1974, 0.1800, 0.1688),
    "muscle": (0.3783, 0.2685, 0.2048, 0.1823, 0.1693),
    "soft_tissue": (0.3790, 0.2688, 0.2048, 0.1823, 0.1693),
    "blood": (0.3817, 0.2699, 0.2051, 0.1824, 0.1693),
    "cortical_bone": (1.331, 0.6655, 0.3148, 0.2229, 0.1855),
    "pmma": (0.3032, 0.2350, 0.1924, 0.1751, 0.1641),
    "aluminium": (1.128, 0.5685, 0.2778, 0.2018, 0.1704),
    "titanium": (4.972, 2.214, 0.7661, 0.4052, 0.2721),
    "copper": (10.92, 4.862, 1.593, 0.7630, 0.4584),
    "lead": (30.32, 14.36, 5.021, 2.419, 5.549),
}


def worst_error(values: dict[str, tuple[float, ...]], scale: float = 1.0) -> float:
    errors = [
        np.abs(scale * TABLE.mass_attenuation(MATERIALS[name], NIST_ENERGIES) / (0.1 * np.array(row)) - 1).max()
        for name, row in values.items()
    ]
    return float(max(errors))


def test_mass_attenuation_is_that_of_nist_within_one_percent() -> None:
    assert worst_error(NIST) < 0.01


def test_linear_attenuation_is_density_times_mass_attenuation() -> None:
    bone = MATERIALS["cortical_bone"]
    assert TABLE.linear_attenuation(bone, 60.0) == pytest.approx(0.0604, rel=0.01)


@pytest.mark.parametrize(("name", "edge_kev", "jump"), [("caesium_iodide", 33.17, 2.5), ("barium_sulfate", 37.44, 4.0)])
def test_k_edges_are_sharp(name: str, edge_kev: float, jump: float) -> None:
    below, above = TABLE.mass_attenuation(MATERIALS[name], [edge_kev - 0.05, edge_kev + 0.05])
    assert above / below > jump


def test_a_mixture_keeps_mass_and_adds_volumes() -> None:
    cement = opacified(MATERIALS["pmma"], MATERIALS["barium_sulfate"], 0.3)
    assert cement.density == pytest.approx(1 / (0.7 / 1.19 + 0.3 / 4.5))
    parts = 0.7 * TABLE.mass_attenuation(MATERIALS["pmma"], 60.0)
    parts += 0.3 * TABLE.mass_attenuation(MATERIALS["barium_sulfate"], 60.0)
    assert TABLE.mass_attenuation(cement, 60.0) == pytest.approx(parts, rel=1e-9)
    porous = opacified(MATERIALS["pmma"], MATERIALS["barium_sulfate"], 0.3, porosity=0.1)
    assert porous.density == pytest.approx(0.9 * cement.density)


def test_iodine_solution_has_the_density_and_attenuation_of_its_label() -> None:
    solution = iodine_contrast(300.0, MATERIALS)
    assert solution.density == pytest.approx(1.349, abs=0.003)
    assert solution.density * solution.mass_fractions["I"] == pytest.approx(0.300, rel=1e-3)
    assert iodine_contrast(0.0, MATERIALS).density == pytest.approx(1.0)


def test_the_order_of_opacity_is_that_of_the_operating_room() -> None:
    cement = opacified(MATERIALS["pmma"], MATERIALS["barium_sulfate"], 0.3)
    order = ["water", "pmma", "cortical_bone", cement, "ti6al4v", "nitinol", "steel_316l", "tantalum"]
    mu = [float(TABLE.linear_attenuation(MATERIALS[m] if isinstance(m, str) else m, 60.0)) for m in order]
    assert mu == sorted(mu)


@pytest.mark.parametrize("energy", [0.5, 250.0])
def test_energies_outside_the_table_are_refused(energy: float) -> None:
    with pytest.raises(ParameterError, match="leaves the table"):
        TABLE.mass_attenuation(MATERIALS["water"], energy)


def test_unknown_elements_and_impossible_mixtures_are_refused() -> None:
    with pytest.raises(ParameterError, match="element Xx is not in"):
        TABLE.mass_attenuation(Material("odd", 1.0, {"Xx": 1.0}), 60.0)
    with pytest.raises(ParameterError, match=r"sum to 0\.5"):
        Material("half", 1.0, {"H": 0.5})
    with pytest.raises(ParameterError, match="must be positive"):
        Material("void", 0.0, {"H": 1.0})
    with pytest.raises(ParameterError, match="must not be negative"):
        mixture("none", [])
    with pytest.raises(ParameterError, match=r"porosity 1\.0"):
        mixture("foam", [(MATERIALS["water"], 1.0)], porosity=1.0)
    with pytest.raises(ParameterError, match=r"mass fraction 1\.2"):
        opacified(MATERIALS["pmma"], MATERIALS["zirconia"], 1.2)
    with pytest.raises(ParameterError, match="outside 0 to 400"):
        iodine_contrast(500.0, MATERIALS)


def test_these_checks_can_fail() -> None:
    assert worst_error(NIST, scale=1.012) > 0.01
    swapped = dict(NIST, water=NIST["adipose"])
    assert worst_error(swapped) > 0.01
