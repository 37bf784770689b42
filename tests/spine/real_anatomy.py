"""Split and framed vertebrae of the real CTs, for the measures that start from them."""

from pathlib import Path

import numpy as np

from vertecast.imaging.read import read_labels, read_volume
from vertecast.imaging.volume import Volume
from vertecast.spine.anatomy import Anatomy
from vertecast.spine.geometry import Settings, measure_geometry
from vertecast.spine.integrity import cut_pieces
from vertecast.spine.orientation import canonical_labels


def real_anatomies(folder: Path, labels: str, levels: tuple[str, ...], subregions: str | None = None) -> list[Anatomy]:
    """Return the asked levels of one data set, split and framed as ``measure`` does it."""
    settings = Settings.shipped()
    label_map = read_labels(folder / labels, subregions=folder / subregions if subregions else None)
    pieces = list(cut_pieces(canonical_labels(label_map), settings.integrity).values())
    made = []
    for i, piece in enumerate(pieces):
        if str(piece.level) in levels:
            along = pieces[max(i - 1, 0)].centroid_lps - pieces[min(i + 1, len(pieces) - 1)].centroid_lps
            length = float(np.linalg.norm(along))
            axis = along / length if length > 5.0 else np.array([0.0, 0.0, 1.0])
            made.append(measure_geometry(piece, axis, settings).anatomy)
    return made


def real_ct(folder: Path) -> Volume:
    return read_volume(folder / "ct.nii.gz")
