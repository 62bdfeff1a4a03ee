"""Translation of a batch of decisions into the records, offsets and ledger line of one Kafka transaction.

An exception while the records of one settlement are made concerns that settlement alone, which is published in a short
form (`headrace.broker.service.publishing.short_forms`).
"""

import contextlib
from collections.abc import Mapping
from dataclasses import replace

from headrace.broker.clock import WallClock
from headrace.broker.core import commands
from headrace.broker.core.requests.transactions import failed_instead
from headrace.broker.core.ticket import TicketNumber
from headrace.broker.ports import Outgoing, StoredOffset, TopicPartition
from headrace.broker.service.payloads import PayloadStore
from headrace.broker.service.publishing.ledger_steps import LedgerSteps
from headrace.broker.service.publishing.records import SettlementRecords
from headrace.broker.service.publishing.short_forms import ShortForms, fails_instead
from headrace.broker.service.spending.bookkeeping import Bookkeeping
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerRecord
from headrace.schemas.request_codec import DecodedRequest


class Publication:
    """Maker of the records of one term's transactions.

    Attributes:
        crashed: Tickets that the last batch turned into Failed.
    """

    def __init__(  # noqa: PLR0913 — four of them keyword-only
        self,
        hold: PayloadStore,
        clock: WallClock,
        *,
        settlements: SettlementRecords,
        short_forms: ShortForms,
        steps: LedgerSteps,
        bookkeeping: Bookkeeping,
    ) -> None:
        """Of each transaction, `settlements` and `short_forms` make the outcomes, `bookkeeping` the sums over them."""
        self.crashed: frozenset[TicketNumber] = frozenset()
        self._hold = hold
        self._clock = clock
        self._settlements = settlements
        self._short_forms = short_forms
        self._steps = steps
        self._bookkeeping = bookkeeping

    @property
    def line(self) -> LedgerRecord:
        """The ledger line of the last batch."""
        return self._steps.line

    def begin(self, topic_ids: Mapping[str, str]) -> None:
        """Begin or resume a term: the next batch stores every partition of these topics."""
        self._steps.begin(topic_ids)
        self._bookkeeping.begin()

    def records(self, batch: commands.Batch, term: int) -> list[Outgoing]:
        """Make everything the batch writes: outcomes and what belongs to them, their sums, and the ledger line last."""
        now = self._clock.utc_now()
        outgoing: list[Outgoing] = []
        self.crashed = frozenset()
        for settlement in batch.settlements:
            try:
                outgoing.extend([*self._settlements.of(settlement, self._hold[settlement.number], term, now)])
            except Exception as error:  # noqa: BLE001 — a defect in one outcome must hold up no other
                cargo = self._hold[settlement.number]
                outgoing.extend(self._short_forms.of(settlement, cargo, error, term=term, now=now))
                if fails_instead(settlement.decision):
                    self.crashed |= {settlement.number}
        for overdue in batch.overdue:
            outgoing.extend(self._settlements.overdue(overdue, term, now))
        if self.crashed:
            batch = replace(batch, settled=failed_instead(batch.settled, set(map(self._key, self.crashed))))
        step = self._steps.record(batch, term, now, self.crashed)
        return [*outgoing, *self._bookkeeping.lines(outgoing, now), step]

    def reply_topics(self, batch: commands.Batch) -> set[str]:
        """Return the producers' own topics that receive copies of the batch's outcomes."""
        found = set()
        for settlement in batch.settlements:
            match settlement.decision:
                case commands.Complete() | commands.Fail() | commands.Discard(returned=True) if (
                    settlement.form in commands.WITH_CONTENT
                ):
                    with contextlib.suppress(Exception):  # whatever it is, `records` meets it too
                        found.add(self._settlements.reply_topic(self._hold[settlement.number]) or "")
                case _:
                    pass
        return found - {""}

    def offsets(self, batch: commands.Batch) -> dict[TopicPartition, StoredOffset]:
        """Return the offsets of the group once the batch is committed."""
        return self._steps.offsets(batch)

    def _key(self, number: TicketNumber) -> tuple[bytes, int]:
        """Return the request's key in the ledger."""
        content = self._hold[number].content
        assert isinstance(content, DecodedRequest)  # noqa: S101 — programmer error: only requests are called or parked
        return id_hash(content.request.id), content.run
