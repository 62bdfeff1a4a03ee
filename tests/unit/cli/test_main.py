"""The entry point: one sentence and the right exit code, whatever happens."""

from importlib import import_module

import pytest

from headrace.broker.cli.main import main
from headrace.broker.cli.verbs import VERBS, Verb
from headrace.schemas.nearest import listed

_HERE = "tests.unit.cli.verbs_that_fail"
_FAILING = tuple(
    Verb(name.replace("_", "-"), f"{_HERE}:{name}", "A way to end.")
    for name in ("quiet", "unreachable", "surprised", "interrupted", "differs", "in_a_group", "several")
)
_ABSENT = Verb("absent", "tests.unit.cli.no_such_module:verb", "Never loaded.")


_NAMES = [verb.name for verb in _FAILING]
_TOO_MANY = "headrace: x y is one argument too many: see `headrace several first -h`.\n"


@pytest.mark.parametrize(
    ("argv", "code", "error"),
    [
        (["quiet"], 0, ""),
        (["differs"], 1, ""),
        (["unreachable"], 3, "headrace: Kafka does not answer at localhost:9092.\n"),
        (["in-a-group"], 3, "headrace: Redis does not answer.\n"),
        (["surprised"], 1, "headrace: unexpected: KeyError: 'x' (run with --debug to see the traceback)\n"),
        (["quiet", "--colour"], 2, "headrace: There is no option --colour: see `headrace quiet -h`.\n"),
        (["quiet", "--debg"], 2, "headrace: There is no option --debg: did you mean --debug?\n"),
        (["quie"], 2, f"headrace: There is no verb quie, only {listed(_NAMES)}: did you mean quiet?\n"),
        (["several", "second", "x"], 2, "headrace: COUNT must be a whole number, not x.\n"),
        (["several", "second"], 2, "headrace: COUNT is missing: see `headrace several second -h`.\n"),
        (["several", "first", "x", "y"], 2, _TOO_MANY),
        (["several", "first"], 0, ""),
    ],
)
def test_a_verb_ends_with_its_code_and_one_sentence(
    argv: list[str], code: int, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv, _FAILING) == code
    assert capsys.readouterr().err == error


def test_an_interrupt_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interrupted"], _FAILING) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("argv", [["--debug", "unreachable"], ["unreachable", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv, _FAILING) == 3
    error = capsys.readouterr().err
    assert error.startswith("Traceback")
    assert error.endswith("\nheadrace: Kafka does not answer at localhost:9092.\n")


def test_behind_two_dashes_debug_is_an_argument_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["several", "second", "--", "--debug"], _FAILING) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_group_without_a_verb_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["several"], _FAILING) == 2
    assert "Two verbs." in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_lists_every_verb_and_loads_none(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv, (*_FAILING, _ABSENT)) == 0
    listed = capsys.readouterr().out
    assert all(verb.name in listed for verb in (*_FAILING, _ABSENT))


@pytest.mark.parametrize("argv", [["several", "-h"], ["several", "second", "-h"]])
def test_a_short_flag_asks_for_help_too(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv, _FAILING) == 0
    assert "Usage: headrace several" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "offered"),
    [("headrace qui", "quiet"), ("headrace several sec", "second"), ("headrace several --he", "--help")],
)
def test_a_shell_completes_verbs_and_options(
    words: str, offered: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_HEADRACE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit) as ended:
        main([], _FAILING)
    assert ended.value.code == 0
    assert capsys.readouterr().out.split() == [offered]


def test_the_script_for_a_shell_can_be_had(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    with pytest.raises(SystemExit) as ended:
        main(["--show-completion", "zsh"], _FAILING)
    assert ended.value.code == 0
    assert "_HEADRACE_COMPLETE=complete_zsh" in capsys.readouterr().out


def test_another_verb_that_cannot_be_loaded_disturbs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quiet"], (*_FAILING, _ABSENT)) == 0
    assert capsys.readouterr().out == "done\n"


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("headrace ")


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_of_the_table_is_there(verb: Verb) -> None:
    module, _, attribute = verb.target.partition(":")
    assert hasattr(import_module(module), attribute)


@pytest.mark.parametrize(
    "verb",
    [
        "demo",
        "local up",
        "local down",
        "local status",
        "config check",
        "config show",
        "topics create",
        "topics check",
        "submit",
        "cancel",
        "results",
        "dead-letters list",
        "dead-letters show",
        "dead-letters replay",
        "status",
        "gateway key new",
        "gateway key rotate",
        "gateway key list",
        "gateway key check",
        "gateway key find",
        "explain",
        "simulate",
        "schemas export",
        "upstream",
    ],
)
def test_each_verb_that_tells_something_tells_it_to_machines_too(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb.split(), "--help"]) == 0
    assert "--json" in capsys.readouterr().out
