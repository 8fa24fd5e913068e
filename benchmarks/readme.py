"""The table of speeds in README.md, measured and written anew: `python -m benchmarks.readme`.

It holds those cases of `fastxor bench` that most people have, and expm on two threads, each beside all peers, losses
included. A checksum goes with it, so that a test finds a figure that was changed by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.problems import OURS, PEERS, PROBLEMS, Machine, cores
from fastxor.bench.command import FULL, QUICK, Session, finish
from fastxor.bench.progress import Progress
from fastxor.bench.report import Record, table

CASES = [name for name, problem in PROBLEMS.items() if problem.kind in ("train", "functions", "gradient", "predict")]

README = Path(__file__).resolve().parent.parent / "README.md"
COMMAND = "python -m benchmarks.readme"
BEGIN = f"<!-- speeds: begin, sha256 {{}} of what follows, made by `{COMMAND}` -->"
END = "<!-- speeds: end -->"
SECTION = re.compile(rf"{BEGIN.format('([0-9a-f]*)')}\n(.*){END}", re.DOTALL)


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_as_made(readme: str) -> bool:
    """Whether the table in a README is as `with_table` left it."""
    section = SECTION.search(readme)
    return section is not None and section[1] == checksum(section[2])


def with_table(readme: str, text: str) -> str:
    """The README with this text between the marks, and its checksum."""
    text = f"\n{text}\n\n"
    return SECTION.sub(lambda _: f"{BEGIN.format(checksum(text))}\n{text}{END}", readme)


def measure(session: Session) -> None:
    """Fill in the session's record: a row for each case of the table."""
    workers = session.start(PEERS, 1)
    if session.record.missing and session.effort is FULL:
        sys.exit(f"The table in {README.name} has all peers: {', '.join(session.record.missing)} must be here.")
    session.run(CASES, workers)
    session.run(["expm"], session.start(PEERS, 2))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=f"Measure the table of speeds in {README.name} anew.")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"few and short rounds, and {README.name} stays as it is: shows that it runs",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("fastxor-bench"), metavar="DIR", help="where the run's own files go"
    )
    options = parser.parse_args(arguments)
    readme = README.read_text(encoding="utf-8")
    if not SECTION.search(readme):
        parser.error(f"{README.name} has no place for the table: it wants the lines\n{BEGIN}\n{END}")
    if len(cores()) < 2:
        parser.error("one row of the table is of two threads: it wants two cores")
    options.output.mkdir(parents=True, exist_ok=True)

    effort = QUICK if options.quick else FULL
    record = Record(f"{COMMAND}{' --quick' * options.quick}", Machine(), effort.rounds)
    with ExitStack() as stack:
        session = Session(record, effort, Progress(), stack)
        try:
            measure(session)
        except KeyboardInterrupt:
            sys.exit(f"Interrupted: {README.name} stays as it was.")
        finally:
            session.progress.clear()
        finish(record, options.output)
    lost = [outcome.label for outcome in record.cases if OURS not in outcome.names]
    if lost:
        sys.exit(f"{', '.join(lost)} could not be timed: {README.name} stays as it was.")
    if not options.quick:
        README.write_text(with_table(readme, table(record)), encoding="utf-8", newline="\n")
        print(README)


if __name__ == "__main__":
    main()
