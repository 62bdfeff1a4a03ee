"""Words for persons stay rare in the prose of the product: requests, calls, tokens and processes are "it".

Counted: each match of `PERSON` in the docstrings, comments and strings of the Python files, and in the whole text of
the other files, that `git ls-files` would list below `COUNTED`, but for `NOT_PROSE`. A person may be "who": an
operator, a producer's team, the reader of a page. The ceiling is the count of the day it was last lowered; it never
rises.
"""

import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PERSON: Final = re.compile(r"\b(?:who|whoever|nobody|somebody|everybody)\b", re.IGNORECASE)
CEILING: Final = 6
COUNTED: Final = (
    "broker", "consumers", "schemas", "examples", "helm", "docs", "README.md", "DESIGN.md", "CONTRIBUTING.md",
    "CHANGELOG.md", "Dockerfile", "Makefile", "compose.yaml", "pyproject.toml",
)  # fmt: skip
PROSE_SUFFIXES: Final = frozenset({".json", ".lua", ".md", ".py", ".toml", ".tpl", ".txt", ".yaml", ""})
NOT_PROSE: Final = frozenset(
    {
        "broker/cli/demo/prompt.py",  # the demo's prompt: part of its requests, which are priced by its length
        "broker/simulator/phrases.py",  # e-mails that the simulated model writes
    }
)
_SPOKEN: Final = frozenset({"COMMENT", "STRING", "FSTRING_MIDDLE"})


def files() -> Iterator[Path]:
    """The files that are counted; data (`.csv`, `.jsonl`) and what a build leaves are not."""
    for name in COUNTED:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            place = file.relative_to(ROOT)
            is_hidden = any(part.startswith((".", "__pycache__")) for part in place.parts)
            if file.is_file() and not is_hidden and file.suffix in PROSE_SUFFIXES and str(place) not in NOT_PROSE:
                yield file


def prose_of(source: str) -> str:
    """The docstrings, comments and other strings of a Python file; its names are not prose."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join(token.string for token in tokens if tokenize.tok_name[token.type] in _SPOKEN)


def counts() -> Counter[str]:
    """Matches by file."""
    found: Counter[str] = Counter()
    for file in files():
        text = file.read_text()
        number = len(PERSON.findall(prose_of(text) if file.suffix == ".py" else text))
        found.update({str(file.relative_to(ROOT)): number} if number else {})
    return found


@pytest.mark.slow
def test_requests_and_processes_are_not_spoken_of_as_persons() -> None:
    found = counts()
    by_file = "\n".join(f"{number:4} {name}" for name, number in found.most_common())
    assert found.total() <= CEILING, f"name the thing instead of a person ({found.total()} > {CEILING}):\n{by_file}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""Who waits."""\n', 1),
        ("x = 1  # nobody asks\n", 1),
        ('say(f"{x} for whoever asks: everybody, Somebody")\n', 3),
        ("who = nobody\n", 0),
        ('"""The whole; whose and whom; nobodys."""\n', 0),
    ],
)
def test_docstrings_comments_and_messages_are_counted_and_names_are_not(source: str, expected: int) -> None:
    assert len(PERSON.findall(prose_of(source))) == expected


def test_pages_charts_and_every_package_are_counted() -> None:
    suffixes: dict[str, set[str]] = {}
    for file in files():
        suffixes.setdefault(file.relative_to(ROOT).parts[0], set()).add(file.suffix)
    assert suffixes.keys() == set(COUNTED)
    assert {".md", ".py"} <= suffixes["docs"]
    assert {".yaml", ".tpl", ".txt", ".json"} <= suffixes["helm"]
    assert {".py", ".lua"} <= suffixes["broker"]
