"""What a report is made of: sections of blocks, as data; the template alone knows how they look."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vertecast.report.bibliography import Work


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph."""

    text: str
    kind: str = "prose"


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence set apart: ``absent`` for what the run does not hold, ``warning`` for what must be seen."""

    text: str
    tone: str = "absent"
    kind: str = "note"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings; ``wide`` first columns are set left, numbers right where ``numeric``."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    style: str = ""
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a data URI, with words for those who do not see it."""

    uri: str
    alt: str
    caption: str = ""
    kind: str = "picture"


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures side by side."""

    pictures: Sequence[Picture]
    caption: str = ""
    columns: int = 3
    kind: str = "gallery"


@dataclass(frozen=True, slots=True)
class Chart:
    """SVG text; ``half`` ones stand two in a row."""

    svg: str
    caption: str = ""
    half: bool = False
    kind: str = "chart"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The place of the interactive 3-D view; its stills stand there on paper and without WebGL."""

    stills: Sequence[Picture]
    timeline: bool
    shows: Sequence[tuple[str, str]]
    caption: str = ""
    kind: str = "viewer"


@dataclass(frozen=True, slots=True)
class Heading:
    """A smaller heading within a section."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True, slots=True)
class Subheading:
    """A still smaller heading."""

    text: str
    kind: str = "subheading"


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks that are folded away on screen and open on paper."""

    summary: str
    blocks: Sequence["Block"]
    kind: str = "folded"


@dataclass(frozen=True, slots=True)
class References:
    """The list of what is cited; each with the label it is cited by."""

    works: Sequence[Work]
    kind: str = "references"


Block = References | Prose | Note | Table | Picture | Gallery | Chart | Viewer | Heading | Subheading | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """A numbered section of the report."""

    anchor: str
    title: str
    blocks: Sequence[Block]


def png_picture(png: bytes, alt: str, caption: str = "") -> Picture:
    """Return a PNG in memory as a picture of the page."""
    return Picture("data:image/png;base64," + base64.b64encode(png).decode("ascii"), alt, caption)


def file_picture(path: Path, alt: str, caption: str = "", *, longest: int = 1400) -> Picture:
    """Return a picture file as a JPEG of the page, at most ``longest`` pixels at its longer side."""
    from PIL import Image

    with Image.open(path) as opened:
        return _jpeg(opened.convert("L" if opened.mode in ("L", "I", "I;16") else "RGB"), alt, caption, longest)


def array_picture(pixels: NDArray[np.uint8], alt: str, caption: str = "", *, longest: int = 1400) -> Picture:
    """Return (rows, columns, 3) pixels as a JPEG of the page."""
    from PIL import Image

    return _jpeg(Image.fromarray(pixels), alt, caption, longest)


def _jpeg(image: object, alt: str, caption: str, longest: int) -> Picture:
    from PIL import Image

    assert isinstance(image, Image.Image)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    stream = BytesIO()
    image.save(stream, "JPEG", quality=86, optimize=True)
    return Picture("data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii"), alt, caption)
