"""What the documentation site makes while it is built: equations as pictures, the references, the files' schemas.

Nothing is fetched: equations become SVG outlines inside the page.
"""

import json
import re
from html import escape
from importlib import resources
from io import StringIO
from typing import Any
from zlib import crc32

from vertecast.report.bibliography import NOTES, load_bibliography

_MATH = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Replace equations and the two marks by what they stand for."""
    text = _MATH.sub(lambda found: equation(found.group(1)), markdown)
    text = NOTES.sub("working notes", text)
    text = text.replace("<!-- references -->", references())
    return text.replace("<!-- schemas -->", schemas())


def equation(source: str) -> str:
    """Return lines of TeX as one figure of SVG outlines, its source as words for those who do not see it."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    lines = [line.strip() for line in source.strip().splitlines() if line.strip()]
    stream = StringIO()
    settings = {"svg.fonttype": "path", "mathtext.fontset": "stix", "svg.hashsalt": source}
    before = {key: rcParams[key] for key in settings}
    rcParams.update(settings)
    try:
        figure = Figure(figsize=(7.0, 0.8 * len(lines)))
        for number, line in enumerate(lines):
            figure.text(
                0.0,
                1.0 - (number + 0.5) / len(lines),
                f"${line}$".replace(r"\frac", r"\dfrac"),
                fontsize=14,
                va="center",
            )
        figure.savefig(
            stream, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.04, metadata={"Date": None}
        )
    finally:
        rcParams.update(before)
    drawing = stream.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace("\n", " ")
    # Outlines are shared by id within one drawing: each gets names of its own.
    drawing = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>e{crc32(source.encode()):08x}-", drawing)
    label = escape("; ".join(lines), quote=True)
    return f'<figure class="equation" role="img" aria-label="{label}">{drawing}</figure>'


def references() -> str:
    """Return the list of everything that a source of the software can name."""
    works = sorted(load_bibliography().works, key=lambda work: (bool(work.not_public), work.label.lower()))
    rows = [
        f"| <span id='{work.anchor}'>{escape(work.label)}</span> | {escape(work.text)} "
        f"{f'[{work.address}]({work.address})' if work.address else ''} |"
        for work in works
    ]
    return "\n".join(["| cited as | work |", "|---|---|", *rows])


def schemas() -> str:
    """Return the first two layers of every published JSON schema."""
    parts = []
    for file in sorted(resources.files("vertecast.data").joinpath("schema").iterdir(), key=lambda one: one.name):
        schema = json.loads(file.read_text(encoding="utf-8"))
        name = file.name.removesuffix(".schema.json")
        rows = [f"| `{key}` | {_kind(one)} | {_said(one)} |" for key, one in schema.get("properties", {}).items()]
        parts += [f"### {name}", "", _said(schema), "", "| key | holds | |", "|---|---|---|", *rows, ""]
    return "\n".join(parts)


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    kind = schema.get("type", "one of several")
    named = " or ".join(kind) if isinstance(kind, list) else str(kind)
    inside = schema.get("properties") or (schema.get("additionalProperties") or {})
    keys = ", ".join(f"`{key}`" for key in list(schema.get("properties") or {})[:12])
    return f"{named}: {keys}" if keys else f"{named}{' by name' if inside and named == 'object' else ''}"


def _said(schema: dict[str, Any]) -> str:
    return " ".join(str(schema.get("description") or schema.get("title") or "").replace("|", "/").split())
