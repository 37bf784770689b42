"""Proves: filled bone is porous cement, its edge a series with a layer that no voxel size changes, and never softer."""

import dataclasses

import numpy as np
import pytest

from vertecast.core.errors import ParameterError
from vertecast.physics.augmented import augmented_modulus, augmented_yield, load_augmented

LAW = load_augmented().values


def test_inside_the_cloud_it_is_porous_cement_whatever_the_bone() -> None:
    weak, strong = augmented_modulus(0.7, 1.0, [50.0, 400.0], 1.0, LAW)
    assert weak == strong == pytest.approx(2200 * 0.7**2), "bone is switched off"
    mixture = 0.7 * 2200 + 0.3 * 400
    assert strong < 0.75 * mixture, "this is no rule of mixtures"
    assert augmented_yield(0.7, 1.0, 1.5, LAW) == pytest.approx(70 * 0.49)
    assert augmented_modulus(1.0, 1.0, 0.0, 1.0, LAW) == pytest.approx(2200.0), "a cavity filled with cement"


def test_stiffer_with_more_cement_and_never_softer_than_the_bone() -> None:
    fill = np.linspace(0, 1, 51)
    modulus = augmented_modulus(0.75 * fill, fill, 300.0, 1.0, LAW)
    assert np.all(np.diff(modulus) >= 0)
    assert modulus[0] == 300.0
    assert modulus.min() >= 300.0
    assert augmented_modulus(0.2, 1.0, 900.0, 1.0, LAW) == 900.0


def test_a_column_through_the_edge_has_the_same_compliance_at_any_voxel_size() -> None:
    """10 mm of cement and 10 mm of bone, with one cut cell between: springs in series at three voxel sizes."""
    found = []
    for h in (2.0, 1.0, 0.5):
        count = round(20 / h) + 1
        saturation = np.where(np.arange(count) < count // 2, 1.0, 0.0)
        saturation[count // 2] = 0.5
        modulus = augmented_modulus(0.7 * saturation, saturation, 300.0, h, LAW)
        found.append(np.sum(h / modulus) - (10 / 1078 + 10 / 300) - h / 2 * (1 / 1078 + 1 / 300))
    layer = 0.5 * (1 / 0.8 - 1) * 0.5 * (1 / 1078 + 1 / 300)
    assert found == pytest.approx([layer] * 3, rel=1e-9)
    assert augmented_modulus(
        0.35, 0.5, 300.0, 0.5, dataclasses.replace(LAW, interface_contact=1.0)
    ) > augmented_modulus(0.35, 0.5, 300.0, 0.5, LAW)


def test_the_edge_yields_as_its_bone() -> None:
    assert augmented_yield([0.0, 0.35, 0.7], [0.0, 0.5, 1.0], 2.0, LAW) == pytest.approx([2.0, 2.0, 34.3])


def test_absurd_values_are_refused() -> None:
    with pytest.raises(ParameterError, match="must lie within 0-1"):
        augmented_modulus(1.2, 1.0, 100.0, 1.0, LAW)
    with pytest.raises(ParameterError, match="cement fraction exceeds the saturation"):
        augmented_modulus(0.7, 0.5, 100.0, 1.0, LAW)
    with pytest.raises(ParameterError, match="finite and not negative"):
        augmented_yield(0.7, 1.0, np.nan, LAW)
    for change, sentence in (
        ({"cement_modulus": 0.0}, "of cement are absurd"),
        ({"modulus_exponent": 0.5}, "exponents of porous cement start at 1"),
        ({"interface_contact": 0.0}, "interface_contact = 0.0 is outside 0-1"),
    ):
        with pytest.raises(ParameterError, match=sentence):
            dataclasses.replace(LAW, **change)
