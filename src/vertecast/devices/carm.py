"""The C-arm: where focus and detector are for a given angulation, and the exact map between LPS and detector pixels.

Angles are DICOM's (PS3.3 C.8.7.5.1.2), given about the patient whatever way the patient lies: the primary angle is 0
with the detector in front of the chest, +90 degrees at the patient's left (LAO), 180 behind the back; the secondary
angle is positive towards the head (cranial). For a prone patient, whose back faces the detector, true AP is 180 degrees
and "LAO 20" on the console, the detector tilted 20 degrees towards the patient's left, is 160 degrees.

The picture is what one sees standing at the detector and looking towards the focus: head up, so the patient's left is
on the right of the screen when supine and on the left when prone.
"""

from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.frames import Transform, read_only
from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity

_HEAD = np.array([0.0, 0.0, 1.0])


class Lying(Enum):
    """How the patient lies; the detector is above the table."""

    PRONE = "prone"
    SUPINE = "supine"


@dataclass(frozen=True, slots=True, kw_only=True)
class CArm:
    """Distances, detector and limits of one C-arm."""

    source_detector: float = quantity("mm", "focus to detector")
    source_isocentre: float = quantity("mm", "focus to isocentre")
    detector_width: float = quantity("mm", "active width")
    detector_height: float = quantity("mm", "active height")
    columns: float = quantity("1", "pixels along the width")
    rows: float = quantity("1", "pixels along the height")
    max_lao_deg: float = quantity("deg", "largest tilt from true AP to the left or right")
    max_cranial_deg: float = quantity("deg", "largest tilt to the head or the feet")
    reference_point: float = quantity("mm", "entrance reference point, from the isocentre towards the focus")
    table_aluminium: float = quantity("mm", "aluminium equivalent of the table top")

    def __post_init__(self) -> None:
        if min(self.detector_width, self.detector_height) <= 0 or min(self.columns, self.rows) < 1:
            raise GeometryError(
                f"detector of {self.detector_width:g} x {self.detector_height:g} mm with {self.columns:g} x "
                f"{self.rows:g} pixels has no area; give positive sizes and counts"
            )
        if not 0 < self.source_isocentre < self.source_detector:
            raise GeometryError(
                f"source-isocentre distance {self.source_isocentre:g} mm must lie between 0 and the "
                f"source-detector distance {self.source_detector:g} mm"
            )

    def binned(self, columns: int) -> "CArm":
        """Return the same detector read with ``columns`` square pixels across its width."""
        rows = round(columns * self.detector_height / self.detector_width)
        return replace(self, columns=float(columns), rows=float(rows))

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Pixel pitch along the width and along the height."""
        return self.detector_width / self.columns, self.detector_height / self.rows


def load_carm(path: str = "devices/carm.toml") -> Loaded[CArm]:
    """Read a C-arm of the package's data."""
    return load_parameters(path, CArm)


@dataclass(frozen=True, eq=False)
class Pose:
    """Where the isocentre is in the patient and how the gantry stands.

    Parameters
    ----------
    isocentre_lps : (3,), mm
    primary_deg, secondary_deg : DICOM positioner angles
    lying : prone or supine
    """

    isocentre_lps: NDArray[np.float64]
    primary_deg: float
    secondary_deg: float
    lying: Lying = Lying.PRONE

    def __post_init__(self) -> None:
        isocentre = read_only(self.isocentre_lps)
        if isocentre.shape != (3,) or not np.isfinite([*isocentre, self.primary_deg, self.secondary_deg]).all():
            raise GeometryError(f"isocentre {isocentre.tolist()} and angles must be finite and the isocentre a point")
        object.__setattr__(self, "isocentre_lps", isocentre)
        object.__setattr__(self, "primary_deg", (self.primary_deg + 180.0) % -360.0 + 180.0)

    @classmethod
    def tilted(
        cls, isocentre_lps: ArrayLike, *, lao_deg: float = 0.0, cranial_deg: float = 0.0, lying: Lying = Lying.PRONE
    ) -> "Pose":
        """Tilt the detector from true AP towards the patient's left (LAO; right is negative) and head (cranial)."""
        primary = lao_deg if lying is Lying.SUPINE else 180.0 - lao_deg
        return cls(np.asarray(isocentre_lps, float), primary, cranial_deg, lying)

    @classmethod
    def looking_along(cls, isocentre_lps: ArrayLike, towards_detector: ArrayLike, lying: Lying = Lying.PRONE) -> "Pose":
        """Turn the gantry so that the beam leaves the patient along ``towards_detector``, an LPS direction."""
        x, y, z = np.asarray(towards_detector, float) / np.linalg.norm(towards_detector)
        primary, secondary = np.degrees([np.arctan2(x, -y), np.arcsin(np.clip(z, -1.0, 1.0))])
        return cls(np.asarray(isocentre_lps, float), float(primary), float(secondary), lying)

    @property
    def lao_deg(self) -> float:
        """Tilt of the detector from true AP to the patient's left; RAO is negative."""
        lao = self.primary_deg if self.lying is Lying.SUPINE else 180.0 - self.primary_deg
        return (lao + 180.0) % -360.0 + 180.0

    @property
    def cranial_deg(self) -> float:
        """Tilt of the detector to the head; caudal is negative."""
        return self.secondary_deg

    @cached_property
    def towards_detector_lps(self) -> NDArray[np.float64]:
        """(3,): unit vector from the focus to the detector."""
        primary, secondary = np.radians([self.primary_deg, self.secondary_deg])
        front = np.array([np.sin(primary), -np.cos(primary), 0.0])
        return read_only(np.cos(secondary) * front + np.sin(secondary) * _HEAD)

    @cached_property
    def right_lps(self) -> NDArray[np.float64]:
        """(3,): unit vector along the rows of the picture, to the right of the screen."""
        primary = np.radians(self.primary_deg)
        return read_only([np.cos(primary), np.sin(primary), 0.0])

    @cached_property
    def down_lps(self) -> NDArray[np.float64]:
        """(3,): unit vector along the columns of the picture, down the screen."""
        return read_only(np.cross(self.right_lps, self.towards_detector_lps))

    def with_table_moved(self, left_mm: float = 0.0, headward_mm: float = 0.0, upward_mm: float = 0.0) -> "Pose":
        """Move the table, and the patient on it, under the gantry: to the patient's left, to the head, to the ceiling.

        The isocentre stays in the room, so in the patient it moves the other way.
        """
        ceiling = 1.0 if self.lying is Lying.PRONE else -1.0
        moved = np.array([left_mm, ceiling * upward_mm, headward_mm])
        return replace(self, isocentre_lps=self.isocentre_lps - moved)


@dataclass(frozen=True, eq=False)
class View:
    """A C-arm standing in a pose: focus, detector plane, and the map between LPS and pixels.

    Pixels are (column, row), fractional, (0, 0) at the centre of the first; rows go down the screen.
    """

    carm: CArm
    pose: Pose

    def __post_init__(self) -> None:
        lao, cranial = abs(self.pose.lao_deg), abs(self.pose.cranial_deg)
        if lao > self.carm.max_lao_deg + 1e-9 or cranial > self.carm.max_cranial_deg + 1e-9:
            raise GeometryError(
                f"angulation {self.angles} is beyond the gantry, {self.carm.max_lao_deg:g} degrees LAO/RAO and "
                f"{self.carm.max_cranial_deg:g} cranial/caudal; choose a smaller tilt"
            )

    @property
    def angles(self) -> str:
        """The angulation as a console shows it."""
        lao, cranial = self.pose.lao_deg, self.pose.cranial_deg
        sideways = f"{'LAO' if lao > -0.05 else 'RAO'} {abs(lao):.0f}"
        return f"{sideways} {'CRA' if cranial > -0.05 else 'CAU'} {abs(cranial):.0f}"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the picture."""
        return int(self.carm.rows), int(self.carm.columns)

    @cached_property
    def source_lps(self) -> NDArray[np.float64]:
        """(3,), mm: the focal spot."""
        return read_only(self.pose.isocentre_lps - self.carm.source_isocentre * self.pose.towards_detector_lps)

    @cached_property
    def column_step_lps(self) -> NDArray[np.float64]:
        """(3,), mm: from a pixel to its right neighbour."""
        return read_only(self.pose.right_lps * self.carm.pixel_mm[0])

    @cached_property
    def row_step_lps(self) -> NDArray[np.float64]:
        """(3,), mm: from a pixel to the one below."""
        return read_only(self.pose.down_lps * self.carm.pixel_mm[1])

    @cached_property
    def corner_lps(self) -> NDArray[np.float64]:
        """(3,), mm: centre of pixel (0, 0)."""
        middle = self.source_lps + self.carm.source_detector * self.pose.towards_detector_lps
        rows, columns = self.shape
        return read_only(middle - (columns - 1) / 2 * self.column_step_lps - (rows - 1) / 2 * self.row_step_lps)

    def depth(self, points_lps: ArrayLike) -> NDArray[np.float64]:
        """Distance from the focus along the central ray, mm, of points (..., 3)."""
        return np.asarray((np.asarray(points_lps, float) - self.source_lps) @ self.pose.towards_detector_lps)

    def magnification(self, points_lps: ArrayLike) -> NDArray[np.float64]:
        """How much larger the picture of a thing at each point (..., 3) is than the thing."""
        return self.carm.source_detector / self.depth(points_lps)

    def to_pixel(self, points_lps: ArrayLike) -> NDArray[np.float64]:
        """Project LPS points (..., 3), mm, to pixels (..., 2); a point at or behind the focus is refused."""
        points = np.asarray(points_lps, float)
        depth = self.depth(points)
        if np.any(depth <= 0):
            raise GeometryError("a point lies at or behind the focal spot, so it has no picture; move the isocentre")
        on_detector = (points - self.source_lps) * (self.carm.source_detector / depth)[..., None] + self.source_lps
        offset = on_detector - self.corner_lps
        return np.stack(
            [offset @ self.pose.right_lps / self.carm.pixel_mm[0], offset @ self.pose.down_lps / self.carm.pixel_mm[1]],
            axis=-1,
        )

    def to_lps(self, pixels: ArrayLike, depth_mm: float | None = None) -> NDArray[np.float64]:
        """Map pixels (..., 2) to LPS, mm: on the detector, or where their rays have the given depth from the focus."""
        pixels = np.asarray(pixels, float)
        detector = self.corner_lps + pixels[..., :1] * self.column_step_lps + pixels[..., 1:] * self.row_step_lps
        if depth_mm is None:
            return np.asarray(detector)
        return np.asarray(self.source_lps + (detector - self.source_lps) * depth_mm / self.carm.source_detector)


def true_ap(vert_from_lps: Transform, lying: Lying = Lying.PRONE) -> Pose:
    """Aim along the endplates of one vertebra, from front to back or back to front; isocentre in its body."""
    back = vert_from_lps.axes[1]
    return Pose.looking_along(vert_from_lps.origin, back if lying is Lying.PRONE else -back, lying)


def true_lateral(vert_from_lps: Transform, lying: Lying = Lying.PRONE, *, detector_left: bool = True) -> Pose:
    """Aim across one vertebra, detector on its left or right; isocentre in its body."""
    left = vert_from_lps.axes[0]
    return Pose.looking_along(vert_from_lps.origin, left if detector_left else -left, lying)


def bulls_eye(entry_lps: ArrayLike, target_lps: ArrayLike, lying: Lying = Lying.PRONE) -> Pose:
    """Aim down a needle's path, so that it shows as a point; the isocentre is its middle."""
    entry, target = np.asarray(entry_lps, float), np.asarray(target_lps, float)
    if np.linalg.norm(entry - target) < 1e-6:
        raise GeometryError("entry and target of the needle are one point, so it has no direction; give two points")
    return Pose.looking_along((entry + target) / 2, entry - target, lying)


def letters(direction_lps: ArrayLike) -> str:
    """Name a direction in the patient with DICOM's letters, the larger part first, as ``"L"`` or ``"PH"``."""
    direction = np.asarray(direction_lps, float)
    pairs = ("RL", "AP", "FH")
    order = np.argsort(-np.abs(direction))
    return "".join(pairs[i][int(direction[i] > 0)] for i in order if abs(direction[i]) > 0.26)
