"""Runs shell blocks of the pages in a sandbox, as far as they need no service; all other commands are at least read.

A command of ours that needs nothing but files is run by its real console entry. Every other command of ours is parsed
by its real parser, so that each verb, option and file in it exists, also of one that runs in a container; of `make` the
target does, of `export` the variable, of `python -m` the module. What is not ours (`docker`, `kcat`, …) is left to the
test that the block's comment names.
"""

import os
import re
import shlex
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import typer
from typer.main import get_command

from headrace.broker.cli.main import main
from headrace.broker.cli.verbs import VERBS, assemble
from headrace.broker.settings.known import group_at, known_keys
from tests.unit.pages.blocks import ROOT, Block

OFFLINE = (("config",), ("explain",), ("schemas",), ("gateway", "key"))
"""Verbs that need neither Kafka nor Redis, and end by themselves at once."""
EXAMPLES = (ROOT / "examples", ROOT / "examples" / "recipes")
"""The folders in which `python -m` finds an example."""
OPENAIS_OWN = {"OPENAI_BASE_URL", "OPENAI_API_KEY"}
SEPARATORS = {"&&", "|", ";", "<", ">"}


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its words, and the variables set before it."""

    words: tuple[str, ...]
    variables: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether it is the console script."""
        return self.words[:1] == ("headrace",)

    @property
    def is_offline(self) -> bool:
        """Whether it can be run here."""
        return self.is_ours and any(self.words[1 : 1 + len(verb)] == verb for verb in OFFLINE)

    @property
    def is_harmless(self) -> bool:
        """Whether there is nothing to run in it: it sets variables."""
        return not self.words or self.words[0] == "export"


def commands(block: Block) -> list[Command]:
    """The commands of a block, in order; what is piped into a command stands before it."""
    found: list[Command] = []
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in SEPARATORS:
                words.append(word)
                continue
            if words:
                found.append(_command(words))
            words = []
    return found


def _command(words: list[str]) -> Command:
    count = next((at for at, word in enumerate(words) if not re.match(r"[A-Za-z_]\w*=", word)), len(words))
    return Command(tuple(words[count:]), tuple(words[:count]))


def check(command: Command) -> None:
    """That all that is ours in the command exists. Raises what the parser raises, or AssertionError."""
    named = command.words[1:] if command.words[:1] == ("export",) else command.variables
    for name in (each.partition("=")[0] for each in named):
        assert name in OPENAIS_OWN or not name.startswith(("HEADRACE", "OPENAI")) or is_setting(name), name
    if (ours := inside(command)) is not None:
        parse(ours)
    elif command.words[:1] == ("make",):
        target = command.words[1]
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), target
    elif command.words[:2] == ("python", "-m"):
        module = command.words[2]
        assert any((home / module).is_dir() for home in EXAMPLES) or find_spec(module), module
        files = [word for word in command.words[3:] if re.fullmatch(r"[\w/]+\.(csv|jsonl|toml)", word)]
        assert all(any((home / name).is_file() for home in EXAMPLES) for name in files), files


def inside(command: Command) -> list[str] | None:
    """The words behind `headrace` of a command of ours, here or in a container; None of any other command."""
    words = list(command.words)
    if words[:1] == ["kubectl"] and "--" in words:
        words = words[words.index("--") + 1 :]
    if words[:1] == ["headrace"]:
        return words[1:]
    if words[:3] == ["docker", "compose", "run"]:
        service = next(word for word in words[3:] if not word.startswith("-"))
        assert f"\n  {service}:" in (ROOT / "compose.yaml").read_text(encoding="utf-8"), service
        return words[words.index(service) + 1 :]
    return None


def is_setting(variable: str) -> bool:
    """Whether the variable sets something."""
    path = tuple(variable.removeprefix("HEADRACE_").lower().split("__"))
    return group_at(path) is not None or path in known_keys(path[:-1])


def parse(words: list[str]) -> None:
    """Read the words as the console script does, and do nothing."""
    app = typer.Typer()
    assemble(app, VERBS, words[0])
    found = get_command(app)
    context = found.make_context("headrace", list(words))
    for _ in words:
        left = [*context._protected_args, *context.args]  # as the group itself takes them
        if not left and getattr(found, "invoke_without_command", False):
            return
        name, verb, rest = found.resolve_command(context, left)  # type: ignore[attr-defined]  # a group's
        assert verb is not None, words
        found, context = verb, verb.make_context(name, rest, parent=context)
        if not hasattr(verb, "resolve_command"):
            return


def run(command: Command, sandbox: Path) -> int:
    """Run it for real in the sandbox; its exit code."""
    before = Path.cwd()
    os.chdir(sandbox)
    try:
        return main(list(command.words[1:]))
    finally:
        os.chdir(before)
