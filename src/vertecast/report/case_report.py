"""The surgeon's report of a run folder: one HTML file that needs no network, and the same as PDF."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata, resources
from pathlib import Path
from typing import Any

from vertecast.core.observer import SILENT, Observer
from vertecast.core.parameters import data_file
from vertecast.report.case_report_balloon import balloon_section
from vertecast.report.case_report_blocks import Section
from vertecast.report.case_report_findings import fracture_section, indication_section, patient_section
from vertecast.report.case_report_limits import glance_rows, limits_section, parameters_section
from vertecast.report.case_report_outcome import adjacent_section, mechanics_section, population_section
from vertecast.report.case_report_plan import plan_section
from vertecast.report.case_report_procedure import (
    cement_section,
    fluoroscopy_section,
    temperature_section,
    view_blocks,
)
from vertecast.report.case_report_references import linked, with_references, works_of
from vertecast.report.case_report_run import RunFolder
from vertecast.report.case_report_words import capital, spoken
from vertecast.report.view3d import Scene3D

LARGEST_HTML_MB = 15.0
_LOOKS = (
    ("PLS", "Oblique"),
    ("A", "Anterior"),
    ("P", "Posterior"),
    ("L", "Left"),
    ("R", "Right"),
    ("S", "Superior"),
    ("I", "Inferior"),
)


@dataclass(frozen=True, slots=True, eq=False)
class CaseReport:
    """A report before it is written: its sections, and the 3-D scene as JSON (empty without one)."""

    run: RunFolder
    sections: tuple[Section, ...]
    scene_json: str

    def html(self, *, paper: bool = False) -> str:
        """Return the page; for ``paper`` with everything unfolded, still pictures and no script."""
        from jinja2 import Environment, StrictUndefined

        folder = resources.files("vertecast.report") / "templates"
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters["linked"] = linked(works_of(self.sections))
        template = environment.from_string((folder / "case_report.html.j2").read_text(encoding="utf-8"))
        script = "" if paper or not self.scene_json else data_file("web/viewer.min.js").read_text(encoding="utf-8")
        return template.render(
            css=_plain((folder / "case_report.css").read_text(encoding="utf-8")),
            paper=paper,
            sections=self.sections,
            scene=self.scene_json,
            script=script,
            looks=_LOOKS,
            glance=glance_rows(self.run),
            **_titles(self.run),
        )

    def write_pdf(self, path: Path) -> None:
        """Write the page on A4."""
        weasyprint: Any = import_module("weasyprint")  # untyped
        logging.getLogger("weasyprint").setLevel(logging.ERROR)  # it reports every CSS rule of the screen
        weasyprint.HTML(string=self.html(paper=True)).write_pdf(path)


def make_case_report(run: RunFolder, observer: Observer = SILENT) -> CaseReport:
    """Gather everything the report shows; what the run does not hold becomes a sentence.

    Raises
    ------
    InputError
        If a field of the run is there but damaged.
    """
    scene, stills, why = _scene(run)
    view, filled = view_blocks(scene, stills, why), scene is not None and bool(scene.fillings)
    makers: tuple[Callable[[], Section], ...] = (
        lambda: patient_section(run),
        lambda: fracture_section(run),
        lambda: indication_section(run),
        lambda: plan_section(run, [] if filled else view),
        lambda: fluoroscopy_section(run),
        lambda: balloon_section(run),
        lambda: cement_section(run, view if filled else []),
        lambda: temperature_section(run),
        lambda: mechanics_section(run),
        lambda: adjacent_section(run),
        lambda: population_section(run),
        lambda: limits_section(run),
        lambda: parameters_section(run),
    )
    observer.begin("Composing the report", len(makers))
    sections = []
    for make in makers:
        sections.append(make())
        observer.advance()
    return CaseReport(run, with_references(sections), _encoded(scene))


def _scene(run: RunFolder) -> tuple[Scene3D | None, list[tuple[str, Any]], str]:
    """Return the scene and its stills, or the reason why there is none."""
    try:
        import vtkmodules.vtkRenderingOpenGL2  # noqa: F401
    except ImportError as exc:
        return None, [], f"vtk cannot be loaded ({exc})"
    from vertecast.report.scene3d import LOOKS, scene_pictures
    from vertecast.report.view3d import make_scene

    scene = make_scene(run)
    if scene is None:
        return None, [], "the run holds neither labels, needles nor fields"
    pictures = scene_pictures(scene)
    return scene, [(look.name, pixels) for look, pixels in zip(LOOKS, pictures, strict=True)], ""


def _encoded(scene: Scene3D | None) -> str:
    if scene is None:
        return ""
    from vertecast.report.view3d_data import scene_json

    return scene_json(scene)


def _titles(run: RunFolder) -> dict[str, str]:
    procedures = dict.fromkeys(
        str(one) for level in run.levels if (one := run.level("plan", level).get("procedure")) is not None
    )
    what = capital(spoken(" and ".join(procedures))) if procedures else "Vertebral measurements"
    levels = ", ".join(run.levels)
    heading = f"{what} of {levels}" if levels and procedures else f"{what}{': ' + levels if levels else ''}"
    started = str(run.document("manifest").get("run", {}).get("started", ""))[:10]
    version = run.document("manifest").get("software", {}).get("vertecast", metadata.version("vertecast"))
    subtitle = " · ".join(part for part in (run.case_id, started, f"Vertecast {version}") if part)
    foot = (
        f"Vertecast {version}. Research and education; not a medical device. This page holds no name and no patient id."
    )
    return {
        "title": f"{heading}, {run.case_id}",
        "heading": heading,
        "subtitle": subtitle,
        "foot": foot,
        "version": str(version),
    }


def _plain(css: str) -> Any:
    """Return the style sheet as it is: quotes must not be escaped inside a style element."""
    from markupsafe import Markup

    return Markup(css)
