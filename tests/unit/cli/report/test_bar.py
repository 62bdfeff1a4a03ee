"""Progress: a bar on a terminal, and nothing elsewhere."""

import pytest

from headrace.broker.cli.report.bar import ReadingBar
from tests.unit.cli.on_a_terminal import on_a_terminal


def test_without_a_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with ReadingBar(quiet=False) as bar:
        bar.expect(10)
        bar.pass_by(10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_quiet_is_quiet_on_a_terminal() -> None:
    """Kafka is away: what is written is one sentence, and with a bar there would be more."""
    away = ["report", "--bootstrap-servers", "127.0.0.1:1", "--timeout", "0.2"]
    code, quiet = on_a_terminal([*away, "--quiet"], 100, out=False)
    assert (code, "reading" in quiet) == (3, False)
    _, shown = on_a_terminal(away, 100, out=False)
    assert "reading" in shown
