"""From mean signal to the frame a detector gives: scatter, quantum and electronic noise, blur, lag."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.devices.carm import View
from vertecast.fluoro.settings import Detector
from vertecast.kernels.project_signal import block_means, convolve_rows_columns, gaussian_taps, spread_blocks

_SCATTER_BLOCK_MM = 5.0
_POOL = 1 << 21


@dataclass(frozen=True, eq=False)
class NoisePool:
    """Normal deviates drawn once; each frame starts at another place in them."""

    deviates: NDArray[np.float32]
    generator: np.random.Generator

    @classmethod
    def drawn(cls, seed: int, pixels: int) -> "NoisePool":
        """Draw enough for frames of ``pixels``."""
        generator = np.random.default_rng(seed)
        return cls(generator.standard_normal(max(_POOL, 4 * pixels), np.float32), generator)

    def next(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return the deviates of the next frame; a view, not to be changed."""
        count = shape[0] * shape[1]
        start = int(self.generator.integers(0, len(self.deviates) - count))
        return self.deviates[start : start + count].reshape(shape)


def scatter(
    primary: NDArray[np.float32], water: NDArray[np.float32], view: View, detector: Detector
) -> NDArray[np.float32]:
    """Estimate scatter at the detector: what a ray scatters grows with its tissue path and spreads as a Gaussian.

    Parameters
    ----------
    primary : (rows, columns), quanta
    water : (rows, columns), mg/mm2
    """
    block = max(1, round(_SCATTER_BLOCK_MM / view.carm.pixel_mm[0]))
    rows, columns = primary.shape
    blocks = (max(2, rows // block), max(2, columns // block))
    if rows < 2 * block or columns < 2 * block:
        return np.zeros(primary.shape, np.float32)
    small, thick = np.empty(blocks, np.float32), np.empty(blocks, np.float32)
    block_means(primary, block, small)
    block_means(water, block, thick)
    small *= thick * np.float32(detector.scatter_to_primary / detector.scatter_thickness)
    taps = gaussian_taps(detector.scatter_spread / (block * view.carm.pixel_mm[0]))
    half = len(taps) - 1
    framed = np.pad(small, half)
    convolve_rows_columns(framed, taps, np.empty_like(framed), framed)
    out = np.empty_like(primary)
    spread_blocks(np.ascontiguousarray(framed[half:-half, half:-half]), block, out)
    return out


def blur_taps(view: View, detector: Detector) -> NDArray[np.float32]:
    """Gaussian of light spread and of the focal spot's shadow for things at the isocentre."""
    penumbra = detector.focal_spot * (view.carm.source_detector / view.carm.source_isocentre - 1.0) / np.sqrt(12.0)
    return gaussian_taps(float(np.hypot(detector.sharpness, penumbra)) / view.carm.pixel_mm[0])


def exposed(
    signal: NDArray[np.float32],
    variance: NDArray[np.float32],
    deviates: NDArray[np.float32],
    taps: NDArray[np.float32],
    detector: Detector,
) -> NDArray[np.float32]:
    """Add quantum noise, blur it with the picture, add read-out noise.

    Parameters
    ----------
    signal, variance : (rows, columns), quanta and quanta squared
    deviates : (rows, columns), standard normal
    """
    noisy = np.asarray(signal + np.sqrt(variance) * deviates, np.float32)
    out = np.empty_like(noisy)
    convolve_rows_columns(noisy, taps, np.empty_like(noisy), out)
    out += np.float32(detector.electronic_quanta) * deviates[::-1, ::-1]
    return out
