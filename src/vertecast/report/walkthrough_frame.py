"""A frame of the film: the scene, a title, where one is, and the caption in a band that is easy to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vertecast.core.parameters import data_file

Pixels = NDArray[np.uint8]
Point = tuple[float, float]
FRAME = (1280, 720)
BAND = 124
SCENE = (FRAME[0], FRAME[1] - BAND)
X_RAY_PX = 270
"""Edge of the X-ray that is set into a scene."""
FONTS = {
    "regular": "patient/atkinson-hyperlegible-latin-400-normal.woff2",
    "bold": "patient/atkinson-hyperlegible-latin-700-normal.woff2",
}
INK, PAPER, QUIET, ACCENT = "#10303f", "#ffffff", "#c9d8df", "#b4511b"
"""The colours of page and film; a test holds their contrast to 4.5 : 1."""
_CAPTION_PX, _LEAST_CAPTION_PX, _TITLE_PX, _SMALL_PX = 38, 26, 30, 19


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above and below the scene for a whole chapter."""

    number: int
    count: int
    title: str
    notice: str


def font(weight: str, pixels: int) -> Any:
    """Return the page's own font at a size."""
    from PIL import ImageFont

    return ImageFont.truetype(BytesIO(data_file(FONTS[weight]).read_bytes()), pixels)


def framed(scene: Pixels, heading: Heading, caption: str) -> Pixels:
    """Return the whole frame, (720, 1280, 3).

    Parameters
    ----------
    scene : (596, 1280, 3)
    """
    strip = band(heading, caption)
    return np.concatenate([titled(scene, heading), strip], axis=0)


def titled(scene: Pixels, heading: Heading) -> Pixels:
    """Return the scene with the chapter's number and title at the upper left and the steps at the upper right."""
    image, draw = _canvas(scene)
    text = f"{heading.number}   {heading.title}"
    face = font("bold", _TITLE_PX)
    width = draw.textlength(text, font=face)
    draw.rounded_rectangle((28, 22, 28 + width + 40, 74), radius=26, fill=INK)
    draw.text((48, 48), text, font=face, fill=PAPER, anchor="lm")
    draw.rounded_rectangle((FRAME[0] - 64 - 30 * (heading.count - 1), 28, FRAME[0] - 16, 68), radius=20, fill=PAPER)
    for k in range(heading.count):
        x = FRAME[0] - 40 - 30 * (heading.count - 1 - k)
        here = k + 1 == heading.number
        radius = 10 if here else 6
        draw.ellipse((x - radius, 48 - radius, x + radius, 48 + radius), fill=ACCENT if here else INK)
    return np.asarray(image)


def band(heading: Heading, caption: str) -> Pixels:
    """Return the band below the scene, (124, 1280, 3); a long caption gets smaller type and a second line."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (FRAME[0], BAND), INK)
    draw = ImageDraw.Draw(image)
    size, lines = _fitted(draw, caption, FRAME[0] - 96)
    face = font("bold", size)
    middle = 47 if len(lines) == 1 else 44
    for k, line in enumerate(lines):
        y = middle + (k - (len(lines) - 1) / 2) * size * 1.14
        draw.text((FRAME[0] / 2, y), line, font=face, fill=PAPER, anchor="mm")
    draw.text((FRAME[0] / 2, BAND - 19), heading.notice, font=font("regular", _SMALL_PX), fill=QUIET, anchor="mm")
    return np.asarray(image)


def dashed(scene: Pixels, points: Sequence[Point]) -> Pixels:
    """Draw a dashed line in the accent colour, edged so that it is seen on bone and on ground."""
    image, draw = _canvas(scene)
    draw.line(list(points), fill=PAPER, width=10)
    for (x0, y0), (x1, y1) in pairwise(points):
        length = float(np.hypot(x1 - x0, y1 - y0))
        for start in np.arange(0.0, length, 24.0):
            ends = (start / length, min(start + 14.0, length) / length)
            draw.line([(x0 + s * (x1 - x0), y0 + s * (y1 - y0)) for s in ends], fill=INK, width=6)
    return np.asarray(image)


def tagged(scene: Pixels, place: Point, text: str) -> Pixels:
    """Write a word on a white tag whose middle is at ``place``."""
    image, draw = _canvas(scene)
    face = font("bold", 24)
    half = draw.textlength(text, font=face) / 2 + 14
    draw.rounded_rectangle((place[0] - half, place[1] - 20, place[0] + half, place[1] + 20), radius=12, fill=PAPER)
    draw.text(place, text, font=face, fill=INK, anchor="mm")
    return np.asarray(image)


def listed(scene: Pixels, lines: Sequence[str]) -> Pixels:
    """Write lines one below the other on a white card at the right, a dot before each."""
    image, draw = _canvas(scene)
    face = font("bold", 28)
    width = max(draw.textlength(line, font=face) for line in lines) + 90
    x, y = SCENE[0] - width - 48, SCENE[1] / 2 - 32 * len(lines)
    draw.rounded_rectangle((x, y, x + width, y + 64 * len(lines)), radius=18, fill=PAPER)
    for k, line in enumerate(lines):
        middle = y + 64 * k + 32
        draw.ellipse((x + 26, middle - 7, x + 40, middle + 7), fill=ACCENT)
        draw.text((x + 60, middle), line, font=face, fill=INK, anchor="lm")
    return np.asarray(image)


def inset(scene: Pixels, picture: Pixels, label: str) -> Pixels:
    """Set a second picture, such as the X-ray, into the lower right of the scene, with a label."""
    from PIL import Image

    image, draw = _canvas(scene)
    side = X_RAY_PX
    small = Image.fromarray(picture).convert("RGB")
    if small.size != (side, side):
        small = small.resize((side, side), Image.Resampling.LANCZOS)
    x, y = SCENE[0] - side - 36, SCENE[1] - side - 56
    draw.rounded_rectangle((x - 8, y - 8, x + side + 8, y + side + 42), radius=12, fill=INK)
    image.paste(small, (x, y))
    draw.text((x + side / 2, y + side + 20), label, font=font("regular", _SMALL_PX), fill=PAPER, anchor="mm")
    return np.asarray(image)


def clock(scene: Pixels, minute: float, texts: tuple[str, ...]) -> Pixels:
    """Draw a dial whose hand shows the minutes, a turn being 30, with lines of text below it."""
    image, draw = _canvas(scene)
    x, y, radius = SCENE[0] - 190, 230, 88
    draw.ellipse((x - radius - 8, y - radius - 8, x + radius + 8, y + radius + 8), fill=INK)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=PAPER)
    turn = 360.0 * (minute % 30.0) / 30.0
    draw.pieslice((x - radius, y - radius, x + radius, y + radius), -90, turn - 90, fill="#f0c9a8")
    for mark in range(30):
        angle = np.radians(12 * mark - 90)
        inner = radius - (16 if mark % 5 == 0 else 8)
        ends = [(x + r * np.cos(angle), y + r * np.sin(angle)) for r in (inner, radius)]
        draw.line(ends, fill=INK, width=4 if mark % 5 == 0 else 2)
    angle = np.radians(turn - 90)
    draw.line([(x, y), (x + 70 * np.cos(angle), y + 70 * np.sin(angle))], fill=ACCENT, width=7)
    draw.ellipse((x - 8, y - 8, x + 8, y + 8), fill=ACCENT)
    for k, text in enumerate(texts):
        face = font("bold" if k == 0 else "regular", 30 if k == 0 else 24)
        draw.text((x, y + radius + 40 + 34 * k), text, font=face, fill=INK, anchor="mm")
    return np.asarray(image)


def jpeg(picture: Pixels, width: int, quality: int = 82) -> bytes:
    """Return a picture as JPEG of a width."""
    from PIL import Image

    image = Image.fromarray(picture)
    small = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    held = BytesIO()
    small.save(held, "JPEG", quality=quality, optimize=True)
    return held.getvalue()


def _canvas(scene: Pixels) -> tuple[Any, Any]:
    from PIL import Image, ImageDraw

    image = Image.fromarray(scene)
    return image, ImageDraw.Draw(image)


def _fitted(draw: Any, caption: str, width: int) -> tuple[int, list[str]]:
    """Return the type size and the lines, at most two, that fit a width."""
    length = partial(draw.textlength, caption)
    if length(font=font("bold", _CAPTION_PX)) <= width:
        return _CAPTION_PX, [caption]
    words = caption.split()
    for size in range(_CAPTION_PX - 4, _LEAST_CAPTION_PX - 1, -2):
        face = font("bold", size)
        best = min(
            range(1, len(words)),
            key=lambda k: max(draw.textlength(" ".join(part), font=face) for part in (words[:k], words[k:])),
        )
        lines = [" ".join(words[:best]), " ".join(words[best:])]
        if max(draw.textlength(line, font=face) for line in lines) <= width:
            return size, lines
    return _LEAST_CAPTION_PX, lines
