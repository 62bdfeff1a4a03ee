"""Whether Kafka answers this process: asked within a bound, whatever is wrong with the asking.

A leader, a standby and a retrier ask each second. A defect of the question is logged and counts as no answer: it ends
neither a term nor a standby.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from broker.errors import LogUnavailable, MissingTopic
from broker.service.containment import said

PROBE_WITHIN_S: Final = 1.5
PROBE_EVERY_MS: Final = 1_000
"""Of a standby, and of a leader that commits nothing."""

Observed = Callable[[str, BaseException], None]
"""Takes note of an exception of what only looks: `Containment.observed`, or `said` where nothing counts."""


class Reach(Protocol):
    """What tells whether this process reaches Kafka."""

    @property
    def reached_ms(self) -> int:
        """When something was last read."""

    async def reaches_kafka(self) -> bool:
        """Whether all that a promotion needs answers now: a producer could start, and all be read. Never raises."""


async def answers(look: Callable[[], Awaitable[object]], *, observed: Observed = said) -> bool:
    """Whether `look` returns in time; it raises LogUnavailable or MissingTopic where Kafka answers nothing of use."""
    try:
        async with asyncio.timeout(PROBE_WITHIN_S):
            await look()
    except (TimeoutError, LogUnavailable, MissingTopic):
        return False
    except Exception as error:  # noqa: BLE001 — of any kind: see above
        observed("kafka_probe", error)
        return False
    return True
