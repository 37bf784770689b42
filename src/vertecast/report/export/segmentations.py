"""Vertebrae and cement of a run as segmentations for 3D Slicer."""

from pathlib import Path

from vertecast.imaging.read import read_labels
from vertecast.imaging.write import write_mask_seg_nrrd, write_seg_nrrd
from vertecast.report.case_report_run import RunFolder
from vertecast.report.export.cement_voxels import cement_voxels
from vertecast.report.export.inputs import run_input
from vertecast.report.export.measurements import export_codes


def export_vertebrae_nrrd(run: RunFolder, path: Path) -> Path:
    """Write the run's vertebra labels; a label file that is gone or has changed is refused."""
    return write_seg_nrrd(path, read_labels(run_input(run, "labels")))


def export_cement_nrrd(run: RunFolder, level: str, path: Path) -> Path:
    """Write the cement of one level on the simulation's grid; a level without cement is refused."""
    mask, grid = cement_voxels(run, level, least=export_codes()["cement_segment"]["least_fraction"])
    return write_mask_seg_nrrd(path, mask, grid, f"cement_{level}")
