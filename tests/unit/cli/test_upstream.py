"""`headrace upstream` says what it cannot serve, before it serves anything."""

import pytest

from headrace.broker.cli.main import main


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["upstream", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err
    return told.err


@pytest.mark.parametrize("latency", ["soon", "4-1", "-1"])
def test_a_latency_that_is_none_is_said(latency: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "latency" in refusal(capsys, f"--latency={latency}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--stream-cut-rate", "0.6", "--stream-error-rate", "0.6"), "the rates of cut and of failing streams"),
        (("--behaviour", "bucket-6"), "there is no behaviour 'bucket-6'; did you mean 'bucket-6s'?"),
        (("--behaviours", "/nowhere.toml"), "/nowhere.toml cannot be read (No such file or directory)"),
    ],
)
def test_what_cannot_be_played_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refusal(capsys, *arguments)
    assert told.startswith(f"These options are not valid: {sentence}")
    assert told.count("\n") == 1


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upstream", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example: headrace upstream" in shown
    assert "--behaviour quantised-1s" in shown
