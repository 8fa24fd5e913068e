"""What a run found, as one page of HTML that asks nothing of the network, and as a picture."""

from __future__ import annotations

import html
from collections.abc import Collection
from importlib.resources import files
from string import Template

import numpy as np
from numpy.typing import NDArray

from fastxor.bench import plots, report
from fastxor.bench.measuring import OURS
from fastxor.bench.report import BRIEF, CONTENDERS, Record

COLOURS = {name: f"c{number}" for number, name in enumerate((OURS, *CONTENDERS))}


def page(record: Record) -> str:
    template = Template(_file("page.html"))
    said = "".join(f"<li>{report.inline(note)}</li>" for note in report.notes(record))
    parts = [*_ratios(record), f"<ul>{said}</ul>", *_sweeps(record), *_details(record)]
    return template.substitute(plots=_style(), body="\n".join(parts))


def picture(record: Record) -> str:
    """The times of those in `BRIEF` beside fastxor's, as a file of SVG for light and dark pages."""
    return plots.standalone(_dots(record, BRIEF), _style())


def _file(name: str) -> str:
    return files("fastxor.bench").joinpath(name).read_text(encoding="utf-8")


def _style() -> str:
    """The plots' own, with a colour for everybody."""
    colours = (
        f"svg .{key} {{ stroke: var(--{key}); }} svg :is(text, circle).{key} {{ stroke: none; fill: var(--{key}); }}\n"
        for key in COLOURS.values()
    )
    return _file("plots.css") + "".join(colours)


def _dots(record: Record, names: Collection[str]) -> str:
    """Each case's ratios, of those of these names who were timed; empty if nobody was."""
    rows = {
        outcome.label: {name: _spread(outcome.ratios(name)) for name in outcome.names if name in names}
        for outcome in record.compared
    }
    says = "times as long as fastxor: to the right of the line fastxor is the faster one"
    return plots.dots(says, rows, COLOURS.__getitem__) if rows else ""


def _ratios(record: Record) -> list[str]:
    plot = _dots(record, CONTENDERS)
    if not plot:
        return []
    return [
        "<h2>Against its peers</h2>",
        _figure(plot, "Medians of the rounds' own ratios, with their quartiles."),
        report.summary(record).html(),
    ]


def _sweeps(record: Record) -> list[str]:
    parts = []
    for swept in record.swept:
        series: dict[str, dict[float, plots.Spread]] = {}
        limit: dict[float, float] = {}
        for place, outcome in swept.complete.items():
            problem = outcome.problem
            for name in outcome.names:
                series.setdefault(name, {})[place] = _spread(problem.m / outcome.seconds(name))
            floor = record.machine.floor(problem.multiply_adds, problem.dtype, outcome.threads)
            if floor is not None:
                limit[place] = problem.m / floor
        dashed = (
            " Dashed is the floor of the time: what the matrix products alone take at the peak of multiply-adds seen "
            "in the run."
        )
        plot = plots.curves(swept.axis, "samples trained per second", series, limit, COLOURS.__getitem__)
        caption = f"{swept.description}.{dashed * bool(limit)} Higher is faster; both scales are logarithmic."
        parts += [f"<h2>By {swept.axis}</h2>", _figure(plot, caption)]
        parts.append(f"<details><summary>times of a step</summary>{report.scaling(swept).html()}</details>")
    return parts


def _details(record: Record) -> list[str]:
    parts = []
    if record.complete:
        parts.append("<h2>Each case</h2>")
    for outcome in record.complete:
        said = f"<p><b>{outcome.label}</b>: {html.escape(outcome.problem.description)}</p>"
        parts += [said, report.details(outcome, record.machine).html()]
    if record.left_out:
        parts += ["<h2>Left out</h2>", report.left_out(record).html()]
    return parts


def _spread(values: NDArray[np.float64]) -> plots.Spread:
    low, median, high = np.percentile(values, [25, 50, 75])
    return float(low), float(median), float(high)


def _figure(plot: str, caption: str) -> str:
    return f"<figure><div class=wide>{plot}</div><figcaption>{caption}</figcaption></figure>"
