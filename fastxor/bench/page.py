"""What a run found, as one page of HTML that asks nothing of the network."""

from __future__ import annotations

import html
from importlib.resources import files
from string import Template

import numpy as np
from numpy.typing import NDArray

from fastxor.bench import plots, report
from fastxor.bench.measuring import OURS
from fastxor.bench.report import CONTENDERS, Record

COLOURS = {name: f"c{number}" for number, name in enumerate((OURS, *CONTENDERS))}


def page(record: Record) -> str:
    template = Template(files("fastxor.bench").joinpath("page.html").read_text(encoding="utf-8"))
    colours = "\n".join(
        f"svg .{key} {{ stroke: var(--{key}); }} svg :is(text, circle).{key} {{ stroke: none; fill: var(--{key}); }}"
        for key in COLOURS.values()
    )
    said = "".join(f"<li>{report.inline(note)}</li>" for note in report.notes(record))
    parts = [*_ratios(record), f"<ul>{said}</ul>", *_sweeps(record), *_details(record)]
    return template.substitute(colours=colours, body="\n".join(parts))


def _ratios(record: Record) -> list[str]:
    rows = {
        outcome.label: {name: _spread(outcome.ratios(name)) for name in outcome.names if name != OURS}
        for outcome in record.compared
    }
    if not rows:
        return []
    plot = plots.dots(
        "times as long as fastxor: to the right of the line fastxor is the faster one", rows, COLOURS.__getitem__
    )
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
