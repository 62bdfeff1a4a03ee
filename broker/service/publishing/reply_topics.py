"""Copies of outcomes to producers' own reply topics, and the handling of a topic that is in trouble.

An outcome is always in the results. A request that names an allowed `reply_to` has a copy there, in the same
transaction; so a topic that cannot be written would fail the outcomes of all requests. Therefore each topic is checked
right before a transaction that would write to it, and a copy that cannot be written is dropped: its outcome says so in
a header. Should a topic become unwritable in between, the transaction is aborted as soon as that is seen, and made
again without it. And where two transactions in a row with copies for a topic fail though no fault of it can be seen,
while all others pass, it is left alone for a minute; after that one more failure is enough, for twice as long.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

import structlog

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.errors import LogUnavailable, ProducerDead
from headrace.broker.ports import ReplyTopic, ReplyTopics
from headrace.broker.service.containment import Containment
from headrace.broker.service.watched import watched
from headrace.schemas.record import Record

FRESH_MS = 50
GLANCE_EVERY_MS = 10_000
LOOKS_MAX = 3
FAILURES_MAX = 2
BARRED_FIRST_MS = 60_000
BARRED_MAX_MS = 3_600_000
SAID_EVERY_MS = 60_000

_log = structlog.get_logger("replies")


@dataclass(slots=True)
class _TopicState:
    """Knowledge of one topic; `failures` counts transactions in a row, `sent` and `dropped` count copies so far."""

    state: ReplyTopic | None = None
    seen_ms: int = 0
    failures: int = 0
    barred_until_ms: int = 0
    barred_for_ms: int = 0
    sent: int = 0
    dropped: int = 0
    said_ms: int | None = None


class Replies:
    """Reply topics of one dispatcher."""

    def __init__(self, door: ReplyTopics, allowed: Collection[str], *, meter: Meter, clock: WallClock) -> None:
        """A topic that is not in `allowed` gets no copy, and is not checked."""
        self._door = door
        self._meter = meter
        self._containment = Containment(meter, clock)
        self._clock = clock
        self._topics = {topic: _TopicState() for topic in allowed}
        self._glanced_ms: int | None = None
        self._sent: list[str] = []
        self._dropped: list[tuple[str, str]] = []

    def serves(self, topic: str | None) -> bool:
        """Whether outcomes are copied to that topic."""
        return topic in self._topics

    # ------------------------------------------------------------------ one transaction

    async def during(self, topics: Collection[str], transact: Callable[[], Awaitable[None]]) -> None:
        """Make a transaction whose outcomes have copies for `topics`; `transact` asks `hindrance` for each of them.

        Raises:
            ProducerDead: As the transaction does. Its copies are not counted, since the transaction is made again.
        """
        self._sent, self._dropped = [], []
        if not topics:
            await transact()
            return
        await self._check(topics)
        try:
            await watched(transact, self._seen_in_trouble)
        except ProducerDead as error:
            await self._doubt(error)
            raise
        self._account()

    def hindrance(self, topic: str, record: Record, *, copied: bool = True) -> str:
        """Return why the copy is not written; empty if it is.

        If not `copied`, this very outcome was refused with its copy.
        """
        known = self._topics[topic]
        why = self._trouble(known) if copied else "refused the copy"
        if not why and known.state is not None and record.bytes_max > known.state.bytes_max:
            why = "takes no record so large"
        if why:
            self._dropped.append((topic, why))
        else:
            self._sent.append(topic)
        return why

    def _trouble(self, known: _TopicState) -> str:
        if known.state is None:
            return "could not be looked at"
        if not known.state.trouble and self._clock.now_ms() < known.barred_until_ms:
            return "failed the transactions that wrote to it"
        return known.state.trouble

    def _account(self) -> None:
        for topic in self._sent:
            known = self._topics[topic]
            known.sent, known.failures, known.barred_for_ms = known.sent + 1, 0, 0
            self._meter.reply_copies(topic, "sent", 1)
        for topic, why in self._dropped:
            self._topics[topic].dropped += 1
            self._meter.reply_copies(topic, "dropped", 1)
            self._say_dropped(topic, why)

    async def _seen_in_trouble(self) -> str:
        """Return which topic that the transaction writes to is in trouble; empty if none is, or Kafka is silent."""
        sent = set(self._sent)
        if await self._look(sent):
            for topic in sorted(sent):
                if trouble := self._trouble(self._topics[topic]):
                    return f"the reply topic {topic} {trouble}."
        return ""

    async def _doubt(self, error: ProducerDead) -> None:
        """Blame the topics for a failed transaction with copies, unless Kafka does not answer at all.

        Where the error names the topic that refused a record, no other is blamed.
        """
        sent = set(self._sent) if error.topic is None else {error.topic}.intersection(self._sent)
        if not sent or not await self._look(sent):
            return
        if any(self._trouble(self._topics[topic]) for topic in sent):
            return  # the fault is known; from now on copies for that topic are dropped
        for topic in sent:
            known = self._topics[topic]
            known.failures += 1
            if known.failures >= FAILURES_MAX:
                known.barred_for_ms = min(BARRED_MAX_MS, 2 * known.barred_for_ms or BARRED_FIRST_MS)
                known.barred_until_ms = self._clock.now_ms() + known.barred_for_ms

    # ------------------------------------------------------------------ checking of topics

    async def _check(self, topics: Collection[str]) -> None:
        """Check the topics not checked within `FRESH_MS`; more than once only if nothing is known of one."""
        now_ms = self._clock.now_ms()
        old = [topic for topic in topics if self._topics[topic].state is None or self._is_old(topic, now_ms)]
        for _ in range(LOOKS_MAX):
            if not old or await self._look(old) or all(self._topics[topic].state for topic in old):
                return

    def _is_old(self, topic: str, now_ms: int) -> bool:
        return now_ms - self._topics[topic].seen_ms >= FRESH_MS

    async def _look(self, topics: Collection[str]) -> bool:
        """Query the topics; return whether Kafka answered. If not, the former knowledge stands."""
        try:
            found = await self._door.look(sorted(topics))
        except LogUnavailable:
            return False
        except Exception as error:  # noqa: BLE001 — a topic that cannot be checked costs its copies, no outcome
            self._containment.observed("replies", error)
            return False
        now_ms = self._clock.now_ms()
        for topic, state in found.items():
            known = self._topics[topic]
            before = known.state.trouble if known.state else ""
            known.state, known.seen_ms = state, now_ms
            if state.trouble and state.trouble != before:
                _log.warning("reply_topic_unusable", topic=topic, reason=state.trouble)
            elif before and not state.trouble:
                _log.info("reply_topic_usable", topic=topic)
        return True

    def _say_dropped(self, topic: str, why: str) -> None:
        """Log once a minute per topic, however many copies are dropped."""
        known, now_ms = self._topics[topic], self._clock.now_ms()
        if known.said_ms is None or now_ms - known.said_ms >= SAID_EVERY_MS:
            _log.warning("reply_copies_dropped", topic=topic, reason=why, dropped=known.dropped)
            known.said_ms = now_ms

    # ------------------------------------------------------------------ status

    async def check_all(self) -> None:
        """Check all topics every `GLANCE_EVERY_MS`, so that a fault shows before it costs a copy."""
        now_ms = self._clock.now_ms()
        if self._topics and (self._glanced_ms is None or now_ms - self._glanced_ms >= GLANCE_EVERY_MS):
            self._glanced_ms = now_ms
            await self._look(self._topics)

    def shown(self) -> dict[str, Any]:
        """Return the state of each topic for `/status`; `trouble` is null while copies are written."""
        return {
            topic: {
                "trouble": None if known.state is None else self._trouble(known) or None,
                "sent": known.sent,
                "dropped": known.dropped,
            }
            for topic, known in self._topics.items()
        }

    async def close(self) -> None:
        """Close the door."""
        await self._door.close()
