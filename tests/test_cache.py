"""Compiled code on disk: loaded by the next process, never stale, and never in the way where it cannot be written.

What a whole process does is tried on a copy of the package, with a home of its own, so that its compiled code is
private. What the cache alone does is tried on one in this process, mostly with machine code that is made up.
"""

import errno
import json
import os
import random
import re
import shutil
import stat
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from support import PACKAGE, run_python
from test_targets import builds

import fastxor as fx
from fastxor.backends.fused import _cache, _jit, kernels

CACHE_VARIABLES = ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")
SIGMOIDS = 1 / (1 + np.exp(-np.linspace(-3, 3, 11)))

# Runs an action and tells, as JSON, what was compiled, what was logged, and what came out.
REPORT = """
import json, logging, os, sys, warnings
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

def train_and_write():  # the IR of what it is trained by
    result = train()
    from fastxor.backends.fused import kernels
    (dispatcher,) = kernels.engine.dispatchers.values()
    (text,) = dispatcher.inspect_llvm().values()
    with open(os.environ["ENGINE_IR"], "w") as file:
        file.write(text)
    return result

def sigmoid():
    return fx.sigmoid(np.linspace(-3.0, 3.0, 11), backend="numba").tolist()

def small():  # all kernels but the engine, which takes seconds to compile
    fx.set_backend("numba")
    for dtype in (np.float64, np.float32):
        A2 = fx.sigmoid(np.zeros((1, 2), dtype))
        fx.calculate_cost(A2, [[0, 1]])
        start = fx.initialize_parameters(2, 2, 1, random_state=0, dtype=dtype)
        fx.update_parameters(start, {"d" + name: value for name, value in start.items()}, 0.1)
    return sigmoid()

def go_elsewhere():
    os.chdir(os.path.dirname(os.getcwd()))

def fill_the_disk():
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # Python ignores the signal: a longer write raises

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
    result = [globals()[name]() if name in globals() else getattr(fx, name)() for name in sys.argv[1:]][-1]
    print(json.dumps(dict(
        result=result, compiled=compiled, logged=logged, warnings=[str(w.message) for w in caught], file=fx.__file__,
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
        # Nobody waits for what the kernels compute, but for the compiler; one width is as good as any.
        self.environment |= {"NUMBA_OPT": "0", "FASTXOR_VECTOR_BITS": "128"}

    def create(self):
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        self.home.mkdir(parents=True)
        return self

    def copied_to(self, root):
        """The same, with its compiled code, elsewhere."""
        shutil.copytree(self.root, root)
        return Install(root)

    def report(self, *actions, options=(), env=None):
        env = {**self.environment, **(env or {})}
        done = run_python(*options, "-c", REPORT, *actions, cwd=self.root, path=self.site, env=env)
        told = json.loads(done.stdout.splitlines()[-1])
        assert os.path.dirname(told["file"]) == str(self.package)
        assert told["warnings"] == []
        return told

    def kernels(self):
        """The files of compiled kernels, and whatever else a process has written."""
        ours = self.site.rglob("*")
        return sorted({p for p in self.root.rglob("*") if p.is_file()} - set(ours))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A first process, which compiled the small kernels and the engine, and what it told."""
    install = Install(tmp_path_factory.mktemp("first")).create()
    install.ir = tmp_path_factory.mktemp("ir") / "engine.ll"
    install.first = install.report("small", "train_and_write", env={"ENGINE_IR": install.ir})
    return install


@pytest.fixture
def bare(tmp_path):
    """An installation in which nothing has been compiled."""
    return Install(tmp_path / "bare").create()


# ---------------------------------------------------------------- the first process and the second


def test_the_first_process_compiles_and_says_so(fresh):
    first = fresh.first
    assert {"logistic", "cost", "descend", "engine"} <= set(first["compiled"])
    announced = re.compile(r"WARNING: compiling the fused core for float(32|64), .* kept in ")  # a warning is shown
    assert all(announced.match(line) for line in first["logged"])
    assert len(first["logged"]) <= 2
    data = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    reference = fx.model(*data, 2, 2, 1, 1000, 0.3, random_state=2, print_cost=False, backend="numpy")
    wanted = [v for key in sorted(reference) for v in reference[key].ravel()]
    np.testing.assert_allclose(first["result"], wanted, rtol=1e-9)


def test_what_it_has_compiled_builds_for_another_cpu(fresh, tmp_path):
    """With the fewest numbers in a vector."""
    cpu = "aarch64-unknown-linux-gnu", "generic", "+neon"
    builds(tmp_path, 128, "float64", *cpu, r"fmla\s+v", fresh.ir)


def test_the_second_process_compiles_nothing(fresh):
    before = {path: path.read_bytes() for path in fresh.kernels()}
    assert before, "nothing was cached"
    second = fresh.report("small", "train")
    assert second["compiled"] == second["logged"] == []
    assert second["result"] == fresh.first["result"]
    assert {path: path.read_bytes() for path in fresh.kernels()} == before


def test_warmup_leaves_nothing_to_compile(tmp_path):
    """For every function, dtype, size and order of the elements. This process has warmed up."""
    same = {"FASTXOR_VECTOR_BITS": os.environ.get("FASTXOR_VECTOR_BITS")}
    told = json.loads(run_python("-c", REPORT, "everything", cwd=tmp_path, env=same).stdout)
    assert told["compiled"] == told["logged"] == []


def test_nothing_is_written_beside_the_package(fresh, tmp_path):
    """When an installer has removed what it installed and what Python made of it, nothing can be imported."""
    install = fresh.copied_to(tmp_path / "copy")
    for path in [p for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts]:
        copy = install.package / path.relative_to(PACKAGE)
        assert copy.read_bytes() == path.read_bytes()
        for file in (copy, *copy.parent.glob(f"__pycache__/{path.stem}.*.pyc")):
            file.unlink()
    folders = sorted((p for p in install.site.rglob("*") if p.is_dir()), reverse=True)
    for folder in (folder for folder in folders if not any(folder.iterdir())):
        folder.rmdir()
    assert list(install.site.iterdir()) == []
    gone = run_python("-S", "-c", "import fastxor", cwd=install.root, path=install.site, fails=True)
    assert "No module named 'fastxor'" in gone.stderr


def test_every_kernel_is_in_the_home(fresh):
    places = {p.relative_to(fresh.home).parts[-4:-2] for p in fresh.kernels()}
    assert places == {("fastxor", f"{_jit.cache.directory.name.rpartition('-')[0]}-128")}


# ---------------------------------------------------------------- never stale


def test_an_edit_of_the_arithmetic_shows(fresh, tmp_path):
    """The file edited is not the one that the kernel stands in. Undone, it is right again, and compiles nothing."""
    install = fresh.copied_to(tmp_path / "copy")
    source = install.package / "backends" / "fused" / "vmath.py"
    text = source.read_text()
    source.write_text(text + "\n\ndef sigmoid(x):\n    return x * 0.0 + 0.25\n")
    edited = install.report("sigmoid")
    assert edited["compiled"] == ["logistic"]
    np.testing.assert_array_equal(edited["result"], 0.25)
    source.write_text(text)
    undone = install.report("sigmoid")
    assert undone["compiled"] == []
    np.testing.assert_allclose(undone["result"], SIGMOIDS, rtol=1e-14)


def test_from_an_archive_it_is_the_same_code(tmp_path):
    """The sources are digested where no file system has them, too; this process has compiled them."""
    archive = tmp_path / "fastxor.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in PACKAGE.rglob("*.py"):
            file.write(path, path.relative_to(PACKAGE.parent))
    told = json.loads(run_python("-c", REPORT, "sigmoid", cwd=tmp_path, path=archive).stdout)
    assert told["file"].startswith(str(archive))
    assert told["compiled"] == told["logged"] == []


# ---------------------------------------------------------------- a cache of made-up kernels


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of this test's own, where its cache is, and nothing that names another place."""
    for name in CACHE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_cache.config, "CACHE_DIR", "")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def made_up(home, monkeypatch):
    """Machine code is what the compiler is said to have made: any bytes."""
    monkeypatch.setattr(_cache._machine_code, "to_bytes", lambda dispatcher: dispatcher)
    monkeypatch.setattr(_cache._machine_code, "from_bytes", lambda data: data)


def new_cache(*settings, machine="cpu-256"):
    return _cache.Cache(machine, lambda: settings)


def function(name="engine", module="kernels"):
    return SimpleNamespace(__name__=name, __module__=f"fastxor.backends.fused.{module}")


ENGINE = function(), "void(float64[::1])"


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_kept_is_found(made_up):
    cache = new_cache()
    assert not cache.has(*ENGINE)
    assert cache.load(*ENGINE) is None
    cache.save(*ENGINE, b"code")
    for one in (cache, new_cache()):
        assert one.has(*ENGINE)
        assert one.load(*ENGINE) == b"code"
    assert not cache.has(function("cost"), ENGINE[1])
    assert not cache.has(function(module="specialised"), ENGINE[1])
    assert not cache.has(ENGINE[0], "void(float32[::1])")


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of the sources that kernels are compiled from."""
    copy = tmp_path / "sources"
    shutil.copytree(PACKAGE / "backends" / "fused", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(_cache.resources, "files", lambda package: copy)
    return copy


def test_an_edit_of_any_file_is_another_kernel(made_up, sources):
    new_cache().save(*ENGINE, b"code")
    paths = files_in(sources)
    assert {path.name for path in paths} >= {"kernels.py", "simd.py", "vmath.py", "tracing.py", "_jit.py"}
    for path in paths:
        text = path.read_bytes()
        path.write_bytes(text + b"\n# edited\n")
        assert not new_cache().has(*ENGINE)
        path.unlink()
        assert not new_cache().has(*ENGINE)
        path.with_stem("renamed").write_bytes(text)
        assert not new_cache().has(*ENGINE)
        path.with_stem("renamed").rename(path)
        assert new_cache().load(*ENGINE) == b"code"
    (sources / "new.py").write_text("")
    assert not new_cache().has(*ENGINE)


def test_an_edit_while_the_process_runs_is_not_what_it_has_compiled(made_up, sources):
    cache = new_cache()
    (sources / "vmath.py").write_text("another = 1\n")
    cache.save(*ENGINE, b"of the sources that were imported")
    assert cache.load(*ENGINE)
    assert not new_cache().has(*ENGINE)


def test_without_sources_nothing_is_kept(made_up, home, sources):
    """Nobody knows what it would have been compiled from."""
    for path in files_in(sources):
        path.unlink()
    cache = new_cache()
    cache.save(*ENGINE, b"code")
    assert not cache.has(*ENGINE)
    assert cache.load(*ENGINE) is cache.directory is None
    assert files_in(home) == []


@pytest.mark.parametrize("versioned", [numba, _cache.llvmlite, np])
def test_another_version_is_another_kernel(made_up, monkeypatch, versioned):
    new_cache().save(*ENGINE, b"code")
    monkeypatch.setattr(versioned, "__version__", "0.1")
    assert not new_cache().has(*ENGINE)


# ---------------------------------------------------------------- unlike machines and settings


def test_cpus_of_one_name_do_not_share_kernels(made_up):
    """What they can do may differ, in a virtual machine for instance."""
    machines = [new_cache("cpu", features) for features in ("+avx", "+avx,+avx2", "-avx")]
    for number, cache in enumerate(machines):
        cache.save(*ENGINE, b"%d" % number)
    assert [cache.load(*ENGINE) for cache in machines] == [b"0", b"1", b"2"]


def test_a_kind_of_machine_has_a_place_of_its_own(made_up, monkeypatch):
    """So that one does not push out what another uses."""
    monkeypatch.setattr(_cache, "_MOST_FILES", 2)
    one, other = new_cache(machine="cpu-256"), new_cache(machine="cpu-512")
    one.save(*ENGINE, b"code")
    for number in range(5):
        other.save(function(f"f{number}"), "", b"code")
    assert one.has(*ENGINE)


@pytest.mark.parametrize("name", ["../../up", "a/b\\c", "C:*?", "..", "", "ä\udcff\n", "n" * 300])
def test_a_cpu_of_any_name(made_up, home, name):
    new_cache(machine=f"{name}-256").save(*ENGINE, b"code")
    assert new_cache(machine=f"{name}-256").load(*ENGINE) == b"code"
    (file,) = files_in(home)
    folder = file.parent.parent
    assert folder.parent == _cache._places()[0] / "fastxor"
    assert folder.name.endswith("-256")


def test_a_given_cpu(bare):
    """The name that Numba is told, and this package's own width, make the folder."""
    env = {"NUMBA_CPU_NAME": "../x", "FASTXOR_VECTOR_BITS": "256"}
    np.testing.assert_allclose(bare.report("sigmoid", env=env)["result"], SIGMOIDS, rtol=1e-14)
    (file,) = bare.kernels()
    assert file.parts[-4:-1] == ("fastxor", ".._x-256", "kernels")


SETTINGS = {
    "OPT": 1,
    "LOOP_VECTORIZE": 7,
    "SLP_VECTORIZE": 7,
    "USING_SVML": 7,
    "DEBUGINFO_DEFAULT": 7,
    "BOUNDSCHECK": 7,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_compiler_is_another_kernel(made_up, monkeypatch, name):
    cache = _cache.Cache("cpu", _jit._settings)
    with monkeypatch.context() as context:
        context.setattr(numba.config, name, SETTINGS[name])
        cache.save(*ENGINE, b"compiled since the setting was changed")
        assert not cache.has(*ENGINE)
        other = _cache.Cache("cpu", _jit._settings)
        other.save(*ENGINE, b"other")
        assert other.load(*ENGINE) == b"other"
    assert not cache.has(*ENGINE)


# ---------------------------------------------------------------- processes at once

AT_ONCE = """
import os, sys
import numba
import numpy as np

def child(number, bits, version, gate):
    os.environ["FASTXOR_VECTOR_BITS"] = bits
    numba.__version__ += version
    os.read(gate, 1)  # until it is closed
    import fastxor as fx
    from fastxor.backends.fused import _jit, kernels

    result = fx.sigmoid(np.linspace(-3.0, 3.0, 11), backend="numba")
    with open(f"{bits}-{number}", "wb") as file:
        file.write(result.tobytes())
    return COMPILED if kernels.logistic.dispatchers else LOADED

COMPILED, LOADED, BROKEN = 10, 11, 12
KINDS = [(bits, version) for bits in ("128", "512") for version in ("", "-other")]

def at_once(count):
    gate, opener = os.pipe()
    children = []
    for number in range(count):
        children.append(os.fork())
        if not children[-1]:
            os.close(opener)
            code = BROKEN
            try:
                code = child(number, *KINDS[number % len(KINDS)], gate)
            finally:
                os._exit(code)
    os.close(opener)
    os.close(gate)
    return [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in children]

numba.njit("int64(int64)")(lambda x: x)  # what the first compilation of a process has to do beside, done once for all
codes = at_once(2 * len(KINDS))
assert set(codes) <= {COMPILED, LOADED}, codes
assert COMPILED in codes
codes = at_once(len(KINDS))
assert set(codes) == {LOADED}, codes
"""

if hasattr(os, "fork"):

    def test_processes_at_once_lose_nothing(tmp_path):
        """Of unlike widths and versions, with one empty cache for all: they are right, and it has all their kernels."""
        run_python("-c", AT_ONCE, cwd=tmp_path, env={"NUMBA_CACHE_DIR": tmp_path / "kernels"})
        results = [np.frombuffer(path.read_bytes()) for path in tmp_path.iterdir() if path.is_file()]
        assert len(results) == 8
        for result in results:
            np.testing.assert_allclose(result, SIGMOIDS, rtol=1e-14)
        files = files_in(tmp_path / "kernels")
        assert len(files) == 4
        assert len({file.parent for file in files}) == 2


# ---------------------------------------------------------------- what is kept


def used(cache, name, ago=0.0, size=18, module="kernels"):
    """A kernel, kept, that was used so many seconds ago."""
    cache.save(function(name, module), "", b"c" * size)
    (path,) = cache.directory.rglob(f"{name}-*")
    os.utime(path, (time.time() - ago,) * 2)


def names(cache):
    return "".join(sorted(path.name.split("-")[0] for path in files_in(cache.directory)))


def test_of_too_many_those_used_last_are_kept(made_up, monkeypatch):
    """However short ago it was; loading is using."""
    monkeypatch.setattr(_cache, "_MOST_FILES", 3)
    cache = new_cache()
    for ago, name in enumerate("cba", 1):
        used(cache, name, ago)
    assert cache.load(function("a"), "")
    used(cache, "d", 0.5)
    assert names(cache) == "acd"
    used(cache, "e")
    assert names(cache) == "ade"


def test_of_too_much_those_used_last_are_kept(made_up, monkeypatch):
    monkeypatch.setattr(_cache, "_MOST_BYTES", 200)  # four files, with their checksums
    cache = new_cache()
    for ago, name in enumerate("fedcba", 1):
        used(cache, name, 10 * ago)
        assert sum(path.stat().st_size for path in files_in(cache.directory)) <= 200
    assert names(cache) == "adef"
    used(cache, "g", size=118)
    assert names(cache) == "fg"


def test_generated_kernels_do_not_push_out_the_engine(made_up, monkeypatch):
    """Though they are many, and used later."""
    monkeypatch.setattr(_cache, "_MOST_FILES", 3)
    cache = new_cache()
    used(cache, "engine", ago=1e7)
    for number in range(8):
        used(cache, f"train_{number}", module="specialised")
    assert cache.has(function("engine"), "")
    assert len(files_in(cache.directory)) == 4


def test_a_generated_kernel_is_kept_as_one(bare):
    """By the module that generates it."""
    script = """
import fastxor as fx
from fastxor.backends.fused import specialised
kernel = specialised.kernel_for(fx.Network([2, 1]), 4, __import__("numpy").dtype("float32"))
kernel[__import__("numpy").dtype("float32")]
"""
    run_python("-c", script, cwd=bare.root, path=bare.site, env=bare.environment)
    assert [path.parent.name for path in bare.kernels()] == ["specialised"]


def test_what_an_interrupted_process_has_left_goes(made_up):
    """Not at once, as another process may be at it; and nothing goes that is somebody else's."""
    cache = new_cache()
    cache.save(*ENGINE, b"code")
    folder = files_in(cache.directory)[0].parent
    for name, ago in (("old.draft", 2e5), ("new.draft", 10), ("old.txt", 2e5)):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (time.time() - ago,) * 2)
    cache.save(function("cost"), "", b"code")
    assert {path.name for path in folder.iterdir() if path.suffix != ".kernel"} == {"new.draft", "old.txt"}


# ---------------------------------------------------------------- places


def blocked(path):
    """A path that no user can write to, root included: it lies below a plain file."""
    path.write_text("in the way")
    return path / "below"


def kept_below(folder):
    """Whether that is where a new cache keeps a kernel, and finds it."""
    new_cache().save(*ENGINE, b"code")
    assert new_cache().load(*ENGINE) == b"code"
    return len(files_in(folder)) == 1


def test_the_first_place(made_up, home, tmp_path, monkeypatch):
    """What NUMBA_CACHE_DIR names, and it alone: a private one stays private. Empty, it is as if it were not set."""
    assert kept_below(home)
    monkeypatch.setattr(_cache.config, "CACHE_DIR", str(tmp_path / "mine"))
    assert not new_cache().has(*ENGINE)
    assert new_cache().load(*ENGINE) is None
    assert kept_below(tmp_path / "mine")


if sys.platform == "linux":

    @pytest.mark.parametrize("value", ["", "relative/path", "."])
    def test_a_relative_cache_home_is_ignored(made_up, home, tmp_path, monkeypatch, value):
        """As the specification of such directories wants it."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert kept_below(home / ".cache" / "fastxor")

    def test_a_cache_home(made_up, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert kept_below(tmp_path / "cache" / "fastxor")


def test_places_that_cannot_be_written_fall_through(made_up, home, tmp_path, monkeypatch):
    for name in ("file", "file/below", "null\0", "n" * 5000):
        monkeypatch.setattr(_cache.config, "CACHE_DIR", str(tmp_path / name))
        shutil.rmtree(home)
        (tmp_path / "file").write_text("in the way")
        assert kept_below(home)


def test_a_home_that_is_not_there(made_up, home, monkeypatch):
    home.rmdir()
    assert kept_below(home)


@pytest.mark.parametrize("directory", [None, "", "relative"])
def test_no_place_at_all(made_up, home, tmp_path, monkeypatch, directory):
    """Blocked, or with no user that has a home; and a program in a directory that has been deleted."""
    nowhere = blocked(tmp_path / "file")
    for name in CACHE_VARIABLES:
        monkeypatch.setenv(name, str(nowhere))
    if directory is not None:
        monkeypatch.setattr(_cache.config, "CACHE_DIR", directory)
        monkeypatch.setattr(_cache, "directory_at_import", "")
    cache = new_cache()
    cache.save(*ENGINE, b"code")
    assert not cache.has(*ENGINE)
    assert cache.load(*ENGINE) is cache.directory is None


def test_nobody_has_no_home(made_up, monkeypatch):
    def no_home():
        raise RuntimeError("could not determine home directory")

    monkeypatch.setattr(_cache.Path, "home", no_home)
    assert new_cache().directory is None


def test_nothing_can_be_written_anywhere(bare):
    """Compiled in memory, with the right result and no word of warning."""
    nowhere = blocked(bare.root / "file")
    told = bare.report("sigmoid", options=["-W", "error"], env=dict.fromkeys(CACHE_VARIABLES, nowhere))
    np.testing.assert_allclose(told["result"], SIGMOIDS, rtol=1e-14)
    assert all("compiling" in line for line in told["logged"])  # which may take a second


def test_a_relative_directory_is_where_the_program_began(bare):
    """Also of a program that goes elsewhere before it needs the first kernel."""
    env = {"NUMBA_CACHE_DIR": "a directory"}
    first, second = bare.report("go_elsewhere", "sigmoid", env=env), bare.report("sigmoid", env=env)
    assert first["compiled"] == ["logistic"]
    assert second == first | {"compiled": [], "logged": []}
    assert len(files_in(bare.root / "a directory" / "fastxor")) == 1


def test_a_program_in_a_directory_that_is_gone(tmp_path):
    script = "import os\ndef getcwd(): raise FileNotFoundError\nos.getcwd = getcwd\nimport fastxor as fx\n"
    script += "print(fx.sigmoid(0.0, backend='numpy'))"
    assert run_python("-c", script, cwd=tmp_path).stdout == "0.5\n"


# ---------------------------------------------------------------- permissions


if os.name == "posix":

    @pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
    def test_files_have_the_users_permissions(made_up, home, umask):
        before = os.umask(umask)
        try:
            new_cache().save(*ENGINE, b"code")
        finally:
            os.umask(before)
        (file,) = files_in(home)
        assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask
        for folder in file.relative_to(home).parents[:-1]:
            assert stat.S_IMODE((home / folder).stat().st_mode) == 0o777 & ~umask


@pytest.fixture
def read_only(made_up, tmp_path, monkeypatch):
    """NUMBA_CACHE_DIR with a kernel, of somebody who lets others read it; root is held off, too."""
    shared = tmp_path / "shared"
    monkeypatch.setattr(_cache.config, "CACHE_DIR", str(shared))
    new_cache().save(*ENGINE, b"theirs")

    def refused(operation):
        def operate(path, *args, **kwargs):
            if shared in (Path(path), *Path(path).parents):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return operation(path, *args, **kwargs)

        return operate

    for name in ("mkdir", "write_bytes", "unlink", "replace"):
        monkeypatch.setattr(Path, name, refused(getattr(Path, name)))
    monkeypatch.setattr(os, "utime", refused(os.utime))
    open_one = _cache.tempfile.TemporaryFile
    monkeypatch.setattr(_cache.tempfile, "TemporaryFile", lambda dir: refused(lambda path: open_one(dir=path))(dir))
    return shared


def test_what_can_only_be_read_is_read(read_only, home):
    cache = new_cache()
    assert cache.has(*ENGINE)
    assert cache.load(*ENGINE) == b"theirs"
    cache.save(function("cost"), "", b"ours")
    assert new_cache().load(function("cost"), "") == b"ours"
    assert len(files_in(home)) == len(files_in(read_only)) == 1


def test_what_can_only_be_read_may_be_damaged(read_only, home):
    files_in(read_only)[0].open("wb").close()
    cache = new_cache()
    assert cache.load(*ENGINE) is None
    cache.save(*ENGINE, b"ours")
    assert new_cache().load(*ENGINE) == b"ours"
    assert len(files_in(home)) == 1


# ---------------------------------------------------------------- a full disk, and other failures


if os.name == "posix":

    def test_a_full_disk(bare):
        """Of what is written, a part arrives. It does not stay there, and nobody complains."""
        full = bare.report("fill_the_disk", "sigmoid", options=["-B", "-W", "error"])
        np.testing.assert_allclose(full["result"], SIGMOIDS, rtol=1e-14)
        assert full["compiled"] == ["logistic"]
        assert any(line.startswith("DEBUG: could not save a kernel") for line in full["logged"])
        assert bare.kernels() == []


FAILING = {
    "write_bytes": Path,
    "read_bytes": Path,
    "replace": Path,
    "mkdir": Path,
    "iterdir": Path,
    "stat": Path,
    "unlink": Path,
    "utime": os,
    "TemporaryFile": _cache.tempfile,
}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), PermissionError("not yours")])
@pytest.mark.parametrize("name", FAILING)
def test_whatever_fails_is_no_error(made_up, home, monkeypatch, name, error):
    def fail(*args, **kwargs):
        raise error

    for before in (False, True):  # whether the cache was there when it began to fail
        if before:
            new_cache().save(*ENGINE, b"code")
        with monkeypatch.context() as context:
            context.setattr(FAILING[name], name, fail)
            cache = new_cache()
            cache.has(*ENGINE)
            assert cache.load(*ENGINE) in (None, b"code")
            cache.save(*ENGINE, b"code")
            assert cache.load(*ENGINE) in (None, b"code")
        assert name == "unlink" or {path.suffix for path in files_in(home)} <= {".kernel"}
        assert new_cache().load(*ENGINE) in (None, b"code")


def test_no_kernel_is_written_in_its_place(made_up, monkeypatch):
    """There it is at once, and whole: another process may be reading."""
    write, written = Path.write_bytes, []
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: written.append(path.suffix) or write(path, data))
    new_cache().save(*ENGINE, b"code")
    assert new_cache().load(*ENGINE) == b"code"
    assert written == [".draft"]


def test_a_part_of_a_file_does_not_stay(made_up, home, monkeypatch):
    write = Path.write_bytes

    def half(path, data):
        write(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(Path, "write_bytes", half)
        new_cache().save(*ENGINE, b"code")
    assert files_in(home) == []
    assert not new_cache().has(*ENGINE)


@pytest.mark.parametrize("name", ["to_bytes", "from_bytes"])
def test_without_the_private_interface(home, monkeypatch, caplog, name):
    """A Numba without what the cache relies on, or in which it does something else: compiled in every process."""
    monkeypatch.setattr(_jit, "cache", new_cache())
    add_one = lambda x: x + 1.0  # noqa: E731
    if name == "from_bytes":
        assert _jit.kernel("float64(T)")(add_one)[np.dtype(float)](1.0) == 2.0
    changed = {
        "gone": lambda context: context.delattr("numba.core.caching.CompileResultCacheImpl"),
        "other": lambda context: context.setattr("numba.core.caching.CompileResultCacheImpl", SimpleNamespace),
    }
    for change in changed.values():
        caplog.clear()
        with monkeypatch.context() as context, caplog.at_level("DEBUG", "fastxor"):
            change(context)
            kernel = _jit.kernel("float64(T)")(add_one)
            assert kernel[np.dtype(float)](1.0) == 2.0
        assert kernel.dispatchers
        told = [record.levelname for record in caplog.records if "compiling" not in record.getMessage()]
        assert told == ["DEBUG"] * (2 if name == "from_bytes" else 1)


# ---------------------------------------------------------------- damage


@pytest.fixture(scope="module")
def machine_code():
    """Machine code, and what it is of."""
    descend = kernels.descend
    dispatcher = numba.njit(**_jit.FLAGS)(descend.function)
    signature = descend.signature.replace("T", "float64")
    dispatcher.compile(signature)
    return descend.function, signature, dispatcher


def test_no_damage_is_loaded(home, machine_code):
    """Damaged code would not raise, it would crash. The file of another kernel is damage, too."""
    cache = new_cache()
    cache.save(*machine_code)
    what = machine_code[:2]
    cache.save(function("another"), "", machine_code[2])
    path, other = sorted(files_in(home), key=lambda file: "another" in file.name)
    data = path.read_bytes()
    draw = random.Random(0)
    damaged = [b"", data[:20], data[:32], data[:-1], data + b"\0", data[1:], b"\0" * len(data), other.read_bytes()]
    damaged += [data[: draw.randrange(len(data))] for _ in range(20)]
    damaged += [data[:at] + b"\0" * len(data[at : at + 4096]) + data[at + 4096 :] for at in range(0, len(data), 4096)]
    for bit in [*range(0, 256, 8), *(draw.randrange(8 * len(data)) for _ in range(150))]:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for bad in damaged:
        path.write_bytes(bad)
        assert cache.load(*what) is None
    cache.save(*machine_code)
    theta, after = np.array([1.0, 2.0]), np.empty(2)
    assert cache.load(*what)(theta, theta, 0.5, after)
    np.testing.assert_array_equal(after, [0.5, 1.0])


def test_damage_is_mended(fresh, tmp_path):
    """In whole processes: each of the small kernels damaged in another way, the engine too."""
    install = fresh.copied_to(tmp_path / "copy")
    engines = [path for path in install.kernels() if path.name.startswith("engine")]
    small = sorted(path for path in install.kernels() if path.name.startswith(("logistic", "cost", "descend")))
    damages = [
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        lambda data: bytes([data[0] ^ 128]) + data[1:],
        lambda data: data[:4096] + b"\0" * 4096 + data[8192:],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: engines[0].read_bytes(),
    ]
    for path, damage in zip(small, damages, strict=True):
        path.write_bytes(damage(path.read_bytes()))
    told = install.report("small")
    np.testing.assert_allclose(told["result"], SIGMOIDS, rtol=1e-14)
    assert sum(name in ("logistic", "cost", "descend") for name in told["compiled"]) == 6
    assert install.report("small") == told | {"compiled": [], "logged": []}


# ---------------------------------------------------------------- how little it takes


def test_asking_takes_one_look_at_the_disk(made_up, monkeypatch):
    """`has` is asked before every short run of a small network."""
    cache = new_cache()
    cache.has(*ENGINE)

    def fail(*args, **kwargs):
        raise AssertionError("this is not to be done again")

    looks, exists = [], os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: looks.append(path) or exists(path))
    for where, name in ((Path, "mkdir"), (Path, "read_bytes"), (Path, "iterdir"), (_cache, "_digest")):
        monkeypatch.setattr(where, name, fail)
    monkeypatch.setattr(_cache.tempfile, "TemporaryFile", fail)
    for _ in range(10):
        assert not cache.has(*ENGINE)
    assert len(looks) == 10
