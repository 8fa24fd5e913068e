"""What a run found, as text: lines on the terminal, Markdown, JSON, and the README's table with its checksum."""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastxor.bench.asked import Claim
from fastxor.bench.machine import Machine
from fastxor.bench.measuring import OURS, Outcome

# In the order of the table, and what is not fair about each comparison.
CONTENDERS = {
    "tutorial": "The tutorial's program works out the cost in every iteration; nobody else does.",
    "fastxor's numpy": "",
    "numpy": "",
    "C": "C is compiled for the exact sizes, checks nothing, and may use an exp and a tanh less exact than fastxor's.",
    "JAX": "JAX speaks with the fastest of autodiff or gradients by hand, matrix products or broadcast sums, and two "
    "layouts and vector widths, the whole run in one jit; JAX idiomatic is autodiff with matrix products.",
    "JAX idiomatic": "",
    "PyTorch": "PyTorch without its compiler pays a few microseconds for each operation, which is most of its time in "
    "small networks; it is the fastest of modules, a fused optimizer, and steps by hand without autograd.",
    "torch.compile": "torch.compile takes blocks of steps written by hand, or the modules; it cannot take a whole run.",
    "scikit-learn": "scikit-learn checks its input, shuffles and works out the loss in every epoch inside `fit`, which "
    "cannot be turned off.",
}

BEGIN = "<!-- fastxor bench: begin, sha256 {} of what follows, made by `fastxor bench --update-readme` -->"
END = "<!-- fastxor bench: end -->"
SECTION = re.compile(rf"{BEGIN.format('([0-9a-f]*)')}\n(.*){END}", re.DOTALL)


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
    claims: list[Claim] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def complete(self) -> list[Outcome]:
        """The cases with times."""
        return [outcome for outcome in self.cases if outcome.names]

    @property
    def outcomes(self) -> list[Outcome]:
        return [*self.cases, *(outcome for swept in self.sweeps for outcome in swept.outcomes.values())]

    def left_out(self) -> Iterator[tuple[str, str, str]]:
        """Case (or a dash for all), who, and why."""
        for name, reason in self.missing.items():
            yield "-", name, reason
        for outcome in self.outcomes:
            for name, reason in outcome.left_out.items():
                yield outcome.problem.name, name, reason


@dataclass(frozen=True)
class Table:
    """Rows of cells, `**` around what is bold; the first column and the last few are words, the others numbers."""

    head: list[str]
    rows: list[list[str]]
    words: int = 0

    def lefts(self) -> list[bool]:
        """For each column, whether it goes to the left."""
        numbers = len(self.head) - 1 - self.words
        return [True, *[False] * numbers, *[True] * self.words]

    def markdown(self) -> str:
        lines = [self.head, ["---" if left else "---:" for left in self.lefts()], *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def html(self) -> str:
        def line(cells: list[str], tag: str) -> str:
            sides = (" class=left" * left for left in self.lefts())
            return "".join(f"<{tag}{side}>{inline(cell)}" for cell, side in zip(cells, sides, strict=True))

        body = "".join(f"<tr>{line(row, 'td')}" for row in self.rows)
        return f"<div class=wide><table><thead><tr>{line(self.head, 'th')}<tbody>{body}</table></div>"

    def text(self) -> str:
        lines = [[cell.replace("**", "") for cell in line] for line in (self.head, *self.rows)]
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
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    shown = f"**{digits(middle)}**" if middle < 1 else digits(middle)
    return f"{shown} ({digits(low)}-{digits(high)})"


def show_share(machine: Machine, outcome: Outcome, name: str = OURS) -> str:
    """Of the time that was taken, how much the multiply-adds need at the machine's peak."""
    problem = outcome.problem
    floor = machine.floor(problem.multiply_adds, problem.dtype, outcome.threads)
    return "" if floor is None else f"{float(f'{100 * floor / outcome.median(name):.2g}'):g}%"


def details(outcome: Outcome, machine: Machine) -> Table:
    """Everybody who was timed, the fastest first: time, share of the peak, times as long as fastxor, and which way."""
    rows = []
    for name in sorted(outcome.names, key=outcome.median):
        ratio = "1" if name == OURS else show_ratio(outcome.ratios(name)) if OURS in outcome.names else ""
        rows.append(
            [name, show_time(outcome.median(name)), show_share(machine, outcome, name), ratio, outcome.ways[name]]
        )
    return Table([outcome.label, "time", "of peak", "x fastxor", "fastest way"], rows, words=1)


def summary(record: Record) -> Table:
    """A row for each case, a column for each contender: times as long as fastxor."""
    timed = [outcome for outcome in record.complete if OURS in outcome.names]
    present = {name for outcome in timed for name in outcome.names}
    columns = [name for name in CONTENDERS if name in present]
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


def notes(record: Record) -> list[str]:
    """What a reader must know to believe the summary, or not to."""
    present = {name for outcome in record.complete for name in outcome.names}
    absent = record.missing | {
        name: reason for outcome in record.cases for name, reason in outcome.left_out.items() if name not in present
    }
    cases = "; ".join(f"**{outcome.problem.name}** {outcome.problem.description}" for outcome in record.complete)
    unfair = " ".join(note for name, note in CONTENDERS.items() if note and name in present)
    missing = "; ".join(f"{name} ({one_line(reason)})" for name, reason in absent.items())
    found = [
        f"The cases: {cases}." if cases else "No case was timed.",
        "A figure under a peer is its time over fastxor's: 1 is equal, more is in fastxor's favour, and **bold** is "
        f"where fastxor loses. Medians of {record.rounds} interleaved rounds' own ratios, with their quartiles. Each "
        "peer ran warm in a process of its own, on the same cores, and its result was compared before it was timed. "
        "Compiling is not counted, for anybody.",
        "Of peak: the time that the matrix products alone would take at the peak of multiply-adds seen in the run, "
        "over the time that everything took.",
        f"Not quite fair: {unfair}" if unfair else "",
        f"Left out: {missing}." if missing else "",
        f"{record.machine}.",
        f"Made by `{record.command}`{', which was interrupted' * record.interrupted}.",
    ]
    return [note for note in found if note]


def asked(record: Record) -> Table:
    verdict = {None: "", True: "met", False: "**not met**"}
    rows = [[claim.case, claim.what, claim.asked, claim.got, verdict[claim.met]] for claim in record.claims]
    return Table(["case", "what", "asked", "got", ""], rows, words=4)


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
    rows = [[case, name, one_line(reason)] for case, name, reason in record.left_out()]
    return Table(["case", "left out", "why"], rows, words=2)


def one_line(text: str, most: int = 200) -> str:
    words = " ".join(text.split())
    return words if len(words) <= most else f"{words[:most]}..."


def table(record: Record) -> str:
    """The summary and its notes, in Markdown: what goes into a README."""
    return "\n".join([summary(record).markdown(), "", *(f"- {note}" for note in notes(record))])


def markdown(record: Record) -> str:
    parts = ["# fastxor bench", table(record)]
    if record.complete:
        parts += ["## Each case", *(details(outcome, record.machine).markdown() for outcome in record.complete)]
    for swept in record.sweeps:
        parts += [f"## By {swept.axis}", f"{swept.description}; one step.", scaling(swept).markdown()]
    if record.claims:
        parts += ["## Asked and got", asked(record).markdown()]
    if any(record.left_out()):
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
            for swept in record.sweeps
        },
        "asked": [asdict(claim) for claim in record.claims],
        "left_out": [dict(zip(("case", "name", "why"), row, strict=True)) for row in record.left_out()],
    }
    return json.dumps(content, indent=1) + "\n"


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def readme_is_as_made(readme: str) -> bool:
    """Whether the table in a README is as `update_readme` left it."""
    section = SECTION.search(readme)
    return section is not None and section[1] == checksum(section[2])


def update_readme(path: Path, text: str) -> None:
    """Put this text between the marks, with its checksum."""
    readme = path.read_text(encoding="utf-8")
    text = f"\n{text}\n\n"
    made = f"{BEGIN.format(checksum(text))}\n{text}{END}"
    path.write_text(SECTION.sub(lambda _: made, readme), encoding="utf-8", newline="\n")
