"""One immutable CT volume in Hounsfield units, and one immutable map of vertebra labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import GeometryError, InputError
from vertecast.core.levels import Level
from vertecast.imaging.grid import Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanInfo:
    """What the header says of the scan and that measurements need; names and ids are not kept here."""

    modality: str | None = None
    kvp: float | None = None
    kernel: str | None = None
    slice_thickness_mm: float | None = None
    contrast: bool | None = None
    posture: str | None = None
    frame_of_reference_uid: str | None = None
    study_uid: str | None = None
    series_uid: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A CT in Hounsfield units.

    Parameters
    ----------
    hu : (nx, ny, nz), HU
        Kept as float32 or int16, read-only; every value finite.
    grid : where the voxels are in the patient
    scan : what the header says of the scan
    warnings : sentences the reader must see (thick slices, padding, tilt corrected …)
    """

    hu: NDArray[np.float32] | NDArray[np.int16]
    grid: Grid
    scan: ScanInfo = field(default_factory=ScanInfo)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_matching(self.hu, self.grid)
        if self.hu.dtype not in (np.float32, np.int16):
            raise InputError(f"HU array is {self.hu.dtype}; float32 or int16 is kept")
        if self.hu.dtype == np.float32 and not np.isfinite(self.hu).all():
            raise InputError(
                "HU array holds NaN or infinite values; replace them with air (-1024 HU) or re-export the CT"
            )
        object.__setattr__(self, "hu", _frozen(self.hu))


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """Which voxel belongs to which vertebra.

    Parameters
    ----------
    labels : (nx, ny, nz), integers; 0 is background
    grid : where the voxels are in the patient
    values : the integer of each level that is present
    dialect : name of the numbering the file used
    subregions : (nx, ny, nz) TPTBox subregion numbers on the same grid, when given
    warnings : sentences the reader must see
    """

    labels: NDArray[np.int16]
    grid: Grid
    values: Mapping[Level, int]
    dialect: str
    subregions: NDArray[np.int16] | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_matching(self.labels, self.grid)
        if not self.values:
            raise InputError(
                "label map holds no vertebra; give a vertebra segmentation "
                "(VerSe, TotalSegmentator, TPTBox or DICOM SEG)"
            )
        if self.subregions is not None:
            _require_matching(self.subregions, self.grid)
            object.__setattr__(self, "subregions", _frozen(self.subregions))
        ordered = sorted(self.values.items(), key=lambda item: item[0].rank)
        object.__setattr__(self, "values", MappingProxyType(dict(ordered)))
        object.__setattr__(self, "labels", _frozen(self.labels))

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels present, craniocaudal."""
        return tuple(self.values)

    def mask(self, level: Level) -> NDArray[np.bool_]:
        """(nx, ny, nz): the voxels of one level; an absent level is refused by name."""
        if level not in self.values:
            present = ", ".join(str(one) for one in self.levels)
            raise InputError(f"level {level} is not in the labels; present are {present}")
        return np.asarray(self.labels == self.values[level])


def _require_matching(array: NDArray[np.generic], grid: Grid) -> None:
    if array.shape != grid.shape:
        raise GeometryError(f"array has shape {array.shape}, its grid {grid.shape}")


def _frozen(array: NDArray) -> NDArray:  # type: ignore[type-arg]
    view = array.view()
    view.setflags(write=False)
    return view
