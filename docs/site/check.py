"""Follows every link of a built site, without a network: pages, anchors, images, scripts, styles, downloads.

A page may link to other hosts, and is not followed there; it may load nothing from them. What Sphinx does not see is
seen here: the theme, the search, raw HTML, and links to files.
"""
# ruff: noqa: INP001  # beside the script that imports it; no package

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

LOADS: Final = frozenset({"script", "img", "source", "iframe", "video", "audio", "embed", "object"})
LOADING_RELATIONS: Final = frozenset({"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch"})
STYLE_URL: Final = re.compile(r"""(?:@import\s+|url\()\s*['"]?(?!data:|#)([^'")\s]+)""")
NO_PLACE: Final = frozenset({"mailto", "data", "javascript", "tel"})


class Reader(HTMLParser):
    """Collects what one page links to, what it loads, and its anchors."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag's addresses and names."""
        said = {name: value or "" for name, value in attrs}
        self.anchors |= {said[name] for name in ("id", "name") if said.get(name)}
        relation = set(said.get("rel", "").split())
        for name in ("href", "src", "data", "poster"):
            if not said.get(name):
                continue
            loads = tag in LOADS or (tag == "link" and relation & LOADING_RELATIONS)
            (self.loaded if loads else self.links).append(said[name])


@cache
def _read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader


def _pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def mistakes(site: Path) -> list[str]:
    """What is wrong, one sentence each."""
    _read.cache_clear()
    return [*_of_pages(site), *_of_styles(site)]


def _of_pages(site: Path) -> Iterator[str]:
    for page in _pages(site):
        place = page.relative_to(site)
        for link in _read(page).links:
            if sentence := _wrong(site, page, link):
                yield f"{place}: {link}: {sentence}"
        for link in _read(page).loaded:
            if _parts(link).netloc:
                yield f"{place}: {link}: is loaded from another host when the page is read"
            elif sentence := _wrong(site, page, link):
                yield f"{place}: {link}: {sentence}"


def _of_styles(site: Path) -> Iterator[str]:
    for style in sorted(site.rglob("*.css")):
        for link in STYLE_URL.findall(style.read_text(encoding="utf-8")):
            if _parts(link).netloc:
                yield f"{style.relative_to(site)}: {link}: is loaded from another host"


def _wrong(site: Path, page: Path, link: str) -> str:
    """What is wrong with a link; empty if it leads somewhere."""
    parts = _parts(link)
    if parts.scheme in {"http", "https"}:
        return "" if re.fullmatch(r"[\w.-]+\.[a-z]{2,}(:\d+)?", parts.netloc) and " " not in link else "is no address"
    if parts.scheme in NO_PLACE:
        return ""
    if parts.scheme or parts.netloc:
        return "has a scheme that no page uses"
    there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    there = there / "index.html" if there.is_dir() else there
    if not there.is_relative_to(site.resolve()) or not there.is_file():
        return "leads to no file of the site"
    if parts.fragment and there.suffix == ".html" and unquote(parts.fragment) not in _read(there).anchors:
        return "leads to no anchor"
    return ""


def _parts(link: str) -> SplitResult:
    return urlsplit(link.strip())


def outside(site: Path) -> list[str]:
    """Each link to another host, once."""
    return sorted({link for page in _pages(site) for link in _read(page).links if _parts(link).netloc})
