"""Which voxels of a level's simulation are cement: one rule for DICOM SEG and 3D Slicer."""

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError
from vertecast.imaging.grid import Grid
from vertecast.report.case_report_run import RunFolder

_LEAST_PORES = 0.05
"""A voxel of less pore space is compared with this much, so that a trace in dense bone is no cement."""


def cement_voxels(run: RunFolder, level: str, *, least: float) -> tuple[NDArray[np.bool_], Grid]:
    """Return the voxels whose pores are cement for at least ``least``, and their grid.

    Parameters
    ----------
    least : 0 to 1

    Returns
    -------
    (nx, ny, nz) and the simulation's grid

    Raises
    ------
    InputError
        If the level has no cement field, or its fields differ in shape.
    """
    fraction, pores = run.field(level, "cement_fraction"), run.field(level, "pore_fraction")
    if fraction is None:
        raise InputError(f"the run holds no fields/{level}/cement_fraction.nii.gz; simulate {level} first")
    amount, grid = fraction
    if pores is not None and pores[0].shape != amount.shape:
        raise InputError(f"fields/{level}: cement_fraction and pore_fraction differ in shape; simulate again")
    room = np.maximum(pores[0], _LEAST_PORES) if pores is not None else np.float32(1.0)
    return np.asarray(amount >= least * room), grid
