"""Read a CT or a label map from whatever it is stored in."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError
from vertecast.imaging.dialects import CHOICES
from vertecast.imaging.grid import Grid
from vertecast.imaging.hounsfield import as_volume
from vertecast.imaging.itk import read_itk
from vertecast.imaging.labels import as_label_map, integer_labels
from vertecast.imaging.limits import Limits, load_limits
from vertecast.imaging.match import matched_array
from vertecast.imaging.nifti import read_nifti
from vertecast.imaging.raster import Raster
from vertecast.imaging.volume import LabelMap, Volume

_NIFTI = (".nii", ".nii.gz")
_ITK = (".nrrd", ".nhdr", ".mha", ".mhd")


def read_volume(path: Path, *, series: str | None = None) -> Volume:
    """Read a CT: NIfTI, NRRD, MetaImage, or DICOM as a folder, a zip or one (multi-frame) file.

    Parameters
    ----------
    series : for DICOM, the series' UID, number or description where there are several

    Raises
    ------
    InputError, GeometryError
        One sentence that names the file, what is wrong and the remedy.
    """
    path = Path(path)
    limits = load_limits()
    raster = _read_raster(path, limits)
    if raster is not None:
        return as_volume(raster, limits)
    from vertecast.imaging.dicom import read_dicom_ct

    return read_dicom_ct(path, limits, series=series)


def read_labels(path: Path, *, dialect: str = "auto", subregions: Path | None = None) -> LabelMap:
    """Read a vertebra label map: NIfTI, NRRD (also ``.seg.nrrd``), MetaImage or DICOM SEG.

    Parameters
    ----------
    dialect : ``auto``, ``verse``, ``totalseg``, ``tptbox``, ``totalseg_v1`` or ``seg``
    subregions : TPTBox subregion labels (41 arch ... 50 corpus) on the same lattice

    Raises
    ------
    InputError, GeometryError
        One sentence that names the file, what is wrong and the remedy.
    """
    path = Path(path)
    if dialect not in CHOICES:
        raise InputError(f"dialect {dialect!r} is not known; use one of {', '.join(CHOICES)}")
    limits = load_limits()
    raster = _read_raster(path, limits)
    if raster is None:
        from vertecast.imaging.segmentation import read_dicom_seg

        labels = read_dicom_seg(path, limits, dialect=dialect)
    else:
        parts = None if subregions is None else _read_subregions(Path(subregions), raster.grid, str(path), limits)
        return as_label_map(raster, limits, dialect=dialect, subregions=parts)
    if subregions is None:
        return labels
    parts = _read_subregions(Path(subregions), labels.grid, str(path), limits)
    return LabelMap(labels.labels, labels.grid, labels.values, labels.dialect, parts, labels.warnings)


def _read_subregions(path: Path, grid: Grid, name: str, limits: Limits) -> NDArray[np.int16]:
    raster = _read_raster(path, limits)
    if raster is None:
        raise InputError(f"{path} is no NIfTI, NRRD or MetaImage; give the subregion labels as one of these")
    return matched_array(integer_labels(raster, limits), raster.grid, grid, name=str(path), target_name=name)


def _read_raster(path: Path, limits: Limits) -> Raster | None:
    """Read the formats that are told by their name; ``None`` means that it may be DICOM."""
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if path.is_dir():
        return None
    name = path.name.lower()
    if not path.stat().st_size:
        raise InputError(f"{path} is empty (0 bytes); copy or export it again")
    if name.endswith(_NIFTI):
        return read_nifti(path, limits)
    if name.endswith(_ITK):
        return read_itk(path, limits)
    return None
