"""C-arm views of a level: true AP, true lateral, down the needle; and how far a given view is from true.

A view is named by the direction of its central ray in LPS, from the side of the skin it enters at: the AP view of a
prone patient looks from posterior to anterior. ``rotation`` turns about the patient's long axis, 0 for AP and 90 for a
lateral from the left, positive when the ray enters from the patient's left; ``tilt`` leans along the spine, positive
when the ray comes from cranial.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vertecast.core.errors import GeometryError
from vertecast.core.frames import Transform


@dataclass(frozen=True, slots=True)
class ViewAngles:
    """One C-arm position, degrees."""

    rotation_deg: float
    tilt_deg: float

    def as_json(self) -> dict[str, float]:
        """Return the form of ``plan.json``."""
        return {"rotation_deg": self.rotation_deg, "tilt_deg": self.tilt_deg}


@dataclass(frozen=True, slots=True)
class LevelViews:
    """The true views of one level."""

    ap: ViewAngles
    lateral: ViewAngles

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``plan.json``."""
        return {"true_ap": self.ap.as_json(), "true_lateral": self.lateral.as_json()}


def view_angles(ray_lps: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rotation and tilt, degrees, of central rays (..., 3) in LPS."""
    ray = np.asarray(ray_lps, float)
    length = np.linalg.norm(ray, axis=-1)
    if np.any(length < 1e-9):
        raise GeometryError("a view needs a direction; its ray has no length")
    rotation = np.degrees(np.arctan2(-ray[..., 0], -ray[..., 1]))
    tilt = np.degrees(np.arcsin(np.clip(-ray[..., 2] / length, -1.0, 1.0)))
    return np.asarray(rotation), np.asarray(tilt)


def ray_of(view: ViewAngles) -> NDArray[np.float64]:
    """Return the unit central ray in LPS of a view."""
    rotation, tilt = np.radians([view.rotation_deg, view.tilt_deg])
    return np.array([-np.sin(rotation) * np.cos(tilt), -np.cos(rotation) * np.cos(tilt), -np.sin(tilt)])


def level_views(vert_from_lps: Transform) -> LevelViews:
    """Return the views in which endplates are lines: along the vertebra's own posterior and left axes."""
    axes = vert_from_lps.axes
    return LevelViews(_named(-axes[1]), _named(-axes[0]))


def bulls_eye(forward_lps: ArrayLike) -> ViewAngles:
    """Return the view that looks down a needle, so that it is a dot."""
    return _named(np.asarray(forward_lps, float))


def off_true(view: ViewAngles, true: ViewAngles) -> tuple[float, float, float]:
    """Return how far a view is from the true one: rotation, tilt and the angle between the rays, degrees."""
    turn = (view.rotation_deg - true.rotation_deg + 180.0) % 360.0 - 180.0
    angle = np.degrees(np.arccos(np.clip(ray_of(view) @ ray_of(true), -1.0, 1.0)))
    return turn, view.tilt_deg - true.tilt_deg, float(angle)


def _named(ray: NDArray[np.float64]) -> ViewAngles:
    rotation, tilt = view_angles(ray)
    return ViewAngles(float(rotation), float(tilt))
