"""The patient page: one HTML file that needs nothing else, and the same as PDF."""

import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from vertecast.core.files import atomic_path
from vertecast.core.parameters import data_file
from vertecast.report.case_report_references import linked
from vertecast.report.patient_case import PatientCase
from vertecast.report.patient_sections import Item, sections
from vertecast.report.patient_words import Catalogue
from vertecast.report.walkthrough import Played
from vertecast.report.walkthrough_chapters import Chapter, chapters
from vertecast.report.walkthrough_frame import FONTS, jpeg

_STILL_PX = 960
_FACES = {"regular": 400, "bold": 700}


@dataclass(frozen=True, slots=True)
class Still:
    """A picture within the page, with what it shows."""

    source: str
    alt: str


@dataclass(frozen=True, slots=True)
class Step:
    """One chapter as the page shows it."""

    number: int
    title: str
    captions: tuple[str, ...]
    more: str
    stills: tuple[Still, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PatientPage:
    """The page, ready to be written."""

    html: str

    def write_html(self, path: Path) -> Path:
        """Write the page."""
        with atomic_path(path) as temporary:
            temporary.write_text(self.html, encoding="utf-8")
        return path

    def write_pdf(self, path: Path) -> Path:
        """Write the page on A4; the chapters stand one below the other."""
        # Loaded here: the [report] extra, which needs Pango of the system. Untyped.
        weasyprint: Any = import_module("weasyprint")
        logging.getLogger("weasyprint").setLevel(logging.ERROR)  # it reports every CSS rule of the screen
        with atomic_path(path) as temporary:
            weasyprint.HTML(string=self.html).write_pdf(str(temporary))
        return path


def make_patient_page(
    case: PatientCase, words: Catalogue, played: tuple[Played, ...] = (), *, film: str | None = None, absent: str = ""
) -> PatientPage:
    """Compose the page of a case.

    Parameters
    ----------
    played : the walk-through's pictures; without them the chapters are words only
    film : name of the film beside the page
    absent : why there are no pictures, in a sentence
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(_text("patient.html.j2"))
    told, sources = sections(case, words)
    link = linked(sources.works)
    html = template.render(
        words=words,
        say=words.say,
        lead=words.say("ui.lead" if case.run.document("simulation") else "ui.lead_scan"),
        case_id=case.run.case_id,
        css=Markup(_fonts() + _text("patient.css")),
        script=Markup(_text("patient.js")),
        steps=_steps(case, words, played),
        sections=told,
        sources=[link(one) for one in sources.listed],
        works=sorted(sources.works, key=lambda work: (bool(work.not_public), work.label.lower())),
        marks=_marker(Markup),
        film=film,
        absent=absent,
    )
    return PatientPage(html)


def _steps(case: PatientCase, words: Catalogue, played: tuple[Played, ...]) -> tuple[Step, ...]:
    drawn = {one.chapter.key: one for one in played}
    steps = []
    for number, chapter in enumerate(chapters(case, words), start=1):
        stills = drawn[chapter.key].stills() if chapter.key in drawn else ()
        shown = tuple(
            Still(_data_uri(jpeg(still, _STILL_PX), "image/jpeg"), _alt(words, number, chapter, k))
            for k, still in enumerate(stills)
        )
        steps.append(Step(number, chapter.title, chapter.captions, chapter.more, shown))
    return tuple(steps)


def _alt(words: Catalogue, number: int, chapter: Chapter, index: int) -> str:
    caption = chapter.captions[min(index, len(chapter.captions) - 1)]
    return words.say("ui.picture_alt", number=number, title=chapter.title, caption=caption)


def _marker(markup: Any) -> Callable[[Item], Any]:
    """Return what turns an item's sources into small linked numbers."""

    def marks(item: Item) -> Any:
        return markup("").join(
            markup('<sup><a href="#source-{0}">{0}</a></sup>').format(number) for number in item.sources
        )

    return marks


def _fonts() -> str:
    return "".join(
        f"@font-face {{ font-family: Hyperlegible; font-weight: {_FACES[name]}; "
        f"src: url({_data_uri(data_file(path).read_bytes(), 'font/woff2')}) format('woff2'); }}\n"
        for name, path in FONTS.items()
    )


def _text(name: str) -> str:
    return data_file(f"patient/{name}").read_text(encoding="utf-8")


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
