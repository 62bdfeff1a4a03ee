"""The fenced blocks of the pages: where each stands, what it is written in, and what the comment above it says.

The line above a block may be a comment for its reader:

- `<!-- examples/producer.py -->`: it is that file, word by word.
- `<!-- not run: it needs a cluster -->`: why no test runs it.
- `<!-- run by tests/chart/test_readme.py -->`: the test that runs it.
- `<!-- line: install.package; not run: … -->`: it is that line of docs/lines.toml.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
TOP = ("README.md", "DESIGN.md", "CHANGELOG.md", "CONTRIBUTING.md", "helm/headrace/README.md")
PAGES = tuple(
    sorted([*(ROOT / name for name in TOP), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
)
_FENCE = re.compile(r"^( *)(`{3,}|~{3,})([^\n]*)\n(.*?)^\1\2[ ]*$", re.MULTILINE | re.DOTALL)
_NOTE = re.compile(
    r"<!-- (?:line: (?P<source>[\w.]+)(?:; )?)?"
    r"(?:not run: (?P<excuse>.+?)|run by (?P<runner>\S+)|(?P<file>\S+))? ?-->\n$"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page.

    Attributes:
        page: The page's path below the project's root.
        line: The line of its first word.
        kind: What stands behind the fence: `sh`, `python`, …; empty if nothing does.
        text: What is between the fences.
        excuse: Why it is not run; empty if nothing is said.
        runner: The test file that runs it; empty if none is named.
        file: The file that it quotes; empty if it quotes none.
        source: The line of docs/lines.toml that it is; empty if it is none.
    """

    page: str
    line: int
    kind: str
    text: str
    excuse: str = ""
    runner: str = ""
    file: str = ""
    source: str = ""

    def __str__(self) -> str:
        """Where it stands, for the name of a test."""
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """The blocks of one page, in order."""
    for found in _FENCE.finditer(text):
        above = text.rfind("<!--", 0, found.start())
        note = _NOTE.fullmatch(text, above, found.start()) if above >= 0 else None
        yield Block(
            page=page,
            line=text.count("\n", 0, found.start()) + 2,
            kind=found[3].strip(),
            text=found[4],
            **{name: said or "" for name, said in (note.groupdict() if note else {}).items()},
        )


def blocks() -> list[Block]:
    """The blocks of all pages."""
    return [
        block for page in PAGES for block in blocks_of(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))
    ]


def of_kind(*kinds: str) -> list[Block]:
    """The blocks of these kinds."""
    return [block for block in blocks() if block.kind in kinds]
