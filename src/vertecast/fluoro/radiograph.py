"""Patient and scene to one radiograph: the background of a pose, what the scene changes in it, the image chain."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.parameters import ParameterUse
from vertecast.devices.carm import Lying, View
from vertecast.fluoro.body import Body
from vertecast.fluoro.detector import NoisePool, blur_taps, exposed, scatter
from vertecast.fluoro.display import Acquisition, band_variances, equalised, shown, tone_of
from vertecast.fluoro.exposure import Collimation, Dose, Technique, automatic_technique, dose_of
from vertecast.fluoro.marks import marked, patient_orientation
from vertecast.fluoro.overlay import Footprint, Overlay, stacked_paths, union
from vertecast.fluoro.scene import Scene
from vertecast.fluoro.settings import Settings, load_settings
from vertecast.imaging.volume import Volume
from vertecast.kernels.project_signal import beer_lambert

_LEAST_FIELD = 0.3
_LEAST_PATH = 1.0


@dataclass(frozen=True, eq=False)
class Background:
    """The patient alone in one view: what stays while the scene moves.

    Parameters
    ----------
    paths : (2, rows, columns), mg/mm2
    signal, variance : (rows, columns), primary quanta of one exposure and their variance
    """

    view: View
    technique: Technique
    collimation: Collimation
    paths: NDArray[np.float32]
    signal: NDArray[np.float32]
    variance: NDArray[np.float32]
    weights: NDArray[np.float32]

    @property
    def mean_energy(self) -> float:
        """Variance over signal, quanta."""
        return float(self.weights[1].sum() / self.weights[0].sum())

    @property
    def open_field(self) -> tuple[slice, slice]:
        """Rows and columns that the shutters leave open."""
        return self.collimation.window(self.view.shape)

    def acquisition(self, taps: NDArray[np.float32], noise_left: float = 1.0) -> Acquisition:
        """Say to the display what is known; averaging leaves a part of the variance, ``noise_left``."""
        noise = noise_left * self.mean_energy * band_variances(self.view, taps)
        return Acquisition(noise, float(self.weights[0].sum()), self.open_field)


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One picture with all that is needed to use it.

    Parameters
    ----------
    pixels : (rows, columns), uint8, with marks when asked for
    signal : (rows, columns), float32, quanta as the detector gave them
    view : C-arm and pose
    technique, dose, collimation : how it was exposed
    lying : prone or supine
    warnings : what the reader must know
    """

    pixels: NDArray[np.uint8]
    signal: NDArray[np.float32]
    view: View
    technique: Technique
    dose: Dose
    collimation: Collimation
    warnings: tuple[str, ...]
    uses: tuple[ParameterUse, ...] = field(repr=False, default=())

    @property
    def lying(self) -> Lying:
        """How the patient lies."""
        return self.view.pose.lying

    def as_json(self) -> dict[str, object]:
        """Return geometry, exposure and warnings in clinical units."""
        pose, carm = self.view.pose, self.view.carm
        return {
            "positioner_primary_angle_deg": round(pose.primary_deg, 3),
            "positioner_secondary_angle_deg": round(pose.secondary_deg, 3),
            "console": self.view.angles,
            "lying": pose.lying.value,
            "patient_orientation": list(patient_orientation(pose)),
            "isocentre_lps_mm": np.round(pose.isocentre_lps, 3).tolist(),
            "source_detector_mm": carm.source_detector,
            "source_isocentre_mm": carm.source_isocentre,
            "pixel_mm": list(carm.pixel_mm),
            "tube_voltage_kv": round(self.technique.kvp, 1),
            "charge_mas": round(self.technique.mas, 4),
            "air_kerma_mgy": self.dose.air_kerma_mgy.as_json(),
            "dap_mgy_cm2": self.dose.dap_mgy_cm2.as_json(),
            "warnings": list(self.warnings),
        }


def radiograph(
    volume: Volume | Body,
    view: View,
    *,
    scene: Scene | None = None,
    settings: Settings | None = None,
    options: "Options | None" = None,
) -> Radiograph:
    """Take one radiograph of a patient and of what is in the beam.

    Parameters
    ----------
    volume : the CT, or a :class:`Body` made of it before
    view : C-arm and pose
    scene : needles, balloons, cement
    settings : image chain; the package's data unless given
    options : voltage, shutters, marks, seed

    Raises
    ------
    GeometryError
        If the isocentre is outside the CT or the beam misses the patient.

    Notes
    -----
    Research and education only. Scatter is an estimate and the display is tuned by eye: do not measure grey values.
    """
    settings = settings or load_settings()
    options = options or Options()
    body = volume if isinstance(volume, Body) else Body(volume, settings.physics, settings.tissue)
    background = make_background(body, view, settings, options, kerma_mgy=settings.exposure.radiograph_kerma)
    prints = Overlay(view, body).footprints(scene or Scene())
    signal, variance = scene_signal(background, prints, settings)
    deviates = NoisePool.drawn(options.seed, signal.size).next(view.shape)
    taps = blur_taps(view, settings.detector)
    frame = exposed(signal, variance, deviates, taps, settings.detector)
    picture = equalised(frame, view, background.acquisition(taps), settings.display)
    tone = tone_of(picture, tone_field(background, settings), settings.display)
    pixels = shuttered(shown(picture, tone, settings.display, bone_bright=options.bone_bright), background.collimation)
    if options.marks:
        pixels = marked(pixels, view.pose, caption(view, background.technique))
    dose = dose_of(background.technique, view, settings, background.collimation)
    return Radiograph(
        pixels,
        frame,
        view,
        background.technique,
        dose,
        background.collimation,
        body.warnings + limit_warnings(background.technique),
        settings.uses,
    )


@dataclass(frozen=True, slots=True)
class Options:
    """Choices of the operator; what is ``None`` is automatic."""

    kvp: float | None = None
    collimation: Collimation | None = None
    bone_bright: bool = False
    marks: bool = True
    seed: int = 0
    threads: int = 1
    oversampling: float = 1.0


def make_background(body: Body, view: View, settings: Settings, options: Options, *, kerma_mgy: float) -> Background:
    """Project the patient, set the exposure and compute the primary signal of one view."""
    paths = body.paths(view, oversampling=options.oversampling, threads=options.threads)
    if not (paths.sum(axis=0) > _LEAST_PATH).any():
        raise GeometryError(
            f"the beam misses the patient: with {view.angles} about {np.round(view.pose.isocentre_lps, 1).tolist()} mm "
            f"(LPS) no ray meets tissue; move the table until the body is in the field"
        )
    technique = automatic_technique(settings, paths, kerma_mgy=kerma_mgy, kvp=options.kvp)
    width, height = view.carm.pixel_mm
    weights = technique.weights(settings, width * height)
    signal, variance = np.empty(view.shape, np.float32), np.empty(view.shape, np.float32)
    beer_lambert(paths, technique.attenuation(settings, []), weights, signal, variance)
    collimation = coned_to(body, view) if options.collimation is None else options.collimation
    return Background(view, technique, collimation, paths, signal, variance, weights)


def scene_signal(
    background: Background, prints: list[Footprint], settings: Settings
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Signal and variance of the patient with the scene, scatter included; only the scene's window is computed anew."""
    primary, variance = background.signal.copy(), background.variance.copy()
    if prints:
        window = union([one.window for one in prints])
        paths, materials = stacked_paths(background.paths, prints, window)
        size = paths.shape[1:]
        part, part_variance = np.empty(size, np.float32), np.empty(size, np.float32)
        attenuation = background.technique.attenuation(settings, materials)
        beer_lambert(paths, attenuation, background.weights, part, part_variance)
        primary[window[0] : window[1], window[2] : window[3]] = part
        variance[window[0] : window[1], window[2] : window[3]] = part_variance
    in_field = primary
    if background.collimation != Collimation():
        in_field = np.zeros_like(primary)
        in_field[background.open_field] = primary[background.open_field]
    scattered = scatter(in_field, background.paths[0], background.view, settings.detector)
    return primary + scattered, variance + np.float32(background.mean_energy) * scattered


def coned_to(body: Body, view: View) -> Collimation:
    """Close the shutters to where rays do not leave through a face at which the CT cuts the body."""
    rows, columns = view.shape
    ends = [(-0.5, n - 0.5) for n in body.grid.shape]
    sides = {"left": 0.0, "right": 0.0, "top": 0.0, "bottom": 0.0}
    for axis, sign in body.cut_faces:
        corners = np.array([(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]])
        face = corners[corners[:, axis] == ends[axis][int(sign > 0)]]
        seen = view.to_pixel(body.grid.to_lps(face)) / np.array([columns, rows]) - 0.5
        for across, names in ((0, ("left", "right")), (1, ("top", "bottom"))):
            if seen[:, across].max() < 0:
                sides[names[0]] = max(sides[names[0]], min(0.5 + float(seen[:, across].max()), _LEAST_FIELD))
            elif seen[:, across].min() > 0:
                sides[names[1]] = max(sides[names[1]], min(0.5 - float(seen[:, across].min()), _LEAST_FIELD))
    return Collimation(**sides)


def shuttered_to(view: View, width_mm: float, height_mm: float, least: Collimation) -> Collimation:
    """Close the shutters to a field about the isocentre, as an operator does to the column.

    Parameters
    ----------
    width_mm, height_mm : of the field, measured at the isocentre
    least : what is shut already
    """
    if not min(width_mm, height_mm) > 0:
        raise GeometryError(f"a field of {width_mm:g} x {height_mm:g} mm is empty; give a positive width and height")
    larger = view.carm.source_detector / view.carm.source_isocentre
    across = max(0.0, 0.5 - larger * width_mm / view.carm.detector_width / 2)
    along = max(0.0, 0.5 - larger * height_mm / view.carm.detector_height / 2)
    return Collimation(
        left=max(least.left, across),
        right=max(least.right, across),
        top=max(least.top, along),
        bottom=max(least.bottom, along),
    )


def tone_field(background: Background, settings: Settings) -> NDArray[np.bool_]:
    """Pixels that set the window: the thicker body in the middle of the open field."""
    display, shape = settings.display, background.view.shape
    field = np.zeros(shape, bool)
    field[background.open_field] = True
    across = [np.abs(np.arange(n) - (n - 1) / 2) / min(shape) for n in shape]
    middle = np.hypot(across[0][:, None], across[1]) < display.region / 2
    tissue = background.paths.sum(axis=0)
    field &= tissue > display.least_tissue
    if (field & middle).any():
        field &= middle
        field &= tissue > display.thin_part * np.median(tissue[field])
    return np.asarray(field)


def shuttered(pixels: NDArray[np.uint8], collimation: Collimation) -> NDArray[np.uint8]:
    """Black out what lies behind the shutters."""
    if collimation == Collimation():
        return pixels
    out = np.zeros_like(pixels)
    window = collimation.window((pixels.shape[0], pixels.shape[1]))
    out[window] = pixels[window]
    return out


def caption(view: View, technique: Technique) -> str:
    """One line: angles, voltage, posture, and that this is a simulation."""
    return f"{view.angles}  {technique.kvp:.0f} KV  {view.pose.lying.value}  SIMULATED"


def limit_warnings(technique: Technique) -> tuple[str, ...]:
    """Say when the generator could not give what the brightness control asked for."""
    if not technique.limited:
        return ()
    return (
        f"the generator's limit of {technique.mas:g} mA s was reached at {technique.kvp:.0f} kV, so the picture is "
        f"darker and noisier than set",
    )


def at_width(view: View, columns: int) -> View:
    """Return the same view read with other pixels."""
    return replace(view, carm=view.carm.binned(columns))
