"""The 3-D scene as one small JSON object for the script in the report: positions as whole numbers, arrays as base64."""

import base64
import gzip
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.report.lifted import Motion
from vertecast.report.view3d import Bone, Filling, Needle, Scene3D

STEP_MM = 0.01
"""Positions are kept as multiples of this about the scene's centre: 16 bits reach 327 mm to each side."""
NEVER = 255
"""Code of a voxel that is never filled; 0 to 254 are equal parts of the filling's own time."""
FORMAT = "vertecast/scene/1"


def scene_json(scene: Scene3D) -> str:
    """Return the scene as JSON that may stand in a script element of an HTML page."""
    document = {
        "format": FORMAT,
        "step_mm": STEP_MM,
        "axes_lps": _rounded(scene.axes_lps),
        "span_s": None if scene.span_s is None else [round(second, 2) for second in scene.span_s],
        "course": [[round(share, 5), round(second, 2)] for share, second in scene.course],
        "captions": [[round(second, 2), text] for second, text in scene.captions],
        "progress": [[round(second, 2), round(volume, 3)] for second, volume in scene.progress],
        "bones": [_bone(one, scene.centre_lps) for one in scene.bones],
        "needles": [_needle(one, scene.centre_lps) for one in scene.needles],
        "fillings": [_filling(one, scene.centre_lps) for one in scene.fillings],
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")  # no text of the case can end the script element


def _bone(bone: Bone, centre: NDArray[np.float64]) -> dict[str, Any]:
    places = np.rint((bone.mesh.points_lps - centre) / STEP_MM)
    points = np.clip(places, -32767, 32767).astype("<i2")
    wide = len(points) > 65535
    return {
        "name": bone.name,
        "kind": bone.kind,
        "middle": _rounded(bone.middle_lps - centre),
        "points": _packed(points),
        "faces": _packed(bone.mesh.faces.astype("<u4" if wide else "<u2")),
        "wide": wide,
        "moves": _moves(bone.motion),
    }


def _moves(motion: Motion | None) -> dict[str, Any] | None:
    if motion is None:
        return None
    offsets = np.clip(np.rint(motion.offsets_lps / STEP_MM), -32767, 32767).astype("<i2")
    return {"seconds": _rounded(motion.seconds), "offsets": [_packed(one) for one in offsets]}


def _needle(needle: Needle, centre: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "name": needle.name,
        "outer": _rounded(needle.outer_lps - centre),
        "tip": _rounded(needle.tip_lps - centre),
        "radius_mm": round(needle.radius_mm, 3),
        "from_s": _finite(needle.from_s),
        "until_s": _finite(needle.until_s),
    }


def _filling(filling: Filling, centre: NDArray[np.float64]) -> dict[str, Any]:
    first, last = float(np.nanmin(filling.arrival_s)), float(np.nanmax(filling.arrival_s))
    step = max((last - first) / (NEVER - 1), 1e-3)
    codes = np.where(np.isfinite(filling.arrival_s), np.rint((filling.arrival_s - first) / step), NEVER)
    matrix = filling.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] -= centre
    return {
        "name": filling.name,
        "kind": filling.kind,
        "shape": list(filling.arrival_s.shape),
        "matrix": _rounded(matrix[:3]),
        "first_s": round(first, 3),
        "step_s": step,
        "until_s": _finite(filling.until_s),
        "arrival": _packed(np.nan_to_num(codes, nan=NEVER).astype("u1").ravel(order="F")),
        "amount": _packed(np.rint(255 * filling.amount).astype("u1").ravel(order="F")),
    }


def _packed(array: NDArray[Any]) -> str:
    """Return gzip in base64: browsers unpack it with DecompressionStream; the time stamp is 0, so runs agree."""
    return base64.b64encode(gzip.compress(np.ascontiguousarray(array).tobytes(), 9, mtime=0)).decode("ascii")


def _finite(second: float) -> float | None:
    return round(second, 2) if np.isfinite(second) else None


def _rounded(array: NDArray[np.float64]) -> Any:
    return np.round(array, 5).tolist()
