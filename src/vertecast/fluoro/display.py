"""From the detector's frame to the screen: logarithm, dynamic-range reduction, edges, window, bone dark or bright.

A plain logarithm leaves vertebrae too faint to work by beside lung and skin. As C-arms do, the picture is parted into
bands by width; each is pressed towards a limit taken from its own spread over the field, so faint endplates rise and
strong borders do not dazzle.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, eq=False)
class Tone:
    """How one view is shown: limits of the bands and the window; taken from a frame and kept while the view stands.

    Parameters
    ----------
    limits : (4, rows, columns), float32
        Contrast at which each band is pressed to half its share; small where the picture is flat.
    shares : (4,)
    shade : factor of the broadest shades
    low, high : logarithms shown as white and as black
    """

    limits: NDArray[np.float32]
    shares: NDArray[np.float32]
    shade: float
    low: float
    high: float


def bands(frame: NDArray[np.float32], view: View, display: Display) -> NDArray[np.float32]:
    """Take the logarithm and smooth it four times: (5, rows, columns), float32."""
    out = np.empty((5, *frame.shape), np.float32)
    negative_log(frame, np.float32(_LEAST_SIGNAL), out[0])
    pixel = view.carm.pixel_mm[0]
    convolve_rows_columns(out[0], gaussian_taps(display.finest / pixel), np.empty_like(frame), out[1])
    for index, width in enumerate((display.fine, display.middle, display.broad), start=2):
        _smooth(out[0], max(1, round(width / pixel)), out[index])
    return out


def tone_of(parted: NDArray[np.float32], field: NDArray[np.bool_], view: View, display: Display) -> Tone:
    """Choose limits and window from the open field where there is body.

    Parameters
    ----------
    parted : (5, rows, columns), see :func:`bands`
    field : (rows, columns), what counts; the whole picture when nothing does
    """
    chosen = field[::3, ::3] if field[::3, ::3].any() else np.ones_like(field[::3, ::3])
    thin = parted[:, ::3, ::3]
    limits = np.stack([_limits(parted[k] - parted[k + 1], chosen, view, display) for k in range(4)])
    shares = np.asarray(display.weights, np.float32)
    shades = thin[4][chosen]
    low, high = np.percentile(shades, [5.0, 95.0])
    shade = display.shade / max(float(high - low), 0.2)
    mixed = np.empty(thin.shape[1:], np.float32)
    held = np.ascontiguousarray(limits[:, ::3, ::3])
    blend_bands(np.ascontiguousarray(thin), np.float32(display.noise_floor), held, shares, np.float32(shade), mixed)
    low, high = np.percentile(mixed[chosen], [display.ends, 100.0 - display.ends])
    return Tone(limits, shares, shade, float(low), max(float(high), float(low) + 1e-3))


def shown(parted: NDArray[np.float32], tone: Tone, display: Display, *, bone_bright: bool = False) -> NDArray[np.uint8]:
    """Blend the bands and window them to 8 bits; bone is dark as in fluoroscopy, or bright as on film."""
    mixed = np.empty(parted.shape[1:], np.float32)
    blend_bands(parted, np.float32(display.noise_floor), tone.limits, tone.shares, np.float32(tone.shade), mixed)
    gain = np.float32(255.0 / (tone.high - tone.low))
    mixed -= np.float32(tone.low)
    mixed *= gain
    np.clip(mixed, 0.0, 255.0, out=mixed)
    grey = mixed.astype(np.uint8)
    return grey if bone_bright else np.uint8(255) - grey


def _limits(band: NDArray[np.float32], chosen: NDArray[np.bool_], view: View, display: Display) -> NDArray[np.float32]:
    """Limit of one band at every pixel: its spread nearby, not below a part of its spread over the field."""
    size = np.abs(band)
    everywhere = float(np.percentile(size[::3, ::3][chosen], display.spread_part))
    near = np.empty_like(size)
    _smooth(size, max(1, round(display.neighbourhood / view.carm.pixel_mm[0])), near)
    least = max(display.least_spread, display.least_local * everywhere)
    return np.clip(near * np.float32(display.local_factor), least, max(everywhere, least))


def _smooth(image: NDArray[np.float32], block: int, out: NDArray[np.float32]) -> None:
    """Smooth with about ``block`` pixels of spread, on block means."""
    rows, columns = image.shape[0] // block, image.shape[1] // block
    if rows < 2 or columns < 2:
        out[:] = image.mean()
        return
    small = np.empty((rows, columns), np.float32)
    block_means(image, block, small)
    convolve_rows_columns(small, gaussian_taps(0.9), np.empty_like(small), small)
    spread_blocks(small, block, out)
