"""The walk-through of one case: stills of each chapter for the page, and a captioned film of at most a minute."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from vertecast.core.errors import InputError
from vertecast.core.files import atomic_path
from vertecast.core.observer import SILENT, Observer
from vertecast.imaging.read import read_labels
from vertecast.report.case_report_run import READ_ERRORS
from vertecast.report.patient_case import PatientCase
from vertecast.report.patient_words import Catalogue
from vertecast.report.view3d import Scene3D, make_scene
from vertecast.report.view3d_meshes import Mesh, mask_mesh
from vertecast.report.walkthrough_body import body_mesh, carm_meshes, table_mesh
from vertecast.report.walkthrough_chapters import Chapter, chapters
from vertecast.report.walkthrough_frame import FRAME, SCENE, Heading, Pixels, band, titled
from vertecast.report.walkthrough_scenes import SCENES, Theatre, furnish, read_x_rays
from vertecast.report.walkthrough_stage import quiet_display, stage

RATE = 10
"""Frames per second of the film."""
LONGEST_S = 60.0
_CHAPTER_S = 7.0
_STILL_SHARES = (0.0, 0.5, 1.0)
_FILLED_SHARES = (0.0, 0.4, 0.8)
"""For the balloon, which is out again at the end: on paper it must be seen."""
_FAR_TRIANGLES = 3000
_BALLOON_STEMS = ("lateral_balloon_prone", "lateral_balloon_inflated", "lateral_000")
"""Tools in place, filled, and out again: the last is the still before the first cement."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """One chapter as pictures.

    Parameters
    ----------
    pictures : the scene's different moments, in order; (596, 1280, 3) each
    """

    chapter: Chapter
    heading: Heading
    pictures: tuple[Pixels, ...]

    def stills(self) -> tuple[Pixels, ...]:
        """Return three moments, the last being the one that stands alone on paper."""
        last = len(self.pictures) - 1
        shares = _FILLED_SHARES if self.chapter.key == "balloon" else _STILL_SHARES
        return tuple(self.pictures[round(share * last)] for share in shares)

    def frames(self) -> Iterator[Pixels]:
        """Yield the film's frames: the movement, then the end at rest, captions changing in between."""
        for frame, count in self.held():
            for _ in range(count):
                yield frame

    def held(self) -> Iterator[tuple[Pixels, int]]:
        """Yield each different frame with how often it stands in the film: at rest nothing is drawn anew."""
        count = round(_CHAPTER_S * RATE)
        moving = min(len(self.pictures), count)
        start = (count - moving) // 3
        told = self.chapter.captions
        order = [
            (int(np.clip(k - start, 0, moving - 1)), min(k * len(told) // count, len(told) - 1)) for k in range(count)
        ]
        strips = [band(self.heading, caption) for caption in told]
        for (picture, caption), same in groupby(order):
            yield np.concatenate([titled(self.pictures[picture], self.heading), strips[caption]]), len(list(same))


Shown = Callable[[Played], object]
"""What is done with a chapter as soon as it is drawn."""


def play(
    case: PatientCase, words: Catalogue, observer: Observer = SILENT, *, shown: Shown = lambda _: None
) -> tuple[Played, ...]:
    """Draw every chapter of a case.

    Parameters
    ----------
    shown : called with each chapter once it is drawn, such as :func:`filming`'s

    Raises
    ------
    InputError
        If the run holds nothing that could be drawn.
    """
    scene = make_scene(case.run)
    if scene is None or not scene.bones:
        raise InputError(
            "the walk-through needs bones to show, and this run has neither labels where they were nor fields; "
            "run `vertecast simulate` on it"
        )
    told = chapters(case, words)
    notice = words.say("ui.film_notice")
    with quiet_display(), stage(SCENE) as made:
        far = _far_bones(case, scene)
        furnish(made, scene, case, far, _surroundings(case, scene))
        theatre = Theatre(made, case, words, scene, far, read_x_rays(case), read_x_rays(case, _BALLOON_STEMS))
        observer.begin("Drawing the walk-through", len(told))
        played = []
        for number, chapter in enumerate(told, start=1):
            draw, moments = SCENES[chapter.key]
            resting = {round(share * (moments - 1)) for share in (*_STILL_SHARES, *_FILLED_SHARES)}
            pictures = []
            for k in range(moments):
                made.smooth(k in resting)
                pictures.append(draw(theatre, k / (moments - 1)))
            played.append(Played(chapter, Heading(number, len(told), chapter.title, notice), tuple(pictures)))
            shown(played[-1])
            observer.advance()
    return tuple(played)


def write_walkthrough(path: Path, played: Iterable[Played]) -> Path:
    """Write the film: H.264 in MP4, 1280 x 720.

    Raises
    ------
    InputError
        If the video writer is not installed, or the film would be longer than a minute.
    """
    with filming(path) as add:
        for one in played:
            add(one)
    return path


@contextmanager
def filming(path: Path) -> Iterator[Shown]:
    """Yield what adds a chapter to the film; it is written beside what the block does meanwhile.

    Drawing leaves a core free, and the encoder is a process of its own.

    Raises
    ------
    InputError
        As :func:`write_walkthrough`; there is no film then.
    """
    try:
        import imageio_ffmpeg
    except ImportError as exc:
        raise InputError("the film needs the extra: pip install 'vertecast[report]'") from exc
    with atomic_path(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            FRAME,
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p",
            codec="libx264",
            fps=RATE,
            quality=None,
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-crf", "23", "-preset", "veryfast", "-movflags", "+faststart", "-threads", "2"],
        )
        writer.send(None)
        sent: list[Future[None]] = []
        try:
            with ThreadPoolExecutor(1) as beside:

                def add(one: Played) -> None:
                    seconds = (len(sent) + 1) * _CHAPTER_S
                    if seconds > LONGEST_S:
                        raise InputError(
                            f"a film of {len(sent) + 1} chapters lasts {seconds:g} s, allowed are {LONGEST_S:g}"
                        )
                    sent.append(beside.submit(_send, writer, one))

                yield add
            for one in sent:
                one.result()
        finally:
            writer.close()


def _send(writer: Any, one: Played) -> None:
    for frame, count in one.held():
        for _ in range(count):
            writer.send(frame)


def _far_bones(case: PatientCase, scene: Scene3D) -> dict[str, Mesh]:
    """Return the labelled vertebrae that the report's scene leaves out, so that the whole spine is seen."""
    path, _ = case.run.input_path("labels")
    if path is None:
        return {}
    try:
        labels = read_labels(path)
    except READ_ERRORS:
        return {}
    shown = {bone.name for bone in scene.bones}
    made = {
        level.value: mask_mesh(labels.mask(level), labels.grid, triangles=_FAR_TRIANGLES)
        for level in labels.values
        if level.value not in shown
    }
    return {name: mesh for name, mesh in made.items() if mesh is not None}


def _surroundings(case: PatientCase, scene: Scene3D) -> dict[str, Mesh]:
    level = case.levels[len(case.levels) // 2] if case.levels else "L3"
    made = {
        "body/standing": body_mesh(level, scene.centre_lps, arms_up=False),
        "body/prone": body_mesh(level, scene.centre_lps, arms_up=True),
        "room/table": table_mesh(scene.centre_lps),
    }
    return made | {f"room/carm{k}": mesh for k, mesh in enumerate(carm_meshes(scene.centre_lps))}
