"""Settings of a fluoroscope, as data: detector, exposure, display and tissue, with their sources."""

from dataclasses import dataclass

from vertecast.core.parameters import ParameterUse, load_parameters
from vertecast.core.quantities import quantity
from vertecast.devices.carm import CArm, load_carm
from vertecast.physics.xray import Physics, Scintillator, load_physics
from vertecast.physics.xray_tissue import TissueLaw


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """The flat detector and the scatter that reaches it."""

    thickness: float = quantity("mm", "thickness of the caesium iodide")
    packing: float = quantity("1", "part of the layer that is caesium iodide")
    sharpness: float = quantity("mm", "Gaussian spread of light in the layer")
    focal_spot: float = quantity("mm", "side of the focal spot")
    electronic_quanta: float = quantity("1", "read-out noise of a pixel, in quanta")
    lag: float = quantity("1", "signal left in the next frame")
    scatter_to_primary: float = quantity("1", "scatter over primary behind the reference thickness")
    scatter_thickness: float = quantity("mm", "reference thickness of water")
    scatter_spread: float = quantity("mm", "Gaussian spread of scatter at the detector")

    @property
    def scintillator(self) -> Scintillator:
        """The layer that turns X-rays into signal."""
        return Scintillator(thickness=self.thickness, packing=self.packing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Filters, automatic brightness and pulses."""

    aluminium: float = quantity("mm", "total aluminium filter")
    copper: float = quantity("mm", "added copper filter")
    detector_kerma: float = quantity("mGy", "air kerma of one pulse at the detector")
    radiograph_kerma: float = quantity("mGy", "air kerma of a single exposure at the detector")
    thinnest: float = quantity("mm", "water thickness of the lowest voltage")
    thickest: float = quantity("mm", "water thickness of the highest voltage")
    lowest_voltage: float = quantity("kV", "lowest automatic voltage")
    highest_voltage: float = quantity("kV", "highest automatic voltage")
    highest_charge: float = quantity("mA.s", "largest charge of one pulse")
    measuring_field: float = quantity("1", "side of the brightness field as a part of the picture")
    pulse_rate: float = quantity("1/s", "pulses in a second")
    recursion: float = quantity("1", "weight of earlier frames in the live average")
    dose_uncertainty: float = quantity("%", "half width of the displayed dose's 95 % interval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """Multi-scale contrast equalisation and the film curve."""

    widths: tuple[float, ...] = quantity("mm", "widths at the detector that the next three tables are given for")
    gains: tuple[float, ...] = quantity("1", "strength that the contrast of each width is brought to")
    floors: tuple[float, ...] = quantity("1", "logarithmic contrast of each width that is raised half as much")
    edges: tuple[float, ...] = quantity("1", "logarithmic contrast of each width taken for a border or for steel")
    flattening: float = quantity("1", "flattening of contrast above its surroundings'")
    base: float = quantity("1", "factor of the broadest shades")
    direct: float = quantity("1", "logarithmic attenuation below which the beam has passed beside the body")
    bleaching: float = quantity("1", "how fast such places become white")
    slope: float = quantity("1", "steepness of the film curve")
    ends: float = quantity("%", "part of the field beyond each end of the curve's straight part")
    least_tissue: float = quantity("mm", "water path of a ray beside the body")
    thin_part: float = quantity("1", "path over the median below which a ray does not set the window")
    region: float = quantity("1", "diameter of the field that sets the window, as a part of the picture's side")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a fluoroscope needs to know besides patient, pose and scene."""

    carm: CArm
    physics: Physics
    tissue: TissueLaw
    detector: Detector
    exposure: Exposure
    display: Display
    uses: tuple[ParameterUse, ...]


def load_settings() -> Settings:
    """Read the C-arm and the image chain of the package's data."""
    carm = load_carm()
    tissue = load_parameters("xray/tissue.toml", TissueLaw)
    detector = load_parameters("xray/detector.toml", Detector)
    exposure = load_parameters("xray/exposure.toml", Exposure)
    display = load_parameters("xray/display.toml", Display)
    uses = (*carm.uses, *tissue.uses, *detector.uses, *exposure.uses, *display.uses)
    return Settings(carm.values, load_physics(), tissue.values, detector.values, exposure.values, display.values, uses)
