"""`-h` of every verb: no word of a library, nothing cut, no line wider than the terminal."""

from importlib import import_module

import pytest
import typer

from headrace.broker.cli.main import main
from headrace.broker.cli.verbs import VERBS
from tests.unit.cli.on_a_terminal import on_a_terminal


def every_page() -> list[str]:
    """All that can stand before `-h`."""
    pages = [""]
    for verb in VERBS:
        module, _, attribute = verb.target.partition(":")
        offered = getattr(import_module(module), attribute)
        pages.append(verb.name)
        if isinstance(offered, typer.Typer):
            pages += pages_below(verb.name, offered)
    return pages


def pages_below(path: str, group: typer.Typer) -> list[str]:
    """All that can stand before `-h` behind the words of a group."""
    names = [each.name or getattr(each.callback, "__name__", "") for each in group.registered_commands]
    pages = [f"{path} {name}" for name in names]
    for each in group.registered_groups:
        assert each.typer_instance is not None
        pages += [f"{path} {each.name}", *pages_below(f"{path} {each.name}", each.typer_instance)]
    return pages


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("page", every_page())
def test_help_is_whole_and_in_our_words(
    page: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*page.split(), "-h"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= columns
    assert "<" not in shown.replace("<=x<=", "").replace("x<=", "")  # <int range>, <path>: types of Python
    assert "...\n" not in shown.replace(
        "}...", ""
    )  # a summary that is cut; {ID}... is an argument that may be repeated
    assert "[[" not in shown.replace("[[behaviour]]", "")


def test_a_long_description_takes_the_width_there_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = []
    for columns in ("80", "120", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        main(["demo", "-h"])
        widths.append(max(map(len, capsys.readouterr().out.splitlines())))
    assert 70 < widths[0] <= 80
    assert 110 < widths[1] <= 120
    assert widths[2] == widths[1]


@pytest.mark.slow
def test_a_terminal_gets_the_same_page_as_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["local", "-h"]) == 0
    piped = capsys.readouterr().out
    code, shown = on_a_terminal(("local", "-h"), 80, out=True)
    assert code == 0
    assert shown == piped
    assert "headrace[local]" in " ".join(shown.split())
