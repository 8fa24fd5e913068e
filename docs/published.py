"""The pages, as they were built: opened in a headless browser, and followed by every link. `pytest docs/published.py`

Not part of the ordinary tests: it wants the pages (in docs/_build/html), and Chromium or Chrome.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal, get_origin
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest

import fastxor as fx
from benchmarks.browser import opened
from fastxor import names

DOCS = Path(__file__).resolve().parent
PAGES = DOCS / "_build" / "html"
SOURCE = "https://github.com/fastxor/fastxor"
sys.path.append(str(DOCS))

from xor.directive import EVERY, ITERATIONS, run  # noqa: E402

# Moves the slider, as the arrow keys do, and notes in the page what is seen at each place.
PROBE = """
<script>
window.addEventListener("load", function () {
    var found = {errors: window.errors, seen: []};
    var slider = document.getElementById("xor-slider"), canvas = document.getElementById("xor-boundary");
    if (slider) {
        slider.focus();
        found.keys = document.activeElement === slider && slider.type === "range" && slider.tabIndex === 0;
        found.label = slider.labels[0].textContent;
        for (var i = 0; ; i++) {
            var point = document.getElementById("xor-point");
            found.seen.push({
                red: canvas.getContext("2d").getImageData(0, 0, 240, 240).data.filter((_, k) => k % 4 === 0).join(" "),
                point: [point.getAttribute("cx"), point.getAttribute("cy")].map(Number),
                says: document.getElementById("xor-says").textContent,
                value: slider.getAttribute("aria-valuetext"),
            });
            if (slider.value === slider.max) break;
            slider.stepUp(10);
            slider.dispatchEvent(new Event("input"));
        }
    }
    var place = document.createElement("pre");
    place.id = "probe";
    place.textContent = JSON.stringify(found);
    document.body.append(place);
});
</script>
"""
ERRORS = """
<script>
window.errors = [];
window.addEventListener("error", (event) => window.errors.push(String(event.message)), true);
</script>
"""


class Page(HTMLParser):
    """The ids of a page, its links, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found[name] for name in ("id", "name") if found.get(name)}
        targets = [found[name] for name in ("href", "src") if found.get(name)]
        self.links += targets
        if tag != "a":
            self.loads += targets


@cache
def page(path: Path) -> Page:
    return Page(path)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a copy of the pages, with the probe in each: on the disk, for they need no server."""
    assert (PAGES / "index.html").exists(), f"no pages in {PAGES}: build them first, see CONTRIBUTING.md"
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(PAGES, folder, dirs_exist_ok=True)
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8").replace("<head>", f"<head>{ERRORS}", 1)
        path.write_text(text.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    return f"{folder.as_uri()}/"


def probed(address: str, profile: Path) -> dict:
    found = re.search(r'<pre id="probe">(.*?)</pre>', opened(address, profile), re.DOTALL)
    assert found, "the page's scripts did not come to their end"
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize("name", ["guide.html", "gallery/index.html", "api/training.html"])
def test_a_page_opens_without_an_error(site, tmp_path, name):
    assert probed(f"{site}{name}", tmp_path)["errors"] == []


def test_xor_to_play_with(site, tmp_path):
    """The slider, without a mouse, moves the boundary and the point, and what is drawn is the network's answer."""
    found = probed(f"{site}index.html", tmp_path)
    assert found["errors"] == []
    assert found["keys"]  # a range that has the focus is moved by the arrow keys
    assert "arrow keys" in found["label"]
    seen = found["seen"]
    assert len(seen) == 1 + ITERATIONS // (10 * EVERY)
    for name in ("red", "says", "value"):
        assert len({look[name] for look in seen}) == len(seen)
    across, up = np.array([look["point"] for look in seen]).T
    assert (np.diff(across) > 0).all()
    assert (np.diff(up) > 0).all()  # down the page, as the cost falls

    frames = run()["frames"][::10]
    net = fx.Network([2, 2, 1])
    side = -0.5 + (np.arange(240) + 0.5) / 120
    grid = np.stack(np.meshgrid(side, side[::-1])).reshape(2, -1)
    for look, frame in zip(seen, frames, strict=True):
        assert f"After {frame['iteration']} steps the cost is {frame['cost']:.4f}." in look["says"]
        wanted = net.forward({name: frame[name] for name in ("W1", "b1", "W2", "b2")}, grid)[0]
        drawn = (np.array(look["red"].split(), float) - 42) / 198
        same = np.abs(drawn - wanted) < 0.01
        assert same.mean() > 0.97  # all but the boundary, which is black, and the samples


def built() -> list[Path]:
    """All pages but asv's, which are its own."""
    paths = [path for path in PAGES.rglob("*.html") if "asv" not in path.relative_to(PAGES).parts]
    assert len(paths) > 20
    return paths


def test_no_page_loads_anything_from_another_host():
    sheets = "".join(path.read_text(encoding="utf-8") for path in (PAGES / "_static").rglob("*.css"))
    loads = [(path.name, link) for path in built() for link in page(path).loads]
    loads += [("a style sheet", link) for link in re.findall(r"url\(['\"]?([^'\")]*)|@import ['\"]([^'\"]*)", sheets)]
    assert [(name, link) for name, link in loads if urlsplit("".join(link)).netloc] == []


def test_every_link_within_the_pages_leads_somewhere():
    wrong = []
    for path in built():
        for link in page(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and target.suffix == ".html" and anchor not in page(target).ids):
                wrong.append((path.relative_to(PAGES).as_posix(), link))
    assert wrong == []


def test_every_link_into_the_repository_leads_to_a_file_of_it():
    """Those to a page's source, too."""
    ways = re.compile(rf"{re.escape(SOURCE)}/(?:blob|tree|edit)/main/([^?#]+)")
    found = {match[1] for path in built() for match in map(ways.match, page(path).links) if match}
    assert {"docs/guide.md", "docs/api/training.rst", "examples/digits.py"} <= found
    assert [name for name in sorted(found) if not (DOCS.parent / unquote(name)).exists()] == []


def test_the_reference_has_every_public_name():
    ids = set().union(*(page(path).ids for path in (PAGES / "api").glob("*.html")))
    public = [*fx.__all__, *(f"names.{name}" for name, kind in vars(names).items() if get_origin(kind) is Literal)]
    assert len(public) > len(fx.__all__)
    assert [name for name in public if f"fastxor.{name}" not in ids] == []


def of_the_processor(name: str) -> float:
    """The seconds that an example takes of it, by itself."""
    before = os.times()
    program = DOCS.parent / "examples" / f"{name}.py"
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(DOCS.parent)}
    subprocess.run([sys.executable, "-W", "ignore", str(program)], env=environment, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_every_example_ran_in_less_than_5_seconds():
    """By the clock when the pages were built, or else, where the machine had more to do, of the processor."""
    cases = ElementTree.parse(PAGES.parent / "gallery.xml").findall(".//testcase")
    took = {Path(case.get("file", "")).stem: float(case.get("time", "nan")) for case in cases}
    assert set(took) == {path.stem for path in (DOCS.parent / "examples").glob("*.py")} - {"convergence"}
    slow = [name for name, seconds in took.items() if not seconds < 5]
    assert [name for name in slow if not of_the_processor(name) < 5] == []
    for name in took:
        assert (PAGES / "gallery" / f"{name}.html").exists()
        assert list((PAGES / "_images").glob(f"sphx_glr_{name}_*.png"))
