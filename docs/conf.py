"""How Sphinx builds the site: `make docs` writes it to docs/_build.

The pages are those that are read on GitHub. What they link to and is no page, such as an example,
is shown where the repository is.
"""

import re
from pathlib import Path
from typing import Generic, TypeVar

import numpy.typing
from sphinx.application import Sphinx

Kind = TypeVar("Kind")


class NDArray(Generic[Kind]):
    """Takes the place of NumPy's alias, whose long meaning would be shown instead."""


class ArrayLike:
    """Takes the place of NumPy's alias, too."""


for _alias in (NDArray, ArrayLike):
    _alias.__module__ = "numpy.typing"
    setattr(numpy.typing, _alias.__name__, _alias)

import metarl  # noqa: E402, whose annotations have the aliases

DOCS = Path(__file__).parent
ROOT = DOCS.parent
REPOSITORY = "https://github.com/metarl/metarl"

project = "metarl"
version = release = metarl.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

myst_heading_anchors = 3  # as GitHub makes them
highlight_language = "none"  # blocks without a language are commands and what they print

html_theme = "furo"
html_title = f"metarl {version}"
html_favicon = "icon.svg"
html_copy_source = False
html_show_search_summary = False  # or search fetches pages, which browsers forbid for files
html_show_copyright = False
html_theme_options = {"source_repository": REPOSITORY, "source_branch": "main"}
html_theme_options["source_directory"] = "docs/"

default_role = "literal"  # docstrings write `name`, as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
nitpicky = True
# nothing is fetched while building, so that types of other libraries are names without a link
nitpick_ignore_regex = [(r"py:.*", r"(?!metarl\.).*")]
nitpick_ignore = [  # parts of a policy that are not for users
    ("py:class", "metarl.agents.memory.TaskMemory"),
    ("py:class", "metarl.agents.normaliser.Normaliser"),
    ("py:class", "metarl.agents.siamese.SiameseEncoder"),
]


def link_to_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links to files that are no pages lead to the repository; pictures stay as they are."""
    here = (DOCS / page).parent

    def elsewhere(match: re.Match[str]) -> str:
        text, path = match.groups()
        target = (here / path).resolve()
        is_page = target.suffix == ".md" and target.is_relative_to(DOCS)
        if is_page or not target.exists():  # Sphinx warns of what is missing
            return match[0]
        kind = "tree" if target.is_dir() else "blob"
        return f"[{text}]({REPOSITORY}/{kind}/main/{target.relative_to(ROOT)})"

    source[0] = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s:#]+)\)", elsewhere, source[0])


def mark_code(
    app: Sphinx, kind: str, name: str, documented: object, options: object, lines: list[str]
) -> None:
    """Mark indented paragraphs of a docstring as code, as Markdown has them; |x| is no mark-up."""
    # in front of an attribute's first line, or napoleon takes what is before its colon for a type
    marked = ["..", ""] if kind in ("attribute", "property", "data") else []
    before = ""  # the last line that is not empty
    for line in lines:
        starts = line.startswith("    ") and marked and not marked[-1].strip()
        if starts and before and not before.startswith(" ") and not before.endswith("::"):
            marked += [".. code-block:: default", ""]  # Python, or a formula
        marked.append(re.sub(r"\|(\w+)\|", r"\\|\1\\|", line))
        before = line if line.strip() else before
    lines[:] = marked


def setup(app: Sphinx) -> None:
    """Connect both; docstrings are marked before napoleon reads their sections."""
    app.connect("source-read", link_to_repository)
    app.connect("autodoc-process-docstring", mark_code, priority=100)
