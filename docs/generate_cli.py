"""Writes docs/reference/cli.md from the verbs themselves: usage, description, arguments, options.

    python docs/generate_cli.py

Nothing is written here but the page's head: what is wrong with a sentence of the page is mended at its verb. A test
compares the file with what this script would write.
"""
# ruff: noqa: INP001  # a script beside the pages it writes, imported by its test alone

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer
from typer.main import get_command

from headrace.broker.cli.help_page import SETTINGS, WHICH_VERB, GroupPage
from headrace.broker.cli.verbs import VERBS, assemble

PAGE: Final = Path(__file__).parent / "reference" / "cli.md"

HEAD: Final = """# The verbs of `headrace`

<!-- Written by docs/generate_cli.py from the verbs. Change them, and run `make reference`. -->

Each verb has `-h` or `--help`, which prints what stands here. Before the verb, `--debug` shows the traceback of
an error; instead of one, `--version` shows the version, and `--install-completion` installs shell completion.
What a verb ends with is in [the table of exit codes](../operators.md#exit-codes); where a setting comes from
that no option states is in [Settings](../settings.md).

| verb | |
|---|---|
"""


def page() -> str:
    """The whole page."""
    found = list(_verbs())
    rows = [
        f"| [`headrace {path}`](#{_anchor(f'headrace {path}')}) | {_cell(verb.get_short_help_str(10_000))} |\n"
        for path, verb in found
    ]
    return HEAD + "".join(rows) + "".join(_section(path, verb) for path, verb in found)


def _verbs() -> Iterator[tuple[str, Any]]:
    """Each verb that can be called, with the words that call it."""
    for verb in VERBS:
        app = typer.Typer(rich_markup_mode=None, cls=GroupPage, subcommand_metavar=WHICH_VERB)
        assemble(app, VERBS, verb.name)
        loaded = get_command(app).commands[verb.name]  # type: ignore[attr-defined]  # a group's
        yield from _callable(verb.name, loaded)


def _callable(path: str, verb: Any) -> Iterator[tuple[str, Any]]:
    """The verb, or of a group the verbs in it; a group that does something by itself stands before them."""
    if not hasattr(verb, "commands") or verb.invoke_without_command:
        yield path, verb
    for name, each in getattr(verb, "commands", {}).items():
        if not each.hidden:
            yield from _callable(f"{path} {name}", each)


def _section(path: str, verb: Any) -> str:
    """Heading, usage, description and tables of one verb."""
    context = verb.make_context(path, [], resilient_parsing=True, **SETTINGS)
    usage = " ".join(verb.collect_usage_pieces(context))
    told = [f"\n## `headrace {path}`\n\n`headrace {path} {usage}`\n"]
    told += [f"\n{_paragraph(each)}\n" for each in re.split(r"\n\s*\n", verb.help.strip())]
    arguments = [each for each in verb.get_params(context) if each.param_type_name == "argument"]
    options = [each for each in verb.get_params(context) if each.param_type_name == "option" and not each.hidden]
    told += _table("argument", [_record(each, context) for each in arguments])
    told += _table("option", [_record(each, context) for each in options if "--help" not in each.opts])
    return "".join(told)


def _paragraph(text: str) -> str:
    """A paragraph of the help as Markdown: one line, an example as code, nothing taken for markup."""
    flat = " ".join(text.split())
    if flat.startswith("Example: "):
        return f"Example: `{flat.removeprefix('Example: ')}`"
    return _plain(flat)


_WORDS: Final = re.compile(r"(?<![\w`./-])(--[a-z][\w-]*|[a-z]+\.[a-z]+(?:_[a-z]+)+|HEADRACE_[A-Z_]+)(?!\w)")
"""Options, settings and variables in running text."""


def _plain(text: str) -> str:
    return _WORDS.sub(r"`\1`", text).replace("<", "&lt;").replace("*", "\\*")


def _record(parameter: Any, context: Any) -> tuple[str, str, str]:
    """Name, meaning, and default or bounds."""
    record = parameter.get_help_record(context)
    name, told = record or (parameter.name, "")
    if parameter.param_type_name == "argument":
        name = parameter.display_name_raw
    meaning, _, rest = told.partition("  [")
    return name, meaning, _bounds(rest.removesuffix("]"))


def _bounds(text: str) -> str:
    """Default and bounds, in words: `default: 60; 1<=x<=500` is `default: 60; 1 to 500`."""
    for pattern, words in (
        (r"(\S+)<=x<=(\S+)", r"\1 to \2"),
        (r"x>=(\S+)", r"at least \1"),
        (r"x<=(\S+)", r"at most \1"),
    ):
        text = re.sub(pattern, words, text)
    return text


def _table(kind: str, rows: list[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return []
    lines = [f"| `{_cell(name)}` | {_cell(_plain(meaning))} | {_cell(bounds)} |\n" for name, meaning, bounds in rows]
    return [f"\n| {kind} | meaning | default, bounds |\n|---|---|---|\n", *lines]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
