"""Cancels that wait for their request, since the control topic and the lanes are read side by side (holes 38).

The effect of a cancel depends on the state of its id when it is taken:

| the id is            | the cancel                                                                             |
|----------------------|----------------------------------------------------------------------------------------|
| open, undecided      | ends it: Failed `cancelled`; a call in flight is given up, its charge kept              |
| open, decided        | waits until that is committed, and is judged again                                     |
| parked               | answers for it in place of the copy, which is done when it comes back                  |
| answered, Completed  | is done                                                                                |
| answered, Failed     | waits for replays that were submitted before it                                        |
| unknown              | waits for records submitted before it, or up to a minute after it                      |

A cancel that names a tenant ends no request of another tenant. If such a request is open or parked, the cancel waits,
as for an unknown id, for a request of the tenant that it names. Clients of the release before name none; such a cancel
ends the request that has the id, whatever its tenant.

A cancel ends the run that is open or parked, and no replay that waits for that run: the table of identity judges the
replay once the run is answered.

Waiting cancels are kept here once their commit has returned, and in the ledger: repeated there twice a window, until no
record they could answer is young enough to be called. Rules:
- Cancels that are *expected* to be committed take effect too, and are forgotten with the tickets they came from: no
  outcome that such a cancel made is published before or without it, since their transaction is built in order.
- One packed integer for an id, or for an id and a tenant, as in `headrace.broker.core.identity.outcome_index`; the
  order of the dict is the age of the last ledger line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from headrace.broker.core.bounds import CANCEL_SLACK_MS
from headrace.broker.core.identity.outcome_index import RENEWALS_MAX, STRIDES

_AT_BITS: Final = 64
_HASH_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class CancelRecord:
    """A record of the control topic: the producer of the request with this id no longer wants an answer.

    `at_ms` is its Kafka timestamp, on the wall clock. `tenant_mark` is the hash of the tenant whose request is meant;
    empty: the request that has the id, whatever its tenant.
    """

    id_hash: bytes
    at_ms: int
    tenant_mark: bytes = b""

    @property
    def key(self) -> bytes:
        """The key under which it waits: cancels of one id that name different tenants wait side by side."""
        return self.id_hash + self.tenant_mark

    def spares(self, tenant_mark: bytes) -> bool:
        """Whether a request with this mark is known to be of another tenant than the one that is meant."""
        return bool(self.tenant_mark and tenant_mark) and self.tenant_mark != tenant_mark

    def for_replays(self) -> "CancelRecord":
        """Return the same for an id that has an outcome: it concerns what was submitted before it, nothing younger."""
        return CancelRecord(self.id_hash, max(0, self.at_ms - CANCEL_SLACK_MS), self.tenant_mark)


class PendingCancels:
    """Cancels that wait for their request. Instants are wall-clock milliseconds."""

    def __init__(self, *, window_ms: int, patience_ms: int) -> None:
        """A cancel waits no longer than `patience_ms` after it was asked for: the longest deadline of any lane."""
        assert window_ms > 0
        assert patience_ms >= 0
        self._window_ms, self._patience_ms = window_ms, patience_ms
        self._waiting: dict[bytes, int] = {}
        self._expected: dict[bytes, int] = {}
        self._renew_from_ms = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def covers(self, id_hash: bytes, timestamp_ms: int, tenant_mark: bytes = b"") -> bool:
        """Whether a record of this id, tenant and Kafka timestamp must be answered `cancelled`."""
        if not (self._waiting or self._expected):
            return False
        if self._covers(id_hash, timestamp_ms):
            return True
        return bool(tenant_mark) and self._covers(id_hash + tenant_mark, timestamp_ms)

    def _covers(self, key: bytes, timestamp_ms: int) -> bool:
        packed, expected = self._waiting.get(key), self._expected.get(key)
        if packed is None and expected is None:
            return False
        return timestamp_ms <= max(_at_ms(packed or 0), expected or 0) + CANCEL_SLACK_MS

    def expect(self, cancel: CancelRecord) -> None:
        """Note a cancel that the next transaction will state as waiting."""
        self._expected[cancel.key] = max(cancel.at_ms, self._expected.get(cancel.key, 0))

    def forget_expected(self) -> None:
        """Forget the expected cancels: their tickets are judged anew, or belong to another leader."""
        self._expected.clear()

    def record(self, cancel: CancelRecord, stated_ms: int) -> None:
        """Record a ledger line that states a waiting cancel, ours or another leader's: in any order, and repeatedly."""
        key = cancel.key
        known = self._waiting.pop(key, 0)
        at_ms, stated_ms = max(cancel.at_ms, _at_ms(known)), max(stated_ms, _stated_ms(known))
        self._waiting[key] = stated_ms << _AT_BITS | at_ms
        if self._expected.get(key, at_ms + 1) <= at_ms:
            del self._expected[key]

    def shrink(self, most: int) -> None:
        """Keep at most `most` cancels: the oldest are removed, and counted."""
        for key in list(islice(self._waiting, max(0, len(self._waiting) - most))):
            del self._waiting[key]
            self.evicted += 1

    def renewals(self, now_ms: int) -> list[CancelRecord]:
        """Return cancels whose last ledger line is half a window old, oldest first, until they are recorded again.

        A cancel that has waited long enough is not renewed but forgotten.
        """
        if now_ms < self._renew_from_ms:
            return []
        due = list(islice(self._due(now_ms), RENEWALS_MAX))
        live = [cancel for cancel in due if cancel.at_ms + self._patience_ms >= now_ms]
        for cancel in due:
            if cancel.at_ms + self._patience_ms < now_ms:
                del self._waiting[cancel.key]
        if not due:
            self._renew_from_ms = now_ms + self._window_ms // STRIDES
        return live

    def rewrite_all(self) -> None:
        """Mark every cancel as to be written again, since the ledger is gone."""
        self._waiting = {key: _at_ms(packed) for key, packed in self._waiting.items()}
        self._renew_from_ms = 0

    def _due(self, now_ms: int) -> Iterator[CancelRecord]:
        for key, packed in self._waiting.items():
            if _stated_ms(packed) > now_ms - self._window_ms // 2:
                return
            yield CancelRecord(key[:_HASH_BYTES], _at_ms(packed), key[_HASH_BYTES:])


def _at_ms(packed: int) -> int:
    return packed & (1 << _AT_BITS) - 1


def _stated_ms(packed: int) -> int:
    return packed >> _AT_BITS
