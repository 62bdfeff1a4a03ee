"""The process: delivers new outcomes, and every few minutes tries again what was put aside.

Two readers, so that an endpoint that is down cannot hold up the others. New outcomes have a few attempts within
seconds. What then remains is put aside in the topic `webhook.dead-letters`, and tried once in each later round until it
is `give_up_after` old; a round puts what fails again at the topic's end. Kafka's positions are committed only behind
outcomes that were delivered or put aside.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from headrace import KafkaConnection, Outcome, ResultReader, Unreachable
from headrace.broker.client_ports import ClientDoors
from webhook.delivery import Delivery, Pace, Post
from webhook.endpoints import Endpoints

GROUP = "webhook"
DEAD_LETTERS = "webhook.dead-letters"

_log = logging.getLogger("webhook")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How much is delivered at once, and how long an outcome is tried."""

    concurrency: int = 32
    pace: Pace = field(default_factory=Pace)
    again_every_s: float = 300.0
    give_up_after: timedelta = timedelta(days=3)


class Webhooks:
    """One process; several share the work, since they are one consumer group."""

    def __init__(
        self,
        connection: KafkaConnection | ClientDoors,
        endpoints: Endpoints,
        post: Post,
        *,
        topic_prefix: str = "generation",
        rules: Rules | None = None,
    ) -> None:
        """Prepare the process; `connection` is a `KafkaConnection`, or a `MemoryBroker`'s in a test."""
        self._connection = connection
        self._endpoints = endpoints
        self._post = post
        self._rules = rules or Rules()
        self._results = ResultReader(group=GROUP, connection=connection, topic_prefix=topic_prefix)
        self._put_aside: ResultReader | None = None

    def stop(self) -> None:
        """Let attempts under way end, and give back what waits for another attempt: for a signal handler."""
        self._results.stop()
        if self._put_aside is not None:
            self._put_aside.stop()

    async def run(self) -> None:
        """Deliver until `stop` was called.

        Raises:
            MissingTopic, Unreachable, RightsError, AuthenticationError: As Kafka says at the start.
        """
        again = asyncio.create_task(self._rounds(), name="again")
        try:
            async with self._results:
                await self._handle(self._results, self._delivery(self._rules.pace))
        finally:
            self.stop()
            await again

    def _delivery(self, pace: Pace) -> Delivery:
        return Delivery(self._endpoints, self._post, stopping=self._results.stopping, pace=pace)

    async def _handle(self, reader: ResultReader, handler: "Delivery | _Again") -> None:
        # `Delivery` has made all attempts when it raises. A second one by the reader is left for what it does not
        # expect, and lets `Interrupted` give the outcome back instead of putting it aside.
        await reader.handle(handler, dead_letters=DEAD_LETTERS, attempts_max=2, concurrency=self._rules.concurrency)

    async def _rounds(self) -> None:
        stopping = self._results.stopping
        while True:
            try:
                await asyncio.wait_for(stopping.wait(), self._rules.again_every_s)
            except TimeoutError:
                await self._round()
            else:
                return

    async def _round(self) -> None:
        """Try once what was put aside before now."""
        delivery = _Again(self._delivery(Pace(attempts_max=1)), self._rules.give_up_after)
        reader = ResultReader(group=f"{GROUP}-again", connection=self._connection, topic=DEAD_LETTERS, follow=False)
        self._put_aside = reader
        try:
            async with reader:
                await self._handle(reader, delivery)
        except Unreachable as reason:
            _log.warning("this round is left out: %s", reason)
        finally:
            self._put_aside = None


class _Again:
    """The handler of what was put aside: as `Delivery`, until an outcome is too old."""

    def __init__(self, delivery: Delivery, give_up_after: timedelta) -> None:
        self._delivery = delivery
        self._give_up_after = give_up_after

    async def __call__(self, outcome: Outcome) -> None:
        finished_at = outcome.timings.finished_at or outcome.timings.submitted_at
        if finished_at is None or datetime.now(UTC) - finished_at > self._give_up_after:
            _log.error("given up, run %d of %s: its endpoint did not take it in time", outcome.run, outcome.id)
            return
        await self._delivery(outcome)
