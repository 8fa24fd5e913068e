"""Imports go one way, type-only ones included: what is described first knows nothing of what is built on it."""

import ast
import re

import pytest
from support import PACKAGE, ROOT

# From the bottom up. A file may import those above it here; those on one line know nothing of each other.
FLOORS = [
    ["choices", "suggestions", "names", "time_slice", "views"],
    ["files"],
    ["architecture"],
    ["validation"],
    ["early_stopping", "initialization", "labels", "penalties", "plot", "schedules", "weights"],
    ["optimizers"],
    ["state"],
    ["cohort"],
    ["population_state"],
    ["backends"],
    ["exporting"],
    ["network", "second_order"],
    ["checking", "history", "trained"],
    ["conversion", "saving"],
    ["saving_population"],
    ["result"],
    ["population_result", "executors", "loop"],
    ["run_setup", "observers"],
    ["population_setup", "population_loop"],
    ["folds", "population_run", "table", "training"],
    ["grid", "population"],
    ["sweeps"],
    ["sklearn", "tutorial"],
    ["__init__"],
    ["bench"],
    ["__main__"],
]
FLOOR = {name: height for height, floor in enumerate(FLOORS) for name in floor}


def imported(path):
    """The modules that a file imports, functions' own imports included; and what may be one."""
    package = path.relative_to(PACKAGE.parent).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, node.module] if node.module else base)
            if module != "fastxor":  # the modules in it are meant
                yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(module):
    """The part of the package that a module, or a name in one, belongs to; None for others'."""
    first, *rest = module.split(".")
    return None if first != "fastxor" else (rest or ["__init__"])[0]


def room_of(path):
    return room(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))


PATHS = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    own = room_of(path)
    for other in {room(module) for module in imported(path)} - {None, own}:
        assert FLOOR[other] < FLOOR[own], f"{own} imports {other}"


def test_every_file_has_its_place():
    assert {room_of(path) for path in PATHS} == set(FLOOR)


def test_the_page_about_the_rooms_has_them_in_such_an_order():
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## The way of a run")[0]
    rooms = re.findall(r"^\| `(\w+)(?:\.py|/)` \|", page, re.MULTILINE)
    assert sorted(rooms) == sorted(set(FLOOR) - {"__init__", "__main__", "bench"})
    for path in PATHS:
        for other in {room(module) for module in imported(path)} & set(rooms) - {room_of(path)}:
            if room_of(path) in rooms:
                assert rooms.index(other) < rooms.index(room_of(path)), f"{room_of(path)} imports {other}"


def test_every_file_is_in_the_table_of_where_things_live():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Where things live")[2]
    table = page.partition("## Add an activation")[0]
    places = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)
    named = {word for place in places for word in re.findall("`(.+?)`", place)}
    files = {word.rpartition("/")[2] for word in named if not word.endswith("/")}
    folders = [word for word in named if word.endswith("/")]
    for path in PATHS:
        place = path.relative_to(PACKAGE.parent).as_posix()
        assert path.name in {*files, "__init__.py"} or place.startswith(tuple(folders)), place


@pytest.mark.parametrize("core", ["reference", "fused"])
def test_the_cores_know_nothing_of_each_other(core):
    folder = PACKAGE / "backends"
    files = [folder / "reference.py"] if core == "reference" else sorted((folder / "fused").rglob("*.py"))
    other = {"reference": "fused", "fused": "reference"}[core]
    for path in files:
        assert not any(f"backends.{other}" in module for module in imported(path))


def test_there_is_no_circle_among_the_fused_cores_files():
    files = {path.stem: path for path in (PACKAGE / "backends" / "fused").glob("*.py")}
    below = {
        name: {part for module in imported(path) if "fused" in module for part in module.split(".")[3:4]} & set(files)
        for name, path in files.items()
    }
    while below:
        free = [name for name, needs in below.items() if not needs & set(below)]
        assert free, f"a circle among {sorted(below)}"
        for name in free:
            del below[name]
