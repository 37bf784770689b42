"""From the detector's frame to the screen: logarithm, dynamic-range reduction, edges, window, bone dark or bright.

A plain logarithm leaves vertebrae too faint to work by beside lung and skin. As C-arms do, the picture is parted into
bands by width. What is broad is compressed; finer contrast is raised, the more the fainter, up to a fixed gain. The
two broad bands are smoothed without crossing strong edges (a guided filter), so lung and skin borders cast no halo.
The window is set by the body around the middle of the field, as the brightness is: lung and air beside it go white.

References
----------
.. [1] K. He, J. Sun, X. Tang, IEEE Trans. Pattern Anal. Mach. Intell. 35 (2013) 1397: guided filter.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.devices.carm import View
from vertecast.fluoro.settings import Display
from vertecast.kernels.project_signal import (
    blend_bands,
    block_means,
    convolve_rows_columns,
    gaussian_taps,
    negative_log,
    spread_blocks,
)

_LEAST_SIGNAL = 0.5
_LEAST_RANGE = 0.2
_BLOCK_SPREAD = 0.9
_OPENING = 5


@dataclass(frozen=True, slots=True)
class Tone:
    """Window of one view; taken from a frame and kept while the view stands.

    Parameters
    ----------
    shade : factor of the broadest shades
    low, high : values shown as white and as black
    """

    shade: float = field(metadata={"unit": "1", "doc": "factor of the broadest shades"})
    low: float = field(metadata={"unit": "1", "doc": "value shown as white"})
    high: float = field(metadata={"unit": "1", "doc": "value shown as black"})


def bands(frame: NDArray[np.float32], view: View, display: Display) -> NDArray[np.float32]:
    """Take the logarithm and smooth it four times: (5, rows, columns), float32."""
    out = np.empty((5, *frame.shape), np.float32)
    negative_log(frame, np.float32(_LEAST_SIGNAL), out[0])
    pixel = view.carm.pixel_mm[0]
    convolve_rows_columns(out[0], gaussian_taps(display.finest / pixel), np.empty_like(frame), out[1])
    _smooth(out[0], max(1, round(display.fine / pixel)), out[2])
    tissue = _without_dense(out[1], pixel, display)
    squares = tissue * tissue
    for index, width in enumerate((display.middle, display.broad), start=3):
        _smooth_within(tissue, squares, max(1, round(width / pixel)), display.edge, out[index])
    return out


def tone_of(parted: NDArray[np.float32], region: NDArray[np.bool_], display: Display) -> Tone:
    """Choose the window from a region of the picture.

    Parameters
    ----------
    parted : (5, rows, columns), see :func:`bands`
    region : (rows, columns), what counts; the whole picture when nothing does
    """
    chosen = region[::3, ::3] if region[::3, ::3].any() else np.ones_like(region[::3, ::3])
    thin = np.ascontiguousarray(parted[:, ::3, ::3])
    low, high = np.percentile(thin[4][chosen], [5.0, 95.0])
    shade = display.shade / max(float(high - low), _LEAST_RANGE)
    mixed = _blend(thin, shade, display)
    low, high = np.percentile(mixed[chosen], [display.ends, 100.0 - display.ends])
    return Tone(shade, float(low), max(float(high), float(low) + 1e-3))


def shown(parted: NDArray[np.float32], tone: Tone, display: Display, *, bone_bright: bool = False) -> NDArray[np.uint8]:
    """Blend the bands and window them to 8 bits; bone is dark as in fluoroscopy, or bright as on film."""
    mixed = _blend(parted, tone.shade, display)
    gain = np.float32(255.0 / (tone.high - tone.low))
    mixed -= np.float32(tone.low)
    mixed *= gain
    np.clip(mixed, 0.0, 255.0, out=mixed)
    grey = mixed.astype(np.uint8)
    return grey if bone_bright else np.uint8(255) - grey


def _blend(parted: NDArray[np.float32], shade: float, display: Display) -> NDArray[np.float32]:
    mixed = np.empty(parted.shape[1:], np.float32)
    limits = np.asarray(display.contrasts, np.float32)
    shares = np.asarray(display.gains, np.float32) * limits
    blend_bands(parted, np.float32(display.noise_floor), limits, shares, np.float32(shade), mixed)
    return mixed


def _without_dense(image: NDArray[np.float32], pixel: float, display: Display) -> NDArray[np.float32]:
    """Press down what stands above tissue: needles, balloon and cement, so that they stay out of the shades and black.

    They are narrow, so an opening of the coarse picture shows how dense the body around them is.
    """
    block = max(1, round(display.instrument / (_OPENING * pixel)))
    shape = image.shape[0] // block, image.shape[1] // block
    if min(shape) < 2:
        return image
    small = np.empty(shape, np.float32)
    block_means(image, block, small)
    around = np.ascontiguousarray(ndimage.grey_opening(small, size=(_OPENING, _OPENING)))
    around += np.float32(display.dense)
    out = np.empty_like(image)
    spread_blocks(around, block, out)
    return np.minimum(image, out, out=out)


def _smooth(image: NDArray[np.float32], block: int, out: NDArray[np.float32]) -> None:
    """Smooth with about ``block`` pixels of spread, on block means."""
    rows, columns = image.shape[0] // block, image.shape[1] // block
    if rows < 2 or columns < 2:
        out[:] = image.mean()
        return
    spread_blocks(_coarse(image, block, (rows, columns)), block, out)


def _smooth_within(
    image: NDArray[np.float32], squares: NDArray[np.float32], block: int, edge: float, out: NDArray[np.float32]
) -> None:
    """Smooth by about ``block`` pixels where the spread is below ``edge``; keep what is above it, as strong edges."""
    rows, columns = image.shape[0] // block, image.shape[1] // block
    if rows < 2 or columns < 2:
        out[:] = image.mean()
        return
    mean = _coarse(image, block, (rows, columns))
    variance = np.maximum(_coarse(squares, block, (rows, columns)) - mean * mean, np.float32(0.0))
    kept = variance / (variance + np.float32(edge * edge))
    for part in (rest := mean * (1 - kept), kept):
        convolve_rows_columns(part, gaussian_taps(_BLOCK_SPREAD), np.empty_like(part), part)
    factor = np.empty_like(out)
    spread_blocks(kept, block, factor)
    spread_blocks(rest, block, out)
    factor *= image
    out += factor


def _coarse(image: NDArray[np.float32], block: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Block means, smoothed among themselves."""
    small = np.empty(shape, np.float32)
    block_means(image, block, small)
    convolve_rows_columns(small, gaussian_taps(_BLOCK_SPREAD), np.empty_like(small), small)
    return small
