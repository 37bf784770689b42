"""What a phantom is asked to be: vertebrae, curvature, density, tissues, pose and scan."""

import itertools
from dataclasses import dataclass, field

import numpy as np

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.levels import Level, Region
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.spine.phantom.levels import LevelShape, normal_shape

_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """CT numbers and thicknesses of what the phantom is made of, and its scanner's true density line."""

    air: float = quantity("HU", "air around the body")
    lung: float = quantity("HU", "inflated lung")
    fat: float = quantity("HU", "subcutaneous and retroperitoneal fat")
    muscle: float = quantity("HU", "skeletal muscle")
    blood: float = quantity("HU", "aorta and inferior vena cava")
    skin: float = quantity("HU", "skin")
    organ: float = quantity("HU", "kidney, bowel, liver")
    cerebrospinal_fluid: float = quantity("HU", "cerebrospinal fluid")
    cord: float = quantity("HU", "spinal cord and cauda equina")
    epidural_fat: float = quantity("HU", "fat between dura and bone")
    annulus: float = quantity("HU", "rim of the disc")
    nucleus: float = quantity("HU", "centre of the disc")
    vein: float = quantity("HU", "basivertebral vein in its foramen")
    cortex: float = quantity("HU", "cortical bone of walls and arch")
    endplate: float = quantity("HU", "bony endplate")
    rib_marrow: float = quantity("HU", "inside of ribs and arch")
    wall_thickness: float = quantity("mm", "cortex of the body's wall")
    endplate_thickness: float = quantity("mm", "bony endplate")
    arch_thickness: float = quantity("mm", "cortex of the arch and the ribs")
    density_slope: float = quantity("1", "mg/cm3 K2HPO4-equivalent per HU")
    density_intercept: float = quantity("mg/cm3", "K2HPO4-equivalent density at 0 HU")


def load_tissue() -> Loaded[Tissue]:
    """Load ``data/phantom/tissue.toml``."""
    return load_parameters("phantom/tissue.toml", Tissue)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How the phantom is scanned. Defaults are an exact, sharp and quiet scanner, so that nothing is hidden by it.

    Parameters
    ----------
    spacing_mm : voxel edge toward left, posterior, superior (whatever the axis order)
    axes : the way the three array axes run, one letter each, for instance ``"LPS"`` or ``"PIR"``
    tilt_deg : rotation of the image grid against the patient about left, posterior, superior (oblique reformat)
    """

    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    axes: str = "LPS"
    tilt_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    psf_fwhm_mm: float = quantity("mm", "in-plane resolution, full width at half maximum", default=1.0)
    slice_thickness_mm: float | None = quantity("mm", "slice thickness; None: the slice spacing", default=None)
    noise_hu: float = quantity("HU", "standard deviation of the noise in soft tissue", default=12.0)
    noise_grain_mm: float = quantity("mm", "correlation length of the noise (kernel)", default=0.6)
    width_mm: float = quantity("mm", "field of view, left to right", default=160.0)
    front_mm: float = quantity("mm", "field of view in front of the bodies' centres", default=60.0)
    back_mm: float = quantity("mm", "field of view behind the bodies' centres", default=100.0)
    margin_mm: float = quantity(
        "mm", "field of view above and below the outermost bodies' centres, added to half a body", default=14.0
    )

    def __post_init__(self) -> None:
        letters = [min(letter, _OPPOSITE.get(letter, "?")) for letter in self.axes]
        if sorted(letters) != ["A", "I", "L"]:
            raise InputError(f"axes {self.axes!r} must name each of L/R, P/A and S/I once, for instance 'LPS'")
        if not all(0.2 <= edge <= 6.0 for edge in self.spacing_mm):
            raise InputError(f"spacing {self.spacing_mm} mm is outside 0.2 to 6 mm; choose a CT's voxel")
        for name in ("psf_fwhm_mm", "noise_hu", "noise_grain_mm"):
            if not getattr(self, name) >= 0.0:
                raise InputError(f"{name} = {getattr(self, name)} is negative; use 0 for none")
        thickness = self.slice_thickness_mm
        if thickness is not None and thickness < self.spacing_mm[2]:
            raise InputError(
                f"slice thickness {thickness} mm is below the slice spacing {self.spacing_mm[2]} mm; gaps are not made"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSpec:
    """One phantom.

    Parameters
    ----------
    shapes : the vertebrae, craniocaudal, no level left out between the first and the last
    pose_deg : rotation of the patient in the world about left, posterior, superior, applied in this order
    position_lps_mm : where the middle of the spine is in the world
    """

    shapes: tuple[LevelShape, ...]
    density_l1_mg_cm3: float = quantity("mg/cm3", "trabecular density of L1, K2HPO4-equivalent", default=110.0)
    texture: float = quantity("1", "relative standard deviation of the trabecular density", default=0.12)
    scoliosis_deg: float = quantity("deg", "Cobb angle of one curve over all levels, apex to the left", default=0.0)
    pose_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    position_lps_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scan: Scan = field(default_factory=Scan)
    tissue: Tissue = field(default_factory=lambda: load_tissue().values)

    def __post_init__(self) -> None:
        _require_chain(tuple(shape.level for shape in self.shapes))
        if not 0.0 < self.density_l1_mg_cm3 < 500.0:
            raise InputError(f"L1 density {self.density_l1_mg_cm3} mg/cm3 is outside 0 to 500; give trabecular bone's")
        if not 0.0 <= self.texture <= 0.5:
            raise InputError(f"texture {self.texture} is outside 0 to 0.5 of the density; a gentle one is 0.12")
        if abs(self.scoliosis_deg) > 60.0:
            raise GeometryError(f"scoliosis of {self.scoliosis_deg} deg is beyond 60; the tissues would fold")
        if not np.isfinite([*self.pose_deg, *self.position_lps_mm]).all():
            raise InputError("pose and position must be finite")

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels, craniocaudal."""
        return tuple(shape.level for shape in self.shapes)

    def density_mg_cm3(self, shape: LevelShape) -> float:
        """Mean trabecular density of a vertebra, K2HPO4-equivalent."""
        return self.density_l1_mg_cm3 * shape.trabecular_ratio

    def trabecular_hu(self, shape: LevelShape) -> float:
        """CT number of that density by the phantom's own density line."""
        return (self.density_mg_cm3(shape) - self.tissue.density_intercept) / self.tissue.density_slope


def level_range(first: Level, last: Level, *, with_t13: bool = False, with_l6: bool = False) -> tuple[Level, ...]:
    """Return the levels from ``first`` to ``last``; T13 and L6 only when asked for or named as an end."""
    if first.rank > last.rank:
        raise InputError(f"first level {first} lies below last level {last}; swap them")
    optional = {Level.T13: with_t13, Level.L6: with_l6}
    return tuple(
        level
        for level in Level
        if first.rank <= level.rank <= last.rank and (optional.get(level, True) or level in (first, last))
    )


def default_spec(
    first: Level = Level.T10, last: Level = Level.L5, *, scan: Scan | None = None, female_share: float = 0.5
) -> PhantomSpec:
    """Return the normal spine from ``first`` to ``last``, unfractured, straight, with a usual density."""
    shapes = tuple(normal_shape(level, female_share=female_share) for level in level_range(first, last))
    return PhantomSpec(shapes=shapes, scan=scan or Scan())


def _require_chain(levels: tuple[Level, ...]) -> None:
    if not levels:
        raise InputError("a phantom needs at least one level; give shapes, for instance those of default_spec()")
    for upper, lower in itertools.pairwise(levels):
        between = {one for one in Level if upper.rank < one.rank < lower.rank}
        if lower.rank <= upper.rank or not between <= {Level.T13, Level.L6}:
            raise InputError(f"levels {upper} and {lower} do not follow each other; only T13 and L6 may be left out")
    if any(level.region not in (Region.THORACIC, Region.LUMBAR) for level in levels):
        raise GeometryError(f"phantom levels are T1 to L6, got {', '.join(map(str, levels))}")
