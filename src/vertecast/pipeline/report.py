"""Write the report of a run folder, the surgeon's and the patient's, and say so in its manifest."""

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vertecast.core.observer import SILENT, Observer
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.manifest import Record, Written, with_artefacts
from vertecast.pipeline.patient_pages import PATIENT_ARTEFACTS, write_patient_pages

if TYPE_CHECKING:
    from vertecast.report.case_report import CaseReport
    from vertecast.report.case_report_run import RunFolder

HTML, PDF = "report.html", "report.pdf"
_REMEDY = "install the extra with: pip install 'vertecast[report]'"
_VIEW = "3-D view"
_NEEDED = {HTML: ("jinja2", "matplotlib", "PIL"), _VIEW: ("vtkmodules",), PDF: ("weasyprint",)}
_LOADED = {
    _VIEW: ("vtkmodules.vtkRenderingOpenGL2", "install libegl1 and libgl1"),
    PDF: ("weasyprint", "install libpango-1.0-0 and libpangoft2-1.0-0"),
}


def missing_for_report() -> dict[str, str]:
    """Return each artefact that cannot be made on this machine, with the remedy: asked before a long run.

    The PDF needs Pango of the system and the 3-D view OpenGL, which only loading their libraries shows.
    """
    missing = {name: _REMEDY for name, modules in _NEEDED.items() if not all(find_spec(one) for one in modules)}
    for name, (module, remedy) in _LOADED.items():
        if name in missing:
            continue
        try:
            import_module(module)
        except (OSError, ImportError) as exc:
            missing[name] = f"a system library is missing ({str(exc).splitlines()[0]}); {remedy}"
    return missing


def report_case(folder: Path, observer: Observer = SILENT) -> Written:
    """Write the report of a run folder from its files alone.

    Raises
    ------
    InputError
        If the folder is no run folder, or one of its files is damaged.
    """
    from vertecast.report.case_report_run import read_run_folder

    run = read_run_folder(folder)
    record = Record("report", observer)
    missing = missing_for_report()
    for artefact, remedy in missing.items():
        record.skip(artefact, remedy)
    if HTML in missing:
        return Written(folder, (), tuple(record.skipped))
    from vertecast.report.case_report import LARGEST_HTML_MB, make_case_report

    outputs = {HTML: "the surgeon's report with the interactive 3-D view"}
    with run_folder(folder) as staging:
        with record.stage("Composing the report"):
            report = make_case_report(run, observer)
            (staging / HTML).write_text(report.html(), encoding="utf-8")
        size = (staging / HTML).stat().st_size / 1e6
        if size > LARGEST_HTML_MB:
            record.warn(
                f"{HTML} has {size:.1f} MB, more than {LARGEST_HTML_MB:g}; report fewer levels for a smaller one"
            )
        outputs |= _beside(report, run, staging, record, pdf=PDF not in missing)
        if "manifest" in run.documents:
            tried = {*_NEEDED, *PATIENT_ARTEFACTS}
            before = run.documents["manifest"]
            write_json(staging / MANIFEST, with_artefacts(before, record.manifest(outputs), tried.__contains__))
    return Written(folder, tuple(outputs), tuple(record.skipped))


def _beside(report: "CaseReport", run: "RunFolder", staging: Path, record: Record, *, pdf: bool) -> dict[str, str]:
    """Set the PDF beside the walk-through, whose drawing leaves a core free; return what was written."""
    if not pdf:
        return write_patient_pages(run, staging, record)
    with ThreadPoolExecutor(1) as beside:
        setting = beside.submit(report.write_pdf, staging / PDF)

        def wait() -> None:
            with record.stage("Setting the PDF"):
                setting.result()

        written = write_patient_pages(run, staging, record, wait=wait)
        setting.result()
    return {PDF: "the surgeon's report on A4"} | written
