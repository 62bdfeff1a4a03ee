"""Time limits of a one-shot verb that waits for Kafka or Redis: `--timeout` at most, and never in silence.

What a client library does within that time is its own affair; some of it, such as closing a connection that has gone
silent, takes many seconds more. So each attempt is a task, which is abandoned when the time is over. So is the thread
of a name look-up, which cannot be cancelled: the process ends without it.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import node_count
from headrace.broker.cli.terminal import say
from headrace.broker.client_ports import ClientDoors
from headrace.broker.errors import LogUnavailable, Unreachable

_T = TypeVar("_T")
SILENT_S: Final = 1.0
"""Silence after which a line on standard error says what the verb waits for."""
CLOSING_S: Final = 0.3
"""Time that a failed attempt has to close what it has opened."""
_PAUSE_FIRST_S = 0.2
_PAUSE_MAX_S = 2.0
FOR_EVER_S: Final = float("inf")
"""A timeout of `within`: wait until there is an answer."""
_TOLD_MAX_S: Final = 10 * 86_400.0
"""Longest wait with an end given as a time of day; a later end may lie beyond the calendar."""


def hush_kafka() -> None:
    """Keep aiokafka's own log messages off the terminal: the verb says in one sentence what they mean."""
    for name in ("aiokafka", "asyncio"):  # asyncio reports abandoned connections
        logging.getLogger(name).addHandler(logging.NullHandler())


def run_verb(main: Coroutine[Any, Any, _T]) -> _T:
    """Run as `asyncio.run` does, but hush Kafka's library and wait for no threads at the end."""
    hush_kafka()
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_Unawaited())
        return runner.run(main)


class _Unawaited(ThreadPoolExecutor):
    """Executor of threads that end with the process: a name look-up may take a minute where no name server answers."""

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> "Future[_T]":
        """Start a thread for each function: a verb submits few."""
        future: Future[_T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:  # noqa: BLE001  # it is raised where the result is waited for
                    future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Return at once; no thread is waited for."""


class Closable(Protocol):
    """An object that is closed at the end."""

    async def close(self) -> None: ...  # noqa: D102  # see the class


@asynccontextmanager
async def closing(held: Closable) -> AsyncIterator[None]:
    """Close it at the end, without a long wait where Kafka is away and nothing can be delivered."""
    try:
        yield
    except BaseException as error:
        if not _is_away(error):
            await held.close()
            raise
        in_vain = asyncio.create_task(held.close(), name="close")
        if not (await asyncio.wait({in_vain}, timeout=CLOSING_S))[0]:
            await _left_behind(in_vain)
        raise
    else:
        await held.close()


def _is_away(error: BaseException) -> bool:
    """Return whether the error says that Kafka is away; one such error of a task group is enough."""
    if isinstance(error, BaseExceptionGroup):
        return any(_is_away(each) for each in error.exceptions)
    return isinstance(error, Unreachable | LogUnavailable)


async def reach_kafka(connection: KafkaConnection | ClientDoors, timeout_s: float) -> None:
    """Wait until Kafka answers and accepts the connection, so that the next steps do not wait for an absent service.

    Raises:
        Unreachable: It was away for `timeout_s`.
        AuthenticationError, SettingsError: As `headrace.broker.adapters.kafka.connection.explain_unreachable`.
    """
    if isinstance(connection, KafkaConnection):
        await within(timeout_s, lambda: node_count(connection), place=kafka_at(connection))


def kafka_at(connection: KafkaConnection | ClientDoors) -> str:
    """Name the Kafka that is meant, for messages."""
    return f"Kafka at {connection.bootstrap_servers}" if isinstance(connection, KafkaConnection) else "Kafka"


async def within(timeout_s: float, ask: Callable[[], Awaitable[_T]], *, place: str, otherwise: str | None = None) -> _T:
    """Return the answer of `ask`, which is called again while there is none.

    After one second a line on standard error says what is waited for, and until when.

    Args:
        timeout_s: Time limit for all attempts; `FOR_EVER_S`: until there is an answer.
        ask: Raises Unreachable while there is no answer.
        place: What is waited for, as `Kafka at localhost:9092`.
        otherwise: The error message after `timeout_s` if no attempt has given a reason.

    Raises:
        Unreachable: It was still away after `timeout_s`, held to a fraction of a second.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    pause_s, reason = _PAUSE_FIRST_S, None
    with _telling(place, timeout_s) as told:
        while True:
            asking = asyncio.ensure_future(ask())
            try:
                left_s = None if timeout_s == FOR_EVER_S else max(0.0, until - loop.time())
                await asyncio.wait({asking}, timeout=left_s)
            finally:
                if not asking.done():
                    await _left_behind(asking)
            if asking.cancelled() or not asking.done():
                silence = f"{place} did not answer within {timeout_s:g} s: check its address and the network."
                raise reason or Unreachable(otherwise or silence)
            try:
                return asking.result()
            except Unreachable as away:
                reason = told.reason = away
                if loop.time() + pause_s > until:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)


async def _left_behind(task: "asyncio.Future[Any]") -> None:
    """Cancel the task, and give it a moment to end; its result or error is ignored."""
    task.add_done_callback(lambda late: late.cancelled() or late.exception())
    task.cancel()
    await asyncio.wait({task}, timeout=CLOSING_S)


class _FailureReason:
    """The reason why there is no answer, as far as it is known."""

    reason: Unreachable | None = None


@contextmanager
def _telling(place: str, timeout_s: float) -> Iterator[_FailureReason]:
    """Report after one second what the verb waits for."""
    told = _FailureReason()
    at = datetime.now().astimezone()

    def tell() -> None:
        if timeout_s > _TOLD_MAX_S:
            until = "until it answers; Ctrl-C stops this"
        else:
            until = f"until {at + timedelta(seconds=timeout_s):%H:%M:%S} (--timeout {timeout_s:g})"
        say(f"Waiting for {place}, {until}. {told.reason or 'It has not answered yet.'}", err=True)

    waiting = asyncio.get_running_loop().call_later(SILENT_S, tell) if timeout_s > SILENT_S else None
    try:
        yield told
    finally:
        if waiting is not None:
            waiting.cancel()
