"""The compiled pyramid is that of the plain reference, gives the picture back, and equalises as it says."""

import numpy as np
import pytest

from vertecast.kernels.pyramid import add_doubled, block_energies, equalise, look_up, reduce_by_two
from vertecast.kernels.pyramid_reference import doubled_plain, equalised_plain, reduced_plain

SHAPES = [(16, 24), (17, 23), (33, 8)]


def reduced(image: np.ndarray) -> np.ndarray:
    out = np.empty(((image.shape[0] + 1) // 2, (image.shape[1] + 1) // 2), np.float32)
    reduce_by_two(image, out)
    return out


def doubled(small: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape, np.float32)
    add_doubled(small, np.float32(1.0), out, out)
    return out


@pytest.mark.parametrize("shape", SHAPES)
def test_halving_and_doubling_are_those_of_the_reference(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    small = reduced(image)
    assert small == pytest.approx(reduced_plain(image), abs=2e-6)
    assert doubled(small, shape) == pytest.approx(doubled_plain(small, shape), abs=2e-6)
    constant = np.full(shape, 3.0, np.float32)
    assert reduced(constant) == pytest.approx(3.0)
    assert doubled(reduced(constant), shape) == pytest.approx(3.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_bands_and_rest_add_up_to_the_picture(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    small, band = reduced(image), np.empty(shape, np.float32)
    add_doubled(small, np.float32(-1.0), image, band)
    back = np.empty_like(band)
    add_doubled(small, np.float32(1.0), band, back)
    assert back == pytest.approx(image, abs=1e-6)
    assert band.std() > 0.1


def test_equalised_band_is_that_of_the_reference() -> None:
    generator = np.random.default_rng(3)
    band = generator.normal(size=(22, 29)).astype(np.float32)
    factors = generator.uniform(0.5, 4.0, (5, 7)).astype(np.float32)
    expected = equalised_plain(band, factors, 4, 0.7, 0.5)
    equalise(band, factors, 4, np.float32(0.7), np.float32(0.5))
    assert band == pytest.approx(expected, abs=5e-3)  # the last block's place is cut at 0.999 of a block
    assert np.abs(band).max() < 0.7 / 0.5


def test_block_energy_is_the_mean_square_cut_at_the_limit() -> None:
    band = np.random.default_rng(4).normal(size=(9, 13)).astype(np.float32)
    limits, out = np.full((2, 3), 1.5, np.float32), np.empty((2, 3), np.float32)
    block_energies(band, 4, limits, out)
    blocks = np.minimum(band[:8, :12] ** 2, 1.5).reshape(2, 4, 3, 4)
    assert out == pytest.approx(blocks.mean(axis=(1, 3)), rel=1e-5)


def test_the_table_is_read_between_its_ends() -> None:
    values = np.array([[-9.0, 0.0, 0.5, 1.0, 9.0]], np.float32)
    out = np.empty(values.shape, np.uint8)
    look_up(values, np.float32(0.0), np.float32(10.0), np.arange(11, dtype=np.uint8), out)
    assert out.tolist() == [[0, 0, 5, 10, 10]]
