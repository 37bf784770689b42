"""How the bones move while a cavity tool lifts: the run's displacement fields, on the surfaces of the 3-D view."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.errors import InputError
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid
from vertecast.report.case_report_run import RunFolder, level_rank
from vertecast.report.view3d_meshes import Mesh

Points = NDArray[np.float64]
_MOMENTS = {"inflated": "inflation", "deflated": "deflation"}
"""Moments with a field of their own, and the events at whose last second each is reached."""
_AFTER_S = 1.0
"""Letting go happens within one step of the clock; shown over this long it can be seen."""
_LEAST_MM = 1e-4
_LEAST_POINTS = 12
_LEVELS = frozenset(level.value for level in Level)
_KEYFRAMES = "displacement_keyframes.json"


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Where a surface's points have moved to since the CT, at a few moments; in between along straight lines.

    Parameters
    ----------
    seconds : (k,), increasing, of the procedure's clock; the first is the last one without motion
    offsets_lps : (k, n, 3), mm
    """

    seconds: NDArray[np.float64]
    offsets_lps: NDArray[np.float64]

    def moved(self, mesh: Mesh, second: float) -> Mesh:
        """Return the surface as it lies at a moment."""
        at = float(np.interp(second, self.seconds, np.arange(len(self.seconds))))
        low = min(int(at), len(self.seconds) - 2)
        share = at - low
        offset = (1.0 - share) * self.offsets_lps[low] + share * self.offsets_lps[low + 1]
        return Mesh(mesh.points_lps + offset, mesh.faces)


@dataclass(frozen=True, slots=True, eq=False)
class LevelLift:
    """The displacement of one level at a few moments.

    Parameters
    ----------
    seconds : (k,), increasing; the first has no motion
    fields_lps : (k, nx, ny, nz, 3), mm
    """

    level: str
    seconds: NDArray[np.float64]
    fields_lps: NDArray[np.float32]
    grid: Grid

    def own(self, mesh: Mesh) -> Motion:
        """Return the motion of the level's own bone, by the field."""
        return Motion(self.seconds, self._sampled(mesh.points_lps)[0])

    def rigid(self, support: Mesh, mesh: Mesh) -> Motion | None:
        """Return a bone's motion as one piece with the part of ``support``, the bone above, that lies in the field.

        None where too little of it lies there.
        """
        offsets, inside = self._sampled(support.points_lps)
        known = inside & (np.abs(offsets).max(axis=(0, 2)) > _LEAST_MM)
        if known.sum() < _LEAST_POINTS:
            return None
        before = support.points_lps[known]
        moved = [_rigid_offsets(mesh.points_lps, before, before + offset[known]) for offset in offsets]
        return Motion(self.seconds, np.array(moved))

    def _sampled(self, points_lps: Points) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        index = self.grid.to_voxel(points_lps).T
        sampled = [
            [ndimage.map_coordinates(field[..., axis], index, order=1, mode="nearest") for axis in range(3)]
            for field in self.fields_lps
        ]
        upper = np.array(self.grid.shape)[:, None] - 1
        return np.moveaxis(np.array(sampled, float), 1, 2), np.asarray(((index >= 0) & (index <= upper)).all(axis=0))


def level_lift(run: RunFolder, level: str) -> LevelLift | None:
    """Return how a level was lifted; None for a run without displacement fields.

    Raises
    ------
    InputError
        If a field is there but damaged, or the fields are not on one grid.
    """
    found = _keyframes(run, level) or _moments(run, level)
    started = [float(e["t_s"]) for e in run.events_of("balloon_placed", level=level)]
    if not found:
        return None
    grid = found[0][2]
    if any(one.shape[:3] != grid.shape for _, one, _ in found):
        raise InputError(f"fields/{level}: the displacement fields differ in shape; simulate again")
    first = min([*started, found[0][0] - _AFTER_S])
    seconds = [first]
    for second, _, _ in found:
        seconds.append(max(second, seconds[-1] + _AFTER_S))
    still = np.zeros_like(found[0][1])
    fields = np.stack([still, *(one for _, one, _ in found)])
    return LevelLift(level, np.array(seconds), fields, grid)


def motions(lifts: tuple[LevelLift, ...], bones: Mapping[str, Mesh]) -> dict[str, Motion]:
    """Return how bones move, by name: a lifted level by its field, those above it as one piece, none below it.

    Parameters
    ----------
    bones : by level; other names stay
    """
    levels = sorted((name for name in bones if name in _LEVELS), key=level_rank)
    found: dict[str, Motion] = {}
    for lift in sorted(lifts, key=lambda one: level_rank(one.level)):
        above = [name for name in levels if level_rank(name) < level_rank(lift.level)]
        for name in above:
            motion = lift.rigid(bones[above[-1]], bones[name])
            if motion is not None and name not in found:
                found[name] = motion
        if lift.level in bones:
            found[lift.level] = lift.own(bones[lift.level])
    return found


Frame = tuple[float, NDArray[np.float32], Grid]


def _keyframes(run: RunFolder, level: str) -> list[Frame]:
    folder = run.path / "fields" / level
    if not (folder / _KEYFRAMES).is_file():
        return []
    listed = json.loads((folder / _KEYFRAMES).read_text(encoding="utf-8"))
    frames = [(float(one["t_s"]), *_vectors(folder / one["file"])) for one in listed]
    return [frame for frame in sorted(frames, key=lambda one: one[0]) if np.abs(frame[1]).max() > 0.0]


def _vectors(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """Read three components at each voxel, LPS mm, from a NIfTI of four or five axes."""
    import nibabel as untyped

    nibabel: Any = untyped

    try:
        image = nibabel.load(path)
        array = np.asarray(image.dataobj, np.float32)
    except (OSError, nibabel.filebasedimages.ImageFileError, EOFError) as exc:
        raise InputError(f"{path} cannot be read ({exc}); simulate again") from exc
    array = array.reshape(*array.shape[:3], -1)
    if array.shape[3] != 3:
        raise InputError(f"{path} has {array.shape[3]} components at each voxel, not 3; simulate again")
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(image.affine, float)
    return array, Grid.from_affine(array.shape[:3], matrix)


def _moments(run: RunFolder, level: str) -> list[Frame]:
    """Return the fields along the vertebra's axes, turned to LPS."""
    frames: list[Frame] = []
    for moment, kind in _MOMENTS.items():
        parts = [run.field(level, f"displacement_{axis}_{moment}_mm") for axis in "xyz"]
        seconds = [float(e["t_s"]) for e in run.events_of(kind, level=level)]
        if not seconds or any(part is None for part in parts):
            continue
        grid = parts[0][1] if parts[0] is not None else None
        assert grid is not None
        # The grid lies along the vertebra's axes: they are its own directions, whichever way each array axis runs.
        order = np.argmax(np.abs(grid.directions), axis=0)
        axes = np.zeros((3, 3))
        for axis in range(3):
            column = grid.directions[:, int(np.nonzero(order == axis)[0][0])]
            axes[:, axis] = column * np.sign(column[axis])
        along = np.stack([part[0] for part in parts if part is not None], axis=-1)
        frames.append((max(seconds), np.asarray(along @ axes.T, np.float32), grid))
    return frames


def _rigid_offsets(points: Points, before: Points, after: Points) -> Points:
    """Return the offsets of points under the rigid motion that takes ``before`` to ``after`` best (Kabsch)."""
    from_, to = before.mean(axis=0), after.mean(axis=0)
    u, _, vt = np.linalg.svd((before - from_).T @ (after - to))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    turn = vt.T @ flip @ u.T
    return np.asarray((points - from_) @ turn.T + to - points)
