"""The speeds that are published, measured and written anew: `python -m benchmarks.readme`.

They are those cases of `fastxor bench` that most people have, a population, and expm on two threads, each beside all
peers, losses included: as a picture and a short table in README.md, with all columns, quartiles and notes in
docs/benchmarks.md. `--from` writes them from the JSON of a run like this. A checksum goes with each, so that a test
finds a figure that was changed by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.problems import OURS, PEERS, POPULATIONS, PROBLEMS, Effort, Machine, Outcome, Problem, cores
from fastxor.bench.command import FULL, QUICK, Session, finish
from fastxor.bench.page import picture
from fastxor.bench.progress import Progress
from fastxor.bench.report import Record, brief, table

CASES = [name for name, problem in PROBLEMS.items() if problem.kind in ("train", "functions", "gradient", "predict")]
CASES += ["population, 1,024"]

ROOT = Path(__file__).resolve().parent.parent
README, PAGE, PICTURE = FILES = "README.md", "docs/benchmarks.md", "docs/images/speeds.svg"
DETAILS = "https://github.com/fastxor/fastxor/blob/main/docs/benchmarks.md"
COMMAND = "python -m benchmarks.readme"
BEGIN = f"<!-- speeds: begin, sha256 {{}} of what follows, made by `{COMMAND}` -->"
END = "<!-- speeds: end -->"
SECTION = re.compile(rf"{BEGIN.format('([0-9a-f]*)')}\n(.*){END}", re.DOTALL)
ROWS = [*CASES, "expm, 2 threads"]


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_as_made(file: str) -> bool:
    """Whether what stands between the marks of a file is as `with_speeds` left it."""
    section = SECTION.search(file)
    return section is not None and section[1] == checksum(section[2])


def with_speeds(file: str, text: str) -> str:
    """The file with this text between its marks, and the checksum."""
    text = f"\n{text}\n\n"
    return SECTION.sub(lambda _: f"{BEGIN.format(checksum(text))}\n{text}{END}", file)


def short(record: Record) -> str:
    """What the README has: the table for a screen, and what one must know to read it."""
    units = {outcome.problem.name: outcome.problem for outcome in record.complete}
    cases = "; ".join(f"**{name}** {_said(problem)}" for name, problem in units.items())
    return "\n\n".join(
        [
            brief(record).markdown(),
            "A figure under a peer is its time over fastxor's: 1 is equal, more is in fastxor's favour, and a **bold** "
            f"one is where fastxor loses. Medians of {record.rounds} interleaved rounds, each peer in its fastest way, "
            f"after every result was compared. [All columns, quartiles, and what is not quite fair]({DETAILS}).",
            f"{cases}.",
            f"{record.machine}. Made by `{record.command}`.",
        ]
    )


def _said(problem: Problem) -> str:
    """A case in a few words: sizes, data, and what is timed."""
    sizes, samples = "-".join(map(str, problem.sizes)), f"{problem.m:,} sample{'s' * (problem.m > 1)}"
    unit = f"a{'n' * (problem.unit == 'epoch')} {problem.unit}"
    unit += f" of one of {problem.members:,} networks" if problem.kind == "population" else ""
    return f"{sizes}, {samples}, {problem.dtype}, {unit}"


def publish(record: Record, files: Mapping[str, str]) -> None:
    """Write all three anew."""
    made = {README: short(record), PAGE: table(record), PICTURE: picture(record)}
    for name, text in made.items():
        (ROOT / name).write_text(with_speeds(files[name], text), encoding="utf-8", newline="\n")
        print(ROOT / name)


def measure(session: Session) -> None:
    """Fill in the session's record: a row for each case of the table."""
    workers = session.start(PEERS, 1)
    if session.record.missing and session.effort is FULL:
        sys.exit(f"The table in {README} has all peers: {', '.join(session.record.missing)} must be here.")
    session.run(CASES, workers)
    session.run(["expm"], session.start(PEERS, 2))


def measured(effort: Effort, command: str, output: Path) -> Record:
    """The record of a run that was not interrupted; its own files are in `output`."""
    output.mkdir(parents=True, exist_ok=True)
    record = Record(command, Machine(), effort.rounds)
    with ExitStack() as stack:
        session = Session(record, effort, Progress(), stack)
        try:
            measure(session)
        except KeyboardInterrupt:
            sys.exit(f"Interrupted: {README} stays as it was.")
        finally:
            session.progress.clear()
        finish(record, output)
    return record


def saved(content: dict[str, Any]) -> Record:
    """The record that a run left as JSON, without sweeps."""
    record = Record(content["command"], Machine(**content["machine"]), content["rounds"])
    record.interrupted = content["interrupted"]
    record.missing = {entry["name"]: entry["why"] for entry in content["left_out"] if entry["case"] == "all"}
    for case in content["cases"]:
        problem, contenders = (PROBLEMS | POPULATIONS)[case["case"]], case["contenders"]
        if case["description"] != problem.description:
            sys.exit(f"{problem.name} was {case['description']}, and is {problem.description} now")
        times = {name: contender["seconds"] for name, contender in contenders.items()}
        ways = {name: contender["way"] for name, contender in contenders.items()}
        record.cases.append(Outcome(problem, case["threads"], times, ways, case["left_out"]))
    return record


def check(record: Record) -> None:
    """Refuse a record with a hole in it."""
    timed = [outcome.label for outcome in record.cases if OURS in outcome.names]
    lost = [label for label in ROWS if label not in timed]
    if lost or record.missing or record.interrupted or record.command != COMMAND:
        why = f"{', '.join(lost)} could not be timed" if lost else f"these are not the results of a whole `{COMMAND}`"
        sys.exit(f"{why}: {README} stays as it was.")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=f"Measure the speeds in {', '.join(FILES)} anew.")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few and short rounds, and all files stay as they are: shows that it runs",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("fastxor-bench"), metavar="DIR", help="where the run's own files go"
    )
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="JSON", help="measure nothing: write them from this file of a run's"
    )
    options = parser.parse_args(arguments)
    files = {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}
    for name, text in files.items():
        if not SECTION.search(text):
            parser.error(f"{name} has no place for the speeds: it wants the lines\n{BEGIN}\n{END}")
    if options.source:
        try:
            record = saved(json.loads(options.source.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            parser.error(f"argument --from: {options.source} is no file of a run's: {error!r}")
    elif len(cores()) < 2:
        parser.error("one row of the table is of two threads: it wants two cores")
    else:
        effort = QUICK if options.quick else FULL
        record = measured(effort, f"{COMMAND}{' --quick' * options.quick}", options.output)
    if not options.quick:
        check(record)
        publish(record, files)


if __name__ == "__main__":
    main()
