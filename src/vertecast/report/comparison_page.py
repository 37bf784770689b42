"""The page of two runs side by side: one HTML file with the figures and the pictures of both."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

Rows = Sequence[tuple[str, str, str, str]]
_PICTURES = (
    ("pictures/plan_{level}.png", "The needles as planned"),
    ("pictures/balloon_{level}.png", "The cavity tool"),
    ("pictures/cement_{level}.png", "The cement at the end"),
    ("fluoro/{level}_ap_100.png", "Fluoroscopy at the end, AP"),
    ("fluoro/{level}_lateral_100.png", "Fluoroscopy at the end, lateral"),
)


def comparison_html(folders: Sequence[Path], case_ids: Sequence[str], levels: Mapping[str, Rows]) -> str:
    """Return the page; pictures are inlined, so that it needs neither folder nor network.

    Parameters
    ----------
    levels : for each level its rows: label, first, second, difference
    """
    from jinja2 import Environment, StrictUndefined

    home = resources.files("vertecast.report") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((home / "comparison.html.j2").read_text(encoding="utf-8"))
    # The folder's own name alone: the path above it may hold a patient's.
    names = [folder.resolve().name for folder in folders]
    runs = [f"{name} ({case})" for name, case in zip(names, case_ids, strict=True)]
    pictures = {name: _pictures(folders, name) for name in levels}
    return template.render(runs=runs, levels=levels, pictures=pictures)


def _pictures(folders: Sequence[Path], level: str) -> list[dict[str, Any]]:
    """Return the pictures that at least one run has, each with both sides."""
    found = []
    for pattern, caption in _PICTURES:
        sides = [_inlined(folder / pattern.format(level=level)) for folder in folders]
        if any(sides):
            found.append({"caption": caption, "sides": sides})
    return found


def _inlined(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" if path.is_file() else ""
