"""A kyphoplasty's report in a real browser: the balloon fills and leaves, the bone rises, no error and no request."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.report.small_run import LEVEL
from tests.report.test_case_report import with_balloon
from tests.report.test_case_report_browser import READY, Visit, browser, orange
from tests.report.test_lifted import lifted_run

from vertecast.report.case_report import make_case_report
from vertecast.report.case_report_run import read_run_folder
from vertecast.report.view3d import make_scene

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
