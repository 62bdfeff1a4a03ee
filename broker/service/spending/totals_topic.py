"""State of the totals topic: whether a transaction may write sums to it now.

An outcome must never wait for its sum. So the topic is looked at before it is written to and every few seconds after,
a transaction that hangs is given up once the topic is seen to be gone, and after a failure that may be the topic's the
next transaction leaves the sums out:

- Where Kafka names the topic as the one that refused, it rests for a minute, twice as long after each further refusal,
  an hour at most.
- Where the cause is not known, the next transaction decides. If it is committed without sums, the topic is suspected,
  and rests after the second time in a row. If it fails too, the cause lies elsewhere.

What is left out meanwhile is counted in memory and written later (`headrace.broker.spending.book`).
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.errors import LogUnavailable, ProducerDead
from headrace.broker.ports import ReplyTopics
from headrace.broker.service.preflight.probe import Observed
from headrace.broker.service.watched import watched

LOOK_EVERY_MS: Final = 5_000
FAILURES_MAX: Final = 2
REST_FIRST_MS: Final = 60_000
REST_MAX_MS: Final = 3_600_000
NOT_LOOKED_AT: Final = "has not been looked at yet"
MISSING: Final = "does not exist"

_log = structlog.get_logger("totals")


class TotalsTopic:
    """The totals topic of one dispatcher, as a writer sees it.

    Attributes:
        trouble: Why nothing can be written, as a predicate of the topic; empty if something can.
    """

    def __init__(self, door: ReplyTopics, name: str, clock: WallClock, observed: Observed) -> None:
        """`door` looks at topics and creates none; `observed` reports an exception of the look itself."""
        self.name = name
        self.trouble = NOT_LOOKED_AT
        self._door = door
        self._clock = clock
        self._observed = observed
        self._looked_ms: int | None = None
        self._rests_until_ms = 0
        self._rest_ms = 0
        self._refusal = ""
        self._failures = 0
        self._in_doubt = self._decides = self._written = False

    @property
    def is_writable(self) -> bool:
        """Whether the next transaction may write sums."""
        return not self.trouble and not self._in_doubt and self._clock.now_ms() >= self._rests_until_ms

    @property
    def hindrance(self) -> str | None:
        """Why sums are not written, as a predicate of the topic; None if they are, or only for the next transaction."""
        if self.trouble:
            return self.trouble
        return self._refusal if self._clock.now_ms() < self._rests_until_ms else None

    # ------------------------------------------------------------------ looking

    async def check(self) -> None:
        """Look at the topic, at intervals."""
        now_ms = self._clock.now_ms()
        if self._looked_ms is None or now_ms - self._looked_ms >= LOOK_EVERY_MS:
            self._looked_ms = now_ms
            await self._look()

    async def _look(self) -> bool:
        """Query the topic; return whether Kafka answered. If not, the former knowledge stands."""
        try:
            state = (await self._door.look([self.name]))[self.name]
        except LogUnavailable:
            return False
        except Exception as error:  # noqa: BLE001 — a topic that cannot be looked at costs its sums, and no outcome
            self._observed("totals", error)
            return False
        before, self.trouble = self.trouble, state.trouble
        if state.trouble and state.trouble != before:
            _log.warning("totals_off", topic=self.name, reason=state.trouble, mend=mend(state.trouble))
        elif before and not state.trouble:
            _log.info("totals_on", topic=self.name)
        return True

    # ------------------------------------------------------------------ transactions

    def begin(self, *, written: bool) -> None:
        """Note whether the transaction that begins writes sums."""
        self._written = written

    async def during(self, transact: Callable[[], Awaitable[None]]) -> None:
        """Make a transaction that calls `begin`; it is given up once the topic that it writes to is in trouble.

        Raises:
            ProducerDead: As the transaction does.
        """
        if self.is_writable:
            await watched(transact, self._seen_in_trouble)
        else:
            await transact()

    async def _seen_in_trouble(self) -> str:
        if not self._written or not await self._look():
            return ""
        return f"the totals topic {self.name} {self.trouble}." if self.trouble else ""

    def committed(self) -> None:
        """Note that the transaction's commit has returned."""
        if self._written:
            self._failures = self._rest_ms = 0
            return
        if self._in_doubt and self._decides:
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                self._rest("made transactions fail that wrote to it")
        self._in_doubt = False

    def failed(self, error: ProducerDead) -> bool:
        """Note that the transaction has failed; return whether Kafka names this topic as the cause."""
        if not self._written:
            self._decides = False
            return False
        if error.topic not in {None, self.name}:
            return False
        self._in_doubt, self._decides = True, error.topic is None and not self.trouble
        if error.topic is None:
            return False
        self._rest("refused a record" if not error.is_denial else "was denied to us")
        return True

    def _rest(self, refusal: str) -> None:
        self._refusal = refusal
        self._rest_ms = min(REST_MAX_MS, 2 * self._rest_ms or REST_FIRST_MS)
        self._rests_until_ms = self._clock.now_ms() + self._rest_ms
        _log.error("totals_off", topic=self.name, reason=refusal, seconds=self._rest_ms // 1_000, mend=mend(refusal))


def mend(trouble: str) -> str:
    """Return what an operator does about it: a clause; empty if it is only a matter of seconds."""
    if trouble == NOT_LOOKED_AT:
        return ""
    if trouble == MISSING:
        return "create it with `headrace topics create`"
    return "look at it with `headrace topics check`"
