"""The service: asks for an e-mail to every new lead, and writes down what comes back. It may die at any line.

- A lead is stored before it is asked for, and noted as asked only when Kafka has the request. If the service dies in
  between, it asks again with the same id: one call, one outcome.
- An outcome counts as handled when `_write` returns, that is when the store has it. If the service dies before, the
  outcome comes again, and the store recognises that it is not new.
- Another service may number its leads in the same way. Its outcomes must not be taken for this service's: `expected`
  tells them apart.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from headrace import (
    Completed,
    GenerationClient,
    KafkaConnection,
    LogUnavailable,
    Outcome,
    ResultReader,
    Submission,
    submission,
)
from headrace.broker.client_ports import ClientDoors
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import sent_as
from lead_ingest.leads import Lead, body_of, lead_of, request_id
from lead_ingest.store import Store

GROUP = "lead-ingest"
TENANT = "lead-ingest"
DEAD_LETTERS = "lead-ingest.dead-letters"
_AT_ONCE = 500
_LOOK_EVERY_S = 1.0


def expected(asked_id: str) -> Expectation | None:
    """Return what the outcome of an id must match, if the id has the form of this service's; otherwise None."""
    return None if lead_of(asked_id) is None else Expectation(asked_id, tenant=TENANT)


class LeadIngest:
    """One process of the service."""

    def __init__(
        self, store: Store, connection: KafkaConnection | ClientDoors, *, topic_prefix: str = "generation"
    ) -> None:
        """Prepare the service; `connection` is a `KafkaConnection`, or a `MemoryBroker`'s in a test."""
        self._store = store
        self._connection = connection
        self._prefix = topic_prefix
        self._results = ResultReader(group=GROUP, connection=connection, topic_prefix=topic_prefix, expected=expected)
        self._news = asyncio.Event()

    def add(self, leads: Iterable[Lead]) -> int:
        """Store leads; return how many were new."""
        return sum(self._store.add(lead) for lead in leads)

    def stop(self) -> None:
        """Finish what is in hand and end: for a signal handler."""
        self._results.stop()

    async def run(self, *, until_done: bool = False) -> None:
        """Ask and write until `stop` was called; with `until_done` until no lead is left without an outcome."""
        async with self._results:
            asking = asyncio.create_task(self._ask_and_watch(until_done=until_done), name="ask")
            try:
                await self._results.handle(self._write, dead_letters=DEAD_LETTERS)
            finally:
                asking.cancel()
                await asyncio.wait({asking})
            if not asking.cancelled():
                asking.result()

    def _client(self) -> GenerationClient:
        return GenerationClient(connection=self._connection, topic_prefix=self._prefix, source="lead-ingest")

    async def _ask_and_watch(self, *, until_done: bool) -> None:
        try:
            async with self._client() as generations:
                while True:
                    await self._ask(generations)
                    left = self._store.counts()
                    if until_done and not left["new"] and not left["asked"]:
                        return
                    self._news.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), _LOOK_EVERY_S)
        finally:
            self.stop()

    async def _ask(self, generations: GenerationClient) -> None:
        """Ask for all leads that were not asked for yet; what Kafka does not take now is left for the next look."""
        while leads := self._store.not_asked(_AT_ONCE):
            try:
                ids = {request_id(lead.id): lead.id for lead in leads}
                async for receipt in generations.submit_many(self._submission(lead) for lead in leads):
                    self._store.asked(ids[receipt.id])
            except LogUnavailable:
                return

    def _submission(self, lead: Lead) -> Submission:
        asked = {
            "id": request_id(lead.id),
            "tenant": TENANT,
            "body": body_of(lead),
            "template": "first-email",
        }
        return submission(asked, lane="urgent" if lead.urgent else "bulk", source="lead-ingest")

    async def _write(self, outcome: Outcome) -> None:
        lead_id = lead_of(sent_as(outcome))
        if lead_id is None:  # another service's: every group sees all outcomes
            return
        if not isinstance(outcome, Completed):
            self._store.failed(lead_id, outcome.run, str(outcome.reason), outcome.message)
        else:
            self._write_answer(lead_id, outcome)
        self._news.set()

    def _write_answer(self, lead_id: int, outcome: Completed) -> None:
        choice = outcome.response["choices"][0]
        if choice["message"].get("refusal") or choice["finish_reason"] == "content_filter":
            self._store.failed(lead_id, outcome.run, "refused", "The model would not write this e-mail.")
        elif choice["finish_reason"] == "length":
            self._store.failed(lead_id, outcome.run, "cut", "The e-mail did not fit max_tokens.")
        else:
            self._store.written(lead_id, outcome.run, choice["message"]["content"])
