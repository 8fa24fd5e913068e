"""The command line: the golden run, the truth table, both throughput lines, flags and their refusals."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support import GOLDEN_COSTS, GOLDEN_PREDICTION, child_environment, run_python

import fastxor as fx
from fastxor import __main__
from fastxor.__main__ import _iterations_per_second, main, program

FLAGS = ("--hidden", "--iterations", "--learning-rate", "--seed", "--backend", "--quiet", "--plot", "--version")


@pytest.fixture(autouse=True)
def timed_for_a_moment(monkeypatch):
    """What is measured here is wanted by nobody; a child process takes its time."""
    monkeypatch.setattr(__main__, "_SECONDS", 0.02)


def run(capsys, *arguments):
    """main(argv) in this process: its exit code, output and errors."""
    try:
        code = main(list(arguments))
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code or 0, captured.out, captured.err


def throughputs(output):
    """Core to iterations per second, from the two lines that tell them."""
    lines = [line for line in output.splitlines() if "iterations per second" in line or "iterations/s" in line]
    found = {}
    for line in lines:
        name = re.search(r"\b(numpy|numba)\b", line).group()
        found[name] = float(re.search(r"(\d[\d,]*(\.\d+)?)", line.replace(name, "")).group().replace(",", ""))
    assert len(found) == len(lines)
    return found


@pytest.mark.parametrize("flags", [(), ("--backend", "numpy"), ("--backend", "numba")])
def test_golden_run(capsys, flags):
    code, out, err = run(capsys, *flags)
    assert code == 0
    assert err == ""
    assert out.startswith(GOLDEN_COSTS + GOLDEN_PREDICTION)


def truth_table(output):
    """(x1, x2, prediction) from every line that begins with two inputs and ends with a prediction."""
    rows = []
    for line in output.splitlines():
        words = line.replace("|", " ").replace(",", " ").split()
        if len(words) >= 3 and {words[0], words[1], words[-1]} <= {"0", "1"}:
            rows.append((int(words[0]), int(words[1]), int(words[-1])))
    return rows


def test_truth_table_and_both_throughputs(capsys):
    _, out, _ = run(capsys)
    rest = out.removeprefix(GOLDEN_COSTS + GOLDEN_PREDICTION)
    assert truth_table(rest) == [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    rates = throughputs(rest)
    assert set(rates) == {"numpy", "numba"}
    assert rates["numba"] > 10 * rates["numpy"] > 0


def test_as_a_module(tmp_path):
    done = run_python("-W", "error", "-m", "fastxor", cwd=tmp_path)
    assert done.stdout.startswith(GOLDEN_COSTS + GOLDEN_PREDICTION)
    assert set(throughputs(done.stdout)) == {"numpy", "numba"}
    assert done.stderr == ""


def test_main_takes_its_arguments_from_the_command_line(capsys, monkeypatch):
    """As the console script calls it: main() without arguments."""
    monkeypatch.setattr(sys, "argv", ["fastxor", "--iterations", "0"])
    assert not main()
    out = capsys.readouterr().out
    assert out.startswith(
        GOLDEN_COSTS.splitlines(keepends=True)[0] + "Neural Network prediction for example (1, 1) is "
    )


def test_iterations(capsys):
    code, out, _ = run(capsys, "--iterations", "250")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("Cost")] == GOLDEN_COSTS.splitlines()[:3]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (["--hidden", "5"], {"n_h": 5}),
        (["--learning-rate", "0.05"], {"learning_rate": 0.05}),
        (["--seed", "7"], {"seed": 7}),
        (
            ["--hidden=3", "--learning-rate=1.5", "--seed=0", "--iterations=120"],
            {"n_h": 3, "learning_rate": 1.5, "seed": 0, "num_of_iters": 120},
        ),
    ],
)
def test_flags_reach_the_run(capsys, backend, flags, options):
    options = {"n_h": 2, "learning_rate": 0.3, "seed": 2, "num_of_iters": 100} | options
    if "--iterations" not in " ".join(flags):
        flags = [*flags, "--iterations", "100"]
    X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    seed = options.pop("seed")
    parameters = fx.model(X, Y, 2, n_y=1, random_state=seed, backend=backend, **options)
    wanted = capsys.readouterr().out
    answers = [fx.predict([[a], [b]], parameters) for a, b in ((0, 0), (0, 1), (1, 0), (1, 1))]
    code, out, err = run(capsys, *flags, "--backend", backend)
    assert (code, err) == (0, "")
    assert out.startswith(wanted + f"Neural Network prediction for example (1, 1) is {answers[3]}\n")
    assert [row[2] for row in truth_table(out)] == answers


def test_quiet_prints_no_costs(capsys):
    code, out, err = run(capsys, "--quiet")
    assert (code, err) == (0, "")
    assert "Cost after iteration" not in out
    assert GOLDEN_PREDICTION in out


def test_the_environment_selects_the_core(tmp_path):
    done = run_python("-W", "error", "-m", "fastxor", cwd=tmp_path, env={"FASTXOR_BACKEND": "numpy"})
    assert done.stdout.startswith(GOLDEN_COSTS + GOLDEN_PREDICTION)
    rates = throughputs(done.stdout)
    assert rates["numba"] > 10 * rates["numpy"]  # the time it takes to load numba is not in it


def test_an_unknown_core_in_the_environment_is_refused_like_a_flag(tmp_path):
    done = run_python("-m", "fastxor", cwd=tmp_path, env={"FASTXOR_BACKEND": "fortran"}, fails=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("usage: fastxor")
    for word in ("FASTXOR_BACKEND", "fortran", "numpy", "numba"):
        assert word in done.stderr.splitlines()[-1]


def test_the_first_run_is_not_timed(monkeypatch):
    """It loads the core, or compiles it."""
    real, calls = fx.train, []

    def train(*args, **kwargs):
        if not calls:
            time.sleep(2 * __main__._SECONDS)
        calls.append(kwargs["iterations"])
        return real(*args, **kwargs)

    monkeypatch.setattr(fx, "train", train)
    _iterations_per_second(fx.initialize_parameters(2, 2, 1, random_state=0), 0.3, "numpy")
    assert sum(calls) > calls[0]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_only_steps_that_were_taken_are_counted(backend):
    """A run that diverges at its first step is over in no time, however many iterations were asked for."""
    start = {k: np.full((1, 1), v) for k, v in {"b1": 0.0, "W2": 1e308, "b2": 1e308}.items()}
    start["W1"] = np.full((1, 2), 1e308)
    assert _iterations_per_second(start, 0.3, backend) == 0


def test_a_run_that_diverges_is_shown_like_any_other(capsys):
    with pytest.warns(fx.DivergenceWarning) as caught:
        code, out, err = run(capsys, "--learning-rate", "1e308", "--seed", "0", "--iterations", "300")
    assert (code, err) == (0, "")
    assert set(throughputs(out)) == {"numpy", "numba"}
    assert len(caught) == 1


def test_a_run_leaves_the_selection_alone(capsys):
    fx.set_backend("numba")
    run(capsys, "--backend", "numpy", "--iterations", "1")
    assert fx.get_backend() == "numba"


def test_help(capsys):
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: fastxor ")
    for flag in FLAGS:
        line = re.search(rf"^ +(?:-\w[^\n]*, )?{flag}\b.*(?:\n {{10,}}.*)*", out, re.MULTILINE)
        assert line, flag
        assert len(line.group().replace(flag, "").split()) >= 3, f"{flag} is not explained"
    assert "numpy" in out
    assert "numba" in out
    assert "XOR" in out
    for default in ("1000", "0.3", "2"):
        assert re.search(rf"default[: =]+{re.escape(default)}\b", out), default
    assert max(map(len, out.splitlines())) <= 100


def test_help_names_the_program_from_the_module_too(tmp_path):
    done = run_python("-m", "fastxor", "--help", cwd=tmp_path)
    assert re.match(r"usage: (python -m )?fastxor\b", done.stdout)


def test_version(capsys):
    code, out, _ = run(capsys, "--version")
    assert code == 0
    assert fx.__version__ in out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--hidden", "0"], "hidden"),
        (["--hidden", "-1"], "hidden"),
        (["--hidden", "2.5"], "hidden"),
        (["--hidden", "two"], "hidden"),
        (["--iterations", "-1"], "iterations"),
        (["--iterations", "1.5"], "iterations"),
        (["--learning-rate", "nan"], "learning-rate"),
        (["--learning-rate", "inf"], "learning-rate"),
        (["--learning-rate", "-0.1"], "learning-rate"),
        (["--learning-rate", "fast"], "learning-rate"),
        (["--seed", "-1"], "seed"),
        (["--seed", "x"], "seed"),
        (["--seed", str(2**32)], "seed"),
        (["--backend", "fortran"], "backend"),
        (["--nonsense"], "nonsense"),
        (["surplus"], "surplus"),
    ],
)
def test_refusals(capsys, arguments, word):
    """As every command line refuses: exit code 2, the usage, and one line that names the flag; no traceback."""
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("usage: fastxor")
    assert word in err.splitlines()[-1]
    assert "Traceback" not in err
    if word == "backend":
        assert "numpy" in err
        assert "numba" in err


def test_output_into_a_closed_pipe(tmp_path):
    """`python -m fastxor | head -1` ends without a traceback."""
    child = subprocess.Popen(
        [sys.executable, "-m", "fastxor"],
        cwd=tmp_path,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child.stdout.close()
    err = child.stderr.read()
    child.stderr.close()
    child.wait(60)
    assert "Traceback" not in err


def test_without_any_output(monkeypatch):
    """pythonw, or a shell's `>&-`, start a process without a standard output."""
    monkeypatch.setattr(sys, "argv", ["fastxor", "--iterations", "1"])
    monkeypatch.setattr(sys, "stdout", None)
    assert program() == 0


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_without_a_traceback(monkeypatch, capsys):
    def train(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return fx.model(*args, **kwargs)

    monkeypatch.setattr(sys, "argv", ["fastxor"])
    monkeypatch.setattr(fx, "model", train)
    assert program() == 130
    assert capsys.readouterr().err == "fastxor: interrupted\n"
