"""Small charts as SVG text: sharp on screen and in print, no library, the page's own type."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vertecast.report.case_report_words import fixed, number, rounded

Points = Sequence[tuple[float, float]]
COLOURS = ("#1d5b8f", "#c2571a", "#3c7a3c", "#7a4a8f")
_WIDTH, _LEFT, _RIGHT, _TOP = 640.0, 62.0, 62.0, 26.0
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve of a chart.

    Parameters
    ----------
    name : with its unit
    points : (x, y) in order; a gap begins where x falls back
    right : counts on the axis at the right
    """

    name: str
    points: Points
    right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A vertical mark: a second and what happened."""

    x: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row of an interval chart: a value with its 95 % interval, or none."""

    name: str
    value: float
    low: float | None
    high: float | None


def line_chart(lines: Sequence[Line], across: str, marks: Sequence[Marked] = (), *, height: float = 270.0) -> str:
    """Return curves over one axis, with a second scale at the right for those that ask for it."""
    shown = [line for line in lines if len(line.points) > 1]
    if not shown:
        return ""
    xs = [x for line in shown for x, _ in line.points]
    low, high = min(xs), max(xs)
    bottom = height - 44.0
    place = _Scale(low, high, _LEFT, _WIDTH - _RIGHT)
    parts = [_opened(height, f"{', '.join(line.name for line in shown)} against {across}")]
    for right in (False, True):
        mine = [line for line in shown if line.right is right]
        if not mine:
            continue
        ends = [y for line in mine for _, y in line.points if not math.isnan(y)]
        ticks = _ticks(min(0.0, *ends), max(0.0, *ends))
        level = _Scale(ticks[0], ticks[-1], bottom, _TOP)
        parts += _vertical_axis(ticks, level, mine, right=right, colours=[COLOURS[shown.index(one)] for one in mine])
        for line in mine:
            parts += _path(line, place, level, COLOURS[shown.index(line)])
    across_ticks = _ticks(low, high, inside=True)
    for tick in across_ticks:
        parts.append(
            f'<line stroke="#39434c" x1="{place(tick):.1f}" x2="{place(tick):.1f}" y1="{bottom}" y2="{bottom + 4}"/>'
        )
        parts.append(_text(place(tick), bottom + 17, _said(tick, across_ticks), "middle"))
    parts.append(f'<line stroke="#39434c" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, height - 8, across, "middle"))
    parts += _marks(marks, place, bottom)
    return "".join([*parts, "</svg>"])


def interval_chart(bars: Sequence[Bar], across: str, *, width: float = _WIDTH) -> str:
    """Return values as points with their 95 % intervals as lines, one row each."""
    if not bars:
        return ""
    left, right = (150.0, 90.0) if width >= _WIDTH else (92.0, 58.0)
    height = 34.0 + 30.0 * len(bars) + 18.0
    ends = [n for bar in bars for n in (bar.value, bar.low, bar.high) if n is not None]
    ticks = _ticks(min(0.0, *ends), max(0.0, *ends))
    place = _Scale(ticks[0], ticks[-1], left, width - right)
    bottom = height - 40.0
    parts = [_opened(height, f"{across}: " + ", ".join(f"{bar.name} {number(bar.value)}" for bar in bars), width)]
    for tick in ticks:
        parts.append(f'<line stroke="#e3e8ec" x1="{place(tick):.1f}" x2="{place(tick):.1f}" y1="6" y2="{bottom}"/>')
        parts.append(_text(place(tick), bottom + 15, _said(tick, ticks), "middle"))
    parts.append(_text((left + width - right) / 2, height - 8, across, "middle"))
    for row, bar in enumerate(bars):
        y = 22.0 + 30.0 * row
        colour = COLOURS[row % len(COLOURS)]
        parts.append(_text(left - 12, y + 4, bar.name, "end"))
        if bar.low is not None and bar.high is not None:
            a, b = place(bar.low), place(bar.high)
            parts.append(f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>')
            for end in (a, b):
                cap = f'y1="{y - 5}" y2="{y + 5}" stroke="{colour}" stroke-width="1.5"'
                parts.append(f'<line x1="{end:.1f}" x2="{end:.1f}" {cap}/>')
        parts.append(f'<circle cx="{place(bar.value):.1f}" cy="{y}" r="5" fill="{colour}"/>')
        parts.append(_text(width - right + 10, y + 4, rounded(bar.value), "start"))
    return "".join([*parts, "</svg>"])


def _opened(height: float, label: str, width: float = _WIDTH) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escape(label, quote=True)}" xmlns="http://www.w3.org/2000/svg" '
        'font-size="12" font-family="Liberation Sans, DejaVu Sans, sans-serif">'
    )


def _path(line: Line, place: "_Scale", level: "_Scale", colour: str) -> list[str]:
    parts: list[list[str]] = []
    last = math.inf
    for x, y in line.points:
        if math.isnan(y):
            last = math.inf
            continue
        if x < last:
            parts.append([])
        parts[-1].append(f"{place(x):.1f},{level(y):.1f}")
        last = x
    steps = " ".join(f"M{' L'.join(part)}" for part in parts)
    alone = [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in _alone(parts)]
    return [f'<path d="{steps}" fill="none" stroke="{colour}" stroke-width="2"/>', *alone]


def _alone(parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the points that no line shows, having no neighbour."""
    return [part[0].split(",") for part in parts if len(part) == 1]


def _vertical_axis(
    ticks: Sequence[float], level: "_Scale", lines: Sequence[Line], *, right: bool, colours: Sequence[str]
) -> list[str]:
    edge = _WIDTH - _RIGHT if right else _LEFT
    parts = [f'<line stroke="#39434c" x1="{edge}" x2="{edge}" y1="{_TOP}" y2="{level(ticks[0]):.1f}"/>']
    for tick in ticks:
        y = level(tick)
        if not right:
            parts.append(f'<line stroke="#e3e8ec" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(edge + (7 if right else -7), y + 4, _said(tick, ticks), "start" if right else "end"))
    at = _WIDTH - 8 if right else 8.0
    for row, (line, colour) in enumerate(zip(lines, colours, strict=True)):
        offset = 150.0 * row * (-1 if right else 1)
        parts.append(_text(at + offset, 14, line.name, "end" if right else "start", colour))
    return parts


def _marks(marks: Sequence[Marked], place: "_Scale", bottom: float) -> list[str]:
    parts = []
    for row, mark in enumerate(marks):
        x = place(mark.x)
        y = _TOP + 14 + 13 * (row % 4)
        late = x > _WIDTH * 0.62
        parts.append(
            f'<line stroke="#9aa4ad" stroke-dasharray="3 3" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>'
        )
        words = _text(x + (-4 if late else 4), y, mark.text, "end" if late else "start", "#5b6670")
        halo = '<text stroke="#ffffff" stroke-width="3" stroke-linejoin="round" '
        parts += [words.replace("<text ", halo, 1), words]
    return parts


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#39434c") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


class _Scale:
    """A linear map from values to places."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        self._low, self._start = low, start
        self._slope = (stop - start) / (high - low) if high > low else 0.0

    def __call__(self, value: float) -> float:
        return self._start + self._slope * (value - self._low)


def _said(tick: float, ticks: Sequence[float]) -> str:
    """Return a tick's number with the decimals that tell all ticks apart from their neighbours exactly.

    >>> _said(5.25, [5.25, 5.5]), _said(5.0, [0.0, 5.0]), _said(20.0, [0.0, 20.0])
    ('5.25', '5', '20')
    """
    width = (max(ticks) - min(ticks)) or 1.0
    exact = (p for p in range(6) if all(abs(round(one, p) - one) < 1e-6 * width for one in ticks))
    return fixed(tick, next(exact, 6))


def _ticks(low: float, high: float, *, inside: bool = False) -> list[float]:
    """Return four to seven round numbers that hold the range, or that lie inside it."""
    width = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(width / 5.0))
    step = next(power * one for one in _STEPS if width / (power * one) <= 6.0)
    first = math.ceil(low / step - 1e-9) if inside else math.floor(low / step + 1e-9)
    last = math.floor(high / step + 1e-9) if inside else math.ceil(high / step - 1e-9)
    return [step * k for k in range(first, last + 1)]
