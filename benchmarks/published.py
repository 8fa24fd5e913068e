"""The pages of `asv publish`, opened in a headless browser: are the graphs there? `pytest benchmarks/published.py`

Not part of the ordinary tests: it wants pages (in .asv/html), Chromium or Chrome, and npm. asv's pages load their
scripts from the network; here they come as npm packages, so that the test is about our pages and not about a host.
"""

from __future__ import annotations

import functools
import html
import http.server
import re
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from benchmarks.browser import command, opened

PAGES = Path(__file__).resolve().parent.parent / ".asv" / "html"
# The file's name in the pages, and the package and place that it comes from.
SCRIPTS = {
    "jquery-3.3.1.min.js": ("jquery@3.3.1", "dist/jquery.min.js"),
    "jquery.flot.min.js": ("flot@0.8.3", "jquery.flot.js"),
    "jquery.flot.time.min.js": ("flot@0.8.3", "jquery.flot.time.js"),
    "jquery.flot.selection.min.js": ("flot@0.8.3", "jquery.flot.selection.js"),
    "jquery.flot.categories.min.js": ("flot@0.8.3", "jquery.flot.categories.js"),
    "jquery.flot.orderBars.js": ("flot-orderbars@1.0.0", "js/jquery.flot.orderBars.js"),
    "stupidtable.min.js": ("stupid-table-plugin@1.1.3", "stupidtable.min.js"),
    "md5.min.js": ("blueimp-md5@2.19.0", "js/md5.min.js"),
    "bootstrap.min.js": ("bootstrap@3.1.1", "dist/js/bootstrap.min.js"),
    "bootstrap.min.css": ("bootstrap@3.1.1", "dist/css/bootstrap.min.css"),
}

# Notes at each plot how many points it has, and whether anything but the background was drawn on its canvas.
PROBE = """
<script>
setInterval(function () {
    $(".benchmark-plot, #main-graph").each(function () {
        var plot = $(this).data("plot"), canvas = $(this).find("canvas.flot-base")[0];
        if (!plot || !canvas || !canvas.width) return;
        var points = 0;
        plot.getData().forEach(function (series) {
            points += series.data.filter(function (point) { return point && point[1] !== null; }).length;
        });
        if ($(this).attr("data-points") == points) return;
        var pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        $(this).attr({"data-points": points, "data-drawn": pixels.some(function (value) { return value > 0; })});
    });
}, 500);
</script>
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a copy of the pages that needs nothing from elsewhere."""
    assert (PAGES / "index.html").exists(), f"no pages in {PAGES}: run asv publish first"
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(PAGES, folder, dirs_exist_ok=True)
    packages = sorted({package for package, _place in SCRIPTS.values()})
    subprocess.run([command("npm"), "pack", "--silent", *packages], cwd=folder, check=True)
    for name, (package, place) in SCRIPTS.items():
        with tarfile.open(folder / f"{package.replace('@', '-')}.tgz") as archive:
            member = archive.extractfile(f"package/{place}")
            assert member is not None
            (folder / name).write_bytes(member.read())
    page = (folder / "index.html").read_text(encoding="utf-8")
    page = re.sub(r'(src|href)="https://[^"]*/([^"/]+\.(?:js|css))"[^>]*', r'\1="\2"', page)
    missing = set(re.findall(r'(?:src|href)="https://[^"]*\.(?:js|css)"', page))
    assert not missing
    page = page.replace("</body>", f"{PROBE}</body>")
    (folder / "index.html").write_text(page, encoding="utf-8")
    handler = functools.partial(Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


def plots(document: str) -> dict[str, tuple[int, bool]]:
    """By the element's name, how many points it has and whether they are drawn."""
    found = {}
    for tag in re.findall(r"<div [^>]*data-points[^>]*>", document):
        attributes = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        found[attributes["id"]] = int(attributes["data-points"]), attributes["data-drawn"] == "true"
    return found


def test_the_grid_has_a_graph_for_every_file_of_benchmarks(site, tmp_path):
    document = opened(site, tmp_path)
    found = plots(document)
    drawn = {name.removeprefix("summarygrid-").partition(".")[0] for name, (points, ink) in found.items() if ink}
    files = {path.stem for path in Path(__file__).parent.glob("bench_*.py")}
    assert drawn == files


@pytest.mark.parametrize(
    "name",
    ["bench_training.Engine.time_run", "bench_math.Elementary.time_million_values", "bench_scaling.Hidden.track_step"],
)
def test_the_page_of_a_benchmark_has_its_graph(site, tmp_path, name):
    found = plots(opened(f"{site}#{name}", tmp_path))
    points, drawn = found["main-graph"]
    assert points > 0
    assert drawn


def test_a_scaling_curve_over_hidden_units(site, tmp_path):
    address = f"{site}#bench_scaling.Hidden.track_step?x-axis=hidden%20units&backend=numba&backend=numpy"
    points, drawn = plots(opened(address, tmp_path))["main-graph"]
    assert points >= 9  # a point for each number of hidden units
    assert drawn
