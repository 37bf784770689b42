"""A raster becomes a CT in Hounsfield units: what is no CT is refused, padding is clipped and said."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError
from vertecast.imaging.limits import Limits
from vertecast.imaging.raster import Raster, thickness_warnings
from vertecast.imaging.volume import ScanInfo, Volume

_INT16 = np.iinfo(np.int16)


def as_volume(raster: Raster, limits: Limits, scan: ScanInfo | None = None) -> Volume:
    """Make a CT of a raster, kept as int16 where its values are whole numbers and as float32 otherwise.

    Raises
    ------
    InputError
        For NaN, values that are no Hounsfield units (labels, unscaled), an image of air or of one value.
    """
    array = raster.array
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int(array.size - np.count_nonzero(np.isfinite(array)))
        raise InputError(
            f"{raster.name} holds {count} voxels that are NaN or infinite; "
            "replace them with air (-1024 HU) or export the CT again"
        )
    lowest, highest = float(array.min()), float(array.max())
    _require_hounsfield(raster, lowest, highest, limits)
    clipped, padding = _without_padding(raster.name, array, lowest, limits)
    _require_body(raster.name, clipped, limits)
    warnings = (*raster.warnings, *padding, *thickness_warnings(raster.name, raster.grid, limits))
    return Volume(compacted(clipped), raster.grid, scan or ScanInfo(), warnings)


def compacted(array: NDArray[Any]) -> NDArray[np.int16] | NDArray[np.float32]:
    """Return int16 if every value is a whole number in its range, else float32; Fortran order, as files have it."""
    if array.dtype == np.int16:
        return array
    if array.min() >= _INT16.min and array.max() <= _INT16.max:
        whole = array.astype(np.int16, order="F")
        if array.dtype.kind in "iub" or np.array_equal(whole, array):
            return whole
    return array.astype(np.float32, order="F")


def _require_hounsfield(raster: Raster, lowest: float, highest: float, limits: Limits) -> None:
    if lowest == highest:
        raise InputError(f"{raster.name} holds one value everywhere ({lowest:g}); it is no CT, so export it again")
    if lowest < 0:
        return
    values = np.unique(raster.array)
    if len(values) <= limits.most_labels and np.array_equal(values, np.rint(values)):
        raise InputError(
            f"{raster.name} looks like a label map, not a CT ({len(values)} different whole numbers from {lowest:g} to "
            f"{highest:g}); CT and labels may be swapped: give the CT first and the labels with --labels"
        )
    raise InputError(
        f"{raster.name} has no value below 0 ({lowest:g} to {highest:g}), so these are not Hounsfield units "
        "(air is -1000); export the CT with its rescale slope and intercept"
    )


def _without_padding(
    name: str, array: NDArray[Any], lowest: float, limits: Limits
) -> tuple[NDArray[Any], tuple[str, ...]]:
    if lowest >= limits.air_floor:
        return array, ()
    share = np.count_nonzero(array < limits.air_floor) / array.size
    clipped = np.maximum(array, np.array(limits.air_floor).astype(array.dtype))
    if share < limits.padding_fraction:
        return clipped, ()
    return clipped, (
        f"{name}: {100 * share:.1f} % of the voxels lie below {limits.air_floor:.0f} HU (lowest {lowest:g}), "
        f"padding outside the field of view; set to {limits.air_floor:.0f} HU",
    )


def _require_body(name: str, array: NDArray[Any], limits: Limits) -> None:
    share = np.count_nonzero(array > limits.tissue_floor) / array.size
    if share < limits.tissue_fraction:
        raise InputError(
            f"{name} is all air: {100 * share:.2f} % of the voxels exceed {limits.tissue_floor:.0f} HU, a body needs "
            f"{100 * limits.tissue_fraction:g} %; check that this is the CT and that its rescale is right"
        )
