"""Probe of Kafka by this process, bounded in time, whatever is wrong with the probe itself.

A leader, a standby and a retrier probe each second. A defect of the probe is logged and counts as no answer: it ends
neither a term nor a standby.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from headrace.broker.errors import LogUnavailable, MissingTopic
from headrace.broker.service.containment import said

PROBE_WITHIN_S: Final = 1.5
PROBE_EVERY_MS: Final = 1_000
"""Interval of a standby, and of a leader that commits nothing."""

Observed = Callable[[str, BaseException], None]
"""Reports an exception of code that only observes: `Containment.observed`, or `said` where nothing counts."""


class Reach(Protocol):
    """Source of knowledge on whether this process reaches Kafka."""

    @property
    def reached_ms(self) -> int:
        """When something was last read."""

    async def reaches_kafka(self) -> bool:
        """Whether all that a promotion needs answers now: a producer could start, and all be read. Never raises."""


async def answers(look: Callable[[], Awaitable[object]], *, observed: Observed = said) -> bool:
    """Whether `look` returns in time; it raises LogUnavailable or MissingTopic where Kafka gives no useful answer."""
    try:
        async with asyncio.timeout(PROBE_WITHIN_S):
            await look()
    except (TimeoutError, LogUnavailable, MissingTopic):
        return False
    except Exception as error:  # noqa: BLE001 — of any kind: see above
        observed("kafka_probe", error)
        return False
    return True
