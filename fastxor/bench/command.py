"""`fastxor bench`: numpy against numba, and every peer that is installed, in one command."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, indent

from fastxor.bench import report
from fastxor.bench.machine import Machine, cores
from fastxor.bench.measuring import OURS, Effort, Outcome, measure
from fastxor.bench.page import page
from fastxor.bench.peers import PEERS
from fastxor.bench.problems import POPULATIONS, PROBLEMS, Problem, Sweep, sweeps
from fastxor.bench.progress import Progress
from fastxor.bench.report import Record, Swept
from fastxor.bench.worker import Missing, Refused, Worker

FULL = Effort(
    trial=0.03,
    sample=0.1,
    point=0.05,
    rounds=21,
    points=11,
    sweepers=frozenset({"numpy", "c", "jax", "sklearn"}),
)
QUICK = Effort(
    trial=0.003,
    sample=0.06,
    point=0.01,
    rounds=5,
    points=6,
    sweepers=frozenset({"numpy"}),
    without=frozenset({"torch.compile"}),
)
CASES = (*PROBLEMS, "population", *sweeps(2))
QUICK_CASES = ("xor", "expm", *sweeps(2))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark with these command-line arguments; the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --output: {error}")

    effort = QUICK if options.quick else FULL
    record = Record(_command(options), Machine(), effort.rounds)
    with ExitStack() as stack:
        session = Session(record, effort, Progress(), stack)
        try:
            workers = session.start(options.peers or PEERS, options.threads)
            session.run(options.cases or (QUICK_CASES if options.quick else CASES), workers)
        except KeyboardInterrupt:
            record.interrupted = True
        except Refused as refusal:
            session.progress.note(f"fastxor bench: {OURS} itself cannot run: {refusal}")
            return 1
        finally:
            session.progress.clear()
        finish(record, options.output)  # before the workers, who may be slow to stop
    failed = any(OURS in outcome.left_out for outcome in record.outcomes)
    return 130 if record.interrupted else int(failed)


def finish(record: Record, output: Path) -> None:
    """What the tables on the terminal mean, and the files."""
    for line in report.legend(record):
        print(line)
    print(f"{record.machine}\n")
    for ending, content in (("json", report.as_json), ("md", report.markdown), ("html", page)):
        path = output / f"fastxor-bench.{ending}"
        path.write_text(content(record), encoding="utf-8", newline="\n")
        print(path)
    if record.interrupted:
        print("Interrupted: these hold what was measured until then.")


@dataclass
class Session:
    """One run of the command: it fills in the record, and prints each table as soon as it is known."""

    record: Record
    effort: Effort
    progress: Progress
    stack: ExitStack  # ends the workers

    def start(self, peers: Iterable[str], threads: int) -> dict[str, Worker]:
        """A worker for fastxor and for each peer that is here; the others are noted, once."""
        workers = {}
        for name in (OURS, *(name for name in peers if name not in self.record.missing)):
            self.progress.step(f"{name} starts")
            worker = Worker(name, threads, set(cores()[-threads:]))
            self.stack.callback(worker.close)
            try:
                version = worker("version")
            except Refused as refusal:
                if name == OURS:
                    raise
                hint = f"; to have it: {PEERS[name]}" if isinstance(refusal, Missing) else ""
                self.record.missing[name] = f"{refusal}{hint}"
                self.progress.note(f"{name} is left out: {report.one_line(self.record.missing[name])}")
            else:
                workers[name] = worker
                if version not in self.record.machine.versions:
                    self.record.machine.versions.append(version)
        return workers

    def run(self, names: Collection[str], workers: dict[str, Worker]) -> None:
        """Go through the cases and sweeps of these names."""
        self.look_at_the_machine(workers[OURS])
        problems = [(PROBLEMS | POPULATIONS)[name] for name in names if name in PROBLEMS or name in POPULATIONS]
        problems += POPULATIONS.values() if "population" in names else []
        lines = [sweep for name, sweep in sweeps(self.effort.points).items() if name in names]
        few = {name: worker for name, worker in workers.items() if name == OURS or name in self.effort.sweepers}
        points = sum(len(sweep.problems) for sweep in lines)
        rounds = self.effort.rounds
        self.progress.expect(len(problems) * (len(workers) + rounds) + points * (len(few) + rounds))
        for problem in problems:
            self.case(problem, workers)
        for sweep in lines:
            self.sweep(sweep, few)

    def look_at_the_machine(self, worker: Worker) -> None:
        """Its clock and peaks, unless they are known."""
        machine = self.record.machine
        if machine.peaks:
            return
        try:
            machine.clock, machine.peaks = worker("floor")
        except Refused as refusal:
            self.progress.note(f"the machine's peak is not known: {report.one_line(str(refusal))}")

    def case(self, problem: Problem, workers: dict[str, Worker]) -> None:
        outcome = Outcome(problem, workers[OURS].threads)
        self.record.cases.append(outcome)
        self.progress.case(f"timing {outcome.label}")
        try:
            self.measure(outcome, workers, self.effort.sample)
        finally:  # also what an interruption leaves
            self.show(f"{outcome.label}: {problem.description}", report.details(outcome, self.record.machine))

    def sweep(self, sweep: Sweep, workers: dict[str, Worker]) -> None:
        swept = Swept(sweep.axis, sweep.description)
        self.record.sweeps.append(swept)
        self.progress.case(f"timing by {sweep.axis}")
        try:
            for place, problem in sweep.problems.items():
                swept.outcomes[place] = Outcome(problem, workers[OURS].threads)
                self.measure(swept.outcomes[place], workers, self.effort.point)
        finally:
            self.show(f"by {swept.axis}: {swept.description}", report.scaling(swept))

    def measure(self, outcome: Outcome, workers: dict[str, Worker], sample: float) -> None:
        measure(outcome, list(workers.values()), self.effort, sample, self.progress.step)
        for name, reason in outcome.left_out.items():
            self.progress.note(f"{outcome.label}: {name} is left out: {report.one_line(reason)}")

    def show(self, title: str, table: report.Table) -> None:
        if table.rows:
            self.progress.clear()
            print(f"{title}\n{table.text()}\n", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastxor bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Time fastxor's numba core against its numpy core and against each peer that is installed,\n"
        "each in its strongest form and in a process of its own. All results are compared before\n"
        "they are timed. Prints ratios, and writes JSON, Markdown and a page of HTML with plots.",
        epilog=f"cases, by the sizes of their layers and hidden/output activations:\n{_listed_cases()}\n\n"
        f"peers: {', '.join(PEERS)} (all but c: {PEERS['jax']})\n\n"
        "examples:\n"
        "  fastxor bench --quick                       the answer in about a minute\n"
        "  fastxor bench --cases xor expm --peers jax  two cases, beside JAX alone",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"few rounds, no torch.compile, and by default only {', '.join(QUICK_CASES)}: about a minute",
    )
    parser.add_argument(
        "--cases",
        type=_names("case", CASES),
        nargs="+",
        action="extend",
        metavar="CASE",
        help="time only these (default: all; see below)",
    )
    parser.add_argument(
        "--peers",
        type=_names("peer", PEERS),
        nargs="+",
        action="extend",
        metavar="PEER",
        help="compare only with these (default: all that are here; see below)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        choices=range(1, len(cores()) + 1),
        default=1,
        metavar="N",
        help="for fastxor and each peer, on as many cores (default: 1)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("fastxor-bench"),
        metavar="DIR",
        help="where fastxor-bench.json, .md and .html go (default: fastxor-bench)",
    )
    return parser


def _listed_cases() -> str:
    """A line or two for each."""
    said = {name: problem.description for name, problem in PROBLEMS.items()}
    said["population"] = f"{len(POPULATIONS)} populations, such as {next(iter(POPULATIONS.values())).description}"
    said |= {name: f"by {sweep.axis}: {sweep.description}" for name, sweep in sweeps(2).items()}
    lines = (fill(f"{name:12} {text}", 96, subsequent_indent=" " * 15) for name, text in said.items())
    return indent("\n".join(lines), "  ")


def _names(kind: str, known: Iterable[str]) -> Callable[[str], str]:
    """A converter that takes only known names, and lists them where it refuses one."""

    def convert(text: str) -> str:
        if text in known:
            return text
        near = difflib.get_close_matches(text, known, 1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        raise argparse.ArgumentTypeError(f"there is no {kind} {text!r}{guess}: {', '.join(known)}")

    return convert


def _command(options: argparse.Namespace) -> str:
    """How to get the same again, apart from where it is written."""
    words = ["fastxor", "bench"]
    words += ["--quick"] * options.quick
    words += [
        word for name in ("cases", "peers") if getattr(options, name) for word in (f"--{name}", *getattr(options, name))
    ]
    words += ["--threads", str(options.threads)] * (options.threads > 1)
    return " ".join(words)
