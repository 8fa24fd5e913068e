"""Networks as C, compiled by gcc with every warning as an error, and run: collected where there is gcc."""

import ctypes
import platform
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from export_cases import CASES, assert_close, case_id, labels, samples, trained
from support import X, Y

import fastxor as fx

RUN = fx.train(fx.Network([2, 4, 1]), X, Y, optimizer=fx.Adam(0.05), random_state=0, backend="numpy")
GCC = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
FLAGS = [("-O2",)]
if sys.platform == "linux":
    FLAGS += [("-O3", "-march=native", "-ffast-math"), ("-O0", "-fsanitize=undefined")]
SHARED = ["-shared"] if sys.platform == "win32" else ["-shared", "-fPIC"]


def gcc(*arguments, cwd):
    done = subprocess.run([*GCC, *map(str, arguments), "-lm"], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Every case, under a prefix of its own, in one library: half as headers of one file, half as files themselves."""
    folder = tmp_path_factory.mktemp("c")
    runs = {f"net{number}": trained(case, number) for number, case in enumerate(CASES)}
    headers, sources = [*runs][::2], [*runs][1::2]
    for name in headers:
        runs[name].export(folder / f"{name}.h", prefix=name)
    for name in sources:
        runs[name].export(folder / f"{name}.c", prefix=name)
    (folder / "all.c").write_text("".join(f'#include "{name}.{"h" if name in headers else "c"}"\n' for name in runs))
    # For a library to show what is static, each has a function that is not.
    shown = "".join(wrapper(name, runs[name]) for name in headers)
    with open(folder / "all.c", "a") as file:
        file.write(shown)
    gcc("-O1", *SHARED, "all.c", "-o", "all.so", cwd=folder)
    return runs, headers, ctypes.CDLL(str(folder / "all.so"))


def wrapper(name, run):
    """Functions that call those of a header."""
    real = "float" if run.parameters["W1"].dtype == np.float32 else "double"
    kind, more, out = predict_in_c(run, real)
    return (
        f"void show_{name}_forward_many(size_t m, const {real} *X, {real} *A);\n"
        f"void show_{name}_forward_many(size_t m, const {real} *X, {real} *A) {{ {name}_forward_many(m, X, A); }}\n"
        f"{kind} show_{name}_predict(const {real} *x{more});\n"
        f"{kind} show_{name}_predict(const {real} *x{more}) "
        f"{{ {'return ' * (kind == 'int')}{name}_predict(x{out}); }}\n"
    )


def predict_in_c(run, real):
    if run.network.output in ("identity", "exponential"):
        return "void", f", {real} *values", ", values"
    if run.network.output == "sigmoid" and run.network.sizes[-1] > 1:
        return "void", ", int *labels", ", labels"
    return "int", "", ""


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: case_id(CASES[number]))
def test_c(compiled, number):
    runs, headers, library = compiled
    name = f"net{number}"
    run, show = runs[name], "show_" * (name in headers)
    X = samples(run)
    rows = np.ascontiguousarray(X.T)
    A = np.empty((len(rows), run.network.sizes[-1]), rows.dtype)
    getattr(library, f"{show}{name}_forward_many")(ctypes.c_size_t(len(rows)), pointer(rows), pointer(A))
    assert_close(A.T, run, X)
    predict = getattr(library, f"{show}{name}_predict")
    if predict_in_c(run, "")[0] == "int":
        got = [predict(pointer(row)) for row in rows]
    else:
        got = np.empty(A.shape, rows.dtype if run.network.output in ("identity", "exponential") else np.intc)
        for row, out in zip(rows, got, strict=True):
            predict(pointer(row), pointer(out))
        got = got.T
    np.testing.assert_array_equal(np.ravel(got), np.ravel(labels(run, A.T)))


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


PROGRAM = """
#include <stdio.h>
#include "xor.h"
double other(double x, double y);
int main(void)
{
    for (int s = 0; s < 4; s++) {
        const double x[xor_n_x] = {s / 2, s % 2};
        double a[xor_n_y];
        xor_forward(x, a);
        printf("%d %.12f %.12f\\n", xor_predict(x), a[0], other(x[0], x[1]));
    }
    return 0;
}
"""
OTHER = """
#include "xor.h"
#include "wide.h"
double other(double x, double y);
double other(double x, double y)
{
    const double input[2] = {x, y};
    double one[1], two[1];
    xor_forward(input, one);
    wide_forward_many(1, input, two);
    return one[0] + two[0];
}
"""


@pytest.mark.parametrize("flags", FLAGS, ids="".join)
def test_two_networks_in_a_program_of_two_files(tmp_path, flags):
    wide = fx.Trained(net := fx.Network([2, 40, 1]), net.initialize(0))
    RUN.export(tmp_path / "xor.h", prefix="xor")
    wide.export(tmp_path / "wide.h", prefix="wide")
    (tmp_path / "main.c").write_text(PROGRAM)
    (tmp_path / "other.c").write_text(OTHER)
    gcc(*flags, "main.c", "other.c", "-o", "program", cwd=tmp_path)
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True)
    rows = np.array([line.split() for line in done.stdout.splitlines()], float).T
    A = RUN.forward(X)[0]
    np.testing.assert_array_equal(rows[0], A >= 0.5)
    np.testing.assert_allclose(rows[1:], [A, A + wide.forward(X)[0]], rtol=0, atol=2e-12)
    assert done.stderr == ""


LABELS = """
#include <stdio.h>
#include "net.h"
static const float X[] = {%s};
int main(void)
{
    for (int s = 0; s < 60; s++)
        printf("%%d ", network_predict(X + s * network_n_x));
    return 0;
}
"""


@pytest.mark.parametrize("sizes", [(4, 8), (4, 16, 8), (31, 9, 4)], ids=str)
def test_labels_of_vectors_of_classes_with_the_flags_that_make_it_fast(tmp_path, sizes):
    """gcc 12 has mixed up what a vector of outputs holds, where loops over just so many were unrolled."""
    net = fx.Network(sizes, output="softmax")
    run = fx.Trained(net, net.initialize(0, dtype=np.float32))
    rows = np.random.RandomState(1).randn(60, sizes[0]).astype(np.float32)
    run.export(tmp_path / "net.h")
    (tmp_path / "main.c").write_text(LABELS % ", ".join(map(str, rows.ravel())))
    narrow = ["-mno-avx512f"] * (sizes[-1] == 4 and platform.machine() == "x86_64")
    gcc(*FLAGS[:2][-1], *narrow, "main.c", "-o", "program", cwd=tmp_path)
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True)
    np.testing.assert_array_equal(np.array(done.stdout.split(), int), run.predict(rows.T))


def test_c_is_taken_by_c_plus_plus(tmp_path):
    RUN.export(tmp_path / "xor.h")
    (tmp_path / "main.cpp").write_text(
        '#include "xor.h"\nint main() { double x[2] = {1, 1}; return network_predict(x); }'
    )
    compiler = shutil.which("g++") or "gcc"
    subprocess.run([compiler, "main.cpp", "-o", "program", "-lm"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "program"]).returncode == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_in_c_are_exact(tmp_path, dtype):
    net = fx.Network([3, 2], output="identity")
    parameters = net.unflatten(np.array([0.1, -1e-30, 3.0, 1 / 3, 1e30, -0.0, 16777216.0, np.pi], dtype))
    with np.printoptions(legacy="1.13"):  # in which numpy writes fewer digits
        fx.export(net, tmp_path / "a.c", parameters=parameters)
    text = (tmp_path / "a.c").read_text()
    rows = re.findall(r"= *\{?\n *(\{.*?)\};", text, re.DOTALL)
    numbers = [re.findall(r"-?\d[\d.e+-]*", row) for row in rows]
    assert [dtype(number) for number in numbers[0] + numbers[1]] == net.flatten(parameters).tolist()
    assert "0.1f" in text if dtype is np.float32 else "0.1," in text


def test_prefixes_that_differ_in_case_alone(tmp_path):
    for name, constant in (("net", 1.0), ("Net", 2.0)):
        line = fx.Network([1, 1], output="identity")
        fx.export(line, tmp_path / f"{constant:g}.h", parameters=line.unflatten([0.0, constant]), prefix=name)
    (tmp_path / "main.c").write_text(
        '#include "1.h"\n#include "2.h"\n'
        "int main(void) { double x = 0, a; net_forward(&x, &a); Net_predict(&x, &x); return (int)(10 * a + x); }\n"
    )
    gcc("main.c", "-o", "program", cwd=tmp_path)
    assert subprocess.run([tmp_path / "program"]).returncode == 12


def test_a_second_network_of_the_same_name_is_no_silent_first(tmp_path):
    line = fx.Network([1, 1], output="identity")
    for name, constant in (("one", 1.0), ("same", 1.0), ("other", 2.0)):
        fx.export(line, tmp_path / f"{name}.h", parameters=line.unflatten([0.0, constant]))
    (tmp_path / "main.c").write_text(
        '#include "one.h"\n#include "same.h"\n#include OTHER\nint main(void) { return 0; }\n'
    )
    gcc("-fsyntax-only", "-DOTHER=<stdio.h>", "main.c", cwd=tmp_path)
    words = "two networks are named network: export one of them with another prefix"
    with pytest.raises(AssertionError, match=words):
        gcc("-fsyntax-only", '-DOTHER="other.h"', "main.c", cwd=tmp_path)
