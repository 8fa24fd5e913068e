"""What the package index shows and pip is told: links that lead somewhere, and a name to install that is ours."""

import re
import tomllib

import pytest
import yaml
from support import PACKAGE, ROOT

import fastxor

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
URLS = PROJECT["urls"]
HOME = URLS["Source"]
RAW = f"{HOME.replace('github.com', 'raw.githubusercontent.com')}/main/"

# The texts of the source distribution.
PLACES = (
    "*.md",
    "*.toml",
    "*.json",
    "*.cff",
    "docs/**/*.md",
    "docs/**/*.rst",
    "docs/*.py",
    "examples/*",
    "notebooks/*",
)
PLACES += ("fastxor/**/*.py", "benchmarks/**/*.py", "tests/**/*.py")
TEXTS = sorted(path for place in PLACES for path in ROOT.glob(place) if path.is_file())

# Asks pip, or an extra, for the name that another project has on the package index.
WRONG_NAME = re.compile(r"\bpip3? (?:un)?install [^`\n&;]*?(?<![\w./-])fastxor(?![\w/.-])|\bfastxor\[")


def links(markdown):
    """The targets of all links and pictures in a Markdown text, by whichever syntax."""
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "", markdown, flags=re.DOTALL | re.MULTILINE)
    forms = r"\]\(\s*<?([^)>\s]+)", r"^\[[^]]+\]:\s*<?([^>\s]+)", r"<(\w+:[^>\s]+)>", r"(?:href|src)=[\"']([^\"']+)"
    return [target for form in forms for target in re.findall(form, text, re.MULTILINE)]


def anchors(markdown):
    """What the headings of a Markdown text are linked by."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def assert_leads_somewhere(link):
    """An absolute link does, unless it names a file of this repository that there is not."""
    assert link.startswith("https://"), link
    if link.startswith(RAW):
        assert (ROOT / link.removeprefix(RAW)).exists(), link
    if link.startswith(HOME) and link not in {HOME, f"{HOME}#readme", f"{HOME}/issues"}:
        file = re.fullmatch(r"/(?:blob|tree|raw)/main/([^#?]+)", link.removeprefix(HOME))
        assert file, link
        assert (ROOT / file[1]).exists(), link


def test_links_are_found_by_each_syntax():
    text = "[a](b.md) ![c](<d.png>) <https://e.f>\n`[code](no)`\n```\n[code](no)\n```\n<img src='g.png'>\n\n[h]: i.md\n"
    assert sorted(links(text)) == ["b.md", "d.png", "g.png", "https://e.f", "i.md"]


def test_the_readmes_links_lead_somewhere_from_any_page():
    targets = links(README)
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "docs/kernels.md"):
        assert f"{HOME}/blob/main/{name}" in targets
    for target in targets:
        if target.startswith("#"):
            assert target in anchors(README)
        else:
            assert_leads_somewhere(target)


@pytest.mark.parametrize("name", ["Homepage", "Documentation", "Source", "Changelog", "Issues"])
def test_the_projects_urls_lead_somewhere(name):
    assert_leads_somewhere(URLS[name])


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == fastxor.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert citation["authors"] == PROJECT["authors"]
    assert citation["repository-code"] == HOME
    assert citation["url"] == URLS["Documentation"]


def only_a_clone_has():
    """The texts under .github/ by path, parsed; none in an unpacked source distribution."""
    found = {path: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / ".github").rglob("*.yml")}
    assert len(found) >= 5 or not (ROOT / ".github").exists()
    return found


def test_what_goes_to_the_package_index_has_passed_ci_and_needs_no_password():
    for path, workflow in only_a_clone_has().items():
        if path.name != "release.yml":
            continue
        assert workflow["permissions"] == {"contents": "read"}
        assert "secrets." not in path.read_text(encoding="utf-8")
        jobs = workflow["jobs"]
        assert (ROOT / jobs["ci"]["uses"]).exists()
        trusted = {name for name, job in jobs.items() if "id-token" in job.get("permissions", {})}
        assert trusted == {"index", "publish-pages"}
        assert jobs["index"]["if"] == "github.event_name == 'push'"  # started by hand, it publishes the pages alone
        assert workflow[True]["push"] == {"tags": ["v*"]}  # YAML's `on`
        for name in trusted:
            assert {"ci", "distributions"} <= set(jobs[name]["needs"])  # the latter checks that the tag is the version
            assert not any("run" in step for step in jobs[name]["steps"])  # no code of ours has such a right
    assert (
        f'__version__ = "{fastxor.__version__}"' in (PACKAGE / "__init__.py").read_text(encoding="utf-8").splitlines()
    )


def test_the_issue_forms_are_whole():
    for path, form in only_a_clone_has().items():
        if path.parent.name != "ISSUE_TEMPLATE" or path.stem == "config":
            continue
        assert {"name", "description", "body"} <= set(form)
        ids = [part["id"] for part in form["body"]]
        assert len(set(ids)) == len(ids)
        assert all(part["attributes"]["label"] for part in form["body"])


def test_the_readme_says_once_which_name_is_ours():
    assert PROJECT["name"] == "fastxor-nn"
    assert PROJECT["scripts"] == {"fastxor": "fastxor.__main__:program"}
    assert README.count("fastxor-nn") == 1


def test_no_text_advises_to_install_another_project():
    assert ROOT / "fastxor" / "bench" / "peers" / "__init__.py" in TEXTS
    found = {path: WRONG_NAME.findall(path.read_text(encoding="utf-8")) for path in TEXTS}
    assert {path: advice for path, advice in found.items() if advice} == {}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("pip install {}", True),
        ("pip install '{}[peers]'", True),
        ("pip install -U numpy {}>=0.1", True),
        ("pip uninstall -y {}", True),
        ("the extra {}[peers]", True),
        ("pip install {}-nn", False),
        ("pip install '{}-nn[peers]'", False),
        ("pip install . && python -m {}", False),
        ("pip install . && .venv/bin/{}", False),
        ("`pip install .`, then `{}`", False),
    ],
)
def test_the_wrong_name_is_seen(text, wrong):
    assert bool(WRONG_NAME.search(text.format("fastxor"))) == wrong
