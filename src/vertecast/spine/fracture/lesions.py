"""What breaks beside the collapse: a cleft of gas or fluid, a hole through cortex or endplate."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.quantities import quantity
from vertecast.imaging.volume import Volume
from vertecast.spine.fracture.pose import Pose
from vertecast.spine.fracture.spec import BreachSite, CleftFilling, FractureSpec
from vertecast.spine.fracture.warp import Warp

_CLEFT_HU = {CleftFilling.GAS: -900.0, CleftFilling.FLUID: 12.0}
_BREACH_HU = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """One lesion that was made.

    Parameters
    ----------
    kind : ``gas``, ``fluid`` or the breach's site
    centre_lps : (3,), mm, after the fracture
    """

    kind: str
    centre_lps: NDArray[np.float64]
    volume_mm3: float = quantity("mm3", "volume inside the bone")

    def as_json(self) -> dict[str, Any]:
        """Return kind, place and volume in mL."""
        return {"kind": self.kind, "centre_lps": self.centre_lps.tolist(), "volume_ml": self.volume_mm3 / 1000.0}


def add_lesions(
    volume: Volume, share: NDArray[np.float32], pose: Pose, warp: Warp, spec: FractureSpec
) -> tuple[NDArray[np.float32], tuple[Lesion, ...]]:
    """Return the HU array with the asked lesions, and what they are; they lie inside the vertebra only."""
    hu = np.array(volume.hu, np.float32)
    made = []
    for kind, centre, halves, value in _asked(pose, warp, spec):
        axes = _axes_after(pose, warp)
        inside = _ellipsoid(volume, (centre, axes, halves)) * np.clip(share, 0.0, 1.0)
        hu += inside * (np.float32(value) - hu)
        made.append(Lesion(kind, centre, float(inside.sum(dtype=np.float64)) * volume.grid.voxel_volume))
    return hu, tuple(made)


def _asked(
    pose: Pose, warp: Warp, spec: FractureSpec
) -> list[tuple[str, NDArray[np.float64], NDArray[np.float64], float]]:
    to_lps = pose.own_from_lps.inverse
    top, bottom = pose.points["mid"]["anterior"][:, 2]
    asked = []
    if spec.cleft is not None:
        before = np.array([0.0, pose.front + 0.36 * pose.depth, bottom + 0.74 * (top - bottom)])
        halves = np.array([0.3 * pose.width, 0.24 * pose.depth, 0.5 * spec.cleft_thickness_mm])
        asked.append((spec.cleft.value, warp.forward(to_lps.apply(before[None]))[0], halves, _CLEFT_HU[spec.cleft]))
    if spec.breach is not None:
        middle_top = pose.points["mid"]["middle"][0]
        before = {
            BreachSite.ANTERIOR: np.array([0.0, pose.front, bottom + 0.75 * (top - bottom)]),
            BreachSite.SUPERIOR: np.asarray(middle_top) + np.array([0.0, -0.15 * pose.depth, 0.0]),
            BreachSite.POSTERIOR: np.array([0.0, pose.back, bottom + 0.6 * (top - bottom)]),
        }[spec.breach]
        halves = np.full(3, spec.breach_radius_mm)
        asked.append((f"breach {spec.breach.value}", warp.forward(to_lps.apply(before[None]))[0], halves, _BREACH_HU))
    return asked


def _axes_after(pose: Pose, warp: Warp) -> NDArray[np.float64]:
    """(3, 3): the vertebra's axes halfway between before and after, in LPS."""
    half = 0.5 * warp.motion.turn
    c, s = np.cos(half), np.sin(half)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]])
    return np.asarray(turn @ pose.own_from_lps.axes)


def _ellipsoid(
    volume: Volume, shape: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Volume share of an ellipsoid in every voxel."""
    centre, axes, halves = shape
    grid = volume.grid
    out = np.zeros(grid.shape, np.float32)
    middle = grid.to_voxel(centre)
    reach = halves.max() / grid.spacing + 2.0
    low = np.clip(np.floor(middle - reach), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(middle + reach) + 1, 0, grid.shape).astype(int)
    if (low >= high).any():
        return out
    ranges = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    away = (grid.to_lps(np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)) - centre) @ axes.T
    radius = np.linalg.norm(away / halves, axis=-1)
    slope = np.linalg.norm(away / halves**2, axis=-1)
    distance = (radius - 1.0) * radius / np.maximum(slope, 1e-6)
    distance[radius < 1e-6] = -halves.min()
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    out[box] = np.clip(0.5 - distance / float(grid.spacing.mean()), 0.0, 1.0)
    return out
