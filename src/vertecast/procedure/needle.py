"""A needle in place: its lumen, its tip, and the refusal of a tip that does not lie in the bone to be filled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.frames import read_only
from vertecast.core.quantities import quantity
from vertecast.core.sides import Side
from vertecast.devices.access import Tube
from vertecast.physics.rheology import Bore
from vertecast.procedure.regions import Region
from vertecast.procedure.site import Site


@dataclass(frozen=True, eq=False)
class Needle:
    """A straight needle or cannula.

    Parameters
    ----------
    side : of the patient
    entry_lps, tip_lps : (3,), mm
    """

    side: Side
    entry_lps: NDArray[np.float64]
    tip_lps: NDArray[np.float64]
    outer_radius: float = quantity("mm", "of the tube")
    inner_radius: float = quantity("mm", "of the lumen")
    length: float = quantity("mm", "from hub to tip")

    def __post_init__(self) -> None:
        for name in ("entry_lps", "tip_lps"):
            point = read_only(getattr(self, name))
            if point.shape != (3,) or not np.isfinite(point).all():
                raise GeometryError(f"{self.side} needle: {name} {point.tolist()} is no point in mm; plan again")
            object.__setattr__(self, name, point)
        if not 0.0 < self.inner_radius < self.outer_radius or not self.length > 0.0:
            raise GeometryError(
                f"{self.side} needle: lumen of radius {self.inner_radius} mm in a tube of {self.outer_radius} mm and "
                f"{self.length} mm length; give the needle's sizes again"
            )

    @classmethod
    def from_tube(cls, side: Side, tube: Tube, entry_lps: object, tip_lps: object) -> "Needle":
        """Return a needle of the catalogue in place."""
        return cls(
            side,
            np.asarray(entry_lps, float),
            np.asarray(tip_lps, float),
            tube.outer_diameter / 2.0,
            tube.inner_diameter / 2.0,
            tube.length,
        )

    @property
    def bore(self) -> Bore:
        """The lumen the cement is pushed through."""
        return Bore(inner_radius=self.inner_radius, length=self.length)

    @property
    def dead_volume(self) -> float:
        """Volume of the lumen, mm³."""
        return float(np.pi * self.inner_radius**2 * self.length)


def require_tip_in_bone(needle: Needle, site: Site) -> None:
    """Refuse a tip outside the vertebra.

    Raises
    ------
    GeometryError
        Says where the tip lies instead.
    """
    cell = np.rint(site.to_cells(needle.tip_lps) / site.voxel_mm).astype(int)
    if (cell < 0).any() or (cell >= site.grid.shape).any():
        raise GeometryError(
            f"{site.level} {needle.side}: the tip {np.round(needle.tip_lps, 1).tolist()} mm LPS lies outside the site "
            "of this level; check level and frame, or plan again"
        )
    region = Region(int(site.regions[tuple(cell)]))
    if region not in (Region.BODY, Region.ARCH):
        raise GeometryError(
            f"{site.level} {needle.side}: the tip {np.round(needle.tip_lps, 1).tolist()} mm LPS lies in "
            f"{region.name.lower()}, not in the vertebra; plan again"
        )
