"""Film of needles going in along their plan under fluoroscopy, AP and lateral side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vertecast.core.errors import InputError
from vertecast.core.files import atomic_path
from vertecast.core.observer import SILENT, Observer
from vertecast.devices.carm import View
from vertecast.fluoro.body import Body
from vertecast.fluoro.fluoroscope import Fluoroscope
from vertecast.fluoro.radiograph import Options
from vertecast.fluoro.scene import Scene
from vertecast.fluoro.settings import Settings

_GAP = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmCase:
    """What a film shows.

    Parameters
    ----------
    body : the patient
    views : one picture each, left to right
    scene_at : the scene when a part of the way, 0 to 1, is done
    seconds : length
    """

    body: Body
    views: tuple[View, ...]
    scene_at: Callable[[float], Scene]
    seconds: float = 8.0


def film_frames(case: FilmCase, settings: Settings, observer: Observer = SILENT) -> list[NDArray[np.uint8]]:
    """Give one pulse after the other; (rows, columns) uint8, even in both for the video coder."""
    options = Options(marks=True)
    scopes = [Fluoroscope(case.body, view, settings=settings, options=options) for view in case.views]
    count = max(2, round(case.seconds * settings.exposure.pulse_rate))
    observer.begin("Filming", count)
    frames = []
    for index in range(count):
        # The last fifth stands still, so that the end can be looked at.
        scene = case.scene_at(min(1.0, index / (0.8 * (count - 1))))
        pictures = [scope.frame(scene).pixels for scope in scopes]
        frames.append(_side_by_side(pictures))
        observer.advance()
    return frames


def write_film(path: Path, frames: list[NDArray[np.uint8]], rate: float) -> Path:
    """Write grey frames as H.264 in MP4.

    Raises
    ------
    InputError
        If the video writer is not installed, or there is no frame.
    """
    try:
        import imageio_ffmpeg
    except ImportError as exc:
        raise InputError("a film needs the extra: pip install 'vertecast[report]'") from exc
    if not frames:
        raise InputError("a film needs at least one frame")
    rows, columns = frames[0].shape
    with atomic_path(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (columns, rows),
            pix_fmt_in="gray",
            fps=rate,
            quality=6,
            macro_block_size=2,
            ffmpeg_log_level="error",
        )
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
    return path


def _side_by_side(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    gap = np.zeros((pictures[0].shape[0], _GAP), np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)][:-1]
    joined = np.hstack(parts)
    return joined[: joined.shape[0] // 2 * 2, : joined.shape[1] // 2 * 2]
