"""Outcomes published by all leaders, counted by kind; each step of the ledger carries them, so a failover keeps them.

A leader counts on from the last step that it has read or written. The count is committed together with the outcomes
that it counts, so it is exact, but for one gap: steps of an older release carry no count, so its outcomes are missing.
A claim passes on what its writer knew when it began, and may follow steps that the writer had not read; so it never
lowers a count. Terms that only claim, for however long, lose nothing.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from headrace.broker.core.commands import Batch, Complete, Decision, Fail, Form, Withdraw
from headrace.broker.core.ticket import TicketNumber
from headrace.broker.service.publishing.short_forms import ENCODE_CRASHED, OVERDUE, fails_instead
from headrace.schemas.ledger import LedgerKind, LedgerRecord

KINDS_MAX: Final = 32
KIND_CHARS_MAX: Final = 40
"""Bounds of what another release may have written; this one has fewer reasons, and shorter ones."""


class OutcomeCounts:
    """Counts by kind: `completed`, or the reason of a failure.

    Attributes:
        counts: As of the last line.
    """

    def __init__(self) -> None:
        self.counts: Mapping[str, int] = {}

    def observe(self, line: LedgerRecord) -> None:
        """Learn from a line that was read, or from one of our own that was committed."""
        if line.totals:
            known = ((kind, count) for kind, count in line.totals.items() if len(kind) <= KIND_CHARS_MAX and count >= 0)
            told = dict(sorted(known)[:KINDS_MAX])
            self.counts = self._raised_to(told) if line.kind is LedgerKind.CLAIM else told

    def _raised_to(self, told: Mapping[str, int]) -> dict[str, int]:
        """Return the larger count of each kind."""
        counts = Counter(self.counts) | Counter(told)
        return dict(sorted(counts.items())[:KINDS_MAX])

    def after(self, batch: Batch, crashed: Collection[TicketNumber] = ()) -> dict[str, int]:
        """Return the counts once the batch is committed; `crashed` are Failed though something else was decided."""
        counts = Counter(self.counts)
        for settlement in batch.settlements:
            kind = _kind(settlement.decision, crashed=settlement.number in crashed)
            if kind is not None and settlement.form is not Form.LETTER:
                counts[kind] += 1
        if batch.overdue:
            counts[OVERDUE.reason] += len(batch.overdue)
        return dict(counts)


def _kind(decision: Decision, *, crashed: bool) -> str | None:
    """Return the kind an outcome counts as; None where the decision publishes none."""
    if crashed and fails_instead(decision):
        return ENCODE_CRASHED.reason
    match decision:
        case Complete():
            return "completed"
        case Fail():
            return decision.reason
        case Withdraw():
            return "cancelled"
        case _:
            return None
