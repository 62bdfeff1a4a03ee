"""How many outcomes all leaders have published, by kind: each line of the ledger says it, so a failover forgets none.

A leader counts on from the last line that it has read or written. The figure of a line is committed together with the
outcomes that it counts, so it is exact; lines of a release that says none leave it as it was.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from broker.core.commands import Batch, Complete, Decision, Fail, Form, Withdraw
from broker.core.ticket import TicketNumber
from broker.service.short_forms import fails_instead
from schemas.ledger import LedgerRecord

KINDS_MAX: Final = 32
KIND_CHARS_MAX: Final = 40
"""Bounds of what another release may have written; all reasons of this one are fewer and shorter."""


class Totals:
    """Counts by kind: `completed`, or the reason of a failure.

    Attributes:
        counts: As of the last line.
    """

    def __init__(self) -> None:
        self.counts: Mapping[str, int] = {}

    def heard(self, line: LedgerRecord) -> None:
        """A line was read, or one of our own was committed."""
        if line.totals:
            known = ((kind, count) for kind, count in line.totals.items() if len(kind) <= KIND_CHARS_MAX and count >= 0)
            self.counts = dict(sorted(known)[:KINDS_MAX])

    def after(self, batch: Batch, crashed: Collection[TicketNumber] = ()) -> dict[str, int]:
        """What they are once the batch is committed; `crashed` are Failed though something else was decided."""
        counts = Counter(self.counts)
        for settlement in batch.settlements:
            kind = _kind(settlement.decision, crashed=settlement.number in crashed)
            if kind is not None and settlement.form is not Form.LETTER:
                counts[kind] += 1
        if batch.overdue:
            counts["deadline_exceeded"] += len(batch.overdue)
        return dict(counts)


def _kind(decision: Decision, *, crashed: bool) -> str | None:
    """What an outcome counts as; None where the decision publishes none."""
    if crashed and fails_instead(decision):
        return "crashed"
    match decision:
        case Complete():
            return "completed"
        case Fail():
            return decision.reason
        case Withdraw():
            return "cancelled"
        case _:
            return None
