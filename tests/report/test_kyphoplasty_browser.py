"""A kyphoplasty's report and patient page in a real browser: what moves is seen, no error, no request.

The report: the balloon fills and leaves, the bone rises. The patient page: eight chapters with the walk-through's own
pictures, stepped through by buttons, keys and the clock, all of them on paper, without script and for eyes that want
no motion; and it reads plainly.
"""

import json
import re
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray
from tests.report.small_run import LEVEL
from tests.report.test_case_report import with_balloon
from tests.report.test_case_report_browser import READY, Visit, browser, orange
from tests.report.test_lifted import lifted_run
from tests.report.test_patient_page import WORDS, body, sentences, textstat

from vertecast.report.case_report import make_case_report
from vertecast.report.case_report_run import read_run_folder
from vertecast.report.patient_case import patient_case
from vertecast.report.patient_page import make_patient_page
from vertecast.report.view3d import make_scene
from vertecast.report.walkthrough import play, write_walkthrough
from vertecast.report.walkthrough_chapters import KEYS
from vertecast.report.walkthrough_scenes import SCENES

__all__ = ["browser"]


@pytest.fixture(scope="module")
def lifted(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("kyphoplasty") / "run"
    lifted_run(small_run, run, keyframes=False)
    with_balloon(run)
    shutil.rmtree(run / "fluoro")
    return run


@pytest.fixture(scope="module")
def visit(browser: Any, lifted: Path) -> Visit:
    path = lifted / "report.html"
    path.write_text(make_case_report(read_run_folder(lifted)).html(), encoding="utf-8")
    visit = Visit(browser, path)
    visit.page.wait_for_function(READY, timeout=60_000)
    return visit


def blue(pixels: NDArray[np.float64]) -> int:
    red, green, colour = (pixels[..., k] for k in range(3))
    return int(((colour > 0.4) & (colour - red > 0.1) & (green - red > 0.05)).sum())


def test_balloon_and_cement_both_get_room_on_the_slider(lifted: Path) -> None:
    scene = make_scene(read_run_folder(lifted))
    assert scene is not None
    shares, seconds = np.array(scene.course).T
    assert shares[0] == 0.0
    assert shares[-1] == pytest.approx(1.0)
    assert (np.diff(shares) > 0).all()
    assert (np.diff(seconds) > 0).all()
    assert scene.span_s == (seconds[0], seconds[-1])
    balloon, cement = (np.interp((a, b), seconds, shares) for a, b in ((100.0, 160.0), (300.0, 360.0)))
    assert np.ptp(balloon) > 0.3
    assert np.ptp(cement) > 0.3


def test_the_balloon_fills_and_leaves_and_the_cement_follows(visit: Visit) -> None:
    seen = {}
    for value in (0, 150, 400, 560, 1000):
        text = visit.slide(value)
        pixels = visit.canvas()
        seen[value] = (blue(pixels), int(orange(pixels).sum()), text)
    letters = seen[0][0]  # the edges of the dark blue letters, before anything is filled
    assert letters < 200
    assert seen[400][0] > letters + 300
    assert abs(seen[1000][0] - letters) < 50
    assert all(seen[value][1] < 20 for value in (0, 150, 400))
    assert seen[1000][1] > 100
    assert "2.5 mL cement" in seen[1000][2]


def test_the_bone_rises_in_the_view(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Left", exact=True).click()
    for name in ("balloon", "cement", "needles"):
        visit.page.get_by_label(name, exact=True).uncheck()
    visit.slide(0)
    before = visit.canvas()
    visit.slide(300)
    assert np.abs(visit.canvas() - before).mean() > 1e-3
    visit.slide(0)
    assert np.abs(visit.canvas() - before).mean() < 1e-4  # and it is the bone alone that moved
    for name in ("balloon", "cement", "needles"):
        visit.page.get_by_label(name, exact=True).check()


def test_no_error_no_request_and_the_references_are_reached(visit: Visit) -> None:
    assert visit.said == []
    assert visit.asked == [visit.page.url.split("#")[0]]
    assert visit.page.locator("#balloon svg.chart").count() == 1
    assert f"{LEVEL}: rise of the superior endplate" in (visit.page.locator("#balloon").text_content() or "")
    links = visit.page.locator('a[href^="#ref-"]')
    for k in range(links.count()):
        target = links.nth(k).get_attribute("href")
        assert visit.page.locator(str(target)).count() == 1


def test_on_paper_the_stills_stand_and_nothing_is_folded(visit: Visit) -> None:
    visit.page.emulate_media(media="print")
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert visit.page.locator(".stills img").first.is_visible()
    assert not visit.page.locator("#viewer").is_visible()
    assert visit.page.locator("details:not([open])").count() == 0
    visit.page.emulate_media(media="screen")


MOMENTS = 6


@pytest.fixture(scope="module")
def patient_html(lifted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The patient page and the film of the kyphoplasty, few moments of each chapter drawn."""
    run = tmp_path_factory.mktemp("patient") / "run"
    shutil.copytree(lifted, run)
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    plan["levels"][LEVEL]["procedure"] = "kyphoplasty"
    (run / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    q = {"low": None, "high": None, "method": "simulated"}
    shape = {
        "height_regained_mm": {"middle": {"value": 2.1, **q}},
        "height_kept_mm": {"middle": {"value": 0.9, **q}},
    }
    (run / "outcome.json").write_text(json.dumps({"levels": {LEVEL: {"shape": shape}}}), encoding="utf-8")
    case, before = patient_case(read_run_folder(run)), dict(SCENES)
    SCENES.update({key: (draw, MOMENTS) for key, (draw, _) in before.items()})
    try:
        played = play(case, WORDS)
    finally:
        SCENES.update(before)
    write_walkthrough(run / "walkthrough.mp4", played)
    return make_patient_page(case, WORDS, played, film="walkthrough.mp4").write_html(run / "patient.html")


@pytest.fixture(scope="module")
def patient(browser: Any, patient_html: Path) -> Visit:
    return Visit(browser, patient_html)


def shown(page: Any) -> list[str]:
    return [str(one.get_attribute("id")) for one in page.locator(".step").all() if one.is_visible()]


def still(page: Any) -> NDArray[np.float64]:
    """The pixels of the one picture that is seen."""
    pictures = [one for one in page.locator(".still").all() if one.is_visible()]
    assert len(pictures) == 1
    return np.asarray(imread(BytesIO(pictures[0].screenshot()))[..., :3], float)


def green(pixels: NDArray[np.float64]) -> int:
    red, colour, _ = (pixels[..., k] for k in range(3))
    return int((colour - red > 0.16).sum())


def test_a_kyphoplasty_has_eight_chapters_each_with_its_own_picture(patient: Visit) -> None:
    page, seen, titles = patient.page, [], []
    page.focus("#walk")
    page.keyboard.press("Home")
    for number in range(1, len(KEYS) + 1):
        assert shown(page) == [f"step-{number}"]
        assert page.inner_text("#where") == f"{number} / 8"
        titles.append(page.inner_text(f"#step-{number} h3"))
        seen.append(still(page))
        if number < len(KEYS):
            page.click("#next")
    assert page.is_disabled("#next")
    assert [re.sub(r"^\d\s*", "", title) for title in titles] == [WORDS.say(f"chapter.{key}.title") for key in KEYS]
    assert all(picture.std() > 0.05 for picture in seen)  # drawn, not blank
    changed = [
        np.abs(one - other).mean() for k, one in enumerate(seen) for other in seen[:k] if one.shape == other.shape
    ]
    assert min(changed) > 2e-3
    balloon = KEYS.index("balloon")
    counts = [green(picture) for picture in seen]
    assert counts[balloon] > 300 > 10 * max(counts[:balloon] + counts[balloon + 1 :])


def test_keys_step_and_the_clock_plays_the_stills_of_a_chapter(patient: Visit) -> None:
    page = patient.page
    page.focus("#walk")
    page.keyboard.press("End")
    assert shown(page) == ["step-8"]
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert shown(page) == ["step-5"]
    full = green(still(page))
    page.click("#play")
    assert page.inner_text("#play") == WORDS.say("ui.pause")
    assert green(still(page)) < 0.2 * full  # played from its beginning: the balloon is not filled yet
    page.wait_for_function("document.querySelectorAll('#step-5 .still')[2].classList.contains('shown')", timeout=20_000)
    assert green(still(page)) > 0.9 * full
    page.click("#play")


def test_motion_and_script_are_not_needed_and_paper_has_all_eight(
    browser: Any, patient: Visit, patient_html: Path
) -> None:
    calm = browser.new_page(reduced_motion="reduce")
    calm.goto(patient_html.as_uri())
    assert not calm.is_visible("#play")
    calm.click("#next")
    assert shown(calm) == ["step-2"]
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(patient_html.as_uri())
    assert len(shown(plain)) == 8
    patient.page.emulate_media(media="print")
    assert len(shown(patient.page)) == 8
    assert len([one for one in patient.page.locator(".still").all() if one.is_visible()]) == 8
    patient.page.emulate_media(media="screen")


def test_the_patient_page_asks_for_nothing_and_its_film_is_beside_it(patient: Visit, patient_html: Path) -> None:
    assert patient.said == []
    assert [url for url in patient.asked if not url.startswith("data:")] == [patient_html.as_uri()]
    href = patient.page.locator("#walk a").first.get_attribute("href")
    assert (patient_html.parent / str(href)).stat().st_size > 10_000


def test_the_whole_kyphoplasty_page_reads_at_sixth_grade_or_below(patient_html: Path) -> None:
    html = patient_html.read_text(encoding="utf-8")
    text = body(html)
    assert "the bone was lifted by 2.1 mm" in text
    assert "0.9 mm of it" in text
    plain = re.sub(r"\b(" + "|".join(WORDS.glossary) + r")\b", "", sentences(text), flags=re.IGNORECASE)
    assert textstat.flesch_kincaid_grade(plain) <= 6.0
