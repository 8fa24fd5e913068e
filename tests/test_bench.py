"""`fastxor bench`: its options, its files, and what it does when a peer is missing, wrong, or interrupted."""

import functools
import json
import os
import re
import shutil
import signal
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np
import pytest
from support import ROOT, run_python

from benchmarks import readme
from fastxor.__main__ import main
from fastxor.bench import command, floor, report
from fastxor.bench.measuring import Outcome
from fastxor.bench.peers import numpy_peer
from fastxor.bench.problems import POPULATIONS, PROBLEMS, sweeps
from fastxor.bench.progress import Progress
from fastxor.bench.worker import Missing, Peer, Refused, Worker, rest

FLAGS = ("--quick", "--cases", "--peers", "--threads", "--output")
CONTENDERS = {"fastxor": ("fastxor", "fastxor's numpy"), "numpy": ("numpy",), "c": ("C",), "jax": ("JAX",)}
CONTENDERS |= {"torch": ("PyTorch",), "sklearn": ("scikit-learn",)}
SECONDS = {"fastxor": 1e-6, "fastxor's numpy": 5e-5, "numpy": 3e-5, "C": 5e-7}  # an iteration; the others' 1e-4


@functools.cache
def reference(problem):
    """What plain numpy would end with, were it run: one away from the start everywhere."""
    return {key: value + 1 for key, value in problem.start.items()}


class Stub:
    """A worker without a process. What it says is the reference's own result, in a time of its contenders' own."""

    trouble: ClassVar = {}  # (name, method) to what is done instead

    def __init__(self, name, threads, cores):
        self.name, self.threads = name, threads
        assert len(cores) == threads

    def __call__(self, method, *arguments):
        if (self.name, method) in self.trouble:
            return self.trouble[self.name, method](self, *arguments)
        return getattr(self, method)(*arguments)

    def version(self):
        return f"{self.name} 1.0"

    def floor(self):
        return 3e9, {"float32": 1e11, "float64": 5e10}

    def prepare(self, problem):
        self.problem = problem
        return [(contender, "way") for contender in CONTENDERS[self.name]]

    def run(self, way, iterations):
        return reference(self.problem)

    def length(self, way, sample):
        return 10 * self.problem.per_unit

    def seconds(self, way, iterations):
        return SECONDS.get(way[0], 1e-4) * iterations * np.random.default_rng(iterations).uniform(0.98, 1.02)

    def close(self):
        pass


@pytest.fixture
def trouble(monkeypatch):
    """Has `Stub` in the place of the workers, and says where one should fail."""
    monkeypatch.setattr(command, "Worker", Stub)
    monkeypatch.setattr(numpy_peer, "reference", reference)
    monkeypatch.setattr(Stub, "trouble", {})
    return Stub.trouble


def bench(capsys, directory, *arguments):
    """The command's exit code, output, errors, and the three files by their endings."""
    try:
        code = main(["bench", "--output", str(directory), *arguments])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    files = {path.suffix[1:]: path.read_text(encoding="utf-8") for path in directory.glob("fastxor-bench.*")}
    if "json" in files:
        files["json"] = json.loads(files["json"])
    return code, captured.out, captured.err, files


def broken(error):
    def fail(*_):
        raise error

    return fail


def wrong(stub, way, iterations):
    return {key: value * 1.01 for key, value in reference(stub.problem).items()}


# ---------------------------------------------------------------- the command line


def test_help(capsys, tmp_path):
    code, out, err, _ = bench(capsys, tmp_path, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: fastxor bench ")
    for name in (
        *FLAGS,
        *PROBLEMS,
        *sweeps(2),
        *command.PEERS,
        *(problem.description.split()[0] for problem in PROBLEMS.values()),
    ):
        assert name in out
    assert max(map(len, out.splitlines())) <= 120


def test_the_program_tells_of_the_benchmark(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "fastxor bench --help" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cases", "xr"], ["xr", "did you mean xor?", *PROBLEMS, "hidden", "samples"]),
        (["--cases", "xor", "nothing"], ["nothing", *PROBLEMS]),
        (["--peers", "pytorch"], ["pytorch", "torch", *command.PEERS]),
        (["--threads", "0"], ["threads"]),
        (["--threads", "1000"], ["threads"]),
        (["surplus"], ["surplus"]),
    ],
)
def test_refusals(capsys, tmp_path, arguments, words):
    code, out, err, files = bench(capsys, tmp_path, *arguments)
    assert (code, out, files) == (2, "", {})
    assert err.startswith("usage: fastxor bench")
    for word in words:
        assert word in err.splitlines()[-1]


def test_an_output_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").touch()
    code, _, err, _ = bench(capsys, tmp_path / "file" / "directory")
    assert code == 2
    assert "--output" in err


def test_importing_fastxor_does_not_import_the_benchmark(tmp_path):
    run_python("-c", "import fastxor.__main__, sys; assert 'fastxor.bench' not in sys.modules", cwd=tmp_path)


# ---------------------------------------------------------------- whole runs


def test_a_real_run(capsys, tmp_path, monkeypatch):
    """numpy against numba in processes of their own, with a peer that is not installed."""
    (tmp_path / "jax.py").write_text("raise ImportError('no jax here')")
    monkeypatch.syspath_prepend(str(tmp_path))
    output = tmp_path / "new" / "directory"
    code, out, err, files = bench(capsys, output, "--quick", "--cases", "predict", "--peers", "numpy", "jax")
    assert code == 0
    assert "jax is left out: no jax here" in err
    assert command.PEERS["jax"] in err
    assert set(files) == {"json", "md", "html"}
    for name in files:
        assert str(output / f"fastxor-bench.{name}") in out
    (case,) = files["json"]["cases"]
    assert set(case["contenders"]) == {"fastxor", "fastxor's numpy", "numpy"}
    for found in case["contenders"].values():
        assert len(found["seconds"]) == command.QUICK.rounds
        assert 0 < min(found["seconds"]) <= found["median"] <= max(found["seconds"])
        assert min(found["seconds"]) < 0.1  # the others may have waited for a core
    assert case["contenders"]["fastxor"]["ratio"] == 1
    assert set(files["json"]["machine"]["peaks"]) == {"float32", "float64"}
    assert 1e8 < files["json"]["machine"]["peaks"]["float64"] < files["json"]["machine"]["peaks"]["float32"] < 1e13
    assert [entry["name"] for entry in files["json"]["left_out"]] == ["jax"]
    assert re.search(r"^fastxor +\d", out, re.MULTILINE)


def test_all_that_is_shown(capsys, tmp_path, trouble):
    code, out, err, files = bench(capsys, tmp_path, "--quick", "--peers", "c", "numpy")
    assert code == 0
    lines = {line.split("  ")[0]: line for line in out.partition("\n\n")[0].splitlines()}
    title, head, *names = lines
    assert title == "xor: 2-2-1 tanh/sigmoid, 4 samples, float64, gradient descent; one step"
    assert (head, names) == ("implementation", ["C", "fastxor", "numpy", "fastxor's numpy"])  # the fastest first
    assert re.search(r" 0\.\d\d \(0\.\d\d-0\.\d\d\)", lines["C"])  # a loss is kept
    assert re.search(r" (29|30|31)\.\d \(.*\)", lines["numpy"])
    assert " 0.22% " in lines["fastxor"]  # 2 x 56 multiply-adds at 50 GFLOP/s would take 2.24 ns

    markdown = files["md"]
    assert re.search(r"\| \*\*xor\*\* \| .* \| \*\*0\.5\d?\*\* \(0\.\d+-0\.\d+\) \|", markdown)
    for word in ("Not quite fair", "fastxor 1.0", "c 1.0", "3.00 GHz", "`fastxor bench --quick --peers c numpy`"):
        assert word in markdown
    assert str(tmp_path) not in markdown

    record = files["json"]
    assert record["interrupted"] is False
    assert [case["case"] for case in record["cases"]] == ["xor", "expm"]
    assert list(record["sweeps"]) == ["hidden units", "samples"]
    for sweep in record["sweeps"].values():
        assert len(sweep) == command.QUICK.points
        assert set(sweep["1"]["contenders"]) == {"fastxor", "fastxor's numpy", "numpy"}
    assert re.findall("timing (.*)", err) == ["xor", "expm", "by hidden units", "by samples"]  # where is no terminal


class Page(HTMLParser):
    """Every tag with its attributes, and whatever would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.fetched = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.fetched += [(tag, name) for name, _ in attributes if name in ("src", "href", "srcset", "data", "action")]


def test_the_page(capsys, tmp_path, trouble):
    """One file that fetches nothing, with three plots: every contender in the first, and the floor in the others."""
    text = bench(capsys, tmp_path, "--quick", "--peers", "c", "numpy")[3]["html"]
    page = Page(text)
    assert page.fetched == []
    assert not re.search(r"https?:|//|url\(|@import|<script|<link|<iframe", text)
    assert "prefers-color-scheme: dark" in text
    assert "$" not in text
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 3
    for name in ("numpy", "C", "fastxor&#x27;s numpy"):
        assert f"xor, {name}: " in plots[0]
    for axis, plot in zip(("hidden units", "samples"), plots[1:], strict=True):
        assert axis in plot
        assert plot.count('class="floor"') == 1
        assert "the machine&#x27;s peak" in plot
        assert plot.count("<polyline") == 4
        assert plot.count("<circle") == 3 * command.QUICK.points
    for value in re.findall(r' (?:cx|cy|x|y|x1|x2|y1|y2)="([^"]*)"', text):
        assert 0 <= float(value) <= 880


def test_the_plots_are_to_scale(capsys, tmp_path, trouble):
    """Ten times the hidden units are as far apart as ten times those, and the peak's line falls with them."""
    plot = re.findall(r"<svg.*?</svg>", bench(capsys, tmp_path, "--quick", "--peers", "numpy")[3]["html"], re.DOTALL)[1]
    ((first, *_, last),) = [
        [tuple(map(float, point.split(","))) for point in line.split()]
        for line in re.findall(r'class="floor" points="([^"]*)"', plot)
    ]
    ticks = dict(re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="tick" text-anchor="middle">(\w+)<', plot))
    places = {label: float(x) for x, label in ticks.items()}
    decade = places["10"] - places["1"]
    assert places["1k"] - places["100"] == pytest.approx(decade, abs=0.3)
    assert last[0] - first[0] == pytest.approx(decade * np.log10(1024), abs=1)
    heights = re.findall(r'y="([\d.]+)" class="tick" text-anchor="end">([\w.]+)<', plot)
    heights = {label: float(y) - 4 for y, label in heights}
    tenfold = heights["100M"] - heights["1G"]
    assert last[1] - first[1] == pytest.approx(tenfold * np.log10((3 * 9 * 1024 - 8 * 1024) / (3 * 9 - 8)), abs=1)


# ---------------------------------------------------------------- no heading with nothing beneath


def cells(table):
    """The columns of a Markdown table, each with its heading first; the line beneath the headings left out."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return list(zip(lines[0], *lines[2:], strict=True))


def check_terminal(out):
    """Blocks of a title, a head and rows, each column with content; the legend explains no column that is not there."""
    *blocks, files = out.split("\n\n")
    tables = [block.splitlines() for block in blocks if not re.search("before it was timed|cores?, |Nothing", block)]
    for _title, head, *rows in tables:
        assert rows
        for column in re.finditer(r"\S+(?: \S+)*", head):
            assert any(row[slice(*column.span())].strip() for row in rows), column.group()
    heads = " ".join(lines[1] for lines in tables)
    assert ("x fastxor's time: " in out) == ("x fastxor's time" in heads)
    assert ("of peak: " in out) == ("of peak" in heads)
    assert ("Every result" in out) == bool(tables) != ("Nothing was timed" in out)
    assert "fastxor-bench.html" in files


def check_markdown(text):
    blocks = text.strip().split("\n\n")
    for block, after in pairwise([*blocks, "#"]):
        if block.startswith("#"):
            assert not after.startswith("#"), block
        if block.startswith("**"):
            assert after.startswith("|"), block
        if block.startswith("|"):
            for head, *column in cells(block):
                assert any(column), head
    assert ("A figure under a peer" in text) == ("x fastxor's time" in text)
    assert ("Of peak: " in text) == ("| of peak |" in text)


def check_html(text):
    body = text.partition("</h1>")[2]
    assert not re.search(r"</(h\d|summary)>\s*<(h\d|/details|/html)", body)
    assert not re.search(r"<(\w+)[^>]*>\s*</\1>", body)
    for table in re.findall(r"<table>(.*?)</table>", body):
        head, *rows = [re.findall(r"<t[hd][^>]*>([^<]*(?:<b>.*?</b>[^<]*)?)", row) for row in table.split("<tr>")[1:]]
        assert rows
        for name, *column in zip(head, *rows, strict=True):
            assert any(column), name
    for plot in re.findall(r"<svg.*?</svg>", body, re.DOTALL):
        assert "<circle" in plot
        for label in re.findall(r'text-anchor="end">([a-z][^<]*)<', plot):
            assert f"<title>{label}, " in plot
    assert ("Dashed" in body) == ('class="floor"' in body)


def check(out, files):
    check_terminal(out)
    check_markdown(files["md"])
    check_html(files["html"])
    assert all(files["json"]["sweeps"].values())


refused = broken(Refused("no"))
missing = broken(Missing("not here"))


def without_numpy(stub, problem):
    """fastxor, but not its numpy core."""
    stub.problem = problem
    return [("fastxor", "way")]


@pytest.mark.parametrize("peer", ["numpy", "jax"])  # in every sweep, or in none
@pytest.mark.parametrize("cases", [[], ["gradient"], ["hidden"], ["samples", "predict"]], ids="+".join)
@pytest.mark.parametrize(
    "trouble_with",
    [
        {},
        {("numpy", "version"): missing, ("jax", "version"): missing},
        {("numpy", "prepare"): refused, ("jax", "prepare"): refused},
        {("fastxor", "run"): wrong},
        {("fastxor", "prepare"): lambda stub, problem: []},
        {("fastxor", "prepare"): without_numpy},
        {("fastxor", "prepare"): without_numpy, ("numpy", "version"): missing, ("jax", "version"): missing},
        {("fastxor", "run"): refused, ("numpy", "run"): refused, ("jax", "run"): refused},
        {("fastxor", "floor"): refused},
        {("fastxor", "floor"): lambda stub: (None, {"float32": 1e11})},
    ],
    ids=["none", "missing", "refused", "wrong", "absent", "without-numpy", "alone", "nobody", "no-peak", "half-a-peak"],
)
def test_no_heading_with_nothing_beneath(capsys, tmp_path, trouble, monkeypatch, trouble_with, cases, peer):
    """Neither a section without rows, nor a table, a column, a plot or a legend without content."""
    monkeypatch.setattr(command, "QUICK", replace(command.QUICK, rounds=2, points=2))
    trouble |= trouble_with
    chosen = ["--cases", *cases] if cases else []
    _, out, _, files = bench(capsys, tmp_path, "--quick", *chosen, "--peers", peer)
    check(out, files)


def test_no_heading_with_nothing_beneath_whenever_it_is_interrupted(capsys, tmp_path, trouble, monkeypatch):
    """At every call of a worker in turn."""
    monkeypatch.setattr(command, "QUICK", replace(command.QUICK, rounds=2, points=2))
    call, left = Stub.__call__, [0]

    def counted(stub, *arguments):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return call(stub, *arguments)

    monkeypatch.setattr(Stub, "__call__", counted)
    code, turn, tables = 130, 0, set()
    while code == 130:
        turn += 1
        left[0] = turn
        code, out, _, files = bench(capsys, tmp_path, "--quick", "--cases", "xor", "hidden", "--peers", "numpy")
        check(out, files)
        tables.add(out.count("\nimplementation") + out.count("\nhidden units"))
    assert code == 0
    assert tables == {0, 1, 2}
    assert turn > 40


def test_a_sweep_is_shown_on_the_terminal(capsys, tmp_path, trouble):
    _, out, _, files = bench(capsys, tmp_path, "--quick", "--cases", "hidden", "--peers", "numpy")
    title, head, *rows = out.partition("\n\n")[0].splitlines()
    assert title.startswith("by hidden units: 8-n-1 tanh/sigmoid, 256 samples")
    assert head.split("  ")[0] == "hidden units"
    assert [row.split("  ")[0] for row in rows] == ["1", "4", "16", "64", "256", "1,024"]
    assert "1.0" in rows[0]  # of fastxor
    assert "Nothing was timed" not in files["md"]


# ---------------------------------------------------------------- trouble


def test_a_peer_that_computes_something_else_gets_no_ratio(capsys, tmp_path, trouble):
    trouble["c", "run"] = wrong
    code, out, err, files = bench(capsys, tmp_path, "--quick", "--cases", "xor", "--peers", "c", "numpy")
    assert code == 0
    assert re.search(r"C is left out: its result is 1.\de-02 from numpy's, and 1e-09 is allowed", err)
    assert not re.search(r"^C ", out, re.MULTILINE)
    assert "| C |" not in files["md"].partition("Left out")[0]
    assert set(files["json"]["cases"][0]["contenders"]) == {"fastxor", "fastxor's numpy", "numpy"}
    assert files["json"]["left_out"][0]["name"] == "C"


def test_no_ratio_at_all_where_fastxor_is_wrong(capsys, tmp_path, trouble):
    trouble["fastxor", "run"] = wrong
    code, _, err, files = bench(capsys, tmp_path, "--quick", "--cases", "xor", "--peers", "numpy")
    assert code == 1
    assert "fastxor is left out: its result is" in err
    assert "ratio" not in files["json"]["cases"][0]["contenders"]["numpy"]
    assert "**xor**" not in report.table(report.Record("", report.Machine(), 1, [Outcome(PROBLEMS["xor"])]))
    assert files["html"].count("<svg") == 0


@pytest.mark.parametrize("method", ["prepare", "run", "length", "seconds"])
def test_a_peer_that_fails_is_left_out_and_the_others_go_on(capsys, tmp_path, trouble, method):
    trouble["c", method] = broken(Refused("its process ended with exit code -11"))
    code, _, err, files = bench(capsys, tmp_path, "--quick", "--cases", "xor", "gradient", "--peers", "c", "numpy")
    assert code == 0
    for case in files["json"]["cases"]:
        assert set(case["contenders"]) == {"fastxor", "fastxor's numpy", "numpy"}
        assert all(len(found["seconds"]) == command.QUICK.rounds for found in case["contenders"].values())
    assert len(re.findall(r"(?i)\bc is left out: its process ended with exit code -11", err)) == 2


@pytest.mark.parametrize("name", [name for name in command.PEERS if name != "numpy"])
def test_a_missing_peer_is_named_with_how_to_get_it(capsys, tmp_path, trouble, name):
    trouble[name, "version"] = broken(Missing("not installed"))
    code, _, err, files = bench(capsys, tmp_path, "--quick", "--cases", "gradient", "--peers", name)
    assert code == 0
    assert f"{name} is left out: not installed; to have it: {command.PEERS[name]}" in err
    assert files["json"]["left_out"] == [
        {"case": "all", "name": name, "why": f"not installed; to have it: {command.PEERS[name]}"}
    ]
    assert f"Left out: {name} (not installed; to have it: " in files["md"]


def test_data_that_are_not_here(capsys, tmp_path, trouble, monkeypatch):
    """The digits come with scikit-learn."""
    monkeypatch.setattr(numpy_peer, "reference", broken(ImportError("No module named 'sklearn'")))
    code, _, err, files = bench(capsys, tmp_path, "--quick", "--cases", "digits", "--peers", "numpy")
    assert code == 0
    assert "digits: everybody is left out: No module named 'sklearn', which has its data; to have it: " in err
    assert files["json"]["cases"] == []


def test_fastxor_itself_is_not_optional(capsys, tmp_path, trouble):
    trouble["fastxor", "version"] = broken(Missing("No module named 'numba'"))
    code, _, err, files = bench(capsys, tmp_path, "--quick")
    assert (code, files) == (1, {})
    assert "fastxor itself cannot run: No module named 'numba'" in err


@pytest.mark.parametrize("turn", [0, 3])
def test_an_interrupted_run_leaves_what_was_measured(capsys, tmp_path, trouble, turn):
    """The first case, and of the second the rounds that all finished."""
    left = [turn]

    def seconds(stub, way, iterations):
        if stub.problem.name == "gradient":
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return stub.seconds(way, iterations)

    trouble["numpy", "seconds"] = seconds
    arguments = ["--quick", "--cases", "xor", "gradient", "expm", "hidden", "--peers", "numpy", "c"]
    code, out, _, files = bench(capsys, tmp_path, *arguments)
    assert code == 130
    assert "Interrupted" in out
    assert files["json"]["interrupted"] is True
    cases = {case["case"]: case["contenders"] for case in files["json"]["cases"]}
    assert list(cases) == ["xor", "gradient"][: 1 + bool(turn)]
    if turn:
        assert {len(found["seconds"]) for found in cases["gradient"].values()} == {turn}
    assert "which was interrupted" in files["md"]
    assert "<svg" in files["html"]


def test_interrupted_before_anything_was_measured(capsys, tmp_path, trouble):
    trouble["fastxor", "floor"] = broken(KeyboardInterrupt())
    code, _, _, files = bench(capsys, tmp_path, "--quick", "--peers", "numpy")
    assert code == 130
    assert files["json"]["cases"] == []
    assert "Nothing was timed" in files["html"]
    assert "which was interrupted" in files["md"]


def test_a_machine_whose_peak_is_not_known(capsys, tmp_path, trouble):
    trouble["fastxor", "floor"] = broken(Refused("no vectors"))
    code, _, err, files = bench(capsys, tmp_path, "--quick", "--cases", "gradient", "hidden", "--peers", "numpy")
    assert code == 0
    assert "the machine's peak is not known: no vectors" in err
    assert "peak unknown" in files["md"]
    assert files["html"].count("<svg") == 2
    assert "the machine" not in files["html"].rpartition("<svg")[2].partition("</svg>")[0]


@pytest.mark.parametrize(("threads", "naps"), [(1, 0), (2, 4)])
def test_a_worker_answers_when_its_threads_are_at_rest(monkeypatch, threads, naps):
    """A pool that spins for 25 ms after its work; with one thread there is none."""
    clock, slept = [0.0], []
    monkeypatch.setattr(time, "process_time", lambda: min(clock[0], 0.025))
    monkeypatch.setattr(time, "sleep", lambda seconds: (slept.append(seconds), clock.append(clock.pop() + seconds)))
    peer = Peer("numpy", threads)
    monkeypatch.setattr(peer, "run", lambda way, iterations: None)
    peer.ran = set()
    assert peer.seconds(("numpy", "textbook"), 1) < 1
    assert len(slept) == naps


def test_a_pool_that_never_rests_is_not_waited_for(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    rest(most=0.03)


def test_ctrl_c_does_not_reach_a_worker():
    """It is the parent that decides; a terminal sends the signal to both."""
    worker = Worker("numpy", 1, set(command.cores()[-1:]))
    try:
        assert worker("version").startswith("numpy ")
        if sys.platform != "win32":
            os.kill(worker.process.pid, signal.SIGINT)
        assert worker("version").startswith("numpy ")
        with pytest.raises(Refused, match="AttributeError"):
            worker("no such method")
    finally:
        worker.close()
    with pytest.raises(Refused, match="its process ended with exit code 0"):
        worker("version")


class Terminal:
    def __init__(self):
        self.written = ""

    def isatty(self):
        return True

    def write(self, text):
        self.written += text

    def flush(self):
        pass


def test_the_bar_is_for_a_terminal(monkeypatch):
    terminal = Terminal()
    progress = Progress(terminal)
    progress.step("before")
    progress.expect(4)
    for number in range(4):
        progress.step(f"piece {number}")
    progress.note("done")
    bars = re.findall(r"\r\[(#*\.*)\] +(\d+)%  0:0\d  piece \d\x1b\[K", terminal.written)
    assert [share for _, share in bars] == ["0", "25", "50", "75"]
    assert [bar.count("#") for bar, _ in bars] == [0, 6, 12, 18]
    assert terminal.written.endswith("\r\x1b[Kdone\n")


# ---------------------------------------------------------------- the speeds that are published

PUBLISHED = {name: (ROOT / name).read_text(encoding="utf-8") for name in readme.FILES}


@pytest.fixture
def copies(trouble, monkeypatch, tmp_path):
    """A tree of copies of the three files, which `benchmarks.readme` takes for its own, on a machine of two cores."""
    root = tmp_path / "tree"
    for name, text in PUBLISHED.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(readme, "ROOT", root)
    for module in (readme, command):
        monkeypatch.setattr(module, "cores", lambda: [0, 1])
    return root


def texts(root):
    return {name: (root / name).read_text(encoding="utf-8") for name in PUBLISHED}


def publish(directory, *arguments):
    """What `python -m benchmarks.readme` says when it gives up, if it does."""
    try:
        readme.main(["--output", str(directory / "out"), *arguments])
    except SystemExit as stop:
        return stop.code
    return None


def table_of(file):
    """The rows of the table between a file's marks, by case and column."""
    lines = re.findall(r"^\| (.*) \|$", readme.SECTION.search(file)[2], re.MULTILINE)
    head, _, *rows = [line.split(" | ") for line in lines]
    return {row[0].strip("*"): dict(zip(head, row, strict=True)) for row in rows}


@pytest.mark.parametrize("name", readme.FILES)
def test_what_is_published_is_as_it_was_made(name):
    assert readme.is_as_made(PUBLISHED[name]), f"change it with `{readme.COMMAND}`, not by hand"


def test_what_the_tables_have():
    short, full = (table_of(PUBLISHED[name]) for name in (readme.README, readme.PAGE))
    assert list(short) == list(full) == readme.ROWS
    assert list(short["xor"]) == ["case", "fastxor", *report.BRIEF]
    assert list(full["xor"]) == ["case", "fastxor", "of peak", *report.CONTENDERS]
    for words in ("Not quite fair", f"Made by `{readme.COMMAND}`", "numba "):
        assert words in PUBLISHED[readme.PAGE]


def test_tables_and_picture_say_the_same():
    """The README has the page's medians, and so has the picture."""
    short, full = (table_of(PUBLISHED[name]) for name in (readme.README, readme.PAGE))
    picture = dict(re.findall(r"<title>(.+): (.+)x</title>", PUBLISHED[readme.PICTURE]))
    for label, row in short.items():
        assert row["fastxor"] == full[label]["fastxor"]
        for name in report.BRIEF:
            assert row[name] == full[label][name].partition(" (")[0]
            drawn = picture.pop(f"{label}, {name}", None)
            shown = row[name].strip("*").replace(",", "")
            assert (drawn is None) == (not shown)
            if drawn:
                assert float(drawn) == pytest.approx(float(shown), rel=0.01)
    assert picture == {}


def test_the_readme_opens_with_the_picture_and_its_table_fits_a_screen():
    opening = [line for line in PUBLISHED[readme.README].splitlines() if line][:2]
    assert opening[0] == "# fastxor"
    assert re.fullmatch(rf"!\[.+\]\(https://.+/{readme.PICTURE}\)", opening[1])
    rows = table_of(PUBLISHED[readme.README])
    assert len(rows) <= 12
    assert all(len(row) <= 10 and len("  ".join(row.values())) <= 100 for row in rows.values())
    assert not re.search(r"\d-\d", "".join(cell for row in rows.values() for cell in [*row.values()][1:]))


def assert_stands_by_itself(picture):
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in picture
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")  # it asks nothing of anybody
    used = set(re.findall(r"var\((--\w+)\)", picture))
    light, dark = picture.split("prefers-color-scheme: dark")
    for name in used:
        assert f"{name}:" in light
        assert f"{name}:" in dark


def test_the_picture_stands_by_itself():
    assert_stands_by_itself(PUBLISHED[readme.PICTURE])


@pytest.mark.parametrize("name", readme.FILES)
def test_a_change_by_hand_is_found(name):
    """Every figure, every word, a lost line, a lost mark."""
    file = PUBLISHED[name]
    section = readme.SECTION.search(file)
    begin, end = section.span(2)
    figures = [begin + found.start() for found in re.finditer(r"\d", section[2])]
    assert len(figures) > 100
    for place in figures[:: max(1, len(figures) // 500)]:
        changed = "1" if file[place] != "1" else "2"
        assert not readme.is_as_made(file[:place] + changed + file[place + 1 :])
    for edited in (
        file[:begin] + file[begin + 1 :],
        file[:end] + "\n" + file[end:],
        file.replace(readme.END, ""),
    ):
        assert edited != file
        assert not readme.is_as_made(edited)
    assert readme.is_as_made("Another beginning\n" + file + "and end\n")


def test_all_is_made_anew(capsys, tmp_path, copies):
    """All cases and one of two threads, in the three files and in those of the run; all else stays as it was."""
    assert publish(tmp_path) is None
    new = texts(copies)
    for name, text in new.items():
        assert readme.is_as_made(text)
        assert text != PUBLISHED[name]
        assert readme.SECTION.sub("", text) == readme.SECTION.sub("", PUBLISHED[name])
    short, full = (table_of(new[name]) for name in (readme.README, readme.PAGE))
    assert list(short) == list(full) == readme.ROWS
    assert short["xor"]["C"].startswith("**0.5")  # a loss is kept
    assert_stands_by_itself(new[readme.PICTURE])
    table = readme.SECTION.search(new[readme.PAGE])[2].strip()
    assert table.count("**expm** 4-32-16-4") == 1
    assert table.endswith(f"Made by `{readme.COMMAND}`.")
    assert table in (tmp_path / "out" / "fastxor-bench.md").read_text(encoding="utf-8")


def test_all_is_made_from_the_file_of_a_run(capsys, tmp_path, copies, monkeypatch):
    assert publish(tmp_path) is None
    measured = texts(copies)
    for name, text in PUBLISHED.items():
        (copies / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(command, "Worker", None)  # nothing is measured
    assert publish(tmp_path, "--from", str(tmp_path / "out" / "fastxor-bench.json")) is None
    assert texts(copies) == measured


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content["cases"].pop(0), "xor could not be timed"),
        (lambda content: content["cases"].pop(), "expm, 2 threads could not be timed"),
        (lambda content: content["cases"][1].update(description="another job"), "another job, and is 2-8-1"),
        (lambda content: content.update(interrupted=True), "not the results of a whole"),
        (lambda content: content.update(command=f"{readme.COMMAND} --quick"), "not the results of a whole"),
        (lambda content: content.update(left_out=[{"case": "all", "name": "jax", "why": ""}]), "not the results"),
    ],
)
def test_a_file_with_a_hole_in_it(capsys, tmp_path, copies, change, words):
    assert publish(tmp_path) is None
    measured = texts(copies)
    path = tmp_path / "out" / "fastxor-bench.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    assert words in publish(tmp_path, "--from", str(path))
    assert texts(copies) == measured


@pytest.mark.parametrize("content", [None, "not JSON", "[]", '{"command": 1}'])
def test_a_file_of_another_kind(capsys, tmp_path, copies, content):
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert publish(tmp_path, "--from", str(path)) == 2
    assert f"argument --from: {path}" in capsys.readouterr().err
    assert texts(copies) == PUBLISHED


def test_a_quick_look_leaves_all_alone(capsys, tmp_path, copies, trouble):
    trouble["jax", "version"] = broken(Missing("not installed"))
    looks = []
    trouble["fastxor", "floor"] = lambda stub: looks.append(stub.threads) or Stub.floor(stub)
    assert publish(tmp_path, "--quick") is None
    assert looks == [1]  # at the machine: once, by one thread
    captured = capsys.readouterr()
    assert captured.err.count("jax is left out") == 1
    assert "expm, 2 threads: 4-32-16-4" in captured.out
    assert texts(copies) == PUBLISHED


@pytest.mark.parametrize(
    ("method", "trouble_with", "error", "words"),
    [
        ("version", "jax", Missing("not installed"), "jax must be here"),
        ("seconds", "fastxor", Refused("it ended"), "xor, xor-wide-8"),
        ("seconds", "numpy", KeyboardInterrupt(), "Interrupted"),
    ],
)
def test_no_table_with_a_hole_in_it(capsys, tmp_path, copies, trouble, method, trouble_with, error, words):
    trouble[trouble_with, method] = broken(error)
    assert words in publish(tmp_path)
    assert texts(copies) == PUBLISHED


@pytest.mark.parametrize("name", readme.FILES)
def test_no_room_for_the_speeds(capsys, tmp_path, copies, name):
    (copies / name).write_text("Another project\n", encoding="utf-8")
    before = texts(copies)
    assert publish(tmp_path) == 2
    assert f"{name} has no place for the speeds: it wants the lines" in capsys.readouterr().err
    assert texts(copies) == before


def test_no_second_core(capsys, tmp_path, copies, monkeypatch):
    monkeypatch.setattr(readme, "cores", lambda: [0])
    assert publish(tmp_path) == 2
    assert "wants two cores" in capsys.readouterr().err
    assert texts(copies) == PUBLISHED


# ---------------------------------------------------------------- figures as text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5, "1,234"),
        (317.6, "318"),
        (63.21, "63.2"),
        (5.01, "5.01"),
        (1, "1.00"),
        (0.844, "0.84"),
        (0.0417, "0.042"),
    ],
)
def test_digits(value, shown):
    assert report.digits(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(5.32e-8, "53.2 ns"), (9.999e-7, "1.00 us"), (1e-6, "1.00 us"), (0.00345, "3.45 ms"), (2, "2,000 ms")],
)
def test_times(seconds, shown):
    assert report.show_time(seconds) == shown


# ---------------------------------------------------------------- the machine and the problems


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("width", floor.widths())
def test_the_loop_of_multiply_adds(width, bits):
    """Each sum i comes halfway to 1 with every turn."""
    count = 5
    wanted = sum(1 + (i - 1) / 2**count for i in range(floor.SUMS))
    assert floor._multiply_adds(width, bits)(count) == pytest.approx(wanted, rel=1e-6)


def test_the_chain_of_additions():
    assert floor._additions()(5) == 3 * 5 * floor.CHAIN


@pytest.mark.parametrize("name", ["xor", "xor-wide-8", "xor-wide-32", "functions", "gradient", "predict", "hidden-1"])
def test_fastxor_and_numpy_solve_them_alike(name):
    """As the benchmark checks before it takes a time, without its processes."""
    from fastxor.bench.peers import fastxor_peer

    problem = PROBLEMS.get(name) or sweeps(2)["hidden"].problems[1]
    expected = numpy_peer.reference(problem)
    kinds = {name: getattr(fastxor_peer, name) for name in ("train", "functions")}
    kinds |= {"gradient": fastxor_peer.gradient_calls, "predict": fastxor_peer.predict_calls}
    for backend in ("numba", "numpy"):
        found = kinds[problem.kind](problem, backend, 1, problem.iterations)
        assert problem.difference(found, expected) <= problem.tolerance
    for ways in numpy_peer.contenders(problem, 1).values():
        for run in ways.values():
            assert problem.difference(run(problem.iterations), expected) <= problem.tolerance


@pytest.mark.parametrize("name", POPULATIONS)
def test_populations_are_solved_alike(name):
    from fastxor.bench.peers import fastxor_peer

    problem = replace(POPULATIONS[name], members=16)
    expected = numpy_peer.reference(problem)
    found = fastxor_peer.contenders(problem, 1), numpy_peer.contenders(problem, 1)
    for ways in (ways for contenders in found for ways in contenders.values()):
        for run in ways.values():
            assert problem.difference(run(problem.iterations), expected) <= problem.tolerance
    assert "16 networks at learning rates of their own" in problem.description


BY_C = """
from dataclasses import replace
from fastxor.bench.peers import c_peer, numpy_peer
from fastxor.bench.problems import POPULATIONS

c_peer.BLOCKS = {256: c_peer.BLOCKS[256]}  # gcc takes its time, and more for wider layers
for name in ("population, 64", "population-adam, 1,024", "population-mid, 64"):
    first, *hidden, last = POPULATIONS[name].sizes
    problem = replace(POPULATIONS[name], members=16, sizes=(first, *(min(units, 8) for units in hidden), last))
    expected = numpy_peer.reference(problem)
    for run in c_peer.contenders(problem, 1)["C"].values():
        assert problem.difference(run(problem.iterations), expected) <= problem.tolerance
"""

if shutil.which("gcc"):

    @pytest.mark.takes_seconds
    def test_populations_are_solved_alike_by_c(tmp_path):
        """In a process of its own: what is linked with -ffast-math makes denormals 0 for all that comes after."""
        assert run_python("-c", BY_C, cwd=tmp_path).stderr == ""
