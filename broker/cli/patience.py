"""One-shot verbs try to reach Kafka for as long as `--timeout` says, and then say why it was not there."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from broker.errors import Unreachable

_T = TypeVar("_T")
_PAUSE_FIRST_S = 0.2
_PAUSE_MAX_S = 2.0


def hush_kafka() -> None:
    """Keep aiokafka's own complaints off a person's terminal: the verb says in one sentence what they mean."""
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())


async def within(
    timeout_s: float, ask: Callable[[], Awaitable[_T]], *, say: Callable[[Unreachable], None] | None = None
) -> _T:
    """What `ask` answers, asked again while Kafka is away; `say` is told once that it is.

    Raises:
        Unreachable: It was still away after `timeout_s`.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    pause_s = _PAUSE_FIRST_S
    while True:
        try:
            return await ask()
        except Unreachable as reason:
            if loop.time() + pause_s > until:
                raise
            if say is not None:
                say(reason)
                say = None
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_MAX_S)
