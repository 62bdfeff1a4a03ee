"""How a replay is asked for: what is refused before anything is connected."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
import typer

from headrace.broker.cli.dead_letters.replaying import _deadline, _known_lane, _lanes, _needs, _per_s, _run
from headrace.broker.cli.main import main
from headrace.broker.errors import Unreachable
from headrace.broker.settings.whole import Settings
from headrace.consumers.replays.job import ReplayRequest
from headrace.consumers.replays.replay import ReplayRules
from tests.unit.consumers.replays.rig import World
from tests.virtual_time import VIRTUAL_TIME

NOWHERE = ("--bootstrap-servers", "127.0.0.1:1", "--timeout", "0.1")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Without a filter every dead letter would be put back: give"),
        (("--limit", "5"), "Without a filter every dead letter would be put back: give"),
        (("--new-id",), "Without a filter every dead letter would be put back: give"),
        (("--yes", "--rate", "0"), "'0' is not a rate: use 50, 90/min or 1200/h"),
        (("--yes", "--rate", "fast"), "'fast' is not a rate"),
        (("--yes", "--lane", "slow"), "There is no lane slow, only urgent, standard and bulk."),
        (("--since", "yesterday"), "a span such as 15m or 2h, or 2026-12-01T09:00:00Z"),
        (("--until", "yesterday"), "a span such as 15m or 2h"),
        (("--yes", "--deadline", "soon"), "a span such as 15m or 2h"),
        (("--yes", "--deadline", "2020-01-01T00:00:00Z"), "The deadline has passed"),
        (("--yes", "--limit", "0"), "--limit must be at least 1, not 0."),
        (("--reason", "rejectd"), "There is no reason rejectd, only invalid_request, rejected, "),
    ],
)
def test_what_cannot_be_meant_is_usage(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dead-letters", "replay", *NOWHERE, *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--yes"], ["--dry-run"], ["--reason", "rejected"], ["--tenant", "acme"]])
def test_without_kafka_it_is_exit_3_and_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dead-letters", "replay", *NOWHERE, *arguments]) == 3
    assert capsys.readouterr().err.startswith("headrace: No Kafka listens at 127.0.0.1:1")


@contextmanager
def listening() -> Iterator[tuple[str, threading.Event]]:
    """A port that takes connections and never answers, and whether a client has asked it something."""
    asked = threading.Event()

    def take() -> None:
        with suppress(OSError):
            while True:
                client, _ = port.accept()
                clients.append(client)
                if client.recv(1):
                    asked.set()

    clients: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as port:
        taking = threading.Thread(target=take)
        taking.start()
        yield f"127.0.0.1:{port.getsockname()[1]}", asked
        port.shutdown(socket.SHUT_RDWR)
        taking.join()
    for client in clients:
        client.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("arguments", [("--yes",), ("--dry-run",)])
def test_a_signal_while_it_looks_for_kafka_ends_it_at_once(
    number: signal.Signals, code: int, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with listening() as (address, asked):
        told = threading.Thread(target=lambda: os.kill(os.getpid(), number) if asked.wait(60) else None)
        told.start()
        assert main(["dead-letters", "replay", "--bootstrap-servers", address, "--timeout", "60", *arguments]) == code
        told.join()
    *waited, sentence = capsys.readouterr().err.splitlines()
    assert sentence == "headrace: Interrupted: nothing was written."
    assert all(line.startswith(f"Waiting for Kafka at {address}") for line in waited), "said after a second"


@pytest.mark.parametrize(("text", "per_s"), [("50", 50), ("0.5", 0.5), ("90/min", 1.5), ("1200/h", 1 / 3), ("2/s", 2)])
def test_a_rate_is_a_number_a_second_or_says_of_what(text: str, per_s: float) -> None:
    assert _per_s(text) == pytest.approx(per_s)


def test_a_deadline_stays_a_span_if_it_was_one() -> None:
    assert _deadline("2h") == timedelta(hours=2)
    assert _deadline("2999-01-01T00:00:00Z") == datetime(2999, 1, 1, tzinfo=UTC)


def test_lanes_have_the_deadlines_and_sizes_of_the_settings() -> None:
    lanes = _lanes(Settings(topics={"requests": {"max_message_bytes": 2_000_000}}))
    assert {name: lane.deadline.total_seconds() for name, lane in lanes.items()} == {
        "urgent": 3_600,
        "standard": 86_400,
        "bulk": 432_000,
    }
    assert {lane.bytes_max for lane in lanes.values()} == {2_000_000 - 1_024}


def test_only_the_lane_that_is_written_needs_a_right() -> None:
    rules = ReplayRules("generation", _lanes(Settings()))
    everywhere, there = _needs(rules, ReplayRequest()), _needs(rules, ReplayRequest(lane="bulk"))
    assert everywhere.write == tuple(f"generation.requests.{lane}" for lane in ("urgent", "standard", "bulk"))
    assert there.write == ("generation.requests.bulk",)
    assert there.read == ("generation.dead-letters", "generation.results")
    assert (there.name, there.group) == (
        "generation.replay",
        f"generation.replay.{ReplayRequest(lane='bulk').job('generation')}",
    )


@pytest.mark.slow
@VIRTUAL_TIME
@pytest.mark.parametrize("away", [True, False])
async def test_a_kafka_that_goes_away_or_a_second_replay_is_one_sentence_that_says_how_to_go_on(away: bool) -> None:  # noqa: FBT001  # a column
    world = World()
    for number in range(1_200):
        world.bury(f"a-{number}")
    run = world.replay()
    await run.work.open()
    going = asyncio.create_task(_run(run.work, "t"))
    await asyncio.sleep(1)
    if away:
        world.kafka.stop()
    else:
        await world.replay(per_s=1_000)()
    with pytest.raises(
        Unreachable, match=r"^Put back \d+ dead letters\. .*same command continues where this one stopped"
    ):
        await going


def test_a_lane_that_was_not_named_is_no_mistake() -> None:
    assert _known_lane(Settings(), None) is None
    with pytest.raises(typer.BadParameter):
        _known_lane(Settings(), "")
