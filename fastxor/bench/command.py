"""`fastxor bench`: numpy against numba, and every peer that is installed, in one command."""

from __future__ import annotations

import argparse
import difflib
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fastxor.bench import asked, report
from fastxor.bench.machine import Machine, cores
from fastxor.bench.measuring import OURS, Effort, Outcome, measure
from fastxor.bench.page import page
from fastxor.bench.peers import PEERS
from fastxor.bench.problems import PROBLEMS, Problem, Sweep, sweeps
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
    seeds=10,
)
QUICK = Effort(
    trial=0.003,
    sample=0.06,
    point=0.01,
    rounds=5,
    points=6,
    sweepers=frozenset({"numpy"}),
    seeds=2,
    without=frozenset({"torch.compile"}),
)
CASES = (*PROBLEMS, *sweeps(2))
QUICK_CASES = ("xor", "expm", *sweeps(2))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark with these command-line arguments; the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    readme = Path("README.md")
    if options.asked and options.threads > 1:
        parser.error("--asked has its own rows of two threads, and its others are of one: leave out --threads")
    if options.update_readme and not (readme.exists() and report.SECTION.search(readme.read_text(encoding="utf-8"))):
        parser.error("--update-readme wants a README.md with a place for the table here, as in a clone of fastxor")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --output: {error}")

    effort = QUICK if options.quick else FULL
    record = Record(_command(options), Machine(), effort.rounds)
    with ExitStack() as workers:
        session = Session(record, effort, Progress(), workers)
        try:
            session.run(options)
        except KeyboardInterrupt:
            record.interrupted = True
        except Refused as refusal:
            session.progress.note(f"fastxor bench: {OURS} itself cannot run: {refusal}")
            return 1
        finally:
            session.progress.clear()
        _finish(record, options.output)  # before the workers, who may be slow to stop
    if options.update_readme and not record.interrupted:
        report.update_readme(readme, report.table(record))
        print(readme)
    failed = any(OURS in outcome.left_out for outcome in record.outcomes)
    return 130 if record.interrupted else int(failed)


def _finish(record: Record, output: Path) -> None:
    """What the tables on the terminal mean, and the files."""
    print(f"x fastxor: time over fastxor's, the median of {record.rounds} interleaved rounds' own ratios, with their")
    print("quartiles; above 1 fastxor is the faster one, below 1 the slower one. All results were compared first.")
    if record.claims:
        print(f"\n{report.asked(record).text()}")
    print(f"\n{record.machine}\n")
    for ending, content in (("json", report.as_json), ("md", report.markdown), ("html", page)):
        path = output / f"fastxor-bench.{ending}"
        path.write_text(content(record), encoding="utf-8", newline="\n")
        print(path)
    if record.interrupted:
        print("Interrupted: these hold what was measured until then.")


@dataclass
class Session:
    """One run of the command: it fills in the record, and prints each case's table as soon as it is known."""

    record: Record
    effort: Effort
    progress: Progress
    stack: ExitStack  # ends the workers

    def run(self, options: argparse.Namespace) -> None:
        names = options.cases or (QUICK_CASES if options.quick else CASES)
        problems = [PROBLEMS[name] for name in names if name in PROBLEMS]
        lines = [sweep for name, sweep in sweeps(self.effort.points).items() if name in names]
        workers = self.start(options.peers or PEERS, options.threads)
        try:
            self.record.machine.clock, self.record.machine.peaks = workers[OURS]("floor")
        except Refused as refusal:
            self.progress.note(f"the machine's peak is not known: {report.one_line(str(refusal))}")
        few = {name: worker for name, worker in workers.items() if name == OURS or name in self.effort.sweepers}
        points = sum(len(sweep.problems) for sweep in lines)
        rounds = self.effort.rounds
        self.progress.expect(len(problems) * (len(workers) + rounds) + points * (len(few) + rounds))

        for problem in problems:
            self.case(Outcome(problem, options.threads), workers)
        for sweep in lines:
            self.sweep(sweep, few, options.threads)
        if options.asked:
            self.ask(problems, workers)

    def start(self, peers: Iterable[str], threads: int) -> dict[str, Worker]:
        """A worker for fastxor and for each peer that is here; the others are noted."""
        workers = {}
        for name in (OURS, *peers):
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

    def case(self, outcome: Outcome, workers: dict[str, Worker]) -> None:
        self.progress.case(f"{outcome.label}: {outcome.problem.description}")
        self.record.cases.append(outcome)
        self.measure(outcome, workers, self.effort.sample)
        self.progress.clear()
        print(f"{report.details(outcome, self.record.machine).text()}\n", flush=True)

    def sweep(self, sweep: Sweep, workers: dict[str, Worker], threads: int) -> None:
        self.progress.case(f"by {sweep.axis}: {sweep.description}")
        swept = Swept(sweep.axis, sweep.description)
        self.record.sweeps.append(swept)
        for place, problem in sweep.problems.items():
            swept.outcomes[place] = Outcome(problem, threads)
            self.measure(swept.outcomes[place], workers, self.effort.point)

    def measure(self, outcome: Outcome, workers: dict[str, Worker], sample: float) -> None:
        measure(outcome, list(workers.values()), self.effort, sample, self.progress.step)
        for name, reason in outcome.left_out.items():
            self.progress.note(f"{outcome.label}: {name} is left out: {report.one_line(reason)}")

    def ask(self, problems: list[Problem], workers: dict[str, Worker]) -> None:
        """What was asked of the cases that ran, and of a few things beside them."""
        effort = self.effort
        beside: list[Callable[[], asked.Claim]] = []
        if PROBLEMS["expm"] in problems:
            beside.append(asked.fresh_process)
            if len(cores()) > 1:
                pairs = self.start([name for name in workers if name != OURS], 2)
                self.case(Outcome(PROBLEMS["expm"], 2), pairs)
                both = workers[OURS], pairs[OURS]
                beside.append(lambda: asked.scaling(PROBLEMS["expm"], *both, effort.sample, effort.rounds))
        if PROBLEMS["digits"] in problems:
            beside.append(lambda: asked.same_accuracy(PROBLEMS["digits"], workers, effort.seeds))
        for outcome in self.record.cases:
            self.record.claims += asked.of_outcome(outcome, self.record.machine)
        for claim in beside:
            self.progress.step("what was asked beside the cases")
            try:
                self.record.claims.append(claim())
            except (Refused, subprocess.CalledProcessError) as error:
                self.progress.note(f"asked, but not measured: {report.one_line(str(error))}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastxor bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Time fastxor's numba core against its numpy core and against each peer that is installed,\n"
        "each in its strongest form and in a process of its own. All results are compared before\n"
        "they are timed. Prints ratios, and writes JSON, Markdown and a page of HTML with plots.",
        epilog=f"cases: {', '.join(CASES)}\npeers: {', '.join(PEERS)} (all but c: pip install 'fastxor[peers]')\n\n"
        "examples:\n"
        "  fastxor bench --quick                       the answer in a minute\n"
        "  fastxor bench --cases xor expm --peers jax  two cases, against JAX alone",
    )
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds: less than a minute")
    parser.add_argument(
        "--cases", type=_names("case", CASES), nargs="+", action="extend", metavar="CASE", help="only these (see below)"
    )
    parser.add_argument(
        "--peers", type=_names("peer", PEERS), nargs="+", action="extend", metavar="PEER", help="only these (see below)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        choices=range(1, len(cores()) + 1),
        default=1,
        metavar="N",
        help="of each peer (default: 1)",
    )
    parser.add_argument("--asked", action="store_true", help="also what the project asks of itself, and what it got")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("fastxor-bench"),
        metavar="DIR",
        help="where the three files go (default: fastxor-bench)",
    )
    parser.add_argument("--update-readme", action="store_true", help="put the table into the README.md that is here")
    return parser


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
    words += [f"--{name}" for name in ("quick", "asked") if getattr(options, name)]
    words += [
        word for name in ("cases", "peers") if getattr(options, name) for word in (f"--{name}", *getattr(options, name))
    ]
    words += ["--threads", str(options.threads)] * (options.threads > 1)
    return " ".join(words)
