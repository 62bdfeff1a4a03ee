"""The docs site: each page stands in its navigation once, and its check finds each kind of broken link."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.pages.blocks import ROOT

HERE = ROOT / "docs" / "site"


def module(name: str) -> ModuleType:
    """A module of the site, which is on no path."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # dataclasses look their module up
    spec.loader.exec_module(found)
    return found


CHECK = module("check")
NAVIGATION = module("navigation")

# ---------------------------------------------------------------------------------------------------- navigation


def test_every_page_stands_in_one_part_or_is_the_front_page() -> None:
    placed = [page for part in NAVIGATION.parts() for page in part.pages]
    assert sorted([*placed, NAVIGATION.FRONT]) == sorted(NAVIGATION.pages())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a front page, a guide and two runbooks."""
    for name in ("README.md", "docs/guide.md", "docs/runbooks/b.md", "docs/runbooks/a.md", "node_modules/x.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n", encoding="utf-8")
    return tmp_path


def parts_of(root: Path, pages: str) -> list[tuple[str, ...]]:
    table = root / "navigation.toml"
    table.write_text(f'[[part]]\ntitle = "All"\npages = {pages}\n', encoding="utf-8")
    return [part.pages for part in NAVIGATION.parts(root, table)]


def test_a_pattern_takes_pages_that_come_later_and_no_page_with_a_place_of_its_own(root: Path) -> None:
    found = parts_of(root, '["docs/runbooks/b.md", "docs/*.md", "docs/none/*.md", "docs/runbooks/*.md"]')
    assert found == [("docs/runbooks/b.md", "docs/guide.md", "docs/runbooks/a.md")]


@pytest.mark.parametrize(
    ("pages", "sentence"),
    [
        ('["docs/guide.md"]', "in no part: docs/runbooks/a.md, docs/runbooks/b.md"),
        ('["docs/guide.md", "docs/runbooks/*.md", "docs/gide.md"]', "no such page: docs/gide.md"),
        ('["docs/guide.md", "docs/guide.md", "docs/runbooks/*.md"]', "in two parts: docs/guide.md"),
    ],
)
def test_a_page_without_a_place_and_a_place_without_a_page_are_told(root: Path, pages: str, sentence: str) -> None:
    with pytest.raises(NAVIGATION.NavigationError, match=sentence):
        parts_of(root, pages)


def test_a_build_without_a_place_for_a_page_says_so_in_a_line(root: Path) -> None:
    there = root / "docs" / "site"
    there.mkdir()
    for name in ("build.py", "check.py", "navigation.py"):
        shutil.copy(HERE / name, there)
    (there / "navigation.toml").write_text('[[part]]\ntitle = "All"\npages = ["docs/guide.md"]\n', encoding="utf-8")
    built = subprocess.run([sys.executable, there / "build.py"], capture_output=True, text=True, check=False)
    told = "navigation.toml: in no part: docs/runbooks/a.md, docs/runbooks/b.md\n"
    assert (built.returncode, built.stderr, built.stdout) == (1, told, "")


# ---------------------------------------------------------------------------------------------------- links

PAGE = '<h1 id="top">A</h1><p>{}</p>'
OTHER = '<link rel="stylesheet" href="../style.css"><h2 id="here">B</h2><a href="../index.html#top">A</a>'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of two pages in which everything leads somewhere."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(PAGE.format('<a href="sub/#here">B</a>'), encoding="utf-8")
    (tmp_path / "sub" / "index.html").write_text(OTHER, encoding="utf-8")
    (tmp_path / "style.css").write_text("body { background: url(data:image/png;base64,AA) }", encoding="utf-8")
    return tmp_path


def test_a_site_in_which_every_link_leads_somewhere_has_no_mistakes(site: Path) -> None:
    assert CHECK.mistakes(site) == []


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        ('<a href="sub/gone.html">x</a>', "leads to no file"),
        ('<a href="../outside.html">x</a>', "leads to no file"),
        ('<a href="sub/index.html#gone">x</a>', "leads to no anchor"),
        ('<a href="#gone">x</a>', "leads to no anchor"),
        ('<img src="gone.png">', "leads to no file"),
        ('<a href="https://no host/x">x</a>', "is no address"),
        ('<a href="https://">x</a>', "is no address"),
        ('<a href="ftp://host.org/x">x</a>', "has a scheme that no page uses"),
        ('<script src="https://cdn.example.org/mermaid.js"></script>', "is loaded from another host"),
        ('<link rel="preconnect" href="https://fonts.example.org">', "is loaded from another host"),
        ('<img src="//cdn.example.org/x.png">', "is loaded from another host"),
    ],
)
def test_each_kind_of_broken_link_is_found(site: Path, spoilt: str, sentence: str) -> None:
    (site / "index.html").write_text(PAGE.format(spoilt), encoding="utf-8")
    assert sentence in " ".join(CHECK.mistakes(site))


@pytest.mark.parametrize("rule", ["@import 'https://fonts.example.org/a.css';", "a { background: url(//x.org/a.png) }"])
def test_a_style_that_loads_from_another_host_is_found(site: Path, rule: str) -> None:
    (site / "style.css").write_text(rule, encoding="utf-8")
    assert "is loaded from another host" in " ".join(CHECK.mistakes(site))


def test_links_to_other_hosts_are_listed_once_each(site: Path) -> None:
    link = '<a href="https://example.org/a#b">x</a><a href="mailto:a@b.org">y</a>'
    (site / "index.html").write_text(PAGE.format(link + link), encoding="utf-8")
    assert CHECK.mistakes(site) == []
    assert CHECK.outside(site) == ["https://example.org/a#b"]
