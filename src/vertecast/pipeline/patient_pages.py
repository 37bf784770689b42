"""Write what a patient reads and sees of a run folder: ``patient.html``, ``patient.pdf`` and ``walkthrough.mp4``."""

from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vertecast.core.errors import VertecastError
from vertecast.pipeline.manifest import Record

if TYPE_CHECKING:
    from vertecast.report.case_report_run import RunFolder
    from vertecast.report.walkthrough import Played

HTML, PDF, FILM = "patient.html", "patient.pdf", "walkthrough.mp4"
_REMEDY = "install the extra with: pip install 'vertecast[report]'"
_PICTURES = "walk-through pictures"
_NEEDED = {
    HTML: ("jinja2", "PIL"),
    PDF: ("jinja2", "PIL", "weasyprint"),
    _PICTURES: ("vtkmodules", "PIL"),
    FILM: ("imageio_ffmpeg", "vtkmodules", "PIL"),
}
PATIENT_ARTEFACTS = (*_NEEDED,)
"""What may be noted as skipped."""


def missing_for_patient() -> dict[str, str]:
    """Return each artefact that cannot be made on this machine, with the remedy: asked before a long run."""
    missing = {name: _REMEDY for name, modules in _NEEDED.items() if not all(find_spec(one) for one in modules)}
    if PDF not in missing:
        try:
            import_module("weasyprint")
        except OSError as exc:
            missing[PDF] = f"a system library is missing ({str(exc).splitlines()[0]}); install libpango-1.0-0"
    return missing


def write_patient_pages(
    run: "RunFolder", staging: Path, record: Record, *, wait: Callable[[], None] = lambda: None
) -> dict[str, str]:
    """Write the three files to a folder; return each with what it holds. What cannot be made is noted as skipped.

    Parameters
    ----------
    wait : called before a PDF is set: two at a time in one process are not safe
    """
    missing = missing_for_patient()
    for artefact, remedy in missing.items():
        record.skip(artefact, remedy)
    if HTML in missing:
        return {}
    from vertecast.report.patient_case import patient_case
    from vertecast.report.patient_page import make_patient_page
    from vertecast.report.patient_words import load_catalogue
    from vertecast.report.walkthrough import filming, play

    words = load_catalogue()
    case = patient_case(run)
    played: tuple[Played, ...] = ()
    absent, outputs = "", {}
    if _PICTURES not in missing:
        film = None if FILM in missing else filming(staging / FILM)
        try:
            with record.stage("Drawing the walk-through and its film"), film or nullcontext(_unseen) as shown:
                played = play(case, words, record.observer, shown=shown)
        except VertecastError as exc:
            record.skip(_PICTURES, str(exc))
    if not played:
        absent = words.say("ui.absent", what=words.say("heading.pictures"))
    elif FILM not in missing:
        outputs[FILM] = "the walk-through as a captioned film"
    wait()
    with record.stage("Writing the patient page"):
        page = make_patient_page(case, words, played, film=FILM if FILM in outputs else None, absent=absent)
        page.write_html(staging / HTML)
        outputs[HTML] = "the patient's page: the operation, the walk-through, questions for the doctor"
        if PDF not in missing:
            page.write_pdf(staging / PDF)
            outputs[PDF] = "the patient's page on A4"
    return outputs


def _unseen(_: "Played") -> None:
    """Do nothing with a chapter: there is no film."""
