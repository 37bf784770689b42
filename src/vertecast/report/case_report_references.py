"""The report's references: every code of a source in its text becomes a label that the list at the end explains."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from vertecast.report.bibliography import Work, load_bibliography
from vertecast.report.case_report_blocks import Block, Folded, Note, Prose, References, Section, Table


def with_references(sections: Sequence[Section]) -> tuple[Section, ...]:
    """Return the sections with labels instead of codes, and after them the list of the works they cite.

    Notes
    -----
    All text is looked through, not only cells known to hold a source: what a later document cites is found too.
    """
    bibliography = load_bibliography()
    found: dict[str, Work] = {}

    @cache
    def cited(text: str) -> str:
        said = bibliography.cited(text)
        found.update({work.label: work for work in said.works})
        return said.text if said.works else text

    made = [replace(section, blocks=[_with(block, cited) for block in section.blocks]) for section in sections]
    if found:
        works = [work for work in bibliography.works if work.label in found]
        listed = sorted(works, key=lambda work: (bool(work.not_public), work.label.lower()))
        made.append(Section("references", "References", [References(listed)]))
    return tuple(made)


def works_of(sections: Sequence[Section]) -> list[Work]:
    """Return the works of a report's list of references."""
    return [w for section in sections for block in section.blocks if isinstance(block, References) for w in block.works]


def linked(works: Sequence[Work]) -> Callable[[str], Any]:
    """Return what escapes a text for HTML and makes every label in it a link to the list of references."""
    from markupsafe import Markup, escape

    anchors = {str(escape(work.label)): work.anchor for work in works}
    if not anchors:
        return escape
    pattern = re.compile(r"\[(" + "|".join(re.escape(label) for label in anchors) + r")\]")

    def link(text: str) -> Any:
        return Markup(pattern.sub(lambda hit: f'<a href="#{anchors[hit[1]]}">[{hit[1]}]</a>', str(escape(text))))

    return link


def _with(block: Block, cited: Callable[[str], str]) -> Block:
    if isinstance(block, Prose | Note):
        return replace(block, text=cited(block.text))
    if isinstance(block, Table):
        rows = [[cited(cell) for cell in row] for row in block.rows]
        return replace(block, rows=rows, caption=cited(block.caption))
    if isinstance(block, Folded):
        return replace(block, blocks=[_with(one, cited) for one in block.blocks])
    return block
