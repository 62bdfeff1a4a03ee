"""Sphinx's configuration: the pages stay where they are, Furo draws them, Pagefind makes them searchable.

`docs/site/build.py` runs it. The README is the front page. Navigation is navigation.toml, appended to the front page as
Sphinx reads it, since a toctree in the README would be shown as code wherever else it is read.
"""
# ruff: noqa: INP001  # the name that Sphinx gives it, imported by Sphinx alone

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.builders.html import StandaloneHTMLBuilder

sys.path.insert(0, str(Path(__file__).parent))

import navigation  # beside this file, which is on no path before

project = "Headrace"
html_title = "Headrace"
author = "Headrace"
root_doc = navigation.FRONT.removesuffix(".md")
include_patterns = list(navigation.pages())
exclude_patterns = [".*", *sorted(navigation.folders_without_pages())]
extensions = ["myst_parser"]
myst_heading_anchors = 6  # the anchors GitHub makes, so that a link works there and here
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

html_theme = "furo"
html_static_path = ["static"]
templates_path = ["templates"]
html_css_files = ["site.css"]
html_favicon = "static/logo.svg"
html_logo = "static/logo.svg"
html_copy_source = False
html_show_sphinx = False
html_use_index = False
html_permalinks_icon = "#"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6583", "color-brand-content": "#0b6583"},
    "dark_css_variables": {"color-brand-primary": "#6cc5e0", "color-brand-content": "#6cc5e0"},
}

PARTS = navigation.parts()
WEIGHTS = {page.removesuffix(".md"): part.weight for part in PARTS for page in part.pages}


class Site(StandaloneHTMLBuilder):
    """HTML whose front page is `index.html`; Sphinx's own search, which ignores numbers such as 429, is left out."""

    search = False

    def get_target_uri(self, docname: str, typ: str | None = None) -> str:
        """Where links to a page lead."""
        return super().get_target_uri("index" if docname == root_doc else docname, typ)

    def get_output_path(self, page_name: str, /) -> Path:
        """The file of a page."""
        return Path(super().get_output_path("index" if page_name == root_doc else page_name))


def read(_app: Any, docname: str, source: list[str]) -> None:
    """Append the navigation to the front page."""
    if docname == root_doc:
        source[0] += navigation.toctrees(PARTS)


SECTION = re.compile(r'<section (id="[^"]+")>\s*((?:<span id="[^"]+"></span>)*)<(h[2-6])>')


def shown(_app: Any, pagename: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Give each heading its section's anchor, so that the search leads there, and each page its part's weight.

    What axe finds serious in the theme is mended too: a heading without a level, a block that no key can scroll.
    """
    body = SECTION.sub(r"<section>\2<\3 \1>", context.get("body", "")).replace("<pre>", '<pre tabindex="0">')
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
    context["body"] = f'<div data-pagefind-weight="{WEIGHTS.get(pagename, 1.0)}">{body}</div>'


def setup(app: Any) -> None:
    """Sphinx calls this with itself."""
    app.add_builder(Site, override=True)
    app.connect("source-read", read)
    app.connect("html-page-context", shown, priority=900)  # behind the theme's
