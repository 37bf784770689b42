"""Which optional parts are installed: probed before a run, so that nothing crashes at its end."""

from importlib.util import find_spec

EXTRAS = {
    "report": ("matplotlib", "imageio_ffmpeg", "vtkmodules", "jinja2", "weasyprint"),
    "dicom": ("highdicom",),
    "fhir": ("fhir",),
}
"""The modules that tell whether an extra is installed."""


def missing_extra(name: str) -> str | None:
    """Return the remedy if an extra is not installed, ``None`` if it is."""
    if all(find_spec(module) for module in EXTRAS[name]):
        return None
    return f"install the extra with: pip install 'vertecast[{name}]'"
