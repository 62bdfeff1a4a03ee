"""A wait is told after a second, ends when it should, and is held by nothing that a library does meanwhile."""

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import looptime
import pytest

from headrace.broker.cli.main import main
from headrace.broker.cli.patience import CLOSING_S, SILENT_S, closing, run_verb, within
from headrace.broker.cli.verbs import VERBS as VERBS_THERE_ARE
from headrace.broker.errors import LogUnavailable, Unreachable

_T = TypeVar("_T")


class Kafka:
    def __init__(self, away_for: int) -> None:
        self.asked = 0
        self._away_for = away_for

    async def answer(self) -> str:
        self.asked += 1
        if self.asked <= self._away_for:
            raise Unreachable("No Kafka listens.")
        return "here"


def waited(timeout_s: float, ask: Callable[[], Awaitable[_T]]) -> tuple[_T | Unreachable, float]:
    """What came of it, and after how many seconds of the loop."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        loop = runner.get_loop()
        try:
            found: _T | Unreachable = runner.run(within(timeout_s, ask, place="Kafka at k:9092"))
        except Unreachable as reason:
            found = reason
        return found, loop.time()


def test_kafka_is_asked_again_and_its_absence_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    kafka = Kafka(away_for=5)
    found, _ = waited(60, kafka.answer)
    assert (found, kafka.asked) == ("here", 6)
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith("Waiting for Kafka at k:9092, until ")
    assert told.endswith(" (--timeout 60). No Kafka listens.")


def test_who_is_answered_within_a_second_hears_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    found, took_s = waited(60, Kafka(away_for=2).answer)
    assert (found, took_s < SILENT_S) == ("here", True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e12])
def test_a_wait_for_ever_says_so(timeout_s: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert waited(timeout_s, Kafka(away_for=9).answer)[0] == "here"
    assert "until it answers; Ctrl-C stops this. No Kafka listens." in capsys.readouterr().err


def test_patience_ends_in_time_with_the_reason() -> None:
    kafka = Kafka(away_for=10_000)
    found, took_s = waited(10, kafka.answer)
    assert str(found) == "No Kafka listens."
    assert took_s <= 10
    assert kafka.asked >= 5


def test_an_attempt_that_never_ends_does_not_hold_the_wait(capsys: pytest.CaptureFixture[str]) -> None:
    async def stubborn() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1_000)
        await asyncio.sleep(12)  # as a client that closes a connection over which nothing comes
        return "late"

    async def left() -> float:
        with pytest.raises(Unreachable, match=r"Kafka did not answer within 3 s: check its address"):
            await within(3, stubborn, place="Kafka")
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        assert 3 <= runner.run(left()) <= 3 + CLOSING_S
    assert "It has not answered yet." in capsys.readouterr().err


def test_closing_is_not_waited_for_where_kafka_is_away() -> None:
    class Held:
        closed = 0

        async def close(self) -> None:
            await asyncio.sleep(3)
            self.closed += 1

    async def left(error: Exception) -> float:
        with contextlib.suppress(type(error)):
            async with closing(held):
                raise error
        return asyncio.get_running_loop().time()

    away: Exception = LogUnavailable("away")
    group = ExceptionGroup("tasks", [ValueError("a consequence"), away])
    for error, least_s, most_s in ((away, 0, 2 * CLOSING_S), (group, 0, 2 * CLOSING_S), (ValueError("ours"), 3, 3)):
        held = Held()
        with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
            assert least_s <= runner.run(left(error)) <= most_s
        assert held.closed == (error.__class__ is ValueError)


def test_no_thread_is_waited_for_at_the_end() -> None:
    async def looked_up() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.to_thread(time.sleep, 3)

    began = time.monotonic()
    run_verb(looked_up())
    assert time.monotonic() - began < 2


def test_what_a_thread_answers_or_raises_is_passed_on() -> None:
    async def asked() -> tuple[int, str]:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(lambda: 7), "done"

    assert run_verb(asked()) == (7, "done")


# ---------------------------------------------------------------------------------------------------- the verbs


@pytest.fixture
def frozen() -> Iterator[str]:
    """A port that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


LATE_S = 1.5
"""A busy machine may take a second and a half; before, each verb took three to forty-five seconds more."""
VERBS = (
    "topics check",
    "topics create",
    "results",
    "dead-letters list",
    "dead-letters show x",
    "dead-letters replay --yes",
    "dead-letters replay --yes --dry-run",
    "submit FILE",
    "submit FILE --wait",
    "cancel x",
    "cancel x --wait",
    "status",
    "status --id x",
    "status --url PLACE",
)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_kafka_and_redis_that_say_nothing_hold_no_verb_beyond_its_timeout(
    verb: str, frozen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text('{"id": "x", "body": {"model": "m", "messages": []}}\n')
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", frozen)
    monkeypatch.setenv("HEADRACE_REDIS__URL", f"redis://{frozen}/0")
    monkeypatch.setenv("HEADRACE_DISPATCHER__HTTP_PORT", frozen.rpartition(":")[2])
    words = verb.replace("FILE", str(file)).replace("PLACE", frozen).split()
    for each in VERBS_THERE_ARE:
        if each.name == words[0]:
            import_module(each.target.partition(":")[0])  # which takes time of its own
    began = time.monotonic()
    assert main([*words, "--timeout", "1.2"]) == 3
    assert time.monotonic() - began < 1.2 + LATE_S
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("headrace: ")
    assert "--url" in words or said[0].startswith("Waiting for ")
    assert len(said) <= 2


def test_status_with_nothing_running_says_at_once_how_to_start_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"), ("REDIS__URL", "redis://127.0.0.1:1/0")):
        monkeypatch.setenv(f"HEADRACE_{name}", value)
    monkeypatch.setenv("HEADRACE_DISPATCHER__HTTP_PORT", "1")
    began = time.monotonic()
    assert main(["status"]) == 3
    assert time.monotonic() - began < 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "headrace: No Headrace runs here. No Redis listens at 127.0.0.1:1: start it, or check redis.url. No "
        "dispatcher listens at http://127.0.0.1:1 either. To try it on this machine: `headrace local up`, then "
        "`headrace topics create` and `headrace dispatcher`. If it runs elsewhere, set redis.url, or name a "
        "dispatcher with --url http://HOST:PORT.\n"
    )


def test_ctrl_c_while_kafka_is_waited_for_says_what_is_sent_and_leaves_with_130(
    frozen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "leads.jsonl"
    file.write_text('\n{"id": "x", "body": {"model": "m", "messages": []}}\n')
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", frozen)
    import_module("headrace.broker.cli.submit")
    interrupt = threading.Timer(0.7, signal.raise_signal, [signal.SIGINT])
    interrupt.start()
    assert main(["submit", str(file)]) == 130
    interrupt.join()
    said = capsys.readouterr().err
    assert "Interrupted: 0 of 1 are certainly sent. To continue, begin with line 1: `tail -n +1 " in said
    assert f"`tail -n +1 {file} | headrace submit -`, with the same options. A line with an id is safe" in said
    assert len(said.splitlines()) <= 2  # a slow machine may tell of the wait before
