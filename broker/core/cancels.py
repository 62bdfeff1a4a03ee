"""Cancels that wait for their request, since the control topic and the lanes are read side by side (holes 38).

What a cancel does depends on what its id is when it is taken:

| the id is            | the cancel                                                                             |
|----------------------|----------------------------------------------------------------------------------------|
| open, undecided      | ends it: Failed `cancelled`; a call in flight is given up, its charge kept              |
| open, decided        | waits until that is committed, and is judged again                                     |
| parked               | answers for it in place of the copy, which is done when it comes back                  |
| answered, Completed  | is done                                                                                |
| answered, Failed     | waits for replays that were submitted before it                                        |
| unknown              | waits for records submitted before it, or up to a minute after it                      |

It ends the run that is open or parked, and no replay that waits for that run: the table of identity judges it once the
run is answered.

Those that wait live here once their commit has returned, and in the ledger: said again twice a window, until no record
they could answer is young enough to be called. Rules:
- What is *expected* to be committed answers too, and is forgotten with the tickets it came from: no outcome that it
  made is published before or without it, for their transaction is built in order.
- One packed integer an id, as in `broker.core.fates`; the order of the dict is the age of the last ledger line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from broker.core.bounds import CANCEL_SLACK_MS
from broker.core.fates import RENEWALS_MAX, STRIDES

_AT_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Cancel:
    """A record of the control topic: whoever sent the request with this id wants no answer any more.

    `at_ms` is its Kafka timestamp, on the wall clock.
    """

    id_hash: bytes
    at_ms: int

    def for_replays(self) -> "Cancel":
        """The same for an id that has an outcome: it concerns what was submitted before it, and nothing younger."""
        return Cancel(self.id_hash, max(0, self.at_ms - CANCEL_SLACK_MS))


class WaitingCancels:
    """Instants are wall-clock milliseconds."""

    def __init__(self, *, window_ms: int, patience_ms: int) -> None:
        """`patience_ms` after it was asked for, a cancel waits no longer: the longest deadline of any lane."""
        assert window_ms > 0
        assert patience_ms >= 0
        self._window_ms, self._patience_ms = window_ms, patience_ms
        self._waiting: dict[bytes, int] = {}
        self._expected: dict[bytes, int] = {}
        self._renew_from_ms = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def covers(self, id_hash: bytes, timestamp_ms: int) -> bool:
        """Whether a record of this id with this Kafka timestamp must be answered `cancelled`."""
        if not (self._waiting or self._expected):
            return False
        packed, expected = self._waiting.get(id_hash), self._expected.get(id_hash)
        if packed is None and expected is None:
            return False
        return timestamp_ms <= max(_at_ms(packed or 0), expected or 0) + CANCEL_SLACK_MS

    def expect(self, cancel: Cancel) -> None:
        """The next transaction will say that this one waits."""
        self._expected[cancel.id_hash] = max(cancel.at_ms, self._expected.get(cancel.id_hash, 0))

    def forget_expected(self) -> None:
        """Whoever was to be committed is judged anew, or somebody else's business."""
        self._expected.clear()

    def record(self, cancel: Cancel, told_ms: int) -> None:
        """A ledger line says that it waits: our own, or another leader's, in whatever order and however often."""
        known = self._waiting.pop(cancel.id_hash, 0)
        at_ms, told_ms = max(cancel.at_ms, _at_ms(known)), max(told_ms, _told_ms(known))
        self._waiting[cancel.id_hash] = told_ms << _AT_BITS | at_ms
        if self._expected.get(cancel.id_hash, at_ms + 1) <= at_ms:
            del self._expected[cancel.id_hash]

    def shrink(self, most: int) -> None:
        """Keep no more than so many: the oldest go, and are counted."""
        for id_hash in list(islice(self._waiting, max(0, len(self._waiting) - most))):
            del self._waiting[id_hash]
            self.evicted += 1

    def renewals(self, now_ms: int) -> list[Cancel]:
        """Those whose last ledger line is half a window old, oldest first, until they are recorded again.

        Who has waited long enough is not renewed but forgotten.
        """
        if now_ms < self._renew_from_ms:
            return []
        due = list(islice(self._due(now_ms), RENEWALS_MAX))
        found = [cancel for cancel in due if cancel.at_ms + self._patience_ms >= now_ms]
        for cancel in due:
            if cancel.at_ms + self._patience_ms < now_ms:
                del self._waiting[cancel.id_hash]
        if not due:
            self._renew_from_ms = now_ms + self._window_ms // STRIDES
        return found

    def retell(self) -> None:
        """The ledger is gone: each is to be said again."""
        self._waiting = {id_hash: _at_ms(packed) for id_hash, packed in self._waiting.items()}
        self._renew_from_ms = 0

    def _due(self, now_ms: int) -> Iterator[Cancel]:
        for id_hash, packed in self._waiting.items():
            if _told_ms(packed) > now_ms - self._window_ms // 2:
                return
            yield Cancel(id_hash, _at_ms(packed))


def _at_ms(packed: int) -> int:
    return packed & (1 << _AT_BITS) - 1


def _told_ms(packed: int) -> int:
    return packed >> _AT_BITS
