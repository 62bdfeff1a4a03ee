"""What a page shows is harmless, also where the page forgot to escape it; and no verb shows anything in another way."""

import ast
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from headrace import broker, consumers
from headrace.broker.cli.screen import screen, show_beside, show_to_copy

HOSTILE = "gpt\x1b]0;owned\x07\x9b31m\u202e\u2028\ufeff\r\x08[red]x[/red][/] :skull:"
_ACTS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_DOORS = {"terminal.py", "screen.py"}
_OURS = {
    Path("cli/console.py"): {"sys.stderr.write"},
    Path("cli/dead_letters/verb.py"): {"sys.stdout.buffer.write"},
}
"""`show --raw` writes a value to a file or a pipe, and refuses a terminal; without typer there is no other way."""
_PRINTS = re.compile(r"(typer|click)\.s?echo|(\w+\.)*Console|sys\.std(out|err)\..*write.*")


def is_harmless(said: str) -> bool:
    return all(letter == "\n" or unicodedata.category(letter) not in _ACTS for letter in said)


@pytest.mark.parametrize("watched", [False, True])
def test_whatever_a_page_holds_does_nothing_to_a_terminal(*, watched: bool, capsys: pytest.CaptureFixture[str]) -> None:
    console = screen()
    console._force_terminal, console.width = watched, 400
    table = Table(HOSTILE, title=Text(HOSTILE))
    table.add_row(HOSTILE)
    for shown in (HOSTILE, Text(HOSTILE), table, Panel(Text(HOSTILE))):
        console.print(shown)
    show_beside(console, Text("caution  "), HOSTILE)
    show_to_copy(console, Text(HOSTILE))
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert is_harmless(said)
    assert said.count("[red]x[/red][/] :skull:") >= 6


def test_a_sentence_is_wrapped_for_a_person_and_one_line_for_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console = screen()
    console.width = 30
    sentence = "A sentence of more words than fit into thirty columns."
    show_beside(console, Text("caution  "), sentence)
    assert capsys.readouterr().out == f"caution  {sentence}\n"
    console._force_terminal = True
    show_beside(console, Text("caution  "), sentence)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) > 1
    assert lines[0].startswith("caution  A sentence")
    assert all(line.startswith(" " * 9) and len(line) <= 30 for line in lines[1:])


def _ways_out(path: Path) -> Iterator[str]:
    """Calls and constructions by which a module prints."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "print" or _PRINTS.fullmatch(called):
                yield called


@pytest.mark.slow
@pytest.mark.parametrize("package", [broker, consumers], ids=["broker", "consumers"])
def test_nothing_is_printed_but_through_the_two_modules_for_it(package: object) -> None:
    root = Path(next(iter(package.__path__)))  # type: ignore[attr-defined]  # a package has one
    found = {path.relative_to(root): set(_ways_out(path)) for path in root.rglob("*.py") if path.name not in _DOORS}
    assert {path: ways - _OURS.get(path, set()) for path, ways in found.items() if ways - _OURS.get(path, set())} == {}


def test_that_search_sees_each_way_out(tmp_path: Path) -> None:
    module = tmp_path / "verb.py"
    ways = ["print(x)", "typer.echo(x)", "click.secho(x)", "Console()", "console.Console(stderr=True)"]
    ways += ["sys.stdout.write(x)", "sys.stderr.buffer.write(x)", "sys.stdout.writelines(x)"]
    for way in ways:
        module.write_text(way)
        assert list(_ways_out(module)) == [way.partition("(")[0]]
