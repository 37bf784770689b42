"""From the detector's frame to the screen: logarithm, multi-scale contrast equalisation, film curve, polarity.

A plain logarithm leaves vertebrae too faint to work by beside lung, heart and skin. As C-arms do, the picture is parted
into bands of a Laplacian pyramid, and in each band the contrast is brought to one strength: divided by its local root
mean square, so that an endplate over the liver and one over the lung are seen alike. What is no stronger than the
quantum noise expected at that place is not raised. Large contrast is flattened, so that borders and steel leave little
halo. The broadest shades come through weakly. An S-shaped curve then fits what is in the middle of the field.

References
----------
.. [1] P. Vuylsteke, E. Schoeters, Proc. SPIE 2167 (1994) 551: multi-scale image contrast amplification.
.. [2] M. Stahl, T. Aach, S. Dippel, Med. Phys. 27 (2000) 56: nonlinear multiscale processing of radiographs.
.. [3] K. Jarrett et al., Proc. IEEE 12th Int. Conf. Computer Vision (2009) 2146: local contrast normalisation.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vertecast.devices.carm import View
from vertecast.fluoro.settings import Display
from vertecast.kernels.project_signal import (
    block_means,
    convolve_rows_columns,
    gaussian_taps,
    negative_log,
)
from vertecast.kernels.pyramid import add_doubled, block_energies, equalise, look_up, reduce_by_two

_LEAST_SIGNAL = 0.5
_BLOCK = 4
_BLOCK_SPREAD = 0.9
_LEAST_SIDE = 2 * _BLOCK
_STEPS = 2048
_CURVE_ENDS = 3.0
_NOISE_MARGIN = 4.0

Field = tuple[slice, slice]
"""Rows and columns that the shutters leave open."""


@dataclass(frozen=True, slots=True)
class Tone:
    """Window of one view; taken from a frame and kept while the view stands.

    Parameters
    ----------
    low, middle, high : values shown bright, mid-grey and dark
    """

    low: float = field(metadata={"unit": "1", "doc": "value shown bright"})
    middle: float = field(metadata={"unit": "1", "doc": "value shown as mid-grey"})
    high: float = field(metadata={"unit": "1", "doc": "value shown dark"})


@dataclass(frozen=True, eq=False)
class Acquisition:
    """What a C-arm knows of a frame before it is shown.

    Parameters
    ----------
    noise : (bands,), quanta
        Variance of the logarithm in each band times the signal; see :func:`band_variances`.
    direct : quanta of the open beam, beside the patient
    open_field : what lies outside is taken for its border, so that shutters cast no halo
    """

    noise: NDArray[np.float64]
    direct: float = field(metadata={"unit": "1", "doc": "quanta of the open beam"})
    open_field: Field = (slice(None), slice(None))


def band_variances(view: View, taps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Variance in each band of white noise of variance 1 that the detector's blur ``taps`` has passed, finest first."""
    count = _levels(view)
    middle = 4 << count
    variances = np.zeros(count)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):  # halving treats even and odd pixels unlike
        image = np.zeros((2 * middle, 2 * middle), np.float32)
        image[middle + row, middle + column] = 1.0
        convolve_rows_columns(image, taps, np.empty_like(image), image)
        bands, _ = _pyramid(image, count)
        # Band k holds every 2^k-th sample, each of which gathers noise from all pixels: 4^k times the impulse's.
        variances += [4.0**k * float((band.astype(float) ** 2).sum()) / 4.0 for k, band in enumerate(bands)]
    return variances


def equalised(
    frame: NDArray[np.float32], view: View, acquisition: Acquisition, display: Display
) -> NDArray[np.float32]:
    """Take the logarithm and bring the contrast of all bands to one strength; the open beam becomes white.

    Parameters
    ----------
    frame : (rows, columns), quanta
    acquisition : what the C-arm knows of how the frame was taken

    Returns
    -------
    (rows, columns), float32
        Dark is large.
    """
    log = np.empty_like(frame)
    negative_log(_bordered(frame, acquisition.open_field), np.float32(_LEAST_SIGNAL), log)
    noise = acquisition.noise
    bands, rest = _pyramid(log, len(noise))
    widths = view.carm.pixel_mm[0] * 2.0 ** np.arange(len(noise))
    out = rest[-1] * np.float32(display.base)
    for k in reversed(range(len(noise))):
        at = float(np.log2(widths[k]))
        factors = _factors(bands[k], rest[k], float(noise[k]), at, display)
        equalise(
            bands[k], factors, _BLOCK, np.float32(_read(display.gains, at, display)), np.float32(display.flattening)
        )
        add_doubled(out, np.float32(1.0), bands[k], bands[k])
        out = bands[k]
    log -= np.float32(display.direct - np.log(acquisition.direct))
    np.minimum(log, np.float32(0.0), out=log)
    log *= np.float32(display.bleaching)
    out += log
    return out


def tone_of(picture: NDArray[np.float32], region: NDArray[np.bool_], display: Display) -> Tone:
    """Choose the window from a region of the equalised picture; the whole of it when the region is empty.

    Parameters
    ----------
    picture : (rows, columns), see :func:`equalised`
    region : (rows, columns), what counts
    """
    thin, chosen = picture[::3, ::3], region[::3, ::3]
    values = thin[chosen] if chosen.any() else thin.ravel()
    low, middle, high = np.percentile(values, [display.ends, 50.0, 100.0 - display.ends])
    return Tone(float(low), float(middle), max(float(high), float(low) + 1e-3))


def shown(
    picture: NDArray[np.float32], tone: Tone, display: Display, *, bone_bright: bool = False
) -> NDArray[np.uint8]:
    """Bring the equalised picture to 8 bits; bone is dark as in fluoroscopy, or bright as on film."""
    half = (tone.high - tone.low) / 2.0
    places = np.linspace(-_CURVE_ENDS, _CURVE_ENDS, _STEPS)
    curve = np.tanh(display.slope * places) / np.tanh(display.slope * _CURVE_ENDS)
    table = np.round(127.5 + 127.5 * (curve if bone_bright else -curve)).astype(np.uint8)
    out = np.empty(picture.shape, np.uint8)
    per_step = (_STEPS - 1) / (2.0 * _CURVE_ENDS * half)
    look_up(picture, np.float32(tone.middle - _CURVE_ENDS * half), np.float32(per_step), table, out)
    return out


def _levels(view: View) -> int:
    """Count the bands: halved until a few blocks are left, 19 mm wide whatever the pixels of a 300 mm detector."""
    side = min(view.shape)
    return max(1, int(np.floor(np.log2(side / _LEAST_SIDE))))


def _pyramid(image: NDArray[np.float32], count: int) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Part a picture into ``count`` bands, finest first; also return the ever smoother pictures below each."""
    bands, smoother, upper = [], [], image
    for _ in range(count):
        lower = np.empty(((upper.shape[0] + 1) // 2, (upper.shape[1] + 1) // 2), np.float32)
        reduce_by_two(upper, lower)
        band = np.empty_like(upper)
        add_doubled(lower, np.float32(-1.0), upper, band)
        bands.append(band)
        smoother.append(lower)
        upper = lower
    return bands, smoother


def _factors(
    band: NDArray[np.float32], smooth: NDArray[np.float32], noise: float, at: float, display: Display
) -> NDArray[np.float32]:
    """Factor of a band in blocks: one over its local root mean square and a floor, less where it is mostly noise."""
    shape = band.shape[0] // _BLOCK, band.shape[1] // _BLOCK
    grain = np.empty(shape, np.float32)
    block_means(smooth, _BLOCK // 2, grain)  # the smoother picture is half the size
    np.exp(grain, out=grain)
    grain *= np.float32(noise)  # variance is noise / signal
    energy = np.empty(shape, np.float32)
    edge = _read(display.edges, at, display)
    block_energies(band, _BLOCK, np.float32(edge * edge) + np.float32(_NOISE_MARGIN) * grain, energy)
    convolve_rows_columns(energy, gaussian_taps(_BLOCK_SPREAD), np.empty_like(energy), energy)
    real = np.maximum(energy - grain, np.float32(0.0))
    floor = np.float32(_read(display.floors, at, display))
    return np.asarray(real / (np.maximum(energy, np.float32(1e-20)) * (np.sqrt(real) + floor)), np.float32)


def _read(values: tuple[float, ...], at: float, display: Display) -> float:
    """Read a table over the logarithm of the bands' widths."""
    return float(np.interp(at, np.log2(display.widths), values))


def _bordered(frame: NDArray[np.float32], open_field: Field) -> NDArray[np.float32]:
    """Repeat the border of the open field over what the shutters hide."""
    inner = frame[open_field]
    if inner.shape == frame.shape:
        return frame
    ends = [(part.indices(n)[0], n - part.indices(n)[1]) for part, n in zip(open_field, frame.shape, strict=True)]
    return np.pad(inner, ends, mode="edge")
