"""Compiled code on disk: loaded by the next process, never stale, and never in the way where it cannot be written.

Every test works on a copy of the package, with a home of its own, so that its compiled code is private.
"""

import json
import os
import re
import shutil
import stat

import numpy as np
import pytest
from support import GOLDEN_COSTS, PACKAGE, run_python

import fastxor as fx

FUSED_FILES = sorted(str(p.relative_to(PACKAGE)) for p in (PACKAGE / "backends" / "fused").rglob("*.py"))
CACHE_VARIABLES = ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")

# Runs an action and tells, as JSON, what was compiled, what was logged, and what came out.
REPORT = """
import json, logging, sys, time, warnings
import numpy as np
import numba.core.event as events

logged, compiled = [], []

class Keep(logging.Handler):
    def emit(self, record):
        logged.append(f"{record.levelname}: {record.getMessage()}")

class Listen(events.Listener):
    def on_start(self, event):
        compiled.append(event.data["dispatcher"].py_func.__qualname__)

    def on_end(self, event):
        pass

logging.getLogger("fastxor").addHandler(Keep())
logging.getLogger("fastxor").setLevel(logging.DEBUG)
import fastxor as fx

X, Y = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]), np.array([[0, 1, 1, 0]])

def train(dtype="float64"):
    X_ = X.astype(dtype)
    parameters = fx.model(X_, Y, 2, 2, 1, 1000, 0.3, random_state=2, print_cost=False, backend="numba")
    return [float(v) for key in sorted(parameters) for v in parameters[key].ravel()]

def sigmoid():
    return fx.sigmoid(np.linspace(-3.0, 3.0, 11), backend="numba").tolist()

def everything():
    fx.set_backend("numba")
    for n_x, n_h, n_y, m in ((2, 2, 1, 4), (7, 13, 3, 33), (64, 100, 10, 5)):
        for dtype in ("float64", "float32"):
            for order in "CF":
                features = np.ones((n_x, m), dtype, order)
                labels = np.ones((n_y, m))
                start = fx.initialize_parameters(n_x, n_h, n_y, dtype=dtype)
                A2, cache = fx.forward_prop(features, start)
                fx.calculate_cost(A2, labels)
                grads = fx.backward_prop(features, labels, cache, start)
                fx.update_parameters(start, grads, 0.1)
                fx.predict(features, start)
                fx.sigmoid(features)
                fx.sigmoid(dtype == "float32")
                fx.model(features, labels, n_x, n_h, n_y, 100, 0.1, parameters=start, print_cost=False)
                fx.model(features.tolist(), labels.tolist(), n_x, n_h, n_y, 1, 0.1, print_cost=False)
    return []

with warnings.catch_warnings(record=True) as caught, events.install_listener("numba:compile", Listen()):
    warnings.simplefilter("always")
    began, cpu = time.perf_counter(), time.process_time()
    result = [globals()[name]() if name in globals() else getattr(fx, name)() for name in sys.argv[1:]][-1]
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps(dict(
        result=result, compiled=compiled, logged=logged, seconds=seconds, cpu=cpu,
        warnings=[str(w.message) for w in caught], file=fx.__file__,
    )))
"""


class Install:
    """A copy of the package and a home directory, both private to a test."""

    def __init__(self, root):
        self.root = root
        self.site = root / "site"
        self.package = self.site / "fastxor"
        self.home = root / "home"
        self.environment = dict.fromkeys(CACHE_VARIABLES) | {"HOME": self.home, "USERPROFILE": self.home}

    def create(self):
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        self.home.mkdir()
        return self

    def copied_to(self, root):
        """The same, with its compiled code, elsewhere: times of change are kept."""
        shutil.copytree(self.root, root)
        return Install(root)

    def report(self, *actions, env=None):
        done = run_python(
            "-c", REPORT, *actions, cwd=self.root, path=self.site, env={**self.environment, **(env or {})}
        )
        told = json.loads(done.stdout.splitlines()[-1])
        assert os.path.dirname(told["file"]) == str(self.package)
        return told

    def written(self):
        """Every file that is not part of the package as it was copied, by path."""
        return {
            p.relative_to(self.root): p
            for p in self.root.rglob("*")
            if p.is_file() and p.suffix not in (".py", ".pyc", ".typed")
        }


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A first process: everything compiled ahead, and what it told."""
    install = Install(tmp_path_factory.mktemp("first")).create()
    install.first = install.report("warmup", "train")
    return install


@pytest.fixture
def install(fresh, tmp_path):
    """An installation in which another process has compiled everything."""
    return fresh.copied_to(tmp_path / "copy")


@pytest.fixture(scope="module")
def trained():
    """What the runs must come to, from the reference."""
    data = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    parameters = fx.model(*data, 2, 2, 1, 1000, 0.3, random_state=2, print_cost=False, backend="numpy")
    return [v for key in sorted(parameters) for v in parameters[key].ravel()]


# ---------------------------------------------------------------- the first process and the second


def test_the_first_process_compiles_and_says_so(fresh, trained):
    first = fresh.first
    assert first["compiled"]
    announced = re.compile(r"WARNING: compiling the fused core for float(32|64), .* kept in ")  # a warning is shown
    assert all(announced.match(line) for line in first["logged"])
    assert len(first["logged"]) <= 2
    assert first["warnings"] == []
    np.testing.assert_allclose(first["result"], trained, rtol=1e-9)


def test_the_second_process_compiles_nothing(fresh, install):
    before = {path: p.read_bytes() for path, p in install.written().items()}
    assert before, "nothing was cached"
    second = install.report("train")
    assert second["compiled"] == []
    assert second["logged"] == []
    assert second["warnings"] == []
    assert second["result"] == fresh.first["result"]
    assert {path: p.read_bytes() for path, p in install.written().items()} == before


def test_warmup_leaves_nothing_to_compile(install):
    """In the process that warmed up, and for every function, dtype, size and order of the elements."""
    assert install.report("warmup", "everything")["compiled"] == []


def test_the_cache_is_the_listeners_to_see(install):
    """The two tests above could not fail if the listener were blind."""
    for path in install.written().values():
        path.unlink()
    assert install.report("sigmoid")["compiled"]


# ---------------------------------------------------------------- never stale


@pytest.mark.parametrize("name", FUSED_FILES)
def test_an_edit_of_any_file_recompiles(install, name):
    assert install.report("sigmoid")["compiled"] == []
    with (install.package / name).open("a") as file:
        file.write("\n# edited\n")
    edited = install.report("sigmoid")
    assert edited["compiled"]
    np.testing.assert_allclose(edited["result"], 1 / (1 + np.exp(-np.linspace(-3, 3, 11))), rtol=1e-14)
    assert install.report("sigmoid")["compiled"] == []


def test_an_edit_of_the_arithmetic_shows(install):
    """The file edited is not the one that the kernel stands in."""
    with (install.package / "backends" / "fused" / "vmath.py").open("a") as file:
        file.write("\n\ndef sigmoid(x):\n    return x * 0.0 + 0.25\n")
    np.testing.assert_array_equal(install.report("sigmoid")["result"], 0.25)
    cached = install.report("sigmoid")
    assert cached["compiled"] == []
    np.testing.assert_array_equal(cached["result"], 0.25)


def test_an_edit_undone_is_right_again(install, trained):
    name = install.package / FUSED_FILES[-1]
    text = name.read_text()
    name.write_text(text + "\n# edited\n")
    install.report("sigmoid")
    name.write_text(text)
    np.testing.assert_allclose(install.report("train")["result"], trained, rtol=1e-9)


# ---------------------------------------------------------------- where the cache cannot be written


def blocked(path):
    """A path that no user can write to, root included: it lies below a plain file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    return path / "below"


def block_install(install):
    """A read-only installation: no directory of it takes a new file."""
    folders = [install.package, *(p for p in install.package.rglob("*") if p.is_dir() and p.name != "__pycache__")]
    for folder in folders:
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        (folder / "__pycache__").write_text("in the way")  # binds root too, which mode bits do not
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    return folders


@pytest.fixture
def bare(tmp_path):
    """An installation in which nothing has been compiled, made writable again in the end."""
    install = Install(tmp_path / "bare").create()
    yield install
    for folder in (p for p in install.root.rglob("*") if p.is_dir()):
        folder.chmod(stat.S_IRWXU)


def test_a_read_only_install_caches_in_the_home(bare):
    block_install(bare)
    first, second = bare.report("sigmoid"), bare.report("sigmoid")
    assert first["compiled"]
    assert second["compiled"] == []
    assert second["result"] == first["result"]
    assert first["warnings"] == second["warnings"] == []


def test_nothing_can_be_written_anywhere(bare):
    """Read-only install, no home, no cache directory: compiled in memory, with the right answer."""
    block_install(bare)
    bare.home.rmdir()
    nowhere = blocked(bare.root / "file")
    env = dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME"), nowhere)
    script = (
        "import numpy as np, fastxor as fx; np.random.seed(2); "
        "fx.model([[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]], 2, 2, 1, 1000, 0.3, backend='numba')"
    )
    done = run_python("-W", "error", "-c", script, cwd=bare.root, path=bare.site, env={**bare.environment, **env})
    assert done.stdout == GOLDEN_COSTS


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"])
def test_a_missing_or_unwritable_place(install, variable):
    """A variable that names a place below a plain file, or nothing at all."""
    wanted = (1 / (1 + np.exp(-np.linspace(-3, 3, 11)))).tolist()
    for value in (blocked(install.root / "file"), "", install.root / "not" / "there" / "yet"):
        told = install.report("sigmoid", env={variable: value})
        np.testing.assert_allclose(told["result"], wanted, rtol=1e-14)


def test_no_home_at_all(install):
    told = install.report("sigmoid", env={"HOME": None, "USERPROFILE": None})
    assert told["result"][5] == 0.5


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("damage", ["emptied", "cut", "garbage"])
def test_damaged_cache_files(install, trained, damage):
    files = list(install.written().values())
    assert files
    for path in files:
        data = path.read_bytes()
        path.write_bytes({"emptied": b"", "cut": data[: len(data) // 2], "garbage": os.urandom(len(data))}[damage])
    told = install.report("sigmoid")
    np.testing.assert_allclose(told["result"], 1 / (1 + np.exp(-np.linspace(-3, 3, 11))), rtol=1e-14)
    assert install.report("sigmoid")["compiled"] == []  # and the damage is mended
