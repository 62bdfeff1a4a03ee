from datetime import UTC, datetime, timedelta

import pytest
import typer

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.cli.main import main
from headrace.broker.cli.results import _as_line, _start
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed, Failed, Timings, Usage

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


def test_a_start_is_a_word_a_span_or_an_instant() -> None:
    assert (_start("earliest"), _start("latest")) == ("earliest", "latest")
    assert _start("2026-01-02T03:04:05.678Z") == NOW
    assert _start("2026-01-02T04:04:05.678+01:00") == NOW
    spanned = _start("90m")
    assert isinstance(spanned, datetime)
    assert abs(datetime.now(UTC) - timedelta(minutes=90) - spanned) < timedelta(seconds=5)


@pytest.mark.parametrize("text", ["yesterday", "2026-01-02T03:04:05", "15", ""])
def test_any_other_start_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="earliest, latest"):
        _start(text)


def test_an_outcome_is_one_line_for_a_person() -> None:
    completed = Completed(
        id="a",
        run=1,
        lane="bulk",
        model="m",
        response={},
        usage=Usage(total_tokens=7),
        timings=Timings(finished_at=NOW),
    )
    assert _as_line(completed, at=NOW) == "2026-01-02T03:04:05.678Z  a#1  bulk  -  m  completed  7 tokens"
    assert _as_line(Failed(id="a", reason="rejected", message="No.")) == "-  a  -  -  -  failed (rejected)  No."


@pytest.mark.parametrize("manner", [["--from", "earliest"], ["--follow", "--from", "earliest", "--limit", "1"]])
def test_an_outcome_that_states_no_end_shows_the_time_of_its_record(
    manner: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kafka = MemoryKafka(lambda: int(NOW.timestamp() * 1_000))
    kafka.create("generation.results", 1)
    kafka.append("generation.results", encode_outcome(Failed(id="a", reason="cancelled", message="No."), time=NOW))
    doors = MemoryClientDoors(kafka, KafkaLink(kafka))
    monkeypatch.setattr(KafkaConnection, "of", lambda settings: doors)
    assert main(["results", *manner]) == 1
    assert capsys.readouterr().out == "2026-01-02T03:04:05.678Z  a  -  -  -  failed (cancelled)  No.\n"
