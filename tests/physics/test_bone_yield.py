"""Proves: post-yield data become a foam law scaled by the crack band; closing pores harden bone without bound."""

import numpy as np
import pytest

from vertecast.core.errors import ParameterError
from vertecast.kernels.foam_reference import integrity
from vertecast.physics.bone_yield import POST_YIELD, densification, foam_law, load_deep_crush, load_post_yield

CRUSH = load_deep_crush().values


@pytest.mark.parametrize("name", POST_YIELD)
def test_every_behaviour_loads_with_its_sources(name):
    loaded = load_post_yield(name)
    assert all(use.source for use in loaded.uses)
    assert foam_law(loaded.values, 1.0, 1.0).alpha == 1.0


def test_a_layer_of_voxels_takes_the_same_energy_whatever_its_height():
    post = load_post_yield("softening").values
    energies = []
    for voxel in (0.5, 1.0, 2.0):
        law = foam_law(post, 0.0, voxel)
        kappa = np.linspace(law.onset, law.onset + 20 * law.strength_scale, 20001)
        above = integrity(kappa, law)[0] - (1 - law.strength_loss)
        energies.append(voxel * np.trapezoid(above, kappa))
    np.testing.assert_allclose(energies, energies[0], rtol=1e-6)


def test_without_scaling_it_would_not():
    post = load_post_yield("softening").values
    assert foam_law(post, 0.0, 0.5).strength_scale == pytest.approx(4 * foam_law(post, 0.0, 2.0).strength_scale)


def test_a_voxel_above_the_band_is_refused_where_something_is_lost():
    with pytest.raises(ParameterError, match=r"voxel = 3\.0 mm .* failing band of 2\.4 mm"):
        foam_law(load_post_yield("softening").values, 0.0, 3.0)
    assert foam_law(load_post_yield("perfect").values, 0.0, 3.0).strength_loss == 0.0


def test_unknown_behaviour_is_refused():
    with pytest.raises(ParameterError, match="'brittle' does not exist"):
        load_post_yield("brittle")


def test_densification():
    np.testing.assert_allclose(densification([-0.1, 0.0, 0.35], 0.2, CRUSH), 1.0)
    half_way = 0.5 * (CRUSH.densification_onset + 0.9)
    assert densification(half_way, 0.2, CRUSH) == pytest.approx(2.0)
    assert (np.diff(densification(np.linspace(0.35, 0.85, 20), 0.2, CRUSH)) > 0).all()
    with pytest.raises(ParameterError, match="exceeds the pore space"):
        densification(0.95, 0.2, CRUSH)
