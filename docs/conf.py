"""How the pages are built: `python -m sphinx -W --keep-going docs docs/_build/html`."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS)]  # the package of this tree, and the directive of docs/xor

import numpy as np  # noqa: E402
from sphinx.util import logging  # noqa: E402

import fastxor  # noqa: E402 - that of this tree

LOGGER = logging.getLogger(__name__)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCE = PROJECT["urls"]["Source"]
HISTORY = ROOT / ".asv" / "html"  # where `asv publish` puts its pages

project, author = "fastxor", PROJECT["authors"][0]["name"]
version = release = fastxor.__version__
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
extensions += ["sphinx_gallery.gen_gallery", "xor.directive"]
exclude_patterns = ["_build", "gallery/**/*.ipynb"]
default_role = "py:obj"  # `train` in a docstring is a link where there is such a thing

html_theme = "furo"
html_title = f"fastxor {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
highlight_options = {"pycon": {"stripnl": True}}  # the empty line that ends a doctest in Markdown is not shown
html_theme_options = {"source_repository": SOURCE, "source_branch": "main", "source_directory": "docs/"}

myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings have types and shapes
autodoc_member_order = "bysource"
autosummary_generate = False  # docs/api has the pages
napoleon_google_docstring = False
napoleon_use_param = False  # arguments that share a description, as `l2, l1`, stay together, and have it once;
napoleon_custom_sections = [("Attributes", "params_style")]  # and so do attributes
napoleon_use_rtype = False
maximum_signature_line_length = 100

RETURNED = {"Result", "History", "Moment", "GradientCheck", "TrainingInterrupted"}  # by calls: nobody makes one
RETURNED |= {"Population", "PopulationHistory", "PopulationMoment", "Table"}
CLASSES = re.compile(rf"\b(?:{'|'.join(name for name in fastxor.__all__ if name[0].isupper())})\b")

linkcheck_ignore = [rf"{re.escape(SOURCE)}/.*"]  # ways into this tree, which `way_out` looks at

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "ignore_pattern": r"convergence\.py$",  # takes longer; the guide has its picture
    "filename_pattern": r"\.py$",  # all of them are run,
    "run_stale_examples": True,  # whenever the pages are built
    "image_scrapers": ("matplotlib",),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 5,  # seconds, which no example takes
    "junit": "../gallery.xml",  # what each takes
    "reference_url": {"fastxor": None},
    "doc_module": ("fastxor",),
    "copyfile_regex": "",
}

if (HISTORY / "index.html").exists():
    tags.add("history")  # noqa: F821 - Sphinx has it here

# What is compiled once on a machine is no part of an example's time.
fastxor.warmup()
line = fastxor.Network([1, 1], output="identity")
line.jacobian(line.initialize(0), [[0.0]])
fastxor.train(line, [[0.0]], [[0.0]], optimizer=fastxor.LevenbergMarquardt(), iterations=1)
for kind in (np.float64, np.float32):
    two = np.zeros((1, 2), kind)
    fastxor.train(line, two, two, validation=(two, two), iterations=1)


def way_out(app, name: str, content: list[str]) -> None:
    """Links from a page to a file outside of docs/ lead to the repository, and the file must be there."""
    folder = (DOCS / name).parent

    def absolute(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        if target.is_relative_to(DOCS):
            return link[0]
        if not target.exists():
            LOGGER.warning("there is no %s", link[1], location=name)
        way = "tree" if target.is_dir() else "blob"
        return f"]({SOURCE}/{way}/main/{target.relative_to(ROOT).as_posix()}{link[2] or ''})"

    content[0] = re.sub(r"\]\((\.\.?/[^)#\s]+)(#[^)\s]*)?\)", absolute, content[0])


def of_a_user(app, what, name, thing, options, signature: str | None, returned) -> tuple[str | None, object]:
    """A signature for users: none where calls return the object, no arguments that are refused with a hint."""
    returned_by_calls = isinstance(thing, type) and thing.__name__ in RETURNED
    return "" if returned_by_calls else signature and signature.replace(", **unknown", ""), returned


def link_types(app, what, name, thing, options, lines: list[str]) -> None:
    """In `network : Network`, the type is a link."""
    for i, line in enumerate(lines):
        argument, colon, kind = line.partition(" : ")
        lines[i] = argument + colon + CLASSES.sub(r"`\g<0>`", kind)


def to_the_program(app, pagename: str, templatename, context: dict[str, object], doctree) -> None:
    """The links of a page of the gallery to its source lead to the program that it is made of."""
    if pagename.startswith("gallery/"):
        name = pagename.removeprefix("gallery/")
        source = "GALLERY_HEADER.rst" if name == "index" else f"{name}.py"
        for link, way in (("view", "blob"), ("edit", "edit")):
            context[f"theme_source_{link}_link"] = f"{SOURCE}/{way}/main/examples/{source}"


def add_history(app, error: Exception | None) -> None:
    """The pages of `asv publish`, as they are, under asv/."""
    if error is None and app.builder.name == "html" and (HISTORY / "index.html").exists():
        shutil.copytree(HISTORY, Path(app.outdir) / "asv", dirs_exist_ok=True)


def setup(app) -> None:
    app.connect("source-read", way_out)
    app.connect("autodoc-process-signature", of_a_user)
    app.connect("autodoc-process-docstring", link_types, priority=400)  # before napoleon
    app.connect("html-page-context", to_the_program)
    app.connect("build-finished", add_history)
