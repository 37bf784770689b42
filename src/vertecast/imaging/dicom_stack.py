"""Slices become a lattice: sorted along their normal, doubles, gaps and tilt found, each named by its number."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError, InputError
from vertecast.imaging.dicom_series import Frame
from vertecast.imaging.limits import Limits


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Slices in order, and the affine that their headers give.

    Parameters
    ----------
    frames : in order of their position along the normal
    lps_from_voxel : (4, 4); axes are columns, rows, slices; sheared if the gantry was tilted
    tilt_deg : angle between the slices' normal and the line of their first pixels
    """

    frames: tuple[Frame, ...]
    lps_from_voxel: NDArray[np.float64]
    tilt_deg: float
    warnings: tuple[str, ...]


def stacked(name: str, frames: tuple[Frame, ...], limits: Limits) -> Stack:
    """Order the slices and check that they fill the volume evenly.

    Raises
    ------
    GeometryError
        For slices of different planes or pixels, slices missing or uneven, and impossible tilt; the message says where.
    InputError
        For a single slice.
    """
    if len(frames) < 2:
        raise InputError(f"{name} is one slice; a vertebra needs a 3-D image, so give the folder of the whole series")
    _require_one_plane(name, frames)
    normal = frames[0].normal / np.linalg.norm(frames[0].normal)
    along = np.array([frame.position @ normal for frame in frames])
    order = np.argsort(along, kind="stable")
    ordered, along = tuple(frames[i] for i in order), along[order]
    steps = np.diff(along)
    if len(steps) and steps.max() < limits.smallest_voxel:
        raise GeometryError(f"{name}: all {len(frames)} slices lie at one position; export the whole series again")
    _require_even_steps(name, along, limits)
    columns, tilt = _columns(name, ordered, limits)
    matrix = np.eye(4)
    matrix[:3, :3] = columns
    matrix[:3, 3] = ordered[0].position
    return Stack(ordered, matrix, tilt, _gap_warnings(name, ordered, float(steps.mean()), limits))


def _require_one_plane(name: str, frames: tuple[Frame, ...]) -> None:
    first = frames[0]
    gram = first.rows_columns @ first.rows_columns.T
    if not np.abs(gram - np.eye(2)).max() < 1e-3:
        raise GeometryError(
            f"{name}: ImageOrientationPatient {first.rows_columns.ravel().tolist()} is no pair of perpendicular unit "
            "vectors; export the series again"
        )
    for one in frames:
        if not np.isfinite(one.position).all() or not np.abs(one.rows_columns - first.rows_columns).max() < 1e-3:
            raise GeometryError(f"{one.source.name}: its plane differs from the other slices'; export the series again")
        if not np.abs(np.subtract(one.spacing, first.spacing)).max() < 1e-4 * max(first.spacing):
            raise GeometryError(
                f"{one.source.name}: pixels of {one.spacing} mm, the other slices have {first.spacing} mm; "
                "give one reconstruction"
            )


def _require_even_steps(name: str, along: NDArray[np.float64], limits: Limits) -> None:
    steps = np.diff(along)
    usual = float(np.median(steps))
    if steps.min() < limits.smallest_voxel:
        at = int(np.argmin(steps))
        raise GeometryError(
            f"{name}: two different slices lie at position {along[at]:.2f} mm; the series mixes phases or "
            "reconstructions, so give one of them"
        )
    # The lattice is judged by where each slice should be, so that rounding does not add up.
    expected = np.linspace(along[0], along[-1], len(along))
    if np.abs(along - expected).max() <= limits.position_tolerance:
        return
    wide = np.flatnonzero(steps > 1.5 * usual)
    if len(wide):
        at = int(wide[0])
        missing = int(np.rint(steps[wide] / usual).sum()) - len(wide)
        raise GeometryError(
            f"{name}: slices are missing: {steps[at]:.2f} mm between positions {along[at]:.2f} and "
            f"{along[at + 1]:.2f} mm where slices are {usual:.2f} mm apart ({missing} missing in all); "
            "copy or export the whole series again"
        )
    raise GeometryError(
        f"{name}: slice spacing varies from {steps.min():.2f} to {steps.max():.2f} mm, tolerance "
        f"{limits.position_tolerance} mm; give a reconstruction with even spacing"
    )


def _columns(name: str, frames: tuple[Frame, ...], limits: Limits) -> tuple[NDArray[np.float64], float]:
    first, last = frames[0], frames[-1]
    step = (last.position - first.position) / (len(frames) - 1)
    expected = first.position + np.arange(len(frames))[:, None] * step
    error = float(np.linalg.norm(np.array([one.position for one in frames]) - expected, axis=1).max())
    if error > 2 * limits.position_tolerance:
        raise GeometryError(
            f"{name}: first pixels lie up to {error:.2f} mm off one straight line, tolerance "
            f"{2 * limits.position_tolerance} mm; give one reconstruction with one field of view"
        )
    normal = first.normal / np.linalg.norm(first.normal)
    across = step - (step @ normal) * normal
    tilt = float(np.rad2deg(np.arctan2(np.linalg.norm(across), step @ normal)))
    if tilt > limits.gantry_tilt:
        raise GeometryError(
            f"{name}: slices are shifted as by a gantry tilt of {tilt:.1f} degrees, a CT tilts by at most "
            f"{limits.gantry_tilt - 1:.0f}; positions do not belong together, so export the series again"
        )
    if tilt <= limits.shear_angle:
        step, tilt = (step @ normal) * normal, 0.0
    row, column = first.rows_columns
    return np.stack([row * first.spacing[0], column * first.spacing[1], step], axis=1), tilt


def _gap_warnings(name: str, frames: tuple[Frame, ...], step: float, limits: Limits) -> tuple[str, ...]:
    thickness = frames[0].thickness
    if thickness is None or thickness <= 0 or step <= limits.gap_ratio * thickness:
        return ()
    return (
        f"{name}: slices are {thickness:.2f} mm thick but {step:.2f} mm apart; bone in the gaps was not scanned, or "
        "slices are missing evenly",
    )
