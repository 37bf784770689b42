"""Proves: porosity, permeability and shell follow their laws on the right axes; what is none of these is refused."""

import dataclasses

import numpy as np
import pytest

from vertecast.core.errors import ParameterError
from vertecast.kernels.flow_space import pore_space
from vertecast.physics import pores
from vertecast.physics.bone_density import DensityKind

LAW = pores.load_pores().values


def test_porosity_falls_with_density_and_is_bounded() -> None:
    rho = np.array([-0.2, 0.1, 0.2, 0.4, 5.0])
    phi = pores.porosity(rho, DensityKind.APPARENT, LAW)
    assert phi[[0, -1]].tolist() == [LAW.highest_porosity, LAW.lowest_porosity]
    assert phi[1:4] == pytest.approx(1 - rho[1:4] / 1.92)
    ash = pores.porosity(0.6 * rho, DensityKind.ASH, LAW)
    assert ash == pytest.approx(phi, abs=2e-3), "ash and apparent density describe the same bone"
    assert pores.accessible_porosity(0.88, LAW) == pytest.approx(0.704)


def test_permeability_is_kozeny_through_the_reference_and_capped() -> None:
    k = pores.permeability([0.5, 0.88, 0.99, 1.0, 0.0], LAW)
    assert k[1] == pytest.approx(1e-2)
    assert k[0] == pytest.approx(1e-2 * (0.5**3 / 0.5**2) / (0.88**3 / 0.12**2))
    assert k[2:4].tolist() == [LAW.highest_permeability] * 2
    assert k[4] == 0.0
    assert np.all(np.diff(pores.permeability(np.linspace(0.05, 0.93, 50), LAW)) > 0)


def test_the_kozeny_reference_implies_a_surface_like_that_of_trabeculae() -> None:
    surface = np.sqrt(0.022 * 0.88**3 / (0.12**2 * LAW.reference_permeability))
    assert 5 < surface < 25, "mm2 of trabecular surface per mm3 of bone, with C of Kohles & Roberts 2002"


def test_axes_are_left_right_antero_posterior_supero_inferior() -> None:
    assert pores.directional(np.ones((2, 2, 2)), LAW)[:, 0, 0, 0].tolist() == [0.78, 0.78, 1.0]


def test_cleft_is_parallel_plates_up_to_the_cavity() -> None:
    assert pores.cleft_permeability([0.0, 0.6, 100.0], LAW) == pytest.approx([0.0, 0.03, 10.0])
    assert pores.cavity_permeability(LAW) == pytest.approx(1000 * LAW.reference_permeability)


def test_shell_resistance_and_the_open_shell() -> None:
    assert pores.shell_resistance([0.05, 0.4], LAW) == pytest.approx([0.0, 4e5])


def test_a_thin_shell_governs_the_flow_whatever_the_voxel() -> None:
    """Flux through 20 mm of bone with a shell in it: the same at 2, 1 and 0.5 mm, for the face is sub-voxel."""
    fluxes = []
    for n in (10, 20, 40):
        h = 20.0 / n
        skin = np.zeros((3, n, 1, 1))
        skin[0, n // 2 - 1] = pores.shell_resistance(0.4, LAW)
        space = pore_space(np.full((n, 1, 1), 0.8), np.full((n, 1, 1), 1e-2), (h, 1.0, 1.0), skin=skin)
        half, layer = space.half[0].ravel(), space.skin[0].ravel()
        fluxes.append(1 / np.sum(half[:-1] + layer[:-1] + half[1:]))
    exact = [1 / ((20.0 - 20.0 / n) / 1e-2 + 0.4 / LAW.shell_permeability) for n in (10, 20, 40)]
    assert fluxes == pytest.approx(exact, rel=1e-12)


def test_outside_and_marrow_come_with_their_sources() -> None:
    outside = pores.load_outside()
    assert outside.disc.permeability < outside.soft.permeability < outside.canal.permeability
    assert {"disc.permeability", "canal.porosity"} <= {use.name for use in outside.uses}
    assert pores.load_marrow().values.viscosity == pytest.approx(4e-7)


def test_absurd_values_are_refused() -> None:
    with pytest.raises(ParameterError, match="density of kind k2hpo4 gives no porosity; convert it"):
        pores.porosity(0.1, DensityKind.K2HPO4, LAW)
    with pytest.raises(ParameterError, match="density must be finite; 1 of 2"):
        pores.porosity([0.1, np.nan], DensityKind.ASH, LAW)
    with pytest.raises(ParameterError, match="1 porosities are outside 0-1"):
        pores.permeability([0.5, 1.2], LAW)
    with pytest.raises(ParameterError, match="cleft width must be finite and at least 0"):
        pores.cleft_permeability(-1.0, LAW)
    for change, sentence in (
        ({"reference_porosity": 0.99}, "must rise between 0 and 1"),
        ({"displaced_share": 0.0}, "displaced_share = 0.0 is outside 0-1"),
        ({"shell_permeability": 1.0}, "permeabilities of shell, bone and cap"),
        ({"ap_over_si": 0.0}, "must be above 0"),
    ):
        with pytest.raises(ParameterError, match=sentence):
            dataclasses.replace(LAW, **change)
