"""Plots as SVG, drawn by hand so that a run needs no library and a change of one is a diff: bars, spans from p50 to p99, lines.
All of them have a logarithmic axis, because the sides differ by powers of ten."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping, Sequence

WIDTH, LEFT, RIGHT, ROW = 1000, 420, 130, 22
GREY, GREEN, RED, BLUE = "#8d99ae", "#4c956c", "#c8553d", "#2f6690"
COLOURS = (BLUE, RED, GREEN, "#9a6fb0", "#d19a2e", "#5b5b5b", "#46a2a8", "#b5557d")


def text(x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{html.escape(words)}</text>'


def frame(height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height:.0f}" fill="white"/>', *parts, "</svg>"]) + "\n"


def powers(low: float, high: float) -> list[float]:
    """The marks of an axis: powers of ten, with 2 and 5 between them where there are few."""
    tens = [10.0**n for n in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    marks = tens if len(tens) > 4 else [ten * step for ten in tens for step in (1, 2, 5)]
    return [mark for mark in marks if low <= mark <= high]


def short(words: str) -> str:
    """A mark without the zeros behind its point."""
    return re.sub(r"\.0+(?= |$)", "", words)


def scale(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    span = math.log10(high / low) or 1.0
    return lambda value: begin + (end - begin) * math.log10(max(value, low) / low) / span


def bars(items: Sequence[tuple[str, float, str, str]], middle: float, below: str, show: Callable[[float], str]) -> str:
    """One bar for each (label, value, colour, words), from the middle line to its value."""
    low = min(middle, *(value for _, value, _, _ in items)) / 1.2
    high = max(middle, *(value for _, value, _, _ in items)) * 1.2
    place, height = scale(low, high, LEFT, WIDTH - RIGHT), ROW * len(items) + 50
    parts = axis(place, powers(low, high), height, show, below)
    for at, (label, value, colour, words) in enumerate(items):
        y, begin, end = 12 + ROW * at, *sorted((place(middle), place(value)))
        parts.append(f'<rect x="{begin:.1f}" y="{y}" width="{max(end - begin, 1):.1f}" height="{ROW - 6}" fill="{colour}"/>')
        parts += [text(LEFT - 8, y + 12, label, "end"), text(end + 5, y + 12, words)]
    return frame(height, [*parts, rule(place(middle), height, "black")])


def spans(items: Sequence[tuple[str, float, float, str]], below: str, show: Callable[[float], str]) -> str:
    """A dot at p50 and a line to p99, for each (label, p50, p99, colour)."""
    low, high = min(item[1] for item in items) / 1.5, max(item[2] for item in items) * 1.2
    place, height = scale(low, high, LEFT, WIDTH - RIGHT), ROW * len(items) + 50
    parts = axis(place, powers(low, high), height, show, below)
    for at, (label, p50, p99, colour) in enumerate(items):
        y = 20 + ROW * at
        parts.append(f'<line x1="{place(p50):.1f}" x2="{place(p99):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<circle cx="{place(p50):.1f}" cy="{y}" r="5" fill="{colour}"/>')
        parts += [text(LEFT - 8, y + 4, label, "end"), text(place(p99) + 7, y + 4, show(p50))]
    return frame(height, parts)


def lines(series: Mapping[str, Sequence[tuple[float, float]]], below: str, beside: str, show: Callable[[float], str]) -> str:
    """A line for each series of (x, y)."""
    points = [point for line in series.values() for point in line]
    height, left, bottom = 360.0, 90, 310
    xs, ys = [x for x, _ in points], [max(y, 1e-12) for _, y in points]
    across, up = scale(min(xs) / 1.1, max(xs) * 1.1, left, WIDTH - 250), scale(min(ys) / 1.3, max(ys) * 1.3, bottom, 30)
    parts = [text((left + WIDTH - 250) / 2, height - 10, below, "middle"), text(10, 16, beside)]
    for y in powers(min(ys) / 1.3, max(ys) * 1.3):
        parts.append(f'<line x1="{left}" x2="{WIDTH - 250}" y1="{up(y):.1f}" y2="{up(y):.1f}" stroke="#ddd"/>')
        parts.append(text(left - 6, up(y) + 4, short(show(y)), "end", 11))
    for x in sorted(set(xs)):
        parts.append(text(across(x), bottom + 18, f"{x:g}", "middle", 11))
    for at, (name, line) in enumerate(series.items()):
        colour = COLOURS[at % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in sorted(line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3.5" fill="{colour}"/>' for x, y in line]
        parts.append(f'<rect x="{WIDTH - 240}" y="{30 + ROW * at}" width="12" height="12" fill="{colour}"/>')
        parts.append(text(WIDTH - 222, 41 + ROW * at, name))
    return frame(height, parts)


def axis(
    place: Callable[[float], float], marks: Sequence[float], height: float, show: Callable[[float], str], below: str
) -> list[str]:
    parts = [text((LEFT + WIDTH - RIGHT) / 2, height - 4, below, "middle")]
    for mark in marks:
        parts += [rule(place(mark), height, "#ddd"), text(place(mark), height - 22, short(show(mark)), "middle", 11)]
    return parts


def rule(x: float, height: float, colour: str) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 36:.0f}" stroke="{colour}"/>'
