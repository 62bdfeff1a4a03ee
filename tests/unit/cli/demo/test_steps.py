"""The lines before the curtain rises."""

import io

import pytest
from rich.console import Console

from headrace.broker.cli.demo.steps import Steps


def steps(*, terminal: bool) -> tuple[Steps, io.StringIO]:
    output = io.StringIO()
    return Steps(Console(file=output, force_terminal=terminal, width=100)), output


def test_a_step_is_told_once_it_is_done() -> None:
    told, output = steps(terminal=False)
    with told.doing("Kafka starts", "a real Kafka"):
        assert output.getvalue() == ""
    assert output.getvalue().startswith("✓ a real Kafka (0.")


def test_a_step_that_fails_is_not_told_as_done() -> None:
    told, output = steps(terminal=False)
    with pytest.raises(OSError, match="no room"), told.doing("Kafka starts", "a real Kafka"):
        raise OSError("no room")
    assert output.getvalue() == ""


def test_the_one_download_is_announced() -> None:
    told, output = steps(terminal=False)
    with told.doing("Kafka starts", "a real Kafka"):
        told.fetched(0, 2)
        assert output.getvalue() == "fetching Kafka (first start only): 2 jars …\n"
        told.fetched(1, 2)
        told.fetched(2, 2)
    assert len(output.getvalue().splitlines()) == 2


def test_in_a_terminal_it_has_a_bar() -> None:
    told, output = steps(terminal=True)
    with told.doing("Kafka starts", "a real Kafka"):
        told.fetched(1, 2)
    told.stopping()
    told.stopped()
    for text in ("Kafka starts", "fetching Kafka (first start only)", "━", "a real Kafka", "stopping Kafka"):
        assert text in output.getvalue()
