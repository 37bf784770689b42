"""Air in a CT: what lies outside the skin, and what is lung or gas inside, for the way a needle takes to the bone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.parameters import load_parameters
from vertecast.core.quantities import quantity
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume
from vertecast.spine.orientation import canonical_volume


@dataclass(frozen=True, slots=True, kw_only=True)
class AirRules:
    """``data/planning/air.toml``."""

    threshold: float = quantity("HU", "below this it is air or lung")
    pitch: float = quantity("mm", "voxel edge at which air is looked for")
    least_volume: float = quantity("mm3", "smaller pockets inside the body are no lung")
    furthest: float = quantity("mm", "how far behind the bone the skin is looked for")


@dataclass(frozen=True, slots=True, eq=False)
class AirMap:
    """Air of one CT on a coarse grid; ``inner`` is lung and gas, ``outer`` is beyond the skin."""

    outer: NDArray[np.bool_]
    inner: NDArray[np.bool_]
    grid: Grid
    furthest: float

    def skin(self, start_lps: NDArray[np.float64], outward_lps: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return where a ray from the bone leaves the skin, LPS mm; ``None`` when the image does not show it."""
        away = np.arange(0.0, self.furthest, 0.5)
        points = start_lps + away[:, None] * outward_lps
        index = np.rint(self.grid.to_voxel(points)).astype(np.intp)
        known = ((index >= 0) & (index < np.array(self.grid.shape))).all(axis=1)
        last = len(away) if known.all() else int(known.argmin())
        beyond = self.outer[tuple(index[:last].T)]
        return points[int(beyond.argmax())] if beyond.any() else None


def find_air(volume: Volume) -> AirMap:
    """Find the air of a CT. Outer air is what hangs together with the image's posterior face.

    Notes
    -----
    Padding of a round field of view counts as outer air, so the skin found there is nearer than it is in the patient.
    """
    rules = load_parameters("planning/air.toml", AirRules).values
    upright = canonical_volume(volume)
    stride = [max(1, round(rules.pitch / s)) for s in upright.grid.spacing]
    hu = upright.hu[:: stride[0], :: stride[1], :: stride[2]]
    matrix = upright.grid.lps_from_voxel.matrix.copy()
    matrix[:3, :3] *= stride
    grid = Grid.from_affine(hu.shape, matrix)
    parts, count = ndimage.label(hu < rules.threshold)
    behind = np.unique(parts[:, -1, :])
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * grid.voxel_volume
    large = sizes >= rules.least_volume
    large[0] = False
    outer = np.zeros(count + 1, bool)
    outer[behind] = True
    outer[0] = False
    return AirMap(outer[parts], (large & ~outer)[parts], grid, rules.furthest)
