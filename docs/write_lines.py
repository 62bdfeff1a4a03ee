"""Writes the lines of docs/lines.toml into every page and example that repeats one.

    python docs/write_lines.py

Of an import the module changes, and lines of one module become one, so an example may need `make format` behind it;
of a block below a comment `<!-- line: install.package -->` all of it does. Inline install lines are named by a test,
and changed by hand.
"""
# ruff: noqa: INP001  # a script beside the pages it writes, imported by its test alone

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LINES: Final = Path(__file__).with_name("lines.toml")
_IMPORT = re.compile(r"^( *)from (\w[\w.]*) import ([\w, ]+)$", re.MULTILINE)
_BESIDE = re.compile(r"^( *)from (\w[\w.]*) import ([\w, ]+)\n\1from \2 import ([\w, ]+)$", re.MULTILINE)
_BLOCK = re.compile(r"(<!-- line: ([\w.]+)[^\n]*-->\n```\w+\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def modules() -> dict[str, str]:
    """Each name, and the module that it is imported from."""
    return {name: module for module, names in _read("imports").items() for name in names}


def install_lines() -> dict[str, str]:
    """Each way to install, and its line."""
    return dict(_read("install"))


def _read(table: str) -> Mapping[str, str]:
    found: Mapping[str, str] = tomllib.loads(LINES.read_text(encoding="utf-8"))[table]
    return found


def files() -> list[Path]:
    """The pages and examples."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted([*pages, *(ROOT / "examples").rglob("*.py")])


def rewritten(text: str, imports: Mapping[str, str], install: Mapping[str, str]) -> str:
    """The text with each line as it should be.

    Raises:
        KeyError: A block names a line that there is not.
    """

    def imported(found: re.Match[str]) -> str:
        by_module: dict[str, list[str]] = {}
        for name in found[3].split(", "):
            by_module.setdefault(imports.get(name, found[2]), []).append(name)
        return "\n".join(f"{found[1]}from {module} import {', '.join(names)}" for module, names in by_module.items())

    def joined(found: re.Match[str]) -> str:
        names = {*found[3].split(", "), *found[4].split(", ")}
        ordered = sorted(names, key=lambda name: (name[0].islower(), name))  # as ruff does
        return f"{found[1]}from {found[2]} import {', '.join(ordered)}"

    text = _IMPORT.sub(imported, text)
    while (fewer := _BESIDE.sub(joined, text)) != text:
        text = fewer
    return _BLOCK.sub(lambda found: f"{found[1]}{install[found[2].removeprefix('install.')]}\n", text)


def main() -> int:
    """Write what differs; names the files that did."""
    for path in files():
        text = path.read_text(encoding="utf-8")
        wanted = rewritten(text, modules(), install_lines())
        if wanted != text:
            path.write_text(wanted, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
