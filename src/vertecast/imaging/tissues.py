"""Find air, fat, muscle and cortical bone in a spine CT, for its internal calibration; blood must be given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vertecast.core.parameters import Loaded, load_parameters
from vertecast.core.quantities import quantity
from vertecast.imaging.resample import canonical_order, reoriented
from vertecast.imaging.volume import LabelMap, Volume

_PADDING_HU = -1024.0
_PADDED_SHARE = 0.2  # air of 20 HU noise has 12 % below the scale's end, padding has all


class Tissue(Enum):
    """What the internal calibration reads; the value is its name in ``data/xray/materials.toml``."""

    AIR = "air"
    ADIPOSE = "adipose"
    BLOOD = "blood"
    MUSCLE = "muscle"
    CORTICAL_BONE = "cortical_bone"


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueSearch:
    """Where each tissue is looked for; ``data/imaging/internal_calibration.toml``."""

    energy_lowest: float = quantity("keV", "first energy tried")
    energy_highest: float = quantity("keV", "last energy tried")
    energy_step: float = quantity("keV", "between energies tried")
    smallest_area: float = quantity("mm2", "area that a tissue must have")
    smallest_fit: float = quantity("1", "coefficient of determination that the line must have")
    slices: float = quantity("1", "axial slices looked at")
    window: float = quantity("mm", "edge of the square that is averaged")
    flattest: float = quantity("1", "share of places kept, the flattest ones")
    air: tuple[float, ...] = quantity("HU", "range of air")
    nominal_air: float = quantity("HU", "air where a CT shows none")
    adipose: tuple[float, ...] = quantity("HU", "range of fat")
    muscle: tuple[float, ...] = quantity("HU", "range of muscle")
    muscle_reach: tuple[float, ...] = quantity("mm", "distance to the side of the vertebra")
    cortical: tuple[float, ...] = quantity("HU", "range of cortical bone")


@dataclass(frozen=True, slots=True)
class TissueHu:
    """HU of the tissues of one scan.

    Parameters
    ----------
    hu : mean of each tissue that was found
    missing : the others, each with the reason; an assumed air is here too
    area_mm2 : how much of each tissue was read
    """

    hu: Mapping[Tissue, float]
    missing: Mapping[Tissue, str] = field(default_factory=dict)
    area_mm2: Mapping[Tissue, float] = field(default_factory=dict)


def load_search() -> Loaded[TissueSearch]:
    """Load ``data/imaging/internal_calibration.toml``."""
    return load_parameters("imaging/internal_calibration.toml", TissueSearch)


def found_tissues(volume: Volume, labels: LabelMap, *, blood: NDArray[np.bool_] | None = None) -> TissueHu:
    """Read the tissues' HU on axial slices through the labelled spine.

    Air is taken outside and inside the body, or as -1000 HU, the scale's definition, where there is none; fat and
    muscle where the CT is flattest, muscle only beside the vertebrae; cortical bone as the brightest patch of a
    vertebra. Blood has no place that is safe to guess, and is bright with contrast agent: it is read in a given mask.

    Parameters
    ----------
    labels, blood : on the grid of ``volume``
        ``blood`` is a mask inside the aorta.
    """
    p = load_search().values
    order = canonical_order(volume.grid)
    upright, spine = reoriented(volume, *order), reoriented(labels, *order)
    inside = np.flatnonzero((spine.labels > 0).any(axis=(0, 1)))
    picked = np.unique(np.linspace(inside[0], inside[-1], int(p.slices)).astype(int))
    spacing = (float(upright.grid.spacing[0]), float(upright.grid.spacing[1]))
    reader = _SliceReader(p, spacing)
    reads = [reader.read(upright.hu[:, :, k].astype(np.float32), spine.labels[:, :, k] > 0) for k in picked]
    hu: dict[Tissue, float] = {}
    missing: dict[Tissue, str] = {}
    area: dict[Tissue, float] = {}
    for tissue in (Tissue.AIR, Tissue.ADIPOSE, Tissue.MUSCLE):
        _settle(tissue, reads, p, spacing, (hu, missing, area))
    _settle_cortical([one.cortical for one in reads if one.cortical is not None], p, (hu, missing, area))
    if blood is None:
        missing[Tissue.BLOOD] = "no mask of the aorta was given"
    elif volume.scan.contrast:
        missing[Tissue.BLOOD] = "the scan has contrast agent, so its blood is no blood of the tables"
    else:
        hu[Tissue.BLOOD] = float(np.median(volume.hu[blood]))
        area[Tissue.BLOOD] = float(np.count_nonzero(blood) * spacing[0] * spacing[1])
    return TissueHu(MappingProxyType(hu), MappingProxyType(missing), MappingProxyType(area))


@dataclass(frozen=True, slots=True)
class _SliceRead:
    """Places of one slice: (mean, spread) of each soft tissue, and the cortical patch."""

    places: Mapping[Tissue, tuple[NDArray[np.float32], NDArray[np.float32]]]
    cortical: float | None


@dataclass(frozen=True, slots=True)
class _SliceReader:
    p: TissueSearch
    spacing: tuple[float, float]

    def read(self, hu: NDArray[np.float32], bone: NDArray[np.bool_]) -> _SliceRead:
        """Average one axial slice, (left, posterior), and pick the places of each tissue."""
        size = tuple(max(3, round(self.p.window / edge)) for edge in self.spacing)
        mean = ndimage.uniform_filter(hu, size)
        spread = np.sqrt(np.maximum(ndimage.uniform_filter(hu * hu, size) - mean * mean, 0))
        padded = ndimage.uniform_filter((hu <= _PADDING_HU).astype(np.float32), size) > _PADDED_SHARE
        away = ~ndimage.maximum_filter(bone, size)
        where = {
            Tissue.AIR: (mean >= self.p.air[0]) & (mean <= self.p.air[1]) & ~padded,
            Tissue.ADIPOSE: (mean >= self.p.adipose[0]) & (mean <= self.p.adipose[1]) & away,
            Tissue.MUSCLE: (mean >= self.p.muscle[0]) & (mean <= self.p.muscle[1]) & away & self._beside(bone),
        }
        places = {tissue: (mean[mask], spread[mask]) for tissue, mask in where.items()}
        return _SliceRead(places, self._cortical_patch(hu, bone))

    def _beside(self, bone: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if not bone.any():
            return np.zeros(bone.shape, bool)
        centre = np.argwhere(bone).mean(axis=0)
        left = np.abs(np.arange(bone.shape[0]) - centre[0])[:, None] * self.spacing[0]
        back = (np.arange(bone.shape[1]) - centre[1])[None, :] * self.spacing[1]
        near = (left >= self.p.muscle_reach[0]) & (left <= self.p.muscle_reach[1]) & (np.abs(back) <= 50.0)
        return np.asarray(near)

    def _cortical_patch(self, hu: NDArray[np.float32], bone: NDArray[np.bool_]) -> float | None:
        """Return the mean of the brightest connected patch of bone that has the smallest area allowed."""
        inside = np.where(bone & (hu <= self.p.cortical[1]), hu, -1024.0)
        pixels = max(int(np.ceil(self.p.smallest_area / (self.spacing[0] * self.spacing[1]))), 2)
        for threshold in np.arange(self.p.cortical[1], self.p.cortical[0], -25.0):
            numbered, count = ndimage.label(inside > threshold)
            sizes = np.bincount(numbered.ravel())[1:] if count else np.zeros(1)
            if sizes.max() >= pixels:
                return float(hu[numbered == 1 + int(np.argmax(sizes))].mean())
        return None


_Found = tuple[dict[Tissue, float], dict[Tissue, str], dict[Tissue, float]]


def _settle(
    tissue: Tissue, reads: list[_SliceRead], p: TissueSearch, spacing: tuple[float, float], found: _Found
) -> None:
    hu, missing, area = found
    mean = np.concatenate([one.places[tissue][0] for one in reads])
    spread = np.concatenate([one.places[tissue][1] for one in reads])
    if not mean.size and tissue is Tissue.AIR:
        hu[tissue] = p.nominal_air
        missing[tissue] = f"none is in the image, so it is taken as {p.nominal_air:.0f} HU by the scale's definition"
        return
    if not mean.size:
        missing[tissue] = "no place of its HU is flat over 5 mm"
        return
    flat = spread <= np.quantile(spread, p.flattest)
    extent = float(np.count_nonzero(flat) * spacing[0] * spacing[1])
    if extent < p.smallest_area:
        missing[tissue] = f"only {extent:.0f} mm2 of it are flat, {p.smallest_area:.0f} are needed"
        return
    hu[tissue], area[tissue] = float(np.median(mean[flat])), extent


def _settle_cortical(patches: list[float], p: TissueSearch, found: _Found) -> None:
    hu, missing, area = found
    if not patches:
        missing[Tissue.CORTICAL_BONE] = f"no {p.smallest_area:.0f} mm2 of a vertebra exceed {p.cortical[0]:.0f} HU"
        return
    # Partial volume only lowers a patch, so the brighter slices are nearer to the bone itself.
    hu[Tissue.CORTICAL_BONE] = float(np.quantile(patches, 0.75))
    area[Tissue.CORTICAL_BONE] = p.smallest_area * len(patches)
