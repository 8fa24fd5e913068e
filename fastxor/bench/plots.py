"""Plots with logarithmic axes as SVG, in the colours of plots.css."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 880, 120, 150, 10, 48

Spread = tuple[float, float, float]  # lower quartile, median, upper quartile


@dataclass(frozen=True)
class Axis:
    """From the values along it to places between two ends, logarithmically."""

    least: float
    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log(value / self.least) / math.log(self.most / self.least)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Powers of ten; with 2 and 5 between them where there are few."""
        decades = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
        for steps in ((1,), (1, 2, 5)):
            found = [step * 10.0**power for power in decades for step in steps]
            found = [value for value in found if self.least * 0.999 <= value <= self.most * 1.001]
            if len(found) > 3:
                break
        return found


def around(values: Iterable[float], start: float, end: float, room: float = 1.3) -> Axis:
    found = list(values)
    return Axis(min(found) / room, max(found) * room, start, end)


def number(value: float) -> str:
    """With a letter for the thousands."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _text(x: float, y: float, words: str, more: str = 'class="tick"') -> str:
    return f'<text x="{x}" y="{y}" {more}>{html.escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{kind}"/>'


def _point(x: float, y: float, kind: str, says: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="4" class="{kind}"><title>{html.escape(says)}</title></circle>'


def _svg(height: float, says: str, parts: list[str]) -> str:
    content = "\n".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(says)}">\n{content}\n</svg>'


def standalone(plot: str, style: str) -> str:
    """A plot as a file of its own, on a ground that suits its colours, whatever the page around it has."""
    head, rest = plot.split(">", 1)
    size = re.search(r'viewBox="0 0 (\d+) (\d+)"', head)
    assert size is not None
    head = head.replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[1]}" height="{size[2]}" ')
    return f'{head}>\n<style>\n{style}</style>\n<rect width="100%" height="100%" class="paper"/>{rest}'


def _apart(places: list[float], least: float) -> list[float]:
    """Ascending places moved down as far as needed to stand clear of each other."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + least) if moved else place)
    return moved


def curves(
    xlabel: str,
    ylabel: str,
    series: dict[str, dict[float, Spread]],
    limit: dict[float, float],
    colour: Callable[[str], str],
) -> str:
    """A line for each series, and above a dashed one for the limit what cannot be reached."""
    height = 440
    xs = [x for points in series.values() for x in points]
    ys = [y for points in series.values() for spread in points.values() for y in spread]
    across = around(xs, LEFT, WIDTH - RIGHT, 1.15)
    up = around([*ys, *limit.values()], height - BOTTOM, TOP)
    parts = []
    if limit:
        line = [(across(x), up(y)) for x, y in sorted(limit.items())]
        border = " ".join(f"{x},{y}" for x, y in line)
        parts.append(f'<polygon class="beyond" points="{line[0][0]},{TOP} {border} {line[-1][0]},{TOP}"/>')
    for x in across.ticks():
        parts.append(_line(across(x), TOP, across(x), height - BOTTOM, "grid"))
        parts.append(_text(across(x), height - BOTTOM + 18, number(x), 'class="tick" text-anchor="middle"'))
    for y in up.ticks():
        parts.append(_line(LEFT, up(y), WIDTH - RIGHT, up(y), "grid"))
        parts.append(_text(LEFT - 8, up(y) + 4, number(y), 'class="tick" text-anchor="end"'))
    middle = (TOP + height - BOTTOM) / 2
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, height - 8, xlabel, 'text-anchor="middle"'))
    turned = f'text-anchor="middle" transform="rotate(-90 50 {middle})"'
    parts.append(_text(50, middle, ylabel, turned))
    ends: list[tuple[float, str, str]] = []
    if limit:
        parts.append(f'<polyline class="floor" points="{border}"/>')
        ends.append((line[-1][1], "the machine's peak", 'class="tick"'))
    for name, points in series.items():
        kind = colour(name)
        path = " ".join(f"{across(x)},{up(spread[1])}" for x, spread in sorted(points.items()))
        parts.append(f'<polyline class="series {kind}" points="{path}"/>')
        for x, (low, median, high) in points.items():
            parts.append(_line(across(x), up(low), across(x), up(high), f"spread {kind}"))
            parts.append(_point(across(x), up(median), kind, f"{name}: {number(median)} at {number(x)}"))
        ends.append((up(points[max(points)][1]), name, f'class="{kind}"'))
    ends.sort()
    for y, (_, name, kind) in zip(_apart([end[0] for end in ends], 15), ends, strict=True):
        parts.append(_text(WIDTH - RIGHT + 12, y + 4, name, kind))
    return _svg(height, f"{ylabel} against {xlabel}", parts)


def dots(xlabel: str, rows: dict[str, dict[str, Spread]], colour: Callable[[str], str]) -> str:
    """A row of dots for each case, and a line where the ratio is 1."""
    step = 34
    height = TOP + step * len(rows) + BOTTOM + 20
    across = around([1, *(x for row in rows.values() for spread in row.values() for x in spread)], LEFT, WIDTH - 20)
    bottom = TOP + step * len(rows)
    parts = []
    for x in across.ticks():
        parts.append(_line(across(x), TOP, across(x), bottom, "grid"))
        parts.append(_text(across(x), bottom + 18, f"{x:,g}x", 'class="tick" text-anchor="middle"'))
    parts.append(_line(across(1), TOP, across(1), bottom, "one"))
    for i, (case, row) in enumerate(rows.items()):
        y = TOP + step * (i + 0.5)
        parts.append(_text(LEFT - 10, y + 4, case, 'text-anchor="end"'))
        for name, (low, median, high) in row.items():
            parts.append(_line(across(low), y, across(high), y, f"spread {colour(name)}"))
            parts.append(_point(across(median), y, colour(name), f"{case}, {name}: {float(f'{median:.3g}'):g}x"))
    parts.append(_text((LEFT + WIDTH) / 2, bottom + 38, xlabel, 'text-anchor="middle"'))
    place = float(LEFT)
    for name in dict.fromkeys(name for row in rows.values() for name in row):
        parts.append(f'<circle cx="{place}" cy="{bottom + 57}" r="4" class="{colour(name)}"/>')
        parts.append(_text(place + 8, bottom + 61, name, ""))
        place += 30 + 6.5 * len(name)
    return _svg(height, xlabel, parts)
