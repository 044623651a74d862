"""The documentation site names all that is public, builds without a warning, and its links hold."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import metarl
from metarl import envs

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
MODULES = {"metarl.agents", "metarl.envs"}
"""Public names that are packages: a page each, or what else returns their contents."""


@pytest.mark.parametrize(("package", "page"), [(metarl, "api"), (envs, "api_envs")])
def test_the_reference_names_all_that_is_public(package, page: str):
    text = (DOCS / f"{page}.md").read_text()
    named = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)$", text, flags=re.MULTILINE))
    public = {f"{package.__name__}.{name}" for name in package.__all__}
    assert public - named - MODULES == set()


def test_every_page_is_in_the_table_of_contents():
    index = (DOCS / "index.md").read_text()
    tables = re.findall(r"```{toctree}\n(.*?)```", index, flags=re.DOTALL)
    listed = re.findall(r"^(?:[^:<\n]+<)?([\w/]+)>?$", "\n".join(tables), flags=re.MULTILINE)
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    assert sorted([*listed, "index"]) == sorted(pages)


class Page(HTMLParser):
    """What a page of the site can be linked to by, what it links to, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.anchors.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in ("script", "img", "link", "source"):
            self.loads += [values[name] for name in ("src", "href") if name in values]


def dead_links(site: Path) -> list[str]:
    """The links of a site's pages that lead to no file or anchor of it, or load from elsewhere."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    dead = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            address = urlsplit(link)
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            if address.netloc:
                good = link in page.links
            elif address.fragment and target in pages:
                good = unquote(address.fragment) in pages[target].anchors
            else:
                good = target.exists() or not link.strip("#")
            if not good:
                dead.append(f"{path.relative_to(site.resolve())}: {link}")
    return dead


def test_a_dead_link_is_found(tmp_path: Path):
    (tmp_path / "a.html").write_text('<p id="here"></p><a href="b.html#there">to b</a>')
    (tmp_path / "b.html").write_text(
        '<p id="there"></p><a href="a.html#here">1</a> <a href="a.html#gone">2</a>'
        '<a href="c.html">3</a> <a href="https://mujoco.org">4</a> <img src="https://x.org/y.png">'
    )
    assert dead_links(tmp_path) == [
        "b.html: a.html#gone",
        "b.html: c.html",
        "b.html: https://x.org/y.png",
    ]


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sphinx", "furo", "myst_parser")),
    reason="Sphinx, furo and myst-parser are not installed: "
    "pip install -c constraints.txt '.[docs]'",
)
def test_the_site_builds_without_a_warning_and_its_links_hold(tmp_path: Path):
    strict = ["--quiet", "--fresh-env", "--fail-on-warning", "--keep-going"]
    command = [sys.executable, "-m", "sphinx", *strict, str(DOCS), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert dead_links(tmp_path / "site") == []
    reference = (tmp_path / "site" / "api.html").read_text()
    assert 'id="metarl.MAML.adapt"' in reference
    assert "Trust region: bound on the mean KL divergence" in reference, "colons are not types"
