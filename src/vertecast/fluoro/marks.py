"""Letters on the picture: which side of the patient each edge is, the angulation, and that this is a simulation."""

import numpy as np
from numpy.typing import NDArray

from vertecast.core.parameters import read_toml
from vertecast.devices.carm import Pose, letters

_MARGIN = 12


def edge_letters(pose: Pose) -> dict[str, str]:
    """Name what of the patient lies towards each edge of the picture."""
    right, down = letters(pose.right_lps), letters(pose.down_lps)
    return {
        "left": letters(-pose.right_lps),
        "right": right,
        "top": letters(-pose.down_lps),
        "bottom": down,
    }


def patient_orientation(pose: Pose) -> tuple[str, str]:
    """Return DICOM's Patient Orientation: direction of the rows and of the columns."""
    return letters(pose.right_lps), letters(pose.down_lps)


def marked(pixels: NDArray[np.uint8], pose: Pose, caption: str) -> NDArray[np.uint8]:
    """Return a copy with one letter at each edge and the caption in the upper left corner."""
    out = pixels.copy()
    rows, columns = out.shape
    glyphs = read_toml("xray/glyphs.toml")
    size = max(1, rows // 256)
    names = edge_letters(pose)
    height = 7 * size
    _write(out, names["left"], (rows // 2, _MARGIN), size * 2, glyphs)
    _write(out, names["right"], (rows // 2, columns - _MARGIN - _width(names["right"], size * 2)), size * 2, glyphs)
    _write(out, names["top"], (_MARGIN, columns // 2), size * 2, glyphs)
    _write(out, names["bottom"], (rows - _MARGIN - 2 * height, columns // 2), size * 2, glyphs)
    _write(out, caption.upper(), (_MARGIN, _MARGIN), max(1, size // 2), glyphs)
    return out


def _width(text: str, size: int) -> int:
    return 6 * size * len(text)


def _write(out: NDArray[np.uint8], text: str, place: tuple[int, int], size: int, glyphs: dict[str, list[str]]) -> None:
    """Draw text with its upper left corner at (row, column): white on a dark rim."""
    row, column = place
    for letter in text:
        if letter in glyphs:
            dots = np.array([[dot == "#" for dot in line] for line in glyphs[letter]])
            dots = np.kron(np.pad(dots, 1), np.ones((size, size), bool)).astype(bool)
            rim = dots | np.roll(dots, 1, 0) | np.roll(dots, -1, 0) | np.roll(dots, 1, 1) | np.roll(dots, -1, 1)
            box = out[
                max(row - size, 0) : row - size + dots.shape[0], max(column - size, 0) : column - size + dots.shape[1]
            ]
            dots, rim = dots[: box.shape[0], : box.shape[1]], rim[: box.shape[0], : box.shape[1]]
            box[rim] = 0
            box[dots] = 255
        column += 6 * size
