"""The live C-arm: the patient's background is kept for a pose, and each pulse redraws only what moved."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vertecast.devices.carm import View
from vertecast.fluoro.body import Body
from vertecast.fluoro.detector import NoisePool, blur_taps, exposed
from vertecast.fluoro.display import Tone, equalised, shown, tone_of
from vertecast.fluoro.exposure import Dose, dose_of
from vertecast.fluoro.marks import marked
from vertecast.fluoro.overlay import Overlay
from vertecast.fluoro.radiograph import (
    Background,
    Options,
    at_width,
    caption,
    limit_warnings,
    make_background,
    scene_signal,
    shuttered,
    tone_field,
)
from vertecast.fluoro.scene import Scene
from vertecast.fluoro.settings import Settings, load_settings
from vertecast.imaging.volume import Volume

PREVIEW_COLUMNS = 256


@dataclass(frozen=True, eq=False)
class Frame:
    """One pulse.

    Parameters
    ----------
    pixels : (rows, columns), uint8
    signal : (rows, columns), float32
        Quanta after lag and frame averaging.
    number : pulses since the fluoroscope was made
    """

    pixels: NDArray[np.uint8]
    signal: NDArray[np.float32]
    number: int
    view: View
    warnings: tuple[str, ...]


class Fluoroscope:
    """A C-arm over one patient, with its pedal, its last image and its dose counter.

    Parameters
    ----------
    volume : the CT, or a :class:`Body` made of it before
    view : where the C-arm stands first
    settings : image chain; the package's data unless given
    options : as for a radiograph; marks are drawn on every frame when on
    """

    def __init__(
        self,
        volume: Volume | Body,
        view: View,
        *,
        settings: Settings | None = None,
        options: Options | None = None,
    ) -> None:
        self.settings = settings or load_settings()
        self.options = options or Options(marks=False)
        physics, law = self.settings.physics, self.settings.tissue
        self.body = volume if isinstance(volume, Body) else Body(volume, physics, law)
        self._noise = NoisePool.drawn(self.options.seed, view.shape[0] * view.shape[1])
        self._doses: list[Dose] = []
        self._count = 0
        self.last: Frame | None = None
        self.move(view)

    def move(self, view: View) -> None:
        """Turn the gantry or move the table: a new background, and neither lag nor average from the old one."""
        kerma = self.settings.exposure.detector_kerma
        self._background = make_background(self.body, view, self.settings, self.options, kerma_mgy=kerma)
        technique, collimation = self._background.technique, self._background.collimation
        self._dose_of_one = dose_of(technique, view, self.settings, collimation)
        self._overlay = Overlay(view, self.body)
        self._taps = blur_taps(view, self.settings.detector)
        kept = self.settings.exposure.recursion
        # A recursive average that keeps this part leaves (1 - kept) / (1 + kept) of the variance.
        self._acquisition = self._background.acquisition(self._taps, (1.0 - kept) / (1.0 + kept))
        self._tone: Tone | None = None
        self._residual: NDArray[np.float32] | None = None
        self._average: NDArray[np.float32] | None = None

    @property
    def background(self) -> Background:
        """The patient alone in the present view."""
        return self._background

    def preview(self, view: View) -> NDArray[np.uint8]:
        """Show the patient coarsely and without noise while the C-arm moves; (rows, columns), uint8."""
        coarse = at_width(view, PREVIEW_COLUMNS)
        options = replace(self.options, marks=False)
        kerma = self.settings.exposure.detector_kerma
        background = make_background(self.body, coarse, self.settings, options, kerma_mgy=kerma)
        taps = blur_taps(coarse, self.settings.detector)
        seen = background.acquisition(taps, noise_left=0.0)
        picture = equalised(background.signal, coarse, seen, self.settings.display)
        tone = tone_of(picture, tone_field(background, self.settings), self.settings.display)
        grey = shown(picture, tone, self.settings.display, bone_bright=self.options.bone_bright)
        return shuttered(grey, background.collimation)

    def frame(self, scene: Scene | None = None) -> Frame:
        """Give one pulse and return the picture; it stays as the last image until the next."""
        background, detector = self._background, self.settings.detector
        signal, variance = scene_signal(background, self._overlay.footprints(scene or Scene()), self.settings)
        raw = exposed(signal, variance, self._noise.next(background.view.shape), self._taps, detector)
        self._residual = _mixed(raw, self._residual, detector.lag)
        self._average = _mixed(self._residual, self._average, self.settings.exposure.recursion)
        picture = equalised(self._average, background.view, self._acquisition, self.settings.display)
        if self._tone is None:
            field = tone_field(background, self.settings)
            self._tone = tone_of(picture, field, self.settings.display)
        pixels = shown(picture, self._tone, self.settings.display, bone_bright=self.options.bone_bright)
        pixels = shuttered(pixels, background.collimation)
        if self.options.marks:
            pixels = marked(pixels, background.view.pose, caption(background.view, background.technique))
        self._count += 1
        self._doses.append(self._dose_of_one)
        warnings = self.body.warnings + limit_warnings(background.technique)
        self.last = Frame(pixels, self._average, self._count, background.view, warnings)
        return self.last

    @property
    def dose(self) -> Dose:
        """Everything given so far."""
        one = self._dose_of_one
        kerma = sum(d.air_kerma_mgy.value or 0.0 for d in self._doses)
        product = sum(d.dap_mgy_cm2.value or 0.0 for d in self._doses)
        part = self.settings.exposure.dose_uncertainty / 100.0
        method = one.air_kerma_mgy.method or ""
        return Dose(
            type(one.air_kerma_mgy).with_error(kerma, part * kerma, method),
            type(one.air_kerma_mgy).with_error(product, part * product, method),
            self._count,
            self._count / self.settings.exposure.pulse_rate,
        )


def _mixed(new: NDArray[np.float32], old: NDArray[np.float32] | None, weight: float) -> NDArray[np.float32]:
    """Keep ``weight`` of the old picture; the new one alone when there is none."""
    if old is None:
        return new
    out = old - new
    out *= np.float32(weight)
    out += new
    return out
