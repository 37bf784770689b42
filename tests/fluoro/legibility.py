"""How well a known bone can be read in a picture: its contrast on the screen, noise, and what overlies it."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from tests.fluoro.bodies import SETTINGS

from vertecast.core.frames import Transform
from vertecast.devices.carm import View
from vertecast.fluoro.body import Body
from vertecast.fluoro.radiograph import Options, coned_to, make_background, radiograph, shuttered_to
from vertecast.fluoro.settings import Settings
from vertecast.imaging.grid import Grid
from vertecast.imaging.volume import Volume

_SMOOTH_MM = 6.0  # at the detector: broader shades are not what an edge is read by
_SOFT_TISSUE_HU = 50
_ATTENUATION = np.array([0.0195, 0.028])  # mm2/mg at 70 keV or so: only the template's shape counts


@dataclass(frozen=True)
class Legibility:
    """Contrast of a structure.

    Parameters
    ----------
    signal, noise : grey levels, of 255: root mean square of what is the structure's, and of quantum noise
    likeness : correlation of the picture with the structure, within its outline
    clipped : part of the outline that is black or white
    """

    signal: float
    noise: float
    likeness: float
    clipped: float

    @property
    def contrast_to_noise(self) -> float:
        """Signal over noise."""
        return self.signal / self.noise


def parts_of(mask: np.ndarray, grid: Grid, vert_from_lps: Transform) -> dict[str, np.ndarray]:
    """Endplates, pedicles and spinous process of a vertebra, by place in its own frame."""
    places = np.argwhere(mask)
    x, y, z = vert_from_lps.apply(grid.to_lps(places)).T
    body = (y < 8) & (np.abs(x) < 20)
    top, bottom = np.percentile(z[body], [97, 3])
    chosen = {
        "endplates": body & ((z > top - 2.5) | (z < bottom + 2.5)),
        "pedicles": (y > 10) & (y < 24) & (np.abs(x) > 7) & (np.abs(x) < 20),
        "spinous process": (y > 26) & (np.abs(x) < 8),
    }
    found = {}
    for name, inside in chosen.items():
        found[name] = np.zeros_like(mask)
        found[name][tuple(places[inside].T)] = True
    return found


def template(volume: Volume, part: np.ndarray, view: View) -> np.ndarray:
    """Logarithmic contrast that a part of the CT makes above soft tissue in its place."""
    places = np.argwhere(part)
    low, high = np.maximum(places.min(axis=0) - 2, 0), places.max(axis=0) + 3
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    matrix = volume.grid.lps_from_voxel.matrix.copy()
    matrix[:3, 3] = volume.grid.to_lps(low.astype(float))
    out = np.zeros(view.shape)
    for hu, sign in ((volume.hu[box], 1.0), (np.full_like(volume.hu[box], _SOFT_TISSUE_HU), -1.0)):
        field = np.where(part[box], hu, -1024).astype(np.int16)
        crop = Body(Volume(field, Grid.from_affine(field.shape, matrix)), SETTINGS.physics, SETTINGS.tissue)
        crop.require_in_beam = lambda view: None  # type: ignore[method-assign]
        out += sign * np.tensordot(_ATTENUATION, crop.paths(view), axes=1)
    return out


class Pictures:
    """Two exposures of one view that differ in noise alone, shuttered to a field."""

    def __init__(self, body: Body, view: View, field_mm: tuple[float, float], settings: Settings = SETTINGS) -> None:
        self.view = view
        shut = shuttered_to(view, *field_mm, least=coned_to(body, view))
        self.open = np.zeros(view.shape, bool)
        self.open[shut.window(view.shape)] = True
        options = [Options(collimation=shut, marks=False, seed=seed) for seed in (0, 1)]
        self.grey = [radiograph(body, view, settings=settings, options=o).pixels.astype(float) for o in options]
        background = make_background(body, view, settings, options[0], kerma_mgy=1e-3)
        self.clean = np.tensordot(_ATTENUATION, background.paths, axes=1)

    def _outline(self, part: np.ndarray) -> np.ndarray:
        near = ndimage.binary_dilation(np.abs(part) > 0.02 * np.abs(part).max(), iterations=3)
        return np.asarray(near & self.open)

    def _sharp(self, image: np.ndarray, outline: np.ndarray) -> np.ndarray:
        fine = (image - ndimage.gaussian_filter(image, _SMOOTH_MM / self.view.carm.pixel_mm[0]))[outline]
        return np.asarray(fine - fine.mean())

    def legibility(self, part: np.ndarray) -> Legibility:
        """Regress the picture on a part's template within its outline."""
        outline = self._outline(part)
        mean = (self.grey[0] + self.grey[1]) / 2
        wanted, seen = self._sharp(part, outline), -self._sharp(mean, outline)
        slope = float(seen @ wanted / (wanted @ wanted))
        noise = float((self.grey[0] - self.grey[1])[outline].std() / np.sqrt(2))
        clipped = float(((mean < 4) | (mean > 251))[outline].mean())
        return Legibility(slope * float(wanted.std()), noise, self._likeness(seen, wanted), clipped)

    def likeness_of_the_sum(self, part: np.ndarray) -> float:
        """The same correlation in the bare line integrals: what the CT itself gives, without detector or display."""
        outline = self._outline(part)
        return self._likeness(self._sharp(self.clean, outline), self._sharp(part, outline))

    @staticmethod
    def _likeness(seen: np.ndarray, wanted: np.ndarray) -> float:
        return float(seen @ wanted / np.sqrt((seen @ seen) * (wanted @ wanted)))
