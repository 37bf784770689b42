"""The walk-through shows the case's own events and fields at the right place and time, and its film plays."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from tests.report.small_run import AFFINE, GRID, LEVEL, cement_mask, q

from vertecast.core.errors import InputError
from vertecast.imaging.write import write_nifti
from vertecast.report import walkthrough, walkthrough_scenes
from vertecast.report.case_report_run import read_run_folder
from vertecast.report.patient_case import patient_case
from vertecast.report.patient_words import load_catalogue
from vertecast.report.view3d_meshes import Mesh
from vertecast.report.walkthrough import LONGEST_S, RATE, Played, play, write_walkthrough
from vertecast.report.walkthrough_body import above_l3, body_mesh, carm_meshes, table_mesh
from vertecast.report.walkthrough_chapters import chapters
from vertecast.report.walkthrough_frame import BAND, FRAME, INK, PAPER, SCENE, Heading, band, dashed, framed
from vertecast.report.walkthrough_scenes import SCENES, _balloon_still, _hard_share, _tenths, expected_endplate
from vertecast.report.walkthrough_stage import Shot, stage, tube_mesh

WORDS = load_catalogue()
MOMENTS = 5


@pytest.fixture(scope="module")
def few_moments() -> Iterator[None]:
    """Let each chapter draw five pictures: enough to see what changes."""
    before = dict(SCENES)
    SCENES.update({key: (draw, MOMENTS) for key, (draw, _) in before.items()})
    yield
    SCENES.update(before)


@pytest.fixture(scope="module")
def balloon_run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run as a kyphoplasty: balloon from 100 to 200 s, taken out at 210 s; hard at 700 s."""
    run = tmp_path_factory.mktemp("balloon") / "run"
    shutil.copytree(small_run, run)
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    plan["levels"][LEVEL]["procedure"] = "kyphoplasty"
    (run / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    spine = json.loads((run / "spine.json").read_text(encoding="utf-8"))
    spine["vertebrae"][0]["reference_heights_mm"] = {"anterior": q(25.0, 23.0, 27.0), "posterior": q(21.0, 20.0, 22.0)}
    (run / "spine.json").write_text(json.dumps(spine), encoding="utf-8")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]

    def event(t: float, kind: str, **data: Any) -> dict[str, Any]:
        return {"seq": 100 + int(t), "t_s": t, "level": LEVEL, "side": "left", "kind": kind, "data": data}

    events += [
        event(90.0, "balloon_placed"),
        event(200.0, "inflation", injected_ml=2.0, pressure_bar=9.0, lift_mm=3.1),
        event(201.0, "stop", reason="height"),
        event(205.0, "deflation", lift_mm=2.4),
        event(210.0, "balloon_removed"),
        event(362.0, "cure_started"),
        event(700.0, "hard", share_percent=95.0),
    ]
    events.sort(key=lambda one: one["t_s"])
    (run / "events.jsonl").write_text("\n".join(json.dumps(one) for one in events) + "\n", encoding="utf-8")
    ball = ndimage.binary_dilation(cement_mask())
    arrival = np.where(ball, 100.0 + 100.0 * np.cumsum(ball, axis=2) / 20.0, np.nan)
    fields = run / "fields" / LEVEL
    write_nifti(fields / "balloon_arrival_s.nii.gz", arrival.astype(np.float32), GRID)
    hard = np.where(cement_mask(), np.where(np.indices(ball.shape)[0] % 2 == 0, 200.0, 402.0), np.nan)
    write_nifti(fields / "hard_s.nii.gz", hard.astype(np.float32), GRID)
    return run


@pytest.fixture(scope="module")
def played(balloon_run: Path, few_moments: None) -> dict[str, Played]:
    made = play(patient_case(read_run_folder(balloon_run)), WORDS)
    return {one.chapter.key: one for one in made}


def coloured(picture: NDArray[np.uint8], over: str, than: str, by: int = 25) -> int:
    """Count the pixels where one channel is above another by so much, the chapter's left two thirds."""
    channel = {"r": 0, "g": 1, "b": 2}
    part = picture[:, : 2 * SCENE[0] // 3].astype(int)
    return int(np.count_nonzero(part[..., channel[over]] - part[..., channel[than]] > by))


def test_kyphoplasty_has_eight_chapters_and_each_moves(played: dict[str, Played]) -> None:
    assert len(played) == 8
    for one in played.values():
        assert all(picture.shape == (SCENE[1], SCENE[0], 3) for picture in one.pictures)
        assert not np.array_equal(one.pictures[0], one.pictures[-1])


def test_the_balloon_grows_and_is_gone_at_the_end(played: dict[str, Played]) -> None:
    green = [coloured(picture, "g", "r", 40) for picture in played["balloon"].pictures]  # the ink of words has 32
    assert 2 * green[0] < green[1] < green[2] < green[3]
    assert green[-1] == 0


def test_the_x_ray_beside_the_balloon_is_of_its_moment() -> None:
    shares = (0.0, 0.5, 0.64, 0.66, 0.85, 0.9, 1.0)
    assert [_balloon_still(share, 3) for share in shares] == [0, 0, 0, 1, 1, 2, 2]
    assert [_balloon_still(share, 1) for share in shares] == [0] * 7  # a run with one still only


def test_nothing_is_drawn_twice_while_nothing_moves() -> None:
    with stage((64, 48)) as made:
        drawn = []
        draw = made._drawn
        made._drawn = lambda shot: drawn.append(shot) or draw(shot)  # type: ignore[method-assign,func-returns-value]
        made.put("ball", tube_mesh(np.zeros(3), np.array([0.0, 0.0, 10.0]), 4.0), (0.2, 0.4, 0.8))
        shot = Shot(np.zeros(3), np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]), 20.0)
        first = made.picture(shot)
        assert np.array_equal(made.picture(shot), first)
        assert len(drawn) == 1
        for change in (
            lambda: made.move("ball", np.array([0.0, 3.0, 0.0])),
            lambda: made.paint("ball", (0.8, 0.1, 0.1)),
            lambda: made.paint("ball", (0.8, 0.1, 0.1), 0.5),
            lambda: made.show("ball", False),
        ):
            before = made.picture(shot)
            change()
            assert not np.array_equal(made.picture(shot), before)
        assert len(drawn) == 5


def test_held_frames_are_the_films_frames(played: dict[str, Played]) -> None:
    one = played["fracture"]
    frames, held = list(one.frames()), list(one.held())
    assert sum(count for _, count in held) == len(frames) == 70
    assert len(held) < 12
    caption = one.chapter.captions[-1]
    assert np.array_equal(frames[-1], framed(one.pictures[-1], one.heading, caption))


def test_the_cement_grows_with_its_arrival(played: dict[str, Played]) -> None:
    blue = [coloured(picture, "b", "r", 50) for picture in played["cement"].pictures]
    assert blue[0] < 10  # the first cement is hidden in the needle's tip
    assert 100 < blue[2] < 0.5 * blue[3] < 0.5 * blue[4]


def test_the_cement_darkens_by_the_share_that_is_hard(balloon_run: Path) -> None:
    case = patient_case(read_run_folder(balloon_run))
    # The field counts from the first cement (298 s): half is hard from 498 s, all from 700 s.
    half = np.count_nonzero(cement_mask()[::2]) / np.count_nonzero(cement_mask())
    assert _hard_share(case, 490.0) == 0.0
    assert _hard_share(case, 500.0) == pytest.approx(half / 0.95, rel=1e-6)
    assert _hard_share(case, 701.0) == 1.0
    # Ten parts of ten are told with the event, never before.
    assert (_tenths(1.0, done=False), _tenths(0.52, done=False), _tenths(0.97, done=True)) == (9, 5, 10)
    assert case.hard_minutes() == 12
    assert not case.stopped_early()  # the balloon's stop is not the cement's
    assert case.lifted_mm() == (3.1, 2.4)


def test_a_second_levels_cement_counts_from_its_own_mixing(balloon_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(balloon_run, run)
    more = (("cement_mixed", 5.0, None), ("cement_mixed", 400.0, None))
    more += (("injection_started", 700.0, "L4"), ("hard", 1300.0, "L4"))
    with (run / "events.jsonl").open("a", encoding="utf-8") as stream:
        for kind, t, level in more:
            event = {"seq": int(t), "t_s": t, "level": level, "side": None, "kind": kind, "data": {}}
            stream.write(json.dumps(event) + "\n")
    case = patient_case(read_run_folder(run))
    assert case.mixed_s(LEVEL) == 5.0
    assert case.mixed_s("L4") == 400.0
    assert patient_case(read_run_folder(balloon_run)).hard_minutes() == 12
    assert case.hard_minutes() == 15  # 900 s, not the 1300 s and more since the first was mixed


def test_several_bones_are_told_in_the_plural(balloon_run: Path) -> None:
    case = patient_case(read_run_folder(balloon_run))
    both = replace(case, levels=(LEVEL, "L4"))
    said = {chapter.key: " ".join(chapter.captions) for chapter in chapters(both, WORDS)}
    assert "The bones in orange are the second bone" in said["spine"]
    assert said["fracture"].startswith("These bones have cracked")
    one = {chapter.key: " ".join(chapter.captions) for chapter in chapters(case, WORDS)}
    assert one["fracture"].startswith("This bone has cracked")


def test_an_injection_that_stops_early_is_told(balloon_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(balloon_run, run)
    text = (run / "events.jsonl").read_text(encoding="utf-8").replace("planned_volume", "disc_filling")
    (run / "events.jsonl").write_text(text, encoding="utf-8")
    assert patient_case(read_run_folder(run)).stopped_early()


def test_the_dashed_line_stands_at_the_expected_height(balloon_run: Path) -> None:
    line = expected_endplate(patient_case(read_run_folder(balloon_run)), LEVEL)
    assert line is not None
    np.testing.assert_allclose(line, [[0.0, -12.0, 15.0], [0.0, 12.0, 11.0]])


def test_no_line_without_a_reference(small_run: Path) -> None:
    case = patient_case(read_run_folder(small_run))
    assert expected_endplate(case, LEVEL) is None
    assert chapters(case, WORDS)[1].captions == WORDS.lines("chapter.fracture.captions_no_line")


@pytest.mark.parametrize(
    ("away", "up"),
    [((1.0, 0.2, 0.1), (0.0, 0.0, 1.0)), ((0.5, 0.9, -0.2), (0.0, 1.0, 0.0)), ((0, -1.0, 0), (0, 0, 1.0))],
)
def test_a_point_is_drawn_where_the_shot_says(away: tuple[float, ...], up: tuple[float, ...]) -> None:
    centre, point = np.array([10.0, -20.0, 30.0]), np.array([22.0, -8.0, 44.0])
    shot = Shot(centre, np.array(away), np.array(up), 40.0)
    with stage(SCENE) as made:
        made.put("dot", tube_mesh(point - np.array([0, 0, 0.25]), point + np.array([0, 0, 0.25]), 0.6), (1.0, 0.0, 0.0))
        picture = made.picture(shot).astype(int)
    rows, columns = np.nonzero(picture[..., 0] - picture[..., 2] > 60)
    x, y = shot.pixel(point, SCENE)
    assert abs(columns.mean() - x) < 2.0
    assert abs(rows.mean() - y) < 2.0


def test_a_shot_on_its_way_ends_at_the_other() -> None:
    one = Shot(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), 100.0)
    two = Shot(np.ones(3), np.array([0, 2.0, 0]), np.array([0, 0, 1.0]), 25.0)
    assert one.towards(two, 0.5).half_mm == pytest.approx(50.0)
    np.testing.assert_allclose(one.towards(two, 1.0).focus_lps, two.focus_lps)
    np.testing.assert_allclose(one.towards(two, 1.0).away_lps, [0, 1.0, 0])


def test_the_drawn_body_is_closed_faces_outwards_and_has_the_level_inside() -> None:
    centre = np.array([5.0, 170.0, -100.0])
    meshes = [body_mesh("L2", centre, arms_up=up) for up in (False, True)]
    meshes += [table_mesh(centre), *carm_meshes(centre)[1:], tube_mesh(centre, centre + 10.0, 1.0)]
    assert all(mesh.volume > 0 for mesh in meshes)
    person = meshes[0]
    assert 40e6 < person.volume < 80e6
    height = np.ptp(person.points_lps[:, 2])
    assert 1500 < height < 1800
    # L2 lies a third to a half of the way down from the crown.
    assert 0.3 < (person.points_lps[:, 2].max() - centre[2]) / height < 0.5
    lower = body_mesh("T8", centre, arms_up=False)
    assert lower.points_lps[:, 2].max() < person.points_lps[:, 2].max() - 150


def test_levels_are_placed_from_l3() -> None:
    assert above_l3("L3") == 0.0
    assert above_l3("L2") == 36.0
    assert above_l3("L5") == -72.0
    assert above_l3("T12") == 36.0 + 36.0 + 25.0
    assert above_l3("sacrum") == 0.0


def test_the_film_decodes_lasts_under_a_minute_and_carries_the_captions(
    played: dict[str, Played], tmp_path: Path
) -> None:
    path = write_walkthrough(tmp_path / "walkthrough.mp4", tuple(played.values()))
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert seconds <= LONGEST_S
    assert count == 8 * len(list(played["spine"].frames()))
    assert seconds == pytest.approx(count / RATE, abs=0.1)
    picked = [k * count // 8 + 2 for k in range(8)]
    for one, seen in zip(played.values(), decoded(path, picked), strict=True):
        wanted = band(one.heading, one.chapter.captions[0]).astype(int)
        other = band(one.heading, "No such words at all in this film").astype(int)
        strip = seen[SCENE[1] :].astype(int)
        assert np.mean(np.abs(strip - wanted)) < 8.0
        assert np.mean(np.abs(strip - other)) > np.mean(np.abs(strip - wanted)) + 1.0


def decoded(path: Path, numbers: list[int]) -> list[NDArray[np.uint8]]:
    """Decode some frames by their numbers; refuses anything but H.264 with 4:2:0 colour."""
    chosen = "+".join(f"eq(n\\,{number})" for number in numbers)
    call = ["-i", str(path), "-vf", f"select={chosen}", "-fps_mode", "passthrough", "-f", "rawvideo"]
    program = imageio_ffmpeg.get_ffmpeg_exe()
    done = subprocess.run([program, *call, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    assert re.search(rb"Video: h264 .*yuv420p.*1280x720", done.stderr)
    return list(np.frombuffer(done.stdout, np.uint8).reshape(-1, FRAME[1], FRAME[0], 3))


def test_a_film_beyond_a_minute_is_refused(played: dict[str, Played], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a film of 9 chapters lasts 63 s, allowed are 60"):
        write_walkthrough(tmp_path / "long.mp4", (*played.values(), played["spine"]))
    assert not (tmp_path / "long.mp4").exists()


def test_a_run_without_bones_is_refused(small_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    shutil.rmtree(run / "fields")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["run"]["paths"] = {}
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(InputError, match="has neither labels where they were nor fields"):
        play(patient_case(read_run_folder(run)), WORDS)


@pytest.mark.parametrize("count", [3, 12, 30])
def test_captions_fit_the_band(count: int) -> None:
    heading = Heading(1, 8, "x", "notice")
    strip = band(heading, " ".join(["needle"] * count))
    assert strip.shape == (BAND, FRAME[0], 3)
    if count < 30:
        assert (strip[:, :40] == strip[0, 0]).all()
        assert (strip[:, -40:] == strip[0, 0]).all()


def test_every_caption_of_the_catalogue_fits(few_moments: None) -> None:
    heading = Heading(1, 8, "x", "")
    for key, text in WORDS.sentences():
        if ".captions" in key:
            filled = text.replace("{level}", WORDS.level("T11")).replace("{ml}", "12.5")
            strip = band(heading, filled)
            assert (strip[:, :40] == strip[0, 0]).all(), key


def test_dashes_are_ink_on_paper() -> None:
    grey = np.full((SCENE[1], SCENE[0], 3), 128, np.uint8)
    drawn = dashed(grey, [(100.0, 300.0), (500.0, 300.0)])[300, 100:500]
    colours = {tuple(int(value[k : k + 2], 16) for k in (1, 3, 5)) for value in (INK, PAPER)}
    assert {tuple(int(c) for c in pixel) for pixel in drawn} >= colours


def test_a_frame_is_the_scene_above_the_band() -> None:
    frame = framed(np.zeros((SCENE[1], SCENE[0], 3), np.uint8), Heading(2, 7, "Your fracture", "n"), "Words")
    assert frame.shape == (FRAME[1], FRAME[0], 3)


def test_these_checks_can_fail(balloon_run: Path, monkeypatch: pytest.MonkeyPatch, few_moments: None) -> None:
    """A film whose cement ignores the moment shows it all from the start, and the growth test would see it."""
    whole: Callable[..., Mesh | None] = walkthrough_scenes.filling_mesh
    monkeypatch.setattr(walkthrough_scenes, "filling_mesh", lambda filling, second: whole(filling, 1e9))
    monkeypatch.setattr(walkthrough, "chapters", lambda case, words: chapters(case, words)[5:6])
    (one,) = play(patient_case(read_run_folder(balloon_run)), WORDS)
    blue = [coloured(picture, "b", "r", 50) for picture in one.pictures]
    assert blue[0] > 1000
    assert not blue[2] < 0.5 * blue[3]


def test_the_grid_of_these_tests_is_turned() -> None:
    assert AFFINE[0, 0] < 0  # a forgotten affine would show
