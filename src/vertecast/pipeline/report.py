"""Write the report of a run folder, the surgeon's and the patient's, and say so in its manifest."""

import json
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vertecast.core.observer import SILENT, Observer
from vertecast.pipeline.folder import MANIFEST, run_folder, write_json
from vertecast.pipeline.manifest import Record
from vertecast.pipeline.patient_pages import PATIENT_ARTEFACTS, write_patient_pages

HTML, PDF = "report.html", "report.pdf"
_REMEDY = "install the extra with: pip install 'vertecast[report]'"
_NEEDED = {HTML: ("jinja2", "matplotlib", "PIL"), "3-D view": ("vtkmodules",), PDF: ("weasyprint",)}


@dataclass(frozen=True, slots=True)
class Reported:
    """Where the report was written, and what had to be left out."""

    folder: Path
    files: tuple[str, ...]
    skipped: tuple[dict[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the answer of ``vertecast report --json``."""
        return {
            "folder": str(self.folder),
            "files": [{"file": name, "bytes": (self.folder / name).stat().st_size} for name in self.files],
            "skipped": list(self.skipped),
        }


def missing_for_report() -> dict[str, str]:
    """Return each artefact that cannot be made on this machine, with the remedy: asked before a long run.

    The PDF's library needs Pango of the system, which only loading it shows.
    """
    missing = {name: _REMEDY for name, modules in _NEEDED.items() if not all(find_spec(one) for one in modules)}
    if PDF not in missing:
        try:
            import_module("weasyprint")
        except OSError as exc:
            missing[PDF] = f"a system library is missing ({str(exc).splitlines()[0]}); install libpango-1.0-0"
    return missing


def report_case(folder: Path, observer: Observer = SILENT) -> Reported:
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
        return Reported(folder, (), tuple(record.skipped))
    from vertecast.report.case_report import make_case_report

    outputs = {HTML: "the surgeon's report with the interactive 3-D view"}
    with run_folder(folder) as staging:
        with record.stage("Composing the report"):
            report = make_case_report(run, observer)
            (staging / HTML).write_text(report.html(), encoding="utf-8")
        if PDF not in missing:
            with record.stage("Setting the PDF"):
                report.write_pdf(staging / PDF)
            outputs[PDF] = "the surgeon's report on A4"
        outputs |= write_patient_pages(run, staging, record)
        if "manifest" in run.documents:
            write_json(staging / MANIFEST, _continued(folder, record, outputs))
    return Reported(folder, tuple(outputs), tuple(record.skipped))


def _continued(folder: Path, record: Record, outputs: dict[str, str]) -> dict[str, Any]:
    """Return the run's manifest with the report's files, skips and seconds; all else stays as it is."""
    before: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    now = record.manifest(outputs)
    files = {one["file"]: one for one in (*before["outputs"], *now["outputs"])}
    names = {stage["name"] for stage in now["run"]["stages"]}
    stages = [one for one in before["run"]["stages"] if one["name"] not in names]
    artefacts = (*_NEEDED, *PATIENT_ARTEFACTS)
    kept = [one for one in before["skipped"] if one["artefact"] not in artefacts]
    return {
        **before,
        "skipped": [*kept, *now["skipped"]],
        "outputs": [files[name] for name in sorted(files)],
        "run": {**before["run"], "stages": [*stages, *now["run"]["stages"]]},
    }
