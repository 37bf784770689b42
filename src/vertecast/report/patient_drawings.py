"""Small drawings of the patient pages as SVG text: counts out of a hundred, and the hours and weeks after."""

from html import escape

_INK, _PALE, _ACCENT = "#10303f", "#d5e0e5", "#b4511b"
_STEP = 200


def dots(count: int, label: str) -> str:
    """Return a square of 100 dots, ``count`` of them dark; ``label`` says it to a screen reader.

    Raises
    ------
    ValueError
        If ``count`` is not within 0 to 100.
    """
    if not 0 <= count <= 100:
        raise ValueError(f"count = {count} is not within 0 to 100; give a share per hundred")
    marks = []
    for k in range(100):
        row, column = divmod(k, 10)
        dark = k < count
        # Size and colour both tell, so that the picture does not hang on colour alone.
        marks.append(
            f'<circle cx="{6 + 12 * column}" cy="{6 + 12 * row}" r="{5 if dark else 3}" '
            f'fill="{_ACCENT if dark else _PALE}"{"" if dark else f" stroke={chr(34)}#8aa0ab{chr(34)}"}/>'
        )
    return _svg(120, 120, label, "".join(marks))


def timeline(steps: tuple[tuple[str, str], ...], label: str) -> str:
    """Return steps along a line: (when, what) each, at most six."""
    width = _STEP * len(steps)
    parts = [f'<line x1="20" y1="30" x2="{width - 20}" y2="30" stroke="{_INK}" stroke-width="4"/>']
    for k, (when, what) in enumerate(steps):
        x = _STEP // 2 + _STEP * k
        parts.append(f'<circle cx="{x}" cy="30" r="11" fill="{_ACCENT}" stroke="#fff" stroke-width="3"/>')
        parts.append(_text(x, 66, when, bold=True))
        parts += [_text(x, 88 + 19 * n, line, bold=False) for n, line in enumerate(_wrapped(what, 20))]
    return _svg(width, 150, label, "".join(parts))


def _text(x: int, y: int, text: str, *, bold: bool) -> str:
    weight = ' font-weight="700"' if bold else ""
    return f'<text x="{x}" y="{y}" text-anchor="middle" font-size="16" fill="{_INK}"{weight}>{escape(text)}</text>'


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) + 1 > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _svg(width: int, height: int, label: str, content: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label, quote=True)}">{content}</svg>'
    )
