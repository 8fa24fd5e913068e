"""What a run found, as text: tables for the terminal, Markdown and JSON."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastxor.bench.machine import Machine
from fastxor.bench.measuring import EVERYBODY, OURS, Outcome

# In the order of the table, and what is not fair about each comparison.
CONTENDERS = {
    "tutorial": "The tutorial's program works out the cost in every iteration; nobody else does.",
    "fastxor's numpy": "",
    "numpy": "",
    "C": "C is compiled for the exact sizes, checks nothing, and may use an exp and a tanh less exact than fastxor's.",
    "JAX": "JAX speaks with the fastest of autodiff or gradients by hand, matrix products or broadcast sums, and two "
    "layouts and vector widths, the whole run in one jit; JAX idiomatic is autodiff with matrix products, and vmap for "
    "populations, of which JAX by hand takes blocks of several sizes.",
    "JAX idiomatic": "",
    "PyTorch": "PyTorch without its compiler pays a few microseconds for each operation, which is most of its time in "
    "small networks; it is the fastest of modules, a fused optimizer, and steps by hand without autograd.",
    "torch.func": "torch.func maps the gradient of one network over all of a population.",
    "torch.compile": "torch.compile takes blocks of steps written by hand, or the modules; it cannot take a whole run.",
    "scikit-learn": "scikit-learn checks its input, shuffles and works out the loss in every epoch inside `fit`, which "
    "cannot be turned off.",
}

BRIEF = ("tutorial", "numpy", "scikit-learn", "PyTorch", "torch.compile", "JAX", "C")  # whom most readers ask for


@dataclass
class Swept:
    """What a sweep found, by the number that grows."""

    axis: str
    description: str
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def complete(self) -> dict[int, Outcome]:
        return {place: outcome for place, outcome in self.outcomes.items() if outcome.names}


@dataclass
class Record:
    """All that a run found; it grows while the run goes on."""

    command: str
    machine: Machine
    rounds: int
    cases: list[Outcome] = field(default_factory=list)
    sweeps: list[Swept] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def complete(self) -> list[Outcome]:
        """The cases with times."""
        return [outcome for outcome in self.cases if outcome.names]

    @property
    def compared(self) -> list[Outcome]:
        """The cases with times of fastxor and of somebody else."""
        return [outcome for outcome in self.complete if outcome.compared]

    @property
    def peaked(self) -> list[Outcome]:
        """The cases with times whose share of the peak is known."""
        return [outcome for outcome in self.complete if outcome.problem.dtype in self.machine.peaks]

    @property
    def swept(self) -> list[Swept]:
        """The sweeps with times."""
        return [swept for swept in self.sweeps if swept.complete]

    @property
    def outcomes(self) -> list[Outcome]:
        return [*self.cases, *(outcome for swept in self.sweeps for outcome in swept.outcomes.values())]

    @property
    def left_out(self) -> list[tuple[str, str, str]]:
        """Case, who, and why."""
        found = [("all", name, reason) for name, reason in self.missing.items()]
        for outcome in self.outcomes:
            found += [(outcome.label, name, reason) for name, reason in outcome.left_out.items()]
        return found


@dataclass(frozen=True)
class Table:
    """Rows of cells, `**` around what is bold; the first column and the last few are words, the others numbers.

    A heading with nothing beneath is not shown: neither a column without content nor a table without rows.
    """

    head: list[str]
    rows: list[list[str]]
    words: int = 0

    def columns(self) -> list[int]:
        """Those with content."""
        return [column for column in range(len(self.head)) if any(row[column] for row in self.rows)]

    def lines(self) -> list[list[str]]:
        """The head and the rows; none of them if there are no rows."""
        return [[line[column] for column in self.columns()] for line in (self.head, *self.rows)] if self.rows else []

    def lefts(self) -> list[bool]:
        """For each column that is shown, whether it goes to the left."""
        return [column == 0 or column >= len(self.head) - self.words for column in self.columns()]

    def markdown(self) -> str:
        lines = self.lines()
        lines[1:1] = [["---" if left else "---:" for left in self.lefts()]] * bool(lines)
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def html(self) -> str:
        def row(cells: list[str], tag: str) -> str:
            sides = (" class=left" * left for left in self.lefts())
            return "<tr>" + "".join(f"<{tag}{side}>{inline(cell)}" for cell, side in zip(cells, sides, strict=True))

        if not self.rows:
            return ""
        head, *rows = self.lines()
        body = "".join(row(cells, "td") for cells in rows)
        return f"<div class=wide><table><thead>{row(head, 'th')}<tbody>{body}</table></div>"

    def text(self) -> str:
        lines = [[cell.replace("**", "") for cell in line] for line in self.lines()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        sides = [str.ljust if left else str.rjust for left in self.lefts()]
        return "\n".join(
            "  ".join(side(cell, width) for side, cell, width in zip(sides, line, widths, strict=True)).rstrip()
            for line in lines
        )


def inline(text: str) -> str:
    """Markdown's bold and code as HTML."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(text))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)


def digits(value: float) -> str:
    """Three significant digits, two below 1."""
    places = (2 if value >= 1 else 1) - math.floor(math.log10(value))
    return f"{value:,.{min(4, max(0, places))}f}"


def show_time(seconds: float) -> str:
    for unit, size in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * size or unit == "ms":
            break
    return f"{digits(seconds / size)} {unit}"


def show_ratio(ratios: NDArray[np.float64]) -> str:
    """The median of the rounds' own ratios, with their quartiles; bold where fastxor is the slower one."""
    low, high = np.percentile(ratios, [25, 75])
    return f"{show_median(ratios)} ({digits(low)}-{digits(high)})"


def show_median(ratios: NDArray[np.float64]) -> str:
    middle = float(np.median(ratios))
    return f"**{digits(middle)}**" if middle < 1 else digits(middle)


def show_share(machine: Machine, outcome: Outcome, name: str = OURS) -> str:
    """Of the time that was taken, how much the multiply-adds need at the machine's peak."""
    problem = outcome.problem
    floor = machine.floor(problem.multiply_adds, problem.dtype, outcome.threads)
    return "" if floor is None else f"{float(f'{100 * floor / outcome.median(name):.2g}'):g}%"


def details(outcome: Outcome, machine: Machine) -> Table:
    """Everybody who was timed, the fastest first: time, share of the peak, times as long as fastxor, and which way."""
    rows = []
    for name in sorted(outcome.names, key=outcome.median):
        ratio = "" if not outcome.compared else "1" if name == OURS else show_ratio(outcome.ratios(name))
        rows.append(
            [name, show_time(outcome.median(name)), show_share(machine, outcome, name), ratio, outcome.ways[name]]
        )
    return Table(["implementation", "time", "of peak", "x fastxor's time", "fastest way"], rows, words=1)


def summary(record: Record) -> Table:
    """A row for each case, a column for each contender: times as long as fastxor."""
    timed, columns = _timed(record, CONTENDERS)
    rows = [
        [
            f"**{outcome.label}**",
            show_time(outcome.median(OURS)),
            show_share(record.machine, outcome),
            *(show_ratio(outcome.ratios(name)) if name in outcome.names else "" for name in columns),
        ]
        for outcome in timed
    ]
    return Table(["case", OURS, "of peak", *columns], rows)


def brief(record: Record) -> Table:
    """The same to be taken in at a glance: medians alone, of those in `BRIEF`."""
    timed, columns = _timed(record, BRIEF)
    rows = [
        [
            f"**{outcome.label}**",
            show_time(outcome.median(OURS)),
            *(show_median(outcome.ratios(name)) if name in outcome.names else "" for name in columns),
        ]
        for outcome in timed
    ]
    return Table(["case", OURS, *columns], rows)


def _timed(record: Record, names: Iterable[str]) -> tuple[list[Outcome], list[str]]:
    """The cases that fastxor was timed in, and those of these names who were timed in any of them."""
    timed = [outcome for outcome in record.complete if OURS in outcome.names]
    present = {name for outcome in timed for name in outcome.names}
    return timed, [name for name in names if name in present]


def legend(record: Record) -> list[str]:
    """What the columns that were shown on the terminal mean: lines, the last of them empty."""
    found = []
    if record.compared:
        found += [
            f"x fastxor's time: the median of {record.rounds} interleaved rounds' own ratios, with their quartiles;",
            "above 1 fastxor is the faster one, below 1 the slower one.",
        ]
    if record.peaked:
        found.append("of peak: the time that the matrix products alone would take at the peak, over the time taken.")
    if record.complete or record.swept:
        return [*found, "Every result was compared with plain numpy's before it was timed.", ""]
    return ["Nothing was timed.", ""]


def notes(record: Record) -> list[str]:
    """What a reader must know to believe the tables, or not to."""
    present = {name for outcome in record.complete for name in outcome.names}
    cases = {outcome.problem.name: outcome.problem.description for outcome in record.complete}
    described = "; ".join(f"**{name}** {description}" for name, description in cases.items())
    unfair = " ".join(note for name, note in CONTENDERS.items() if note and name in present)
    absent = record.missing | {
        f"{outcome.label}, {name}" if name == EVERYBODY else name: reason
        for outcome in record.cases
        for name, reason in outcome.left_out.items()
        if name not in present
    }
    missing = "; ".join(f"{name} ({one_line(reason)})" for name, reason in absent.items())
    ratios = (
        "A figure under a peer is its time over fastxor's: 1 is equal, more is in fastxor's favour, and a **bold** one "
        f"is where fastxor loses. Medians of {record.rounds} interleaved rounds' own ratios, with their quartiles."
    )
    rules = (
        "Each peer ran warm in a process of its own, on the same cores, and its result was compared before it was "
        "timed. Compiling is not counted, for anybody."
    )
    of_peak = (
        "Of peak: the time that the matrix products alone would take at the peak of multiply-adds seen in the run, "
        "over the time that everything took."
    )
    found = [
        (f"The cases: {described}.", described),
        (ratios, record.compared),
        (rules, record.complete or record.swept),
        (of_peak, record.peaked),
        ("Nothing was timed.", not (record.complete or record.swept)),
        (f"Not quite fair: {unfair}", unfair),
        (f"Left out: {missing}.", missing),
        (f"{record.machine}.", True),
        (f"Made by `{record.command}`{', which was interrupted' * record.interrupted}.", True),
    ]
    return [note for note, applies in found if applies]


def scaling(swept: Swept) -> Table:
    """Times along a sweep, a column for each contender."""
    columns = list(dict.fromkeys(name for outcome in swept.complete.values() for name in outcome.names))
    rows = [
        [
            f"{place:,}",
            *(show_time(outcome.median(name)) if name in outcome.names else "" for name in columns),
        ]
        for place, outcome in swept.complete.items()
    ]
    return Table([swept.axis, *columns], rows)


def left_out(record: Record) -> Table:
    rows = [[case, name, one_line(reason)] for case, name, reason in record.left_out]
    return Table(["case", "left out", "why"], rows, words=2)


def one_line(text: str, most: int = 200) -> str:
    words = " ".join(text.split())
    return words if len(words) <= most else f"{words[:most]}..."


def table(record: Record) -> str:
    """The summary and its notes, in Markdown."""
    listed = "\n".join(f"- {note}" for note in notes(record))
    return "\n\n".join(filter(None, [summary(record).markdown(), listed]))


def markdown(record: Record) -> str:
    parts = ["# fastxor bench", table(record)]
    if record.complete:
        parts.append("## Each case")
    for outcome in record.complete:
        parts += [f"**{outcome.label}**: {outcome.problem.description}", details(outcome, record.machine).markdown()]
    for swept in record.swept:
        parts += [f"## By {swept.axis}", swept.description, scaling(swept).markdown()]
    if record.left_out:
        parts += ["## Left out", left_out(record).markdown()]
    return "\n\n".join(parts) + "\n"


def as_json(record: Record) -> str:
    content: dict[str, Any] = {
        "command": record.command,
        "interrupted": record.interrupted,
        "rounds": record.rounds,
        "machine": asdict(record.machine),
        "cases": [outcome.as_dict() for outcome in record.complete],
        "sweeps": {
            swept.axis: {place: outcome.as_dict() for place, outcome in swept.complete.items()}
            for swept in record.swept
        },
        "left_out": [dict(zip(("case", "name", "why"), row, strict=True)) for row in record.left_out],
    }
    return json.dumps(content, indent=1) + "\n"
