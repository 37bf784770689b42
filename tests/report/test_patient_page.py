"""The patient's page says what its run folder holds, asks the case's own questions, reads plainly and stands alone."""

import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pypdf import PdfReader
from tests.report.small_run import LEVEL, q

from vertecast.core.observer import SILENT
from vertecast.pipeline import patient_pages
from vertecast.pipeline.manifest import Record
from vertecast.report.case_report_run import read_run_folder
from vertecast.report.patient_case import patient_case
from vertecast.report.patient_drawings import dots
from vertecast.report.patient_page import PatientPage, make_patient_page
from vertecast.report.patient_questions import questions
from vertecast.report.patient_words import load_catalogue
from vertecast.report.walkthrough import Played
from vertecast.report.walkthrough_chapters import Chapter, chapters
from vertecast.report.walkthrough_frame import Heading

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # textstat's own imports
    import textstat

WORDS = load_catalogue()
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def edited(small_run: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of copies of the small run, some documents edited, some left out."""

    def make(without: tuple[str, ...] = (), **edits: Edit) -> Path:
        run = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        shutil.copytree(small_run, run)
        for name in without:
            (run / name).unlink()
        for name, edit in edits.items():
            document = json.loads((run / f"{name}.json").read_text(encoding="utf-8"))
            edit(document)
            (run / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
        return run

    return make


def pictured(run: Path) -> tuple[Played, ...]:
    """Each chapter with three flat pictures in place of drawings."""
    case = patient_case(read_run_folder(run))
    told = chapters(case, WORDS)
    flat = tuple(np.full((596, 1280, 3), shade, np.uint8) for shade in (60, 120, 180))
    return tuple(Played(one, Heading(k, len(told), one.title, ""), flat) for k, one in enumerate(told, start=1))


def page_of(run: Path, **options: Any) -> PatientPage:
    return make_patient_page(patient_case(read_run_folder(run)), WORDS, **options)


def body(html: str) -> str:
    """The text a patient reads: no styles, scripts, drawings or list of sources."""
    kept = re.sub(r"<(style|script|svg|sup)\b.*?</\1>|<section id=\"sources\".*?</section>", " ", html, flags=re.S)
    ended = re.sub(r"</(p|li|h\d|dt|dd)>", "\n", kept)
    return unescape(re.sub(r"<[^>]+>", " ", ended))


def sentences(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return " ".join(line if line[-1] in ".?!:" else f"{line}." for line in lines if len(line.split()) > 3)


def test_the_rendered_page_reads_at_sixth_grade_or_below(small_run: Path) -> None:
    text = sentences(body(page_of(small_run).html))
    plain = re.sub(r"\b(" + "|".join(WORDS.glossary) + r")\b", "", text, flags=re.IGNORECASE)
    assert len(plain.split()) > 900
    assert textstat.flesch_kincaid_grade(plain) <= 6.0


def test_every_placeholder_is_filled_and_no_name_of_the_input_is_shown(small_run: Path) -> None:
    html = page_of(small_run, played=pictured(small_run), film="walkthrough.mp4").html
    assert not re.search(r"\{\w*\}", body(html))
    assert "DOE_JANE" not in html
    assert "None" not in body(html)


def test_the_page_states_the_numbers_of_the_run(small_run: Path) -> None:
    text = body(page_of(small_run).html)
    assert "the second bone of your lower back (L2)" in text
    assert "about 27 in 100 parts lower than it should be. It could be 20 to 35 parts." in text
    assert "2.5 mL of cement went in. That is about half a teaspoon." in text
    assert "about 0.2 mL of cement left the bone through the disc" in text
    assert "at most 40 °C next to the nerves" in text


def test_sources_that_disagree_both_stand(small_run: Path) -> None:
    html = page_of(small_run).html
    assert WORDS.say("ui.two_sources") in html
    assert "5 minutes." in html
    assert "11 minutes." in html
    assert "page A" in html
    assert "page B" in html


def test_the_page_stands_alone_and_works_without_script(small_run: Path) -> None:
    html = page_of(small_run, played=pictured(small_run)).html
    # Nothing is fetched; only the papers' addresses lead elsewhere, when they are followed.
    assert not re.search(r"src=\"(?!data:image/jpeg)|(?<!<a )href=\"|href=\"(?!#|https://)", html)
    assert "source-1" in html
    assert not re.search(r"\[\d+\]|pages? S\d{2,3}|\.md\b", html.split('id="sources"')[1].split("<script>")[0])
    assert not re.search(r"url\((?!data:)", html)
    unscripted = re.sub(r"<script.*?</script>", "", html, flags=re.S)
    for chapter in chapters(patient_case(read_run_folder(small_run)), WORDS):
        assert all(caption in unescape(unscripted) for caption in chapter.captions)
    assert unscripted.count('class="still shown"') == 7
    assert 'class="controls" hidden' in unscripted


def test_every_picture_and_citation_leads_somewhere(small_run: Path) -> None:
    html = page_of(small_run, played=pictured(small_run)).html
    assert all(len(alt) > 20 for alt in re.findall(r'<img[^>]*alt="([^"]*)"', html))
    targets, ids = set(re.findall(r'href="#([^"]+)"', html)), set(re.findall(r'id="([^"]+)"', html))
    assert "source-1" in targets
    assert targets <= ids


def test_vertebroplasty_has_no_balloon_chapter_and_kyphoplasty_has(edited: Callable[..., Path]) -> None:
    def to_kyphoplasty(plan: dict[str, Any]) -> None:
        plan["levels"][LEVEL]["procedure"] = "kyphoplasty"

    without, having = (patient_case(read_run_folder(run)) for run in (edited(), edited(plan=to_kyphoplasty)))
    assert [one.key for one in chapters(without, WORDS)] == [
        "spine",
        "fracture",
        "face_down",
        "needle",
        "cement",
        "hardening",
        "home",
    ]
    assert [one.key for one in chapters(having, WORDS)][4] == "balloon"
    assert len(chapters(having, WORDS)) == 8


def test_both_procedures_stand_when_both_are_possible(edited: Callable[..., Path]) -> None:
    def open_choice(document: dict[str, Any]) -> None:
        document["levels"][LEVEL]["selection"] = {"reasons": {"possible": ["no_operation", "kyphoplasty"]}}

    one, two = page_of(edited()), page_of(edited(indication=open_choice))
    assert 'id="both"' not in one.html
    assert 'id="both"' in two.html
    assert WORDS.say("about.kyphoplasty") in two.html
    assert WORDS.say("about.kyphoplasty") not in one.html
    assert "82 of 100" in one.html
    assert "73 of 100" not in one.html


def asked(run: Path) -> tuple[str, ...]:
    return questions(patient_case(read_run_folder(run)), WORDS)


def test_questions_come_from_the_case(edited: Callable[..., Path]) -> None:
    def bulging(spine: dict[str, Any]) -> None:
        spine["vertebrae"][0]["posterior_wall"] = {"excess_mm": q(2.5, 1.1, 3.9)}

    def disputed(document: dict[str, Any]) -> None:
        for verdict, stance in zip(document["levels"][LEVEL]["verdicts"], ("for", "against"), strict=True):
            verdict.update(role="indication", state="decided", stance=stance, borderline=["height_loss_percent"])

    plain, rich = asked(edited()), asked(edited(spine=bulging, indication=disputed))
    level = WORDS.level(LEVEL)
    assert WORDS.say("missing.nrs") in plain
    assert WORDS.say("questions.leak", routes=WORDS.say("risks.route_disc")) in plain
    assert WORDS.say("questions.wait") in plain
    for key, values in (
        ("posterior_wall", {"level": level}),
        ("borderline", {"level": level}),
        ("disagree", {}),
    ):
        assert WORDS.say(f"questions.{key}", **values) in rich
        assert WORDS.say(f"questions.{key}", **values) not in plain
    assert len(set(rich)) == len(rich)


def test_a_wall_within_its_error_is_not_called_bulging(edited: Callable[..., Path]) -> None:
    def unsure(spine: dict[str, Any]) -> None:
        spine["vertebrae"][0]["posterior_wall"] = {"excess_mm": q(1.1, -0.1, 2.3)}

    assert not any("bulges" in one for one in asked(edited(spine=unsure)))


def test_what_is_absent_is_said(edited: Callable[..., Path]) -> None:
    gone = ("plan.json", "indication.json", "simulation.json", "outcome.json", "events.jsonl")
    text = body(page_of(edited(without=gone)).html)
    assert WORDS.say("before.no_check") in text
    assert WORDS.say("questions.no_simulation") in text
    assert "No computer test of this was made." in text
    assert WORDS.say("ui.lead_scan") in text
    assert WORDS.say("ui.lead") not in text
    assert "mL of cement went in" not in text


def test_no_fracture_and_no_plan_still_give_a_page(edited: Callable[..., Path]) -> None:
    def sound(spine: dict[str, Any]) -> None:
        spine["vertebrae"][0]["genant"] = {"grade": 0.0, "shape": None}

    gone = ("plan.json", "indication.json", "simulation.json", "outcome.json", "events.jsonl")
    text = body(page_of(edited(without=gone, spine=sound)).html)
    assert WORDS.say("fracture.no_level") in text


def test_a_bone_that_is_not_broken_is_not_called_broken(edited: Callable[..., Path]) -> None:
    def whole(spine: dict[str, Any]) -> None:
        spine["vertebrae"][0]["genant"] = {"grade": 0.0, "shape": None}

    run = edited(spine=whole)
    told = {one.key: one for one in chapters(patient_case(read_run_folder(run)), WORDS)}
    assert told["fracture"].captions == WORDS.lines("chapter.fracture.captions_whole")
    text = body(page_of(run).html)
    assert "This bone has cracked and sunk" not in text
    assert "By its height the second bone of your lower back (L2) is not broken. Why is it to be treated?" in text


@pytest.mark.parametrize(
    ("kind", "said"), [("own prior CT", "from your older scan"), ("nearest intact neighbours", "the bones next to it")]
)
def test_the_loss_names_what_it_was_judged_from(edited: Callable[..., Path], kind: str, said: str) -> None:
    def referred(spine: dict[str, Any]) -> None:
        spine["vertebrae"][0]["height_loss_percent"]["reference"] = {"kind": kind, "levels": ["L1"]}

    assert said in body(page_of(edited(spine=referred)).html)


def test_dots_count_and_refuse() -> None:
    drawn = dots(73, "73 of 100")
    assert drawn.count('r="5"') == 73
    assert drawn.count("<circle") == 100
    with pytest.raises(ValueError, match="count = 101 is not within 0 to 100"):
        dots(101, "")


def test_the_pdf_has_every_chapter(small_run: Path, tmp_path: Path) -> None:
    reader = PdfReader(page_of(small_run, played=pictured(small_run)).write_pdf(tmp_path / "patient.pdf"))
    text = " ".join(" ".join((page.extract_text() or "").split()) for page in reader.pages)
    assert 5 <= len(reader.pages) <= 20
    told: tuple[Chapter, ...] = chapters(patient_case(read_run_folder(small_run)), WORDS)
    assert all(one.title in text for one in told)
    assert "It is not advice" in text


def test_without_vtk_the_page_says_that_pictures_are_absent(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = patient_pages.find_spec
    monkeypatch.setattr(patient_pages, "find_spec", lambda name: None if name == "vtkmodules" else found(name))
    record = Record("report", SILENT)
    outputs = patient_pages.write_patient_pages(read_run_folder(small_run), tmp_path, record)
    assert set(outputs) == {"patient.html", "patient.pdf"}
    assert {one["artefact"] for one in record.skipped} == {"walk-through pictures", "walkthrough.mp4"}
    assert "Not made in this run: the pictures." in (tmp_path / "patient.html").read_text(encoding="utf-8")


NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        said = f"no browser found ({', '.join(NAMES)}): apt-get install chromium"
        pytest.fail(said) if DATA.is_dir() else pytest.skip(said)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--headless=new"])
        yield browser
        browser.close()


def seen(page: Any) -> list[str]:
    return [one.get_attribute("id") for one in page.locator(".step").all() if one.is_visible()]


def test_in_a_browser_the_chapters_step_by_buttons_and_keys_and_print_whole(
    browser: Any, small_run: Path, tmp_path: Path
) -> None:
    path = page_of(small_run, played=pictured(small_run)).write_html(tmp_path / "patient.html")
    page, said, requests = browser.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert seen(page) == ["step-1"]
    page.click("#next")
    assert seen(page) == ["step-2"]
    page.focus("#walk")
    page.keyboard.press("End")
    assert seen(page) == ["step-7"]
    page.keyboard.press("ArrowLeft")
    assert seen(page) == ["step-6"]
    page.click("#play")
    assert page.inner_text("#play") == "Stop"
    assert page.locator("#step-6 .still.shown").get_attribute("alt").startswith("Picture of step 6")
    page.click("#play")
    page.emulate_media(media="print")
    assert len(seen(page)) == 7
    assert said == []
    assert [url for url in requests if not url.startswith(("data:", "file:"))] == []


def test_reduced_motion_has_no_play_and_no_script_has_every_step(browser: Any, small_run: Path, tmp_path: Path) -> None:
    path = page_of(small_run, played=pictured(small_run)).write_html(tmp_path / "patient.html")
    calm = browser.new_page(reduced_motion="reduce")
    calm.goto(path.as_uri())
    assert not calm.is_visible("#play")
    assert calm.is_visible("#next")
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(path.as_uri())
    assert len(seen(plain)) == 7
    assert not plain.is_visible("#next")
