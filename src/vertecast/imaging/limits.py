"""What is read with a warning and what is refused, as data."""

from dataclasses import dataclass

from vertecast.core.parameters import load_parameters
from vertecast.core.quantities import quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Thresholds of the readers; ``data/imaging/limits.toml`` holds the values and why they stand where they do."""

    thick_slice: float = quantity("mm", "voxel edge from which the reader is warned")
    refused_slice: float = quantity("mm", "voxel edge beyond which an image is refused")
    smallest_voxel: float = quantity("mm", "voxel edge below which the units must be wrong")
    most_voxels: float = quantity("1", "number of voxels beyond which an image is refused")
    position_tolerance: float = quantity("mm", "error of a slice position that is still rounding")
    gap_ratio: float = quantity("1", "slice distance over slice thickness that is still without a gap")
    shear_angle: float = quantity("deg", "deviation from right angles that is still rounding")
    gantry_tilt: float = quantity("deg", "largest tilt of a CT gantry")
    form_warned: float = quantity("mm", "distance between qform and sform that is warned about")
    form_refused: float = quantity("mm", "distance between qform and sform that is refused")
    air_floor: float = quantity("HU", "lowest value of the CT scale")
    padding_fraction: float = quantity("1", "share of voxels below the floor that is warned about")
    tissue_floor: float = quantity("HU", "value that some voxel of a body must exceed")
    tissue_fraction: float = quantity("1", "share of voxels above the tissue floor that a body has")
    level_distance: float = quantity("mm", "largest distance of neighbouring vertebrae's centroids")
    most_labels: float = quantity("1", "number of different values a label map may hold")
    form_tolerance: float = quantity("mm", "largest corner distance between two grids that are one")


def load_limits() -> Limits:
    """Return the shipped limits."""
    return load_parameters("imaging/limits.toml", Limits).values
