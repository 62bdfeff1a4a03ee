"""The parts of the site and their pages, as navigation.toml has them.

It needs nothing but the standard library: Sphinx's configuration imports it, and so does its test.
"""
# ruff: noqa: INP001  # beside the configuration that imports it; no package

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TABLE: Final = Path(__file__).with_name("navigation.toml")
FRONT: Final = "README.md"
SOURCES: Final = ("*.md", "docs/**/*.md", "examples/**/README.md", "helm/**/README.md")
"""What is a page of the site."""
NOT_OURS: Final = frozenset({"node_modules", ".venv", ".tools"})


class NavigationError(Exception):
    """A page stands in no part or in two, or a part names a page that does not exist."""


@dataclass(frozen=True, slots=True)
class Part:
    """A titled group of pages.

    Attributes:
        title: What stands above them in the navigation.
        pages: Their paths below the project's root.
        weight: How much a word on them counts in the search, relative to one on a guide.
    """

    title: str
    pages: tuple[str, ...]
    weight: float = 1.0


def pages(root: Path = ROOT) -> tuple[str, ...]:
    """Every page of the site."""
    found = {path.relative_to(root) for pattern in SOURCES for path in root.glob(pattern)}
    return tuple(sorted(path.as_posix() for path in found if NOT_OURS.isdisjoint(path.parts)))


def folders_without_pages(root: Path = ROOT) -> set[str]:
    """The folders of the root that hold no page: nothing need look into them."""
    every = {each.name for each in root.iterdir() if each.is_dir()}
    return every - {page.partition("/")[0] for page in pages(root)}


def parts(root: Path = ROOT, table: Path = TABLE) -> tuple[Part, ...]:
    """The parts in order.

    Raises:
        NavigationError: They do not hold each page once.
    """
    every = pages(root)
    stated = tomllib.loads(table.read_text(encoding="utf-8"))["part"]
    named = [page for part in stated for page in part["pages"] if "*" not in page]
    found = tuple(
        Part(part["title"], tuple(_expanded(part["pages"], root, frozenset(named))), part.get("weight", 1.0))
        for part in stated
    )
    placed = [page for part in found for page in part.pages]
    _check("no such page", sorted(set(placed) - set(every)))
    _check("in two parts", sorted({page for page in placed if placed.count(page) > 1}))
    _check("in no part", sorted(set(every) - {*placed, FRONT}))
    return found


def _expanded(patterns: Sequence[str], root: Path, named: frozenset[str]) -> Iterator[str]:
    for pattern in patterns:
        if "*" in pattern:
            found = sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))
            yield from (page for page in found if page not in named)
        else:
            yield pattern


def _check(what: str, wrong: Sequence[str]) -> None:
    if wrong:
        raise NavigationError(f"{TABLE.name}: {what}: {', '.join(wrong)}")


def toctrees(found: Sequence[Part]) -> str:
    """The parts as Sphinx's directives, to be appended to the front page."""
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {part.title}\n\n"
        + "".join(f"/{page.removesuffix('.md')}\n" for page in part.pages)
        + "```\n"
        for part in found
    )
