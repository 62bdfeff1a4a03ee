"""Whatever strangers write, a terminal only shows it."""

import json
import re
import unicodedata
from pathlib import Path

import pytest

from headrace.broker.cli.main import main
from headrace.broker.cli.results import _as_line
from headrace.broker.cli.terminal import safe, safe_bytes, say, say_json, short, wrapped
from headrace.schemas.outcome import Failed
from tests.unit.cli.on_a_terminal import on_a_terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, [red] and all", "plain text, [red] and all"),
        ("Zürich 漢字 €", "Zürich 漢字 €"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("gpt\u202etxt\u200b\ufeff", r"gpt\u202etxt\u200b\ufeff"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("\u2028", r"\u2028"),
    ],
)
def test_what_is_no_letter_is_named_by_its_escape(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_nothing_harmful_passes_whatever_it_is() -> None:
    for code in range(0x10000):
        if unicodedata.category(letter := chr(code))[0] in "CZ" and letter.isprintable() is False:
            assert len(safe(letter)) > 1 or unicodedata.category(letter) == "Zs", hex(code)


def test_lines_and_tabs_may_be_kept() -> None:
    assert safe("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


def test_bytes_that_are_no_text_are_shown_as_bytes() -> None:
    assert safe_bytes(b"ok \xff\xfe \x1b[2J") == r"ok \xff\xfe \x1b[2J"


def test_a_long_text_says_that_there_was_more() -> None:
    assert (short("abcde", 5), short("abcdef", 5)) == ("abcde", "abcd…")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("No more than twenty.", "No more than twenty."),
        ("One word more than twenty.", "One word more than\ntwenty."),
        ("Run `headrace topics create`, then start it.", "Run\n`headrace topics create`,\nthen start it."),
        ("a-name-that-is-much-longer-than-that is", "a-name-that-is-much-longer-than-that\nis"),
        ("  indented, and longer than that", "  indented, and\n  longer than that"),
        ("a ` that stands alone ` and ` again", "a\n` that stands alone `\nand ` again"),
        ("", ""),
    ],
)
def test_a_sentence_is_wrapped_at_words_and_commands_stay_whole(line: str, shown: str) -> None:
    assert wrapped(line, 20) == shown


@pytest.mark.slow
def test_a_sentence_fits_a_terminal_and_is_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    typed = ("results", "--from", "yesterday at noon")
    code, shown = on_a_terminal(typed, 40, out=False)
    told = shown.splitlines()
    assert code == 2
    assert len(told) > 1
    assert max(map(len, told)) <= 40
    assert main(list(typed)) == 2
    assert " ".join(told) + "\n" == capsys.readouterr().err


HOSTILE = "gpt\x1b]0;owned\x07\x9b31m\u202e\u2028\ufeff"


def is_harmless(said: str) -> bool:
    return all(letter in "\n\t" or unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Zl"} for letter in said)


def test_what_is_said_is_harmless_and_json_the_same_for_a_parser(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"{HOSTILE}\n\tmore")
    assert is_harmless(capsys.readouterr().out)
    say_json({HOSTILE: [HOSTILE, "\ud800"]})
    said = capsys.readouterr().out
    assert is_harmless(said)
    assert json.loads(said) == {HOSTILE: [HOSTILE, "\ud800"]}


@pytest.mark.parametrize("verb", ["check", "show"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_hostile_settings_file_does_nothing_to_a_terminal(
    verb: str, form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = json.dumps(HOSTILE)
    for toml in (
        f"[limits.{name}]\nmodels = [{name}]",
        f"[limits]\n{name} = 1",
        f"[kafka]\n{name} = {name}",
        f"[lanes.{name}]",
    ):
        config = tmp_path / "headrace.toml"
        config.write_text(toml)
        main(["config", verb, *form, "--config", str(config), "--debug"])
        said = capsys.readouterr()
        assert said.out + said.err
        assert is_harmless(said.out), toml
        assert is_harmless(said.err), toml


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("key", ["message", "code", "type", "param"])
def test_a_hostile_answer_is_explained_harmlessly(
    key: str, form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = tmp_path / "answer.json"
    answer.write_text(
        json.dumps({"status": 429, "headers": {}, "body": {"error": {key: HOSTILE, "code": "x"} | {key: HOSTILE}}})
    )
    assert main(["explain", str(answer), *form]) == 0
    assert is_harmless(re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out))


def test_an_outcome_in_one_line_is_one_line() -> None:
    failed = Failed(id="a", reason="rejected", message=f"No.\nfaked line{HOSTILE}", model=HOSTILE)
    assert safe(_as_line(failed)).isprintable()
