"""The entry point: one sentence and the right exit code, whatever happens."""

import os
import subprocess
import sys
from importlib import import_module

import pytest

from broker.cli.main import main
from broker.cli.verbs import VERBS, Verb

_HERE = "tests.unit.cli.verbs_that_fail"
_FAILING = tuple(
    Verb(name.replace("_", "-"), f"{_HERE}:{name}", "A way to end.")
    for name in ("quiet", "unreachable", "surprised", "interrupted", "differs", "in_a_group", "several")
)
_ABSENT = Verb("absent", "tests.unit.cli.no_such_module:verb", "Never loaded.")


@pytest.mark.parametrize(
    ("argv", "code", "error"),
    [
        (["quiet"], 0, ""),
        (["differs"], 1, ""),
        (["unreachable"], 3, "headrace: Kafka does not answer at localhost:9092.\n"),
        (["in-a-group"], 3, "headrace: Redis does not answer.\n"),
        (["surprised"], 1, "headrace: unexpected: KeyError: 'x' (run with --debug to see the traceback)\n"),
        (["quiet", "--colour"], 2, "headrace: No such option: --colour.\n"),
        (["quie"], 2, "headrace: No such command 'quie'. Did you mean 'quiet'?\n"),
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


@pytest.mark.parametrize("argv", [[], ["--help"]])
def test_help_lists_every_verb_and_loads_none(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv, (*_FAILING, _ABSENT)) == 0
    listed = capsys.readouterr().out
    assert all(verb.name in listed for verb in (*_FAILING, _ABSENT))


def test_another_verb_that_cannot_be_loaded_disturbs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quiet"], (*_FAILING, _ABSENT)) == 0
    assert capsys.readouterr().out == "done\n"


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("headrace ")


def test_help_goes_without_anything_heavy() -> None:
    heavy = "pydantic openai redis aiokafka tiktoken aiohttp prometheus_client"
    before = _cpu_s_of_children()
    loaded, shown = _loaded(["--help"], heavy)
    assert loaded == set()
    assert "\x1b" not in shown
    assert _cpu_s_of_children() - before < 1  # 0.14 s on a quiet machine; users are promised 0.4 s


@pytest.mark.parametrize("verb", ["results", "submit"])
def test_a_producer_or_reader_loads_nothing_of_the_dispatcher(verb: str) -> None:
    assert _loaded([verb, "--help"], "openai redis tiktoken prometheus_client")[0] == set()


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_of_the_table_is_there(verb: Verb) -> None:
    module, _, attribute = verb.target.partition(":")
    assert hasattr(import_module(module), attribute)


def _loaded(argv: list[str], names: str) -> tuple[set[str], str]:
    """Which of `names` a process has imported after `headrace argv`, and what it printed."""
    code = (
        f"import sys\nfrom broker.cli.main import main\ncode = main({argv!r})\n"
        f"print(*({set(names.split())!r} & sys.modules.keys()), file=sys.stderr)\nsys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ended.stderr.split()), ended.stdout


def _cpu_s_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system
