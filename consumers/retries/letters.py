"""Dead letters of the retrier: for what stood in the failures topic and cannot be put back.

The dispatcher alone writes there, so each of these means that somebody else did, or that the retrier was away for
longer than the topic retains.
"""

from broker.clock import WallClock
from broker.ports import Outgoing
from schemas import headers as names
from schemas.codec import encode_dead_letter
from schemas.dead_letter import Origin
from schemas.record import Record
from schemas.topics import dead_letters_topic


class Letters:
    """Makes them."""

    def __init__(self, topic_prefix: str, clock: WallClock, *, bytes_max: int) -> None:
        self._topic = dead_letters_topic(topic_prefix)
        self._clock = clock
        self._bytes_max = bytes_max

    def rotten(self, origin: Origin, record: Record) -> Outgoing:
        """A record that is no RetryableFailure."""
        return self._letter(origin, record, "undecodable")

    def lost(self, origin: Origin, reason: str = "lost_by_retention") -> Outgoing:
        """Offsets from `origin` on that nobody can read."""
        return self._letter(origin, Record(None, None), reason)

    def reason_of(self, outgoing: Outgoing) -> str | None:
        """Why it is one; None for a record of another topic."""
        if outgoing.topic != self._topic:
            return None
        return dict(outgoing.record.headers)[names.REASON].decode()

    def _letter(self, origin: Origin, record: Record, reason: str) -> Outgoing:
        letter = encode_dead_letter(
            record.key,
            record.value,
            record.headers,
            reason=reason,
            origin=origin,
            attempts=0,
            run=0,
            failed_at=self._clock.utc_now(),
            max_bytes=self._bytes_max,
        )
        return Outgoing(self._topic, letter)
