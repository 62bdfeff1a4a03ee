"""Dead letters of the retrier, for records of the failures topic that cannot be put back.

The dispatcher alone writes to that topic, so each of these means that another program did, that the retrier was away
for longer than the topic retains, or that a lane refuses the record.
"""

from headrace.broker.clock import WallClock
from headrace.broker.ports import Outgoing
from headrace.schemas import headers as names
from headrace.schemas.codec import encode_dead_letter
from headrace.schemas.dead_letter import Origin
from headrace.schemas.record import Record
from headrace.schemas.topics import dead_letters_topic

_NOT_A_FAILURE = "It was among the parked requests but is not one: another program wrote it there."
_NOT_PUT_BACK = "It could not be put back on its lane: it is too large, or Kafka refuses it."
_LOST = "Retention removed parked requests from here on before they were put back."
_UNREAD = "This record among the parked requests cannot be read."


class DeadLetterWriter:
    """Factory of these dead letters."""

    def __init__(self, topic_prefix: str, clock: WallClock, *, bytes_max: int) -> None:
        self._topic = dead_letters_topic(topic_prefix)
        self._clock = clock
        self._bytes_max = bytes_max

    def undecodable(self, origin: Origin, record: Record, *, bare: bool = False) -> Outgoing:
        """Make the letter of a record that is no RetryableFailure; `bare`: without its content."""
        return self._letter(origin, record, "undecodable", _NOT_A_FAILURE, bare=bare)

    def unpublishable(self, origin: Origin, record: Record, *, run: int, attempts: int, bare: bool) -> Outgoing:
        """Make the letter of a request that its lane refuses, in the form that the lane should have had."""
        return self._letter(origin, record, "unpublishable", _NOT_PUT_BACK, run=run, attempts=attempts, bare=bare)

    def lost(self, origin: Origin, reason: str = "lost_by_retention") -> Outgoing:
        """Make the letter of offsets from `origin` on that can no longer be read."""
        return self._letter(origin, Record(None, None), reason, _LOST if reason == "lost_by_retention" else _UNREAD)

    def reason_of(self, outgoing: Outgoing) -> str | None:
        """Return a dead letter's reason; None for a record of another topic."""
        if outgoing.topic != self._topic:
            return None
        return dict(outgoing.record.headers)[names.REASON].decode()

    def _letter(  # noqa: PLR0913 — each is a fact of the dead letter
        self,
        origin: Origin,
        record: Record,
        reason: str,
        message: str,
        *,
        run: int = 0,
        attempts: int = 0,
        bare: bool = False,
    ) -> Outgoing:
        letter = encode_dead_letter(
            record.key,
            record.value,
            record.headers,
            reason=reason,
            origin=origin,
            attempts=attempts,
            run=run,
            failed_at=self._clock.utc_now(),
            max_bytes=self._bytes_max,
            bare=bare,
            message=message,
        )
        return Outgoing(self._topic, letter)
