"""The report in a real browser, from the disk: no error, no request, the 3-D view moves with slider, buttons and keys.

Needs Chromium, and software WebGL. Where the real CTs are, a missing browser fails: a skip would hide it.
"""

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from vertecast.report.case_report import CaseReport

ARGUMENTS = ["--no-sandbox", "--headless=new", "--enable-unsafe-swiftshader", "--disable-background-networking"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
READY = "document.querySelector('canvas')?.dataset.ready === 'yes'"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        said = f"no browser found ({', '.join(NAMES)}): apt-get install chromium"
        pytest.fail(said) if DATA.is_dir() else pytest.skip(said)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """A page with what its console said and what it asked for."""

    def __init__(self, browser: Any, path: Path, *, script: str = "") -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_page(viewport={"width": 900, "height": 900})
        self.page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        if script:
            self.page.add_init_script(script)
        self.page.goto(path.as_uri())

    def canvas(self) -> NDArray[np.float64]:
        return np.asarray(imread(BytesIO(self.page.locator("canvas").screenshot()))[..., :3], float)

    def slide(self, value: int) -> str:
        slider = self.page.locator("[data-role=time]")
        slider.evaluate("(one, v) => { one.value = v; one.dispatchEvent(new Event('input')); }", value)
        return str(self.page.locator("[data-role=readout]").text_content())


@pytest.fixture(scope="module")
def written(small_report: CaseReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(small_report.html(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def visit(browser: Any, written: Path) -> Visit:
    visit = Visit(browser, written)
    visit.page.wait_for_function(READY, timeout=60_000)
    return visit


def orange(pixels: NDArray[np.float64]) -> NDArray[np.bool_]:
    red, green, blue = (pixels[..., k] for k in range(3))
    return np.asarray((red > 0.5) & (red - blue > 0.3) & (red - green > 0.15))


def test_it_opens_without_an_error_or_a_request(visit: Visit, written: Path) -> None:
    assert visit.said == []
    assert visit.asked == [written.as_uri()]
    assert visit.page.evaluate("document.documentElement.dataset.viewer") == "webgl"
    assert not visit.page.locator(".stills").is_visible()


def test_the_slider_grows_the_cement(visit: Visit) -> None:
    counts, triangles, texts = [], [], []
    for value in (0, 600, 1000):
        texts.append(visit.slide(value))
        counts.append(int(orange(visit.canvas()).sum()))
        triangles.append(int(visit.page.locator("canvas").get_attribute("data-triangles")))
    assert triangles[0] == 0
    assert triangles[0] < triangles[1] < triangles[2]
    assert counts[0] < 20 < counts[1] < counts[2]
    assert "0.0 mL cement" in texts[0]
    assert "2.5 mL cement" in texts[2]
    assert "needle taken out" in texts[2]
    assert visit.page.locator("[data-role=time]").get_attribute("aria-valuetext") == texts[2]


def test_sides_are_where_a_surgeon_looks_for_them(visit: Visit) -> None:
    visit.slide(1000)
    middle = {}
    for name in ("Anterior", "Posterior"):
        visit.page.get_by_role("button", name=name, exact=True).click()
        columns = np.nonzero(orange(visit.canvas()))[1]
        middle[name] = columns.mean() / visit.canvas().shape[1]
    assert middle["Anterior"] > 0.51  # cement on the patient's left
    assert middle["Posterior"] < 0.49


def test_keys_turn_zoom_and_look(visit: Visit) -> None:
    visit.slide(1000)
    canvas = visit.page.locator("canvas")
    canvas.focus()
    seen = [visit.canvas()]
    for key in ("a", "ArrowLeft", "ArrowUp", "+", "s"):
        canvas.press(key)
        seen.append(visit.canvas())
        assert np.abs(seen[-1] - seen[-2]).mean() > 1e-3, key


def test_parts_can_be_hidden(visit: Visit) -> None:
    visit.slide(1000)
    box = visit.page.get_by_label("cement", exact=True)
    box.uncheck()
    hidden = int(orange(visit.canvas()).sum())
    box.check()
    assert hidden < 20 < int(orange(visit.canvas()).sum())


def test_play_moves_the_clock(visit: Visit) -> None:
    visit.slide(0)
    button = visit.page.locator("[data-role=play]")
    button.click()
    visit.page.wait_for_function("Number(document.querySelector('[data-role=time]').value) > 10", timeout=20_000)
    assert button.text_content() == "Pause"
    button.click()
    assert button.text_content() == "Play"


def test_without_webgl_the_pictures_stay(browser: Any, written: Path) -> None:
    visit = Visit(browser, written, script="HTMLCanvasElement.prototype.getContext = () => null;")
    assert visit.page.evaluate("document.documentElement.dataset.viewer") == "pictures"
    assert not visit.page.locator("#viewer").is_visible()
    assert visit.page.locator(".stills img").count() == 3
    assert visit.page.locator(".stills img").first.is_visible()
    assert visit.said == []
    visit.page.close()


def test_print_shows_the_pictures_and_unfolds(visit: Visit) -> None:
    visit.page.emulate_media(media="print")
    assert visit.page.locator(".stills img").first.is_visible()
    assert not visit.page.locator("#viewer").is_visible()
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert visit.page.evaluate("[...document.querySelectorAll('details')].every(one => one.open)")
    visit.page.emulate_media(media="screen")


def test_these_checks_can_fail(browser: Any, tmp_path: Path) -> None:
    """An error and a request of a page are noticed."""
    path = tmp_path / "bad.html"
    path.write_text("<img src='file:///nowhere.png'><script>throw new Error('broken')</script>", encoding="utf-8")
    visit = Visit(browser, path)
    assert any("broken" in said for said in visit.said)
    assert len(visit.asked) == 2
    visit.page.close()
